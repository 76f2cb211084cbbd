import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from team5.errors import ConfigError, SpectrumError
from team5.evaluation.simulation import (
    cosine,
    merge_close_peaks,
    spectral_entropy_similarity,
    without_precursor,
)


@st.composite
def spectra(draw):
    mzs = draw(st.lists(st.floats(10, 1000), min_size=1, max_size=20))
    intensities = draw(st.lists(st.floats(1e-3, 1e3), min_size=len(mzs), max_size=len(mzs)))
    return np.array(mzs), np.array(intensities)


@st.composite
def resolved_spectra(draw):
    """Peaks one m/z or more apart: nothing to merge within a spectrum."""
    nominal = draw(st.lists(st.integers(10, 60), min_size=1, max_size=20, unique=True))
    intensities = draw(st.lists(st.floats(1e-3, 1e3), min_size=len(nominal), max_size=len(nominal)))
    return np.array(nominal, dtype=float), np.array(intensities)


similarities = pytest.mark.parametrize("similarity", [cosine, spectral_entropy_similarity])


@similarities
@given(a=resolved_spectra())
def test_spectrum_is_like_itself_in_any_order_and_unit(similarity, a):
    mzs, intensities = a

    assert similarity(mzs, intensities, mzs[::-1], 1e4 * intensities[::-1]) == pytest.approx(1.0)


@similarities
@given(a=spectra(), b=spectra())
def test_similarity_is_symmetric_and_between_0_and_1(similarity, a, b):
    value = similarity(*a, *b)

    assert 0.0 <= value <= 1.0
    assert similarity(*b, *a) == pytest.approx(value)


@similarities
@given(a=spectra())
def test_spectra_without_a_common_peak_are_unlike(similarity, a):
    mzs, intensities = a

    assert similarity(mzs, intensities, mzs + 2000, intensities) == pytest.approx(0.0, abs=1e-9)


@similarities
def test_spectrum_without_peaks_is_like_nothing(similarity):
    assert similarity([], [], [100.0], [1.0]) == 0.0
    assert similarity([], [], [], []) == 0.0
    assert similarity([100.0], [0.0], [100.0], [1.0]) == 0.0


def test_cosine_by_hand():
    # Common bin at 100, one peak each elsewhere: 3 x 1 / (5 x sqrt 5).
    value = cosine([100.001, 150.0], [3.0, 4.0], [100.008, 200.0], [1.0, 2.0])

    assert value == pytest.approx(3 / (5 * np.sqrt(5)))


def test_cosine_adds_the_peaks_of_one_bin():
    assert cosine([100.001, 100.006, 120.5], [1, 1, 2], [100.003, 120.5], [2, 2]) == pytest.approx(
        1
    )


def test_cosine_sees_bins_not_distances():
    assert cosine([100.009], [1.0], [100.011], [1.0]) == 0.0
    assert cosine([100.009], [1.0], [100.011], [1.0], bin_width=0.1) == 1.0


def test_precursor_bin_is_left_out_on_request():
    a = ([80.0, 195.0881], [1.0, 100.0])
    b = ([90.0, 195.0884], [1.0, 100.0])

    assert cosine(*a, *b) > 0.99
    assert cosine(*a, *b, precursor_mz=195.0882) == 0.0


def test_square_root_gives_small_peaks_more_weight():
    a = ([50.0, 60.0], [1.0, 100.0])
    b = ([50.0, 70.0], [1.0, 100.0])

    assert cosine(*a, *b, sqrt=True) == pytest.approx(1 / 101)
    assert cosine(*a, *b) == pytest.approx(1 / 10001)


@similarities
def test_tiny_and_huge_units_neither_vanish_nor_overflow(similarity):
    mzs = [50.0, 60.0]
    assert similarity(mzs, [1e-200, 1e-200], mzs, [1e200, 1e200]) == pytest.approx(1)


@similarities
def test_any_mz_from_0_on_counts(similarity):
    assert similarity([0.0, 0.5], [1.0, 1.0], [0.0, 0.5], [1.0, 1.0]) == pytest.approx(1)


def test_entropy_similarity_by_hand():
    # Two equal peaks each, one of them common; S = ln 2, weights stay equal after weighting.
    # Mixture: 1/2, 1/4, 1/4 with S = 1.5 ln 2, so 1 - (3 ln 2 - 2 ln 2) / ln 4 = 1/2.
    value = spectral_entropy_similarity([100.0, 150.0], [1, 1], [100.01, 200.0], [1, 1])

    assert value == pytest.approx(0.5)


def test_entropy_similarity_flattens_poor_spectra():
    # Weights by hand: (0.9, 0.1) ** (0.25 + 0.25 * 0.32508), normalised.
    weight = 0.9 ** (0.25 + 0.25 * 0.325083)
    other = 0.1 ** (0.25 + 0.25 * 0.325083)
    p = np.array([weight, other]) / (weight + other)
    q = np.array([0.5, 0.5])
    mixture = (p + q) / 2

    def entropy(x):
        return -(x * np.log(x)).sum()

    expected = 1 - (2 * entropy(mixture) - entropy(p) - entropy(q)) / np.log(4)
    value = spectral_entropy_similarity([100.0, 150.0], [9.0, 1.0], [100.0, 150.0], [1.0, 1.0])
    assert value == pytest.approx(expected, abs=1e-6)


def test_entropy_similarity_leaves_rich_spectra_as_they_are():
    mzs, one = np.arange(100.0, 140.0), np.linspace(1.0, 2.0, 40)
    p, q = one / one.sum(), one[::-1] / one.sum()
    assert 3 < -(p * np.log(p)).sum() < 4

    # 1 - Jensen-Shannon divergence in bits.
    mixture = (p + q) / 2
    expected = 1 - ((p * np.log2(p / mixture)).sum() + (q * np.log2(q / mixture)).sum()) / 2
    assert spectral_entropy_similarity(mzs, one, mzs, one[::-1]) == pytest.approx(expected)


def test_a_distance_of_just_the_tolerance_is_within_it():
    near = {"tolerance": 0.5}
    assert spectral_entropy_similarity([100.0], [1], [100.5], [1], **near) == pytest.approx(1.0)
    assert spectral_entropy_similarity([100.5], [1], [100.0], [1], **near) == pytest.approx(1.0)
    assert without_precursor([99.5, 100.5, 101.0], [1, 1, 1], 100.0, **near)[0].tolist() == [101.0]
    assert merge_close_peaks([100.0, 100.5], [1, 1], distance=0.5)[0].tolist() == [100.25]


def test_entropy_similarity_matches_within_the_tolerance_only():
    assert spectral_entropy_similarity([100.0], [1], [100.03], [1]) == 0.0
    assert spectral_entropy_similarity([100.0], [1], [100.015], [1]) == pytest.approx(1.0)
    assert spectral_entropy_similarity([100.0], [1], [100.015], [1], tolerance=0.01) == 0.0


@similarities
@pytest.mark.parametrize(
    ("mzs", "intensities", "said"),
    [
        ([100.0, 200.0], [1.0], "Give every peak both"),
        ([100.0], [float("nan")], "finite and not negative"),
        ([float("inf")], [1.0], "finite and not negative"),
        ([100.0], [-1.0], "finite and not negative"),
    ],
)
def test_malformed_spectra_are_named(similarity, mzs, intensities, said):
    with pytest.raises(SpectrumError, match=said):
        similarity([100.0], [1.0], mzs, intensities)


def test_impossible_widths_are_refused():
    with pytest.raises(ConfigError, match="bin_width=0"):
        cosine([100.0], [1.0], [100.0], [1.0], bin_width=0.0)
    with pytest.raises(ConfigError, match="tolerance=-1"):
        spectral_entropy_similarity([100.0], [1.0], [100.0], [1.0], tolerance=-1.0)


def test_peaks_near_the_precursor_are_left_out():
    mzs, intensities = without_precursor([80.0, 194.99, 195.07, 195.1], [1, 2, 3, 4], 195.0877)

    assert mzs.tolist() == [80.0, 194.99]
    assert intensities.tolist() == [1.0, 2.0]


def test_close_peaks_become_one_at_their_weighted_mean_the_highest_first():
    # 100.03 goes to the highest peak, so that 100.06 is left alone.
    mzs, intensities = merge_close_peaks([100.06, 100.0, 100.03, 50.0], [1.0, 6.0, 2.0, 0.0])

    assert mzs == pytest.approx([100.0075, 100.06])
    assert intensities.tolist() == [8.0, 1.0]


@given(spectra())
def test_merged_peaks_keep_their_intensity_and_are_apart(spectrum):
    mzs, intensities = merge_close_peaks(*spectrum)

    assert intensities.sum() == pytest.approx(spectrum[1].sum())
    assert (np.diff(mzs) >= 0).all()
