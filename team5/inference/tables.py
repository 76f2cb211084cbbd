"""Answers as flat rows, and as data frames: one home of the columns' names and types."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Literal, overload

from team5.errors import ConfigError, MissingExtraError
from team5.inference.results import Answer, Match, Simulation

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl

MATCH_COLUMNS: dict[str, type] = {
    "identifier": str,
    "rank": int,
    "confidence": float,
    "smiles": str,
    "name": str,
    "probability": float,
    "label": bool,
    "threshold": float,
    "score": float,
    "explained_intensity": float,
    "impossible_mzs": str,
    "formula": str,
    "adduct": str,
    "precursor_mz": float,
    "precursor_fits": bool,
    "collision_energy": str,
    "version": str,
    "version_hash": str,
    "notes": str,
    "abstained": str,
    "references": str,
    "n_references": int,
}
SIMULATION_COLUMNS: dict[str, type] = {
    "smiles": str,
    "mz": float,
    "intensity": float,
    "fragment_formula": str,
    "formula": str,
    "adduct": str,
    "precursor_mz": float,
    "collision_energy": str,
    "version": str,
    "version_hash": str,
    "notes": str,
}


def table_rows(answer: Answer) -> Iterator[dict[str, Any]]:
    """Yield an answer as flat rows: a match as one, a simulated spectrum as one per peak."""
    if isinstance(answer, Match):
        yield match_row(answer)
    else:
        shared = _row(answer, SIMULATION_COLUMNS)
        for mz, intensity, formula in zip(
            answer.mzs, answer.intensities, answer.formulas, strict=True
        ):
            yield shared | {"mz": mz, "intensity": intensity, "fragment_formula": formula}


@overload
def to_frame(
    answers: Answer | Iterable[Answer], *, pandas: Literal[False] = False
) -> pl.DataFrame: ...


@overload
def to_frame(answers: Answer | Iterable[Answer], *, pandas: Literal[True]) -> pd.DataFrame: ...


def to_frame(
    answers: Answer | Iterable[Answer], *, pandas: bool = False
) -> pl.DataFrame | pd.DataFrame:
    """Return answers as a table with the columns of the files that ``predict.py`` writes.

    Parameters
    ----------
    answers : Match, Simulation, or an iterable of them
        A match gives a row, a simulation one per peak; they stand in the order of the answers.
        Both kinds do not go into one table.
    pandas : bool
        A frame of pandas instead of polars.

    Raises
    ------
    MissingExtraError
        If pandas is asked for and is not installed.
    ConfigError
        If matches and simulations are mixed.
    """
    import polars as pl

    listed = [answers] if isinstance(answers, Answer) else list(answers)
    n_simulations = sum(isinstance(answer, Simulation) for answer in listed)
    if n_simulations not in (0, len(listed)):
        raise ConfigError(
            f"{n_simulations} of {len(listed)} answers are simulations, whose rows are peaks. Make "
            "one frame of them and one of the others."
        )
    columns = SIMULATION_COLUMNS if n_simulations else MATCH_COLUMNS
    types = {str: pl.String, int: pl.Int64, float: pl.Float64, bool: pl.Boolean}
    frame = pl.DataFrame(
        [row for answer in listed for row in table_rows(answer)],
        schema={name: types[kind] for name, kind in columns.items()},
    )
    return _to_pandas(frame) if pandas else frame


def _to_pandas(frame: pl.DataFrame) -> pd.DataFrame:
    if find_spec("pandas") is None:
        raise MissingExtraError(
            "pandas=True needs pandas. Install it with: pip install pandas; or leave pandas= out "
            "for a frame of polars."
        )
    return frame.to_pandas()


def match_row(match: Match) -> dict[str, Any]:
    """Return a match as a flat row; a search fills in the spectrum's identifier and the name."""
    return _row(match, MATCH_COLUMNS) | {
        "identifier": "",
        "name": "",
        "impossible_mzs": " ".join(f"{mz:g}" for mz in match.impossible_mzs),
    }


def _row(answer: Answer, columns: dict[str, type]) -> dict[str, Any]:
    """Return the columns in their order, filled from the fields of the same name."""
    row = {name: getattr(answer, name, None) for name in columns}
    return row | {"notes": "; ".join(answer.notes)}
