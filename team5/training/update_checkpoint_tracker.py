r"""Manual changes of the tracker: add a version's entry, change it, move ``latest``.

python team5/training/update_checkpoint_tracker.py --version v0.3 \
    --description "Fine-tuned on additional data" --accuracy 0.90 --f1_score 0.89 --set_as_latest
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

if __name__ == "__main__":
    # Run by path, the file's folder comes first in sys.path; the package is two levels above it.
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from team5.registry.gate import check_by_hand
from team5.registry.roots import checkpoints_to_write
from team5.registry.tracker import Tracker
from team5.runtime.command import ExamplesParser, run_program
from team5.runtime.places import registry_command

_CALL = "python team5/training/update_checkpoint_tracker.py"
_EXAMPLES = (
    f'{_CALL} --version v0.3 --description "Fine-tuned" --accuracy 0.90 --f1_score 0.89',
    f"{_CALL} --version v0.3 --update --set_as_latest",
)
_WEIGHTS_NAME = "model.safetensors"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Parameters
    ----------
    arguments : list of str, optional
        Without the program's name; those of this process when None.

    Returns
    -------
    int
        Exit code: 0 done, 1 the tracker could not be changed, 2 the call was wrong, 130 Ctrl-C.
    """
    options = _parser().parse_args(arguments)
    return run_program(lambda: _update(options), argv=arguments)


def _update(options: argparse.Namespace) -> None:
    root = options.root or checkpoints_to_write(options.version, update=options.update)
    tracker = Tracker(root)
    if options.set_as_latest:
        check_by_hand(tracker.root, options.version)
    data = tracker.add(
        options.version,
        options.description,
        options.accuracy,
        options.f1_score,
        date=options.date,
        set_as_latest=options.set_as_latest,
        update=options.update,
    )
    if not (tracker.root / options.version / _WEIGHTS_NAME).is_file():
        warning = (
            f"warning: {tracker.root / options.version} holds no {_WEIGHTS_NAME}; {options.version}"
            " is recorded, and cannot be loaded until the file is there."
        )
        if data.latest == options.version:
            command = registry_command(tracker.root, "rollback")
            warning += f" It is latest now; the one before: {command}"
        print(warning, file=sys.stderr)
    done = "updated" if options.update else "added"
    print(f"{options.version} {done} in {tracker.path}; latest: {data.latest or 'none'}")


def _parser() -> argparse.ArgumentParser:
    parser = ExamplesParser(
        description="Add a version's entry to checkpoint_tracker.json, or update it.",
        examples=_EXAMPLES,
    )
    parser.add_argument("--version", required=True, help="v<major>.<minor>, as v0.3")
    parser.add_argument("--description", help="one line for people")
    parser.add_argument("--accuracy", type=float, help="of matching, 0 to 1")
    parser.add_argument("--f1_score", type=float, help="of matching, 0 to 1")
    parser.add_argument("--date", help="YYYY-MM-DD (default: today; in an update: unchanged)")
    parser.add_argument("--set_as_latest", action="store_true", help="use it by default")
    parser.add_argument(
        "--update",
        action="store_true",
        help="change an existing entry; values not given are kept",
    )
    parser.add_argument(
        "--root", help="folder of the versions; default: the one with the version, or ./checkpoints"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
