from pathlib import Path

import pyarrow.parquet as pq
import pytest

from team5.data.demo import demo_table
from team5.data.overview import read_overview
from team5.viz.dataset import plot_dataset

FILES = Path(__file__).resolve().parents[1] / "files"


@pytest.fixture(scope="module")
def overview(tmp_path_factory):
    path = tmp_path_factory.mktemp("demo") / "demo$.parquet"
    pq.write_table(demo_table(), path)
    return read_overview(path)


def texts(ax):
    return [text.get_text() for text in ax.texts]


def test_panels_say_the_counts(overview):
    figure = plot_dataset(overview)

    folds, adducts, energies, masses = figure.axes
    for fold, n_spectra in overview.n_spectra.items():
        assert fold in [label.get_text() for label in folds.get_yticklabels()]
        assert f"{n_spectra:,} spectra" in texts(folds)
        assert f"{overview.n_compounds[fold]:,} compounds" in texts(folds)
    assert texts(adducts) == [f"{count:,}" for count in overview.adducts.values()]
    assert f"{len(overview.energies['eV']):,} in eV" in texts(energies)
    assert sum(bar.get_height() for bar in masses.patches) == len(overview.masses)
    assert figure.get_suptitle().startswith(r"demo\$.parquet: ")


def test_bars_of_energies_hold_every_spectrum_that_states_one(overview):
    energies = plot_dataset(overview).axes[2]

    counted = sum(bar.get_height() for bar in energies.patches)
    assert counted == sum(map(len, overview.energies.values()))


def test_spectra_without_structures_show_their_precursors():
    figure = plot_dataset(FILES / "two_scans.mzML")

    assert figure.axes[3].get_xlabel() == "precursor m/z"
    assert "compounds" not in figure.get_suptitle()


def test_what_was_not_used_is_said():
    skipped = read_overview(FILES / "gnps.mgf").skipped.total()

    assert skipped
    title = plot_dataset(FILES / "gnps.mgf").get_suptitle()
    assert title.endswith(f"; {skipped:,} records not used")
