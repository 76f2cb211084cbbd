import contextlib
import io
import json
import pickle
import shutil
import subprocess
import threading
import zipfile
from pathlib import Path

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from team5.errors import (
    CheckpointError,
    CheckpointFileNotFoundError,
    ConfigError,
    StorageError,
    TrackerError,
    VersionError,
    VersionNotFoundError,
)
from team5.registry import staging
from team5.registry.export import (
    _optimizer_from_bytes,
    _weights_from_bytes,
    _weights_to_bytes,
    export_version,
    read_optimizer,
    read_version,
    resolve_version,
)
from team5.registry.integrity import verify_folder, write_checksums
from team5.registry.tracker import Tracker, TrackerEntryFields
from team5.runtime.storage import sha256, swap_folders

FILES = Path(__file__).resolve().parents[1] / "files"
DTYPES = [torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.bool]


def reseal(folder):
    """Give a changed version the checksums it would have if it had been made like this."""
    Tracker(folder.parent).add(folder.name, update=True, extra={"sha256": write_checksums(folder)})


@given(
    st.dictionaries(
        st.text("abc.", min_size=1, max_size=8),
        st.tuples(st.sampled_from(DTYPES), st.lists(st.integers(0, 3), max_size=3)),
        min_size=1,
        max_size=4,
    )
)
def test_weights_are_read_as_they_were_written(tmp_path_factory, layout):
    root = tmp_path_factory.mktemp("registry")
    weights = {name: torch.randn(shape).to(dtype) for name, (dtype, shape) in layout.items()}
    entry = TrackerEntryFields("Any weights", 0.5, 0.5)
    name = export_version(root, config={}, weights=weights, entry=entry)
    stored = read_version(root, name)
    assert stored.weights.keys() == weights.keys()
    for key, tensor in weights.items():
        assert stored.weights[key].dtype == tensor.dtype
        assert torch.equal(stored.weights[key], tensor)


def test_tied_transposed_and_trained_weights_are_stored_by_value(root, export):
    weight = torch.nn.Parameter(torch.arange(6.0).reshape(2, 3))
    name = export(weights={"a": weight, "b": weight, "c": weight.T, "d": weight[1]})
    stored = read_version(root, name).weights
    assert torch.equal(stored["a"], weight)
    assert torch.equal(stored["b"], weight)
    assert torch.equal(stored["c"], weight.T)
    assert torch.equal(stored["d"], weight[1])


def test_the_first_version_is_v01_and_the_next_one_minor_further(root, export):
    assert [export(), export(), export(version="v0.9"), export(), export()] == [
        "v0.1",
        "v0.2",
        "v0.9",
        "v0.10",
        "v0.11",
    ]


def test_a_version_known_only_by_its_folder_or_its_entry_is_not_taken_again(root, export):
    (root / "v0.4").mkdir(parents=True)
    assert export() == "v0.5"
    Tracker(root).add("v0.7", "By hand", 0.5, 0.5)
    assert export() == "v0.8"


def test_a_version_says_its_schema_name_and_checksums(root, export):
    name = export(
        config={"d_model": 8, "schema": "mine", "files": "mine"},
        optimizer={"step": 1},
        extra_files={"README.md": "Model of µ", "data.bin": b"\0"},
    )
    config = json.loads((root / name / "config.json").read_text())
    assert (config["schema"], config["version"], config["d_model"]) == (1, "v0.1", 8)
    assert sorted(config["files"]) == [
        "README.md",
        "data.bin",
        "model.safetensors",
        "optimizer.bin",
    ]
    assert (root / name / "README.md").read_text(encoding="utf-8") == "Model of µ"
    entry = Tracker(root).read().entry(name)
    assert entry.sha256 == sha256(root / name / "config.json")
    assert read_version(root, name).version_hash == entry.sha256[:12]
    verify_folder(root / name, entry.sha256)


def test_the_entry_says_what_was_given(root, export):
    entry = TrackerEntryFields(
        "With more", 0.8, 0.7, "2024-05-01", {"hit_rate@1": 0.6}, {"licence": "CC BY-SA 4.0"}
    )
    export(entry=entry)
    written = json.loads(Tracker(root).path.read_text())
    del written["checkpoints"][0]["sha256"]
    assert written == {
        "latest": None,
        "checkpoints": [
            {
                "version": "v0.1",
                "date": "2024-05-01",
                "description": "With more",
                "performance": {"accuracy": 0.8, "f1_score": 0.7, "hit_rate@1": 0.6},
                "licence": "CC BY-SA 4.0",
            }
        ],
    }


def test_latest_moves_only_when_asked(root, export):
    export(set_as_latest=True)
    export()
    assert resolve_version(root) == resolve_version(root, "latest") == "v0.1"


def test_a_version_is_replaced_only_when_asked(root, export, snapshot):
    name = export(1)
    before = snapshot()
    with pytest.raises(VersionError, match=r"has a v0\.1 already"):
        export(2, version=name)
    assert snapshot() == before


def test_a_replaced_version_has_nothing_of_the_old_but_what_people_noted(root, export):
    old = TrackerEntryFields("Old", 0.5, 0.5, extra_performance={"mcc": 0.1})
    name = export(1, optimizer={"step": 1}, extra_files={"old.txt": "old"}, entry=old)
    Tracker(root).add(name, update=True, extra={"notes": "kept"})

    assert export(2, version=name, replace=True) == name

    assert sorted(path.name for path in (root / name).iterdir()) == [
        "config.json",
        "model.safetensors",
    ]
    stored = read_version(root, name)
    assert stored.config["number"] == stored.weights["layer.weight"][0, 0] == 2
    entry = Tracker(root).read().entry(name)
    assert entry.performance == {"accuracy": 0.8, "f1_score": 0.7}
    assert entry.extra["notes"] == "kept"
    assert [path.name for path in root.glob(".*")] == []


def test_replacing_what_is_not_there_makes_it(root, export):
    assert export(version="v0.3", replace=True) == "v0.3"


def test_an_unwanted_version_name_never_becomes_a_path(root, export):
    for name in ("../v0.1", "v0.1/../../x", "/v0.1", "v0.1\n"):
        with pytest.raises(VersionError):
            export(version=name)
        with pytest.raises(VersionError):
            read_version(root, name)
    assert not root.exists()


@pytest.mark.parametrize(
    "arguments",
    [
        {"config": {"loss": float("nan")}},
        {"config": {"model": object()}},
        {"extra_files": {"config.json": "{}"}},
        {"extra_files": {"../README.md": "out"}},
        {"extra_files": {".hidden": "out"}},
        {"extra_files": {"": "out"}},
        {"optimizer": {"function": print}},
        {"optimizer": {"module": torch.nn.Linear(1, 1)}},
        {"entry": TrackerEntryFields("Bad", float("nan"), 0.5)},
        {"entry": TrackerEntryFields("Bad", 0.5, 1.5)},
        {"entry": TrackerEntryFields("Bad", 0.5, 0.5, date="yesterday")},
    ],
)
def test_what_cannot_be_stored_is_refused_before_anything_is_written(root, export, arguments):
    with pytest.raises(ConfigError):
        export(**arguments)
    assert not root.exists()


def test_an_invalid_tracker_stops_an_export_and_stays(root, export, snapshot):
    export()
    Tracker(root).path.write_text('{"latest": ')
    before = snapshot()
    with pytest.raises(TrackerError, match="line 1, column 12"):
        export()
    with pytest.raises(TrackerError, match="line 1, column 12"):
        read_version(root, "v0.1")
    assert snapshot() == before


def test_optimizer_state_of_torch_goes_through_unchanged(root, export):
    layer = torch.nn.Linear(2, 2)
    optimizer = torch.optim.AdamW(layer.parameters())
    scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.1, total_steps=10)
    layer(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    scheduler.step()
    state = {"optimizer": optimizer.state_dict(), "scheduler": scheduler.state_dict(), "epoch": 3}
    name = export(optimizer=state)
    read = read_optimizer(root, name)
    assert (read["scheduler"], read["epoch"]) == (state["scheduler"], 3)
    for key, value in state["optimizer"]["state"][0].items():
        assert torch.equal(read["optimizer"]["state"][0][key], value)


def test_a_version_without_optimizer_state_says_so(root, export):
    with pytest.raises(CheckpointFileNotFoundError, match=r"optimizer\.bin: no such file"):
        read_optimizer(root, export())


def test_an_unknown_version_lists_those_there_are_closest_first(root, export):
    for name in ("v0.2", "v0.12", "v3.7"):
        export(version=name)
    with pytest.raises(VersionNotFoundError) as caught:
        resolve_version(root, "v0.21")
    assert str(caught.value) == (
        f'no version "v0.21" in {root}/; closest: v0.2, v0.12, v3.7. Pass one of these.'
    )
    with pytest.raises(VersionError, match=r"closest first: v0\.2"):
        resolve_version(root, "0.2")
    with pytest.raises(VersionNotFoundError, match="names no latest version"):
        resolve_version(root)


def test_an_empty_registry_has_no_version(root):
    with pytest.raises(VersionNotFoundError, match="holds none"):
        resolve_version(root, "v0.1")
    with pytest.raises(VersionNotFoundError, match="Train one"):
        resolve_version(root)


def test_a_latest_that_is_not_there_is_an_error(root, export):
    export()
    text = Tracker(root).path.read_text()
    Tracker(root).path.write_text(text.replace("null", '"v0.8"'))
    with pytest.raises(VersionNotFoundError, match=r"no v0\.8, its latest\. Pass one of v0\.1"):
        resolve_version(root)


def test_a_version_recorded_without_its_folder_names_the_missing_file(root):
    Tracker(root).add("v0.1", "By hand", 0.5, 0.5)
    with pytest.raises(CheckpointFileNotFoundError, match=r"v0\.1/config\.json: no such file"):
        read_version(root, "v0.1")


def test_a_folder_put_there_by_hand_is_read(root, export):
    folder = root / export()
    folder.rename(root / "v0.10")
    assert read_version(root, "v0.10").version == "v0.10"


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "optimizer.bin"])
@pytest.mark.parametrize("damage", ["one bit", "cut", "empty"])
def test_every_damage_is_found(root, export, name, damage):
    version = export(optimizer={"step": 1})
    path = root / version / name
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    damaged = {"one bit": bytes(data), "cut": bytes(data[:-1]), "empty": b""}[damage]
    expected = sha256(path)
    path.write_bytes(damaged)
    found = sha256(path)
    read = read_optimizer if name == "optimizer.bin" else read_version
    with pytest.raises(CheckpointError) as caught:
        read(root, version)
    for part in (str(path), expected, found):
        assert part in str(caught.value)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_a_missing_file_is_named(root, export, name):
    version = export()
    (root / version / name).unlink()
    with pytest.raises(CheckpointFileNotFoundError, match=name):
        read_version(root, version)


def test_a_version_of_a_later_schema_is_refused(root, export):
    folder = root / export()
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "schema": 2}))
    reseal(folder)
    with pytest.raises(CheckpointError, match="Install a later team5"):
        read_version(root, folder.name)


class Attack:
    """What a pickle can do where it is trusted."""

    def __reduce__(self):
        return (open, ("attacked", "w"))


def test_a_checkpoint_with_valid_checksums_cannot_run_code(root, export, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = root / export(optimizer={"step": 1})
    torch.save({"step": Attack()}, folder / "optimizer.bin")
    (folder / "model.safetensors").write_bytes(pickle.dumps(Attack()))
    reseal(folder)
    with pytest.raises(CheckpointError, match=r"optimizer\.bin"):
        read_optimizer(root, folder.name)
    with pytest.raises(CheckpointError, match=r"model\.safetensors"):
        read_version(root, folder.name)
    assert not (tmp_path / "attacked").exists()


def test_the_hostile_file_that_is_kept_for_this_is_refused(root, export, tmp_path, monkeypatch):
    """It opens a file named ``attacked`` for writing, where a pickle is trusted."""
    monkeypatch.chdir(tmp_path)
    folder = root / export(optimizer={"step": 1})
    shutil.copyfile(FILES / "hostile_optimizer.bin", folder / "optimizer.bin")
    reseal(folder)
    with pytest.raises(CheckpointError, match=r"optimizer\.bin cannot be read as state dicts"):
        read_optimizer(root, folder.name)
    assert not (tmp_path / "attacked").exists()
    torch.load(folder / "optimizer.bin", weights_only=False)["step"].close()
    assert (tmp_path / "attacked").exists()  # the file is what it is said to be


def with_changed_bytes(data: bytes, changes: dict[int, int]) -> bytes:
    changed = bytearray(data)
    for place, value in changes.items():
        changed[place % len(data)] = value
    return bytes(changed)


changes = st.dictionaries(st.integers(0, 2**16), st.integers(0, 255), max_size=4)


@pytest.fixture(scope="module")
def optimizer_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("state") / "optimizer.bin"
    torch.save({"step": 1, "state": [torch.ones(3), {"rate": 1.5}]}, path)
    return path.read_bytes()


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@settings(max_examples=200)
@given(changes=changes, cut=st.integers(0, 2000), in_pickle=st.booleans())
@example(changes={}, cut=0, in_pickle=False)
def test_a_hostile_optimizer_file_is_a_checkpoint_error(optimizer_file, changes, cut, in_pickle):
    if in_pickle:  # repacked, so that the archive itself is in order
        content = io.BytesIO()
        with (
            zipfile.ZipFile(io.BytesIO(optimizer_file)) as good,
            zipfile.ZipFile(content, "w") as z,
        ):
            for name in good.namelist():
                data = good.read(name)
                is_pickle = name.endswith("data.pkl")
                z.writestr(name, with_changed_bytes(data, changes) if is_pickle else data)
        data = content.getvalue()
    else:
        data = with_changed_bytes(optimizer_file, changes)[: len(optimizer_file) - cut]
    with contextlib.suppress(CheckpointError):
        _optimizer_from_bytes(Path("optimizer.bin"), data)


@settings(max_examples=200)
@given(changes=changes, cut=st.integers(0, 200))
def test_a_hostile_weights_file_is_a_checkpoint_error(changes, cut):
    good = _weights_to_bytes({"a": torch.ones(4), "b": torch.zeros(2, 2)})
    with contextlib.suppress(CheckpointError):
        _weights_from_bytes(Path("model.safetensors"), with_changed_bytes(good, changes)[cut:])


def test_exports_of_several_threads_get_a_version_each(root, export):
    names: list[str] = []
    threads = [threading.Thread(target=lambda: names.append(export())) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(names) == [f"v0.{minor}" for minor in range(1, 7)]


@pytest.mark.parametrize("replace", [False, True])
@pytest.mark.parametrize("room", [0, 4, 16, 64, 128, 256, 512])
def test_on_a_full_disk_an_export_is_whole_or_absent(small_disk, export, snapshot, room, replace):
    export(1, set_as_latest=True)
    before = snapshot()
    filler = small_disk / "filler"
    with pytest.raises(OSError, match="No space"):
        filler.write_bytes(bytes(2**21))
    with filler.open("r+b") as file:
        file.truncate(max(0, filler.stat().st_size - room * 1024))

    weights = {"a": torch.zeros(50_000)}
    if room < 256:
        with pytest.raises(StorageError, match="disk is full"):
            export(2, weights=weights, version="v0.1" if replace else None, replace=replace)
        filler.unlink()
        assert snapshot() == before
    else:
        name = export(2, weights=weights, version="v0.1" if replace else None, replace=replace)
        assert read_version(small_disk, name).config["number"] == 2
    assert not list(small_disk.glob(".staging-*"))


def test_an_unwritable_folder_is_left_as_it_was_and_still_read(
    root, export, make_unwritable, snapshot
):
    name = export(1)
    before = snapshot()
    make_unwritable()
    with pytest.raises(StorageError, match="cannot be written"):
        export(2, version=name, replace=True)
    assert snapshot() == before
    assert read_version(root, name).config["number"] == 1


@pytest.fixture(params=["swap", "two renames"])
def way_of_replacing(request, monkeypatch, tmp_path):
    """Replace folders as Linux can, and as other systems must."""
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    second.mkdir()
    if request.param == "two renames":
        monkeypatch.setattr(staging, "swap_folders", lambda first, second: False)
    elif not swap_folders(first, second):
        pytest.skip("this system cannot swap two folders in one step")


@pytest.fixture
def pin_tracker(root):
    """Forbid replacing the tracker, in a folder that can be written otherwise."""
    path = Tracker(root).path

    def pin() -> None:
        chattr = shutil.which("chattr")
        if chattr is None or subprocess.run([chattr, "+i", path], check=False).returncode:
            pytest.skip("this user or file system cannot make a file immutable")

    yield pin
    if path.exists():
        subprocess.run(["chattr", "-i", path], check=False)


@pytest.mark.usefixtures("way_of_replacing")
@pytest.mark.parametrize("replace", [False, True])
def test_a_tracker_that_cannot_be_replaced_leaves_all_as_it_was(
    root, export, pin_tracker, snapshot, replace
):
    name = export(1)
    before = snapshot()
    pin_tracker()
    with pytest.raises(StorageError, match="cannot be written"):
        export(2, version=name if replace else None, replace=replace)
    assert snapshot() == before
    assert read_version(root, name).config["number"] == 1


@pytest.mark.usefixtures("way_of_replacing")
def test_a_version_is_replaced_again_and_again(root, export):
    name = export(0)
    for number in range(1, 4):
        export(number, version=name, replace=True)
        assert read_version(root, name).config["number"] == number
    assert sorted(path.name for path in root.iterdir()) == [
        "checkpoint_tracker.json",
        "checkpoint_tracker.json.lock",
        "v0.1",
    ]
