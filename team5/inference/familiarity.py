"""Notes on adducts, elements, masses and instruments rare in a version's training data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from team5.chemistry.adducts import Adduct
from team5.chemistry.molecule import Molecule
from team5.data.context import instrument_class
from team5.data.spectrum import Spectrum

# Elements in fewer compounds than this, and adducts and instruments of a smaller share of the
# spectra, are hardly known.
_FEW_COMPOUNDS = 10
_SMALL_SHARE = 0.002

# For v0.1 and v0.2, which do not store it: the frequent ones of the counts that
# `team5.data.training_table.seen` gives for the train fold of the MassBank release.
_DEFAULT_COVERAGE: Mapping[str, Any] = {
    "adducts": {
        "[M+H]+": 39511, "[M-H]-": 13769, "[M]+": 1522, "[M+Na]+": 797, "[M+CH3COO]-": 612,
        "[M+HCOO]-": 270, "[M+NH4]+": 96, "[M-H2O+H]+": 82, "[M+Cl]-": 20, "[M]-": 14, "[M+K]+": 12,
    },
    "instruments": {
        "qtof": 28551, "orbitrap_hcd": 13782, "ion_trap_orbitrap": 12612, "triple_quadrupole": 1685,
        "other": 171, "ion_trap": 1,
    },
    "elements": {
        "C": 5004, "H": 5004, "O": 4577, "N": 3306, "P": 911, "S": 678, "Cl": 533, "F": 320,
        "Br": 52, "I": 17, "Si": 5, "As": 3, "B": 1, "Se": 1,
    },
    "lightest": 89.0,
    "heaviest": 928.5,
}  # fmt: skip


def seen_by(learned_from: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return a version's training coverage, in the format of `team5.data.training_table.seen`."""
    facts = learned_from or {}
    return {
        name: default if facts.get(name) is None else facts[name]
        for name, default in _DEFAULT_COVERAGE.items()
    }


def seen_with_parents(config: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the training coverage of a version and of those it was trained from, from its config.

    A version stores that of its parents as ``seen_before``.
    """
    return [seen_by(config.get("data")), *config.get("seen_before", ())]


def unfamiliar(
    coverages: Sequence[Mapping[str, Any]],
    molecule: Molecule,
    adduct: Adduct,
    spectrum: Spectrum,
) -> list[str]:
    """Return notes on properties of a pair that are rare or absent in all training data.

    Parameters
    ----------
    coverages : sequence of mapping
        Of the version and those it was trained from: spectra by adduct and instrument, compounds
        by element, the exact masses between which 99 % of the compounds lie.
    """
    notes = []
    elements = [
        symbol
        for symbol, count in molecule.element_counts.items()
        if count and all(seen["elements"].get(symbol, 0) < _FEW_COMPOUNDS for seen in coverages)
    ]
    if elements:
        notes.append(
            f"{' and '.join(elements)}: the version has learned from next to no such structure"
        )
    if "C" not in molecule.element_counts:
        notes.append("no carbon: the version has learned from organic molecules")
    if molecule.charge > 0 and any(s == "H" and n > 0 for s, n in adduct.composition):
        notes.append(
            f"{adduct.name} of a structure that is a cation itself and usually flies as [M]+"
        )
    if _is_rare("adducts", adduct.name, coverages):
        notes.append(f"{adduct.name}: the version has seen few spectra of this adduct")
    lightest = min(seen["lightest"] for seen in coverages)
    heaviest = max(seen["heaviest"] for seen in coverages)
    if not lightest <= molecule.exact_mass <= heaviest:
        notes.append(
            f"exact mass {molecule.exact_mass:.0f} u: the version has learned from molecules of "
            f"{lightest:.0f} to {heaviest:.0f} u"
        )
    if spectrum.instrument_type is not None and _is_rare(
        "instruments", instrument_class(spectrum.instrument_type), coverages
    ):
        notes.append(
            f"{spectrum.instrument_type}: the version has seen few spectra of such instruments"
        )
    return notes


def _is_rare(what: str, name: str, coverages: Sequence[Mapping[str, Any]]) -> bool:
    return all(
        seen[what].get(name, 0) < _SMALL_SHARE * sum(seen[what].values()) for seen in coverages
    )
