import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from team5.chemistry.adducts import parse_adduct
from team5.data.context import ADDUCTS, CONTEXT_FEATURES, INSTRUMENTS, context_features


def features(adduct="[M+H]+", precursor_mz=250.0, energy=None, instrument=None) -> dict[str, float]:
    values = context_features(parse_adduct(adduct), precursor_mz, energy, instrument)
    return dict(zip(CONTEXT_FEATURES, values.tolist(), strict=True))


@pytest.mark.parametrize("adduct", [*ADDUCTS, "[M+Li]+", "[2M+H]+"])
def test_one_column_says_the_adduct(adduct):
    found = features(adduct)
    chosen = [name for name in found if name.startswith("adduct ") and found[name]]
    assert chosen == [f"adduct {adduct if adduct in ADDUCTS else 'other'}"]
    assert found["negative"] == adduct.endswith("-")


@pytest.mark.parametrize(
    ("instrument", "column"),
    [
        ("LC-ESI-QTOF", "qtof"),
        ("ESI-TOF", "qtof"),
        ("LC-ESI-QFT", "orbitrap_hcd"),
        ("Q Exactive Plus", "orbitrap_hcd"),
        ("Orbitrap", "orbitrap_hcd"),
        ("LC-ESI-ITFT", "ion_trap_orbitrap"),
        ("LC-ESI-QQ", "triple_quadrupole"),
        ("QqQ", "triple_quadrupole"),
        ("LC-ESI-IT", "ion_trap"),
        ("computed", "other"),
        (None, "missing"),
    ],
)
def test_one_column_says_the_instrument(instrument, column):
    found = features(instrument=instrument)
    chosen = [name for name in found if name.startswith("instrument ") and found[name]]
    assert chosen == [f"instrument {column}"]


def test_a_missing_energy_is_said_and_leaves_zeros():
    for text in (None, "", "no idea"):
        found = features(energy=text)
        assert found["energy missing"] == 1
        assert not any(found[n] for n in ("electronvolt", "normalised energy", "energy in NCE"))


def test_electronvolt_and_nce_stand_for_each_other_at_m_z_500():
    one, other = features(precursor_mz=500.0, energy="30 eV"), features(
        precursor_mz=500.0, energy="30 NCE"
    )  # fmt: skip
    assert one["electronvolt"] == pytest.approx(30 / 50)
    assert one["normalised energy"] == pytest.approx(other["normalised energy"])
    assert (one["energy in NCE"], other["energy in NCE"]) == (0, 1)


def test_a_ramp_is_said():
    assert features(energy="20-40 eV")["energy ramped"] == 1
    assert features(energy="30 eV")["energy ramped"] == 0


@given(
    st.sampled_from([*ADDUCTS, "[M+Li]+"]),
    st.floats(0.001, 5_000),
    st.none() | st.floats(0, 1e9).map(lambda x: f"{x:g} eV") | st.text(max_size=12),
    st.none() | st.sampled_from(INSTRUMENTS) | st.text(max_size=12),
)
def test_features_are_finite_and_bounded_whatever_is_written(adduct, mz, energy, instrument):
    values = context_features(parse_adduct(adduct), mz, energy, instrument)
    assert values.shape == (len(CONTEXT_FEATURES),)
    assert np.isfinite(values).all()


def test_an_energy_beyond_all_instruments_counts_as_the_highest():
    assert features(energy="300 eV") == features(energy="200 eV")
