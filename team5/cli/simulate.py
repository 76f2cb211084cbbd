"""team5 simulate: an in-silico spectral library from a file of structures."""

from __future__ import annotations

import difflib
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from team5.errors import ConfigError
from team5.runtime.command import raising_at_sigterm, run_program
from team5.runtime.tables import counted, counted_spectra

_HELP = """\
    team5 simulate structures=suspects.csv energies=10,20,40 adducts=[M+H]+,[M-H]- output=lib.msp
    team5 simulate structures=suspects.csv output=lib.mgf resume=true

Predict the spectra of all structures of a file, each under every adduct and energy.

    structures=FILE        SMILES lines, CSV, TSV, SDF or Parquet
    output=FILE            .msp, .mgf, or .txt for mzSpecLib text
    adducts=A,B            [M+H]+,[M-H]-; by default the usual one of the structure
    energies=A,B           in eV, or as the instrument writes them (35 NCE); by default none stated
    instrument_type=TEXT   LC-ESI-QTOF
    version=v0.2           the latest by default
    checkpoints_root=FOLDER
    device=auto            auto, cpu, cuda, cuda:1 or mps
    workers=N              processes; by default one per core, or one on an accelerator
    resume=true            resume an interrupted run
"""
_KEYS = (
    "structures", "output", "adducts", "energies", "instrument_type", "version",
    "checkpoints_root", "device", "workers", "resume",
)  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> int:
    """Simulate as requested by ``key=value`` arguments.

    Returns
    -------
    int
        Exit code: 0 done, 1 it failed, 2 the call was wrong, 130 Ctrl-C.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    if not words or words[0] in ("-h", "--help"):
        print(_HELP)
        return 0

    def run() -> int:
        with raising_at_sigterm(KeyboardInterrupt()):
            return _simulate(_parse(words))

    go_on = " Finished work is kept: the same command with resume=true resumes."
    return run_program(run, argv=words, go_on=go_on)


def _parse(words: Sequence[str]) -> dict[str, str]:
    settings = {}
    for word in words:
        key, sign, value = word.partition("=")
        if not sign or key not in _KEYS:
            closest = difflib.get_close_matches(key, _KEYS, n=1)
            hint = f"closest: {closest[0]}=" if closest else f"there are: {', '.join(_KEYS)}"
            raise ConfigError(f"{word}: not a setting of team5 simulate; {hint}.", argument=key)
        settings[key] = value
    for key in ("structures", "output"):
        if not settings.get(key):
            raise ConfigError(f"{key}= is missing. team5 simulate --help shows examples.")
    if settings.get("resume", "false").lower() not in ("true", "false"):
        raise ConfigError(f"resume={settings['resume']}: choose true or false.", argument="resume")
    if not settings.get("workers", "1").isdecimal() or settings.get("workers") == "0":
        raise ConfigError(f"workers={settings['workers']}: give 1 or more.", argument="workers")
    return settings


def _simulate(settings: dict[str, str]) -> int:
    # Here: torch and RDKit take a second to import; --help and errors come before.
    from team5.cli.output import report_left_out
    from team5.runtime.problems import Problems
    from team5.search.simulation import SimulationSettings, simulate_file
    from team5.search.writers import left_out_path

    problems = Problems()
    began = time.monotonic()
    summary = simulate_file(
        settings["structures"],
        settings["output"],
        SimulationSettings(
            adducts=_listed(settings.get("adducts", "")),
            energies=_listed(settings.get("energies", "")),
            instrument_type=settings.get("instrument_type"),
        ),
        version=settings.get("version"),
        root=settings.get("checkpoints_root"),
        device=settings.get("device", "auto"),
        n_workers=int(settings["workers"]) if "workers" in settings else None,
        resume=settings.get("resume", "false").lower() == "true",
        show_progress=True,
        report=problems,
    )
    seconds = max(time.monotonic() - began, 1e-3)
    spectra, structures = summary.n_spectra, summary.n_structures
    said = f"{counted_spectra(spectra)} of {counted(structures, 'structure')}"
    rate = f"{spectra / seconds:,.0f} spectra/s"
    print(f"{said} written to {settings['output']}, {rate}.", file=sys.stderr)
    report_left_out(summary.left_out, left_out_path(Path(settings["output"]).resolve()))
    return 0 if summary.n_spectra else 1


def _listed(text: str) -> tuple[str, ...]:
    # [M+H]+,[M-H]- plain, or as a Hydra list.
    inner = text[1:-1] if text.startswith("[[") and text.endswith("]") else text
    return tuple(part.strip() for part in inner.split(",") if part.strip())
