"""Fine-tune the shipped model on the built-in demo set, export a version, and predict with it.

    python -m team5.cli.demo

Works in a separate registry under outputs/demo/ (of the clone, or the working folder), recreated
each time, so that shipped versions do not change. Every command is printed as a user would type it,
then run.
"""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from team5.cli.terminal import Terminal
from team5.errors import CheckpointError, StorageError
from team5.registry.export import read_version
from team5.registry.roots import find_checkpoints
from team5.registry.tracker import Tracker
from team5.runtime.command import ExamplesParser, run_program
from team5.runtime.places import call_of, repository

_BASE = repository() or Path()
_ACTIVATE = "source .venv/bin/activate              first, so that python is team5's\n\n"

# Time for a command ended by Ctrl-C to clean up its files.
_GRACE_S = 30.0

_CAFFEINE = "CN1C=NC2=C1C(=O)N(C(=O)N2C)C"
# Its main fragments of [M+H]+ from the literature; intensities rounded.
_SPECTRUM = """\
mzs="[195.0877,138.0662,110.0713,83.0604,69.0447,56.0495]" \\
    intensities="[100,60,20,8,10,3]" """.rstrip()
# C8H10N4O2, each: enprofylline has caffeine's rings but not its methyl groups, the last neither.
_CANDIDATES = (
    _CAFFEINE,
    "CCCN1C2=C(NC=N2)C(=O)NC1=O",
    "CN=C(N)Nc1ccc(cc1)[N+](=O)[O-]",
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo; returns the exit code."""
    call = "python -m team5.cli.demo"
    parser = ExamplesParser(
        prog=call,
        description="Fine-tune the shipped model on the built-in demo set, then ask it.",
        examples=(call, f"{call} trainer.max_epochs=1"),
    )
    parser.add_argument("--root", type=Path, help="where the shipped versions lie")
    parser.add_argument(
        "--folder", type=Path, default=Path("outputs/demo"), help="made anew, for all it writes"
    )
    parser.add_argument("setting", nargs="*", help="further settings of train.py, key=value")
    options = parser.parse_args(arguments)

    def run() -> None:
        demo(Path(find_checkpoints(options.root)), options.folder, options.setting)

    return run_program(run, argv=[])


def demo(root: Path, folder: Path, train_settings: Sequence[str] = ()) -> None:
    """Run the demo.

    Parameters
    ----------
    root : path
        The registry whose latest version is fine-tuned.
    folder : path
        Recreated; holds the demo's registry.
    train_settings : sequence of str
        Further settings of ``train.py``.

    Raises
    ------
    SystemExit
        If one of the commands fails, with its exit code.
    VersionNotFoundError, CheckpointError, StorageError
        If there is no version to start from, it is damaged, or the folder cannot be written.
    """
    started = time.monotonic()
    registry = folder / "checkpoints"
    shipped = copy_latest(root, _BASE / registry)
    where = f"checkpoints_root={registry}"

    _heading("team5 demo")
    print(
        f"1. fine-tunes {shipped}, the version that ships with team5, on the built-in demo set\n"
        "2. exports the result as a new version\n"
        "3. asks it the three questions: match, rank, simulate\n"
        f"Everything is written to {folder}/; {root}/ is only read."
    )

    _heading(f"1  Fine-tune {shipped}")
    print(
        "The demo set: 345 well-known molecules. Their spectra are COMPUTED from bond-\n"
        "strength rules, not measured. They show how training works but do not improve\n"
        "the model; for better answers, train on measured spectra.\n"
    )
    settings = "".join(f" {shlex.quote(setting)}" for setting in train_settings)
    _run(f"{call_of('train')} experiment=finetune {where}{settings}")

    tracker = Tracker(_BASE / registry)
    entry = tracker.read().entries[-1]
    if entry.version == shipped:
        raise CheckpointError(
            f"the training exported nothing to {registry}. See its messages above."
        )
    _heading(f"2  The new version: {entry.version}")
    print(f"{registry}/{entry.version}/ holds it, {tracker.path.name} says of it:\n")
    shown_entry = {
        "version": entry.version,
        "date": entry.date,
        "description": entry.description,
        "performance": {name: round(value, 3) for name, value in entry.performance.items()},
    }
    print(json.dumps(shown_entry, indent=2))
    print(
        "\nThese figures are for computed spectra and say nothing about measured ones,\n"
        f"on which {entry.version} may well be worse than {shipped}: "
        f"latest stays {tracker.latest()}."
    )

    ask = f"{call_of('predict')} {where} version={entry.version}"
    _heading("3  Match: is this spectrum of caffeine?")
    print("Caffeine's main fragments as measured (literature; heights rounded).\n")
    _run(f'{ask} \\\n    smiles="{_CAFFEINE}" \\\n    {_SPECTRUM}')

    _heading("4  Rank: which of these isomers is it?")
    lines = ",\\\n".join(_CANDIDATES)
    _run(f'{ask} \\\n    smiles="{lines}" \\\n    {_SPECTRUM}')

    _heading("5  Simulate: what would its spectrum look like at 35 eV?")
    _run(f'{ask} \\\n    smiles="{_CAFFEINE}" collision_energy="35 eV" top=8')

    minutes, seconds = divmod(round(time.monotonic() - started), 60)
    _heading(f"Done in {minutes} min {seconds} s. What to try next")
    print(_next_steps(shipped))


def copy_latest(root: Path, target: Path) -> str:
    """Copy a registry's latest version into a new registry, and return its name.

    Raises
    ------
    VersionNotFoundError, CheckpointError, TrackerError
        If there is none, or it is damaged.
    StorageError
        If the folder cannot be written.
    """
    stored = read_version(root)
    entry = Tracker(root).read().entry(stored.version)
    figures = dict(entry.performance) if entry else {}
    try:
        if target.exists():
            shutil.rmtree(target)
        target.mkdir(parents=True)
        shutil.copytree(stored.folder, target / stored.version)
    except OSError as error:
        raise StorageError(
            f"{target} cannot be written ({error.strerror or error}). Make room there, or name "
            "another folder: --folder FOLDER."
        ) from error
    Tracker(target).add(
        stored.version,
        entry.description if entry else "",
        accuracy=figures.pop("accuracy", 0.0),
        f1_score=figures.pop("f1_score", 0.0),
        date=entry.date or None if entry else None,
        extra_performance=figures,
        extra=entry.extra if entry else None,
        set_as_latest=True,
    )
    return stored.version


def _heading(text: str) -> None:
    line = text if text.startswith("team5") else f"\n{text}"
    bold, plain = ("\033[1m", "\033[0m") if Terminal.here().colours else ("", "")
    print(f"{bold}{line}\n{'-' * len(text)}{plain}")


def _run(command: str) -> None:
    """Print a command, run it, and wait for it."""
    print(f"$ {command}\n", flush=True)
    program, *words = shlex.split(command.replace("\\\n", ""))
    start = [] if program == "python" else ["-m", program]
    with subprocess.Popen([sys.executable, *start, *words], cwd=_BASE) as process:  # noqa: S603
        try:
            exit_code = process.wait()
        except KeyboardInterrupt:
            # The terminal sent Ctrl-C to the command as well, which ends by itself.
            try:
                process.wait(timeout=_GRACE_S)
            except subprocess.TimeoutExpired:
                process.terminate()
            raise
    if exit_code:
        raise SystemExit(exit_code)  # the command has already printed its error


def _next_steps(shipped: str) -> str:
    activate = "" if repository() is None else _ACTIVATE
    train, predict, evaluate = map(call_of, ("train", "predict", "evaluate"))
    return f"""\
{activate}Real work: the shipped {shipped}, trained on measured spectra (MassBank). Ask as
above, without checkpoints_root= and version=:
    {predict} smiles="CC(=O)Oc1ccccc1C(=O)O"

Your own spectra (MGF, MSP, mzML, SIRIUS, JSON, MassBank, Parquet, CSV):
    {predict} spectra=FILE candidates=FILE output=ranking.csv
    {train} experiment=finetune data=file data.path=FILE

How good is a version:  {evaluate} version={shipped} data.queries=FILE
All settings:           --help after each program"""


if __name__ == "__main__":
    sys.exit(main())
