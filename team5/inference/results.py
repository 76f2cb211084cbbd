"""Match and Simulation: the answers, as plain frozen values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, TypeGuard, TypeVar

from team5.data.sticks import MEASURED, PREDICTED, draw_sticks
from team5.errors import MoleculeError
from team5.runtime.html import render, trusted

if TYPE_CHECKING:
    from markupsafe import Markup

# Items of a list shown in a notebook, as each has a drawing.
_N_SHOWN = 10


class _Plain:
    """A dataclass that can be written as JSON."""

    __slots__ = ()

    def to_dict(self) -> dict[str, Any]:
        """Return the fields, tuples as lists."""
        values = fields(self)  # type: ignore[arg-type]
        return {field.name: _to_plain(getattr(self, field.name)) for field in values}


@dataclass(frozen=True, slots=True)
class ExplainedPeak(_Plain):
    """A peak and the fragment of the structure that explains it best.

    Attributes
    ----------
    mz, intensity : float
        As measured; the base peak has intensity 1.
    fragment_mz : float
        Calculated m/z of the fragment ion.
    error_ppm : float
        ``mz`` minus ``fragment_mz``, in millionths of ``fragment_mz``.
    formula : str
        Of the ion, charge at its end (``C6H7O+``).
    atoms : tuple of int
        The fragment's atoms, as indices into the verbatim SMILES.
    broken_bonds : tuple of pairs of int
        The bonds cut to form it, by the indices of their atoms.
    probability : float
        Probability of this ion among all ions of the structure in this spectrum.
    """

    mz: float
    intensity: float
    fragment_mz: float
    error_ppm: float
    formula: str
    atoms: tuple[int, ...]
    broken_bonds: tuple[tuple[int, int], ...]
    probability: float

    def __str__(self) -> str:
        return f"{self.mz:.4f} is {self.formula} ({self.error_ppm:+.1f} ppm)"


@dataclass(frozen=True, slots=True)
class Match(_Plain):
    """How well a spectrum fits a structure.

    Attributes
    ----------
    smiles : str
        As typed.
    probability : float
        Probability that the spectrum is of this structure, 0 to 1.
    label : bool
        Whether ``probability`` reaches ``threshold``.
    threshold : float
        The model's calibrated one.
    rank : int or None
        1 for the best of several candidates; None for a single structure.
    confidence : float or None
        The probability that it is the right one of several candidates, assuming that one of them
        is; they add up to 1, or to about 0 if none can have the measured precursor. None for
        a single structure, and if the version was not calibrated for it.
    score : float
        Weighted log-likelihood of the peaks, by which candidates are ranked; higher is better.
    explained_intensity : float
        Share of the intensity that fragments explain, 0 to 1.
    peaks : tuple of ExplainedPeak
        The explained peaks, ascending in m/z; of several spectra the strongest of each ion.
    impossible_mzs : tuple of float
        Peaks above the precursor, which no ion of the structure can give.
    formula : str
        Of the judged component.
    adduct : str
    precursor_mz : float
        Calculated.
    precursor_fits : bool or None
        Whether the measured precursor is this one; None if none was measured.
    collision_energy : str or None
        As given; for several spectra separated by semicolons.
    version, version_hash : str
        The model's version and the short checksum of its configuration.
    notes : tuple of str
        Assumptions and omissions, in words.
    abstained : str or None
        Why the answer is withheld, if it would not keep the chosen error rate (``max_error``).
    references : {"candidates", "isomers"} or None
        What the structure was compared with for its probability: other molecules of its mass among
        those given, isomers generated from it, or nothing.
    n_references : int
    """

    smiles: str
    probability: float
    label: bool
    threshold: float
    rank: int | None
    score: float
    explained_intensity: float
    peaks: tuple[ExplainedPeak, ...]
    impossible_mzs: tuple[float, ...]
    formula: str
    adduct: str
    precursor_mz: float
    precursor_fits: bool | None
    collision_energy: str | None
    version: str
    version_hash: str
    notes: tuple[str, ...]
    abstained: str | None = None
    references: str | None = None
    n_references: int = 0
    confidence: float | None = None

    def _repr_html_(self) -> str:
        verdict = "match" if self.label else "no match"
        is_alone = self.rank is None
        spectrum = draw_sticks(
            [peak.mz for peak in self.peaks],
            [peak.intensity for peak in self.peaks],
            [peak.formula for peak in self.peaks],
            colour=MEASURED,
            titles=[str(peak) for peak in self.peaks],
        )
        judgement = {
            verdict: f"at probability {self.probability:.3f} (threshold {self.threshold:.3f})"
        }
        place = {"rank": str(self.rank), "confidence": confidence_text(self.confidence)}
        values = {
            **(judgement if is_alone else place),
            "explained": f"{self.explained_intensity:.0%} of the intensity",
            "ion": f"{self.formula} {self.adduct}, m/z {self.precursor_mz:.4f}",
            "collision energy": self.collision_energy,
            "withheld": self.abstained,
            "model": _model(self),
        }
        return _card(self, spectrum, values)

    def __str__(self) -> str:
        verdict = "a match" if self.label else "no match"
        judgement = (
            f"probability {self.probability:.3f}, {verdict} at {self.threshold:.3f}"
            if self.rank is None
            else f"rank {self.rank}, confidence {confidence_text(self.confidence)}"
        )
        return (
            f"{self.smiles} ({self.formula}, {self.adduct}): {judgement}; "
            f"{self.explained_intensity:.0%} of the intensity explained ({self.version})"
            + (f"; withheld: {self.abstained}" if self.abstained else "")
        )


@dataclass(frozen=True, slots=True)
class Simulation(_Plain):
    """The spectrum predicted for a structure.

    Attributes
    ----------
    smiles : str
        As typed.
    mzs, intensities : tuple of float
        Ascending in m/z; the base peak has intensity 1.
    formulas : tuple of str
        Of the ion behind each peak.
    formula : str
        Of the judged component.
    adduct : str
    precursor_mz : float
    collision_energy : str or None
        As given.
    version, version_hash : str
        The model's version and the short checksum of its configuration.
    notes : tuple of str
        What was assumed or left out, in words.
    """

    smiles: str
    mzs: tuple[float, ...]
    intensities: tuple[float, ...]
    formulas: tuple[str, ...]
    formula: str
    adduct: str
    precursor_mz: float
    collision_energy: str | None
    version: str
    version_hash: str
    notes: tuple[str, ...]

    def _repr_html_(self) -> str:
        peaks = list(zip(self.mzs, self.formulas, strict=True))
        spectrum = draw_sticks(
            self.mzs,
            self.intensities,
            self.formulas,
            colour=PREDICTED,
            titles=[f"m/z {mz:.4f} {formula}" for mz, formula in peaks],
        )
        values = {
            "predicted": f"{len(peaks)} peaks",
            "ion": f"{self.formula} {self.adduct}, m/z {self.precursor_mz:.4f}",
            "collision energy": self.collision_energy,
            "model": _model(self),
        }
        return _card(self, spectrum, values)

    def __str__(self) -> str:
        base = max(range(len(self.mzs)), key=self.intensities.__getitem__, default=None)
        highest = "" if base is None else f", base peak {self.mzs[base]:.4f} {self.formulas[base]}"
        energy = self.collision_energy or "no collision energy given"
        return (
            f"{self.smiles} ({self.formula}, {self.adduct}, {energy}): "
            f"{len(self.mzs)} predicted peaks{highest} ({self.version})"
        )


Answer = Match | Simulation
Listed = TypeVar("Listed", Match, Simulation)


class AnswerList(list[Listed]):
    """Answers in the order of the structures: a list that notebooks show as a table."""

    def ranked(self) -> AnswerList[Listed]:
        """Return the answers by rank, the best first; those without a rank keep their order."""
        return AnswerList(sorted(self, key=lambda answer: getattr(answer, "rank", None) or 0))

    def _repr_html_(self) -> str:
        answers: Sequence[Answer] = self.ranked()
        matches = [answer for answer in answers if isinstance(answer, Match)]
        if matches and len(matches) == len(self):
            return _table(matches)
        return render(
            "answers_card.html",
            cards=[trusted(answer._repr_html_()) for answer in answers[:_N_SHOWN]],
            n_answers=len(self),
        )


def is_ranking(answers: Sequence[Answer]) -> TypeGuard[Sequence[Match]]:
    """Tell whether answers are the ranked candidates of one spectrum."""
    return len(answers) > 0 and all(getattr(answer, "rank", None) for answer in answers)


def confidence_text(confidence: float | None) -> str:
    """Return a confidence in percent, "-" where the version was not calibrated for it."""
    if confidence is None:
        return "-"
    if 0 < confidence < 0.01:
        return "< 1 %"
    if 0.995 <= confidence < 1:
        return "> 99 %"
    return f"{confidence:.0%}".replace("%", " %")


def _card(answer: Answer, spectrum: Markup, values: dict[str, str | None]) -> str:
    """Return a structure, a spectrum and what is known of both as HTML for a notebook."""
    return render(
        "facts_card.html",
        title=answer.smiles,
        drawings=[_structure(answer.smiles), spectrum],
        values=values,
        notes=answer.notes,
    )


def _table(matches: Sequence[Match]) -> str:
    """Return matches as a table for a notebook."""
    is_ranked = is_ranking(matches)
    n = len(matches)
    rows = [
        (match, _structure(match.smiles, 130, 84), confidence_text(match.confidence))
        for match in matches[:_N_SHOWN]
    ]
    return render(
        "matches_card.html",
        title=f"Spectrum: {n} candidate{'s' if n != 1 else ''}" if is_ranked else f"{n} matches",
        rows=rows,
        n_matches=n,
        held_back=matches[0].abstained if is_ranked or n == 1 else None,
        is_ranked=is_ranked,
    )


def _structure(smiles: str, width: int = 220, height: int = 150) -> Markup:
    """Return a structure's drawing; empty if an answer made by hand has no valid SMILES."""
    from team5.chemistry.depiction import depiction_svg  # here to start quickly

    try:
        return trusted(depiction_svg(smiles, width=width, height=height))
    except MoleculeError:
        return trusted("")


def _model(answer: Answer) -> str:
    return f"{answer.version} ({answer.version_hash})" if answer.version_hash else answer.version


def _to_plain(value: Any) -> Any:
    if isinstance(value, _Plain):
        return value.to_dict()
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_to_plain(item) for item in value]
    return value
