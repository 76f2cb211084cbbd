"""What a version says is data: whatever stands in whichever field, nothing of it is run."""

import contextlib
import copy
import functools
import json
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf

from team5.assessment.promotion import FrozenQueries, judge
from team5.cli.run import compose_config
from team5.cli.versions import main as registry
from team5.data.datamodule import SpectrumDataModule
from team5.errors import Team5Error
from team5.inference.inference import load_model, load_tokenizer
from team5.registry.sharing import pull
from team5.training.train import build, resolve
from tests.attack.sentinel import MARK, SECRET, watched
from tests.attack.versions import FACTS, Place, places, write

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


def resolved(text: str) -> str:
    """Return what OmegaConf would resolve."""
    return "${" + text + "}"


CREATE = resolved(f"oc.create:{{_target_: os.mkdir, path: {MARK}}}")
ENV = resolved(f"oc.env:{MARK.upper()}")
SEEN = resolved(f"{MARK}:")
TARGETS: tuple[dict[str, Any], ...] = (
    {"_target_": "os.mkdir", "path": MARK},
    {"_target_": "os.mkdir", "_args_": [MARK]},
    {"_target_": "shutil.copyfile", "src": __file__, "dst": MARK},
    {"_target_": "pandas.read_pickle", "filepath_or_buffer": MARK},
    {"_target_": "builtins.open", "file": MARK, "mode": "w"},
    {"_target_": "builtins.eval", "_args_": [f"open('{MARK}', 'w')"]},
    {"_target_": "os.system", "command": f"touch {MARK}"},
    {"_target_": "subprocess.Popen", "args": ["touch", MARK]},
    {"_target_": "socket.create_connection", "address": ["127.0.0.1", 9], "name": MARK},
    {"_target_": "importlib.import_module", "name": MARK},
    {"_target_": f"{MARK}.Encoder", "_partial_": True},
    {"_target_": "hydra.utils.get_method", "path": f"{MARK}.run"},
    {"_target_": "torch.load", "f": MARK, "weights_only": False},
    {"_target_": "lightning.pytorch.loggers.CSVLogger", "save_dir": f"/{MARK}"},
    {"_target_": "lightning.pytorch.loggers.TensorBoardLogger", "save_dir": f"/tmp/{MARK}"},
    {"_target_": "lightning.pytorch.loggers.MLFlowLogger", "tracking_uri": f"http://{MARK}.test"},
    {"_target_": "lightning.pytorch.callbacks.ModelCheckpoint", "dirpath": f"/tmp/{MARK}"},
    {"_target_": "team5.callbacks.checkpoint_export.CheckpointExport", "root": f"/tmp/{MARK}",
     "monitor": "val/loss", "mode": "min"},
    {"_target_": "lightning.Trainer", "default_root_dir": f"/tmp/{MARK}"},
    {"_target_": "team5.data.datamodule.SpectrumDataModule", "kind": "file", "path": MARK},
    {"class": f"{MARK}.Encoder", "arguments": {}},
    {"class": "os.mkdir", "arguments": {"path": MARK}},
)  # fmt: skip
TEXTS = (
    CREATE,
    ENV,
    resolved(f"oc.decode:{ENV}"),
    SEEN,
    resolved(f"..{MARK}"),
    "${description}" + SEEN,
    "a ${oc.dict.values:model}",
    "${hydra:runtime.output_dir}",
    "${now:%Y}",
    "$${oc.env:HOME}",
    "\\" + SEEN,
    f"/tmp/{MARK}",
    f"../{MARK}",
    f"file:///tmp/{MARK}",
    f"http://{MARK}.test/",
    f"s3://{MARK}/",
    f"{MARK}.Encoder",
    f"open('{MARK}', 'w')",
    "???",
)
PAYLOADS = (*TARGETS, *TEXTS)


class Hub:
    """A repository of somebody's with the methods of the Hugging Face Hub that `pull` calls."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def snapshot_download(self, repo_id, *, revision, local_dir):
        shutil.copytree(self.folder, local_dir, dirs_exist_ok=True)


def with_payload(config: dict[str, Any], place: Place, payload: Any, how: str) -> dict[str, Any]:
    config = copy.deepcopy(config)
    section = config
    for key in place[:-1]:
        section = section[key]
    key = place[-1]
    if how == "key":
        section[json.dumps(payload) if isinstance(payload, dict) else payload] = section.pop(key, 1)
    else:
        kept = section.get(key)
        inner = {**kept, **payload} if isinstance(kept, dict) and isinstance(payload, dict) else {
            **(kept if isinstance(kept, dict) else {}), "inner": payload}  # fmt: skip
        section[key] = {"value": payload, "list": [payload], "merged": inner}[how]
    return config


@contextlib.contextmanager
def untrained() -> Iterator[None]:
    """Let a training be built without reading spectra."""

    def setup(self: SpectrumDataModule, stage: str | None = None) -> None:
        self.facts = dict(FACTS)

    with (
        mock.patch.object(SpectrumDataModule, "prepare_data", return_value=None),
        mock.patch.object(SpectrumDataModule, "setup", setup),
    ):
        yield


composed = functools.cache(lambda *words: compose_config("train", words))


def training(root: Path, *words: str) -> None:
    cfg = copy.deepcopy(composed("report_spectra=0", *words))
    cfg.checkpoints_root = cfg.output_dir = str(root)
    with untrained():
        run = resolve(cfg)
        settings: Any = OmegaConf.to_container(run.cfg, resolve=True)
        assert SECRET not in str(settings)
        # A description may be any text, which only people read; names of licences are compared.
        settings["description"] = settings["data"]["licenses"] = None
        assert MARK not in str(settings)
        build(run)


def command(*words: str) -> None:
    assert registry(list(words)) in (0, 1, 2)


ROUTES: dict[str, Callable[[Path], object]] = {
    "resume": lambda root: training(root, "resume=v0.1"),
    "from_version": lambda root: training(root, "experiment=debug", "from_version=v0.1"),
    "load_model": lambda root: load_model("v0.1", root=root, device="cpu"),
    "load_tokenizer": lambda root: load_tokenizer("v0.1", root=root),
    "verify": lambda root: command("verify", "--root", str(root)),
    "promote": lambda root: command("promote", "v0.1", "--root", str(root)),
    "judge": lambda root: judge(root, "v0.1", FrozenQueries(Path("queries"), "", ())),
    "pull": lambda root: pull(root / "other", "me/model", hub=Hub(root / "v0.1")),
    "show": lambda root: command("show", "v0.1", "--root", str(root)),
    "compare": lambda root: command("compare", "v0.1", "v0.1", "--root", str(root)),
    "repair": lambda root: command("repair", "--root", str(root)),
}


def attack(trained: dict[str, Any], root: Path, config: dict[str, Any], *routes: str) -> None:
    """Take a hostile version and see that nothing is done but to refuse it, or to pass it over."""
    shutil.rmtree(root, ignore_errors=True)
    write(trained, root, config)
    for route in routes:
        said = ""
        with watched() as done, contextlib.chdir(root):
            try:
                ROUTES[route](root)
            except Team5Error as error:
                said = str(error)
        assert done == [], (route, done)
        assert SECRET not in said
        assert not any(MARK in str(path) for path in root.rglob("*"))
        for path in root.rglob("*"):
            if path.is_file() and path.suffix != ".lock":
                assert SECRET.encode() not in path.read_bytes(), path


@settings(
    max_examples=60,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.generate],
)
@given(data=st.data())
def test_nothing_that_a_version_says_is_run(trained, tmp_path_factory, data, capsys):
    place = data.draw(st.sampled_from(list(places(trained["config"]))))
    payload = data.draw(st.sampled_from(PAYLOADS))
    how = data.draw(st.sampled_from(["value", "list", "merged", "key"]))
    route = data.draw(st.sampled_from(["resume", "resume", "from_version", *ROUTES]))
    config = with_payload(trained["config"], place, payload, how)
    attack(trained, tmp_path_factory.getbasetemp() / "hostile", config, route)


@pytest.mark.slow
@pytest.mark.parametrize("how", ["value", "list", "merged", "key"])
def test_nothing_is_run_from_any_field_of_a_version(trained, tmp_path, how, capsys):
    for number, place in enumerate(places(trained["config"])):
        for payload in (PAYLOADS[number % len(PAYLOADS)], TEXTS[3], TARGETS[0]):
            config = with_payload(trained["config"], place, payload, how)
            attack(trained, tmp_path / "hostile", config, "resume", "from_version", "load_model")


@pytest.mark.parametrize("place", [
    ("training_config", "data", "num_workers"),
    ("training_config", "model", "encoder"),
    ("training_config", "trainer", "plugins"),
    ("model",),
], ids=".".join)  # fmt: skip
def test_each_kind_of_code_is_refused_where_it_was_run(trained, tmp_path, place):
    route = "resume=v0.1" if len(place) > 1 else "from_version=v0.1"
    for number, payload in enumerate(PAYLOADS):
        root = tmp_path / str(number)
        write(trained, root, with_payload(trained["config"], place, payload, "value"))
        with watched() as done, pytest.raises(Team5Error):
            training(root, route)
        assert done == [], payload


@pytest.mark.parametrize(("place", "value", "route"), [
    # Measured: each of these ran, read, wrote or sent something.
    (("training_config", "data", "num_workers"), CREATE, "resume"),
    (("training_config", "description"), ENV, "resume"),
    (("training_config", "logger", "csv", "save_dir"), f"/tmp/{MARK}", "resume"),
    (("training_config", "logger", "more"), TARGETS[14], "resume"),
    (("training_config", "callbacks", "export", "root"), f"/tmp/{MARK}", "resume"),
    (("training_config", "trainer", "default_root_dir"), f"/tmp/{MARK}", "resume"),
    (("training_config", "data", "path"), f"/tmp/{MARK}", "resume"),
    (("model", "d_model"), SEEN, "from_version"),
    (("model", "_target_"), f"{MARK}.run", "from_version"),
], ids=str)  # fmt: skip
def test_what_once_ran_runs_no_more(trained, tmp_path, place, value, route):
    config = with_payload(trained["config"], place, value, "value")
    attack(trained, tmp_path / "root", config, route)


@pytest.mark.parametrize("part", ["model", "tokenizer", "training", "training_config"])
@pytest.mark.parametrize("left", [None, {}])
def test_what_a_version_does_not_say_is_one_error(trained, tmp_path, part, left, capsys):
    config = {key: value for key, value in trained["config"].items() if key != part}
    if left is not None:
        config[part] = left
    attack(trained, tmp_path / "root", config, *ROUTES)


def test_an_honest_version_goes_all_these_ways(trained, tmp_path, capsys):
    root = tmp_path / "root"
    write(trained, root, trained["config"])
    for go in ROUTES.values():
        go(root)


def test_the_watch_notices_what_is_done(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with watched() as done:
        OmegaConf.create({"a": SEEN}).a  # noqa: B018
        (tmp_path / MARK).mkdir()
        with contextlib.suppress(ImportError):
            __import__(MARK)
    assert [each.partition("(")[0] for each in done if "listdir" not in each] == [
        "resolved", "os.mkdir", "import",
    ]  # fmt: skip
    assert MARK not in sys.modules
