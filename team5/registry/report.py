"""Reports about versions: tables, one version in full, two compared."""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from team5.registry.integrity import CONFIG_NAME, parse_config, read_file
from team5.registry.migration import migrated
from team5.registry.removal import folder_size
from team5.registry.staging import present, read_tracker
from team5.registry.tracker_format import RELEASED, TrackerData, TrackerEntry
from team5.registry.versions import Version
from team5.runtime.tables import cut, to_columns

_MAIN_FIGURES = ("accuracy", "f1_score", "hit_rate@1", "cosine")
# Parts of config.json that `compare` groups; the others are the network and its input.
_DATA_PARTS = ("data", "training_config.data")
_OF_ITS_OWN = ("version", "files", "entry", "training.date")
# Values of a list that are shown as text; of a longer list only the length is.
_MAX_VALUES_SHOWN = 12
_NAMED = re.compile(r"\$\{(\w+)\}")
_MAX_WIDTH = 36  # of a setting in a comparison
_MAX_SETTINGS_SHOWN = 20  # of those that differ between two versions


def read_config(root: Path, version: str) -> dict[str, Any]:
    """Return a version's config.json, of the present schema.

    Raises
    ------
    CheckpointError
        If it is missing or damaged.
    """
    path = root / version / CONFIG_NAME
    return migrated(path, parse_config(path, read_file(path)))


def version_rows(root: Path) -> list[dict[str, Any]]:
    """Return all versions, by number: what ``list --json`` prints."""
    data = read_tracker(root)
    rows = []
    for version in sorted(present(root, data)):
        entry = data.entry(version) or TrackerEntry(str(version), "", "", {}, {})
        folder = root / str(version)
        rows.append(
            {
                "version": str(version),
                "latest": data.latest == str(version),
                "aliases": _aliases(data, version),
                "date": entry.date,
                "performance": dict(entry.performance),
                "description": entry.description,
                "bytes": folder_size(folder),
                "is_there": folder.is_dir(),
            }
        )
    return rows


def format_list(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return versions as a table."""
    figures = [name for name in _MAIN_FIGURES if any(name in row["performance"] for row in rows)]
    table = [("version", "date", *figures, "MB", "description")]
    for row in rows:
        names = [*(["latest"] if row["latest"] else []), *row["aliases"]]
        table.append(
            (
                row["version"] + (f" ({', '.join(names)})" if names else ""),
                row["date"],
                *(_number(row["performance"].get(name)) for name in figures),
                f"{row['bytes'] / 1e6:.1f}" if row["is_there"] else "no folder",
                row["description"],
            )
        )
    return _table(table)


def format_version(root: Path, version: str) -> str:
    """Return a full report on one version."""
    data = read_tracker(root)
    entry = data.entry(version)
    config = read_config(root, version)
    names = [*(["latest"] if data.latest == version else []), *_aliases(data, version)]
    lines = [version + (f" ({', '.join(names)})" if names else "")]
    if entry is not None:
        lines.append(f"  {entry.date}  {entry.description}")
        if RELEASED in entry.extra:
            checksum = str(entry.extra[RELEASED])[:12]
            lines.append(f"  rewritten in this clone; its config.json was released as {checksum}")
        lines += ["", "  figures"]
        lines += [f"    {name:<28} {_number(value)}" for name, value in entry.performance.items()]
        if "measured_on" in entry.extra:
            lines.append(f"    measured_on: {entry.extra['measured_on']}")
    lines += ["", "  files"]
    lines += [
        f"    {name:<28} {record.get('size', 0):>12,} bytes  {record['sha256'][:12]}"
        for name, record in config.get("files", {}).items()
    ]
    lines += ["", "  how it was made"]
    for key, value in _settings(config):
        if not key.startswith(("files.", "entry.", "tokenizer.", "context.", "match_features")):
            lines.append(f"    {key}: {_in_short(value)}")
    return "\n".join(lines)


def compare(
    root: Path, data: TrackerData, first: str, second: str
) -> dict[str, list[tuple[str, Any, Any]]]:
    """Return the differences between two versions: figures, data and config, by name.

    ``data`` is the tracker's content.
    """
    figures = [dict(entry.performance) if (entry := data.entry(v)) else {} for v in (first, second)]
    configs = [dict(_settings(read_config(root, version))) for version in (first, second)]
    differing = [
        (key, configs[0].get(key), configs[1].get(key))
        for key in dict.fromkeys([*configs[0], *configs[1]])
        if configs[0].get(key) != configs[1].get(key) and not _starts(key, _OF_ITS_OWN)
    ]
    return {
        "figures": [
            (name, figures[0].get(name), figures[1].get(name))
            for name in dict.fromkeys([*figures[0], *figures[1]])
        ],
        "data": [row for row in differing if _starts(row[0], _DATA_PARTS)],
        "config": [row for row in differing if not _starts(row[0], _DATA_PARTS)],
    }


def format_comparison(
    first: str,
    second: str,
    comparison: Mapping[str, Sequence[tuple[str, Any, Any]]],
    *,
    not_comparable: str | None = None,
    judged: Mapping[str, Any] | None = None,
) -> str:
    """Return a comparison as text that fits a screen; the JSON has all of it.

    Parameters
    ----------
    not_comparable : str, optional
        Why the recorded figures of the two cannot be compared.
    judged : mapping, optional
        Both on the same spectra, in the format of `schemas.Judged`.
    """
    lines = []
    if judged is not None:
        lines += [f"both on {judged['queries']}", *judged_lines(judged, indent=2), ""]
    if not_comparable is not None:
        lines.append(f"figures (of different spectra, no comparison: {not_comparable})")
    table: list[Sequence[str]] = [("" if not_comparable else "figures", first, second, "change")]
    for name, one, other in comparison["figures"]:
        both = isinstance(one, int | float) and isinstance(other, int | float)
        change = f"{other - one:+.4f}" if both and not_comparable is None else ""
        table.append((f"  {name}", _number(one), _number(other), change))
    lines.append(_table(table))
    differing = [row for title in ("data", "config") for row in comparison[title]]
    shown = [row for row in differing if not row[0].endswith("sha256")][:_MAX_SETTINGS_SHOWN]
    if shown:
        table = [("data and config", first, second)]
        for key, one, other in shown:
            cells = _in_short(one), _in_short(other) + _n_differing(one, other)
            table.append((f"  {key}", *(cut(cell, _MAX_WIDTH) for cell in cells)))
        lines += ["", _table(table)]
    if len(differing) > len(shown):
        lines.append(f"  and {len(differing) - len(shown)} more (--json)")
    return "\n".join(lines)


def format_history(data: TrackerData) -> str:
    """Return the moves of ``latest`` as a table, each with what it was judged on below it."""
    rows = [("when (UTC)", "latest", "before", "why")]
    rows += [
        (f"{move.at:%Y-%m-%d %H:%M:%S}", move.latest or "-", move.previous or "-", move.reason)
        for move in data.history
    ]
    head, *lines = _table(rows).splitlines()
    out = [head]
    for line, move in zip(lines, data.history, strict=True):
        out.append(line)
        if move.judged is not None:
            out.append(f"    on {move.judged['queries']}, SHA-256 {move.judged['sha256']}")
            out += judged_lines(move.judged, indent=4)
    return "\n".join(out)


def judged_lines(judged: Mapping[str, Any], *, indent: int) -> list[str]:
    """Return the figures of two versions on the same spectra, one line each."""
    return [
        f"{' ' * indent}{name}: {format_difference(judged['compared_with'], figure)}"
        for name, figure in judged["figures"].items()
    ]


def format_difference(compared_with: str, figure: Mapping[str, float]) -> str:
    """Return one figure of two versions, a `schemas.JudgedFigure`, in words."""
    return (
        f"{figure['after']:.4f}, {compared_with} has {figure['before']:.4f} (difference "
        f"{figure['difference']:+.4f}, 95 % interval {figure['low']:+.4f} to {figure['high']:+.4f})"
    )


def flattened(value: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the values of nested dicts with their keys joined by dots."""
    for key, item in value.items():
        if isinstance(item, Mapping) and item:
            yield from flattened(item, f"{before}{key}.")
        else:
            yield f"{before}{key}", item


def _settings(config: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield what a config.json holds by dotted keys.

    Old versions refer to another setting, such as ``${seed}``, for which its value is yielded.
    """
    training = config.get("training_config")
    for key, value in flattened(config):
        named = _NAMED.fullmatch(value) if isinstance(value, str) else None
        yield key, training.get(named[1]) if named and isinstance(training, Mapping) else value


def _table(rows: Sequence[Sequence[str]]) -> str:
    head, *others = rows
    return "\n".join(to_columns(head, others, left=head, indent=0))


def _aliases(data: TrackerData, version: str | Version) -> list[str]:
    return sorted(name for name, target in data.aliases.items() if target == str(version))


def _starts(key: str, parts: Sequence[str]) -> bool:
    return any(key == part or key.startswith(f"{part}.") for part in parts)


def _number(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.4f}" if isinstance(value, float) else str(value)


def _in_short(value: Any) -> str:
    return f"{len(value):,} values" if _is_long(value) else str(value)


def _n_differing(one: Any, other: Any) -> str:
    """Return how many values differ between two long lists that can be compared."""
    if not (_is_long(one) and _is_long(other) and len(one) == len(other)):
        return ""
    count = sum(a != b for a, b in zip(one, other, strict=True))
    return f", {count:,} of them differ"


def _is_long(value: Any) -> bool:
    return isinstance(value, list) and len(value) > _MAX_VALUES_SHOWN
