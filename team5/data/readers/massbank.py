"""Reader of MassBank records: one file, a folder of them, or the release archive, streamed.

The format is described in MassBank-web's ``Documentation/MassBankRecordFormat.md``.
"""

import re
import tarfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from team5.data.metadata import fields_of, ms_level, text_or_none
from team5.data.readers.packed import open_unpacked
from team5.data.records import Record, leave_out, record_of
from team5.errors import DataError

# A record without a licence may not be used; this text passes no licence filter.
NO_LICENSE = "none stated"
_INCHIKEY = re.compile(r"\bINCHIKEY\s+([A-Z]{14}\S*)")


def is_massbank_text(head: str) -> bool:
    """Return whether a file that begins like this is a MassBank record."""
    return head.lstrip("\ufeff \r\n").startswith("ACCESSION:")


def iter_archive(
    path: Path, skipped: Counter[str], on_progress: Callable[[float], None] | None = None
) -> Iterator[Record]:
    """Yield the records of a release archive, in its order, without unpacking it."""
    size = max(path.stat().st_size, 1)
    has_records = False
    try:
        # A stream ("r|") is read once from front to end; "r:" would index all members first.
        with path.open("rb") as file, tarfile.open(fileobj=file, mode="r|*") as archive:
            for member in archive:
                if not _is_record_name(member.name) or not member.isfile():
                    continue
                content = archive.extractfile(member)
                if content is None:
                    continue
                text = content.read().decode("utf-8", errors="replace")
                if on_progress:
                    on_progress(min(file.tell() / size, 1.0))
                if is_massbank_text(text):
                    has_records = True
                    yield from parse_records(text, skipped)
    except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
        raise DataError(
            f"{path}: the archive cannot be read to its end ({error}). Fetch it again."
        ) from error
    if not has_records:
        raise DataError(f"{path}: no MassBank records (MSBNK-*.txt) in this archive. Give another.")


def iter_folder(
    path: Path, skipped: Counter[str], on_progress: Callable[[float], None] | None = None
) -> Iterator[Record]:
    """Yield the records of all MassBank files below a folder, sorted by path."""
    files = sorted(file for file in path.rglob("*.txt") if _is_record_name(file.name))
    if not files:
        raise DataError(f"{path}: no MassBank records (*.txt) in this folder. Give another.")
    has_records = False
    for number, file in enumerate(files, start=1):
        text = file.read_text(encoding="utf-8", errors="replace")
        if on_progress:
            on_progress(number / len(files))
        if is_massbank_text(text):
            has_records = True
            yield from parse_records(text, skipped)
    if not has_records:
        raise DataError(
            f"{path}: none of its {len(files)} text files is a MassBank record. "
            "Give another folder."
        )


def iter_file(
    path: Path, skipped: Counter[str], on_progress: Callable[[float], None] | None = None
) -> Iterator[Record]:
    """Yield the records of one MassBank file."""
    with open_unpacked(path) as file:
        text = file.text().read()
    yield from parse_records(text.replace("\r\n", "\n").replace("\r", "\n"), skipped)
    if on_progress:
        on_progress(1.0)


def parse_records(text: str, skipped: Counter[str]) -> Iterator[Record]:
    """Yield the usable records of a file; most hold one, each ended by ``//``."""
    blocks = (block for block in re.split(r"^//\s*$", text, flags=re.MULTILINE) if block.strip())
    for number, block in enumerate(blocks, start=1):
        record = _parse_record(block, skipped, number)
        if record is not None:
            yield record


def _is_record_name(name: str) -> bool:
    return name.endswith(".txt") and not name.rsplit("/", 1)[-1].startswith(".")


def _parse_record(block: str, skipped: Counter[str], number: int) -> Record | None:
    fields, peak_lines = _split_fields(block)
    ms_type = fields.get("AC$MASS_SPECTROMETRY: MS_TYPE", "MS2")
    accession = fields.get("ACCESSION") or f"record {number}"
    if (level := ms_level(ms_type)) != "2":
        leave_out(skipped, "not_ms2", accession, f"MS{level}" if level else ms_type)
        return None
    if "DEPRECATED" in fields:
        leave_out(skipped, "deprecated", accession)
        return None
    try:
        mzs, intensities = _parse_peaks(peak_lines)
    except ValueError:
        leave_out(skipped, "peaks_not_understood", accession)
        return None
    known = {
        "identifier": accession,
        # The last precursor of a path such as "519.2/337.1".
        "precursor_mz": fields.get("MS$FOCUSED_ION: PRECURSOR_M/Z", "").rpartition("/")[2],
        # Some records have ION_TYPE, most PRECURSOR_TYPE; both mean the adduct.
        "adduct": text_or_none(fields.get("MS$FOCUSED_ION: PRECURSOR_TYPE"))
        or fields.get("MS$FOCUSED_ION: ION_TYPE"),
        "collision_energy": fields.get("AC$MASS_SPECTROMETRY: COLLISION_ENERGY"),
        "instrument_type": fields.get("AC$INSTRUMENT_TYPE"),
        "ion_mode": fields.get("AC$MASS_SPECTROMETRY: ION_MODE"),
        "smiles": fields.get("CH$SMILES"),
        "inchi": fields.get("CH$IUPAC"),
        "inchikey": fields.get("INCHIKEY"),
        "formula": fields.get("CH$FORMULA"),
        "license": fields.get("LICENSE") or NO_LICENSE,
        "contributor": contributor_of(accession),
        "retention_time": fields.get("AC$CHROMATOGRAPHY: RETENTION_TIME"),
    }
    return record_of(
        skipped,
        fields_of(known.items()),
        mzs,
        intensities,
        name=accession,
        place=accession,
        minutes=True,
    )


def _split_fields(block: str) -> tuple[dict[str, str], list[str]]:
    """Return the first value of every tag (with its subtag, if it has one) and the peak lines."""
    head, _, peaks = block.partition("PK$PEAK:")
    fields: dict[str, str] = {}
    for line in head.splitlines():
        tag, separator, value = line.partition(": ")
        if not separator or line.startswith(" "):
            continue
        if tag.startswith(("AC$MASS_SPECTROMETRY", "MS$FOCUSED_ION", "AC$CHROMATOGRAPHY")):
            subtag, _, value = value.partition(" ")
            tag = f"{tag}: {subtag}"
        elif tag == "CH$LINK" and (match := _INCHIKEY.search(value)):
            tag, value = "INCHIKEY", match[1]
        fields.setdefault(tag, value.strip())
    return fields, peaks.splitlines()[1:]


def _parse_peaks(lines: list[str]) -> tuple[list[float], list[float]]:
    mzs, intensities = [], []
    for line in lines:
        columns = line.split()
        if len(columns) >= 2:
            mzs.append(float(columns[0]))
            intensities.append(float(columns[1]))
    return mzs, intensities


def contributor_of(accession: str) -> str | None:
    """Return the contributor in ``MSBNK-<contributor>-<number>``; old accessions have none."""
    parts = accession.split("-")
    return "-".join(parts[1:-1]) if len(parts) >= 3 and parts[0] == "MSBNK" else None
