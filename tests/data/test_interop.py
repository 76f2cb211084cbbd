from pathlib import Path

import matchms
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from team5.data.context import ADDUCTS
from team5.data.metadata import text_or_none
from team5.data.readers import read_spectra
from team5.data.spectrum import Spectrum
from team5.errors import AdductError, SpectrumError

FILES = Path(__file__).resolve().parents[1] / "files"
FIELDS = (
    "precursor_mz", "adduct", "collision_energy", "instrument_type", "ion_mode", "identifier",
)  # fmt: skip

words = (
    st.text(st.characters(min_codepoint=32, max_codepoint=0x24F), min_size=1, max_size=20)
    .map(str.strip)
    .filter(text_or_none)
)
energies = st.one_of(
    st.floats(0.1, 300), st.sampled_from(["35 eV", "30 % (nominal)", "45V", "15, 30, 45", "HCD 20"])
)


@st.composite
def measured(draw):
    mzs = draw(st.lists(st.floats(1, 2_000), min_size=1, max_size=20))
    heights = draw(st.lists(st.floats(1e-3, 1e6), min_size=len(mzs), max_size=len(mzs)))
    adduct = draw(st.none() | st.sampled_from(ADDUCTS))
    return Spectrum(
        mzs,
        heights,
        precursor_mz=draw(st.none() | st.floats(10, 2_000)),
        adduct=adduct,
        collision_energy=draw(st.none() | energies),
        instrument_type=draw(st.none() | words),
        ion_mode=draw(st.sampled_from([None, "positive", "negative"])) if not adduct else None,
        identifier=draw(st.just("") | words),
    )


@settings(max_examples=60)
@given(measured())
def test_spectrum_comes_back_from_matchms_as_it_was(spectrum):
    back = Spectrum.from_matchms(spectrum.to_matchms())

    np.testing.assert_array_equal(back.mzs, spectrum.mzs)
    np.testing.assert_array_equal(back.intensities, spectrum.intensities)
    assert [getattr(back, name) for name in FIELDS] == [getattr(spectrum, name) for name in FIELDS]


def test_metadata_have_the_names_matchms_gives_them():
    spectrum = Spectrum(
        [138.0662, 195.0877], [1, 2], precursor_mz=195.0877, adduct="[M+H]+",
        collision_energy="35 eV", instrument_type="LC-ESI-QTOF", identifier="caffeine",
    )  # fmt: skip

    assert spectrum.to_matchms().metadata == {
        "spectrum_id": "caffeine",
        "precursor_mz": 195.0877,
        "adduct": "[M+H]+",
        "charge": 1,
        "ionmode": "positive",
        "collision_energy": "35 eV",
        "instrument_type": "LC-ESI-QTOF",
    }


def test_changing_the_peaks_in_matchms_leaves_the_spectrum_alone():
    spectrum = Spectrum([100.0, 200.0], [1.0, 0.5])
    spectrum.to_matchms().peaks.mz[0] = 5.0

    assert spectrum.mzs.tolist() == [100, 200]


def test_file_read_by_matchms_gives_the_spectra_that_reading_it_does():
    from matchms.importing import load_from_mgf

    found = map(Spectrum.from_matchms, load_from_mgf(str(FILES / "massspecgym.mgf")))
    loaded = {spectrum.identifier: spectrum for spectrum in found}
    read = {
        r.spectrum.identifier: r.spectrum for r in read_spectra(FILES / "massspecgym.mgf").records
    }

    assert loaded.keys() == read.keys()
    for name, spectrum in loaded.items():
        assert [getattr(spectrum, f) for f in FIELDS] == [getattr(read[name], f) for f in FIELDS]


def test_what_says_nothing_is_left_out():
    other = matchms.Spectrum(
        np.array([100.0]), np.array([5.0]),
        metadata={"precursor_mz": 0.0, "adduct": "", "collision_energy": "n/a", "ionmode": "N/A"},
    )  # fmt: skip

    spectrum = Spectrum.from_matchms(other)

    assert [getattr(spectrum, name) for name in FIELDS] == [None] * 5 + [""]


def test_what_is_no_spectrum_is_refused():
    with pytest.raises(SpectrumError):
        Spectrum.from_matchms(matchms.Spectrum(np.array([]), np.array([])))
    with pytest.raises(AdductError):
        Spectrum.from_matchms(
            matchms.Spectrum(np.array([50.0]), np.array([1.0]), metadata={"adduct": "M plus H"})
        )
