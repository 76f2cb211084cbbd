"""Adducts: text such as ``[M+H]+`` to mass shift and charge, exact mass to precursor m/z."""

import re
from collections import Counter
from dataclasses import dataclass
from functools import lru_cache

from rdkit import Chem

from team5.chemistry.molecule import Molecule
from team5.constants import ADDUCT_BY_ION_MODE, ELECTRON_MASS
from team5.errors import AdductError

# Names that stand for a formula in adducts, as instrument vendors and libraries write them.
_ABBREVIATIONS = {
    "FA": "HCOOH",
    "HAc": "CH3COOH",
    "Hac": "CH3COOH",
    "HFA": "HCOOH",
    "HFo": "HCOOH",
    "Ac": "CH3COO",
    "OAc": "CH3COO",
    "Fo": "HCOO",
    "For": "HCOO",
    "formate": "HCOO",
    "acetate": "CH3COO",
    "ACN": "CH3CN",
    "MeCN": "CH3CN",
    "MeOH": "CH3OH",
    "EtOH": "C2H5OH",
    "IsoProp": "C3H8O",
    "iPrOH": "C3H8O",
    "DMSO": "C2H6OS",
    "TFA": "CF3COOH",
    "Me": "CH3",
}
# One ion has many names ([M+HCOO]-, [M+FA-H]-, [M+CHO2]-); these are the ones written out.
_PREFERRED_NAMES = (
    "[M+H]+", "[M+Na]+", "[M+K]+", "[M+Li]+", "[M+NH4]+", "[M]+", "[M+H2O+H]+", "[M-H2O+H]+",
    "[M-2H2O+H]+", "[M-3H2O+H]+", "[M-NH3+H]+", "[M-H]+", "[M+2H]2+", "[M+3H]3+", "[M+H+Na]2+",
    "[M+2Na]2+", "[M+2Na-H]+", "[M+2K-H]+", "[M+CH3OH+H]+", "[M+ACN+H]+", "[M+ACN+Na]+",
    "[M+CH3]+", "[2M+H]+", "[2M+Na]+", "[2M+NH4]+", "[2M+K]+", "[M-H]-", "[M]-", "[M+Cl]-",
    "[M+Br]-", "[M+HCOO]-", "[M+CH3COO]-", "[M-H2O-H]-", "[M-CO2-H]-", "[M-CH3]-",
    "[M+CF3COO]-", "[M-2H]-", "[M-2H]2-", "[M-3H]3-", "[M+Na-2H]-", "[M+K-2H]-", "[2M-H]-",
    "[2M+HCOO]-", "[2M+CH3COO]-", "[2M+Na-2H]-", "[3M-H]-",
)  # fmt: skip

_ADDUCT = re.compile(
    r"""\[? (?P<n>\d*) M (?P<terms>(?:[+-]\d*[A-Za-z(][A-Za-z0-9()]*)*) \]?
        (?P<charge>\d*[+-] | [+-]\d+ | [+-]{2,} | )$""",
    re.VERBOSE,
)
_TERM = re.compile(r"(?P<sign>[+-])(?P<count>\d*)(?P<formula>[A-Za-z(][A-Za-z0-9()]*)")
_FORMULA_PART = re.compile(r"([A-Z][a-z]?)(\d*)")


@dataclass(frozen=True, slots=True)
class Adduct:
    """How a molecule became an ion.

    Attributes
    ----------
    name : str
        Normalised, e.g. ``[M+H]+``; one name per ion for all adducts in common use.
    n_molecules : int
        Molecules in the ion, 2 in ``[2M+H]+``.
    mass_shift : float
        Mass in u that the ion has beyond its molecules, lost or gained electrons included.
    charge : int
        Net charge of the ion, signed.
    composition : tuple of (str, int)
        Atoms gained (positive) or lost by element, sorted by symbol.
    """

    name: str
    n_molecules: int
    mass_shift: float
    charge: int
    composition: tuple[tuple[str, int], ...] = ()

    @property
    def ion_mode(self) -> str:
        """``positive`` or ``negative``."""
        return "positive" if self.charge > 0 else "negative"

    def precursor_mz(self, exact_mass: float) -> float:
        """Return the m/z of the ion of a molecule of this exact mass.

        Parameters
        ----------
        exact_mass : float
            Monoisotopic mass in u: the sum over the atoms as written. A structure written as a
            cation needs no care: the charge of the ion says how many electrons are missing.
        """
        return (self.n_molecules * exact_mass + self.mass_shift) / abs(self.charge)

    def exact_mass(self, precursor_mz: float) -> float:
        """Return the exact mass in u of the molecule whose ion has this m/z."""
        return (precursor_mz * abs(self.charge) - self.mass_shift) / self.n_molecules


def default_adduct(ion_mode: str | None, charge: int = 0) -> str:
    """Return the name of the adduct to assume when none is given.

    Parameters
    ----------
    ion_mode : {"positive", "negative"} or None
        ``None`` follows the sign of `charge` and is positive for a neutral structure.
    charge : int, default 0
        Net charge of the structure as written. A permanent cation flies as it is, ``[M]+``.

    Returns
    -------
    str
    """
    if ion_mode is None:
        ion_mode = "negative" if charge < 0 else "positive"
    if ion_mode not in ADDUCT_BY_ION_MODE:
        raise AdductError(f"ion mode {ion_mode!r} is unknown. Write positive or negative.")
    if charge == 0:
        return ADDUCT_BY_ION_MODE[ion_mode]
    if ion_mode == "positive" and charge > 0:
        return "[M]+" if charge == 1 else f"[M]{charge}+"
    # Protons make up the difference between the structure's charge and that of the ion.
    target = 1 if ion_mode == "positive" else -1
    n_protons = target - charge
    if n_protons == 0:
        return "[M]-"
    count = "" if abs(n_protons) == 1 else str(abs(n_protons))
    return f"[M{'+' if n_protons > 0 else '-'}{count}H]{'+' if target > 0 else '-'}"


@lru_cache(maxsize=4096)
def parse_adduct(text: str) -> Adduct:
    """Parse an adduct as libraries and instruments write it.

    Understands ``[M+H]+``, ``M+H``, ``[M+Na]1+``, ``[M]+.``, ``[M+H]+*``, ``[M+2H]++``,
    ``[2M+FA-H]-`` and any formula gained or lost, ``[M+H-C6H10O5]+``. Of several alternatives,
    ``[M+CH3COO]-/[M-CH3]-``, the first counts.

    Parameters
    ----------
    text : str
        The adduct. Without a charge it is taken from ions of known charge: ``M+H`` is ``[M+H]+``.

    Returns
    -------
    Adduct

    Raises
    ------
    AdductError
        If the text is no adduct or its formula no formula.
    """
    first, *_ = re.split(r"[/;,|]", text)
    # "*", "." and "•" mark a radical, which changes neither mass nor charge.
    compact = re.sub(r"[\s*•·.°]", "", first).replace("−", "-").replace("–", "-")
    match = _ADDUCT.match(compact)
    if not match:
        raise _not_understood(text)
    n_molecules = int(match["n"] or 1)
    terms = _parse_terms(match["terms"], text)
    charge = _parse_charge(match["charge"])
    if charge is None:
        charge = _guess_charge(terms)
    if charge is None or charge == 0 or not 1 <= n_molecules <= 9:
        raise _not_understood(text)

    composition = _composition(terms)
    name = _preferred_by_ion().get((n_molecules, frozenset(composition.items()), charge))
    masses = _atomic_masses()
    if not composition.keys() <= masses.keys():
        raise _not_understood(text)
    shift = sum(masses[symbol] * count for symbol, count in composition.items())
    return Adduct(
        name=name or _render(n_molecules, terms, charge),
        n_molecules=n_molecules,
        mass_shift=shift - charge * ELECTRON_MASS,
        charge=charge,
        composition=tuple(sorted(composition.items())),
    )


def check_adduct(molecule: Molecule, adduct: Adduct) -> None:
    """Raise unless a structure can form the ion.

    Raises
    ------
    AdductError
        If the adduct loses more than the molecule weighs, or atoms it has not.
    """
    if adduct.precursor_mz(molecule.exact_mass) <= 0:
        raise AdductError(
            f"adduct {adduct.name} does not fit {molecule.smiles!r}: it loses more than the "
            f"structure weighs ({molecule.exact_mass:.4f} u). Correct one of the two."
        )
    for symbol, count in adduct.composition:
        there = adduct.n_molecules * molecule.element_counts.get(symbol, 0) if count < 0 else 0
        if count < -there:
            raise AdductError(
                f"adduct {adduct.name} does not fit {molecule.smiles!r}: it loses {-count} "
                f"{symbol}, the structure has {there}. Correct one of the two."
            )
    lost = sum(-count for symbol, count in adduct.composition if count < 0 and symbol != "H")
    if lost >= adduct.n_molecules * molecule.n_heavy_atoms:
        raise AdductError(
            f"adduct {adduct.name} does not fit {molecule.smiles!r}: it leaves nothing of "
            "it. Correct one of the two."
        )


def _not_understood(text: str) -> AdductError:
    return AdductError(
        f"adduct {text!r} is not understood. Write it as [M+H]+, [M-H]-, [M+Na]+ or [M]+."
    )


def _parse_terms(terms: str, text: str) -> list[tuple[int, str]]:
    """Return what is gained (positive count) or lost, each with its formula."""
    parsed: list[tuple[int, str]] = []
    position = 0
    while position < len(terms):
        match = _TERM.match(terms, position)
        if not match:
            raise _not_understood(text)
        sign = 1 if match["sign"] == "+" else -1
        formula = match["formula"].replace("(", "").replace(")", "")
        formula = _ABBREVIATIONS.get(formula, formula)
        if "".join(f"{s}{n}" for s, n in _FORMULA_PART.findall(formula)) != formula:
            raise _not_understood(text)
        parsed.append((sign * int(match["count"] or 1), formula))
        position = match.end()
    return parsed


def _parse_charge(text: str) -> int | None:
    if not text:
        return None
    sign = 1 if "+" in text else -1
    digits = text.strip("+-")
    return sign * (int(digits) if digits else len(text))


# Charge that a part brings along when the adduct is written without one, as in "M+Na".
_CHARGE_OF_PART = {
    "H": 1, "Na": 1, "K": 1, "Li": 1, "NH4": 1, "Cl": -1, "Br": -1, "I": -1, "F": -1,
    "HCOO": -1, "CHO2": -1, "HCO2": -1, "CH3COO": -1, "C2H3O2": -1, "CF3COO": -1,
}  # fmt: skip


def _guess_charge(terms: list[tuple[int, str]]) -> int | None:
    charge = sum(count * _CHARGE_OF_PART.get(formula, 0) for count, formula in terms)
    return charge or None


def _composition(terms: list[tuple[int, str]]) -> Counter[str]:
    composition: Counter[str] = Counter()
    for count, formula in terms:
        for symbol, number in _FORMULA_PART.findall(formula):
            composition[symbol] += count * int(number or 1)
    return Counter({symbol: count for symbol, count in composition.items() if count})


def _render(n_molecules: int, terms: list[tuple[int, str]], charge: int) -> str:
    """Write an adduct without a preferred name: gains first, so that one ion has one name."""
    ordered = sorted(terms, key=lambda term: (term[0] < 0, term[1]))
    parts = "".join(
        f"{'+' if count > 0 else '-'}{abs(count) if abs(count) > 1 else ''}{formula}"
        for count, formula in ordered
    )
    number = str(n_molecules) if n_molecules > 1 else ""
    size = str(abs(charge)) if abs(charge) > 1 else ""
    return f"[{number}M{parts}]{size}{'+' if charge > 0 else '-'}"


@lru_cache(maxsize=1)
def _preferred_by_ion() -> dict[tuple[int, frozenset[tuple[str, int]], int], str]:
    preferred = {}
    for name in _PREFERRED_NAMES:
        match = _ADDUCT.match(name)
        if match is None:
            raise _not_understood(name)
        terms = _parse_terms(match["terms"], name)
        charge = _parse_charge(match["charge"]) or 0
        key = (int(match["n"] or 1), frozenset(_composition(terms).items()), charge)
        preferred[key] = name
    return preferred


@lru_cache(maxsize=1)
def _atomic_masses() -> dict[str, float]:
    """Monoisotopic mass in u by symbol; RDKit itself prints a stack trace for unknown symbols."""
    table = Chem.GetPeriodicTable()
    return {
        table.GetElementSymbol(number): table.GetMostCommonIsotopeMass(number)
        for number in range(1, 119)
    }
