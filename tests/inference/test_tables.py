import dataclasses
import importlib.util
import subprocess
import sys
from importlib.machinery import ModuleSpec

import polars as pl
import pytest

from team5.errors import ConfigError, MissingExtraError
from team5.inference.results import ExplainedPeak, Simulation
from team5.inference.tables import to_frame
from team5.search.writers import write_answers
from tests.answers import make_match

PEAK = ExplainedPeak(121.0284, 1.0, 121.0284, 0.2, "C7H5O2+", (0, 1, 2), ((2, 3), (4, 5)), 0.4)
MATCH = make_match(
    "CC(=O)Oc1ccccc1C(=O)O",
    0.87,
    peaks=(PEAK,),
    impossible_mzs=(300.0, 310.5),
    notes=("stereo is ignored", "adduct assumed"),
)
SIMULATION = Simulation(
    "CCO", (29.0386, 47.0491), (0.4, 1.0), ("C2H5+", "C2H7O+"), "C2H6O", "[M+H]+", 47.0491,
    "20 eV", "v0.2", "0123456789ab", ("adduct assumed",),
)  # fmt: skip
RANKED = [
    dataclasses.replace(MATCH, rank=2, precursor_fits=True),
    dataclasses.replace(MATCH, smiles="CCO", rank=1, abstained="not sure"),
]


@pytest.mark.parametrize("answers", [MATCH, RANKED, SIMULATION, [MATCH, *RANKED], [SIMULATION] * 2])
def test_frame_is_the_file_that_predict_writes(answers, tmp_path):
    write_answers(answers, tmp_path / "answers.parquet")

    written = pl.read_parquet(tmp_path / "answers.parquet")
    assert to_frame(answers).equals(written)
    assert to_frame(answers).schema == written.schema


def test_list_keeps_its_order():
    frame = to_frame(RANKED)

    assert frame["rank"].to_list() == [2, 1]
    assert frame["impossible_mzs"].to_list() == ["300 310.5"] * 2


def test_no_answers_give_no_rows_with_the_columns_of_matches():
    frame = to_frame([])

    assert frame.height == 0
    assert frame.columns == to_frame(MATCH).columns


def test_pandas_frame_holds_the_same():
    pandas = pytest.importorskip("pandas")

    frame = to_frame(RANKED, pandas=True)

    assert isinstance(frame, pandas.DataFrame)
    assert frame["probability"].tolist() == [0.87, 0.87]
    assert list(frame.columns) == to_frame(RANKED).columns


def test_where_pandas_is_not_installed_the_error_says_what_to_install(monkeypatch):
    find_spec = importlib.util.find_spec

    def without_pandas(name: str, package: str | None = None) -> ModuleSpec | None:
        return None if name == "pandas" else find_spec(name, package)

    monkeypatch.setattr("team5.inference.tables.find_spec", without_pandas)
    with pytest.raises(MissingExtraError, match="pip install pandas"):
        to_frame(MATCH, pandas=True)


def test_matches_and_simulations_do_not_mix():
    with pytest.raises(ConfigError, match="1 of 2 answers are simulations"):
        to_frame([MATCH, SIMULATION])


def test_neither_library_is_loaded_before_it_is_needed():
    program = (
        "import sys, team5.inference.tables; print(sorted({'pandas', 'polars'} & set(sys.modules)))"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert run.stdout.strip() == "[]", run.stderr
