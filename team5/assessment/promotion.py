"""Promotion of a version to latest, refused if it is worse on frozen queries."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from team5.assessment.queries import Query, draw_queries, read_queries
from team5.assessment.scoring import score_queries
from team5.data.dataset import Query as ValidationQuery
from team5.errors import CheckpointError, DataError, DataFileNotFoundError, VersionError
from team5.evaluation.comparison import Difference, QueryMetric, paired_differences, query_metrics
from team5.inference.inference import LoadedModel, load_model
from team5.registry.gate import QUERIES_VARIABLE, check_origin, why_not_compared
from team5.registry.report import format_difference
from team5.registry.tracker import Tracker
from team5.runtime.places import registry_command
from team5.runtime.storage import sha256

MAX_HELD_OUT = 300

_SEED = 0  # of decoys and intervals; fixed, so that the same file gives the same answer


@dataclass(frozen=True, eq=False)
class FrozenQueries:
    """Frozen queries for judging versions, and the checksum of these or of their file."""

    name: str
    sha256: str
    queries: tuple[Query, ...]

    @classmethod
    def held_out(cls, name: str, pairs: Sequence[ValidationQuery], seed: int) -> FrozenQueries:
        """Return queries made of a training's validation spectra."""
        queries = tuple(draw_queries(pairs, MAX_HELD_OUT, seed))
        rows = [(query.spectrum.identifier, query.candidates) for query in queries]
        return cls(name, hashlib.sha256(json.dumps(rows).encode()).hexdigest(), queries)


@dataclass(frozen=True)
class Comparison:
    """Comparison of two versions on the same queries.

    Attributes
    ----------
    judged : dict
        A `schemas.Judged`: the queries, and by metric both values and their difference.
    lines, worse : list of str
        The metrics in words; those whose interval lies entirely below 0.
    """

    judged: dict[str, Any]
    lines: list[str]
    worse: list[str]


def read_frozen_queries(path: str | Path) -> FrozenQueries:
    """Read frozen queries; errors are those of `read_queries`."""
    path = Path(path)
    try:
        checksum = sha256(path)
    except FileNotFoundError as error:
        raise DataFileNotFoundError(
            f"{path}: no such file; promotions are judged on its queries. Correct --queries, "
            f"callbacks.export.gate_queries or {QUERIES_VARIABLE}, whichever names it."
        ) from error
    except OSError as error:
        raise DataError(
            f"{path} cannot be read ({error.strerror}); promotions are judged on its queries."
        ) from error
    return FrozenQueries(path.name, checksum, tuple(read_queries(path)))


def judge(
    root: str | Path,
    version: str,
    frozen: FrozenQueries,
    *,
    device: str = "auto",
    allow: Sequence[str] = (),
    on_progress: Callable[[int, int], None] | None = None,
) -> tuple[str, dict[str, Any] | None]:
    """Compare a version with the present latest on the same queries, decoys and seed.

    It is worse if the 95 % interval of the difference (paired bootstrap over structures) lies
    entirely below 0 for hit@1 among candidates of the same formula or among all, for the share of
    right matches or for the cosine.

    Parameters
    ----------
    root, version, device, allow
        As for `load_model`.
    on_progress : callable, optional
        Called with the number of queries scored since the last call, and the total number.

    Returns
    -------
    verdict : str
        Why the version may become latest, in words.
    judged : dict or None
        The record for `Tracker.set_latest`; None if there is nothing to compare with.

    Raises
    ------
    VersionError
        If it is worse (names each worse metric of both, the difference and its interval), if one
        of the two cannot be scored, or if it was trained on computed spectra and the present latest
        on measured ones.
    """
    root = Path(root)
    latest = Tracker(root).latest()
    if latest is None or latest == version:
        return why_not_compared(latest), None
    check_origin(root, version)
    command = registry_command(root, f"promote {version}", '--force "REASON"')
    by_force = f"Promote it all the same: {command}; the reason is kept in the history."
    try:
        comparison = compare(
            (root, latest), (root, version), frozen,
            device=device, allow=allow, on_progress=on_progress,
        )  # fmt: skip
    except VersionError as error:
        raise error.reworded(f"{error} {by_force}") from error
    if comparison.worse:
        raise VersionError(
            f"{version} is worse than {latest}, the present latest, on {frozen.name}: "
            f"{'; '.join(comparison.worse)}. {by_force}"
        )
    return f"not worse than {latest} on {frozen.name}", comparison.judged


def compare(
    before: tuple[Path, str],
    after: tuple[Path, str],
    frozen: FrozenQueries,
    *,
    device: str = "auto",
    allow: Sequence[str] = (),
    on_progress: Callable[[int, int], None] | None = None,
) -> Comparison:
    """Score two versions, each specified by root and name, on the same queries.

    Raises
    ------
    VersionError
        If one of the two cannot be scored.
    """
    hashes: dict[str, str] = {}
    metrics: list[dict[str, QueryMetric]] = []
    for root, name in (before, after):
        try:
            model = load_model(name, device=device, root=root, allow=allow)
            metrics.append(_measure(model, frozen, on_progress))
        except (CheckpointError, DataError, VersionError) as error:
            raise VersionError(
                f"{after[1]} cannot be compared with {before[1]} on {frozen.name}. "
                f"Of {name}: {error}"
            ) from error
        hashes[name] = model.version_hash
    differences = paired_differences(*metrics, seed=_SEED)
    records = {name: _record(difference) for name, difference in differences.items()}
    judged = {
        "queries": frozen.name,
        "sha256": frozen.sha256,
        "seed": _SEED,
        "compared_with": before[1],
        "hashes": hashes,
        "figures": records,
    }
    lines = {
        name: f"{name} {format_difference(before[1], record)}" for name, record in records.items()
    }
    worse = [lines[name] for name, difference in differences.items() if difference.is_worse]
    return Comparison(judged, list(lines.values()), worse)


def _measure(
    model: LoadedModel, frozen: FrozenQueries, on_progress: Callable[[int, int], None] | None
) -> dict[str, QueryMetric]:
    total = 2 * len(frozen.queries)
    scored = score_queries(
        model,
        frozen.queries,
        seed=_SEED,
        on_progress=None if on_progress is None else lambda done: on_progress(done, total),
    )
    return query_metrics(list(scored), threshold=model.threshold)


def _record(difference: Difference) -> dict[str, float | int]:
    """Return a difference in the tracker's format."""
    values = vars(difference)
    return {
        "before": difference.before,
        "after": difference.after,
        "difference": difference.value,
        **{name: values[name] for name in ("low", "high", "n_queries", "n_structures")},
    }
