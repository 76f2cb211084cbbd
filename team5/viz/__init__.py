"""Plots. matplotlib is imported in this package only."""

from importlib.util import find_spec

from team5.errors import MissingExtraError

if find_spec("matplotlib") is None:
    raise MissingExtraError("Plots need matplotlib. Install it with: pip install 'team5[viz]'")
