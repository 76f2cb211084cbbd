"""An encoder of somebody's own: a version names it, and the user says whether it is imported."""

import functools
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from team5.chemistry.molecule import parse_smiles
from team5.data.spectrum import Spectrum
from team5.errors import ConfigError
from team5.inference import engine
from team5.inference.engine import iter_scores
from team5.inference.inference import LoadedModel, infer, load_model
from team5.models.foreign_encoder import ForeignEncoder
from team5.models.model import ModelConfig, Team5Model
from team5.models.unpadded import encode_structures
from team5.registry.export import export_version, read_version
from team5.registry.tracker_format import TrackerEntryFields

REPOSITORY = Path(__file__).resolve().parents[2]
SIZES = ModelConfig(d_model=8, d_hidden=8, n_layers=1, n_blocks=1, rank=4, dropout=0.0)
NAME = "lab_encoders.Sums"
SOURCE = '''
import torch
from torch import nn

from team5.models.encoders import MoleculeEncoder


class Sums(nn.Module):
    def __init__(self, d_model, scale=1.0):
        super().__init__()
        self.element, self.scale = nn.Embedding(119, d_model), scale

    def forward(self, molecules):
        atoms = self.element(molecules.atoms[..., 0]) * self.scale
        atoms = atoms.masked_fill(molecules.atom_padding_mask.unsqueeze(-1), 0.0)
        return torch.bmm(molecules.inside, atoms), atoms.sum(dim=1)


class Wide(Sums):
    def forward(self, molecules):
        fragments, molecule = super().forward(molecules)
        return torch.cat([fragments, fragments], dim=-1), molecule


class Same(MoleculeEncoder):
    """team5's own, under another name."""

    def __init__(self, d_model):
        super().__init__(d_model, 8, 1, 1, 0.0)


def make(d_model):
    return Sums(d_model)


class NoModule:
    pass
'''


@pytest.fixture
def lab(tmp_path, monkeypatch):
    """A module in a folder outside team5, forgotten afterwards."""
    folder = tmp_path / "lab"
    folder.mkdir()
    (folder / "lab_encoders.py").write_text(SOURCE)
    monkeypatch.syspath_prepend(str(folder))
    yield folder
    sys.modules.pop("lab_encoders", None)


def foreign(name: str, **arguments) -> ForeignEncoder:
    return ForeignEncoder.from_config({"class": name, "arguments": arguments}, [name])


def export(root: Path, name: str = NAME, **arguments) -> str:
    torch.manual_seed(0)
    model = Team5Model(SIZES, encoder=foreign(name, **arguments))
    entry = TrackerEntryFields("of a lab", 1.0, 1.0)
    return export_version(root, config=model.to_config(), weights=model.state_dict(), entry=entry)


def test_a_version_names_its_encoder_as_text_and_the_user_allows_it(lab, tmp_path):
    version = export(tmp_path / "root", scale=0.5)
    config = read_version(tmp_path / "root", version).config
    assert config["encoder"] == {"class": NAME, "arguments": {"scale": 0.5}}
    model = load_model(version, root=tmp_path / "root", device="cpu", allow=[NAME])
    assert model.molecule_encoder.scale == 0.5
    match = infer(model, None, "CCO", [47.049, 29.039], [100.0, 40.0])
    assert 0 <= match.probability <= 1


@pytest.mark.parametrize("allow", [[], ["lab_encoders.Same"], ["lab_encoders.Sum"],
                                   ["lab_encoders.Sums.x"]], ids=str)  # fmt: skip
def test_what_is_not_allowed_in_full_is_never_imported(lab, tmp_path, allow):
    version = export(tmp_path / "root")
    del sys.modules["lab_encoders"]
    with pytest.raises(ConfigError, match=r"encoder is lab_encoders\.Sums.*allow=\[lab_encoders\."):
        load_model(version, root=tmp_path / "root", device="cpu", allow=allow)
    assert "lab_encoders" not in sys.modules


@pytest.mark.parametrize(("arguments", "said"), [
    ({"_target_": "os.getcwd"}, "'_target_' is no name of an argument"),
    ({"inner": {"_target_": "os.getcwd"}}, "inner: '_target_' is no name"),
    ({"file": "/etc/passwd"}, "file='/etc/passwd' is no plain value"),
    ({"file": ".netrc"}, "file='.netrc' is no plain value"),
    ({"url": "https://example.org"}, "is no plain value"),
    ({"text": "${oc.env:HOME}"}, "is no plain value"),
    ({"scale": float("nan")}, "is no plain value"),
    ({"scale": 10**400}, "is no plain value"),
    ({"deep": [[[[[[1]]]]]]}, "is no plain value"),
])  # fmt: skip
def test_what_an_encoder_is_made_of_cannot_name_further_code_or_files(lab, arguments, said):
    config = {"class": NAME, "arguments": arguments}
    sys.modules.pop("lab_encoders", None)
    with pytest.raises(ConfigError, match=said):
        ForeignEncoder.from_config(config, [NAME])
    assert "lab_encoders" not in sys.modules


def test_an_argument_that_the_class_does_not_take_is_said(lab):
    with pytest.raises(ConfigError, match="cannot be made from d_model, colour"):
        foreign(NAME, colour="red").make(8)


@pytest.mark.parametrize(("name", "said"), [
    ("no_such_lab.Encoder", "no module 'no_such_lab'.*PYTHONPATH"),
    ("lab_encoders.Gone", "holds no Gone"),
    ("lab_encoders.NoModule", "no class of torch.nn.Module"),
    ("lab_encoders.make", "no class of torch.nn.Module"),
    ("os.system", "no class of torch.nn.Module"),
])  # fmt: skip
def test_an_allowed_name_that_is_no_encoder_is_refused(lab, name, said):
    with pytest.raises(ConfigError, match=said):
        foreign(name)


@pytest.mark.parametrize("allow", ["lab_encoders.Sums", ["lab_encoders"], ["lab_encoders.*"], [3]],
                         ids=str)  # fmt: skip
def test_allow_takes_full_names_only(lab, tmp_path, allow):
    version = export(tmp_path / "root")
    with pytest.raises(ConfigError, match="allow"):
        load_model(version, root=tmp_path / "root", device="cpu", allow=allow)


def test_wrong_shapes_are_said_as_such(lab):
    model = LoadedModel(SIZES, encoder=foreign("lab_encoders.Wide")).eval()
    with pytest.raises(ConfigError, match=r"Wide gives fragments and molecules of shapes .*, 16\)"):
        infer(model, None, "CCO", [47.049], [1.0])


def test_a_foreign_encoder_reads_padded_batches_and_says_what_the_own_one_does(lab, monkeypatch):
    own = Team5Model(SIZES).eval()
    other = Team5Model(SIZES, encoder=foreign("lab_encoders.Same")).eval()
    other.load_state_dict(own.state_dict())
    assert (own.is_own, other.is_own) == (True, False)
    monkeypatch.setattr(engine, "encode_structures", _read_own_alone)
    molecules = [parse_smiles(text) for text in ("CCO", "c1ccccc1O", "CC(N)=O")]
    spectra = [Spectrum([29.039, 47.049], [40.0, 100.0])]
    expected = {each.index: each for each in iter_scores(own, molecules, spectra)}
    for each in iter_scores(other, molecules, spectra):
        np.testing.assert_allclose(each.scores, expected[each.index].scores, atol=1e-4)
        np.testing.assert_allclose(each.logits, expected[each.index].logits, atol=1e-4)


def _read_own_alone(model, tokens):
    assert model.is_own, "molecules are read one by one"
    return encode_structures(model, tokens)


def test_a_config_leaves_d_model_to_team5_and_gives_plain_values(lab):
    kind = foreign(NAME).kind
    with pytest.raises(ConfigError, match="_partial_: true"):
        ForeignEncoder.of(kind(8))
    with pytest.raises(ConfigError, match=r"stored in config\.json"):
        ForeignEncoder.of(functools.partial(kind, scale=object()))
    with pytest.raises(ConfigError, match="cannot be imported by this name"):
        ForeignEncoder.of(functools.partial(type("Local", (kind,), {"__module__": "__main__"})))


def test_predict_py_imports_what_its_own_line_allows_and_nothing_else(lab, tmp_path):
    root = tmp_path / "root"
    export(root)

    def predict(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, str(REPOSITORY / "predict.py"), f"checkpoints_root={root}",
             "version=v0.1", "device=cpu", "smiles=CCO", "format=json", *words],
            env={**os.environ, "PYTHONPATH": f"{REPOSITORY}{os.pathsep}{lab}"},
            capture_output=True, text=True, check=False,
        )  # fmt: skip

    refused = predict()
    assert (refused.returncode, refused.stdout) == (2, "")
    error = json.loads(refused.stderr)["error"]
    assert error["type"] == "ConfigError"
    assert error["message"].startswith("the version's encoder is lab_encoders.Sums")
    assert '"formula": "C2H6O"' in predict(f"allow=[{NAME}]").stdout
    own = tmp_path / "configs" / "own"
    own.mkdir(parents=True)
    (own / "lab.yaml").write_text(f"# @package _global_\nallow: [{NAME}]\n")
    assert predict("--config-dir", str(own.parent), "own=lab").returncode == 0
    assert "--config-dir FOLDER" in predict("own=lab").stderr
