"""predict.py library=...: spectra against a library of structures, to a file or a terminal."""

from __future__ import annotations

import os
import sys
from collections import Counter
from typing import Any

from team5.cli.output import check_output_path
from team5.cli.terminal import Terminal
from team5.data.conditions import Conditions
from team5.data.spectrum import Spectrum
from team5.errors import ConfigError
from team5.runtime.problems import Problems
from team5.runtime.storage import is_remote
from team5.search.chunks import SearchSettings
from team5.search.engines import Engine
from team5.search.outputs import ENDINGS, by_spectrum, left_out_path, to_json_line
from team5.search.search import iter_results, make_tools, search_file
from team5.search.spectra import GivenSpectrum, Source, SpectraFile
from team5.search.text import format_hits

_CONTEXT = ("adduct", "precursor_mz", "collision_energy", "instrument_type")
_LOADING = ("device", "verify", "cache_structures", "allow")
# Reasons shown; the file beside the output has all.
_MAX_REASONS = 8


def search(settings: dict[str, Any]) -> int:
    """Search as the settings of predict.py say; 1 if not one spectrum has a hit."""
    source = _source(settings)
    how = SearchSettings(
        ppm=float(settings["ppm"]),
        keep=settings["keep"],
        first_look=settings["first_look"],
        max_error=settings["max_error"],
    )
    context = Conditions(**{key: settings[key] for key in _CONTEXT})
    engine = Engine(**settings["engine"])
    loading = {key: settings[key] for key in _LOADING}
    if settings["output"] is None:
        tools = make_tools(
            settings["version"],
            settings["checkpoints_root"],
            library=settings["library"],
            settings=how,
            **loading,
        )
        results = iter_results(source, tools, settings=how, context=context, engine=engine)
        return _print(results, source, as_json=settings["format"] == "json", top=settings["top"])
    if is_remote(settings["output"]):
        raise ConfigError(
            f"output={settings['output']}: results are written to a local disk. Copy them when "
            "they are whole."
        )
    output = check_output_path(
        settings["output"],
        read_from=[settings["spectra"], settings["library"]],
        versions=settings["checkpoints_root"],
        endings=ENDINGS,
    )
    reasons = os.path.realpath(left_out_path(output))
    for name in ("spectra", "library"):
        if settings[name] is not None and os.path.realpath(settings[name]) == reasons:
            raise ConfigError(
                f"{name}={settings[name]}: would be overwritten by what output= leaves out. Choose "
                "another name for the output."
            )
    found = search_file(
        source, settings["library"], output,
        version=settings["version"], root=settings["checkpoints_root"], **loading,
        settings=how, context=context, engine=engine, resume=settings["resume"],
        show_progress=True,
    )  # fmt: skip
    said = f"{found.n_answered:,} of {found.n_spectra:,} spectra answered"
    if found.n_rows:
        said += f", {found.n_rows:,} rows written to {settings['output']}"
    print(f"{said}.", file=sys.stderr)
    _say_left_out(found.left_out)
    if found.left_out:
        print(f"Which ones: {left_out_path(output)}", file=sys.stderr)
    return 0 if found.n_answered else 1


def _source(settings: dict[str, Any]) -> Source:
    if settings["spectra"] is not None:
        return SpectraFile(settings["spectra"])
    context = {key: settings[key] for key in _CONTEXT}
    return GivenSpectrum(Spectrum(settings["mzs"], settings["intensities"], **context))


def _print(results: Any, source: Source, *, as_json: bool, top: int) -> int:
    problems = Problems()
    terminal = Terminal.here()
    n_answered = 0
    for result in results:
        for answer in by_spectrum(result.table):
            if as_json:
                print(to_json_line(answer), flush=True)
            else:
                if n_answered:
                    print()
                sketch = _sketch(terminal, source, answer)
                terminal.print(format_hits(answer, top, terminal.width, sketch))
            n_answered += 1
        for one in result.left_out:
            name = f" ({one.identifier})" if one.identifier else ""
            problems(f"{source.name}, spectrum {one.spectrum}{name}: {one.reason}. Left out.")
    problems.summarise(answered=n_answered)
    return 0 if n_answered else 1


def _sketch(terminal: Terminal, source: Source, answer: dict[str, Any]) -> list[str]:
    if not isinstance(source, GivenSpectrum):
        return []
    spectrum = source.spectrum
    explained = [peak["mz"] for peak in answer["candidates"][0]["peaks"]]
    return terminal.sketch(spectrum.mzs.tolist(), spectrum.intensities.tolist(), explained)


def _say_left_out(left_out: Counter[str]) -> None:
    for reason, count in left_out.most_common(_MAX_REASONS):
        print(f"  left out: {count:,}, {reason}", file=sys.stderr)
    if (n_more := len(left_out) - _MAX_REASONS) > 0:
        print(f"  and {n_more:,} more reasons", file=sys.stderr)
