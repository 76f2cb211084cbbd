"""Adducts: parsing text such as ``[M+H]+``, and converting exact mass to precursor m/z."""

from __future__ import annotations

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
    "ACN": "CH3CN",
    "MeCN": "CH3CN",
    "MeOH": "CH3OH",
    "EtOH": "C2H5OH",
    "IsoProp": "C3H8O",
    "iPrOH": "C3H8O",
    "DMSO": "C2H6OS",
    "Me": "CH3",
    "H20": "H2O",  # a zero for the letter; no molecule loses twenty hydrogens
}
# One name may denote an acid or its anion: [M+FA]- and [M+FA-H]- are both the formate.
_ACIDS = {
    **dict.fromkeys(("FA", "HFA", "HFo", "Fo", "For", "formate"), ("HCOOH", "HCOO")),
    **dict.fromkeys(("HAc", "Hac", "Ac", "AcO", "OAc", "acetate"), ("CH3COOH", "CH3COO")),
    "TFA": ("CF3COOH", "CF3COO"),
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

_FORMULA = r"[A-Za-z(][A-Za-z0-9()]*"
_INSIDE = re.compile(rf"(?P<n>\d*)M(?P<terms>(?:[+-]\d*{_FORMULA})*)")
_TERM = re.compile(rf"(?P<sign>[+-])(?P<count>\d*)(?P<formula>{_FORMULA})")
_CHARGE = re.compile(r"\d*[+-]|[+-]\d+|\++|-+|")
_FORMULA_PART = re.compile(r"([A-Z][a-z]?)(\d*)|\((\d*)([A-Z][A-Za-z0-9]*)\)(\d*)")
# A number before one of these symbols is an isotope number; 2H is two protons, D deuterium.
_ISOTOPES = {
    "C": (13, 14), "N": (15,), "O": (17, 18), "S": (33, 34, 36), "Cl": (35, 37), "Br": (79, 81),
    "Li": (6, 7), "K": (39, 41), "B": (10, 11), "Si": (29, 30), "Fe": (54, 56, 57),
}  # fmt: skip
# Larger numbers are typing errors or attacks, not ions of small molecules.
_MAX_CHARGE = 20
_MAX_COUNT = 200
_MAX_LENGTH = 200  # characters; what follows is not read
_HEAVIEST_ELEMENT = 83  # heavier elements than bismuth are radioactive; Ac denotes acetate


@dataclass(frozen=True, slots=True)
class Adduct:
    """Adduct: the relation of an ion to its molecule.

    Attributes
    ----------
    name : str
        Normalised, e.g. ``[M+H]+``; one name per ion for all adducts in common use.
    n_molecules : int
        Molecules in the ion, 2 in ``[2M+H]+``.
    mass_shift : float
        Mass of the ion minus that of its molecules, in u, including lost or gained electrons.
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
            Monoisotopic mass in u: the sum over the atoms as written. Cations need no correction:
            the ion's charge gives the number of missing electrons.
        """
        return (self.n_molecules * exact_mass + self.mass_shift) / abs(self.charge)

    def exact_mass(self, precursor_mz: float) -> float:
        """Return the exact mass in u of the molecule whose ion has this m/z."""
        return (precursor_mz * abs(self.charge) - self.mass_shift) / self.n_molecules


def default_adduct(ion_mode: str | None, charge: int = 0) -> str:
    """Return the name of the default adduct.

    Parameters
    ----------
    ion_mode : {"positive", "negative"} or None
        ``None`` follows the sign of `charge` and is positive for a neutral structure.
    charge : int, default 0
        Net charge of the structure as written. A permanent cation is its own ion, ``[M]+``.

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


def parse_adduct(text: str) -> Adduct:
    """Parse an adduct as libraries and instruments write it.

    Understands ``[M+H]+``, ``M+H``, ``(M+H)+``, ``MH+``, ``[M+H+]``, ``[M+Na]1+``, ``[M]+.``,
    ``[Cat]+``, ``[M+2H]++``, ``[M+FA]-``, ``[M+37Cl]-`` and any formula gained or lost,
    ``[M+H-(H2O)2]+``. Of two names, ``[M+CH3COO]-/[M-CH3]-``,
    the first counts; a list is refused.

    Parameters
    ----------
    text : str
        The adduct. A missing charge is that of ions with known charge: ``M+H`` is ``[M+H]+``.

    Returns
    -------
    Adduct

    Raises
    ------
    AdductError
        If the text is not an adduct or its formula is invalid.
    """
    return _parse(text[:_MAX_LENGTH])


@lru_cache(maxsize=4096)  # of short texts only: its keys stay in memory
def _parse(text: str) -> Adduct:
    n_molecules, terms, charge = _read(text)
    atoms = _total(terms)
    masses = _atomic_masses()
    if not atoms.keys() <= masses.keys():
        raise _not_understood(text)
    composition: Counter[str] = Counter()
    for symbol, count in atoms.items():
        composition[symbol.lstrip("0123456789")] += count
    preferred = _preferred_by_ion().get((n_molecules, frozenset(atoms.items()), charge))
    shift = sum(masses[symbol] * count for symbol, count in atoms.items())
    return Adduct(
        name=preferred or _render(n_molecules, terms, charge),
        n_molecules=n_molecules,
        mass_shift=shift - charge * ELECTRON_MASS,
        charge=charge,
        composition=tuple(sorted((symbol, n) for symbol, n in composition.items() if n)),
    )


def _read(text: str) -> tuple[int, list[_Term], int]:
    """Return the number of molecules in an ion, what is gained or lost, and the charge."""
    inside, charge_text = _split(text)
    match = _INSIDE.fullmatch(inside)
    if not match or not _CHARGE.fullmatch(charge_text):
        raise _not_understood(text)
    if any(int(number) > _MAX_COUNT for number in re.findall(r"\d+", inside + " " + charge_text)):
        raise _not_understood(text)
    n_molecules = int(match["n"] or 1)
    written = _parse_charge(charge_text)
    terms = _parse_terms(match["terms"], written, text)
    charge = _formal_charge(terms) if written is None else written
    if not 0 < abs(charge) <= _MAX_CHARGE or not 1 <= n_molecules <= 9:
        raise _not_understood(text)
    return n_molecules, terms, charge


def ion_mode_of_text(text: str) -> str | None:
    """Return the ion mode by the sign at the end of an adduct, known or not."""
    sign = re.search(r"([+-])\d*[\])]*$", _compact(text))
    return None if sign is None else "positive" if sign[1] == "+" else "negative"


def check_adduct(molecule: Molecule, adduct: Adduct) -> None:
    """Raise unless a structure can form the ion.

    Raises
    ------
    AdductError
        If the adduct loses more mass than the molecule has, or atoms that it lacks.
    """
    if misfit := _misfit(molecule, adduct):
        raise AdductError(
            f"adduct {adduct.name} does not fit {molecule.smiles!r}: {misfit}. Correct one of the "
            "two."
        )


def can_form(molecule: Molecule, adduct: Adduct) -> bool:
    """Tell whether a structure can form the ion; see `check_adduct`."""
    return _misfit(molecule, adduct) is None


def _misfit(molecule: Molecule, adduct: Adduct) -> str | None:
    """Return why a structure cannot form an ion, if it cannot."""
    if adduct.precursor_mz(molecule.exact_mass) <= 0:
        return f"it loses more than the structure weighs ({molecule.exact_mass:.4f} u)"
    losses = {symbol: -count for symbol, count in adduct.composition if count < 0}
    for symbol, n_lost in losses.items():
        n_present = adduct.n_molecules * molecule.element_counts.get(symbol, 0)
        if n_lost > n_present:
            return f"it loses {n_lost} {symbol}, the structure has {n_present}"
    n_heavy_lost = sum(losses.values()) - losses.get("H", 0)
    if n_heavy_lost >= adduct.n_molecules * molecule.n_heavy_atoms:
        return "it leaves nothing of it"
    return None


def structure_charge(adduct: Adduct) -> int | None:
    """Return the permanent charge that a structure needs to form an ion; None if none can.

    An ion of molecules alone has their charge. If only protons were gained or lost, and
    a neutral molecule would be left with an unpaired electron, the molecule has the rest of
    the charge: ``[M-2H]-`` comes from a cation. All others come from neutral molecules.
    """
    if not adduct.composition:
        charge, remainder = divmod(adduct.charge, adduct.n_molecules)
        return None if remainder else charge
    if len(adduct.composition) == 1 and adduct.composition[0][0] == "H":
        charge = adduct.charge - adduct.composition[0][1]
        if charge % 2 and not charge % adduct.n_molecules:
            return charge // adduct.n_molecules
    return 0


def _not_understood(text: str) -> AdductError:
    return AdductError(
        f"adduct {text[:100]!r} is not understood. Write it as [M+H]+, [M-H]-, [M+Na]+ or [M]+."
    )


def _compact(text: str) -> str:
    first = text[:_MAX_LENGTH].partition("/")[0]
    # "*", "." and "•" mark a radical, which changes neither mass nor charge.
    return re.sub(r"[\s*•·.°^]", "", first).replace("−", "-").replace("–", "-")


def _split(text: str) -> tuple[str, str]:
    """Return the content of an adduct's brackets and its charge, in any notation."""
    # [M-H](-) and M+H[1+] bracket the charge.
    compact = re.sub(r"(?<=.)[\[(](\d*[+-])[\])]$", r"\1", _compact(text))
    if compact[:1] in ("[", "("):
        inside, _, charge = compact[1:].rpartition("]" if compact[0] == "[" else ")")
        inside = inside or charge  # the closing bracket is missing
        charge = "" if inside == charge else charge
    else:
        # In M+2H2+ the second 2 is the charge, unlike the 4 in M+NH4+.
        doubly = re.fullmatch(r"(.*[+-]\d*(?:H|Na|K|Li))(\d[+-])", compact)
        bare = doubly or re.fullmatch(r"(.*?)([+-]+\d*)", compact)
        inside, charge = bare.groups() if bare else (compact, "")
    # [M+H+] and [M+.]+ have the sign inside, which must not contradict the one outside.
    if inside.endswith(("+", "-")) and charge.strip("0123456789")[:1] in ("", inside[-1]):
        inside, charge = inside[:-1], charge or inside[-1]
    inside = re.sub(r"^Cat(?![a-z])", "M", inside)
    # MH+ and MNa+ omit the plus of the gained part.
    return re.sub(r"^(\d*M)(?=[A-Z(])", r"\1+", inside), charge


@dataclass(frozen=True, slots=True)
class _Term:
    """Something gained (positive count) or lost."""

    count: int
    formula: str
    atoms: Counter[str]


def _parse_terms(terms: str, charge: int | None, text: str) -> list[_Term]:
    matches = list(_TERM.finditer(terms))
    parsed = []
    for match in matches:
        count = int(match["sign"] + (match["count"] or "1"))
        formula = match["formula"]
        if formula in _ACIDS or formula.strip("()") in _ACIDS:
            others = [_term(m, text) for m in matches if m["formula"] not in _ACIDS]
            names = _ACIDS[formula.strip("()")]
            formula = _acid_or_anion(names, count, charge, _formal_charge(others), text)
            parsed.append(_Term(count, formula, _atoms(formula, text)))
        else:
            parsed.append(_term(match, text))
    return parsed


def _term(match: re.Match[str], text: str) -> _Term:
    number, formula = match["count"], _ABBREVIATIONS.get(match["formula"], match["formula"])
    symbol = re.match(r"[A-Z][a-z]?", formula)
    if symbol and number and int(number) in _ISOTOPES.get(symbol[0], ()):
        formula = f"({number}{symbol[0]}){formula[symbol.end() :]}"
        number = ""
    return _Term(int(match["sign"] + (number or "1")), formula, _atoms(formula, text))


def _acid_or_anion(
    names: tuple[str, str], count: int, charge: int | None, others: int, text: str
) -> str:
    """Return the formula, of the acid or the anion, that gives the ion the stated charge."""
    acid, anion = names
    if charge is None or charge == others - count:
        return anion
    if charge == others:
        return acid
    raise _not_understood(text)


def _atoms(formula: str, text: str) -> Counter[str]:
    """Return the atoms of a formula with groups: ``(H2O)2``, ``(13C)2H4``."""
    atoms: Counter[str] = Counter()
    position = 0
    while position < len(formula):
        match = _FORMULA_PART.match(formula, position)
        if not match:
            raise _not_understood(text)
        symbol, number, mass_number, group, times = match.groups()
        if symbol:
            atoms["2H" if symbol == "D" else symbol] += int(number or 1)
        elif mass_number:
            isotope = re.fullmatch(r"([A-Z][a-z]?)(\d*)", group)
            if isotope is None or int(mass_number) not in _ISOTOPES.get(isotope[1], ()):
                raise _not_understood(text)
            atoms[f"{mass_number}{isotope[1]}"] += int(isotope[2] or 1) * int(times or 1)
        else:
            for part, n in _atoms(group, text).items():
                atoms[part] += n * int(times or 1)
        position = match.end()
    return atoms


def _parse_charge(text: str) -> int | None:
    if not text:
        return None
    sign = 1 if "+" in text else -1
    digits = text.strip("+-")
    return sign * (int(digits) if digits else len(text))


# Charge of a part if the adduct is written without one, as in "M+Na".
_CHARGE_OF_PART = {
    "H": 1, "D": 1, "Na": 1, "K": 1, "Li": 1, "NH4": 1, "Cl": -1, "Br": -1, "I": -1, "F": -1,
    "HCOO": -1, "CHO2": -1, "HCO2": -1, "CH3COO": -1, "C2H3O2": -1, "CF3COO": -1,
    "Ca": 2, "Mg": 2, "(37Cl)": -1, "(81Br)": -1,
}  # fmt: skip


def _formal_charge(terms: list[_Term]) -> int:
    return sum(term.count * _CHARGE_OF_PART.get(term.formula, 0) for term in terms)


def _total(terms: list[_Term]) -> dict[str, int]:
    """Return the net atoms gained or lost; the common isotope of an element is the element."""
    total: Counter[str] = Counter()
    for term in terms:
        for symbol, number in term.atoms.items():
            total[_common_isotopes().get(symbol, symbol)] += term.count * number
    return {symbol: count for symbol, count in total.items() if count}


def _render(n_molecules: int, terms: list[_Term], charge: int) -> str:
    """Write an adduct without a preferred name, gains first, so that each ion has one name."""
    ordered = sorted(terms, key=lambda term: (term.count < 0, term.formula))
    parts = "".join(
        f"{'+' if term.count > 0 else '-'}{abs(term.count) if abs(term.count) > 1 else ''}"
        f"{term.formula}"
        for term in ordered
    )
    number = str(n_molecules) if n_molecules > 1 else ""
    size = str(abs(charge)) if abs(charge) > 1 else ""
    return f"[{number}M{parts}]{size}{'+' if charge > 0 else '-'}"


@lru_cache(maxsize=1)
def _preferred_by_ion() -> dict[tuple[int, frozenset[tuple[str, int]], int], str]:
    preferred = {}
    for name in _PREFERRED_NAMES:
        n_molecules, terms, charge = _read(name)
        preferred[n_molecules, frozenset(_total(terms).items()), charge] = name
    return preferred


@lru_cache(maxsize=1)
def _atomic_masses() -> dict[str, float]:
    """Monoisotopic mass in u by symbol; RDKit itself prints a trace for unknown symbols."""
    table = Chem.GetPeriodicTable()
    masses = {
        table.GetElementSymbol(number): table.GetMostCommonIsotopeMass(number)
        for number in range(1, _HEAVIEST_ELEMENT + 1)
    }
    for symbol, numbers in {**_ISOTOPES, "H": (2,)}.items():
        for number in numbers:
            masses[f"{number}{symbol}"] = table.GetMassForIsotope(symbol, number)
    return masses


@lru_cache(maxsize=1)
def _common_isotopes() -> dict[str, str]:
    table = Chem.GetPeriodicTable()
    return {
        f"{table.GetMostCommonIsotope(symbol)}{symbol}": symbol
        for symbol in (table.GetElementSymbol(n) for n in range(1, _HEAVIEST_ELEMENT + 1))
    }
