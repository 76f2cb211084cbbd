"""HTML from the templates next to this module; text is escaped unless marked as trusted."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup


def render(template: str, **values: Any) -> str:
    """Return a template filled in.

    Parameters
    ----------
    template : str
        A file of ``team5/runtime/templates``.
    **values
        What the template names; each must be given.
    """
    return _environment().get_template(template).render(**values)


def trusted(markup: str) -> Markup:
    """Mark HTML or SVG made by team5, such as a drawing, to be inserted without escaping."""
    from markupsafe import Markup  # here to start quickly

    return Markup(markup)  # noqa: S704 - never text of users or files


@cache
def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined  # here to start quickly

    return Environment(
        loader=PackageLoader("team5.runtime"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
