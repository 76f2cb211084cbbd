"""Content of ``checkpoint_tracker.json``: parsing, changing and serialising, without file access.

The parsed dict is kept, so that unknown keys survive.
"""

import copy
import datetime as dt
import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from team5.errors import ConfigError, TrackerError
from team5.registry.schemas import (
    MAX_TRACKER_BYTES,
    MOMENT_FORMAT,
    Entry,
    TrackerSchema,
    fault_of,
    is_alias,
    parse_moment,
)
from team5.registry.versions import Version
from team5.runtime.places import registry_command
from team5.runtime.strict_json import parse_json, to_json

_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_OWN_KEYS = ("version", "date", "description", "performance")
# Checksum of the released version, in the entry of one that was rewritten locally.
RELEASED = "released_sha256"
_ROLLED_BACK = "rolled back"


@dataclass(frozen=True, slots=True)
class TrackerEntryFields:
    """Fields of a version's tracker entry; None keeps the value of an existing one.

    Attributes
    ----------
    description : str
        One line for people.
    accuracy, f1_score : float
        Of matching, 0 to 1.
    date : str, optional
        ``YYYY-MM-DD``; today for a new entry.
    extra_performance : dict
        Further metrics by plain name ("hit_rate@1"), finite numbers.
    extra : dict
        Further keys of the entry, JSON-serialisable.
    """

    description: str | None
    accuracy: float | None
    f1_score: float | None
    date: str | None = None
    extra_performance: Mapping[str, float] = field(default_factory=dict)
    extra: Mapping[str, Any] = field(default_factory=dict)

    def to_entry(self) -> dict[str, Any]:
        """Return the validated keys of the entry, without its version and those that are None.

        Raises
        ------
        ConfigError
            If a figure is not a finite number, accuracy or F1 not within 0 to 1, the date not
            ``YYYY-MM-DD``, or a further key one of the fixed ones.
        """
        entry: dict[str, Any] = {}
        if self.date is not None:
            entry["date"] = _checked_date(self.date)
        if self.description is not None:
            entry["description"] = self.description
        figures = {
            name: _checked_figure(name, value, within=(0.0, 1.0))
            for name, value in (("accuracy", self.accuracy), ("f1_score", self.f1_score))
            if value is not None
        }
        for name, value in self.extra_performance.items():
            if name in ("accuracy", "f1_score"):
                raise ConfigError(f"{name} is given twice. Leave it out of the further figures.")
            figures[name] = _checked_figure(name, value)
        if figures:
            entry["performance"] = figures
        for key in self.extra:
            if key in _OWN_KEYS:
                raise ConfigError(
                    f'"{key}" is a fixed key of an entry. Give it as its own argument.'
                )
        entry.update(self.extra)
        to_json(entry, "the entry")
        return entry


@dataclass(frozen=True, slots=True)
class TrackerEntry:
    """A version's tracker entry; ``extra`` holds all but the fixed keys."""

    version: str
    date: str
    description: str
    performance: Mapping[str, Any]
    extra: Mapping[str, Any]

    @property
    def sha256(self) -> str | None:
        """SHA-256 of the version's config.json; None for an entry made before its folder."""
        return self.extra.get("sha256")


@dataclass(frozen=True, slots=True)
class Move:
    """One time that ``latest`` moved.

    Attributes
    ----------
    at : datetime
        In UTC, to the second.
    latest, previous : str or None
        The default version from then on, and until then.
    reason : str
        Why, for people.
    judged : dict, optional
        The queries on which the version was compared with the previous one and the differences,
        a `schemas.Judged`; None if it was not compared.
    """

    at: dt.datetime
    latest: str | None
    previous: str | None
    reason: str
    judged: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class TrackerData:
    """The tracker at one moment. Changes return a new one."""

    raw: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def parse(cls, data: bytes, where: str, remedy: str | None = None) -> "TrackerData":
        """Parse the tracker's bytes.

        ``remedy`` ends an error's text; by default it is to rebuild the tracker.

        Raises
        ------
        TrackerError
            If they are not JSON (names line and column) or not a tracker (names the place).
        """
        if remedy is None:
            command = registry_command(where.rpartition("/")[0] or ".", "repair")
            remedy = f"It was left untouched. Correct it by hand, or rebuild it: {command}"
        if len(data) > MAX_TRACKER_BYTES:
            raise TrackerError(
                f"{where}: {len(data)} bytes; a tracker has at most {MAX_TRACKER_BYTES}. {remedy}"
            )
        try:
            raw = parse_json(data)
        except json.JSONDecodeError as error:
            raise TrackerError(
                f"{where}, line {error.lineno}, column {error.colno}: {error.msg}. {remedy}"
            ) from error
        fault = fault_of(TrackerSchema, raw)
        if fault:
            raise TrackerError(f"{where}: {fault}. {remedy}")
        return cls(raw)

    def to_json(self) -> bytes:
        """Return the tracker's bytes.

        Raises
        ------
        ConfigError
            If they could not be read again.
        """
        data = to_json(self.raw, "the tracker")
        fault = fault_of(TrackerSchema, self.raw)
        if fault is None and len(data) > MAX_TRACKER_BYTES:
            fault = f"would have {len(data)} bytes; at most {MAX_TRACKER_BYTES} are read"
        if fault:
            raise ConfigError(f"the tracker cannot be written: {fault}. Give another value.")
        return data

    @property
    def latest(self) -> str | None:
        """The default version."""
        return self.raw.get("latest")

    @property
    def entries(self) -> tuple[TrackerEntry, ...]:
        """All versions, in the order of the file."""
        return tuple(
            TrackerEntry(
                version=raw["version"],
                date=raw.get("date", ""),
                description=raw.get("description", ""),
                performance=dict(raw.get("performance", {})),
                extra={key: value for key, value in raw.items() if key not in _OWN_KEYS},
            )
            for raw in self.raw.get("checkpoints", [])
        )

    @property
    def versions(self) -> tuple[Version, ...]:
        """The names of all versions, in the order of the file."""
        return tuple(Version.parse(entry.version) for entry in self.entries)

    def entry(self, version: str | Version) -> TrackerEntry | None:
        """Return one version's entry, None if there is none."""
        return next((entry for entry in self.entries if entry.version == str(version)), None)

    def with_entry(
        self, version: str | Version, changes: Mapping[str, Any], *, replace_figures: bool
    ) -> "TrackerData":
        """Return the tracker with an entry added, or changed where there is one.

        Parameters
        ----------
        version : str or Version
            Whose entry.
        changes : dict
            Keys to set; the others are kept.
        replace_figures : bool
            Drop metrics that ``changes`` does not contain, because they belong to other weights or
            spectra. Otherwise they are kept.
        """
        raw = copy.deepcopy(dict(self.raw))
        raw.setdefault("latest", None)
        entries = raw.setdefault("checkpoints", [])
        entry = next((entry for entry in entries if entry["version"] == str(version)), None)
        if entry is None:
            entry = {"version": str(version)}
            entries.append(entry)
        figures = {} if replace_figures else entry.get("performance", {})
        entry.update(copy.deepcopy(dict(changes)))
        entry["performance"] = {**figures, **changes.get("performance", {})}
        return TrackerData(raw)

    def with_released(
        self, released: "TrackerData", checksum_of: Callable[[str], str | None]
    ) -> "TrackerData":
        """Return the tracker with missing or newer released versions added.

        ``latest`` follows the released one until it has been moved locally.

        Parameters
        ----------
        released : TrackerData
            Content of ``released.json``.
        checksum_of : callable
            Takes the name of a version and returns the SHA-256 of its config.json on disk, None
            without one. A released version that was rewritten locally keeps its local entry only
            while its folder is the rewritten one.
        """
        entries = {raw["version"]: raw for raw in self.raw.get("checkpoints", [])}
        for raw in released.raw.get("checkpoints", []):
            raw = {key: value for key, value in raw.items() if key != RELEASED}
            name, checksum = raw["version"], raw.get("sha256")
            local = entries.get(name)
            if local is None:
                if name not in self.raw.get("deleted", []):
                    entries[name] = raw
            elif local.get("sha256") not in (None, checksum):
                is_rewritten = local["sha256"] == checksum_of(name)
                entries[name] = {**local, RELEASED: checksum} if is_rewritten else raw
        merged = {**self.raw, "checkpoints": list(entries.values())}
        moves, released_moves = (one.raw.get("history", []) for one in (self, released))
        is_moved_here = self.latest != (moves[-1]["latest"] if moves else None) or any(
            move not in released_moves for move in moves
        )
        if not is_moved_here and released.latest in entries:
            merged |= {"latest": released.latest, "history": released_moves}
        return TrackerData(merged)

    @property
    def history(self) -> tuple[Move, ...]:
        """All recorded moves of ``latest``, the oldest first."""
        return tuple(
            Move(
                parse_moment(raw["at"]),
                raw["latest"],
                raw["previous"],
                raw.get("reason", ""),
                raw.get("judged"),
            )
            for raw in self.raw.get("history", [])
        )

    def latest_at(self, moment: dt.datetime) -> str | None:
        """Return the version that was latest at a moment; None before the first recorded move."""
        before = [move for move in self.history if move.at <= moment]
        return before[-1].latest if before else None

    def rollback_target(self) -> str | None:
        """Return the version that was latest before the present one; None if none is left.

        A move that was rolled back is ignored, so that repeated rollbacks go further back.
        """
        moves = self.history
        trail = [moves[0].previous] if moves else []
        for move in moves:
            if move.reason.startswith(_ROLLED_BACK):
                while trail and trail[-1] != move.latest:
                    trail.pop()
            else:
                trail.append(move.latest)
        existing = {str(version) for version in self.versions}
        return next((v for v in reversed(trail[:-1]) if v in existing and v != self.latest), None)

    def with_latest(
        self,
        version: str | Version,
        reason: str,
        at: dt.datetime | None = None,
        judged: Mapping[str, Any] | None = None,
    ) -> "TrackerData":
        """Return the tracker with ``latest`` moved and the move recorded, now or ``at``."""
        if self.latest == str(version):
            return self
        moment = at or dt.datetime.now(dt.UTC)
        move: dict[str, Any] = {
            "at": moment.strftime(MOMENT_FORMAT),
            "latest": str(version),
            "previous": self.latest,
            "reason": reason,
        }
        if judged is not None:
            move["judged"] = copy.deepcopy(dict(judged))
        history = [*self.raw.get("history", []), move]
        return TrackerData({**self.raw, "latest": str(version), "history": history})

    def rolled_back(self, version: str | Version) -> "TrackerData":
        """Return the tracker with ``latest`` back at a version."""
        return self.with_latest(version, f"{_ROLLED_BACK} from {self.latest}")

    @property
    def aliases(self) -> Mapping[str, str]:
        """Versions by alias."""
        return dict(self.raw.get("aliases", {}))

    def with_alias(self, name: str, version: str | Version | None) -> "TrackerData":
        """Return the tracker with an alias set, or removed for None.

        Raises
        ------
        ConfigError
            If the name could be taken for a version, or is "latest".
        """
        if not is_alias(name):
            raise ConfigError(
                f"{name!r} cannot be an alias. Write a word of small letters, digits, - and _, "
                'as champion; "latest" moves by promote.'
            )
        aliases = {key: value for key, value in self.aliases.items() if key != name}
        if version is not None:
            aliases[name] = str(version)
        return TrackerData({**self.raw, "aliases": aliases})

    @property
    def deleted(self) -> tuple[Version, ...]:
        """Deleted versions, whose names are not reused."""
        return tuple(Version.parse(version) for version in self.raw.get("deleted", []))

    def without_entry(self, version: str | Version) -> "TrackerData":
        """Return the tracker without a version's entry, its name recorded as deleted."""
        entries = [raw for raw in self.raw.get("checkpoints", []) if raw["version"] != str(version)]
        deleted = [*self.raw.get("deleted", []), str(version)]
        return TrackerData({**self.raw, "checkpoints": entries, "deleted": deleted})


def entry_of_export(version: str, config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the tracker entry of a version's export, as stored in its config.json.

    Only the name if there is none or it is malformed.
    """
    stored = config.get("entry")
    entry = {**(stored if isinstance(stored, dict) else {}), "version": version}
    return entry if fault_of(Entry, entry) is None else {"version": version}


def _checked_figure(
    name: str, value: float, within: tuple[float, float] = (-math.inf, math.inf)
) -> float:
    try:
        number = math.nan if isinstance(value, bool | str) else float(value)
    except (TypeError, ValueError):
        number = math.nan
    low, high = within
    if not math.isfinite(number) or not low <= number <= high:
        allowed = f"a number from {low:g} to {high:g}" if math.isfinite(low) else "a finite number"
        raise ConfigError(f"{name} is {value!r}. Give {allowed}.")
    return number


def _checked_date(text: str) -> str:
    try:
        # fromisoformat alone would take 20231015 and 2023-W41-7, which the format does not.
        if _DATE.fullmatch(text) is None:
            raise ValueError("not YYYY-MM-DD")
        dt.date.fromisoformat(text)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"date is {text!r}. Write YYYY-MM-DD, for example 2023-10-15.") from error
    return text
