"""Adduct hypotheses: possible adducts of a spectrum whose adduct is not known."""

from __future__ import annotations

from team5.chemistry.adducts import Adduct, can_form, parse_adduct
from team5.chemistry.molecule import Molecule
from team5.data.context import ADDUCTS
from team5.errors import AdductError

AUTO = "auto"
_MAX_HYPOTHESES = 32


def parse_hypotheses(adducts: str | list[str] | tuple[str, ...]) -> tuple[str, ...]:
    """Return the names of the hypothetical adducts, each once.

    Parameters
    ----------
    adducts : str or list of str
        An adduct, several separated by commas or in a list, or ``auto``: those that versions
        distinguish.

    Raises
    ------
    AdductError
        If one of them is not understood, or there are none, or too many.
    """
    if isinstance(adducts, str):
        if adducts.strip().casefold() == AUTO:
            return ADDUCTS
        adducts = adducts.split(",")
    if not 0 < len(adducts) <= _MAX_HYPOTHESES:
        raise AdductError(
            f"a list of {len(adducts)} adducts. Give 1 to {_MAX_HYPOTHESES} of them, or auto."
        )
    return tuple(dict.fromkeys(parse_adduct(text).name for text in adducts))


def fitting_adduct(hypotheses: tuple[str, ...], precursor_mz: float, molecule: Molecule) -> Adduct:
    """Return the adduct, among those a structure can form, whose ion is nearest to a precursor.

    Whether the ion fits the precursor is judged as for any adduct.
    """
    nearest_first = sorted(
        map(parse_adduct, hypotheses),
        key=lambda adduct: abs(adduct.precursor_mz(molecule.exact_mass) - precursor_mz),
    )
    formed = (adduct for adduct in nearest_first if can_form(molecule, adduct))
    return next(formed, nearest_first[0])
