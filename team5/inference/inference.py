r"""load_model, load_tokenizer, infer: a version answers about structures and spectra.

As a program, for one structure and one spectrum:

    python team5/inference/inference.py --smiles "C1=CC=CC=C1" --mzs 100 200 300 \
        --intensities 0.5 0.7 0.9 --version v0.2
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

if __name__ == "__main__":
    # Run by path, this folder leads sys.path; the package is two folders up.
    sys.path[0] = str(Path(__file__).resolve().parents[2])

import numpy as np
import torch

from team5.chemistry.adducts import check_adduct
from team5.chemistry.molecule import Molecule
from team5.chemistry.tokenizer import MoleculeTokenizer
from team5.data.spectrum import Spectrum
from team5.data.structure_cache import StructureCache
from team5.errors import AdductError, ConfigError, DeviceError, MoleculeError, Team5Error
from team5.inference.abstain import Calibration, check_max_error, hold_back
from team5.inference.encodings import EncodingCache
from team5.inference.engine import Scored, adduct_of, iter_scores
from team5.inference.explain import predict_spectrum
from team5.inference.matches import (
    best_first,
    count_wrong_precursors,
    energy_notes,
    to_match,
    unusual,
    with_probability,
    wrong_precursor,
)
from team5.inference.references import (
    Comparison,
    Fit,
    add_isomers,
    choose_references,
    compared_logits,
)
from team5.inference.results import AnswerList, Match, Simulation
from team5.models.foreign_encoder import ForeignEncoder
from team5.models.model import ModelConfig, Team5Model
from team5.registry.allowed import check_allow
from team5.registry.export import read_version
from team5.runtime.examples_first import ExamplesParser
from team5.runtime.html import render

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

_CALL = "python team5/inference/inference.py"
_EXAMPLES = (
    f'{_CALL} --smiles "C1=CC=CC=C1" --mzs 51.023 79.054 --intensities 0.4 1',
    f"{_CALL} --smiles CCO CCN --mzs 47.049 --intensities 1 --version v0.2",
    f'{_CALL} --smiles CCO --collision_energy "35 eV"',
)
# Of several structures that cannot be used, so many are said in full.
_MAX_FAULTS_SHOWN = 5


@dataclass(frozen=True)
class Conditions:
    """How a spectrum was, or is to be, measured."""

    adduct: str | None = None
    precursor_mz: float | None = None
    collision_energy: str | float | None = None
    instrument_type: str | None = None

    def spectrum(self, mzs: Any, intensities: Any, identifier: str = "") -> Spectrum:
        """Return peaks under these conditions, checked."""
        return Spectrum(mzs, intensities, identifier=identifier, **vars(self))


class LoadedModel(Team5Model):
    """A version's model, in eval mode on its device; safe to call from several threads.

    Attributes
    ----------
    version : str
    version_hash : str
        Short checksum of the version's configuration and weights.
    calibration : mapping or None
        How sure the version was of its validation answers and which were wrong, by question;
        None for versions that do not store it.
    encodings : EncodingCache
        What the network said of structures asked about before.
    """

    version = ""
    version_hash = ""
    calibration: Calibration | None = None

    def __init__(
        self,
        config: ModelConfig | None = None,
        tokenizer: MoleculeTokenizer | None = None,
        encoder: ForeignEncoder | None = None,
    ) -> None:
        super().__init__(config, tokenizer, encoder)
        self.encodings = EncodingCache()

    @property
    def threshold(self) -> float:
        """Match probability from which on the label is positive."""
        return float(self.match_head.threshold)

    @property
    def n_parameters(self) -> int:
        return sum(parameter.numel() for parameter in self.parameters())

    def __repr__(self) -> str:
        name = f"{self.version} ({self.version_hash})" if self.version else "no version"
        return f"{type(self).__name__}: {name}, {self.n_parameters:,} parameters, {self.device}"

    def _repr_html_(self) -> str:
        values = {
            "version": f"{self.version} ({self.version_hash})",
            "parameters": f"{self.n_parameters:,}",
            "device": str(self.device),
            "match from": f"probability {self.threshold:.3f}",
            "withholds on request": "yes" if self.calibration else "no",
        }
        title = f"team5 {self.version}"
        return render("facts_card.html", title=title, drawings=[], values=values, notes=[])


def load_model(
    version: str | None = None,
    *,
    device: str = "auto",
    root: str | Path = "checkpoints",
    verify: bool = True,
    cache_structures: bool = False,
    allow: Sequence[str] = (),
) -> LoadedModel:
    """Load a version for inference.

    Parameters
    ----------
    version : str, optional
        ``v0.2``; the tracker's latest by default.
    device : str
        ``auto`` (the best there is), ``cpu``, ``cuda``, ``cuda:1`` or ``mps``.
    root : path
        The folder of versions.
    verify : bool
        Compare the checksums of the version's files before anything is built from them.
    cache_structures : bool
        Keep on disk how structures are cut, for all processes of the machine: at most 1 GB in
        ``TEAM5_CACHE`` or the user's cache folder. Halves the time of what comes again.
    allow : sequence of str
        Encoders outside team5 that may be imported, ``my_lab.encoder.MyEncoder``. A version that
        names another one is refused, and nothing of that is imported.

    Raises
    ------
    VersionError
        If there is no such version; lists those there are.
    ConfigError
        If the version has an encoder that is not allowed, or not there.
    CheckpointError
        If a file is damaged or missing, or the weights do not fit the config.
    DeviceError
        If the device is not on this machine.
    """
    place = parse_device(device)
    stored = read_version(root, version, verify=verify)
    model = LoadedModel.from_config(stored.config, check_allow(allow))
    model.load_weights(stored.weights, f"{stored.folder}/model.safetensors")
    model.version, model.version_hash = stored.version, stored.version_hash
    model.calibration = stored.config.get("calibration")
    if cache_structures:
        model.encodings.disk = StructureCache.of(model.tokenizer)
    model.requires_grad_(False)
    model.to(place).eval()
    return model


def load_tokenizer(
    version: str | None = None, *, root: str | Path = "checkpoints", verify: bool = True
) -> MoleculeTokenizer:
    """Load a version's tokenizer; ``load_model(...).tokenizer`` is the same."""
    return MoleculeTokenizer.from_config(
        read_version(root, version, verify=verify).config["tokenizer"]
    )


def parse_device(device: str) -> torch.device:
    """Return the device of a name; one that is absent is an error, never replaced.

    Raises
    ------
    DeviceError
    """
    there = ["cpu", *(f"cuda:{i}" for i in range(torch.cuda.device_count()))]
    if torch.backends.mps.is_available():
        there.append("mps")
    if device == "auto":
        return torch.device(there[1] if len(there) > 1 else "cpu")
    name = "cuda:0" if device == "cuda" else device
    if name not in there:
        raise DeviceError(
            f"device {device!r} is not on this machine. There is: {', '.join(there)}; "
            "device=auto takes the best of them."
        )
    return torch.device(name)


def infer(
    model: LoadedModel,
    tokenizer: MoleculeTokenizer | None,
    smiles: str | Sequence[str] | None,
    mzs: ArrayLike | Sequence[ArrayLike] | None = None,
    intensities: ArrayLike | Sequence[ArrayLike] | None = None,
    *,
    spectra: Sequence[Spectrum] | Spectrum | None = None,
    adduct: str | None = None,
    precursor_mz: float | None = None,
    collision_energy: str | float | None = None,
    instrument_type: str | None = None,
    max_error: float | None = None,
    references: Sequence[str] | None = None,
) -> Match | Simulation | list[Match] | list[Simulation]:
    """Answer one of the three questions, by what is given.

    ========================================  ====================================================
    structure and spectrum                    Match
    several structures, one spectrum          list of Match in the order given, each with its rank
    several structures, as many spectra       list of Match, pair by pair
    one structure, several spectra            list of Match
    structures alone                          Simulation, or a list of them
    ========================================  ====================================================

    Parameters
    ----------
    model : LoadedModel
        From :func:`load_model`.
    tokenizer : MoleculeTokenizer or None
        From :func:`load_tokenizer`; None takes the model's own. Another one is refused.
    smiles : str or sequence of str
    mzs, intensities : array of shape (P,), or a sequence of such
        Peaks in m/z, in any order; intensities in any positive unit.
    spectra : Spectrum or sequence of Spectrum
        In place of ``mzs`` and ``intensities``: spectra of one compound (energies, adducts) that
        are judged together.
    adduct : str, optional
        By default that of the ion mode: ``[M+H]+``; permanently charged structures ``[M]+``.
    precursor_mz : float, optional
        Only checked: a structure that cannot have it does not match.
    collision_energy : str or float, optional
        Text as instruments write it; a number is in eV.
    instrument_type : str, optional
    max_error : float, optional
        Share of wrong answers to accept: matches and rankings that are not sure enough for it
        carry the reason in ``abstained``.
    references : sequence of str, optional
        SMILES of further molecules that structures of the same mass (10 ppm) are compared with, as
        candidates are with each other; the more of them, the surer the match probability. Where a
        structure has fewer than eight in all, isomers are made from it, if this holds for at most
        32 structures of the question, and its ``notes`` say that references were not used.

    Raises
    ------
    MoleculeError, SpectrumError, AdductError
        If a structure, a spectrum or an adduct cannot be used: what, where, what to do. Of several
        structures that cannot be parsed, all are named, and from the sixth on counted.
    ConfigError
        If the arguments do not make one of the questions.
    """
    questions, many = ask(
        model,
        tokenizer,
        smiles,
        mzs,
        intensities,
        spectra=spectra,
        adduct=adduct,
        precursor_mz=precursor_mz,
        collision_energy=collision_energy,
        instrument_type=instrument_type,
        max_error=max_error,
        references=references,
    )
    answers: list[Any] = [found for question in questions for found in question.answers(model)]
    return AnswerList(answers) if many else answers[0]


@dataclass(frozen=True)
class Question:
    """Structures to judge by the spectra of one compound, or one to simulate; checked.

    ``with_isomers`` makes what is still wanted to compare with, ``take`` turns the scores of one
    molecule into a part of the answer as they come, ``finish`` the parts into the answers, in the
    order of the structures; ``answers`` does all of it.

    Attributes
    ----------
    molecules : sequence of Molecule
        To score: the structures asked about, then those they are compared with.
    comparisons : sequence of Comparison
        One for each structure asked about.
    spectra : sequence of Spectrum
    is_simulation : bool
    max_error : float, optional
    wanting : tuple of int
        Places of structures that isomers are yet to be made for.
    n_given : int
        References that were given.
    """

    molecules: Sequence[Molecule]
    comparisons: Sequence[Comparison]
    spectra: Sequence[Spectrum]
    is_simulation: bool = False
    max_error: float | None = None
    wanting: tuple[int, ...] = ()
    n_given: int = 0

    def with_isomers(self) -> Question:
        """Return the question with isomers of the first structure that wants them."""
        place, *later = self.wanting
        molecules, comparisons = add_isomers(self.molecules, self.comparisons, place)
        return replace(self, molecules=molecules, comparisons=comparisons, wanting=tuple(later))

    def answers(self, model: LoadedModel) -> list[Match] | list[Simulation]:
        if self.wanting:
            return self.with_isomers().answers(model)
        scores = iter_scores(model, self.molecules, self.spectra, model.encodings)
        return self.finish(model, [self.take(model, scored, scored.index) for scored in scores])

    def take(self, model: LoadedModel, scored: Scored, index: int) -> Part:
        if self.is_simulation:
            return Part(index, _to_simulation(model, scored, self.spectra[0]))
        fit = Fit.of(scored)
        if index >= len(self.comparisons):
            return Part(index, fit=fit)
        n_wrong = count_wrong_precursors(scored, self.spectra)
        return Part(index, to_match(model, scored, self.spectra), n_wrong, fit)

    def finish(self, model: LoadedModel, parts: Iterable[Part]) -> list[Match] | list[Simulation]:
        ordered = sorted(parts, key=lambda part: part.index)
        if self.is_simulation:
            return [part.answer for part in ordered if isinstance(part.answer, Simulation)]
        return _to_ranked(model, ordered, self)


@dataclass(frozen=True, slots=True)
class Part:
    """What one molecule of a question gives.

    Attributes
    ----------
    index : int
        Which of the question's molecules.
    answer : Match or Simulation, optional
        None for those that others are compared with. A match has no probability yet.
    n_wrong : int
        Spectra with a precursor that the structure cannot have.
    fit : Fit, optional
        None for simulations.
    """

    index: int
    answer: Match | Simulation | None = None
    n_wrong: int = 0
    fit: Fit | None = None


def ask(
    model: LoadedModel,
    tokenizer: MoleculeTokenizer | None,
    smiles: str | Sequence[str] | None,
    mzs: ArrayLike | Sequence[ArrayLike] | None = None,
    intensities: ArrayLike | Sequence[ArrayLike] | None = None,
    *,
    spectra: Sequence[Spectrum] | Spectrum | None = None,
    adduct: str | None = None,
    precursor_mz: float | None = None,
    collision_energy: str | float | None = None,
    instrument_type: str | None = None,
    max_error: float | None = None,
    references: Sequence[str] | None = None,
    parse: Callable[[str], Molecule] | None = None,
) -> tuple[list[Question], bool]:
    """Return what `infer` is asked, all of it checked and nothing computed yet.

    Parameters are those of `infer`, errors too; ``parse`` is the model's own, which knows
    structures already, where none is given. The bool says whether the answer is a list.
    """
    parse = parse or model.encodings.parse
    if tokenizer is not None and tokenizer.to_config() != model.tokenizer.to_config():
        raise ConfigError(
            "this tokenizer is not the model's: it cuts molecules otherwise than the model has "
            "learned. Pass model.tokenizer, or None."
        )
    many = not isinstance(smiles, str)
    if smiles is not None and not hasattr(smiles, "__iter__"):
        raise ConfigError(
            f"smiles must be text or a list of texts, not {smiles!r}. Give CCO, for one."
        )
    texts = _texts([smiles] if isinstance(smiles, str) else () if smiles is None else smiles)
    if not texts:
        raise ConfigError("no SMILES given. Give one, or a list of at least one.")
    molecules = _parse_all(texts, many, parse)
    conditions = Conditions(adduct, precursor_mz, collision_energy, instrument_type)
    if max_error is not None:
        check_max_error(model.calibration, max_error, model.version)
    question = partial(
        _question, model, others=_parse_references(model, references, parse), max_error=max_error
    )
    if spectra is not None:
        if mzs is not None or intensities is not None or conditions != Conditions():
            raise ConfigError(
                "spectra= brings its own peaks and conditions. Give it alone, or mzs= and "
                "intensities= with adduct= and the like."
            )
        together = [spectra] if isinstance(spectra, Spectrum) else list(spectra)
        if not all(isinstance(spectrum, Spectrum) for spectrum in together):
            raise ConfigError(
                "spectra= takes Spectrum objects: Spectrum(mzs, intensities, adduct=...), from "
                "team5.data.spectrum."
            )
        if not together:
            raise ConfigError("spectra= is empty. Give at least one Spectrum.")
        return [question(molecules, together)], many
    if mzs is None and intensities is None:
        for name, value in (("max_error", max_error), ("references", references)):
            if value is not None:
                raise ConfigError(f"{name}= is for matches and rankings. Leave it out to simulate.")
        # One peak of no meaning: the prediction does not look at it.
        blank = [conditions.spectrum([100.0], [1.0])]
        _check_ions(molecules, blank)
        return [Question([m], [Comparison()], blank, is_simulation=True) for m in molecules], many
    if mzs is None or intensities is None:
        given, missing = ("intensities", "mzs") if mzs is None else ("mzs", "intensities")
        raise ConfigError(
            f"{given} without {missing}. Give both for a spectrum, neither to simulate."
        )
    if _is_nested(mzs) != _is_nested(intensities):
        raise ConfigError(
            "of mzs and intensities one is a list of lists, the other is not. Give both alike."
        )
    if not _is_nested(mzs):
        return [question(molecules, [conditions.spectrum(mzs, intensities)])], many
    pairs = _pairwise(molecules, mzs, intensities, many, conditions)
    return [question([molecule], [spectrum]) for molecule, spectrum in pairs], True


def _texts(given: Iterable[Any]) -> list[Any]:
    return [str(text) if isinstance(text, np.str_) else text for text in given]


def _parse_references(
    model: LoadedModel, references: Sequence[str] | None, parse: Callable[[str], Molecule]
) -> list[Molecule]:
    if references is None:
        return []
    if isinstance(references, str) or not hasattr(references, "__iter__"):
        raise ConfigError("references= takes a list of SMILES: other molecules of the mass.")
    if not model.candidate_head.is_fitted:
        raise ConfigError(
            f"{model.version} does not compare structures with references. Use a later version, "
            "or leave references= out."
        )
    return _parse_all(_texts(references), True, parse, "reference")


def _question(
    model: LoadedModel,
    molecules: Sequence[Molecule],
    spectra: Sequence[Spectrum],
    *,
    others: Sequence[Molecule],
    max_error: float | None,
) -> Question:
    """Return the question of one compound, sure that every structure can form every ion."""
    _check_ions(molecules, spectra)
    usable = []
    for other in others:
        # One that lacks the atoms the adduct loses cannot be compared with.
        with contextlib.suppress(AdductError):
            _check_ions([other], spectra)
            usable.append(other)
    scored, comparisons, wanting = choose_references(model, molecules, usable)
    return Question(
        scored, comparisons, spectra, max_error=max_error, wanting=wanting, n_given=len(others)
    )


def _check_ions(molecules: Sequence[Molecule], spectra: Sequence[Spectrum]) -> None:
    for molecule in molecules:
        for spectrum in spectra:
            check_adduct(molecule, adduct_of(spectrum, molecule))


def _to_ranked(model: LoadedModel, parts: Sequence[Part], question: Question) -> list[Match]:
    """Return the matches of one question; several are ranked.

    Several spectra are judged by the means of their match logits and scores.
    """
    comparisons, max_error = question.comparisons, question.max_error
    fits = [part.fit for part in parts if part.fit is not None]
    done = []
    for part, comparison, logits in zip(
        parts, comparisons, compared_logits(model, fits, comparisons), strict=False
    ):
        assert isinstance(part.answer, Match)  # noqa: S101 - for the type checker
        done.append(
            with_probability(
                model, part.answer, logits, part.n_wrong, comparison,
                n_given=question.n_given, is_alone=len(comparisons) == 1,
            )
        )  # fmt: skip
    if len(done) > 1:
        order = best_first(
            [part.n_wrong for part in parts[: len(done)]], [match.score for match in done]
        )
        ranks = np.empty(len(order), dtype=int)
        ranks[order] = np.arange(1, len(order) + 1)
        done = [replace(match, rank=int(rank)) for match, rank in zip(done, ranks, strict=True)]
    if max_error is not None and model.calibration is not None:
        return hold_back(done, model.calibration, max_error)
    return done


def _to_simulation(model: LoadedModel, scored: Scored, asked: Spectrum) -> Simulation:
    molecule = scored.tokens.molecule
    ion = adduct_of(asked, molecule)
    notes = list(molecule.notes)
    if asked.adduct is None:
        notes.append(f"adduct {ion.name} assumed")
    if asked.collision_energy is None:
        notes.append("no collision energy given: predicted as for spectra that do not state one")
    notes += unusual(ion, molecule) + energy_notes(asked)
    calculated = scored.pairs[0].precursor_mz
    if complaint := wrong_precursor(asked, molecule, ion, calculated):
        notes.append(complaint)
    predicted = predict_spectrum(
        scored.tokens,
        scored.pairs[0].offsets,
        ion,
        scored.log_p_outcomes(0),
    )
    return Simulation(
        smiles=molecule.smiles,
        mzs=tuple(predicted.mzs.tolist()),
        intensities=tuple(predicted.intensities.tolist()),
        formulas=predicted.formulas,
        formula=molecule.formula,
        adduct=ion.name,
        precursor_mz=calculated,
        collision_energy=asked.collision_energy,
        version=model.version,
        version_hash=model.version_hash,
        notes=tuple(notes),
    )


def _parse_all(
    texts: list[str], many: bool, parse: Callable[[str], Molecule], what: str = "structure"
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
    said = [
        f"{what} {index + 1} of {len(texts)}: {error}"
        for index, error in faults[:_MAX_FAULTS_SHOWN]
    ]
    if (n_more := len(faults) - len(said)) > 0:
        said.append(f"And {n_more:,} more {what}{'s' if n_more > 1 else ''} cannot be used.")
    raise MoleculeError(" ".join(said)) from faults[0][1]


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
    molecules: list[Molecule],
    mzs: Any,
    intensities: Any,
    many: bool,
    conditions: Conditions,
) -> list[tuple[Molecule, Spectrum]]:
    if len(mzs) != len(intensities):
        raise ConfigError(
            f"{len(mzs)} lists of mzs but {len(intensities)} of intensities. Give as many."
        )
    if many and len(molecules) != len(mzs):
        raise ConfigError(
            f"{len(molecules)} SMILES but {len(mzs)} spectra. Give one spectrum to rank the "
            "structures, or one for each; spectra of one compound go into spectra=."
        )
    pairs = []
    for index, peaks in enumerate(zip(mzs, intensities, strict=True)):
        spectrum = conditions.spectrum(*peaks, identifier=f"spectrum {index + 1} of {len(mzs)}")
        pairs.append((molecules[index if many else 0], spectrum))
    return pairs


def main(arguments: Sequence[str] | None = None) -> int:
    """Run as a script; see the module's text. Returns the exit code."""
    parser = ExamplesParser(
        description="Match or rank structures with a spectrum, or simulate one from SMILES alone.",
        examples=_EXAMPLES,
    )
    parser.add_argument("--smiles", nargs="+", required=True, help="one structure, or several")
    parser.add_argument("--mzs", nargs="+", type=float, help="m/z of the peaks")
    parser.add_argument("--intensities", nargs="+", type=float, help="in any positive unit")
    parser.add_argument("--version", help="v0.2; the latest by default")
    parser.add_argument("--adduct", help="[M+H]+ and the like; by ion mode and charge by default")
    parser.add_argument("--precursor_mz", type=float)
    parser.add_argument("--collision_energy", help="as the instrument writes it: 35 eV")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1 or mps")
    parser.add_argument("--root", default="checkpoints", help="folder of the versions")
    parser.add_argument("--allow", nargs="+", default=[], help="encoders of your own to import")
    given = parser.parse_args(arguments)
    try:
        model = load_model(given.version, device=given.device, root=given.root, allow=given.allow)
        answers = infer(
            model,
            model.tokenizer,
            given.smiles if len(given.smiles) > 1 else given.smiles[0],
            given.mzs,
            given.intensities,
            adduct=given.adduct,
            precursor_mz=given.precursor_mz,
            collision_energy=given.collision_energy,
        )
    except Team5Error as error:
        if os.environ.get("TEAM5_DEBUG"):
            raise
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        return 130
    try:
        for answer in answers if isinstance(answers, list) else [answers]:
            print(json.dumps(answer.to_dict(), indent=2, ensure_ascii=False))
        sys.stdout.flush()
    except OSError as error:
        print(f"StorageError: standard output cannot be written: {error}.", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
