"""Candidate libraries on the command line: build, inspect, look up a precursor.

python -m team5.library build structures.smi.gz my.library
"""

import argparse
import json
import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from team5.errors import ConfigError
from team5.runtime.command import Commands, ExamplesParser, raising_at_sigterm, run_program
from team5.runtime.tables import counted, print_text

if TYPE_CHECKING:
    from team5.library.manifest import Manifest

_CALL = "python -m team5.library"
_EXAMPLES = {
    "build": (
        f"{_CALL} build structures.smi.gz my.library",
        f"{_CALL} build pubchem/ more.sdf pubchem.library --workers 8",
    ),
    "info": (f"{_CALL} info my.library --verify",),
    "lookup": (f'{_CALL} lookup my.library --mz 195.0877 --adduct "[M+H]+" --ppm 10',),
}
_GO_ON = " Finished work is kept: run the same command to resume."


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Returns
    -------
    int
        Exit code: 0 done, 1 it failed, 2 the call was wrong, 130 Ctrl-C.
    """
    options = _parser().parse_args(arguments)
    go_on = _GO_ON if options.act is _build else ""

    def run() -> None:
        # As with Ctrl-C: worker processes are ended, and what is done stays.
        with raising_at_sigterm(KeyboardInterrupt()):
            options.act(options)

    return run_program(run, argv=arguments, go_on=go_on)


def _build(options: argparse.Namespace) -> None:
    # Here and below: RDKit and Arrow take a second, which --help should not.
    from team5.library.build import build_library

    began = time.monotonic()
    manifest = build_library(
        options.inputs,
        options.output,
        n_workers=options.workers,
        trust_columns=options.trust_columns,
        replace=options.replace,
        work=options.work,
        record_timeout_s=options.time_limit,
        show_progress=True,
    )
    print_text(_summary(manifest))
    print(f"{options.output} was built in {time.monotonic() - began:.0f} s", file=sys.stderr)


def _info(options: argparse.Namespace) -> None:
    from team5.library.library import open_library
    from team5.library.manifest import verify_parts

    library = open_library(options.library)
    manifest = library.manifest
    if options.verify:
        if manifest is None:
            raise ConfigError(f"{options.library}: a single file has no checksum to compare with.")
        verify_parts(options.library, manifest)
    low, high = library.mass_range
    facts: dict[str, Any] = {
        "path": str(options.library),
        "n_structures": len(library),
        "min_exact_mass": low,
        "max_exact_mass": high,
        "n_row_groups": library.n_row_groups,
        "index_bytes": library.index_bytes,
    }
    if manifest is not None:
        facts |= {
            "n_parts": len(manifest.parts),
            "bytes": sum(part.size for part in manifest.parts),
            "trust_columns": manifest.trust_columns,
            "made_with": dict(manifest.made_with),
            "n_records": manifest.n_records,
            "n_merged": manifest.n_merged,
            "inputs": list(manifest.inputs),
            "dropped": dict(manifest.dropped),
        }
    if options.json:
        print(json.dumps(facts, indent=2, ensure_ascii=False))
        return
    print(
        f"{options.library}: masses {low:.4f} to {high:.4f} u in "
        f"{counted(library.n_row_groups, 'row group')}"
    )
    if manifest is None:
        print(f"{counted(len(library), 'structure')}, a single file")
        return
    print_text(_summary(manifest))
    for source in manifest.inputs:
        print_text(
            f"  from {source['path']}: {counted(source['n_records'], 'record')}, "
            f"{source['sha256'][:12]}"
        )
    print("  made with " + ", ".join(f"{name} {v}" for name, v in manifest.made_with.items()))
    if options.verify:
        print("every part matches its checksum")


def _summary(manifest: "Manifest") -> str:
    from team5.library.standardise import format_dropped

    n_bytes = sum(part.size for part in manifest.parts)
    size = f"{n_bytes / 1e6:,.1f} MB" if n_bytes >= 1e6 else f"{n_bytes / 1e3:.0f} kB"
    structures = counted(manifest.n_rows, "structure")
    lines = [
        f"{structures} in {counted(len(manifest.parts), 'part')}, {size}",
        f"  {manifest.n_records:>13,}  records read",
        f"  {manifest.n_merged:>13,}  duplicates of other records",
    ]
    if manifest.dropped:
        lines.append(format_dropped(manifest.dropped))
    return "\n".join(lines)


def _lookup(options: argparse.Namespace) -> None:
    from team5.library.library import open_library

    library = open_library(options.library)
    candidates = library.of_precursor(options.mz, options.adduct, options.ppm)
    shown = min(len(candidates), options.limit)
    columns = [
        candidates.exact_masses[:shown].tolist(),
        *(
            column[:shown].to_pylist()
            for column in (
                candidates.formula,
                candidates.inchikey14,
                candidates.smiles,
                candidates.names,
            )
        ),
    ]
    rows = list(zip(*columns, strict=True))
    if options.json:
        keys = ("exact_mass", "formula", "inchikey14", "smiles", "name")
        structures = [dict(zip(keys, row, strict=True)) for row in rows]
        print(
            json.dumps(
                {"n": len(candidates), "structures": structures}, indent=2, ensure_ascii=False
            )
        )
        return
    print(
        f"{counted(len(candidates), 'structure')} for {options.adduct} at m/z {options.mz:.4f}, "
        f"{options.ppm:g} ppm"
    )
    for mass, formula, inchikey14, smiles, name in rows:
        line = f"  {mass:10.5f}  {formula or '':<14}  {inchikey14 or '':<14}  {smiles}"
        print_text(f"{line}  {name}" if name else line)
    if shown < len(candidates):
        print(f"  ... {len(candidates) - shown:,} more; --limit {len(candidates)} shows all.")


def _parser() -> argparse.ArgumentParser:
    parser = ExamplesParser(
        prog=_CALL,
        description="Candidate libraries: structures by exact mass, as many as the disk holds.",
        examples=[line for lines in _EXAMPLES.values() for line in lines],
    )
    command = Commands(parser, _EXAMPLES).add
    sub = command("build", _build, "build a library, or resume an interrupted build")
    sub.add_argument(
        "inputs", nargs="+", metavar="INPUT",
        help="lists of SMILES or InChI, CSV or TSV, SDF, Parquet, also compressed (.gz, "
        ".zst, .bz2, .xz, .zip); folders of these",
    )  # fmt: skip
    sub.add_argument("output", metavar="OUTPUT", help="folder of the library")
    sub.add_argument("--workers", type=int, help="processes that standardise; default: all cores")
    sub.add_argument(
        "--trust-columns", action="store_true",
        help="use smiles, inchikey14, formula and exact_mass of tables without computing them",
    )  # fmt: skip
    sub.add_argument(
        "--replace", action="store_true",
        help="replace a library, or an unfinished build, of other inputs",
    )  # fmt: skip
    sub.add_argument("--work", metavar="FOLDER", help="local folder for the unfinished build")
    sub.add_argument(
        "--time-limit", type=float, default=60.0, metavar="S",
        help="leave out structures that take longer; default: %(default)s s",
    )  # fmt: skip
    sub = command("info", _info, "contents and sources of a library, and records left out")
    sub.add_argument("library", metavar="LIBRARY")
    sub.add_argument("--verify", action="store_true", help="compare every part with its checksum")
    sub.add_argument("--json", action="store_true")
    sub = command("lookup", _lookup, "the structures that could be behind a precursor")
    sub.add_argument("library", metavar="LIBRARY")
    sub.add_argument("--mz", type=float, required=True, help="m/z of the precursor")
    sub.add_argument("--adduct", default="[M+H]+", help="default: %(default)s")
    sub.add_argument("--ppm", type=float, default=10.0, help="default: %(default)s")
    sub.add_argument("--limit", type=int, default=10, help="structures shown; default: %(default)s")
    sub.add_argument("--json", action="store_true")
    return parser


if __name__ == "__main__":
    sys.exit(main())
