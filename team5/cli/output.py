"""Answers as text for people, as JSON for programs, and as files by their ending."""

from __future__ import annotations

import csv
import json
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import IO, Any, Protocol

from team5.cli.spectrum_files import SPECTRUM_ENDINGS, write_mgf, write_msp
from team5.cli.terminal import Terminal
from team5.errors import ConfigError
from team5.inference.results import Answer, Match, Ranking, Simulation
from team5.inference.tables import COLUMN_TYPES, table_rows
from team5.runtime.storage import storage_errors, write_whole, writing_whole
from team5.runtime.tables import to_columns

# m/z and intensities.
Peaks = tuple[Sequence[float], Sequence[float]]
# Parquet rows held in memory before they are written as one row group.
_ROWS_PER_GROUP = 50_000
_RANKING_HEADER: tuple[str, ...] = (
    "rank", "score", "probability", "match", "explained", "formula", "name", "SMILES",
)  # fmt: skip


def print_answers(
    answers: Answer | Iterable[Answer],
    *,
    as_json: bool = False,
    top: int = 20,
    peaks: Peaks | None = None,
) -> int:
    """Print answers to standard output as they come; one as itself, several as a list.

    Parameters
    ----------
    answers : Match, Ranking, Simulation, or an iterable of them
    as_json : bool, default False
        JSON instead of text: one answer to a line, keys and digits always the same.
    top : int, default 20
        Rows shown as text of each answer; JSON has all.
    peaks : pair of sequences of float, optional
        m/z and intensities of the one spectrum that was asked about, drawn on a terminal.

    Returns
    -------
    int
        How many answers there were.
    """
    if as_json:
        writer = _JsonWriter(sys.stdout, is_list=not isinstance(answers, Answer))
        count = 0
        for count, answer in enumerate(_each(answers), start=1):  # noqa: B007
            writer.write(answer)
        writer.close()
        return count
    terminal = Terminal.here()

    def show(answer: Answer) -> None:
        sketch = _sketch(terminal, answer, peaks)
        terminal.print(format_answer(answer, top, terminal.width, sketch))

    if isinstance(answers, Sequence) and _are_ranked(answers):
        show(Ranking("", tuple(answers), answers[0].version))
        return len(answers)
    count = 0
    for count, answer in enumerate(_each(answers), start=1):
        if count > 1:
            print()
        show(answer)
    return count


def write_answers(answers: Answer | Iterable[Answer], path: str | Path) -> int:
    """Write answers to a file as they come; it is there when all are written, or not at all.

    ``.json`` and ``.jsonl`` hold whole answers; ``.csv`` and ``.parquet`` a row per candidate, or
    per peak of a simulated spectrum; ``.mgf`` and ``.msp`` simulated spectra only.

    Returns
    -------
    int
        How many answers there were; with none, no file is written.

    Raises
    ------
    ConfigError
        If the file's ending is none of these, or one for other answers.
    StorageError
        If the file cannot be written; what was there before is untouched.
    """
    path = check_output_path(path)
    make_writer = _WRITERS[path.suffix.lower()]
    count = 0
    with writing_whole(path) as staged:
        with storage_errors(path):
            writer = make_writer(staged, is_list=not isinstance(answers, Answer))
        try:
            for count, answer in enumerate(_each(answers), start=1):  # noqa: B007
                check_output_kind(path, is_simulation=isinstance(answer, Simulation))
                with storage_errors(path):
                    writer.write(answer)
        finally:
            with storage_errors(path):
                writer.close()
        if not count:
            staged.unlink(missing_ok=True)
    return count


def check_output_path(
    path: str | Path,
    read_from: Iterable[str | None] = (),
    versions: str | None = None,
    endings: Iterable[str] | None = None,
) -> Path:
    """Return the path of an output file, sure of its ending and its folder.

    Raises
    ------
    ConfigError
        If its ending is none of ``endings`` (by default those that answers are written with),
        there is no such folder, or it is one of the files that are read, or lies among the
        ``versions``.
    """
    path = Path(path)
    allowed = tuple(_WRITERS if endings is None else endings)
    choices = ", ".join(allowed)
    if path.suffix.lower() not in allowed:
        ending = f"ending {path.suffix!r}" if path.suffix else "no ending"
        raise ConfigError(f"output={path} has {ending}. Choose one of {choices}.")
    if path.is_dir():
        raise ConfigError(f"output={path} is a folder. Name a file, ending in one of {choices}.")
    if not path.parent.is_dir():
        raise ConfigError(f"output={path}: there is no folder {path.parent}. Make it first.")
    for source in read_from:
        if source is not None and os.path.realpath(source) == os.path.realpath(path):
            raise ConfigError(f"output={path} is also read from. Choose another name.")
    real = Path(os.path.realpath(path))
    if versions is not None and real.is_relative_to(os.path.realpath(versions)):
        raise ConfigError(
            f"output={path} lies in {versions}/, where versions are kept. Choose another folder."
        )
    return real  # a link stays one, its target is replaced


def check_output_kind(path: str | Path, *, is_simulation: bool) -> None:
    """Be sure that a file with this ending holds such answers.

    Raises
    ------
    ConfigError
        If it holds spectra and the answers are matches or rankings.
    """
    ending = Path(path).suffix.lower()
    if ending in SPECTRUM_ENDINGS and not is_simulation:
        choices = ", ".join(other for other in _WRITERS if other not in SPECTRUM_ENDINGS)
        raise ConfigError(
            f"output={path}: {ending} holds simulated spectra, not matches or rankings. Choose one "
            f"of {choices}, or give structures alone to simulate them."
        )


def write_json_file(value: object, path: str | Path) -> None:
    """Write a value as a JSON file, whole or not at all; errors are those of `write_text_file`."""
    text = json.dumps(value, indent=2, allow_nan=False) + "\n"
    write_text_file(text, path, endings=(".json",))


def write_text_file(text: str, path: str | Path, *, endings: Iterable[str]) -> None:
    """Write a text file, whole or not at all.

    Raises
    ------
    ConfigError
        If the path is no file that can be written, or has another ending.
    StorageError
        If the folder cannot be written or the disk is full.
    """
    path = check_output_path(path, endings=endings)
    with storage_errors(path):
        write_whole(path, text.encode())


def format_answer(
    answer: Answer, top: int = 20, width: int | None = None, sketch: Sequence[str] = ()
) -> str:
    """Return an answer as text.

    Parameters
    ----------
    answer : Match, Ranking or Simulation
    top : int, default 20
        Rows shown; of a spectrum its highest peaks.
    width : int, optional
        Columns that tables fit, by cutting SMILES short; by default nothing is cut.
    sketch : sequence of str
        Lines of a drawn spectrum, put before the table.
    """
    if isinstance(answer, Ranking):
        return _format_ranking(answer, top, width, sketch)
    if isinstance(answer, Simulation):
        return _format_simulation(answer, top, width, sketch)
    return _format_match(answer, top, width, sketch)


def _sketch(terminal: Terminal, answer: Answer, peaks: Peaks | None) -> list[str]:
    """Return the spectrum asked about, or the one predicted, as lines for a terminal."""
    if isinstance(answer, Simulation):
        return terminal.sketch(answer.mzs, answer.intensities)
    best = answer.best_first[:1] if isinstance(answer, Ranking) else [answer]
    if peaks is None or not best:
        return []
    return terminal.sketch(*peaks, [peak.mz for peak in best[0].peaks])


class _Writer(Protocol):
    def write(self, answer: Answer) -> None: ...

    def close(self) -> None: ...


class _MakeWriter(Protocol):
    def __call__(self, path: Path, *, is_list: bool) -> _Writer: ...


class _JsonWriter:
    """A JSON value with one answer to a line, so that long lists stream and compare well."""

    def __init__(self, file: IO[str], *, is_list: bool) -> None:
        self._file = file
        self._is_list = is_list
        self._n_written = 0

    def write(self, answer: Answer) -> None:
        before = ("[\n" if self._n_written == 0 else ",\n") if self._is_list else ""
        self._file.write(before + _to_json(answer))
        self._n_written += 1

    def close(self) -> None:
        if self._is_list:
            self._file.write("\n]" if self._n_written else "[]")
        self._file.write("\n")


class _JsonFileWriter(_JsonWriter):
    def __init__(self, path: Path, *, is_list: bool) -> None:
        super().__init__(_open_text(path), is_list=is_list)

    def close(self) -> None:
        with self._file:
            super().close()


class _JsonLinesWriter:
    def __init__(self, path: Path, *, is_list: bool) -> None:
        self._file = _open_text(path)

    def write(self, answer: Answer) -> None:
        self._file.write(_to_json(answer) + "\n")

    def close(self) -> None:
        self._file.close()


class _SpectrumWriter:
    def __init__(
        self, path: Path, *, is_list: bool, save: Callable[[Simulation, IO[str]], None]
    ) -> None:
        self._file = _open_text(path)
        self._save = save

    def write(self, answer: Answer) -> None:
        assert isinstance(answer, Simulation)  # noqa: S101 - checked before, see check_output_kind
        self._save(answer, self._file)

    def close(self) -> None:
        self._file.close()


class _CsvWriter:
    def __init__(self, path: Path, *, is_list: bool) -> None:
        self._file = _open_text(path)
        self._rows: csv.DictWriter[str] | None = None

    def write(self, answer: Answer) -> None:
        for row in table_rows(answer):
            if self._rows is None:
                self._rows = csv.DictWriter(self._file, list(row), lineterminator="\n")
                self._rows.writeheader()
            # "true", as JSON and most table readers write it, not Python's "True".
            self._rows.writerow(
                {k: json.dumps(v) if isinstance(v, bool) else v for k, v in row.items()}
            )

    def close(self) -> None:
        self._file.close()


class _ParquetWriter:
    def __init__(self, path: Path, *, is_list: bool) -> None:
        self._path = path
        self._rows: list[dict[str, Any]] = []
        self._writer: Any = None

    def write(self, answer: Answer) -> None:
        self._rows.extend(table_rows(answer))
        if len(self._rows) >= _ROWS_PER_GROUP:
            self._write_group()

    def close(self) -> None:
        try:
            if self._rows:
                self._write_group()
        finally:
            if self._writer is not None:
                self._writer.close()

    def _write_group(self) -> None:
        import pyarrow as pa
        from pyarrow import parquet

        schema = pa.schema([(name, _arrow_type(name)) for name in self._rows[0]])
        if self._writer is None:
            self._writer = parquet.ParquetWriter(self._path, schema, compression="zstd")
        self._writer.write_table(pa.Table.from_pylist(self._rows, schema=schema))
        self._rows.clear()


_WRITERS: dict[str, _MakeWriter] = {
    ".json": _JsonFileWriter,
    ".jsonl": _JsonLinesWriter,
    ".csv": _CsvWriter,
    ".parquet": _ParquetWriter,
    ".mgf": partial(_SpectrumWriter, save=write_mgf),
    ".msp": partial(_SpectrumWriter, save=write_msp),
}


def _arrow_type(name: str) -> Any:
    import pyarrow as pa

    types = {str: pa.string(), int: pa.int64(), bool: pa.bool_(), float: pa.float64()}
    return types[COLUMN_TYPES[name]]


def _open_text(path: Path) -> IO[str]:
    return path.open("w", encoding="utf-8", newline="")


def _to_json(answer: Answer) -> str:
    return json.dumps(answer.to_dict(), ensure_ascii=False, allow_nan=False)


def _each(answers: Answer | Iterable[Answer]) -> Iterable[Answer]:
    return [answers] if isinstance(answers, Answer) else answers


def _are_ranked(answers: Sequence[Answer]) -> bool:
    return len(answers) > 0 and all(isinstance(a, Match) and a.rank is not None for a in answers)


def _format_match(match: Match, top: int, width: int | None, sketch: Sequence[str]) -> str:
    verdict = "held back" if match.abstained else "match" if match.label else "no match"
    judgement = (
        f"{verdict}: probability {match.probability:.3f} (threshold {match.threshold:.3f}), "
        f"{match.explained_intensity:.0%} of the intensity explained"
    )
    lines = [match.smiles, f"  {judgement}", f"  {_conditions(match)}"]
    if match.references:
        n = match.n_references
        noun, rest = {"candidates": ("other molecule", "of its mass"),
                      "isomers": ("isomer", "made from it")}[match.references]  # fmt: skip
        lines.append(f"  compared with {n} {noun}{'s' if n != 1 else ''} {rest}")
    if sketch:
        lines += ["", *sketch]
    if match.peaks:
        lines.append("")
        highest = sorted(match.peaks, key=lambda peak: -peak.intensity)[:top]
        lines += to_columns(
            ("m/z", "intensity", "ion", "error ppm", "probability"),
            [
                (
                    f"{peak.mz:.4f}",
                    f"{peak.intensity:.3f}",
                    peak.formula,
                    f"{peak.error_ppm:+.1f}",
                    f"{peak.probability:.3f}",
                )
                for peak in sorted(highest, key=lambda peak: peak.mz)
            ],
            left={"ion"},
            width=width,
        )
        lines += _left_out(len(match.peaks), top, "explained peaks")
    if match.impossible_mzs:
        lines.append("")
        mzs = ", ".join(f"{mz:.4f}" for mz in match.impossible_mzs[:top])
        more = ", ..." if len(match.impossible_mzs) > top else ""
        lines.append(f"  From no ion of this structure (above its precursor): {mzs}{more}")
    return "\n".join(lines + _closing(match))


def _format_ranking(ranking: Ranking, top: int, width: int | None, sketch: Sequence[str]) -> str:
    count = len(ranking.matches)
    title = f"{ranking.identifier or 'Spectrum'}: {count} candidate{'s' if count != 1 else ''}"
    if not ranking.matches:
        return title
    best_first = ranking.best_first
    names = dict(zip(map(id, ranking.matches), ranking.names, strict=False))
    shown = best_first[:top]
    header = _RANKING_HEADER
    rows: list[tuple[str, ...]] = [
        (
            "-" if match.rank is None else str(match.rank),
            f"{match.score:.2f}",
            f"{match.probability:.3f}",
            "yes" if match.label else "no",
            f"{match.explained_intensity:.0%}",
            match.formula,
            names.get(id(match), ""),
            match.smiles,
        )
        for match in shown
    ]
    if not any(row[-2] for row in rows):
        header, rows = _without_name(header), [_without_name(row) for row in rows]
    lines = [title, f"  {_conditions_of_all(best_first)}", ""]
    if sketch:
        lines += [*sketch, ""]
    lines += to_columns(header, rows, left={"match", "formula", "name", "SMILES"}, width=width)
    lines += _left_out(count, top, "candidates")
    # What is said of all; what is said of one candidate stands in its own row of a file.
    notes = [note for note in shown[0].notes if all(note in match.notes for match in shown)]
    notes += _misfits(best_first)
    return "\n".join(lines + _closing(best_first[0], notes))


def _misfits(best_first: Sequence[Match]) -> list[str]:
    count = sum(match.precursor_fits is False for match in best_first)
    if count == 0:
        return []
    if count == len(best_first):
        return ["no candidate has the mass of the measured precursor"]
    return [f"ranked last: {count} without the mass of the measured precursor"]


def _without_name(row: tuple[str, ...]) -> tuple[str, ...]:
    return (*row[:-2], row[-1])


def _format_simulation(
    simulation: Simulation, top: int, width: int | None, sketch: Sequence[str]
) -> str:
    lines = [simulation.smiles, f"  predicted spectrum, {_conditions(simulation)}", ""]
    if sketch:
        lines += [*sketch, ""]
    peaks = zip(simulation.mzs, simulation.intensities, simulation.formulas, strict=True)
    highest = sorted(peaks, key=lambda peak: -peak[1])[:top]
    lines += to_columns(
        ("m/z", "intensity", "ion"),
        [(f"{mz:.4f}", f"{height:.3f}", formula) for mz, height, formula in sorted(highest)],
        left={"ion"},
        width=width,
    )
    lines += _left_out(len(simulation.mzs), top, "peaks")
    return "\n".join(lines + _closing(simulation))


def _conditions(answer: Match | Simulation) -> str:
    energy = answer.collision_energy or "not given"
    return (
        f"{answer.formula}, {answer.adduct}, precursor m/z {answer.precursor_mz:.4f}, "
        f"collision energy {energy}"
    )


def _conditions_of_all(matches: Sequence[Match]) -> str:
    """Return the conditions; formula and precursor only where all candidates share them."""
    if len({(match.formula, match.adduct) for match in matches}) == 1:
        return _conditions(matches[0])
    adducts = " or ".join(dict.fromkeys(match.adduct for match in matches))
    return f"{adducts}, collision energy {matches[0].collision_energy or 'not given'}"


def _closing(answer: Match | Simulation, notes: Sequence[str] | None = None) -> list[str]:
    said = answer.notes if notes is None else notes
    if isinstance(answer, Match) and answer.abstained:
        said = [f"ABSTAINED: {answer.abstained}", *said]
    model = f"{answer.version} ({answer.version_hash})" if answer.version_hash else answer.version
    return ["", *(f"  Note: {note}" for note in said), f"  Model: {model}"]


def _left_out(count: int, top: int, what: str) -> list[str]:
    if count <= top:
        return []
    shown = f"  ... {count - top:,} more of {count:,} {what}"
    return [f"{shown}; top={count} shows all, output=FILE holds all."]
