"""Readers of MGF, MSP and SIRIUS ``.ms``: fields and lists of peaks in plain text.

All three have two kinds of lines. A peak begins with numbers, and anything after them is an
annotation; all other lines are fields. Records are cut out of the text and parsed whole. All
texts begin with the line feed before their first line, because that is fastest to search for.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import chain, pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from team5.data.metadata import fields_of
from team5.data.readers.massbank import contributor_of
from team5.data.readers.numbers import Numbers
from team5.data.readers.packed import Unpacked, open_unpacked
from team5.data.records import Record, leave_out, record_of
from team5.errors import DataError

Progress = Callable[[float], None] | None
Reader = Callable[[Path, Counter[str], Progress], Iterator[Record]]
Pairs = list[tuple[str, str]]
_Numbers = list[float] | NDArray[np.float64]

_READ_AT_ONCE = 1 << 20  # characters
_MGF_EDGE = re.compile(r"\n[ \t]*(?=[BbEe])(?i:(BEGIN|END)[ \t]+IONS)[ \t]*$", re.MULTILINE)
_MGF_FIELD = re.compile(r"\n[ \t]*([^\s\d=#;!/][^=\n]*)=(.*)")
_MSP_FIELD = re.compile(r"\n[ \t]*(?![+-]\.?\d)([^\s\d:(.#][^:\n]*):(.*)")
_MS_FIELD = re.compile(r"\n[ \t]*([>#]+[ \t]*\S+)[ \t]*(.*)")
_PEAK_LINE = re.compile(r"\n[ \t]*[(+-]?\.?\d")
_N_PEAKS = re.compile(r"\n[ \t]*(?i:num[ _]?peaks?)[ \t]*:")
_NAME = re.compile(r"\n[ \t]*(?i:name)[ \t]*:")
_PAIRS = re.compile(r"(?:\n[ \t]*+[0-9.eE+-]++[ \t]++[0-9.eE+-]++[ \t]*+)++\n*")
_NUMBER = r"[+-]?(?:\d[\d.,]*|\.\d+)(?:[eE][+-]?\d+)?|nan|[+-]?inf"
_QUOTED = r"""[ \t]*(?:"[^"]*"|'[^']*')?[ \t]*"""
_PAIR = re.compile(
    rf"""[\s(;]*({_NUMBER})[\s:]+({_NUMBER})(?=[\s;)"']|$)\)?{_QUOTED}(;?)""", re.IGNORECASE
)
# A comma between numbers, unlike one within a number: 77.04,12 and 77.04, 12
_BETWEEN_COLUMNS = re.compile(r"^([^\s,]+),(?:\s+|(?=[^\s,]+(?:\s*$|\s+[^\d\s.+-])))")
_COMMENTS = ("#", ";", "!", "//")
# Of SIRIUS: what stands for the ion's m/z there is the neutral mass elsewhere.
_MS_KEYS = {"parentmass": "precursor_mz", "compound": "group", "rt": "rtinseconds"}
_MS_PEAKS = re.compile(r"(?i)(ms1\w*|ms2\w*|collision\w*|ms)$")


def reader_by_content(head: str) -> Reader | None:
    """Return the reader for a text that begins like this, or None if it is not a peak list."""
    head = f"\n{head}"
    if _MGF_EDGE.search(head):
        return iter_mgf
    if re.search(r"\n>(compound|parentmass|ms2|ms2peaks)\b", head):
        return iter_ms
    if _N_PEAKS.search(head) or (_NAME.search(head) and _MSP_FIELD.search(head)):
        return iter_msp
    return None


def iter_mgf(path: Path, skipped: Counter[str], on_progress: Progress = None) -> Iterator[Record]:
    """Yield the records of an MGF file (Mascot, GNPS, MassSpecGym, MS-DIAL, MZmine, R Spectra)."""
    builder = _Builder(path, skipped, _MGF_FIELD, minutes=False)
    with open_unpacked(path) as file:
        defaults: Pairs = []
        for number, (line, block) in enumerate(
            _mgf_blocks(file, skipped, defaults, on_progress), 1
        ):
            header, peaks = _cut(block)
            pairs = _MGF_FIELD.findall(header)
            yield from builder.build(pairs + defaults if defaults else pairs, peaks, number, line)


def iter_msp(path: Path, skipped: Counter[str], on_progress: Progress = None) -> Iterator[Record]:
    """Yield the records of an MSP file (NIST, MoNA, MassBank's and MS-DIAL's exports)."""
    builder = _Builder(path, skipped, _MSP_FIELD, minutes=True)
    with open_unpacked(path) as file:
        for number, (line, header, peaks) in enumerate(_msp_blocks(file, on_progress), start=1):
            yield from builder.build(_MSP_FIELD.findall(header), peaks, number, line)


def iter_ms(path: Path, skipped: Counter[str], on_progress: Progress = None) -> Iterator[Record]:
    """Yield the MS2 spectra of a SIRIUS ``.ms`` file; those of a compound form a group."""
    builder = _Builder(path, skipped, _MS_FIELD, minutes=False)
    number = line = 0
    compound: Pairs = []
    with open_unpacked(path) as file:
        for section in _ms_sections(file, on_progress):
            header, peaks = _cut(section)
            level = "2"
            of_peaks: Pairs = []
            for marked, value in _MS_FIELD.findall(header):
                key = marked.strip("># \t").casefold()
                pair = _MS_KEYS.get(key, key), value
                if _MS_PEAKS.match(key):
                    level = "1" if key.startswith("ms1") else "2"
                    of_peaks = [pair] if key.startswith("collision") else []
                elif marked.startswith("#"):
                    of_peaks.append(pair)
                else:
                    compound = [pair] if key == "compound" else [*compound, pair]
            if peaks:
                number += 1
                pairs = [*of_peaks, *compound, ("ms_level", level)]
                yield from builder.build(pairs, peaks, number, line + 1)
            line += section.count("\n")


class _Builder:
    """Builder of a file's records from fields and peaks; counts the reason if there is none."""

    def __init__(
        self, path: Path, skipped: Counter[str], field: re.Pattern[str], minutes: bool
    ) -> None:
        self.stem = path.name.split(".")[0]
        self.skipped = skipped
        self.numbers = Numbers(path, lambda: _samples(path))
        self.field = field
        self.minutes = minutes
        self.last = ("", 0)

    def build(self, pairs: Pairs, peak_text: str, number: int, line: int) -> Iterator[Record]:
        """Yield the record, if it can be used."""
        place = f"spectrum {number}, line {line}"
        try:
            peaks, more = self._peaks(peak_text)
        except DataError:  # of the whole file
            raise
        except ValueError:
            leave_out(self.skipped, "peaks_not_understood", place)
            return
        fields = fields_of(pairs + more if more else pairs)
        mzs, intensities, in_pairs = peaks
        announced = fields.get("n_peaks", "")[:9]  # as an integer; longer ones are not charges
        if announced.isdecimal() and int(announced) != len(mzs):
            if int(announced) != len(in_pairs) // 2:
                leave_out(self.skipped, "n_peaks_differ", place)
                return
            mzs, intensities = in_pairs[::2], in_pairs[1::2]
        if "precursor_mz" in fields:
            fields["precursor_mz"] = self.numbers.in_field(fields["precursor_mz"])
        identifier = fields.get("identifier") or fields.get("title")
        name = identifier or self._name(fields.get("group") or fields.get("feature_id"), number)
        if "contributor" not in fields and (contributor := contributor_of(name)):
            fields["contributor"] = contributor
        record = record_of(
            self.skipped, fields, mzs, intensities, name=name, place=place, minutes=self.minutes
        )
        if record is not None:
            yield record

    def _name(self, group: str | None, number: int) -> str:
        """Return a name for a record without one; consecutive spectra of a feature are numbered."""
        if not group:
            return f"{self.stem}-{number}"
        count = self.last[1] + 1 if self.last[0] == group else 1
        self.last = group, count
        return group if count == 1 else f"{group}-{count}"

    def _peaks(self, text: str) -> tuple[tuple[_Numbers, _Numbers, _Numbers], Pairs]:
        """Return m/z, intensities, all numbers in pairs, and fields found among the peaks."""
        if _PAIRS.fullmatch(text):
            with suppress(ValueError):  # 1-2 or e5: line by line
                every_number = np.array(text.split(), dtype=np.float64)
                return (every_number[::2], every_number[1::2], every_number), []
        first: list[float] = []
        every: list[float] = []
        fields: Pairs = []
        for line in text.split("\n"):
            stripped = line.strip()
            if not stripped or stripped.startswith(_COMMENTS):
                continue
            if _PEAK_LINE.match(f"\n{stripped}"):
                values, is_listed = self._pairs_of(stripped)
                first += values if is_listed else values[:2]
                every += values
            elif match := self.field.match(f"\n{stripped}"):
                fields.append((match[1], match[2]))
            else:
                raise ValueError(stripped)
        return (first[::2], first[1::2], every), fields

    def _pairs_of(self, line: str) -> tuple[list[float], bool]:
        """Return the numbers of a line of peaks, and whether the line lists several peaks.

        ``77.04 12 "C6H5+"``, ``77 12; 78 3;``, ``77:12 78:3``, ``(77,12) (78,3)`` and ``77.04,12``
        are in use.
        """
        if line.startswith("("):
            line = line.replace(",", " ")
        elif "," in line:
            line = _BETWEEN_COLUMNS.sub(r"\1 ", line)
        values: list[float] = []
        position = 0
        is_listed = False
        while match := _PAIR.match(line, position):
            values += [self.numbers.parse(match[1]), self.numbers.parse(match[2])]
            is_listed = is_listed or bool(match[3]) or ":" in match[0] or match[0][0] == "("
            position = match.end()
        if not values:
            raise ValueError(line)
        return values, is_listed


def _cut(block: str) -> tuple[str, str]:
    """Return the fields of a record and its peaks."""
    first = _PEAK_LINE.search(block)
    return (block[: first.start()], block[first.start() :]) if first else (block, "")


def _chunks(file: Unpacked, on_progress: Progress) -> Iterator[str]:
    """Yield the text of a file in chunks of whole lines, a line feed before each line."""
    text = file.text()
    rest = "\n"
    while chunk := text.read(_READ_AT_ONCE):
        if "\r" in chunk:
            if chunk[-1] == "\r":
                chunk += text.read(1)
            chunk = chunk.replace("\r\n", "\n").replace("\r", "\n")
        if on_progress:
            on_progress(file.share_read())
        chunk = rest + chunk
        cut = chunk.rfind("\n")
        file.check_size(len(chunk) - cut)
        yield chunk[:cut]
        rest = chunk[cut:]
    yield rest


def _mgf_blocks(
    file: Unpacked, skipped: Counter[str], defaults: Pairs, on_progress: Progress
) -> Iterator[tuple[int, str]]:
    """Yield each record's text and first line; parameters of the whole file go to `defaults`."""
    buffer = ""
    line = 0
    inside = False
    for chunk in _chunks(file, on_progress):
        buffer += chunk
        file.check_size(len(buffer))
        done = 0
        for edge in _MGF_EDGE.finditer(buffer):
            block = buffer[done : edge.start()]
            begins = edge[1][0] in "Bb"
            if inside and not begins:
                yield line, block
            elif inside or not begins:
                leave_out(skipped, "no_end" if begins else "no_begin", f"line {line}")
            else:
                defaults += [pair for pair in _MGF_FIELD.findall(block) if pair[1].strip()]
            inside = begins
            line += block.count("\n") + 1
            done = edge.end()
        buffer = buffer[done:]
    if inside:
        leave_out(skipped, "no_end", f"line {line}")


def _msp_blocks(file: Unpacked, on_progress: Progress) -> Iterator[tuple[int, str, str]]:
    """Yield the first line, fields and peaks of each record.

    A record ends where a field follows its peaks; blank lines between records are not needed.
    """
    buffer = ""
    line = 1
    for chunk in chain(_chunks(file, on_progress), (None,)):
        buffer += chunk or ""
        file.check_size(len(buffer))
        done = 0
        while done < len(buffer):
            first = _PEAK_LINE.search(buffer, done)
            if first is None and chunk is not None:
                break
            peaks_at = first.start() if first else len(buffer)
            after = _MSP_FIELD.search(buffer, peaks_at)
            if after is None and chunk is not None:
                break
            end = after.start() if after else len(buffer)
            headers = _msp_headers(buffer[done:peaks_at])
            for header in headers[:-1]:
                yield line, header, ""
                line += header.count("\n")
            if peaks_at < end or headers[-1].strip():
                yield line, headers[-1], buffer[peaks_at:end]
            line += headers[-1].count("\n") + buffer.count("\n", peaks_at, end)
            done = end
        buffer = buffer[done:]


def _msp_headers(text: str) -> list[str]:
    """Separate the fields of records without peaks from those of the next record."""
    marks = [match.end() for match in _N_PEAKS.finditer(text)]
    cuts = [text.find("\n", mark) for mark in marks]
    if "\n\n" in text.strip("\n") and len(_NAME.findall(text)) > len(marks):
        # Without "Num Peaks" a blank line and another name tell records apart.
        cuts += [
            match.end() - 1 for match in re.finditer(r"\n\s*\n(?=[ \t]*(?i:name)[ \t]*:)", text)
        ]
    begin, end = len(text) - len(text.lstrip()), len(text.rstrip())
    bounds = sorted({0, *(cut for cut in cuts if begin < cut < end), len(text)})
    return [text[a:b] for a, b in pairwise(bounds)] or [""]


def _ms_sections(file: Unpacked, on_progress: Progress) -> Iterator[str]:
    """Yield each run of fields with the peaks after it."""
    buffer = ""
    for chunk in chain(_chunks(file, on_progress), (None,)):
        buffer += chunk or ""
        file.check_size(len(buffer))
        done = 0
        while first := _PEAK_LINE.search(buffer, done):
            after = _MS_FIELD.search(buffer, first.start())
            if after is None:
                break
            yield buffer[done : after.start()]
            done = after.start()
        buffer = buffer[done:]
    yield buffer


def _samples(path: Path) -> Iterator[tuple[str, str]]:
    """Yield the numbers of peaks and precursors, with their line numbers."""
    field = re.compile(r"[^=:\d]*(?:pepmass|precursor[ _]?m/?z)[^=:]*[=:](.*)", re.IGNORECASE)
    line = 0
    with open_unpacked(path) as file:
        for chunk in _chunks(file, None):
            for text in chunk.split("\n")[1:]:
                line += 1
                if _PEAK_LINE.match(f"\n{text}"):
                    if text.lstrip().startswith("("):
                        continue
                    tokens = re.split(r"[\s;:]+", text.strip())[:2]
                    if len(tokens) < 2 or not re.match(r"[+-]?[\d.]", tokens[1]):
                        continue  # 77.04,12: the comma is between numbers
                elif match := field.match(text):
                    tokens = match[1].split()[:1]
                else:
                    continue
                for token in tokens:
                    yield token.rstrip(","), f"line {line}"
