"""MGF, MSP and mzML through matchms.

Files are cut into records here and each is handed to matchms on its own, so that a faulty record
is counted and does not end the reading, or run into the next one.
"""

import io
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from team5.chemistry.adducts import parse_adduct
from team5.data.readers.massbank import contributor_of
from team5.data.records import Record, make_record
from team5.data.spectrum import text_or_none
from team5.errors import AdductError, DataError

Progress = Callable[[float], None] | None
Reader = Callable[[Path, Counter[str], Progress], Iterator[Record]]

_NOT_UNDERSTOOD = "record not understood"
_MSP_NAME = re.compile(r"\s*NAME\s*:", re.IGNORECASE)
_MSP_N_PEAKS = re.compile(r"\s*NUM[ _]?PEAKS\s*:\s*(\d*)", re.IGNORECASE)
_COMPUTED_SMILES = re.compile(r'"computed SMILES=([^"]+)"', re.IGNORECASE)
# Older GNPS libraries have the adduct only at the end of the name: "Caffeine M+H".
_ADDUCT_IN_NAME = re.compile(r"(?:^|\s)(\[?\d?M[+-]\S+)\s*$")


def reader_by_content(head: str) -> Reader | None:
    """Return the reader for a text that begins like this, or None if it is no peak list."""
    if re.search(r"<(?:indexed)?mzML\b", head):
        return iter_mzml
    if re.search(r"^\s*BEGIN IONS\s*$", head, re.MULTILINE):
        return iter_mgf
    if re.search(rf"^{_MSP_NAME.pattern}", head, re.MULTILINE | re.IGNORECASE) and re.search(
        r"^[A-Za-z_ ]+:", head, re.MULTILINE
    ):
        return iter_msp
    return None


def iter_mgf(path: Path, skipped: Counter[str], on_progress: Progress = None) -> Iterator[Record]:
    """Yield the records of an MGF file (Mascot, GNPS, MassSpecGym, MS-DIAL)."""
    from matchms.importing import load_from_mgf
    from matchms.Metadata import Metadata
    from pyteomics.auxiliary import PyteomicsError  # type: ignore[import-untyped]

    for number, block in enumerate(_mgf_blocks(path, skipped, on_progress), start=1):
        try:
            # matchms checks with assert that every peak line holds two numbers.
            (spectrum,) = load_from_mgf(io.StringIO(block), metadata_harmonization=False)
        except (PyteomicsError, ValueError, AssertionError, KeyError, IndexError):
            skipped[_NOT_UNDERSTOOD] += 1
            continue
        metadata = Metadata(spectrum.metadata).data
        yield from _to_record(
            metadata,
            spectrum.peaks.mz,
            spectrum.peaks.intensities,
            f"{path.stem}-{number}",
            skipped,
        )


def iter_msp(path: Path, skipped: Counter[str], on_progress: Progress = None) -> Iterator[Record]:
    """Yield the records of an MSP file (NIST, MoNA, MassBank's and MS-DIAL's exports)."""
    from matchms.importing.load_from_msp import parse_metadata
    from matchms.Metadata import Metadata

    for number, (header, peak_lines) in enumerate(_msp_blocks(path, on_progress), start=1):
        raw: dict[str, Any] = {}
        for line in header:
            parse_metadata(line, raw)
        metadata = dict(Metadata(raw).data)
        if "smiles" not in metadata and (match := _COMPUTED_SMILES.search("\n".join(header))):
            metadata["smiles"] = match[1]
        try:
            mzs, intensities = _parse_msp_peaks(peak_lines)
        except ValueError:
            skipped["peak list not understood"] += 1
            continue
        announced = str(metadata.get("num_peaks", "")).strip()
        if announced.isdecimal() and int(announced) != len(mzs):
            skipped["another number of peaks than announced"] += 1
            continue
        yield from _to_record(metadata, mzs, intensities, f"{path.stem}-{number}", skipped)


def iter_mzml(path: Path, skipped: Counter[str], on_progress: Progress = None) -> Iterator[Record]:
    """Yield the MS2 scans of an mzML file; they have no structure."""
    from matchms.importing.parsing_utils import parse_mzml_mzxml_metadata
    from pyteomics import mzml  # type: ignore[import-untyped]
    from pyteomics.auxiliary import PyteomicsError

    size = max(path.stat().st_size, 1)
    try:
        # matchms's own loop drops polarity and collision energy, and scans of other levels
        # without a count; the scans themselves are read as it reads them.
        with path.open("rb") as file, mzml.read(file, dtype=dict) as scans:
            for number, scan in enumerate(scans, start=1):
                if on_progress:
                    on_progress(min(file.tell() / size, 1.0))
                if scan.get("ms level") != 2:
                    skipped[f"not MS2 (MS{scan.get('ms level', '?')})"] += 1
                    continue
                metadata = dict(parse_mzml_mzxml_metadata(scan))
                metadata["identifier"] = _scan_name(scan, path, number)
                if "negative scan" in scan or "positive scan" in scan:
                    metadata["ionmode"] = "negative" if "negative scan" in scan else "positive"
                metadata["collision_energy"] = _mzml_energy(scan)
                yield from _to_record(
                    metadata,
                    scan.get("m/z array", ()),
                    scan.get("intensity array", ()),
                    metadata["identifier"],
                    skipped,
                )
    # SyntaxError is what lxml's errors about malformed XML are.
    except (SyntaxError, PyteomicsError, ValueError, KeyError) as error:
        reason = " ".join(str(error).split())
        raise DataError(
            f"{path}: the mzML file cannot be read to its end ({reason}). Export it again."
        ) from error


def _mgf_blocks(path: Path, skipped: Counter[str], on_progress: Progress) -> Iterator[str]:
    """Yield each ``BEGIN IONS`` to ``END IONS``, preceded by the parameters of the whole file."""
    defaults: list[str] = []
    block: list[str] | None = None
    for line in _lines(path, on_progress):
        marker = line.strip().upper()
        if marker == "BEGIN IONS":
            if block is not None:
                skipped["record without END IONS"] += 1
            block = ["BEGIN IONS\n"]
        elif block is None:
            if "=" in line and marker[0] not in "#;!/":
                defaults.append(line)
        elif marker == "END IONS":
            yield "".join([*defaults, *block, "END IONS\n"])
            block = None
        elif marker and not marker.endswith("="):
            # A key without a value says nothing, and matchms stumbles over an empty CHARGE.
            block.append(line)
    if block is not None:
        skipped["record without END IONS"] += 1


def _msp_blocks(path: Path, on_progress: Progress) -> Iterator[tuple[list[str], list[str]]]:
    """Yield the header lines and peak lines of each record.

    A record ends at a blank line after its peaks or at the next ``NAME:``; both are in use.
    """
    header: list[str] = []
    peaks: list[str] = []
    in_peaks = False
    for line in _lines(path, on_progress):
        text = line.strip()
        if (not text and in_peaks) or (_MSP_NAME.match(text) and header):
            yield header, peaks
            header, peaks, in_peaks = [], [], False
        if not text or text.startswith("#"):
            continue
        if in_peaks:
            peaks.append(text)
        else:
            header.append(text)
            in_peaks = bool(_MSP_N_PEAKS.match(text))
    if header:
        yield header, peaks


def _lines(path: Path, on_progress: Progress) -> Iterator[str]:
    size = max(path.stat().st_size, 1)
    done = 0
    with path.open("rb") as file:
        for number, raw in enumerate(file):
            done += len(raw)
            if on_progress and number % 4096 == 0:
                on_progress(done / size)
            yield raw.decode("utf-8-sig" if number == 0 else "utf-8", errors="replace")


def _parse_msp_peaks(lines: list[str]) -> tuple[list[float], list[float]]:
    """Return peaks written one or several to a line, with or without annotations.

    ``77.04 12 "C6H5+"``, ``77 12; 78 3;``, ``77:12 78:3`` and ``(77,12) (78,3)`` are in use.
    """
    numbers: list[float] = []
    for line in lines:
        text = re.split(r"[\"']", line, maxsplit=1)[0]
        for piece in text.split(";"):
            tokens = re.split(r"[\s,:]+", re.sub(r"[()]", " ", piece).strip())
            if tokens == [""]:
                continue
            values = [_number(token) for token in tokens]
            if len(values) % 2 or None in values:
                # m/z, intensity and then an annotation without quotes.
                values = values[:2]
            if len(values) < 2 or None in values:
                raise ValueError(line)
            numbers.extend(value for value in values if value is not None)
    return numbers[::2], numbers[1::2]


def _number(token: str) -> float | None:
    try:
        return float(token)
    except ValueError:
        return None


def _to_record(
    metadata: Mapping[str, Any], mzs: Any, intensities: Any, fallback: str, skipped: Counter[str]
) -> Iterator[Record]:
    """Yield the record of harmonised metadata and peaks, if it can be used."""
    level = text_or_none(metadata.get("ms_level"))
    if level is not None and level.upper().removeprefix("MS") not in ("2", "/MS", "/MS2"):
        skipped[f"not MS2 ({level})"] += 1
        return
    identifier = identifier_of(metadata) or fallback
    record = make_record(
        skipped,
        mzs,
        intensities,
        identifier=identifier,
        **conditions_of(metadata, identifier),
        smiles=_first(metadata, "smiles"),
        inchikey=_first(metadata, "inchikey", "inchiaux", "inchi_aux"),
        formula=_first(metadata, "formula", "molecularformula", "molecular_formula"),
        license=_first(metadata, "license", "licence"),
        contributor=_first(metadata, "contributor") or contributor_of(identifier),
        fold=_first(metadata, "fold"),
    )
    if record is not None:
        yield record


def identifier_of(metadata: Mapping[str, Any]) -> str | None:
    """Return what matchms's metadata, its keys harmonised, call the spectrum."""
    return _first(metadata, "identifier", "spectrum_id", "title", "feature_id")


def conditions_of(metadata: Mapping[str, Any], identifier: str) -> dict[str, Any]:
    """Return how a spectrum was measured, by the names of `Spectrum`, as its metadata say it."""
    ion_mode = _ion_mode(metadata)
    return {
        "precursor_mz": _pepmass(metadata),
        "adduct": _adduct(metadata, ion_mode),
        "collision_energy": _energy(metadata, identifier),
        "instrument_type": _first(metadata, "instrument_type", "instrument"),
        "ion_mode": ion_mode,
    }


def _first(metadata: Mapping[str, Any], *keys: str) -> str | None:
    for key in keys:
        text = text_or_none(metadata.get(key))
        if text is not None:
            return text
    return None


def _pepmass(metadata: Mapping[str, Any]) -> Any:
    value = metadata.get("precursor_mz") or metadata.get("pepmass")
    # pyteomics gives PEPMASS as (m/z, intensity).
    return value[0] if isinstance(value, (tuple, list)) and value else value


def _charge(metadata: Mapping[str, Any]) -> int:
    """Return the signed charge, 0 if it is not given; "2-" and "-2" are the same."""
    value = metadata.get("charge")
    if isinstance(value, (tuple, list)):
        value = value[0] if value else None
    match = re.search(r"([+-]?)(\d+)([+-]?)", str(value if value is not None else ""))
    if not match:
        return 0
    return -int(match[2]) if "-" in (match[1], match[3]) else int(match[2])


def _ion_mode(metadata: Mapping[str, Any]) -> str | None:
    ion_mode = _first(metadata, "ionmode", "polarity")
    if ion_mode is None and str(metadata.get("ionmode")).strip() == "-":
        return "negative"  # elsewhere a dash says that there is nothing to say
    # CHARGE=1 or 1+ is written by default, for negative ions too; a minus is meant.
    if ion_mode is None and _charge(metadata) < 0 and not _first(metadata, "adduct"):
        return "negative"
    return ion_mode


def _adduct(metadata: Mapping[str, Any], ion_mode: str | None) -> str | None:
    adduct = _first(metadata, "adduct", "ion_type", "precursor_ion")
    if adduct is not None:
        return adduct
    name = _ADDUCT_IN_NAME.search(_first(metadata, "compound_name") or "")
    if name and _is_adduct(name[1]):
        return name[1]
    size = abs(_charge(metadata))
    if size > 1:
        negative = _charge(metadata) < 0 or (ion_mode or "").casefold().startswith("n")
        sign = "-" if negative else "+"
        return f"[M{sign}{size}H]{size}{sign}"
    return None


def _is_adduct(text: str) -> bool:
    try:
        parse_adduct(text)
    except AdductError:
        return False
    return True


def _energy(metadata: Mapping[str, Any], identifier: str) -> str | None:
    text = _first(
        metadata, "collision_energy", "collision_energy_voltage", "ce", "nce",
        "normalized_collision_energy", "hcd_collision_energy", "activation_energy",
    )  # fmt: skip
    if text is None:
        return None
    is_number = re.fullmatch(r"[\d.]+", text) is not None
    if is_number and ("nce" in metadata or "normalized_collision_energy" in metadata):
        return f"{text} NCE"
    # MassSpecGym has turned all its energies to eV and left the unit out.
    if is_number and identifier.startswith("MassSpecGymID"):
        return f"{text} eV"
    return text


def _scan_name(scan: Mapping[str, Any], path: Path, number: int) -> str:
    match = re.search(r"\bscan=(\d+)", str(scan.get("id", "")))
    return f"{path.stem}-{match[1] if match else number}"


def _mzml_energy(scan: Mapping[str, Any]) -> str | None:
    try:
        activation = scan["precursorList"]["precursor"][0]["activation"]
        value = float(activation["collision energy"])
    except (KeyError, IndexError, TypeError, ValueError):
        return None
    # Thermo's files give the NCE of the HCD cell under this name, with the unit eV.
    is_hcd = "beam-type collision-induced dissociation" in activation
    return f"{value:g} HCD" if is_hcd else f"{value:g} eV"
