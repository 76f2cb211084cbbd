"""Links of a page to files of the repository: named on the site, which does not hold them."""

import re
from typing import Any

_OUTSIDE = re.compile(r"\[([^\]]+)\]\((?:\.\./)+[^)]*\)")


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Return a page in which such a link is the name of the file alone."""
    return _OUTSIDE.sub(r"`\1`", markdown)
