from pathlib import Path

import pytest

from team5.errors import CheckpointError
from team5.registry.migration import SCHEMA, migrated

PATH = Path("v0.1/config.json")


def test_the_present_schema_is_left_as_it_is():
    config = {"schema": SCHEMA, "width": 3}
    assert migrated(PATH, config) == config
    assert migrated(PATH, {"width": 3}) == {"width": 3}  # written before there were numbers


def test_an_old_config_goes_through_every_step_once():
    steps = {
        1: lambda config: {**config, "width": config["d_model"]},
        2: lambda config: {**config, "steps": config.get("steps", 0) + 1},
    }
    old = {"schema": 1, "d_model": 8}
    new = migrated(PATH, old, steps=steps, schema=3)
    assert new == {"schema": 3, "d_model": 8, "width": 8, "steps": 1}
    assert old == {"schema": 1, "d_model": 8}


def test_a_later_schema_is_refused():
    with pytest.raises(CheckpointError, match="Install a later team5"):
        migrated(PATH, {"schema": SCHEMA + 1})
