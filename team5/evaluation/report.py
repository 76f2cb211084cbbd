"""An evaluation as one report: what is written as JSON, and a text for people."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from team5.evaluation.records import CONTROLS, Figure, ReliabilityFigure

# What stands above each control's column, and what the control is.
CONTROL_NAMES = {
    "chance": "chance",
    "exchanged": "exchanged",
    "mass_error": "mass error",
    "molecule_only": "molecule only",
    "precursor_alone": "precursor alone",
    "bond_breaking": "bond breaking",
}
CONTROL_TEXTS = {
    "chance": "candidates in random order, pairs called by the toss of a coin "
    "(F1: all pairs called a match; Brier score: one half for all)",
    "exchanged": "the same model, each spectrum with the peaks of another one of its ion mode",
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
    """Everything one evaluation found.

    Attributes
    ----------
    queries : str
        Name of the file.
    threshold : float
        Of the match probability.
    figures : dict of str to list of Figure
        By task.
    breakdowns : dict of str to dict of str to list of Figure
        hit@1 by list, then condition; one figure per band.
    reliability : list of ReliabilityFigure
    notes : tuple of str
        What was left out and how to get it, and what else a reader must know.
    """

    version: str
    version_hash: str
    queries: str
    n_queries: int
    n_structures: int
    seed: int
    threshold: float
    figures: dict[str, list[Figure]]
    breakdowns: dict[str, dict[str, list[Figure]]]
    reliability: list[ReliabilityFigure]
    notes: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        return (
            f"{self.version} ({self.version_hash}) on {self.queries}, {self.n_queries} queries "
            f"of {self.n_structures} structures"
        )

    @property
    def controls(self) -> list[str]:
        """The controls that some figure stands beside."""
        return controls_of([f for rows in self.figures.values() for f in rows])

    @property
    def is_marked(self) -> bool:
        """Whether some figure is marked."""
        rows = [f for rows in self.figures.values() for f in rows]
        rows += [f for by in self.breakdowns.values() for found in by.values() for f in found]
        return any(f.not_above_blind for f in rows)

    def to_dict(self) -> dict[str, Any]:
        """Return the report as plain values."""
        return {
            "version": self.version,
            "version_hash": self.version_hash,
            "queries": self.queries,
            "n_queries": self.n_queries,
            "n_structures": self.n_structures,
            "seed": self.seed,
            "threshold": self.threshold,
            "figures": {title: [asdict(f) for f in rows] for title, rows in self.figures.items()},
            "breakdowns": {
                title: {by: [asdict(f) for f in rows] for by, rows in found.items()}
                for title, found in self.breakdowns.items()
            },
            "reliability": [asdict(b) for b in self.reliability],
            "controls": {name: CONTROL_TEXTS[name] for name in self.controls},
            "not_above_blind": MARK_TEXT,
            "notes": list(self.notes),
        }

    def to_text(self) -> str:
        """Return the report as tables for people."""
        parts = [self.title]
        parts += [_table(title, rows) for title, rows in self.figures.items()]
        if self.reliability:
            parts.append(_reliability_table(self.reliability))
        for title, found in self.breakdowns.items():
            parts += [
                _table(f"hit@1, {title.removeprefix('rank, ')}, by {by}", rows)
                for by, rows in found.items()
            ]
        closing = [f"{MARK}  {MARK_TEXT}"] if self.is_marked else []
        closing += [f"{CONTROL_NAMES[name]}: {CONTROL_TEXTS[name]}." for name in self.controls]
        closing += [f"Note: {note}" for note in self.notes]
        return "\n\n".join([*parts, "\n".join(closing)])

    def to_card(self, card: str, command: str) -> str:
        """Return a model card with these figures, in place of earlier ones on the same queries.

        Parameters
        ----------
        card : str
            In Markdown.
        command : str
            What makes the figures.
        """
        heading = f"## Figures on {self.queries}"
        kept = [
            part for part in re.split(r"(?m)^(?=## )", card) if part.splitlines()[:1] != [heading]
        ]
        lines = [
            heading,
            "",
            f"Made by `{command}`:",
            f"{self.n_queries} spectra of {self.n_structures} compounds, with 95 % intervals over",
            "compounds, beside what controls reach (README, Evaluate).",
            *(["", f"\\{MARK}: {MARK_TEXT}"] if self.is_marked else []),
        ]
        for title, rows in self.figures.items():
            controls = controls_of(rows)
            names = [title, "figure", "95 % interval", *(CONTROL_NAMES[c] for c in controls)]
            lines += ["", _markdown(names), "|---|" + "---:|" * (len(names) - 1)]
            for f in rows:
                mark = f"\\{MARK}" if f.not_above_blind else ""
                values = (getattr(f, name) for name in controls)
                beside = ["" if v is None else f"{v:.3f}" for v in values]
                interval = f"{f.low:.3f} to {f.high:.3f}"
                lines.append(_markdown([label_of(f), f"{f.value:.3f}{mark}", interval, *beside]))
        own = "\n".join([*lines, ""])
        return "\n\n".join(part.strip() for part in (*kept, own) if part.strip()) + "\n"


def _markdown(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def controls_of(rows: Sequence[Figure]) -> list[str]:
    """Return the controls that some of the figures stand beside."""
    return [name for name in CONTROLS if any(getattr(f, name) is not None for f in rows)]


def label_of(figure: Figure) -> str:
    """Return a figure's name, and that lower is better where it is."""
    return figure.name + (" (lower is better)" if figure.lower_is_better else "")


def _table(title: str, rows: Sequence[Figure]) -> str:
    controls = controls_of(rows)
    headings = ["value ", "95 % interval", *(CONTROL_NAMES[name] for name in controls), "queries"]
    cells = [
        [
            f"{f.value:.3f}{MARK if f.not_above_blind else ' '}",
            f"{f.low:.3f} to {f.high:.3f}",
            *("" if (v := getattr(f, name)) is None else f"{v:.3f}" for name in controls),
            str(f.n_queries),
        ]
        for f in rows
    ]
    return f"{title}\n" + _aligned(["", *(f"  {label_of(f)}" for f in rows)], [headings, *cells])


def _reliability_table(bins: Sequence[ReliabilityFigure]) -> str:
    names = [""]
    cells = [["said", "true ", "95 % interval", "pairs"]]
    for b in bins:
        names.append(f"  from {b.bin_low:.1f} to {b.bin_high:.1f}")
        interval = f"{b.low:.3f} to {b.high:.3f}"
        cells.append([f"{b.mean_probability:.3f}", f"{b.value:.3f} ", interval, str(b.n_pairs)])
    return "match, reliability of probabilities\n" + _aligned(names, cells)


def _aligned(names: Sequence[str], cells: Sequence[Sequence[str]]) -> str:
    first = max(map(len, names))
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return "\n".join(
        "  ".join(
            [name.ljust(first), *(c.rjust(width) for c, width in zip(row, widths, strict=True))]
        )
        for name, row in zip(names, cells, strict=True)
    )
