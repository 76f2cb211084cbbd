"""Readers of mzML and mzXML: scans are cut out of the file and parsed one by one.

Memory stays constant, a faulty scan affects no other, and records read plus skipped are all in the
file. Of the libraries in ``benchmarks/readers.py`` only pymzdata (Rust) reads more scans per
second, twice as many; but it returns nothing of a file with one faulty scan and only the first part
of a truncated file, both without an error, and it refuses compressed files.
"""

import binascii
import codecs
import re
import sys
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache, partial
from itertools import count
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
from numpy.typing import NDArray

from team5.data.metadata import Fields, fields_of
from team5.data.readers.packed import open_unpacked
from team5.data.records import Record, leave_out, record_of
from team5.errors import DataError

Progress = Callable[[float], None] | None
# Value and unit by accession; the value may be an index into the values of a scan.
Params = dict[str, tuple[str | int, str]]

_READ_AT_ONCE = 1 << 20
_MAX_SHAPES = 128
# Accessions of the PSI-MS ontology.
_MS_LEVEL = "MS:1000511"
_POSITIVE, _NEGATIVE = "MS:1000130", "MS:1000129"
_SELECTED_MZ, _SELECTED_MZ_OLD = "MS:1000744", "MS:1000040"
_CHARGE = "MS:1000041"
_TARGET, _LOWER_OFFSET, _UPPER_OFFSET = "MS:1000827", "MS:1000828", "MS:1000829"
_START_TIME = "MS:1000016"
_MINUTE = ("UO:0000031", "MS:1000038")
_FILTER = "MS:1000512"
_ENERGY, _NCE = "MS:1000045", "MS:1000138"
_BEAM_TYPE = ("MS:1000422", "MS:1002481")  # beam-type CID, and its higher-energy kind
_ORBITRAP, _TOF, _ION_TRAPS, _QUADRUPOLE = (
    "MS:1000484", "MS:1000084", ("MS:1000264", "MS:1000291", "MS:1000082", "MS:1000083"),
    "MS:1000081",
)  # fmt: skip
_MZ_ARRAY, _INTENSITY_ARRAY = "MS:1000514", "MS:1000515"
_TYPES = {"MS:1000523": "<f8", "MS:1000521": "<f4", "MS:1000522": "<i8", "MS:1000519": "<i4"}
_ZLIB = "MS:1000574"
_NUMPRESS_OR_OTHER = {
    "MS:1002312": "numpress linear", "MS:1002313": "numpress pic", "MS:1002314": "numpress slof",
    "MS:1002746": "numpress linear with zlib", "MS:1002747": "numpress pic with zlib",
    "MS:1002748": "numpress slof with zlib", "MS:1003780": "zstd",
}  # fmt: skip
_LEVEL = re.compile(rb'accession="MS:1000511"[^>]*\bvalue="(\d+)"')
_BINARY = re.compile(rb"<binary(?:\s[^>]*)?(?:/>|>([^<]*)</binary>)")
# The parts that differ from scan to scan in otherwise equal XML.
_START = re.compile(rb'<spectrum\s[^>]*\bid="([^"<&>]*)"[^>]*>')
_LENGTH = re.compile(rb'Length="\d*"')
_REFERENCE = re.compile(rb'spectrumRef="[^"<&]*"')
_VALUE = re.compile(rb' value="([^"<&]*)"')
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
    shape_of: Callable[[bytes], _Shape] | None = None
    elements = _elements(path, b"spectrum", b"</mzML>", on_progress)
    for number, (before, text) in enumerate(elements, start=1):
        if shape_of is None:
            shape_of = lru_cache(maxsize=_MAX_SHAPES)(partial(_Shape, head=_Head(before)))
        place = f"spectrum {number}"
        try:
            if (level := _LEVEL.search(text)) and level[1] != b"2":
                leave_out(skipped, "not_ms2", place, f"MS{level[1].decode()}")
                continue
            scan = _Scan(text, shape_of)
            if scan.level != "2":
                leave_out(skipped, "not_ms2", place, f"MS{scan.level}")
                continue
            mzs, intensities = scan.peaks(path, place)
            fields, notes = scan.fields()
        except DataError:  # of the whole file
            raise
        except (ET.ParseError, ValueError, zlib.error, KeyError):
            leave_out(skipped, "record_not_understood", place)
            continue
        match = _SCAN_NUMBER.search(scan.id)
        name = match[1] if match else str(number)
        record = record_of(
            skipped,
            {**fields, "scan": name},
            mzs,
            intensities,
            name=f"{stem}-{name}",
            place=place,
            notes=notes,
        )
        if record is not None:
            yield record


class _Head:
    """Header of a file, valid for all scans: groups of parameters, instruments."""

    def __init__(self, content: bytes) -> None:
        text = re.sub(r"(</?)\w+:", r"\1", content.decode(errors="replace"))
        self.groups: dict[str, Params] = {}
        for name, body in _named_elements("referenceableParamGroup", text):
            self.groups[name] = _params_of_text(body)
        self.analysers: dict[str, str | None] = {}
        for name, body in _named_elements("instrumentConfiguration", text):
            params: Params = {}
            for group in re.findall(r'<referenceableParamGroupRef\b[^>]*\bref="([^"]*)"', body):
                params |= self.groups.get(group, {})
            words = " ".join(re.findall(r'name="([^"]*)"', body))
            analyser = _analyser(params | _params_of_text(body))
            self.analysers[name] = analyser or _instrument_of_words(words)
        default = re.search(r'\bdefaultInstrumentConfigurationRef="([^"]*)"', text)
        self.default = default[1] if default else next(iter(self.analysers), "")


def _named_elements(tag: str, text: str) -> list[tuple[str, str]]:
    """Return the id and the content of each element with this tag."""
    return re.findall(rf'<{tag}\b[^>]*\bid="([^"]*)"[^>]*>(.*?)</{tag}>', text, re.DOTALL)


class _Shape:
    """Shared structure of scans whose XML differs only in identifiers and values.

    Most scans of a file share one, and parsing their XML would take most of the time. Values are
    represented by their indices into the values of a scan.
    """

    def __init__(self, text: bytes, head: _Head) -> None:
        counter = count()
        numbered = _VALUE.sub(lambda _: b' at="%d"' % next(counter), text)
        element = ET.fromstring(numbered)  # noqa: S314  (expat expands no external entities)
        self.id = element.get("id")
        self.own = self._params(element, head)
        scan = element.find("scanList/scan")
        self.scan = self._params(scan, head)
        reference = scan.get("instrumentConfigurationRef") if scan is not None else None
        self.instrument = head.analysers.get(reference or head.default)
        self.ion, self.window, self.activation = (
            self._params(element.find(f"precursorList/precursor/{part}"), head)
            for part in ("selectedIonList/selectedIon", "isolationWindow", "activation")
        )
        self.arrays = [
            self._params(array, head)
            for array in element.iterfind("binaryDataArrayList/binaryDataArray")
        ]

    def _params(self, part: ET.Element | None, head: _Head) -> Params:
        params: Params = {}
        for child in part if part is not None else ():
            if child.tag == "cvParam":
                place = child.get("at")
                value = child.get("value", "") if place is None else int(place)
                params[child.get("accession", "")] = value, _unit(child.attrib)
            elif child.tag == "referenceableParamGroupRef":
                params |= head.groups.get(child.get("ref", ""), {})
        return params


class _Scan:
    """One ``<spectrum>``: its shape, its values and its arrays."""

    def __init__(self, text: bytes, shape_of: Callable[[bytes], _Shape]) -> None:
        start = _START.match(text)
        parts = _BINARY.split(text[start.end() :] if start else text)
        self.binaries = parts[1::2]
        remainder = _REFERENCE.sub(b"", _LENGTH.sub(b'Length=""', b"".join(parts[::2])))
        parts = _VALUE.split(remainder)
        self.values = parts[1::2]
        shape = b' value=""'.join(parts[::2])
        self.shape = shape_of(b"<spectrum>" + shape if start else shape)
        self.id = start[1].decode() if start else self.shape.id or ""
        self.level = self._text(self.shape.own, _MS_LEVEL).split(".")[0] or "?"

    def _text(self, params: Params, accession: str) -> str:
        value = params.get(accession, ("", ""))[0]
        return self.values[value].decode() if isinstance(value, int) else value

    def _number(self, params: Params, accession: str) -> float | None:
        if accession not in params:
            return None
        try:
            return float(self._text(params, accession))
        except ValueError:
            return None

    def fields(self) -> tuple[Fields, tuple[str, ...]]:
        """Return the scan's fields, by meaning, and notes on oddities."""
        shape = self.shape
        mz, charge, notes = self._precursor()
        polarity = (
            "positive" if _POSITIVE in shape.own else "negative" if _NEGATIVE in shape.own else None
        )
        unit = shape.scan.get(_START_TIME, ("", ""))[1]
        fields = {
            "precursor_mz": str(mz) if mz else None,
            "charge": str(charge) if charge else None,
            "ion_mode": polarity,
            "collision_energy": self._energy(),
            "instrument_type": shape.instrument,
            "rt_minutes" if unit == "minute" else "rt_seconds": self._text(shape.scan, _START_TIME),
        }
        return {meaning: text for meaning, text in fields.items() if text}, notes

    def _precursor(self) -> tuple[float | None, int, tuple[str, ...]]:
        """Return precursor m/z, charge (0 unknown) and notes.

        A selected ion outside the isolation window is some program's guess of the monoisotopic
        peak; the fragmented ions are those in the window.
        """
        ion, window = self.shape.ion, self.shape.window
        selected = self._number(ion, _SELECTED_MZ) or self._number(ion, _SELECTED_MZ_OLD)
        charge = int(self._number(ion, _CHARGE) or 0)
        target = self._number(window, _TARGET)
        if not target:
            return selected, charge, ()
        if not selected:
            return target, charge, ("no selected ion, so the isolation window's target is taken",)
        # Windows of width 0 are written where the width is not known.
        low, high = (self._number(window, name) or 1.0 for name in (_LOWER_OFFSET, _UPPER_OFFSET))
        if target - low - 0.01 <= selected <= target + high + 0.01:
            return selected, charge, ()
        note = (
            f"selected ion {selected:.4f} lies outside its isolation window, whose target is taken"
        )
        return target, charge, (note,)

    def _energy(self) -> str | None:
        activation, instrument = self.shape.activation, self.shape.instrument
        normalised = self._number(activation, _NCE)
        if normalised:
            return f"{normalised:g} NCE"
        value = self._number(activation, _ENERGY)
        if value is None:
            match = _NCE_IN_FILTER.search(self._text(self.shape.scan, _FILTER))
            return f"{match[1]} HCD" if match else None
        # Orbitraps give the NCE of the HCD cell under this name, with the unit eV.
        is_beam = any(name in activation for name in _BEAM_TYPE)
        is_normalised = is_beam and "Orbitrap" in (instrument or "")
        return f"{value:g} HCD" if is_normalised else f"{value:g} eV"

    def peaks(self, path: Path, place: str) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return m/z and intensities."""
        arrays: dict[str, NDArray[Any]] = {}
        for params, binary in zip(self.shape.arrays, self.binaries, strict=True):
            kind = next((name for name in (_MZ_ARRAY, _INTENSITY_ARRAY) if name in params), None)
            if kind is None:
                continue
            packing = next((name for name in params if name in _NUMPRESS_OR_OTHER), None)
            if packing:
                raise DataError(
                    f"{path}, {place}: its peaks are packed with {_NUMPRESS_OR_OTHER[packing]}, "
                    "which team5 does not read. Write the file again with msconvert, without "
                    "--numpressAll and with --zlib.",
                    code="numpress",
                )
            raw = binascii.a2b_base64(binary or b"")
            if _ZLIB in params and raw:
                raw = zlib.decompress(raw)
            dtype = next((_TYPES[name] for name in params if name in _TYPES), None)
            if dtype is None:
                raise ValueError("the type of an array is not stated")
            arrays[kind] = np.frombuffer(raw, dtype=dtype)
        empty = np.zeros(0)
        return arrays.get(_MZ_ARRAY, empty), arrays.get(_INTENSITY_ARRAY, empty)


def iter_mzxml(path: Path, skipped: Counter[str], on_progress: Progress = None) -> Iterator[Record]:
    """Yield the MS2 scans of an mzXML file, which may be nested or consecutive."""
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
        of_precursor = precursor.attrib if precursor is not None else {}
        energy = scan.get("collisionEnergy")
        is_hcd = of_precursor.get("activationMethod", "").upper() == "HCD"
        unit = "HCD" if is_hcd and "Orbitrap" in (instrument or "Orbitrap") else "eV"
        name = scan.get("num") or str(number)
        values = {
            "scan": name,
            "precursor_mz": precursor.text if precursor is not None else None,
            "charge": of_precursor.get("precursorCharge"),
            "polarity": scan.get("polarity"),
            "collision_energy": f"{energy} {unit}" if energy else None,
            "instrument_type": instrument,
            "rt_seconds": scan.get("retentionTime"),
        }
        record = record_of(
            skipped,
            fields_of(values.items()),
            mzs,
            intensities,
            name=f"{stem}-{name}",
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
    """Yield the text before each element of a file, and the element, without nested ones.

    The elements are UTF-8 and have no prefixes.
    """
    opening = b""
    encoding = ""
    buffer = b""
    tail = b""
    with open_unpacked(path) as file:
        while chunk := file.stream.read(_READ_AT_ONCE):
            if on_progress:
                on_progress(file.share_read())
            buffer += chunk
            file.check_size(len(buffer))
            tail = (tail + chunk)[-4096:]
            if not encoding:
                match = re.match(rb"\s*<\?xml[^>]*\bencoding=[\"']([\w-]+)", buffer)
                encoding = _known_encoding(match[1].decode(), path) if match else "utf-8"
            if not opening:
                first = re.search(rb"<(?:\w+:)?" + tag + rb"\s", buffer)
                if first is None:
                    continue
                opening = first[0][:-1]
            closing = opening.replace(b"<", b"</") + b">"
            done = 0
            while (begin := _find_tag(buffer, opening, done)) >= 0:
                end = buffer.find(closing, begin)
                nested = _find_tag(buffer, opening, begin + 1, end if end >= 0 else len(buffer))
                if nested < 0 and end < 0:
                    break
                text = buffer[begin : nested if nested >= 0 else end] + closing
                if b":" in opening:  # a prefix without its namespace is no XML
                    text = re.sub(rb"(</?)\w+:", rb"\1", text)
                if encoding != "utf-8":
                    text = text.decode(encoding, "replace").encode()
                yield buffer[done:begin], text
                done = nested if nested >= 0 else end + len(closing)
            buffer = buffer[done:]
    if not re.search(last.replace(b"</", rb"</(?:\w+:)?"), tail):
        raise DataError(
            f"{path}: the file cannot be read to its end ({last.decode()} is missing). "
            "Export it again."
        )


def _find_tag(text: bytes, opening: bytes, start: int, end: int = sys.maxsize) -> int:
    """Return where a tag of this name begins, but not longer names such as ``<scanList``; or -1."""
    at = text.find(opening, start, end)
    while at >= 0 and not text[at + len(opening) : at + len(opening) + 1].isspace():
        at = text.find(opening, at + 1, end)
    return at


def _known_encoding(name: str, path: Path) -> str:
    try:
        return codecs.lookup(name).name
    except LookupError as error:
        raise DataError(f"{path}: unknown encoding {name!r}. Write the file as UTF-8.") from error


def _params_of_text(text: str) -> Params:
    params: Params = {}
    for attributes in re.findall(r"<cvParam\b([^>]*)>", text):
        values = dict(re.findall(r'(\w+)="([^"]*)"', attributes))
        params[values.get("accession", "")] = values.get("value", ""), _unit(values)
    return params


def _unit(attributes: Mapping[str, str]) -> str:
    is_minute = attributes.get("unitAccession") in _MINUTE
    return "minute" if is_minute else attributes.get("unitName", "")


def _analyser(params: Params) -> str | None:
    """Return the instrument type from its mass analysers, in MassBank's notation."""
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
