"""Items of a request: read from JSON, and held against the limits before they cost anything."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from team5.constants import MAX_SMILES_LENGTH
from team5.errors import (
    AdductError,
    ConfigError,
    MoleculeError,
    SpectrumError,
    Team5Error,
    VersionError,
)
from team5.serving.settings import Limits

# What `infer` takes, as it is called there.
KEYS = (
    "smiles",
    "mzs",
    "intensities",
    "spectra",
    "adduct",
    "precursor_mz",
    "collision_energy",
    "instrument_type",
    "max_error",
    "references",
)
_DRAWING_KEYS = {"smiles", "atoms", "bonds", "width", "height"}
# Atoms of a SMILES, counted without reading it: in brackets, or of the organic subset.
_ATOM = re.compile(r"\[[^\]]*\]|Br|Cl|[BCNOPSFIbcnops]")


@dataclass(frozen=True, slots=True)
class Item:
    """One question as it came, and how many pairs of a structure and a spectrum it is."""

    question: Mapping[str, Any]
    n_pairs: int


def parse_json(body: bytes) -> Any:
    """Return the value of a JSON text; NaN and Infinity are read, as by Python.

    Raises
    ------
    ConfigError
        If it is none; says where.
    """
    try:
        return json.loads(body)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise ConfigError(f"the body is not valid JSON ({where}: {error.msg}).") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"the body is not UTF-8 text (byte {error.start}).") from error
    except RecursionError as error:
        raise ConfigError("the body is nested too deeply. Give plain lists.") from error
    except ValueError as error:  # a whole number of thousands of digits
        raise ConfigError(f"the body holds a number that cannot be read ({error}).") from error


def check_item(given: Any, limits: Limits) -> Item:
    """Return an item that is worth looking at; what its values must be, `infer` says.

    Raises
    ------
    ConfigError
        If it is no object, or has a key that `infer` does not take.
    SpectrumError, MoleculeError, ConfigError
        If it is beyond the limits.
    """
    if not isinstance(given, dict):
        raise ConfigError(
            f'an item must be an object such as {{"smiles": "CCO"}}, not {_kind(given)}.'
        )
    for key in given:
        if key not in KEYS:
            closest = difflib.get_close_matches(key, KEYS, n=1)
            hint = f"closest: {closest[0]}" if closest else f"there are: {', '.join(KEYS)}"
            raise ConfigError(f"no key {key[:40]!r} in an item; {hint}.")
    smiles = given.get("smiles")
    texts = smiles if isinstance(smiles, list) else [smiles]
    given_references = given.get("references")
    references = given_references if isinstance(given_references, list) else []
    for text in (*texts, *references):
        if isinstance(text, str):
            check_atoms(text, limits)
    spectra = given.get("spectra")
    peak_lists: list[Any] = [given.get("mzs"), given.get("intensities")]
    n_spectra = 1
    if isinstance(spectra, list):
        n_spectra = len(spectra)
        for one in spectra:
            if isinstance(one, dict):
                peak_lists += [one.get("mzs"), one.get("intensities")]
    is_pairwise = _is_nested(given.get("mzs"))
    n_spectra = len(given["mzs"]) if is_pairwise else n_spectra
    n_pairs = n_spectra if is_pairwise else len(texts) * n_spectra
    n_pairs = max(n_pairs, len(texts), 1) + len(references) * n_spectra
    if n_pairs > limits.candidates:
        beside = " with references" if references else ""
        raise ConfigError(
            f"{n_pairs:,} pairs of a structure and a spectrum{beside}; at most "
            f"{limits.candidates:,} are taken at once. Send fewer candidates, or several requests."
        )
    for peaks in peak_lists:
        for one in peaks if _is_nested(peaks) else [peaks]:
            if isinstance(one, list) and len(one) > limits.peaks:
                raise SpectrumError(
                    f"{len(one)} peaks; at most {limits.peaks} are taken. "
                    "Centroid the spectrum or keep its highest peaks."
                )
    return Item(given, n_pairs)


def parse_drawing(
    given: Any, limits: Limits
) -> tuple[str, list[int], list[tuple[int, int]], tuple[int, int]]:
    """Return what POST /draw asks: SMILES, atoms, bonds and size.

    Raises
    ------
    ConfigError, MoleculeError
    """
    if not isinstance(given, dict) or given.keys() - _DRAWING_KEYS:
        raise ConfigError(f"a drawing takes an object with {', '.join(sorted(_DRAWING_KEYS))}.")
    smiles = given.get("smiles")
    if not isinstance(smiles, str):
        raise MoleculeError(f"a SMILES must be text, not {_kind(smiles)}.")
    check_atoms(smiles, limits)
    atoms, bonds = given.get("atoms") or [], given.get("bonds") or []
    if not isinstance(atoms, list) or not all(map(_is_index, atoms)):
        raise ConfigError("atoms must be a list of atom numbers, from 0.")
    if not isinstance(bonds, list) or not all(
        isinstance(bond, list) and len(bond) == 2 and all(map(_is_index, bond)) for bond in bonds
    ):
        raise ConfigError("bonds must be a list of pairs of atom numbers, from 0.")
    size = given.get("width", 300), given.get("height", 220)
    if not all(_is_index(side) and 50 <= side <= 2000 for side in size):
        raise ConfigError("width and height must be whole numbers from 50 to 2000.")
    return smiles, atoms, [(first, second) for first, second in bonds], size


def _is_index(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**31


def check_atoms(smiles: str, limits: Limits) -> None:
    """Refuse a SMILES with more atoms than the limits allow, before it is parsed.

    Raises
    ------
    MoleculeError
    """
    if not limits.atoms < len(smiles) <= MAX_SMILES_LENGTH:
        return  # a longer one is not parsed at all
    n_atoms = len(_ATOM.findall(smiles))
    if n_atoms > limits.atoms:
        shown = f"{smiles[:59]}…"
        raise MoleculeError(f"SMILES {shown!a}: {n_atoms} atoms; at most {limits.atoms} are taken.")


def field_of(error: Team5Error) -> str | None:
    """Return the key of an item that an error is about, as far as its text tells."""
    text = str(error)
    if isinstance(error, VersionError):
        return "version"
    if isinstance(error, AdductError):
        return "adduct"
    if isinstance(error, MoleculeError):
        number = re.match(r"(structure|reference) (\d+) of", text)
        if number is None:
            return "smiles"
        key = "smiles" if number[1] == "structure" else "references"
        return f"{key}[{int(number[2]) - 1}]"
    if isinstance(error, ConfigError | SpectrumError):
        named = re.search(
            r"\b(smiles|spectra|precursor_mz|max_error|references|adduct|mzs\b|intensities)",
            text,
            re.I,
        )
        if isinstance(error, SpectrumError):
            return named[1] if named and named[1] in KEYS else "mzs"
        return named[1].lower() if named else None
    return None


def _is_nested(values: Any) -> bool:
    return isinstance(values, list) and len(values) > 0 and isinstance(values[0], list)


def _kind(value: Any) -> str:
    names = {list: "a list", str: "text", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number")
