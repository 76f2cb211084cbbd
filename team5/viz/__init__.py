"""Plots. matplotlib is imported in this package only.

Every ``plot_`` function returns a Figure, to be saved with ``figure.savefig("name.png")``. Those
with ``ax=`` draw into the axes given, else into a new figure; axes without a figure raise
ConfigError.
"""

from importlib.util import find_spec

from team5.errors import MissingExtraError

if find_spec("matplotlib") is None:
    raise MissingExtraError.of("drawing", "viz")
