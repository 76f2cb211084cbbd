"""Report of an evaluation: as JSON for programs, as text and Markdown for people."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from team5.evaluation.matching import ReliabilityBin
from team5.evaluation.records import (
    CONTROLS,
    SHUFFLED,
    Metric,
)
from team5.runtime.tables import counted, counted_spectra, to_columns

CONTROL_NAMES = {
    "chance": "chance",
    SHUFFLED: "exchanged",
    "mass_error": "mass error",
    "molecule_only": "molecule only",
    "precursor_alone": "precursor alone",
    "bond_breaking": "bond breaking",
}
CONTROL_TEXTS = {
    "chance": "candidates in random order, pairs called by the toss of a coin "
    "(F1: all pairs called a match; Brier score: one half for all)",
    SHUFFLED: "the same model, each spectrum with the peaks of another one of its ion mode",
    "mass_error": "-|measured - calculated precursor m/z| to 4 decimals and nothing else",
    "molecule_only": "a logistic regression on Morgan counts of the structure (radius 2, 1,024 "
    "bins), which sees no spectrum; fitted on the structures of data.train against others of "
    "their mass from data.pool",
    "precursor_alone": "a spectrum of nothing but the precursor peak",
    "bond_breaking": "the untrained score: sum over explained peaks of v / (1 + c)^0.47, divided "
    "by the sum over all peaks of v = m/z^1.84 intensity^0.59, c the cost of the bonds cut and "
    "the hydrogens moved (0.5 each) for the cheapest ion; it sees the spectrum and is not blind",
}
MARK = "*"
MARK_TEXT = (
    "the interval does not lie wholly above the best of the blind controls (chance, exchanged, "
    "mass error, molecule only, precursor alone), or below where lower is better: such a figure "
    "does not show that the peaks were read."
)


@dataclass(frozen=True)
class Report:
    """Result of one evaluation.

    Attributes
    ----------
    queries : str
        Name of the file.
    threshold : float
        Of the match probability.
    metrics : dict of str to list of Metric
        By task; ``figures`` in JSON.
    breakdowns : dict of str to dict of str to list of Metric
        hit@1 by list, then condition; one metric per stratum.
    reliability : list of ReliabilityBin
    notes : tuple of str
        What was left out and how to include it, and other caveats.
    """

    version: str
    version_hash: str
    queries: str
    n_queries: int
    n_structures: int
    seed: int
    threshold: float
    metrics: dict[str, list[Metric]]
    breakdowns: dict[str, dict[str, list[Metric]]]
    reliability: list[ReliabilityBin]
    notes: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        return (
            f"{self.version} ({self.version_hash}) on {self.queries}, "
            f"{counted(self.n_queries, 'query', 'queries')} of "
            f"{counted(self.n_structures, 'structure')}"
        )

    @property
    def controls(self) -> list[str]:
        """The controls of any metric."""
        return controls_of([m for rows in self.metrics.values() for m in rows])

    @property
    def is_marked(self) -> bool:
        """Whether some metric is marked."""
        groups = [*self.metrics.values()]
        groups += [rows for by in self.breakdowns.values() for rows in by.values()]
        return any(metric.not_above_blind for rows in groups for metric in rows)

    def to_dict(self) -> dict[str, Any]:
        """Return the report as plain values."""
        fields = asdict(self)
        notes = list(fields.pop("notes"))
        return {
            **{"figures" if name == "metrics" else name: value for name, value in fields.items()},
            "controls": {name: CONTROL_TEXTS[name] for name in self.controls},
            "not_above_blind": MARK_TEXT,
            "notes": notes,
        }

    def to_text(self) -> str:
        """Return the report as tables for people."""
        parts = [self.title]
        parts += [_table(task, rows) for task, rows in self.metrics.items()]
        if self.reliability:
            parts.append(_reliability_table(self.reliability))
        parts += [
            _table(f"hit@1, {breakdown_title(task)}, by {condition}", rows)
            for task, by_condition in self.breakdowns.items()
            for condition, rows in by_condition.items()
        ]
        closing = [f"{MARK}  {MARK_TEXT}"] if self.is_marked else []
        closing += [f"{CONTROL_NAMES[name]}: {CONTROL_TEXTS[name]}." for name in self.controls]
        closing += [f"Note: {note}" for note in self.notes]
        return "\n\n".join([*parts, "\n".join(closing)])

    def to_card(self, card: str, command: str) -> str:
        """Return a model card with these metrics, replacing earlier ones on the same queries."""
        heading = f"## Figures on {self.queries}"
        sections = [
            part for part in re.split(r"(?m)^(?=## )", card) if part.splitlines()[:1] != [heading]
        ]
        compounds = counted(self.n_structures, "compound")
        lines = [
            heading,
            "",
            f"Made by `{command}`:",
            f"{counted_spectra(self.n_queries)} of {compounds}, with 95 % intervals over",
            "compounds, against what controls reach (README, Evaluate).",
            *(["", f"\\{MARK}: {MARK_TEXT}"] if self.is_marked else []),
        ]
        for task, rows in self.metrics.items():
            controls = controls_of(rows)
            names = [task, "value", "95 % interval", *(CONTROL_NAMES[c] for c in controls)]
            lines += ["", _markdown(names), "|---|" + "---:|" * (len(names) - 1)]
            for m in rows:
                mark = f"\\{MARK}" if m.not_above_blind else ""
                values = [f"{m.value:.3f}{mark}", interval_of(m), *control_values(m, controls)]
                lines.append(_markdown([label_of(m), *values]))
        section = "\n".join([*lines, ""])
        return "\n\n".join(part.strip() for part in (*sections, section) if part.strip()) + "\n"


def controls_of(rows: Sequence[Metric]) -> list[str]:
    """Return the controls of any of the metrics."""
    return [name for name in CONTROLS if any(getattr(m, name) is not None for m in rows)]


def control_values(metric: Metric, controls: Sequence[str]) -> list[str]:
    """Return the values of controls as text, blank where one does not apply."""
    values = [getattr(metric, name) for name in controls]
    return ["" if value is None else f"{value:.3f}" for value in values]


def interval_of(metric: Metric | ReliabilityBin) -> str:
    """Return an interval as text."""
    return f"{metric.low:.3f} to {metric.high:.3f}"


def label_of(metric: Metric) -> str:
    """Return a metric's name, marked if lower is better."""
    return metric.name + (" (lower is better)" if metric.lower_is_better else "")


def breakdown_title(task: str) -> str:
    """Return the lists that a breakdown of hit@1 is of."""
    return task.removeprefix("rank, ")


def _markdown(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _table(title: str, rows: Sequence[Metric]) -> str:
    controls = controls_of(rows)
    names = [CONTROL_NAMES[control] for control in controls]
    cells = [
        [
            label_of(m),
            f"{m.value:.3f}{MARK if m.not_above_blind else ' '}",
            interval_of(m),
            *control_values(m, controls),
            str(m.n_queries),
        ]
        for m in rows
    ]
    header = ["", "value ", "95 % interval", *names, "queries"]
    return "\n".join([title, *to_columns(header, cells, left=[""])])


def _reliability_table(bins: Sequence[ReliabilityBin]) -> str:
    cells = [
        [
            f"from {b.bin_low:.1f} to {b.bin_high:.1f}",
            f"{b.mean_probability:.3f}",
            f"{b.value:.3f} ",
            interval_of(b),
            str(b.n_pairs),
        ]
        for b in bins
    ]
    header = ["", "mean", "true ", "95 % interval", "pairs"]
    lines = to_columns(header, cells, left=[""])
    return "\n".join(["match, reliability of probabilities", *lines])
