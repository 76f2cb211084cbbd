"""Preparation of training data: from any source of spectra to a validated, cached table."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from team5.chemistry.adducts import default_adduct, parse_adduct
from team5.chemistry.molecule import parse_smiles
from team5.constants import PRECURSOR_TOLERANCE
from team5.data.licenses import DEFAULT_LICENSES, normalize_license
from team5.data.peaks import peaks_path, write_peaks
from team5.data.readers import iter_spectra, nothing_usable
from team5.data.records import Record
from team5.errors import DataError, DataFileNotFoundError, MoleculeError, StorageError
from team5.runtime.progress import progress as show_progress
from team5.runtime.storage import sha256, write_whole, writing_whole
from team5.runtime.strict_json import to_json
from team5.runtime.tables import counted, counted_spectra

if TYPE_CHECKING:
    import pyarrow as pa

# Incremented with every change of a table's content, so that no outdated cached table is used.
FORMAT = 2
_ROWS_PER_GROUP = 8_192


@dataclass(frozen=True, slots=True)
class PreparedTable:
    """The table prepared from a source.

    Attributes
    ----------
    path : Path
        The Parquet file, one row per usable MS2 spectrum. Its peaks are also in a file next to it,
        for `team5.data.peaks`.
    n_spectra, n_compounds : int
        Rows, and distinct InChIKey first blocks among them.
    skipped : Counter
        Records left out, by reason.
    """

    path: Path
    n_spectra: int
    n_compounds: int
    skipped: Counter[str]


def prepare_table(
    source: str | Path,
    destination_folder: str | Path,
    *,
    licenses: tuple[str, ...] = DEFAULT_LICENSES,
    refresh: bool = False,
    progress: bool = False,
) -> PreparedTable:
    """Build the table of training data from a file, folder or archive of spectra, unless cached.

    A row is a spectrum with a valid structure, a known adduct and a precursor
    within ``PRECURSOR_TOLERANCE`` of the one calculated from both. A missing precursor is filled
    in; a missing adduct is set to the usual one if that explains the precursor. The licence filter
    applies to records that state one.

    Parameters
    ----------
    source : str or Path
        Anything `team5.data.readers.iter_spectra` reads.
    destination_folder : str or Path
        Folder of cached tables, named by the content of their sources.
    licenses : tuple of str
        Licences of records to use, by family: ``CC BY`` includes ``CC BY 4.0``.
    refresh : bool, default False
        Rebuild the table even if it exists.
    progress : bool, default False
        Show a progress bar on stderr.

    Raises
    ------
    DataError
        If the source cannot be read or holds nothing that can be used.
    StorageError
        If the table cannot be written.
    """
    source, folder = Path(source), Path(destination_folder)
    families = tuple(sorted({normalize_license(name) for name in licenses}))
    stem = source.name.split(".")[0] or "spectra"
    path = folder / f"{stem}-{_content_key(source, families)}.parquet"
    if not refresh and (cached := _read_cached(path)):
        return cached
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return _make_table(source, path, families, progress)
    except (DataFileNotFoundError, StorageError):
        raise
    except OSError as error:
        raise StorageError(f"{folder}: the prepared table cannot be written: {error}.") from error


def _make_table(
    source: Path, path: Path, license_families: tuple[str, ...], progress: bool
) -> PreparedTable:
    skipped: Counter[str] = Counter()
    with writing_whole(path) as temporary:
        with show_progress(f"Reading {source.name}", 1.0, show=progress) as bar:
            records = iter_spectra(source, skipped, require_smiles=True, on_progress=bar.update)
            rows = iter_rows(records, skipped, license_families)
            n_spectra, n_compounds = _write_rows(temporary, rows)
        if n_spectra == 0:
            raise DataError(nothing_usable(source, skipped))
        table = PreparedTable(path, n_spectra, n_compounds, skipped)
        # The table is written last: if it exists, so do its peaks and its summary.
        write_peaks(temporary, peaks_path(path))
        _write_summary(table)
    return table


def iter_rows(
    records: Iterator[Record], skipped: Counter[str], license_families: tuple[str, ...]
) -> Iterator[dict[str, Any]]:
    """Yield a row of the prepared table for each usable record, counting the others."""
    for record in records:
        row = _to_row(record, license_families)
        if isinstance(row, str):
            skipped[row] += 1
        else:
            yield row


def format_skipped(table: PreparedTable) -> str:
    """Return a text table of the records used and left out, by reason."""
    total = table.n_spectra + table.skipped.total()
    lines = [("used", table.n_spectra), *table.skipped.most_common(), ("records in all", total)]
    width = max(len(text) for text, _ in lines)
    rows = [f"  {text:<{width}}  {count:>9,}  {count / total:>6.1%}" for text, count in lines]
    title = f"{counted_spectra(table.n_spectra)} of {counted(table.n_compounds, 'compound')}"
    return "\n".join([title, *rows])


def _to_row(record: Record, license_families: tuple[str, ...]) -> dict[str, Any] | str:
    """Return the row of a record, or the reason why it has none."""
    spectrum = record.spectrum
    if record.license is not None and normalize_license(record.license) not in license_families:
        return f"licence not chosen ({record.license})"
    if record.smiles is None:
        return "no SMILES"
    structure = structure_values(record.smiles)
    if isinstance(structure, str):
        return structure
    if spectrum.adduct is None and (spectrum.ion_mode is None or spectrum.precursor_mz is None):
        return "no adduct"
    # A guessed adduct is accepted only if it explains the measured precursor.
    adduct = parse_adduct(spectrum.adduct or default_adduct(spectrum.ion_mode, structure.charge))
    calculated = adduct.precursor_mz(structure.exact_mass)
    # Without a measured precursor nothing else tells that [M+H]+ of a cation is its [M]+.
    is_unsure = spectrum.precursor_mz is None and structure.charge == adduct.charge
    if calculated <= 0 or (is_unsure and not adduct.name.startswith("[M]")):
        return "adduct does not fit the structure"
    precursor_mz = calculated if spectrum.precursor_mz is None else spectrum.precursor_mz
    if abs(precursor_mz - calculated) > PRECURSOR_TOLERANCE:
        if spectrum.adduct is None:
            return "no adduct, and the usual one does not explain the precursor"
        return "precursor contradicts the structure"
    return {
        "identifier": spectrum.identifier,
        "mzs": spectrum.mzs,
        "intensities": spectrum.intensities,
        "smiles": record.smiles,
        "inchikey14": structure.inchikey14,
        "formula": structure.formula,
        "exact_mass": structure.exact_mass,
        "adduct": adduct.name,
        "precursor_mz": precursor_mz,
        "ion_mode": adduct.ion_mode,
        "instrument_type": spectrum.instrument_type,
        "collision_energy": spectrum.collision_energy,
        "license": record.license,
        "contributor": record.contributor,
        "fold": record.fold,
    }


class StructureValues(NamedTuple):
    """Columns of a structure in a prepared table, and its charge."""

    inchikey14: str
    formula: str
    exact_mass: float
    charge: int


@lru_cache(maxsize=65_536)
def structure_values(smiles: str) -> StructureValues | str:
    """Return the structure's values of a row, or the reason why there are none."""
    try:
        molecule = parse_smiles(smiles)
        return StructureValues(
            molecule.inchikey14, molecule.formula, molecule.exact_mass, molecule.charge
        )
    except MoleculeError as error:
        is_large = error.code == "too_many_heavy_atoms"
        return "structure too large" if is_large else "SMILES not understood"


def _schema() -> "pa.Schema":
    import pyarrow as pa

    text, number = pa.string(), pa.float64()
    return pa.schema(
        [
            ("identifier", text),
            ("mzs", pa.list_(number)),
            ("intensities", pa.list_(number)),
            ("smiles", text),
            ("inchikey14", text),
            ("formula", text),
            ("exact_mass", number),
            ("adduct", text),
            ("precursor_mz", number),
            ("ion_mode", text),
            ("instrument_type", text),
            ("collision_energy", text),
            ("license", text),
            ("contributor", text),
            ("fold", text),
        ]
    )


def _write_rows(path: Path, rows: Iterator[dict[str, Any]]) -> tuple[int, int]:
    """Write the rows; return their number and that of their compounds."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = _schema()
    n_rows = 0
    compounds: set[str] = set()
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        while batch := list(islice(rows, _ROWS_PER_GROUP)):
            writer.write_table(pa.Table.from_pylist(batch, schema=schema))
            n_rows += len(batch)
            compounds.update(row["inchikey14"] for row in batch)
    return n_rows, len(compounds)


def _content_key(source: Path, license_families: tuple[str, ...]) -> str:
    digest = hashlib.sha256(json.dumps([FORMAT, license_families]).encode())
    if source.is_dir():
        for file in sorted(file for file in source.rglob("*") if file.is_file()):
            digest.update(f"{file.relative_to(source)} {sha256(file)}\n".encode())
    elif source.exists():
        digest.update(sha256(source).encode())
    else:
        raise DataFileNotFoundError(f"{source}: no such file or folder. Check the path.")
    return digest.hexdigest()[:16]


def _summary_path(path: Path) -> Path:
    return path.with_suffix(".json")


def _write_summary(table: PreparedTable) -> None:
    summary = {
        "n_spectra": table.n_spectra,
        "n_compounds": table.n_compounds,
        "skipped": dict(table.skipped.most_common()),
    }
    path = _summary_path(table.path)
    write_whole(path, to_json(summary, path.name))


def _read_cached(path: Path) -> PreparedTable | None:
    """Return the table if all its files exist; a damaged summary counts as missing."""
    if not path.exists() or not peaks_path(path).exists():
        return None
    try:
        summary = json.loads(_summary_path(path).read_text(encoding="utf-8"))
        counts = int(summary["n_spectra"]), int(summary["n_compounds"])
        return PreparedTable(path, *counts, Counter(summary["skipped"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None
