"""Check whether a version may become latest: not if it is known to be worse than the present one.

With frozen queries configured, versions are compared on these, by `assessment.promotion`;
otherwise, here, by their recorded figures.
"""

import os
from pathlib import Path

from team5.errors import CheckpointError, ConfigError, VersionError
from team5.registry.report import read_config
from team5.registry.staging import read_tracker
from team5.registry.tracker_format import TrackerData
from team5.runtime.places import registry_command

QUERIES_VARIABLE = "TEAM5_GATE_QUERIES"

_COMPARED = ("accuracy", "f1_score")
_BY_FORCE = 'Promote it all the same with --force "REASON", which is kept in the history.'
# Keys that must be equal in both for their figures to be comparable.
_SAME_DATA = ("source", "computed", "val_compounds", "val_pairs")


def gate_queries(given: str | Path | None = None) -> Path | None:
    """Return the file of frozen queries that promotions are judged on, None if there is none.

    It is the argument, else the file that ``TEAM5_GATE_QUERIES`` names.
    """
    path = given or os.environ.get(QUERIES_VARIABLE)
    return Path(path) if path else None


def check_by_hand(root: Path, version: str) -> None:
    """Refuse to move ``latest`` without judgement where frozen queries are configured.

    Raises
    ------
    ConfigError
        If frozen queries are configured and another version is latest.
    """
    queries = gate_queries()
    if queries is not None and read_tracker(root).latest not in (None, version):
        command = registry_command(root, f"promote {version}")
        raise ConfigError(
            f"--set_as_latest: {QUERIES_VARIABLE} is set, so latest moves only to a version that "
            f"is not worse on {queries}. Leave it out, then: {command}"
        )


def check_origin(root: Path, version: str) -> None:
    """Refuse a version trained on computed spectra if the latest was trained on measured ones.

    Raises
    ------
    VersionError
    """
    latest = read_tracker(root).latest
    if (
        latest not in (None, version)
        and _learned_from_computed(root, version)
        and _learned_from_computed(root, latest) is False
    ):
        raise VersionError(
            f"{version} learned from computed spectra, {latest}, the present latest, from "
            f"measured ones. {_BY_FORCE}"
        )


def why_not_compared(latest: str | None) -> str:
    """Return why a version has no other to be compared with: it is latest, or none is."""
    return "no version was latest before" if latest is None else "it was latest already"


def check_promotion(root: Path, version: str) -> str:
    """Compare the recorded figures of a version with those of the present latest, in words.

    Raises
    ------
    VersionError
        If figures of the same data and fold show that it is worse (says by how much), or it
        was trained on computed spectra and the present latest on measured ones.
    """
    data = read_tracker(root)
    if data.latest is None or data.latest == version:
        return why_not_compared(data.latest)
    check_origin(root, version)
    entries = data.entry(data.latest), data.entry(version)
    figures = [dict(entry.performance) if entry else {} for entry in entries]
    common = [name for name in _COMPARED if all(name in one for one in figures)]
    if not common:
        return f"not compared with {data.latest}: they have no figure in common"
    difference = data_difference(root, data, data.latest, version)
    if difference:
        return f"not compared with {data.latest}: {difference}"
    worse = [
        f"{name} {figures[1][name]:.4f}, {data.latest} has {figures[0][name]:.4f}"
        for name in common
        if figures[1][name] < figures[0][name]
    ]
    if worse:
        raise VersionError(
            f"{version} is worse than {data.latest}, the present latest: {'; '.join(worse)}. "
            f"{_BY_FORCE}"
        )
    return f"not worse than {data.latest} in {' and '.join(common)}"


def _learned_from_computed(root: Path, version: str) -> bool | None:
    """Return whether a version was trained on computed spectra; None if unknown."""
    try:
        return (read_config(root, version).get("data") or {}).get("computed")
    except CheckpointError:
        return None


def data_difference(root: Path, data: TrackerData, first: str, second: str) -> str | None:
    """Return why recorded figures of two versions cannot be compared; None if they can."""
    entries = data.entry(first), data.entry(second)
    measured = [entry.extra.get("measured_on") if entry else None for entry in entries]
    if any(measured):
        if measured[0] == measured[1]:
            return None
        first_on, second_on = (where or "validation in training" for where in measured)
        return f"measured on {first_on}, and on {second_on}"
    try:
        one, other = (read_config(root, version).get("data") or {} for version in (first, second))
    except CheckpointError as error:
        return str(error)
    differing = [key for key in _SAME_DATA if one.get(key) != other.get(key)]
    if differing:
        return "other validation data, " + ", ".join(
            f"{key} {one.get(key)} and {other.get(key)}" for key in differing
        )
    return None
