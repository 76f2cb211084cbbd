"""Readers of spectra against those of other programs: what each reads, how fast.

    python benchmarks/readers.py FOLDER [--repeats 3] [--no-compare]

Every MGF, MSP and mzML file below the folder is read by each program that can: pyteomics, matchms,
pymzml, pymzdata and pyopenms. Differences in the number of MS2 spectra, in peaks, precursors and
adducts are listed with what both read; the speed is of one process, the best of some repeats, in
spectra per second of processor time, and the memory what the process had at most until then.
"""

from __future__ import annotations

import argparse
import resource
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from itertools import zip_longest
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from machine import machine_line, print_table

from team5.data.metadata import first_number
from team5.data.readers import iter_spectra
from team5.data.records import Skipped
from team5.errors import AdductError, Team5Error

_MAX_SHOWN = 5  # differences of one kind in one file


class Read(NamedTuple):
    """What a program makes of a spectrum; None where it does not tell."""

    mzs: Any
    intensities: Any
    precursor_mz: float | None
    adduct: str | None


def main() -> int:
    """Compare and measure; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--no-compare", action="store_true", help="measure speed only")
    given = parser.parse_args()
    files = sorted(path for path in given.folder.rglob("*") if path.suffix.casefold() in READERS)
    if not files:
        print(f"{given.folder}: no MGF, MSP or mzML file.", file=sys.stderr)
        return 2
    print(machine_line())
    n_different = 0 if given.no_compare else sum(map(compare, files))
    rows = []
    for path in files:
        for name, reader in {"team5": ours, **READERS[path.suffix.casefold()]}.items():
            rows.append([path.name, name, *speed(reader, path, given.repeats)])
    print_table(["file", "program", "spectra", "per second", "MB"], rows)
    print(f"\n{len(files)} files, {n_different} differences listed above.")
    return 0


def ours(path: Path) -> Iterator[Read]:
    """Read by team5."""
    for record in iter_spectra(path, Skipped()):
        one = record.spectrum
        yield Read(one.mzs, one.intensities, one.precursor_mz, one.adduct)


def pyteomics_mgf(path: Path) -> Iterator[Read]:
    """Read by pyteomics."""
    from pyteomics import mgf

    for one in mgf.read(str(path), use_index=False):
        precursor = one["params"].get("pepmass") or (None,)
        adduct = one["params"].get("adduct")
        yield Read(one["m/z array"], one["intensity array"], precursor[0], adduct)


def pyteomics_mzml(path: Path) -> Iterator[Read]:
    """Read by pyteomics."""
    from pyteomics import mzml

    for one in mzml.read(str(path), use_index=False):
        if one.get("ms level") == 2:
            chosen = one["precursorList"]["precursor"][0].get("selectedIonList", {})
            ions = chosen.get("selectedIon", [{}])
            yield Read(
                one["m/z array"], one["intensity array"], ions[0].get("selected ion m/z"), None
            )


def pymzml_mzml(path: Path) -> Iterator[Read]:
    """Read by pymzml."""
    import pymzml

    for one in pymzml.run.Reader(str(path)):
        if one.ms_level == 2:
            chosen = one.selected_precursors
            yield Read(one.mz, one.i, chosen[0]["mz"] if chosen else None, None)


def pymzdata_mzml(path: Path) -> Iterator[Read]:
    """Read by pymzdata."""
    import pymzdata

    with pymzdata.MZReader(str(path)) as reader:
        for one in reader:
            if one.ms_level == 2:
                ions = one.precursor.ions
                ions = ions() if callable(ions) else ions
                mz = ions[0].mz if ions else None
                yield Read(one.mz_array(), one.intensity_array(), mz, None)


def pyopenms_mzml(path: Path) -> Iterator[Read]:
    """Read by pyopenms, all of the file at once."""
    import pyopenms

    run = pyopenms.MSExperiment()
    pyopenms.MzMLFile().load(str(path), run)
    for one in run:
        if one.getMSLevel() == 2:
            ions = one.getPrecursors()
            yield Read(*one.get_peaks(), ions[0].getMZ() if ions else None, None)


def matchms_by(loader: str) -> Callable[[Path], Iterator[Read]]:
    """Return a reader by matchms."""

    def read(path: Path) -> Iterator[Read]:
        from matchms import importing

        for one in getattr(importing, loader)(str(path)):
            yield Read(
                one.peaks.mz, one.peaks.intensities, one.get("precursor_mz"), one.get("adduct")
            )

    return read


READERS: dict[str, dict[str, Callable[[Path], Iterator[Read]]]] = {
    ".mgf": {"pyteomics": pyteomics_mgf, "matchms": matchms_by("load_from_mgf")},
    ".msp": {"matchms": matchms_by("load_from_msp")},
    ".mzml": {
        "pyteomics": pyteomics_mzml,
        "pymzml": pymzml_mzml,
        "pymzdata": pymzdata_mzml,
        "pyopenms": pyopenms_mzml,
        "matchms": matchms_by("load_from_mzml"),
    },
}


def compare(path: Path) -> int:
    """List where another program reads a file differently; returns how many places there are."""
    skipped = Skipped()
    try:
        own = [record.spectrum for record in iter_spectra(path, skipped)]
    except Team5Error as error:
        print(f"{path}: team5: {error}")
        return 1
    n_different = 0
    for name, reader in READERS[path.suffix.casefold()].items():
        differences: list[str] = []
        try:
            # What has no peaks, or none above 0, is no spectrum here.
            others = [one for one in reader(path) if len(one.mzs) and np.max(one.intensities) > 0]
        except ImportError:
            continue
        except Exception as error:  # noqa: BLE001  (whatever the other program raises is its answer)
            print(f"{path}: {name} ends with {type(error).__name__}: {str(error)[:100]}")
            n_different += 1
            continue
        if len(others) != len(own):
            reasons = ", ".join(f"{reason} ({n})" for reason, n in skipped.most_common())
            differences.append(f"{len(own)} spectra, {name} {len(others)}; left out: {reasons}")
        else:
            differences += list(_differences(own, others, name))
        n_different += len(differences)
        for text in differences[:_MAX_SHOWN]:
            print(f"{path}: {text}")
        if len(differences) > _MAX_SHOWN:
            print(f"{path}: ... and {len(differences) - _MAX_SHOWN} more from {name}")
    return n_different


def _differences(own: Iterable[Any], others: Iterable[Read], name: str) -> Iterator[str]:
    for number, (one, other) in enumerate(zip_longest(own, others), start=1):
        mzs = np.sort(np.asarray(other.mzs, dtype=float)[np.asarray(other.intensities) > 0])
        if len(mzs) != one.n_peaks:
            yield f"spectrum {number}: {one.n_peaks} peaks, {name} {len(mzs)}"
        elif not np.allclose(mzs, one.mzs, rtol=1e-6):
            yield f"spectrum {number}: peaks differ from those of {name}"
        theirs = first_number(other.precursor_mz)
        if theirs and (one.precursor_mz is None or abs(theirs - one.precursor_mz) > 1e-4):
            yield f"spectrum {number}: precursor {one.precursor_mz}, {name} {theirs}"
        if other.adduct and other.adduct != one.adduct and not _same(other.adduct, one.adduct):
            yield f"spectrum {number}: adduct {one.adduct}, {name} {other.adduct}"


def _same(text: str, adduct: str | None) -> bool:
    from team5.chemistry.adducts import parse_adduct

    try:
        return parse_adduct(text).name == adduct
    except AdductError:
        return adduct is None


def speed(reader: Callable[[Path], Iterator[Read]], path: Path, repeats: int) -> tuple[str, ...]:
    """Return the number of spectra, how many a second of processor time reads, and memory."""
    best, n_spectra = 0.0, 0
    for _ in range(repeats):
        start = time.process_time()
        try:
            n_spectra = sum(1 for _ in reader(path))
        except ImportError:
            return "", "not installed", ""
        except Exception as error:  # noqa: BLE001  (another program's end is its answer)
            return "", f"ends with {type(error).__name__}", ""
        best = max(best, n_spectra / max(time.process_time() - start, 1e-9))
    highest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    return f"{n_spectra:,}", f"{best:,.0f}", f"{highest:,}"


if __name__ == "__main__":
    raise SystemExit(main())
