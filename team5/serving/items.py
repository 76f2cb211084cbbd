"""Items of a request, parsed from JSON and checked against the limits before they cost anything."""

from __future__ import annotations

import difflib
import json
import pickle
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from team5.constants import MAX_SMILES_LENGTH
from team5.errors import ConfigError, MoleculeError, SpectrumError, Team5Error
from team5.serving.messages import Fault
from team5.serving.settings import Limits

# Arguments of `infer`, by name.
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
# Of what is no structure and no list: adducts, energies, instruments, names.
_MAX_TEXT = 1000
# Atoms of a SMILES, counted without parsing it: in brackets, or of the organic subset.
_ATOM = re.compile(r"\[[^\[\]]*\]|Br|Cl|[BCNOPSFIbcnops]")


@dataclass(frozen=True, slots=True)
class Item:
    """A question, pickled, and its number of pairs of a structure and a spectrum."""

    question: bytes
    n_pairs: int


@dataclass(frozen=True, slots=True)
class Prepared:
    """The body of POST /predict.

    Attributes
    ----------
    frame : tuple of bytes, optional
        Text before and after the answers in the body of the response; None for a single answer.
    items : list of Item or bytes
        Bytes are the JSON text of an item's error.
    """

    frame: tuple[bytes, bytes] | None
    items: list[Item | bytes]

    @property
    def n_pairs(self) -> int:
        return sum(item.n_pairs for item in self.items if isinstance(item, Item))


def prepare(body: bytes, limits: Limits) -> Prepared:
    """Return the questions of POST /predict; `infer` checks their values."""
    content = parse_json(body)
    frame = b"[", b"]"
    if isinstance(content, dict) and "items" in content:
        if len(content) > 1 or not isinstance(content["items"], list):
            raise ConfigError('{"items": [...]} takes a list, and nothing else.')
        content, frame = content["items"], (b'{"items": [', b"]}")
    if not isinstance(content, list):
        return Prepared(None, [_check_item(content, limits)])
    if len(content) > limits.candidates:
        raise _too_many_pairs(len(content), limits)
    prepared = Prepared(frame, [])
    n_pairs = 0
    for number, value in enumerate(content):
        try:
            item = _check_item(value, limits)
        except Team5Error as error:
            prepared.items.append(to_error_json(error, number))
            continue
        n_pairs += item.n_pairs
        if n_pairs > limits.candidates:
            raise _too_many_pairs(n_pairs, limits)
        prepared.items.append(item)
    return prepared


def to_error_json(error: Team5Error, number: int) -> bytes:
    """Return the error of one of several items as its part of the answer."""
    return json.dumps({"error": Fault.of(error).to_dict(f"items[{number}]")}).encode()


def parse_json(body: bytes) -> Any:
    """Return the value of a JSON text; NaN and Infinity are read, as by Python."""
    try:
        return json.loads(body)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise ConfigError(f"the body is not valid JSON ({where}: {error.msg}).") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"the body is not UTF-8 text (byte {error.start}).") from error
    except RecursionError as error:
        raise _too_deep() from error
    except ValueError as error:  # a whole number of thousands of digits
        raise ConfigError(f"the body holds a number that cannot be read ({error}).") from error


def _check_item(item: Any, limits: Limits) -> Item:
    """Return an item that is within the limits: lengths of lists are checked first."""
    if not isinstance(item, dict):
        raise ConfigError(
            f'an item must be an object such as {{"smiles": "CCO"}}, not {kind_of(item)}.'
        )
    for key in item:
        if key not in KEYS:
            closest = difflib.get_close_matches(key[:40], KEYS, n=1)
            hint = f"closest: {closest[0]}" if closest else f"there are: {', '.join(KEYS)}"
            raise ConfigError(f"no key {key[:40]!r} in an item; {hint}.")
    texts, references, spectra = (
        _listed(item.get(key)) for key in ("smiles", "references", "spectra")
    )
    if len(spectra) > limits.together:
        raise ConfigError(
            f"{len(spectra):,} spectra of one compound; at most {limits.together:,} are judged "
            "together. Send fewer, or merge those of one energy.",
            argument="spectra",
        )
    mzs, intensities = item.get("mzs"), item.get("intensities")
    n_spectra = max(len(spectra), 1)
    if _is_nested(mzs) or _is_nested(intensities):
        n_spectra = n_pairs = max(len(_listed(mzs)), len(_listed(intensities)))
    else:
        n_pairs = max(len(texts), 1) * n_spectra
    n_pairs = max(n_pairs, len(texts), 1) + len(references) * n_spectra
    if n_pairs > limits.candidates:
        raise _too_many_pairs(n_pairs, limits, " with references" if references else "")
    for values in _peak_lists(item, spectra):
        if len(values) > limits.peaks:
            raise SpectrumError(
                f"{len(values)} peaks; at most {limits.peaks} are taken. "
                "Centroid the spectrum or keep its highest peaks."
            )
    for part in (item, *spectra):
        for key, value in part.items() if isinstance(part, dict) else ():
            if key != "smiles" and isinstance(value, str) and len(value) > _MAX_TEXT:
                raise ConfigError(
                    f"{key[:40]}: a text of {len(value):,} characters; at most {_MAX_TEXT:,} are "
                    "taken."
                )
    for text in (*texts, *references):
        if isinstance(text, str):
            check_atoms(text, limits)
    try:
        return Item(pickle.dumps(item, pickle.HIGHEST_PROTOCOL), n_pairs)
    except RecursionError as error:
        raise _too_deep() from error


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _peak_lists(item: dict[str, Any], spectra: list[Any]) -> Iterator[list[Any]]:
    for part in (item, *spectra):
        for key in ("mzs", "intensities") if isinstance(part, dict) else ():
            peaks = part.get(key)
            yield from (
                values
                for values in (peaks if _is_nested(peaks) else [peaks])
                if isinstance(values, list)
            )


def _is_nested(values: Any) -> bool:
    return isinstance(values, list) and len(values) > 0 and isinstance(values[0], list)


def check_atoms(smiles: str, limits: Limits) -> None:
    """Refuse a SMILES with more atoms than the limits allow, before it is parsed."""
    if not limits.atoms < len(smiles) <= MAX_SMILES_LENGTH:
        return  # a longer one is not parsed at all
    n_atoms = len(_ATOM.findall(smiles))
    if n_atoms > limits.atoms:
        shown = f"{smiles[:59]}…"
        raise MoleculeError(f"SMILES {shown!a}: {n_atoms} atoms; at most {limits.atoms} are taken.")


def kind_of(value: Any) -> str:
    """Return the kind of a JSON value, in words."""
    names = {list: "a list", str: "text", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number")


def _too_many_pairs(n_pairs: int, limits: Limits, note: str = "") -> ConfigError:
    return ConfigError(
        f"{n_pairs:,} pairs of a structure and a spectrum{note}; at most {limits.candidates:,} are "
        "taken at once. Send fewer candidates, or several requests."
    )


def _too_deep() -> ConfigError:
    return ConfigError("the body is nested too deeply. Give plain lists.")
