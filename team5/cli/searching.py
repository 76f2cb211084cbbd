"""predict.py on files: spectra against a library, a list or their own structures."""

from __future__ import annotations

import os
import sys
from collections import Counter
from dataclasses import fields
from pathlib import Path
from typing import Any

from team5.cli.output import report_left_out
from team5.cli.terminal import Terminal
from team5.data.conditions import Conditions
from team5.data.readers import nothing_usable
from team5.errors import ConfigError, DataError
from team5.runtime.problems import Problems
from team5.runtime.progress import progress
from team5.runtime.tables import counted, counted_spectra
from team5.search.chunks import SearchSettings
from team5.search.engines import Engine
from team5.search.reading import Report, iter_candidates, read_references
from team5.search.rows import count_withheld
from team5.search.search import iter_results, make_tools, search_file
from team5.search.spectra import LeftOut, Source, SpectraFile, TypedSpectrum
from team5.search.structures import (
    ListedStructures,
    Structures,
    TargetStructures,
    library_structures,
)
from team5.search.text import format_hits, words_of_columns
from team5.search.writers import (
    TABLE_ENDINGS,
    by_spectrum,
    check_output_kind,
    check_output_path,
    left_out_path,
    to_json,
)

_LOADING = ("device", "verify", "allow")
_READ = ("spectra", "library", "candidates", "references")


def search(settings: dict[str, Any]) -> int:
    """Search as configured for predict.py; 1 if no spectrum could be answered."""
    output = None if settings["output"] is None else _checked_output(settings)
    problems = Problems()
    unusable: list[LeftOut] = []

    def report(text: str) -> None:
        problems(text)
        place, _, reason = text.partition(": ")
        unusable.append(LeftOut(0, place, reason.removesuffix(" Left out.")))

    context = Conditions(**{field.name: settings[field.name] for field in fields(Conditions)})
    source = _source(settings, context)
    structures = _structures(settings, report)
    how = SearchSettings(
        ppm=float(settings["ppm"]),
        keep=settings["keep"],
        prefilter=settings["prefilter"],
        max_error=settings["max_error"],
        references=tuple(read_references(settings["references"], problems) or ()),
        group_by=settings["group_by"],
    )
    engine = Engine(**settings["engine"])
    loading = {key: settings[key] for key in _LOADING}
    version, root = settings["version"], settings["checkpoints_root"]
    if output is None:
        tools = make_tools(version, root, structures=structures, settings=how, **loading)
        results = iter_results(source, tools, settings=how, context=context, engine=engine)
        as_json, top = settings["format"] == "json", settings["top"]
        return _print(results, source, problems, as_json=as_json, top=top)
    summary = search_file(
        source, structures, output, version=version, root=root, **loading, settings=how,
        context=context, engine=engine, resume=settings["resume"], show_progress=True,
        unusable=unusable,
    )  # fmt: skip
    said = _told(summary.n_answered, summary.n_withheld, summary.n_spectra)
    if summary.n_rows:
        said += f", {counted(summary.n_rows, 'row')} written to {settings['output']}"
    report_left_out(summary.left_out, left_out_path(output))
    print(f"{said}.", file=sys.stderr)
    return 0 if summary.n_answered or summary.n_withheld else 1


def _checked_output(settings: dict[str, Any]) -> Path:
    check_output_kind(settings["output"], is_simulation=False)
    output = check_output_path(
        settings["output"],
        read_from=[settings[name] for name in _READ],
        versions=settings["checkpoints_root"],
        endings=TABLE_ENDINGS,
    )
    reasons = os.path.realpath(left_out_path(output))
    for name in _READ:
        if settings[name] is not None and os.path.realpath(settings[name]) == reasons:
            raise ConfigError(
                f"{name}={settings[name]}: would be overwritten by what output= leaves out. Choose "
                "another name for the output."
            )
    return output


def _source(settings: dict[str, Any], context: Conditions) -> Source:
    if settings["spectra"] is not None:
        return SpectraFile(settings["spectra"])
    return TypedSpectrum(context.spectrum(settings["mzs"], settings["intensities"]))


def _structures(settings: dict[str, Any], report: Report) -> Structures:
    if settings["library"] is not None:
        return library_structures(settings["library"])
    if settings["candidates"] is None:
        return TargetStructures()
    path = settings["candidates"]
    with progress(f"Reading {path}", 1.0) as bar:
        candidates = iter_candidates(path, report=report, on_progress=bar.update)
        listed = ListedStructures.of(Path(path).name, candidates)
    n = counted(len(listed.listed), "structure")
    print(f"{path}: {n}; those of each precursor's mass are scored.", file=sys.stderr)
    return listed


def _print(results: Any, source: Source, problems: Problems, *, as_json: bool, top: int) -> int:
    terminal = Terminal.here()
    n_answered = n_left_out = n_withheld = 0  # spectra; a group is answered as one
    ranked: set[bool] = set()
    for result in results:
        n_withheld += count_withheld(result.table)
        for answer in by_spectrum([result.table]):
            if as_json:
                print(to_json(answer), flush=True)
            else:
                if n_answered:
                    print()
                sketch = _sketch(terminal, source, answer)
                terminal.print(format_hits(answer, top, terminal.width, sketch))
            ranked.add(answer["n_candidates"] > 1)
            n_answered += answer["n_spectra"]
        for spectrum in result.left_out:
            problems(spectrum.to_text(source.name))
            n_left_out += 1
    if not n_answered + n_left_out:
        raise DataError(nothing_usable(source.name, Counter()))
    if n_answered and not as_json:
        terminal.print(words_of_columns(ranked))
    if problems.count or n_withheld or not n_answered:
        n_spectra = n_answered + n_left_out
        print(f"{_told(n_answered - n_withheld, n_withheld, n_spectra)}.", file=sys.stderr)
    return 0 if n_answered else 1


def _told(n_answered: int, n_withheld: int, n_spectra: int) -> str:
    told = f"{n_answered:,} of {counted_spectra(n_spectra)} answered"
    if n_withheld:
        told += f", {n_withheld:,} withheld"
    n_left_out = n_spectra - n_answered - n_withheld
    return f"{told}, {n_left_out:,} left out" if n_left_out else told


def _sketch(terminal: Terminal, source: Source, answer: dict[str, Any]) -> list[str]:
    if not isinstance(source, TypedSpectrum):
        return []
    mzs, intensities = source.spectrum.mzs, source.spectrum.intensities
    explained = [peak["mz"] for peak in answer["candidates"][0]["peaks"]]
    return terminal.sketch(mzs.tolist(), intensities.tolist(), explained)
