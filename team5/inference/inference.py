r"""load_model, load_tokenizer, infer: predictions for structures and spectra by a version.

As a script, for one structure and one spectrum:

    python team5/inference/inference.py --smiles "C1=CC=CC=C1" --mzs 100 200 300 \
        --intensities 0.5 0.7 0.9 --version v0.2
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

if __name__ == "__main__":
    # Run by path, this folder comes first in sys.path; the package is two folders up.
    sys.path[0] = str(Path(__file__).resolve().parents[2])

from team5.chemistry.tokenizer import MoleculeTokenizer
from team5.data.conditions import Conditions
from team5.data.spectrum import Spectrum
from team5.errors import ConfigError
from team5.inference.loading import LoadedModel, load_model, load_tokenizer, parse_device
from team5.inference.question import Inputs, make_questions
from team5.inference.results import AnswerList, Match, Simulation
from team5.runtime.command import ExamplesParser, run_program

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

__all__ = ["LoadedModel", "infer", "load_model", "load_tokenizer", "parse_device"]

Answers = Match | Simulation | AnswerList[Match] | AnswerList[Simulation]

_CALL = "python team5/inference/inference.py"
_EXAMPLES = (
    f'{_CALL} --smiles "C1=CC=CC=C1" --mzs 51.023 79.054 --intensities 0.4 1',
    f"{_CALL} --smiles CCO CCN --mzs 47.049 --intensities 1 --version v0.2",
    f'{_CALL} --smiles CCO --collision_energy "35 eV"',
)


def _tokenizer_optional(function: Callable[..., Answers]) -> Callable[..., Answers]:
    """Let the second argument be the SMILES: the model has its tokenizer."""

    @wraps(function)
    def call(model: LoadedModel, *arguments: Any, **named: Any) -> Answers:
        has_tokenizer = "tokenizer" in named or (
            arguments and (arguments[0] is None or isinstance(arguments[0], MoleculeTokenizer))
        )
        return function(model, *(() if has_tokenizer else (None,)), *arguments, **named)

    return call


@_tokenizer_optional
def infer(
    model: LoadedModel,
    tokenizer: MoleculeTokenizer | None,
    smiles: str | Sequence[str] | None,
    mzs: ArrayLike | Sequence[ArrayLike] | None = None,
    intensities: ArrayLike | Sequence[ArrayLike] | None = None,
    *,
    spectra: Sequence[Spectrum] | Spectrum | None = None,
    adduct: str | Sequence[str] | None = None,
    precursor_mz: float | None = None,
    collision_energy: str | float | None = None,
    instrument_type: str | None = None,
    max_error: float | None = None,
    references: Sequence[str] | None = None,
) -> Answers:
    """Answer one of the three questions, depending on the arguments.

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
        From :func:`load_tokenizer`; may be left out, ``infer(model, smiles, ...)``. A tokenizer
        other than the model's is refused.
    smiles : str or sequence of str
    mzs, intensities : array of shape (P,), or a sequence of such
        Peaks in m/z, in any order; intensities in any positive unit.
    spectra : Spectrum or sequence of Spectrum
        Instead of ``mzs`` and ``intensities``: spectra of one compound (energies, adducts) that
        are judged together.
    adduct : str or sequence of str, optional
        By default that of the ion mode: ``[M+H]+``; permanently charged structures ``[M]+``.
        If it is not known: several, in a list or separated by commas, or ``auto``. Each
        structure is then judged under the one that fits ``precursor_mz``, and frequent adducts
        count more in rankings.
    precursor_mz : float, optional
        Only checked, and used to select one of several adducts: a structure that cannot have it
        does not match.
    collision_energy : str or float, optional
        Text as instruments write it; a number is in eV.
    instrument_type : str, optional
    max_error : float, optional
        Share of wrong answers to accept: matches and rankings below the required confidence
        carry the reason in ``abstained``.
    references : sequence of str, optional
        SMILES of further molecules that structures of the same mass (10 ppm) are compared with, as
        candidates are with each other; more of them make the match probability more reliable.
        If a structure has fewer than eight in all, isomers are generated from it, provided that
        this holds for at most 32 structures of the question, and its ``notes`` say that references
        were not used.

    Raises
    ------
    MoleculeError, SpectrumError, AdductError
        If a structure, a spectrum or an adduct cannot be used: what, where, what to do. Of several
        structures that cannot be parsed, the first five are named and the rest counted.
    ConfigError
        If the arguments do not form one of the questions.
    """
    if tokenizer is not None and tokenizer.to_config() != model.tokenizer.to_config():
        raise ConfigError(
            "this tokenizer is not the model's: it cuts molecules otherwise than the model has "
            "learned. Pass model.tokenizer, or leave it out.",
            argument="tokenizer",
        )
    conditions = Conditions(adduct, precursor_mz, collision_energy, instrument_type)
    inputs = Inputs(smiles, mzs, intensities, spectra, conditions, max_error, references)
    steps, many = make_questions(model, inputs)
    questions = [step for step in steps if step is not None]  # all are checked before any is asked
    answers: list[Any] = [answer for each in questions for answer in each.answers(model)]
    return AnswerList(answers) if many else answers[0]


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
    parser.add_argument("--adduct", help="[M+H]+; [M+H]+,[M+Na]+ or auto where it is not known")
    parser.add_argument("--precursor_mz", type=float)
    parser.add_argument("--collision_energy", help="as the instrument writes it: 35 eV")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1 or mps")
    parser.add_argument("--root", help="folder of the versions")
    parser.add_argument("--allow", nargs="+", default=[], help="encoders of your own to import")
    options = parser.parse_args(arguments)
    return run_program(lambda: _print_answers(options), argv=arguments)


def _print_answers(options: argparse.Namespace) -> None:
    model = load_model(
        options.version, device=options.device, root=options.root, allow=options.allow
    )
    answers = infer(
        model,
        model.tokenizer,
        options.smiles if len(options.smiles) > 1 else options.smiles[0],
        options.mzs,
        options.intensities,
        adduct=options.adduct,
        precursor_mz=options.precursor_mz,
        collision_energy=options.collision_energy,
    )
    for answer in answers if isinstance(answers, list) else [answers]:
        print(json.dumps(answer.to_dict(), indent=2, ensure_ascii=False))


if __name__ == "__main__":
    sys.exit(main())
