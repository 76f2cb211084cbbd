import copy
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from team5.constants import MAX_PEAKS
from team5.data.spectrum import Spectrum
from team5.errors import AdductError, SpectrumError

peak_lists = st.lists(st.tuples(st.floats(1, 2_000), st.floats(1e-3, 1e9)), min_size=1, max_size=30)


@given(peak_lists)
def test_peaks_are_ascending_and_the_highest_is_one(peaks):
    spectrum = Spectrum([mz for mz, _ in peaks], [height for _, height in peaks])
    assert spectrum.n_peaks == len(peaks)
    assert (np.diff(spectrum.mzs) >= 0).all()
    assert spectrum.intensities.max() == 1
    assert (spectrum.intensities > 0).all()


@given(peak_lists, st.randoms(use_true_random=False), st.floats(1e-3, 1e3))
def test_order_and_unit_of_peaks_change_nothing(peaks, random, factor):
    peaks = list({mz: (mz, height) for mz, height in peaks}.values())
    shuffled = random.sample(peaks, len(peaks))
    one = Spectrum(*zip(*peaks, strict=True))
    other = Spectrum([mz for mz, _ in shuffled], [height * factor for _, height in shuffled])
    np.testing.assert_array_equal(one.mzs, other.mzs)
    np.testing.assert_allclose(one.intensities, other.intensities, rtol=1e-12)


def test_making_a_spectrum_of_a_spectrum_changes_nothing():
    once = Spectrum([138.07, 110.07], [3, 1])
    twice = Spectrum(once.mzs, once.intensities)
    np.testing.assert_array_equal(once.mzs, twice.mzs)
    np.testing.assert_array_equal(once.intensities, twice.intensities)


def test_peaks_come_as_lists_tuples_arrays_and_tensors():
    torch = pytest.importorskip("torch")
    mzs, intensities = [110.07, 138.07], [1, 2]
    kinds = [
        list,
        tuple,
        np.array,
        lambda values: np.array(values, dtype=np.float32).astype(np.float64).round(2),
        lambda values: torch.tensor(values, dtype=torch.float64),
        lambda values: torch.tensor(values, dtype=torch.float64, requires_grad=True),
    ]
    for make in kinds:
        spectrum = Spectrum(make(mzs), make(intensities))
        assert spectrum.mzs.dtype == spectrum.intensities.dtype == np.float64
        assert spectrum.mzs.tolist() == mzs
        assert spectrum.intensities.tolist() == [0.5, 1]


def test_arrays_given_stay_as_they_are_and_are_not_shared():
    mzs, intensities = np.array([2.0, 1.0]), np.array([5.0, 10.0])
    spectrum = Spectrum(mzs, intensities)
    mzs[0] = 99
    assert intensities.tolist() == [5, 10]
    assert spectrum.mzs.tolist() == [1, 2]


def test_peaks_without_intensity_are_dropped():
    spectrum = Spectrum([50, 60, 70], [0, 2, 0])
    assert spectrum.mzs.tolist() == [60]


@pytest.mark.parametrize(
    ("mzs", "intensities", "message"),
    [
        ([1, 2, 3, 4, 5, 6], [1, 2, 3, 4, 5], "6 m/z values but 5 intensities"),
        ([], [], "no peaks"),
        ([50, 60], [1, -2], r"intensities\[1\] = -2 is negative"),
        ([50, float("nan")], [1, 2], r"mzs\[1\] = nan is not a finite number"),
        ([50, 60], [float("inf"), 2], r"intensities\[0\] = inf is not a finite number"),
        ([0, 60], [1, 2], r"mzs\[0\] = 0 is not above 0"),
        ([50, -60], [1, 2], r"mzs\[1\] = -60 is not above 0"),
        ([50, 60], [0, 0], "all intensities are 0"),
        (range(1, MAX_PEAKS + 2), [1] * (MAX_PEAKS + 1), f"at most {MAX_PEAKS}"),
        ([[50, 60]], [[1, 2]], r"flat list, not of shape \(1, 2\)"),
        (50, 1, "flat list"),
        ("50 60", [1, 2], "mzs must be numbers"),
        (["a", "b"], [1, 2], "mzs must be numbers"),
        ([50, [60, 70]], [1, 2], "mzs must be numbers"),
        ([50, 60], None, "intensities must be numbers"),
    ],
)
def test_malformed_peaks_are_refused_in_one_line_that_names_the_spectrum(mzs, intensities, message):
    with pytest.raises(SpectrumError, match=message) as refused:
        Spectrum(mzs, intensities, identifier="queries.mgf, spectrum 17")
    text = str(refused.value)
    assert text.startswith("queries.mgf, spectrum 17: ")
    assert "\n" not in text


def test_longest_spectrum_allowed_is_taken():
    assert Spectrum(range(1, MAX_PEAKS + 1), [1] * MAX_PEAKS).n_peaks == MAX_PEAKS


@pytest.mark.parametrize("precursor_mz", [0, -1, float("nan"), float("inf"), 10**400, "heavy"])
def test_impossible_precursor_is_refused(precursor_mz):
    with pytest.raises(SpectrumError, match="precursor_mz"):
        Spectrum([50], [1], precursor_mz=precursor_mz)


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("collision_energy", {"a": 1}),
        ("collision_energy", [35]),
        ("collision_energy", True),
        ("collision_energy", float("inf")),
        ("collision_energy", 10**400),
        ("instrument_type", [1]),
        ("instrument_type", 7),
        ("precursor_mz", float("1e999")),
        ("precursor_mz", [195.1]),
        ("ion_mode", ["positive"]),
        ("adduct", {"M": "H"}),
    ],
)
def test_conditions_of_another_kind_are_refused_by_name(argument, value):
    with pytest.raises(SpectrumError, match=argument.replace("_", "[_ ]")) as refused:
        Spectrum([50], [1], identifier="x", **{argument: value})
    assert refused.value.argument == argument
    assert refused.value.code
    assert str(refused.value).startswith("x: ")


def test_nothing_said_in_the_ways_of_tables_is_nothing():
    nan = float("nan")
    spectrum = Spectrum([50], [1], adduct=nan, collision_energy=nan, instrument_type=nan)
    assert (spectrum.adduct, spectrum.collision_energy, spectrum.instrument_type) == (None,) * 3


def test_adduct_beyond_reason_is_refused():
    with pytest.raises(AdductError, match="99999"):
        Spectrum([50], [1], adduct="[M+99999H]99999+")


def test_context_is_normalised():
    spectrum = Spectrum(
        [50], [1], precursor_mz="195.0877", adduct="M+H", collision_energy=30, ion_mode="P",
        instrument_type=" N/A ",
    )  # fmt: skip
    assert spectrum.precursor_mz == 195.0877
    assert spectrum.adduct == "[M+H]+"
    assert spectrum.collision_energy == "30 eV"
    assert spectrum.ion_mode == "positive"
    assert spectrum.instrument_type is None


def test_ion_mode_follows_the_adduct():
    assert Spectrum([50], [1], adduct="[M+Cl]-").ion_mode == "negative"
    assert Spectrum([50], [1]).ion_mode is None


def test_contradicting_or_unknown_context_is_refused():
    with pytest.raises(SpectrumError, match=r"adduct \[M-H\]- in positive ion mode"):
        Spectrum([50], [1], adduct="[M-H]-", ion_mode="positive")
    with pytest.raises(SpectrumError, match="ion mode 'sideways'"):
        Spectrum([50], [1], ion_mode="sideways")
    with pytest.raises(AdductError):
        Spectrum([50], [1], adduct="protonated")


def test_spectrum_survives_pickle_and_copy():
    spectrum = Spectrum([50, 60], [1, 2], adduct="[M+H]+", identifier="x")
    for again in (pickle.loads(pickle.dumps(spectrum)), copy.deepcopy(spectrum)):
        assert again.mzs.tolist() == [50, 60]
        assert again.adduct == "[M+H]+"
        assert again.identifier == "x"


@pytest.mark.parametrize("name", ["adduct", "collision_energy", "instrument_type"])
def test_a_condition_is_a_few_words(name):
    with pytest.raises(SpectrumError, match=f"{name} is a text of 1,001 characters") as raised:
        Spectrum([100.0], [1.0], **{name: "x" * 1001})
    assert (raised.value.code, raised.value.argument) == ("text_too_long", name)
