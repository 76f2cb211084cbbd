"""Validated questions: structures and spectra to judge, or structures to simulate."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from team5.chemistry.adducts import check_adduct
from team5.chemistry.molecule import Molecule
from team5.data.conditions import Conditions
from team5.data.spectrum import Spectrum
from team5.errors import AdductError, ConfigError, MoleculeError
from team5.inference.adduct_priors import prior_score
from team5.inference.engine import Scored, adduct_of, iter_scores
from team5.inference.loading import LoadedModel
from team5.inference.matches import count_wrong_precursors, judge, to_match, to_simulation
from team5.inference.references import (
    Comparison,
    Comparisons,
    ReferenceScores,
    add_isomers,
    choose_references,
)
from team5.inference.results import Match, Simulation
from team5.inference.selective import check_max_error

Parse = Callable[[str], Molecule]

# How many unusable structures an error names.
_MAX_FAULTS_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Inputs:
    """Unchecked arguments of `infer`."""

    smiles: Any
    mzs: Any = None
    intensities: Any = None
    spectra: Any = None
    conditions: Conditions = field(default_factory=Conditions)
    max_error: float | None = None
    references: Any = None


@dataclass(frozen=True, slots=True)
class MoleculeScores:
    """Scores of one molecule within a question.

    Attributes
    ----------
    index : int
        Index of the molecule in the question.
    answer : Match or Simulation, optional
        None for references. A match is yet to be judged.
    n_wrong : int
        Spectra with a precursor that the structure cannot have.
    scores : ReferenceScores, optional
        Of shape (1, S); None for simulations.
    prior : float
        Contribution of its adducts to its score, from `prior_score`.
    """

    index: int
    answer: Match | Simulation | None = None
    n_wrong: int = 0
    scores: ReferenceScores | None = None
    prior: float = 0.0


@dataclass(frozen=True)
class Question:
    """Structures to judge by the spectra of one compound, or one to simulate; validated.

    ``with_isomers`` adds missing references, ``score`` extracts from the scores of one molecule
    what the answer needs, ``judge`` turns these into the answers, in the order of the structures;
    ``answers`` does all of it.

    Attributes
    ----------
    molecules : sequence of Molecule
        To score: the candidates, then their references.
    comparisons : mapping of int to Comparison
        One for each candidate.
    spectra : sequence of Spectrum
    is_simulation : bool
    max_error : float, optional
    wanting : tuple of int
        Candidates whose isomers are yet to be generated.
    n_references : int
        References that were given.
    """

    molecules: Sequence[Molecule]
    comparisons: Comparisons
    spectra: Sequence[Spectrum]
    is_simulation: bool = False
    max_error: float | None = None
    wanting: tuple[int, ...] = ()
    n_references: int = 0

    def with_isomers(self) -> Question:
        """Return the question with isomers of the first structure that needs them."""
        index, *later = self.wanting
        molecules, comparisons = add_isomers(self.molecules, self.comparisons, index)
        return replace(self, molecules=molecules, comparisons=comparisons, wanting=tuple(later))

    def answers(self, model: LoadedModel) -> list[Match] | list[Simulation]:
        """Score all molecules and judge the candidates."""
        if self.wanting:
            return self.with_isomers().answers(model)
        scores = iter_scores(model, self.molecules, self.spectra, model.encodings)
        return self.judge(model, [self.score(model, each, each.index) for each in scores])

    def score(self, model: LoadedModel, scored: Scored, index: int) -> MoleculeScores:
        """Return the part of one molecule's scores that is kept."""
        if self.is_simulation:
            return MoleculeScores(index, to_simulation(model, scored, self.spectra[0]))
        scores = ReferenceScores.of(scored)
        if index not in self.comparisons:
            return MoleculeScores(index, scores=scores)
        n_wrong = count_wrong_precursors(scored, self.spectra)
        prior = prior_score(model, scored, self.spectra)
        match = to_match(model, scored, self.spectra, prior)
        return MoleculeScores(index, match, n_wrong, scores, prior)

    def judge(
        self, model: LoadedModel, scored: Iterable[MoleculeScores]
    ) -> list[Match] | list[Simulation]:
        """Return the answers, once all molecules are scored; several structures are ranked."""
        ordered = sorted(scored, key=lambda each: each.index)
        if self.is_simulation:
            return [each.answer for each in ordered if isinstance(each.answer, Simulation)]
        candidates = ordered[: len(self.comparisons)]
        matches = judge(
            model,
            {each.index: each.answer for each in candidates if isinstance(each.answer, Match)},
            self.comparisons,
            ReferenceScores.join(each.scores for each in ordered if each.scores is not None),
            np.array([each.n_wrong for each in candidates]),
            np.array([self.molecules[each.index].exact_mass for each in candidates]),
            np.array([each.prior for each in candidates]),
            max_error=self.max_error,
            n_references=self.n_references,
        )
        return matches if len(matches) > 1 else [replace(matches[0], rank=None, confidence=None)]


def make_questions(
    model: LoadedModel, inputs: Inputs, parse: Parse | None = None
) -> tuple[Iterable[Question | None], bool]:
    """Check the arguments of `infer`; nothing is computed yet.

    Structures are checked one by one as the questions are taken, with None after each, so that
    a server can answer others in between.

    Parameters
    ----------
    model : LoadedModel
    inputs : Inputs
    parse : callable, optional
        By default the model's, which caches structures.

    Returns
    -------
    questions, many
        ``many`` says whether the answer is a list.

    Raises
    ------
    Team5Error
        As `infer`.
    """
    parse = parse or model.encodings.parse
    smiles, spectra, max_error = inputs.smiles, inputs.spectra, inputs.max_error
    many = not isinstance(smiles, str)
    if smiles is not None and not hasattr(smiles, "__iter__"):
        raise ConfigError(
            f"smiles must be text or a list of texts, not {smiles!r}. Give CCO, for one.",
            argument="smiles",
        )
    texts = _texts([smiles] if isinstance(smiles, str) else () if smiles is None else smiles)
    if not texts:
        raise ConfigError(
            "no SMILES given. Give one, or a list of at least one.", argument="smiles"
        )
    molecules = _parse_all(texts, many, parse)
    if max_error is not None:
        check_max_error(model.calibration, max_error, model.version)
    references = parse_references(model, inputs.references, parse)
    if spectra is None and inputs.mzs is None and inputs.intensities is None:
        return _simulations(molecules, inputs), many
    if spectra is None and _is_pairwise(inputs):
        pairs = _pairwise(molecules, inputs, many)
        return (
            step for m, s in pairs for step in _question(model, [m], [s], references, max_error)
        ), True
    together = (
        [inputs.conditions.spectrum(inputs.mzs, inputs.intensities)]
        if spectra is None
        else _checked_spectra(inputs)
    )
    return _question(model, molecules, together, references, max_error), many


def usable_references(others: Sequence[Molecule], spectra: Sequence[Spectrum]) -> list[Molecule]:
    """Return references without those that lack the atoms an adduct loses."""
    usable = []
    for other in others:
        with contextlib.suppress(AdductError):
            check_ions([other], spectra)
            usable.append(other)
    return usable


def check_ions(molecules: Sequence[Molecule], spectra: Sequence[Spectrum]) -> None:
    """Raise `AdductError` unless every structure can form every ion."""
    for molecule in molecules:
        for spectrum in spectra:
            check_adduct(molecule, adduct_of(spectrum, molecule))


def _question(
    model: LoadedModel,
    molecules: Sequence[Molecule],
    spectra: Sequence[Spectrum],
    references: Sequence[Molecule],
    max_error: float | None,
) -> Iterator[Question | None]:
    """Check structures one by one, yielding None after each, and then yield their question."""
    for molecule in molecules:
        check_ions([molecule], spectra)
        _ = molecule.inchikey14  # slow, and kept by the molecule
        yield None
    others: list[Molecule] = []
    for reference in references:
        for other in usable_references([reference], spectra):
            _ = other.inchikey14
            others.append(other)
        yield None
    question = question_of(model, molecules, spectra, max_error, others)
    yield replace(question, n_references=len(references))


def question_of(
    model: LoadedModel,
    molecules: Sequence[Molecule],
    spectra: Sequence[Spectrum],
    max_error: float | None,
    references: Sequence[Molecule] = (),
) -> Question:
    """Return the question of structures and references that form the ions of the spectra."""
    scored, comparisons, wanting = choose_references(model, molecules, references)
    return Question(scored, comparisons, spectra, max_error=max_error, wanting=wanting)


def _simulations(molecules: Sequence[Molecule], inputs: Inputs) -> Iterable[Question]:
    for name in ("max_error", "references"):
        if getattr(inputs, name) is not None:
            raise ConfigError(
                f"{name}= is for matches and rankings. Leave it out to simulate.", argument=name
            )
    # A dummy peak, which the prediction ignores.
    blank = [inputs.conditions.spectrum([100.0], [1.0])]

    def simulation(molecule: Molecule) -> Question:
        check_ions([molecule], blank)
        return Question([molecule], {0: Comparison()}, blank, is_simulation=True)

    return map(simulation, molecules)


def _checked_spectra(inputs: Inputs) -> list[Spectrum]:
    if (
        inputs.mzs is not None
        or inputs.intensities is not None
        or inputs.conditions != Conditions()
    ):
        raise ConfigError(
            "spectra= brings its own peaks and conditions. Give it alone, or mzs= and "
            "intensities= with adduct= and the like.",
            argument="spectra",
        )
    spectra = inputs.spectra
    together = [spectra] if isinstance(spectra, Spectrum) else list(spectra)
    if not all(isinstance(spectrum, Spectrum) for spectrum in together):
        raise ConfigError(
            "spectra= takes Spectrum objects: Spectrum(mzs, intensities, adduct=...), from "
            "team5.data.spectrum.",
            argument="spectra",
        )
    if not together:
        raise ConfigError("spectra= is empty. Give at least one Spectrum.", argument="spectra")
    return together


def _is_pairwise(inputs: Inputs) -> bool:
    if inputs.mzs is None or inputs.intensities is None:
        there, missing = ("intensities", "mzs") if inputs.mzs is None else ("mzs", "intensities")
        raise ConfigError(
            f"{there} without {missing}. Give both for a spectrum, neither to simulate.",
            argument=missing,
        )
    nested = _is_nested(inputs.mzs)
    if nested != _is_nested(inputs.intensities):
        raise ConfigError(
            "of mzs and intensities one is a list of lists, the other is not. Give both alike.",
            argument="mzs",
        )
    return nested


def _texts(texts: Iterable[Any]) -> list[Any]:
    return [str(text) if isinstance(text, np.str_) else text for text in texts]


def parse_references(
    model: LoadedModel, references: Any, parse: Parse | None = None
) -> list[Molecule]:
    """Return references as molecules; `ConfigError` if the version does not use references."""
    if references is None:
        return []
    if isinstance(references, str) or not hasattr(references, "__iter__"):
        raise ConfigError(
            "references= takes a list of SMILES: other molecules of the mass.",
            argument="references",
        )
    if not model.candidate_head.is_fitted:
        raise ConfigError(
            f"{model.version} does not compare structures with references. Use a later version, "
            "or leave references= out.",
            argument="references",
        )
    return _parse_all(_texts(references), True, parse or model.encodings.parse, "reference")


def _parse_all(
    texts: list[str], many: bool, parse: Parse, what: str = "structure"
) -> list[Molecule]:
    molecules = []
    faults: list[tuple[int, MoleculeError]] = []
    for index, text in enumerate(texts):
        try:
            molecules.append(parse(text))
        except MoleculeError as error:
            if not many:
                raise
            faults.append((index, error))
    if not faults:
        return molecules
    named = [
        f"{what} {index + 1} of {len(texts)}: {error}"
        for index, error in faults[:_MAX_FAULTS_SHOWN]
    ]
    if (n_more := len(faults) - len(named)) > 0:
        named.append(f"And {n_more:,} more {what}{'s' if n_more > 1 else ''} cannot be used.")
    index, first = faults[0]
    key = "smiles" if what == "structure" else "references"
    raise MoleculeError(" ".join(named), code=first.code, argument=f"{key}[{index}]") from first


def _is_nested(values: Any) -> bool:
    if hasattr(values, "ndim"):
        return bool(values.ndim > 1)
    return (
        isinstance(values, Sequence)
        and not isinstance(values, str)
        and len(values) > 0
        and (hasattr(values[0], "__len__") and not isinstance(values[0], str))
    )


def _pairwise(
    molecules: list[Molecule], inputs: Inputs, many: bool
) -> Iterator[tuple[Molecule, Spectrum]]:
    mzs, intensities = inputs.mzs, inputs.intensities
    if len(mzs) != len(intensities):
        raise ConfigError(
            f"{len(mzs)} lists of mzs but {len(intensities)} of intensities. Give as many.",
            argument="intensities",
        )
    if many and len(molecules) != len(mzs):
        raise ConfigError(
            f"{len(molecules)} SMILES but {len(mzs)} spectra. Give one spectrum to rank the "
            "structures, or one for each; spectra of one compound go into spectra=.",
            argument="smiles",
        )
    for index, peaks in enumerate(zip(mzs, intensities, strict=True)):
        identifier = f"spectrum {index + 1} of {len(mzs)}"
        spectrum = inputs.conditions.spectrum(*peaks, identifier=identifier)
        yield molecules[index if many else 0], spectrum
