"""Reading of spectra from any supported file, counting skipped records by reason."""

import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from team5.data.readers import json_files, massbank, mzml, peak_lists, tables
from team5.data.readers.packed import open_unpacked
from team5.data.records import Record, Skipped, leave_out
from team5.errors import DataError, DataFileNotFoundError

FORMATS = (
    "MGF, MSP, mzML, mzXML, SIRIUS .ms, JSON of GNPS or MoNA, MassBank (.txt, a folder, .tar.gz), "
    "Parquet or CSV"
)
_HEAD_SIZE = 4096
_USI = re.compile(r"mzspec:[^:]+:")


@dataclass(frozen=True, slots=True)
class SpectraRead:
    """Usable records of a file, and counts of those skipped by reason."""

    records: list[Record]
    skipped: Counter[str] = field(default_factory=Skipped)


def read_spectra(path: str | Path, *, require_smiles: bool = False) -> SpectraRead:
    """Read all spectra of a file or folder.

    Parameters
    ----------
    path : str or Path
        MGF, MSP, mzML, mzXML, SIRIUS ``.ms``, JSON of GNPS or MoNA, MassBank (a record, a folder or
        the release archive), Parquet or CSV; each also packed (``.gz``, one file in a ``.zip``).
    require_smiles : bool, default False
        Skip, and count, records without a structure.

    Raises
    ------
    DataFileNotFoundError
        If there is no such file.
    DataError
        If the format is unknown, the file is damaged, or none of its records can be used.
    """
    skipped = Skipped()
    records = list(iter_spectra(path, skipped, require_smiles=require_smiles))
    if not records:
        raise DataError(nothing_usable(path, skipped))
    return SpectraRead(records, skipped)


def iter_spectra(
    path: str | Path,
    skipped: Counter[str],
    *,
    require_smiles: bool = False,
    on_progress: Callable[[float], None] | None = None,
) -> Iterator[Record]:
    """Yield the usable records of a file one by one, counting the others in `skipped`.

    Parameters
    ----------
    path : str or Path
    skipped : Counter
        Counts of reasons, updated while records are drawn; a `team5.data.records.Skipped` also
        lists the code and place of each.
    require_smiles : bool, default False
    on_progress : callable, optional
        Called from time to time with the share of the file read, 0 to 1.
    """
    path = Path(path)
    try:
        for record in _pick_reader(path)(path, skipped, on_progress):
            if require_smiles and record.smiles is None:
                leave_out(skipped, "no_smiles", record.spectrum.identifier)
                continue
            yield record
    except OSError as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{path}: cannot be read ({error}). Check the file.") from error


def nothing_usable(path: str | Path, skipped: Counter[str]) -> str:
    """Return the text of the error for a file none of whose records can be used."""
    if not skipped:
        return f"{path}: no spectra in this file. Give one of: {FORMATS}."
    reasons = ", ".join(f"{reason} ({count:,})" for reason, count in skipped.most_common(4))
    return (
        f"{path}: none of its {skipped.total():,} records can be used: {reasons}. "
        "Mend them, or give another file."
    )


def check_exists(path: Path) -> None:
    """Raise if there is no such file or folder; a USI gets an error of its own.

    Raises
    ------
    DataFileNotFoundError, DataError
    """
    if path.exists():
        return
    if _USI.match(str(path)):
        raise DataError(
            f"{path}: the name of a spectrum on the network (USI), and team5 fetches none. "
            "Download it from https://metabolomics-usi.gnps2.org as JSON or MGF; give that file.",
            code="usi",
        )
    raise DataFileNotFoundError(f"{path}: no such file or folder. Check the path.")


Reader = Callable[[Path, Counter[str], Callable[[float], None] | None], Iterator[Record]]


def _pick_reader(path: Path) -> Reader:
    if path.is_dir():
        return massbank.iter_folder
    check_exists(path)
    if re.search(r"\.tar(\.\w+)?$|\.tgz$", path.name.casefold()):
        return massbank.iter_archive
    with open_unpacked(path) as file:
        head = file.stream.peek(_HEAD_SIZE)[:_HEAD_SIZE]
        if head.startswith(b"PAR1"):
            if file.is_packed:
                raise DataError(f"{path}: Parquet is packed by itself. Unpack the file around it.")
            return tables.iter_parquet
        if head[257:262] == b"ustar":
            return massbank.iter_archive
        name = file.name.casefold()
        text = file.text().read(_HEAD_SIZE).lstrip("\ufeff")
    if massbank.is_massbank_text(text):
        return massbank.iter_file
    for ending, reader in {
        ".mgf": peak_lists.iter_mgf,
        ".msp": peak_lists.iter_msp,
        ".ms": peak_lists.iter_ms,
        ".mzml": mzml.iter_mzml,
        ".mzxml": mzml.iter_mzxml,
        ".json": json_files.iter_json,
        ".csv": tables.iter_csv,
        ".tsv": tables.iter_csv,
    }.items():
        if name.endswith(ending):
            return reader
    by_content = (
        mzml.reader_by_content(text)
        or peak_lists.reader_by_content(text.replace("\r\n", "\n").replace("\r", "\n"))
        or tables.reader_by_content(text)
        or (json_files.iter_json if json_files.is_json(text) else None)
    )
    if by_content:
        return by_content
    raise DataError(f"{path}: unknown format. Give one of: {FORMATS}.")
