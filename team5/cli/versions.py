"""Versions in ``checkpoints/`` on the command line.

python -m team5.registry list
"""

import argparse
import datetime as dt
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from team5.errors import ConfigError, Team5Error
from team5.registry import report
from team5.registry.export import read_version, resolve_version
from team5.registry.gate import QUERIES_VARIABLE, check_promotion, data_difference, gate_queries
from team5.registry.integrity import verify_folder
from team5.registry.removal import collect_garbage, delete_version
from team5.registry.repair import repair
from team5.registry.roots import find_checkpoints, first_registry
from team5.registry.staging import read_tracker
from team5.registry.tracker import Tracker
from team5.runtime.command import Commands, ExamplesParser, run_program
from team5.runtime.places import call_of
from team5.runtime.progress import progress
from team5.runtime.tables import print_text

_CALL = "python -m team5.registry"
# By command; the first of each is also in the help of all.
_EXAMPLES = {
    "list": (f"{_CALL} list", f"{_CALL} list --json"),
    "show": (f"{_CALL} show v0.2", f"{_CALL} show latest --json"),
    "compare": (f"{_CALL} compare v0.1 v0.2",),
    "verify": (f"{_CALL} verify", f"{_CALL} verify v0.2"),
    "promote": (
        f"{_CALL} promote v0.3 --queries val.parquet",
        f"{_CALL} promote v0.3",
        f'{_CALL} promote v0.3 --force "measured elsewhere"',
    ),
    "rollback": (f"{_CALL} rollback",),
    "history": (f"{_CALL} history", f"{_CALL} history --at 2026-11-01"),
    "alias": (f"{_CALL} alias stable v0.2", f"{_CALL} alias stable --remove"),
    "delete": (f"{_CALL} delete v0.1",),
    "gc": (f"{_CALL} gc --keep 5", f"{_CALL} gc --keep 5 --yes"),
    "repair": (f"{_CALL} repair", f"{_CALL} repair --replace"),
    "push": (f"{_CALL} push v0.2 USER/NAME",),
    "pull": (f"{_CALL} pull USER/NAME --as v0.3",),
    "selftest": (f"{_CALL} selftest", f"{_CALL} selftest --folder /mnt/share"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Returns
    -------
    int
        Exit code: 0 done, 1 it failed, 2 the call was wrong, 130 Ctrl-C.
    """
    options = _parser().parse_args(arguments)

    def run() -> int | None:
        if options.root is None:
            reads_one = options.act is _show
            options.root = Path(
                find_checkpoints(version=options.version) if reads_one else first_registry()
            )
        act: int | None = options.act(options)
        return act

    return run_program(run, argv=arguments)


def _list(options: argparse.Namespace) -> None:
    rows = report.version_rows(options.root)
    if options.json:
        print(json.dumps(rows, indent=2, ensure_ascii=False))
    elif rows:
        print_text(report.format_list(rows))
        print(f"in {options.root.absolute()}", file=sys.stderr)
    else:
        print(f"{options.root}/ holds no version. Train one: {call_of('train')}", file=sys.stderr)


def _show(options: argparse.Namespace) -> None:
    version = resolve_version(options.root, options.version)
    if options.json:
        entry = read_tracker(options.root).entry(version)
        config = report.read_config(options.root, version)
        performance = dict(entry.performance) if entry else {}
        print(json.dumps({"performance": performance, "config": config}, indent=2))
    else:
        print_text(report.format_version(options.root, version))


def _compare(options: argparse.Namespace) -> None:
    first, second = (
        resolve_version(options.root, version) for version in (options.first, options.second)
    )
    data = read_tracker(options.root)
    comparison = report.compare(options.root, data, first, second)
    if options.json:
        print(json.dumps(comparison, indent=2))
    else:
        entry = data.entry(second)
        judged = entry.extra.get("compared") if entry is not None else None
        if judged is not None and judged["compared_with"] != first:
            judged = None
        difference = data_difference(options.root, data, first, second)
        text = report.format_comparison(
            first, second, comparison, not_comparable=difference, judged=judged
        )
        print_text(text)


def _verify(options: argparse.Namespace) -> int:
    data = read_tracker(options.root)
    chosen = (
        [resolve_version(options.root, options.version)]
        if options.version
        else [row["version"] for row in report.version_rows(options.root)]
    )
    code = 0
    for version in chosen:
        entry = data.entry(version)
        try:
            verify_folder(options.root / version, entry.sha256 if entry else None)
        except Team5Error as error:
            code = error.exit_code
            print_text(f"{version}: {type(error).__name__}: {error}", to_stderr=True)
        else:
            print(f"{version}: every file is as it was exported")
    return code


def _promote(options: argparse.Namespace) -> None:
    version = resolve_version(options.root, options.version)
    verify_folder(options.root / version)
    queries = gate_queries(options.queries)
    judged = None
    if options.force is not None:
        if not options.force.strip():
            raise ConfigError('--force needs a reason, which is kept: --force "REASON".')
        verdict = f"forced: {options.force}"
    elif queries is not None:
        verdict, judged = _judge(options.root, version, queries, options.allow)
    else:
        verdict = check_promotion(options.root, version)
    if judged is None:  # it has not answered any query
        _check_usable(options.root, version, options.allow)
    reason = f"promoted, {verdict}" if options.force is not None else f"promoted; {verdict}"
    Tracker(options.root).set_latest(version, reason, judged)
    print(f"latest is {version} ({verdict})")


def _check_usable(root: Path, version: str, allow: Sequence[str]) -> None:
    """Refuse a version that cannot be loaded, or whose weights are not finite."""
    # These need torch, which other commands should not wait for.
    from team5.inference.loading import load_model
    from team5.models.version_weights import check_weights

    stored = read_version(root, version)
    check_weights(stored)
    encoder = stored.config.get("encoder")
    # A model that is not team5's, or whose encoder is not allowed, is not checked.
    if "model" in stored.config and (encoder is None or encoder["class"] in allow):
        load_model(version, root=root, device="cpu", allow=allow)


def _judge(
    root: Path, version: str, path: Path, allow: Sequence[str]
) -> tuple[str, dict[str, Any] | None]:
    """Compare a version with the present latest on frozen queries, with a progress bar."""
    # Needs the model, so torch: imported only if used.
    from team5.assessment.promotion import judge, read_frozen_queries

    queries = read_frozen_queries(path)
    with progress("Scoring both versions", unit="spectra") as bar:
        return judge(root, version, queries, allow=allow, on_progress=bar.advance)


def _rollback(options: argparse.Namespace) -> None:
    print(f"latest is {Tracker(options.root).rollback()}")


def _history(options: argparse.Namespace) -> int:
    data = read_tracker(options.root)
    if options.at is not None:
        moment = _moment(options.at)
        version = data.latest_at(moment)
        if version is None:
            print(f"no move of latest is recorded before {moment:%Y-%m-%d %H:%M} UTC")
            return 1
        print(version)
    elif options.json:
        print(json.dumps(list(data.raw.get("history", [])), indent=2))
    else:
        print_text(report.format_history(data))
    return 0


def _moment(text: str) -> dt.datetime:
    try:
        moment = dt.datetime.fromisoformat(text)
    except ValueError as error:
        raise ConfigError(
            f"--at {text}: write 2026-11-01 (its end is meant) or 2026-11-01T12:00 (UTC)."
        ) from error
    if len(text) <= len("2026-11-01"):
        moment += dt.timedelta(days=1, seconds=-1)
    return moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)


def _alias(options: argparse.Namespace) -> None:
    if (options.version is None) != options.remove:
        raise ConfigError("give the version the alias is for, or --remove.")
    Tracker(options.root).set_alias(options.name, options.version)
    print(
        f"{options.name} is no alias any more"
        if options.remove
        else f"{options.name} is {options.version}"
    )


def _delete(options: argparse.Namespace) -> None:
    n_bytes = delete_version(options.root, options.version)
    print(f"{options.version} deleted, {n_bytes / 1e6:.1f} MB freed")


def _gc(options: argparse.Namespace) -> None:
    judged = collect_garbage(options.root, options.keep, dry_run=not options.yes)
    for decision in judged:
        action = "deleted" if options.yes else "would go"
        message = (
            f"{action}, {decision.n_bytes / 1e6:.1f} MB"
            if decision.kept_because is None
            else (f"stays: it {decision.kept_because}")
        )
        print(f"{decision.version}  {message}")
    if not options.yes and any(decision.kept_because is None for decision in judged):
        print("Nothing was deleted. Add --yes to do it.")


def _repair(options: argparse.Namespace) -> None:
    repaired = repair(options.root, replace=options.replace)
    print_text(repaired.difference or "the tracker needs no change")
    for note in repaired.notes:
        print_text(f"note: {note}", to_stderr=True)
    print(f"written to {repaired.path}", file=sys.stderr)
    if not options.replace:
        print("Review it, then put it in place: repair --replace", file=sys.stderr)


def _push(options: argparse.Namespace) -> None:
    from team5.registry.sharing import push

    version = resolve_version(options.root, options.version)
    push(options.root, version, options.repository, public=options.public)
    print(f"{version} is in {options.repository}")


def _pull(options: argparse.Namespace) -> None:
    from team5.registry.sharing import pull

    version = pull(
        options.root, options.repository, revision=options.revision, version=options.version
    )
    print(f"{options.root}/{version} holds {options.repository}; promote it to make it latest")


def _selftest(options: argparse.Namespace) -> None:
    from team5.registry.selftest import selftest

    for line in selftest(options.folder, n_kills=options.kills):
        print(line, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = ExamplesParser(
        prog=_CALL,
        description="Versions in checkpoints/: list, compare, promote, roll back, repair.",
        examples=[line for lines in _EXAMPLES.values() for line in lines[:1]],
    )
    common = ExamplesParser(add_help=False)
    # Accepted before the command and after it; there, if not given, it changes nothing.
    for taker, default in ((parser, None), (common, argparse.SUPPRESS)):
        taker.add_argument(
            "--root", type=Path, default=default, help="folder of the versions, or checkpoints"
        )
    command = Commands(parser, _EXAMPLES, parents=[common]).add
    sub = command("list", _list, "all versions, by number, with their figures")
    sub.add_argument("--json", action="store_true")
    sub = command("show", _show, "one version: figures, files, how it was made")
    sub.add_argument("version")
    sub.add_argument("--json", action="store_true")
    sub = command("compare", _compare, "two versions: figures, and what differs in data and config")
    sub.add_argument("first", metavar="first_version")
    sub.add_argument("second", metavar="second_version")
    sub.add_argument("--json", action="store_true")
    sub = command("verify", _verify, "compare every file with its checksum")
    sub.add_argument("version", nargs="?", help="all by default")
    sub = command("promote", _promote, "make a version latest, unless it is known to be worse")
    sub.add_argument("version")
    sub.add_argument(
        "--queries", type=Path, metavar="FILE",
        help="judge it on these, in the format of evaluate.py; default: "
        f"{QUERIES_VARIABLE}, or recorded figures",
    )  # fmt: skip
    sub.add_argument("--force", metavar="REASON", help="skip the checks; the reason is recorded")
    sub.add_argument(
        "--allow", nargs="+", default=[], metavar="CLASS", help="your own encoders to import"
    )
    command("rollback", _rollback, "make the previous latest version latest again")
    sub = command("history", _history, "which version was latest when")
    sub.add_argument(
        "--at", metavar="DATE", help="the latest at the end of a day, or at a time (UTC)"
    )
    sub.add_argument("--json", action="store_true")
    sub = command("alias", _alias, "give a version an alias")
    sub.add_argument("name")
    sub.add_argument("version", nargs="?")
    sub.add_argument("--remove", action="store_true", help="remove the alias")
    sub = command("delete", _delete, "delete a version that is not latest and has no alias")
    sub.add_argument("version")
    sub = command("gc", _gc, "delete old versions; without --yes only list them")
    sub.add_argument("--keep", type=int, required=True, metavar="N", help="the newest N stay")
    sub.add_argument("--yes", action="store_true", help="do it")
    sub = command("repair", _repair, "rebuild the tracker from the version folders")
    sub.add_argument("--replace", action="store_true", help="replace the old tracker")
    sub = command("push", _push, "upload a version to a repository of the Hugging Face Hub")
    sub.add_argument("version")
    sub.add_argument("repository", metavar="USER/NAME")
    sub.add_argument(
        "--public",
        action="store_true",
        help="make a newly created repository public; default: private",
    )
    sub = command("pull", _pull, "download a version from a repository of the Hugging Face Hub")
    sub.add_argument("repository", metavar="USER/NAME")
    sub.add_argument("--revision", help="a commit, branch or tag")
    sub.add_argument("--as", dest="version", metavar="VERSION", help="its name in this registry")
    sub = command(
        "selftest", _selftest, "test on this disk that the registry survives killed processes"
    )
    sub.add_argument("--folder", type=Path, help="a folder on the disk to test")
    sub.add_argument("--kills", type=int, default=40, help="default: %(default)s")
    return parser


if __name__ == "__main__":
    sys.exit(main())
