"""What was left out of a library: counted by reason, with examples that say where they stand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

MAX_EXAMPLES = 5  # for each reason
_MAX_TEXT = 200  # characters


@dataclass
class Dropped:
    """Counts and the first examples of what was left out, by reason."""

    counts: dict[str, int] = field(default_factory=dict)
    examples: dict[str, list[dict[str, str]]] = field(default_factory=dict)

    def add(self, reason: str, place: str, text: str) -> None:
        """Count one; `text` shows what stood at the place, or says more of the reason."""
        self.counts[reason] = self.counts.get(reason, 0) + 1
        shown = self.examples.setdefault(reason, [])
        if len(shown) < MAX_EXAMPLES:
            text = text if len(text) <= _MAX_TEXT else text[: _MAX_TEXT - 1] + "…"
            shown.append({"place": place, "text": text})

    def update(self, other: Mapping[str, Any]) -> None:
        """Add what `to_dict` of another holds."""
        for reason, found in other.items():
            self.counts[reason] = self.counts.get(reason, 0) + int(found["count"])
            shown = self.examples.setdefault(reason, [])
            shown += found["examples"][: MAX_EXAMPLES - len(shown)]

    def to_dict(self) -> dict[str, dict[str, Any]]:
        """Return ``{reason: {"count": ..., "examples": [{"place": ..., "text": ...}]}}``."""
        return {
            reason: {"count": count, "examples": self.examples[reason]}
            for reason, count in sorted(self.counts.items(), key=lambda item: (-item[1], item[0]))
        }


def format_dropped(dropped: Mapping[str, Any], n_examples: int = 2) -> str:
    """Return what was left out, from `Dropped.to_dict`, as lines for people."""
    lines = []
    for reason, found in dropped.items():
        lines.append(f"  {found['count']:>13,}  {reason}")
        lines += [
            f"                 {example['place']}: {example['text']}"
            for example in found["examples"][:n_examples]
        ]
    return "\n".join(lines)
