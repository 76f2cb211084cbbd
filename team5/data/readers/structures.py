"""Reader of lists of structures, record by record.

SMILES lists (``SMILES name`` or ``id<tab>SMILES``), tables with a header, separated by comma,
semicolon, bar or tab, SDF and Parquet, with SMILES or InChI; also compressed. The
format is recognised by content.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

from team5.chemistry.notation import looks_like_structure
from team5.data.readers.packed import Unpacked, open_unpacked, shown_columns
from team5.errors import DataError

# Texts for people on unusable records, by code.
FAULTS = {
    "no_structure": "no structure",
    "wrong_number_of_columns": "another number of columns than the header",
    "row_not_understood": "row not understood",
    "record_too_long": "record too long",
    "no_molblock_end": "no line 'M  END'",
}
# Names of columns and tags, in the order of preference, with only their letters and digits.
_SMILES_NAMES = (
    "smiles", "canonicalsmiles", "structuresmiles", "isomericsmiles", "isosmiles",
    "smilesdashboard", "pubchemsmiles", "pubchemopeneyeisosmiles", "pubchemopeneyecansmiles",
    "moldbsmiles", "msreadysmiles",
)  # fmt: skip
_INCHI_NAMES = (
    "inchi", "standardinchi", "stdinchi", "inchistring", "inchiidentifier", "structureinchi",
    "pubchemiupacinchi", "moldbinchi",
)  # fmt: skip
_NAME_NAMES = (
    "name", "compoundname", "preferredname", "genericname", "commonname", "cmpdname",
    "structurenametraditional", "traditionalname", "pubchemiupactraditionalname", "compound",
    "chebiname", "namedashboard", "chemicalname", "metabolite", "molname", "title", "iupacname",
    "structureiupacname", "pubchemiupacname",
)  # fmt: skip
_ID_NAMES = (
    "identifier", "id", "databaseid", "coconutid", "lotusid", "dtxsid", "normansusdatid", "hmdbid",
    "chebiid", "chemblid", "lmid", "zincid", "cid", "pubchemcompoundcid", "structurewikidata",
)  # fmt: skip
_TABLE_ENDINGS = (".csv", ".tsv")
_SDF_ENDINGS = (".sdf", ".sd", ".mol")
_DELIMITERS = "\t;|,"
_MAX_CELL_SIZE = 10_000_000  # characters
_MAX_HEADER_SIZE = 100_000  # characters
_MAX_SDF_RECORD = 2_000_000  # characters; more than any supported molecule has
_RECORD_END = "$$$$"
_MOLBLOCK_END = "M  END"
_COUNTS_LINE = re.compile(r"[ \d]{6}.*V[23]000\s*$")
_TAG = re.compile(r">.*?<([^>]*)>")
_N_SAMPLED = 50  # lines from which the format is recognised


# Named tuples: created and sent to workers several times as fast as dataclasses.
class StructureRecord(NamedTuple):
    """One structure of a list.

    Attributes
    ----------
    number : int
        Its line, row or record, from 1.
    text : str
        SMILES, InChI or molblock; `team5.chemistry.notation.to_smiles` reads all three.
    name : str or None
        Its name, or else its identifier.
    columns : dict of str to value
        The user's other columns or tags, by their original names; empty cells are None.
    """

    number: int
    text: str
    name: str | None
    columns: Mapping[str, Any]


class UnusableRecord(NamedTuple):
    """A record without a structure: its number, the reason, as a code of `FAULTS`, and its text."""

    number: int
    code: str
    text: str


_Records = Iterator[StructureRecord | UnusableRecord]


@dataclass(frozen=True, slots=True)
class StructureList:
    """An open list of structures.

    Attributes
    ----------
    unit : {"line", "row", "record"}
        The unit that numbers its records.
    records : iterator of StructureRecord or UnusableRecord
        In the order of the file; one pass.
    share_read : callable
        Returns the share of the file read so far, 0 to 1.
    """

    unit: str
    records: _Records
    share_read: Callable[[], float]


@contextmanager
def open_structures(place: Path, columns: Collection[str] | None = None) -> Iterator[StructureList]:
    """Open a list of structures; only the part being read is in memory.

    Parameters
    ----------
    place : Path
        On the disk or on object storage.
    columns : collection of str, optional
        The other columns to read, in lower case; all by default.

    Raises
    ------
    DataFileNotFoundError
        If there is no such file.
    DataError
        If it is damaged, or not a list of structures; shows its columns.
    """
    with open_unpacked(place) as file:
        head = file.stream.peek(4)[:4]
        if head == b"PAR1":
            with _open_parquet(file, place, columns) as structures:
                yield structures
            return
        unit, records = _read_text(file.lines(), place, file.name.lower(), columns)
        yield StructureList(unit, records, file.share_read)


def iter_structures(path: str | Path, columns: Collection[str] | None = None) -> _Records:
    """Yield the records of a list of structures; see `open_structures`."""
    path = Path(path)
    if path.is_dir():
        raise DataError(f"{path}: a folder. Give a file with a list of structures.")
    with open_structures(path, columns) as structures:
        yield from structures.records


def _read_text(
    file: Iterable[str], place: Path, name: str, columns: Collection[str] | None
) -> tuple[str, _Records]:
    lines = iter(file)
    sample: list[str] = []
    first = 0  # of the lines that hold something
    for line in lines:
        sample.append(line)
        first += not _is_blank(line)
        if first >= _N_SAMPLED:
            break
    all_lines = chain(sample, lines)
    if name.endswith(_SDF_ENDINGS) or any(map(_is_of_sdf, sample)):
        return "record", _iter_sdf(all_lines, columns)
    at = next((i for i, line in enumerate(sample) if not _is_blank(line)), len(sample))
    header = sample[at] if at < len(sample) else ""
    delimiter = _delimiter(header)
    if delimiter and (delimiter != " " or name.endswith(_TABLE_ENDINGS)):
        for _ in range(at):
            next(all_lines)
        return "line", _iter_table(all_lines, place, delimiter, at, columns)
    # No header contains a number: this is a list of ids and SMILES.
    if name.endswith(_TABLE_ENDINGS) and not any(map(str.isdigit, header.split("\t"))):
        raise _no_structures_in(place, _header_cells(header, ","))
    return "line", _iter_lines(all_lines, _structure_column(sample, at, place))


def _is_blank(line: str) -> bool:
    # "sep=;" tells Excel the separator of a table.
    return not line.strip() or line.startswith(("#", "sep=", '"sep='))


def _is_of_sdf(line: str) -> bool:
    return line.startswith((_RECORD_END, _MOLBLOCK_END)) or bool(_COUNTS_LINE.match(line))


def _delimiter(header: str) -> str:
    """Return the separator of a header's names, a blank for a single one; else nothing."""
    for delimiter in sorted(_DELIMITERS, key=header.count, reverse=True):
        names = _header_cells(header, delimiter)
        if _structure_columns(names):
            return delimiter if len(names) > 1 else " "
    return ""


def _header_cells(header: str, delimiter: str) -> list[str]:
    if len(header) > _MAX_HEADER_SIZE:
        return []
    return next(csv.reader([header.strip("\r\n")], delimiter=delimiter), [])


def _no_structures_in(place: Path, names: Sequence[object]) -> DataError:
    """Return the error for a table without a column of structures."""
    return DataError(
        f"{place}: no column smiles or inchi; there are {shown_columns(names)}. Rename the column "
        "that holds the structures.",
        code="no_structure_column",
    )


def _plain(name: object) -> str:
    return re.sub(r"[\W_]+", "", str(name).casefold())


def _first(names: Sequence[str], wanted: Sequence[str]) -> int | None:
    return next((names.index(name) for name in wanted if name in names), None)


def _structure_columns(names: Sequence[object]) -> list[int]:
    """Return the index of the SMILES, and of the InChI for records without SMILES."""
    plain = [_plain(name) for name in names]
    smiles, inchi = _first(plain, _SMILES_NAMES), _first(plain, _INCHI_NAMES)
    if smiles is None:
        smiles = next((i for i, name in enumerate(plain) if name.endswith("smiles")), None)
    if inchi is None:
        inchi = next((i for i, name in enumerate(plain) if name.endswith("inchi")), None)
    return [at for at in (smiles, inchi) if at is not None]


class _Columns:
    """Columns of a table: structure, name, and further ones that are read."""

    def __init__(self, names: Sequence[object], place: Path, wanted: Collection[str] | None):
        self.structure = _structure_columns(names)
        if not self.structure:
            raise _no_structures_in(place, names)
        plain = [_plain(name) for name in names]
        names_at = (_first(plain, _NAME_NAMES), _first(plain, _ID_NAMES))
        self.names = [at for at in names_at if at is not None]
        self.others = {
            str(name).strip(): at
            for at, name in enumerate(names)
            if at not in (self.structure[0], *self.names[:1])
            and (wanted is None or str(name).strip().casefold() in wanted)
        }
        if wanted is not None:
            self.others = {name.casefold(): at for name, at in self.others.items()}

    def record(self, number: int, cells: Sequence[Any]) -> StructureRecord | UnusableRecord:
        name = next((text for at in self.names if (text := _text(cells[at]))), "")
        text = next((text for at in self.structure if (text := _text(cells[at]))), "")
        if not text:
            return UnusableRecord(number, "no_structure", name)
        others = {
            column: None if cells[at] == "" else cells[at] for column, at in self.others.items()
        }
        return StructureRecord(number, text, name or None, others)


def _text(cell: object) -> str:
    return "" if cell is None else str(cell).strip()


def _iter_table(
    lines: Iterator[str], place: Path, delimiter: str, n_before: int, wanted: Collection[str] | None
) -> _Records:
    csv.field_size_limit(max(csv.field_size_limit(), _MAX_CELL_SIZE))
    rows = csv.reader(lines, delimiter="," if delimiter == " " else delimiter)
    names = next(rows)
    columns = _Columns(names, place, wanted)
    while True:
        try:
            cells = next(rows)
        except StopIteration:
            return
        except csv.Error as error:
            yield UnusableRecord(rows.line_num + n_before, "row_not_understood", str(error))
            continue
        number = rows.line_num + n_before
        if delimiter == "\t":  # editors take tabs off the ends of lines
            cells += [""] * (len(names) - len(cells))
        if len(cells) == len(names) and any(cell.strip() for cell in cells):
            yield columns.record(number, cells)
        elif any(cell.strip() for cell in cells):
            yield UnusableRecord(number, "wrong_number_of_columns", delimiter.join(cells))


def _structure_column(sample: Sequence[str], at: int, place: Path) -> int:
    """Return the column of a list that holds the structures: the one with most valid ones."""
    rows = [_cells(line) for line in sample[at:] if not _is_blank(line) and not _is_header(line)]
    n_columns = max((len(cells) for cells in rows), default=0)
    hits = [
        sum(len(cells) > column and looks_like_structure(cells[column]) for cells in rows)
        for column in range(n_columns)
    ]
    best = hits.index(max(hits)) if any(hits) else 0
    # A word of a text may be a SMILES by chance, and the first column is where they are expected.
    if any(hits[:1]) or 2 * sum(hits[best : best + 1]) > len(rows):
        return best
    if any(not _may_be_smiles(cells[0]) for cells in rows):
        shown = rows[0]
        raise DataError(
            f"{place}: no list of structures; its columns begin {', '.join(shown)[:80]!r}. Give "
            "SMILES lines, a table with a column smiles or inchi, SDF or Parquet.",
            code="no_structure_list",
        )
    return 0


def _is_header(line: str) -> bool:
    return bool(_structure_columns([line, *line.split()]))


def _may_be_smiles(word: str) -> bool:
    return bool(re.fullmatch(r"[A-Za-z0-9@+\-\[\]()=#$:/\\.%*~]+", word)) and not word.isdigit()


def _cells(line: str) -> list[str]:
    """Return the columns of a line of a list: split at tabs, or else at the first blank."""
    stripped = line.strip()
    return stripped.split("\t") if "\t" in stripped else stripped.split(None, 1)


def _iter_lines(lines: Iterable[str], column: int) -> _Records:
    is_first = True
    for number, line in enumerate(lines, start=1):
        if _is_blank(line):
            continue
        if column == 0:
            text, _, name = line.strip().replace("\t", " ", 1).partition(" ")
        else:
            cells = _cells(line)
            text, name = cells[column] if column < len(cells) else "", cells[0]
        if is_first and _is_header(line):
            is_first = False
            continue
        is_first = False
        if text:
            yield StructureRecord(number, text, name.strip() or None, {})
        else:
            yield UnusableRecord(number, "no_structure", line.strip())


def _iter_sdf(lines: Iterable[str], wanted: Collection[str] | None) -> _Records:
    number, size = 1, 0
    record: list[str] = []
    for line in lines:
        if line.startswith(_RECORD_END):
            yield _sdf_record(number, record, size, wanted)
            number, size, record = number + 1, 0, []
            continue
        size += len(line)
        if size <= _MAX_SDF_RECORD:
            record.append(line.rstrip("\r\n"))
    if any(line.strip() for line in record):  # the last one may lack its end
        yield _sdf_record(number, record, size, wanted)


def _sdf_record(
    number: int, lines: list[str], size: int, wanted: Collection[str] | None
) -> StructureRecord | UnusableRecord:
    title = lines[0].strip() if lines else ""
    end = next((i for i, line in enumerate(lines) if line.startswith(_MOLBLOCK_END)), None)
    if end is None:
        code = "record_too_long" if size > _MAX_SDF_RECORD else "no_molblock_end"
        return UnusableRecord(number, code, title)
    tags = _tags(lines[end + 1 :])
    names = list(tags)
    plain = [_plain(name) for name in names]
    at = _first(plain, _NAME_NAMES)
    if at is None and not title:
        at = _first(plain, [name for name in _ID_NAMES if name != "id"])
    name = title if at is None else tags[names[at]]
    text = "\n".join(lines[: end + 1]) + "\n"
    if len(lines) > 3 and lines[3][:3].strip() == "0" and "V3000" not in lines[3]:
        # Some databases omit the atoms of structures they have no drawing of.
        tagged = (tags[names[i]] for i in _structure_columns(names))
        text = next((text for text in tagged if text), "")
        if not text:
            return UnusableRecord(number, "no_structure", title)
    others = {
        name if wanted is None else name.casefold(): value or None
        for i, (name, value) in enumerate(tags.items())
        if i != at and (wanted is None or name.casefold() in wanted)
    }
    return StructureRecord(number, text, name or None, others)


def _tags(lines: Iterable[str]) -> dict[str, str]:
    tags: dict[str, list[str]] = {}
    values: list[str] | None = None
    for line in lines:
        if match := _TAG.match(line):
            values = tags.setdefault(match[1].strip(), [])
        elif not line.strip():
            values = None
        elif values is not None:
            values.append(line.strip())
    return {name: "\n".join(lines) for name, lines in tags.items()}


@contextmanager
def _open_parquet(
    unpacked: Unpacked, place: Path, wanted: Collection[str] | None
) -> Iterator[StructureList]:
    # Here to start quickly: Arrow takes a while.
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        # Parquet is read from its end, which compressed files do not allow.
        stream = unpacked.stream
        with pq.ParquetFile(io.BytesIO(stream.read()) if unpacked.is_packed else stream) as file:
            names = file.schema_arrow.names
            every = _Columns(names, place, wanted)
            at_used = sorted({*every.structure, *every.names, *every.others.values()})
            names = [names[at] for at in at_used]
            columns = _Columns(names, place, wanted)  # numbered among those that are read
            n_rows = max(file.metadata.num_rows, 1)
            n_read = 0

            def rows() -> _Records:
                nonlocal n_read
                for batch in file.iter_batches(batch_size=4096, columns=names, use_threads=False):
                    for row in zip(
                        *(batch.column(name).to_pylist() for name in names), strict=True
                    ):
                        n_read += 1
                        yield columns.record(n_read, row)

            yield StructureList("row", rows(), lambda: n_read / n_rows)
    except (pa.ArrowException, OSError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(
            f"{place}: damaged Parquet file ({str(error).splitlines()[0]}). Put a whole file "
            "in its place."
        ) from error
