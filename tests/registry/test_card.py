import json
import shutil

import pytest

from team5.errors import CheckpointError, ConfigError, VersionError
from team5.registry.card import rewrite_card, rewrite_config
from team5.registry.export import read_version
from team5.registry.integrity import verify_folder
from team5.registry.schemas import MAX_CONFIG_BYTES
from team5.registry.staging import read_tracker


@pytest.fixture
def with_card(root, export):
    export(extra_files={"README.md": "one"})
    return root


def test_a_rewritten_card_belongs_to_the_version(with_card):
    root = with_card
    before = json.loads((root / "v0.1" / "config.json").read_text())
    rewrite_card(root, "v0.1", lambda card: card + " and two")
    assert (root / "v0.1" / "README.md").read_text() == "one and two"
    after = json.loads((root / "v0.1" / "config.json").read_text())
    assert after.pop("files").keys() == before.pop("files").keys()
    assert after == before
    verify_folder(root / "v0.1", read_tracker(root).entry("v0.1").sha256)


def test_a_version_without_a_card_gets_one(root, export):
    export()
    rewrite_card(root, "v0.1", lambda card: f"[{card}]")
    assert (root / "v0.1" / "README.md").read_text() == "[]"
    verify_folder(root / "v0.1", read_tracker(root).entry("v0.1").sha256)


def test_a_card_that_cannot_be_made_changes_nothing(with_card, snapshot):
    before = snapshot()

    def fail(card: str) -> str:
        raise RuntimeError(card)

    with pytest.raises(RuntimeError, match="one"):
        rewrite_card(with_card, "v0.1", fail)
    assert snapshot() == before


def test_damage_is_not_hidden_by_a_new_checksum(with_card):
    root = with_card
    weights = root / "v0.1" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    with pytest.raises(CheckpointError):
        rewrite_card(root, "v0.1", str.upper)
    with pytest.raises(VersionError, match=r"has no v0\.7"):
        rewrite_card(root, "v0.7", str.upper)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"schema": 2}, '"schema" is 1 and cannot become 2'),
        ({"version": "v0.9"}, r'"version" is \'v0\.1\' and cannot become \'v0\.9\''),
        ({"version": None}, "cannot become None"),
        ({"calibration": 5}, '"calibration" is not an object'),
        ({"notes": "x" * MAX_CONFIG_BYTES}, "it would be of .* bytes"),
    ],
)
def test_values_that_cannot_be_read_are_refused_with_the_versions_own_folder(
    root, export, snapshot, changes, said
):
    export()
    before = snapshot()
    with pytest.raises(ConfigError, match=said) as refused:
        rewrite_config(root, "v0.1", changes)
    assert str(refused.value).startswith(f"{root / 'v0.1' / 'config.json'} is left as it was: ")
    assert snapshot() == before


def test_a_copied_folder_becomes_a_version_of_its_own_name(root, export):
    export()
    shutil.copytree(root / "v0.1", root / "v0.2")
    rewrite_config(root, "v0.2", {"version": "v0.2", "schema": 1, "number": 7})
    config = read_version(root, "v0.2").config
    assert (config["version"], config["number"]) == ("v0.2", 7)
    assert read_version(root, "v0.1").config["number"] == 1
