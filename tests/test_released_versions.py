"""The versions in checkpoints/ are whole, load, and are what their cards say."""

from pathlib import Path

import pytest

from team5.inference.inference import infer, load_model
from team5.registry.integrity import verify_folder
from team5.registry.tracker_format import TrackerData

REPOSITORY = Path(__file__).resolve().parents[1]
ROOT = REPOSITORY / "checkpoints"
TRACKER = TrackerData.parse((ROOT / "released.json").read_bytes(), "released.json")
RELEASED = TRACKER.entries

CAFFEINE = "CN1C=NC2=C1C(=O)N(C(=O)N2C)C"
MZS = [195.0877, 138.0662, 110.0713, 83.0604, 69.0447, 56.0495]
INTENSITIES = [100, 60, 20, 8, 10, 3]


def test_there_is_a_latest_version_to_answer_with():
    assert TRACKER.latest in {entry.version for entry in RELEASED}


def test_no_released_version_takes_a_number_that_trainings_take():
    minor = {entry.version for entry in RELEASED if not entry.version.endswith(".0")}
    assert minor <= {"v0.1", "v0.2", "v0.3"}


@pytest.mark.parametrize("entry", RELEASED, ids=lambda entry: entry.version)
def test_a_released_version_is_whole_small_and_attributed(entry):
    folder = ROOT / entry.version
    verify_folder(folder, entry.sha256)
    assert all(path.stat().st_size < 8_000_000 for path in folder.iterdir())
    assert {"accuracy", "f1_score"} <= set(entry.performance)
    card = (folder / "README.md").read_text(encoding="utf-8")
    for said in ("license: cc-by-sa-4.0", "CC BY-SA", "massbank.eu", "| Eawag |"):
        assert said in card
    config = (folder / "config.json").read_text(encoding="utf-8")
    assert '"/' not in config  # no path of a machine


@pytest.mark.parametrize("entry", RELEASED, ids=lambda entry: entry.version)
def test_a_released_version_knows_caffeine(entry):
    model = load_model(entry.version, root=ROOT, device="cpu")
    others = ["CC(=O)Oc1ccccc1C(=O)O", "CN=C(N)Nc1ccc(cc1)[N+](=O)[O-]", "C1=CC=CC=C1"]
    caffeine, *rest = infer(model, model.tokenizer, [CAFFEINE, *others], MZS, INTENSITIES)
    assert caffeine.rank == 1
    assert caffeine.label
    assert not any(match.label for match in rest)
    assert caffeine.explained_intensity > 0.99
    predicted = infer(model, model.tokenizer, CAFFEINE, collision_energy="30 eV")
    highest = sorted(zip(predicted.intensities, predicted.mzs, strict=True))[-3:]
    assert 138.066 in {round(mz, 3) for _, mz in highest}


@pytest.mark.parametrize("entry", RELEASED, ids=lambda entry: entry.version)
def test_peaks_that_benzene_cannot_give_are_no_match(entry):
    model = load_model(entry.version, root=ROOT, device="cpu")
    benzene = infer(model, model.tokenizer, "C1=CC=CC=C1", [100, 200, 300], [0.5, 0.7, 0.9])
    assert benzene.probability < 0.001
