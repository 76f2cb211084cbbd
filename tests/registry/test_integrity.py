import hashlib
import json

import pytest

from team5.errors import CheckpointError, CheckpointFileNotFoundError
from team5.registry.integrity import verify_folder, write_checksums
from team5.runtime.storage import sha256


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "config.json").write_text('{"d_model": 64}')
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    (tmp_path / "README.md").write_text("A model")
    write_checksums(tmp_path)
    return tmp_path


def test_config_holds_size_and_checksum_of_the_files_beside_it(folder):
    config = json.loads((folder / "config.json").read_text())
    assert config == {
        "d_model": 64,
        "files": {
            "README.md": {"sha256": hashlib.sha256(b"A model").hexdigest(), "size": 7},
            "model.safetensors": {"sha256": hashlib.sha256(b"weights").hexdigest(), "size": 7},
        },
    }


def test_writing_checksums_gives_that_of_config(folder):
    checksum = write_checksums(folder)
    assert checksum == sha256(folder / "config.json")
    verify_folder(folder, checksum)


def test_a_damaged_file_is_named_with_both_checksums(folder):
    (folder / "model.safetensors").write_bytes(b"Weights")
    with pytest.raises(CheckpointError) as caught:
        verify_folder(folder)
    message = str(caught.value)
    assert str(folder / "model.safetensors") in message
    assert hashlib.sha256(b"weights").hexdigest() in message
    assert hashlib.sha256(b"Weights").hexdigest() in message


def test_all_damaged_files_are_named_at_once(folder):
    (folder / "model.safetensors").write_bytes(b"")
    (folder / "README.md").write_bytes(b"")
    with pytest.raises(CheckpointError, match=r"README\.md.*model\.safetensors"):
        verify_folder(folder)


def test_a_missing_file_is_named(folder):
    (folder / "model.safetensors").unlink()
    with pytest.raises(CheckpointFileNotFoundError, match=r"model\.safetensors: no such file"):
        verify_folder(folder)


def test_a_changed_config_is_found_by_the_checksum_of_the_tracker(folder):
    checksum = sha256(folder / "config.json")
    text = (folder / "config.json").read_text()
    (folder / "config.json").write_text(text.replace("64", "65"))
    verify_folder(folder)
    with pytest.raises(CheckpointError, match=r"config\.json is damaged"):
        verify_folder(folder, checksum)


def test_files_that_config_does_not_name_are_left_alone(folder):
    (folder / "notes.txt").write_text("mine")
    verify_folder(folder)


@pytest.mark.parametrize(
    "files",
    [
        None,
        {},
        [],
        {"../secret": {"sha256": "0" * 64}},
        {"/etc/passwd": {"sha256": "0" * 64}},
        {"..": {"sha256": "0" * 64}},
        {"model.safetensors": {"size": 7}},
        {"model.safetensors": "0" * 64},
    ],
)
def test_malformed_records_are_refused(folder, files):
    (folder / "config.json").write_text(json.dumps({"files": files}))
    with pytest.raises(CheckpointError, match='"files"'):
        verify_folder(folder)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"a": NaN}', "[" * 100_000])
def test_a_config_that_is_no_json_object_is_refused(folder, text):
    (folder / "config.json").write_text(text)
    with pytest.raises(CheckpointError, match=r"config\.json"):
        verify_folder(folder)
