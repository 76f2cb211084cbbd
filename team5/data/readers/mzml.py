"""mzML and mzXML: scans are cut out of the file and each is parsed as XML on its own.

This keeps memory flat and a faulty scan to itself, and reads 20,000 scans faster than the libraries
at hand (``benchmarks/readers.py``).
"""

import binascii
import re
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
from numpy.typing import NDArray

from team5.data.metadata import parse_ion_mode, retention_time
from team5.data.readers.packed import open_unpacked
from team5.data.records import Record, leave_out, make_record
from team5.errors import DataError

Progress = Callable[[float], None] | None
Params = dict[str, tuple[str, str]]  # value and unit by accession

_READ_AT_ONCE = 1 << 20
# Accessions of the PSI-MS ontology.
_MS_LEVEL = "MS:1000511"
_POSITIVE, _NEGATIVE = "MS:1000130", "MS:1000129"
_SELECTED_MZ, _SELECTED_MZ_OLD = "MS:1000744", "MS:1000040"
_CHARGE = "MS:1000041"
_TARGET, _LOWER_OFFSET, _UPPER_OFFSET = "MS:1000827", "MS:1000828", "MS:1000829"
_START_TIME = "MS:1000016"
_FILTER = "MS:1000512"
_ENERGY, _NCE, _SUPPLEMENTAL = "MS:1000045", "MS:1000138", "MS:1002680"
_BEAM_TYPE = ("MS:1000422", "MS:1002481")  # beam-type CID, and its higher-energy kind
_ORBITRAP, _TOF, _ION_TRAPS, _QUADRUPOLE = (
    "MS:1000484", "MS:1000084", ("MS:1000264", "MS:1000291", "MS:1000082", "MS:1000083"),
    "MS:1000081",
)  # fmt: skip
_MZ_ARRAY, _INTENSITY_ARRAY = "MS:1000514", "MS:1000515"
_TYPES = {"MS:1000523": "<f8", "MS:1000521": "<f4", "MS:1000522": "<i8", "MS:1000519": "<i4"}
_ZLIB, _NO_COMPRESSION = "MS:1000574", "MS:1000576"
_NUMPRESS_OR_OTHER = {
    "MS:1002312": "numpress linear", "MS:1002313": "numpress pic", "MS:1002314": "numpress slof",
    "MS:1002746": "numpress linear with zlib", "MS:1002747": "numpress pic with zlib",
    "MS:1002748": "numpress slof with zlib", "MS:1003780": "zstd",
}  # fmt: skip
# Parameters most files have and no spectrum needs: base peak, total current, observed and scanned
# ranges, centroids, injection time. Parsing them would take half of the time.
_NOT_NEEDED = re.compile(
    rb'<cvParam [^>]*"MS:(?:100(?:0042|0127|0128|0285|0500|0501|0504|0505|0527|0528|0580|0616|0795'
    rb'|0796|0927))"[^>]*/>\s*'
)
_LEVEL = re.compile(rb'accession="MS:1000511"[^>]*\bvalue="(\d+)"')
_BINARY = re.compile(rb"<binary\s*/>|<binary[^>]*>([^<]*)</binary>")
_ORBITRAP_WORDS = re.compile(
    r"orbitrap|exactive|exploris|fusion|lumos|eclipse|astral|^ftms", re.IGNORECASE
)
_SCAN_NUMBER = re.compile(r"\bscan=(\d+)")
_NCE_IN_FILTER = re.compile(r"@hcd(\d+(?:\.\d+)?)")


def reader_by_content(head: str) -> Callable[..., Iterator[Record]] | None:
    """Return the reader for a text that begins like this, or None if it is neither format."""
    match = re.search(r"<(?:\w+:)?(?:indexed)?(mzML|mzXML)\b", head)
    return {"mzML": iter_mzml, "mzXML": iter_mzxml}[match[1]] if match else None


def iter_mzml(path: Path, skipped: Counter[str], on_progress: Progress = None) -> Iterator[Record]:
    """Yield the MS2 scans of an mzML file; they have no structure."""
    stem = path.name.split(".")[0]
    head: _Head | None = None
    elements = _elements(path, b"spectrum", b"</mzML>", on_progress)
    for number, (before, text) in enumerate(elements, start=1):
        head = head or _Head(before)
        place = f"spectrum {number}"
        try:
            # The level and the arrays need no XML parser, which takes most of the time.
            if (level := _LEVEL.search(text)) and level[1] != b"2":
                leave_out(skipped, "not_ms2", place, f"MS{level[1].decode()}")
                continue
            binaries = _BINARY.findall(text)
            text = _NOT_NEEDED.sub(b"", _BINARY.sub(b"", text))
            scan = _Scan(ET.fromstring(text), binaries, head)  # noqa: S314
            if scan.level != "2":
                leave_out(skipped, "not_ms2", place, f"MS{scan.level}")
                continue
            mzs, intensities = scan.peaks(path, place)
        except DataError:  # of the whole file
            raise
        except (ET.ParseError, ValueError, zlib.error, KeyError):
            leave_out(skipped, "record_not_understood", place)
            continue
        match = _SCAN_NUMBER.search(scan.id)
        record = make_record(
            skipped,
            mzs,
            intensities,
            identifier=f"{stem}-{match[1] if match else number}",
            scan=match[1] if match else str(number),
            place=place,
            **scan.conditions(),
        )
        if record is not None:
            yield record


class _Head:
    """What stands before the first scan and is said of all: groups of parameters, instruments."""

    def __init__(self, text: bytes) -> None:
        self.groups: dict[str, Params] = {}
        for name, body in re.findall(
            rb'<referenceableParamGroup\b[^>]*\bid="([^"]*)"[^>]*>(.*?)</referenceableParamGroup>',
            text,
            re.DOTALL,
        ):
            self.groups[name.decode()] = _params_of_text(body)
        self.analysers: dict[str, str | None] = {}
        for name, body in re.findall(
            rb'<instrumentConfiguration\b[^>]*\bid="([^"]*)"[^>]*>(.*?)</instrumentConfiguration>',
            text,
            re.DOTALL,
        ):
            params: Params = {}
            for group in re.findall(rb'<referenceableParamGroupRef\b[^>]*\bref="([^"]*)"', body):
                params |= self.groups.get(group.decode(), {})
            words = " ".join(re.findall(r'name="([^"]*)"', body.decode(errors="replace")))
            self.analysers[name.decode()] = _analyser(
                params | _params_of_text(body)
            ) or _instrument_of_words(words)
        default = re.search(rb'\bdefaultInstrumentConfigurationRef="([^"]*)"', text)
        self.default = default[1].decode() if default else next(iter(self.analysers), "")


class _Scan:
    """One ``<spectrum>``, its parameters by accession in each of its parts."""

    def __init__(self, element: ET.Element, binaries: list[bytes], head: _Head) -> None:
        self.id = element.get("id", "")
        self.element = element
        self.binaries = binaries
        self.head = head
        self.own = self._params(element)
        level = self.own.get(_MS_LEVEL, ("?", ""))[0]
        self.level = level.split(".")[0]

    def _params(self, part: ET.Element | None) -> Params:
        params: Params = {}
        for child in part if part is not None else ():
            tag = child.tag
            if tag == "cvParam":
                get = child.get
                params[get("accession", "")] = get("value", ""), get("unitName", "")
            elif tag == "referenceableParamGroupRef":
                params |= self.head.groups.get(child.get("ref", ""), {})
        return params

    def conditions(self) -> dict[str, Any]:
        """Return how the scan was measured, by the names of `Spectrum`."""
        scan = self.element.find("scanList/scan")
        of_scan = self._params(scan)
        reference = scan.get("instrumentConfigurationRef") if scan is not None else None
        instrument = self.head.analysers.get(reference or self.head.default)
        precursor = self.element.find("precursorList/precursor")
        mz, charge, notes = self._precursor(precursor)
        mode = (
            "positive" if _POSITIVE in self.own else "negative" if _NEGATIVE in self.own else None
        )
        adduct = None
        if abs(charge) > 1:
            sign = "-" if mode == "negative" or charge < 0 else "+"
            adduct = f"[M{sign}{abs(charge)}H]{abs(charge)}{sign}"
        time, unit = of_scan.get(_START_TIME, ("", ""))
        return {
            "precursor_mz": mz,
            "adduct": adduct,
            "ion_mode": mode,
            "collision_energy": self._energy(precursor, instrument, of_scan),
            "instrument_type": instrument,
            "retention_time": retention_time(time, 60.0 if unit == "minute" else 1.0),
            "notes": notes,
        }

    def _precursor(self, precursor: ET.Element | None) -> tuple[float | None, int, tuple[str, ...]]:
        """Return precursor m/z, charge (0 unknown) and notes.

        A selected ion outside the window that was isolated is the monoisotopic peak that some
        program believed in; what was fragmented is what the window held.
        """
        if precursor is None:
            return None, 0, ()
        ion = self._params(precursor.find("selectedIonList/selectedIon"))
        window = self._params(precursor.find("isolationWindow"))
        selected = _number(ion, _SELECTED_MZ) or _number(ion, _SELECTED_MZ_OLD)
        charge = int(_number(ion, _CHARGE) or 0)
        target = _number(window, _TARGET)
        if not target:
            return selected or None, charge, ()
        if not selected:
            return target, charge, ("no selected ion; the isolation window's target is taken",)
        # Windows of width 0 are written where the width is not known.
        low, high = (_number(window, name) or 1.0 for name in (_LOWER_OFFSET, _UPPER_OFFSET))
        if target - low - 0.01 <= selected <= target + high + 0.01:
            return selected, charge, ()
        note = f"selected ion {selected:.4f} lies outside its isolation window; its target is taken"
        return target, charge, (note,)

    def _energy(
        self, precursor: ET.Element | None, instrument: str | None, of_scan: Params
    ) -> str | None:
        activation = self._params(precursor.find("activation") if precursor is not None else None)
        normalised = _number(activation, _NCE)
        if normalised:
            return f"{normalised:g} NCE"
        value = _number(activation, _ENERGY)
        if value is None:
            match = _NCE_IN_FILTER.search(of_scan.get(_FILTER, ("", ""))[0])
            return f"{match[1]} HCD" if match else None
        # Orbitraps give the NCE of the HCD cell under this name, with the unit eV.
        is_beam = any(name in activation for name in _BEAM_TYPE)
        is_normalised = is_beam and (instrument is None or "Orbitrap" in instrument)
        return f"{value:g} HCD" if is_normalised else f"{value:g} eV"

    def peaks(self, path: Path, place: str) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return m/z and intensities."""
        arrays: dict[str, NDArray[Any]] = {}
        listed = self.element.iterfind("binaryDataArrayList/binaryDataArray")
        for array, binary in zip(listed, self.binaries, strict=True):
            params = self._params(array)
            kind = next((name for name in (_MZ_ARRAY, _INTENSITY_ARRAY) if name in params), None)
            if kind is None:
                continue
            packing = next((name for name in _NUMPRESS_OR_OTHER if name in params), None)
            if packing:
                raise DataError(
                    f"{path}, {place}: its peaks are packed with {_NUMPRESS_OR_OTHER[packing]}, "
                    "which team5 does not read. Write the file again with msconvert, without "
                    "--numpressAll and with --zlib.",
                    code="numpress",
                )
            raw = binascii.a2b_base64(binary)
            if _ZLIB in params and raw:
                raw = zlib.decompress(raw)
            types = [dtype for name, dtype in _TYPES.items() if name in params]
            if not types:
                raise ValueError("the type of an array is not stated")
            arrays[kind] = np.frombuffer(raw, dtype=types[0])
        empty = np.zeros(0)
        return arrays.get(_MZ_ARRAY, empty), arrays.get(_INTENSITY_ARRAY, empty)


def iter_mzxml(path: Path, skipped: Counter[str], on_progress: Progress = None) -> Iterator[Record]:
    """Yield the MS2 scans of an mzXML file, which holds them one within the other or in a row."""
    stem = path.name.split(".")[0]
    instrument: str | None = None
    elements = _elements(path, b"scan", b"</mzXML>", on_progress)
    for number, (before, text) in enumerate(elements, start=1):
        if number == 1:
            match = re.search(rb"<msMassAnalyzer\b[^>]*value=\"([^\"]*)\"", before)
            instrument = _instrument_of_words(match[1].decode(errors="replace")) if match else None
        try:
            scan = ET.fromstring(text)  # noqa: S314
            if scan.get("msLevel") != "2":
                leave_out(skipped, "not_ms2", f"scan {number}", f"MS{scan.get('msLevel', '?')}")
                continue
            mzs, intensities = _mzxml_peaks(scan)
        except (ET.ParseError, ValueError, zlib.error, KeyError, TypeError):
            leave_out(skipped, "record_not_understood", f"scan {number}")
            continue
        precursor = scan.find("precursorMz")
        energy = scan.get("collisionEnergy")
        method = (precursor.get("activationMethod") or "") if precursor is not None else ""
        is_hcd = method.upper() == "HCD" and "Orbitrap" in (instrument or "Orbitrap")
        mode = parse_ion_mode(scan.get("polarity") or "")
        charge = (precursor.get("precursorCharge") or "0") if precursor is not None else "0"
        size = int(charge) if charge.isdecimal() else 0
        sign = "-" if mode == "negative" else "+"
        record = make_record(
            skipped,
            mzs,
            intensities,
            identifier=f"{stem}-{scan.get('num') or number}",
            scan=scan.get("num") or str(number),
            precursor_mz=precursor.text if precursor is not None else None,
            adduct=f"[M{sign}{size}H]{size}{sign}" if size > 1 else None,
            ion_mode=mode,
            collision_energy=f"{energy} {'HCD' if is_hcd else 'eV'}" if energy else None,
            instrument_type=instrument,
            retention_time=retention_time(scan.get("retentionTime") or "", 1.0),
            place=f"scan {number}",
        )
        if record is not None:
            yield record


def _mzxml_peaks(scan: ET.Element) -> tuple[NDArray[Any], NDArray[Any]]:
    peaks = scan.find("peaks")
    if peaks is None or not (peaks.text or "").strip():
        return np.zeros(0), np.zeros(0)
    raw = binascii.a2b_base64(peaks.text or "")
    if peaks.get("compressionType") == "zlib":
        raw = zlib.decompress(raw)
    pairs = np.frombuffer(raw, dtype=">f8" if peaks.get("precision") == "64" else ">f4")
    n_peaks = int(scan.get("peaksCount") or len(pairs) // 2)
    return pairs[: 2 * n_peaks : 2], pairs[1 : 2 * n_peaks : 2]


def _elements(
    path: Path, tag: bytes, last: bytes, on_progress: Progress
) -> Iterator[tuple[bytes, bytes]]:
    """Yield what stands before each element of a file, and the element, without nested ones."""
    opening = re.compile(rb"<(?:\w+:)?" + tag + rb"\s")
    closing = re.compile(rb"</(?:\w+:)?" + tag + rb">|<(?:\w+:)?" + tag + rb"\s")
    encoding = b""
    buffer = b""
    tail = b""
    with open_unpacked(path) as file:
        while chunk := file.stream.read(_READ_AT_ONCE):
            if on_progress:
                on_progress(file.share_read())
            if not encoding:
                found = re.match(rb"\s*<\?xml[^>]*\bencoding=[\"']([\w-]+)", chunk)
                encoding = found[1] if found else b"utf-8"
            buffer += chunk
            done = 0
            while begin := opening.search(buffer, done):
                end = closing.search(buffer, begin.end())
                if end is None:
                    break
                text = buffer[begin.start() : end.start()]
                yield buffer[done : begin.start()], _as_document(text, tag, encoding)
                done = end.end() if end[0].startswith(b"</") else end.start()
            buffer = buffer[done:]
            tail = (tail + chunk)[-4096:]
    if not re.search(last.replace(b"</", rb"</(?:\w+:)?"), tail):
        raise DataError(
            f"{path}: the file cannot be read to its end ({last.decode()} is missing). "
            "Export it again."
        )


def _as_document(text: bytes, tag: bytes, encoding: bytes) -> bytes:
    if re.match(rb"<\w+:", text):  # a prefix without its namespace is no XML
        text = re.sub(rb"(</?)\w+:", rb"\1", text)
    if encoding.lower() != b"utf-8":
        text = b'<?xml version="1.0" encoding="%s"?>' % encoding + text
    return text + b"</" + tag + b">"


def _params_of_text(text: bytes) -> Params:
    params: Params = {}
    for attributes in re.findall(rb"<(?:\w+:)?cvParam\b([^>]*)>", text):
        found = dict(re.findall(r'(\w+)="([^"]*)"', attributes.decode(errors="replace")))
        params[found.get("accession", "")] = found.get("value", ""), found.get("unitName", "")
    return params


def _number(params: Params, accession: str) -> float | None:
    try:
        return float(params[accession][0])
    except (KeyError, ValueError):
        return None


def _analyser(params: Params) -> str | None:
    """Return the type of instrument by its mass analysers, as MassBank writes it."""
    if _ORBITRAP in params:
        return "Orbitrap"
    if _TOF in params:
        return "QTOF"
    if any(name in params for name in _ION_TRAPS):
        return "ion trap"
    return "QQQ" if _QUADRUPOLE in params else None


def _instrument_of_words(text: str) -> str | None:
    if _ORBITRAP_WORDS.search(text):
        return "Orbitrap"
    if re.search(r"tof|time.of.flight|synapt|impact|maxis", text, re.IGNORECASE):
        return "QTOF"
    return "ion trap" if re.search(r"ion ?trap|^itms", text, re.IGNORECASE) else None
