"""Answers of the released model to a spectrum of caffeine, which the pictures are drawn of."""

from pathlib import Path

import pytest

from team5.data.spectrum import Spectrum
from team5.inference.inference import infer, load_model

CHECKPOINTS = Path(__file__).resolve().parents[2] / "checkpoints"

CAFFEINE = "CN1C=NC2=C1C(=O)N(C(=O)N2C)C"
ISOMERS = (
    "CN1C=NC2=C1N(C)C(=O)N(C)C2=O",
    CAFFEINE,
    "CCCN1C2=C(NC=N2)C(=O)NC1=O",
    "CN=C(N)Nc1ccc(cc1)[N+](=O)[O-]",
)


@pytest.fixture(scope="session")
def model():
    return load_model("v0.2", device="cpu", root=CHECKPOINTS)


@pytest.fixture(scope="session")
def spectrum():
    # The main fragments as the literature has them; heights are rounded.
    return Spectrum(
        [195.0877, 138.0662, 123.0427, 110.0713, 97.2, 83.0604, 69.0447, 56.0495],
        [100, 60, 4, 20, 5, 8, 10, 3],
        precursor_mz=195.0877,
        adduct="[M+H]+",
        collision_energy="35 eV",
        identifier="caffeine $1$",
    )


@pytest.fixture(scope="session")
def match(model, spectrum):
    return infer(model, None, CAFFEINE, spectra=spectrum)


@pytest.fixture(scope="session")
def matches(model, spectrum):
    return infer(model, None, list(ISOMERS), spectra=spectrum)


@pytest.fixture(scope="session")
def simulation(model):
    return infer(model, None, CAFFEINE, adduct="[M+H]+", collision_energy="35 eV")
