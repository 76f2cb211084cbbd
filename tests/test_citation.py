"""CITATION.cff holds what the Citation File Format 1.2 demands, and agrees with the package."""

import tomllib

from omegaconf import OmegaConf

from team5 import __version__
from tests.documents import REPOSITORY

# Of the schema: https://github.com/citation-file-format/citation-file-format (1.2.0)
REQUIRED = {"authors", "cff-version", "message", "title"}
KNOWN = REQUIRED | {"abstract", "keywords", "license", "type", "version"}


def citation():
    return OmegaConf.to_container(OmegaConf.load(REPOSITORY / "CITATION.cff"))


def test_it_has_the_required_fields_and_none_that_the_format_does_not_know():
    cff = citation()
    assert set(cff) >= REQUIRED
    assert set(cff) <= KNOWN
    assert cff["cff-version"] == "1.2.0"
    assert cff["type"] == "software"
    assert all(isinstance(cff[key], str) for key in ("message", "title", "version", "abstract"))


def test_it_agrees_with_the_package():
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    cff = citation()
    assert cff["version"] == __version__
    assert cff["license"] == project["license"].split(" AND ")[0]  # of the code
    assert cff["authors"] == project["authors"]
    assert cff["keywords"] == project["keywords"]
