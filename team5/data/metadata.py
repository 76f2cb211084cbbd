"""Metadata that programs write about a spectrum, mapped to the fields of a Spectrum.

There is one vocabulary for all formats: only letters and digits of a key count, so that
``PRECURSOR_MZ``, ``PrecursorMZ`` and ``precursor m/z`` are the same.
"""

import math
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from functools import lru_cache
from typing import Any, NamedTuple

from team5.chemistry.adducts import ion_mode_of_text, parse_adduct
from team5.errors import AdductError

# Keys of MZmine, MS-DIAL, GNPS, MoNA, MassBank, NIST, R Spectra, SIRIUS, MetaboScape, Progenesis,
# MassSpecGym, matchms and mzXML by what they mean; of several in one record the first counts.
_KEYS = {
    "identifier": "identifier spectrumid accession db id libraryspectrumid",
    "title": "title spectitle usi",
    "name": "name compoundname compound metabolitename chemicalname",
    "precursor_mz": "precursormz pepmass precursormassovercharge precursorionmz precursormass "
    "precursor parentmz parention selectedionmz targetmz isolationwindowtargetmz",
    "adduct": "adduct precursortype adductname adductionname adducttype precursoradduct "
    "adductioname precursoriontype",
    # These hold words of other kinds as well: "ionization: ESI".
    "ion": "ion iontype precursorion ionspecies ionization ionisation",
    "charge": "charge precursorcharge chargestate z",
    "ion_mode": "ionmode polarity ionpolarity ionizationmode ionisationmode scanpolarity",
    "nce": "nce normalizedcollisionenergy normalisedcollisionenergy",
    "collision_energy": "collisionenergy ce collisionenergyvoltage collisionenergyev cev collision "
    "hcdcollisionenergy activationenergy fragmentationenergy energy",
    "instrument_type": "instrumenttype sourceinstrument instrument instrumentation instrumentname "
    "instrumentmodel massanalyzer analyzer",
    "smiles": "smiles canonicalsmiles isomericsmiles computedsmiles",
    "inchi": "inchi",
    "inchikey": "inchikey stdinchikey inchiaux inchikey14",
    "formula": "formula molecularformula chemicalformula sumformula",
    "license": "license licence",
    "contributor": "contributor",
    "fold": "fold",
    "ms_level": "mslevel spectrumtype mstype",
    "correlated": "spectype",
    "feature_id": "featureid peakid alignmentid feature",
    "group": "group compoundgroup",
    "scan": "scans scan scannumber scanid acquisitionnum scannum",
    "rt_seconds": "rtinseconds retentiontimesec retentiontimeinseconds rtseconds rtsec",
    "rt_minutes": "rtinminutes retentiontimemin retentiontimeinminutes rtminutes rtmin",
    "retention_time": "retentiontime rt",
    "n_peaks": "numpeaks numpeak npeaks numberofpeaks peakscount",
    "comment": "comment comments",
}
_MEANING = {
    key: (meaning, rank) for meaning, keys in _KEYS.items() for rank, key in enumerate(keys.split())
}
# What libraries write for missing values.
_NOTHING = {"", "n/a", "na", "nan", "none", "null", "unknown", "-", "?", "not available", "no_data"}
# Text that denotes an ion, known or not, rather than other words.
_LOOKS_LIKE_ADDUCT = re.compile(
    r"[\[(]*\s*\d*\s*(?:M|Cat)\s*(?:[+\-−–\])?]|(?:H|Na|NH4|K|Li)\d?[+\-\]])|\[.*\]\d*[+-]"
)
# Some libraries give the adduct only in the name: "Caffeine M+H", "PC 34:1; [M+H]+; PC 16:0_18:1".
_ADDUCT_IN_NAME = re.compile(r"(?:^|\s)(\[?\d?M[+-]\S+)\s*$|(\[\d?M[+-][^\]\s]+\]\d?[+-])")
_QUOTED_PAIR = re.compile(r'"([^"=]+)=([^"]*)"')
_PIPED_PAIR = re.compile(r"\|\s*([^|=]+)=([^|]*)(?=\|)")
_NUMBER = re.compile(r"[-+]?\d+(?:\.\d*)?(?:[eE][-+]?\d+)?")
_CHARGE = re.compile(r"\(?([+-]?)(\d+)(?:\.0*)?([+-]?)\)?")
_SECONDS_PER_MINUTE = 60.0

Fields = dict[str, str]


def text_or_none(value: object) -> str | None:
    """Return a metadata value as text, or None for the many notations of a missing value."""
    if value is None:
        return None
    text = str(value).strip()
    return None if text.casefold() in _NOTHING else text


def first_number(value: object) -> float | None:
    """Return the first positive number in "195.0877 1200" (m/z and intensity), if there is one."""
    if value is None:
        return None
    try:
        number = float(value if isinstance(value, float) else str(value).replace("_", " "))
    except ValueError:  # none, or more than a number
        match = _NUMBER.search(str(value))
        number = float(match[0]) if match else 0.0
    return number if 0 < number < math.inf else None


@lru_cache(maxsize=4096)
def meaning_of(key: str) -> tuple[str, int]:
    """Return what a key means and its rank among those of the meaning; "" for unknown keys."""
    folded = re.sub(r"[^a-z0-9]", "", key.casefold())
    meaning = _MEANING.get(folded)
    if meaning is None and "adduct" in folded:
        meaning = ("adduct", len(_MEANING))
    return meaning or ("", 0)


def fields_of(pairs: Iterable[tuple[str, Any]]) -> Fields:
    """Return the values of a record by meaning; of several with one meaning, the best.

    All adducts are kept, separated by line breaks, to be parsed later. An unknown
    key whose value is an adduct in brackets counts as an adduct.
    """
    listed = [(key, value if type(value) is str else _text(value)) for key, value in pairs]
    fields: Fields = {}
    plan = _plan(tuple([key for key, _ in listed]))
    for meaning, index in plan.known:
        if meaning in fields:
            continue
        text = listed[index][1].strip()
        # A dash means nothing, except for negative ion mode.
        if text.casefold() not in _NOTHING or meaning == "ion_mode":
            fields[meaning] = text
    for index in plan.comments:
        text = listed[index][1]
        pairs_within = _QUOTED_PAIR.findall(text) + _PIPED_PAIR.findall(text)
        fields = fields_of(pairs_within) | fields
    adducts = [listed[index][1].strip() for index in plan.adducts]
    for index in plan.ions:
        text = listed[index][1].strip()
        if _LOOKS_LIKE_ADDUCT.match(text):
            adducts.append(text)
        elif parse_ion_mode(text):
            fields.setdefault("ion_mode", text)
    for index in plan.unknown:
        text = listed[index][1].lstrip()
        if text[:1] == "[" and _LOOKS_LIKE_ADDUCT.match(text):
            adducts.append(text.rstrip())
    if adducts:
        fields["adduct"] = "\n".join(adducts)
    return fields


class _Plan(NamedTuple):
    """Positions of the values in a record with these keys; the same for most of a file."""

    known: list[tuple[str, int]]  # meaning and index, the best key of each meaning first
    adducts: list[int]
    ions: list[int]
    comments: list[int]
    unknown: list[int]


@lru_cache(maxsize=1024)
def _plan(keys: tuple[str, ...]) -> _Plan:
    places = [(*meaning_of(key), index) for index, key in enumerate(keys)]
    places.sort(key=lambda place: place[1:])
    indexes = {
        special: [index for meaning, _, index in places if meaning == special]
        for special in ("adduct", "ion", "comment", "")
    }
    known = [(meaning, index) for meaning, _, index in places if meaning not in indexes]
    return _Plan(known, *indexes.values())


def _text(value: Any) -> str:
    # pyteomics gives PEPMASS as (m/z, intensity) and CHARGE as a list.
    if isinstance(value, (tuple, list)):
        value = value[0] if value else None
    return "" if value is None else str(value)


def conditions_of(fields: Mapping[str, str], identifier: str = "") -> dict[str, Any]:
    """Return a spectrum's conditions, by the names of `Spectrum`, with notes on oddities."""
    adduct, ion_mode, notes = ion_of(
        fields.get("adduct", ""),
        fields.get("ion_mode", ""),
        fields.get("charge", ""),
        "" if "adduct" in fields else fields.get("name") or fields.get("title", ""),
    )
    precursor_text = fields.get("precursor_mz")
    precursor_mz = first_number(precursor_text)
    if precursor_text and precursor_mz is None and re.search("[1-9a-zA-Z]", precursor_text):
        notes += (f"precursor {precursor_text[:60]!r} is not understood and left out",)
    return {
        "precursor_mz": precursor_mz,
        "adduct": adduct,
        "ion_mode": ion_mode,
        "collision_energy": _energy(fields, identifier),
        "instrument_type": fields.get("instrument_type"),
        "notes": notes,
    }


def identity_of(fields: Mapping[str, str], minutes: bool = False) -> dict[str, Any]:
    """Return the identifiers of a spectrum within its file, by the names of `Spectrum`.

    Parameters
    ----------
    fields : mapping
    minutes : bool, default False
        Whether retention times without a unit are minutes, as in MSP files.
    """
    units = {
        "rt_seconds": 1.0,
        "rt_minutes": _SECONDS_PER_MINUTE,
        "retention_time": _SECONDS_PER_MINUTE if minutes else 1.0,
    }
    times = (retention_time(fields[name], unit) for name, unit in units.items() if name in fields)
    feature = fields.get("feature_id")
    scan = fields.get("scan")
    return {
        "feature_id": feature,
        "group": fields.get("group", feature),
        "scan": None if scan == "-1" else scan,
        "retention_time": next(times, None),
    }


def retention_time(text: str, seconds: float) -> float | None:
    """Return a retention time in s, None for ranges, words and negative numbers.

    Parameters
    ----------
    text : str
    seconds : float
        Length of the unit if the text states none.
    """
    try:
        time = float(text) * seconds
        return time if 0 <= time < math.inf else None
    except ValueError:
        pass  # with a unit, or no single number
    match = re.fullmatch(
        r"\s*(?:PT)?(\d+(?:[.,]\d+)?(?:[eE][+-]?\d+)?)\s*(m(?:in(?:utes?)?)?|s(?:ec(?:onds?)?)?)?\s*",
        text,
        re.IGNORECASE,
    )
    if match is None:
        return None
    if match[2]:
        seconds = _SECONDS_PER_MINUTE if match[2][0] in "mM" else 1.0
    return float(match[1].replace(",", ".")) * seconds


@lru_cache(maxsize=1024)
def ms_level(text: str) -> str | None:
    """Return the level, "1", "2" ..., of "MS2", "2.0" or "MS/MS"; None for other words."""
    compact = re.sub(r"[\s/_-]", "", text.casefold())
    match = re.fullmatch(r"(?:ms)?(\d+)(?:\.0*)?(?:ms)?", compact)
    if match:
        return match[1]
    return {"msms": "2", "tandem": "2", "msn": "n", "ms": "1"}.get(compact)


@lru_cache(maxsize=1024)
def parse_ion_mode(text: str) -> str | None:
    """Return "positive" or "negative" for any notation, None for other text."""
    compact = re.sub(r"[\s()\[\]]", "", text.casefold())
    if compact in ("1", "+", "+1", "1+", "p", "1.0") or "pos" in compact:
        return "positive"
    if compact in ("0", "-", "-1", "1-", "n", "0.0", "-1.0") or "neg" in compact:
        return "negative"
    if compact.endswith(("+", "-")) and not text.strip(" +-").isdigit():  # ESI+
        return "positive" if compact.endswith("+") else "negative"
    return None


@lru_cache(maxsize=8192)
def ion_of(
    adducts: str, mode: str, charge_text: str = "", name: str = ""
) -> tuple[str | None, str | None, tuple[str, ...]]:
    """Return adduct, ion mode and notes; if sources contradict each other, the ion counts.

    Parameters
    ----------
    adducts : str
        Adducts of a record, one per line, the most trusted first.
    mode, charge_text : str
        Empty if missing.
    name : str
        Of the compound; in older libraries it ends with the ion.
    """
    notes: list[str] = []
    understood: list[str] = []
    signs: list[str] = []
    for text in adducts.split("\n"):
        if text_or_none(text) is None:
            continue
        try:
            adduct = parse_adduct(text).name
            understood += [adduct] if adduct not in understood else []
        except AdductError:
            notes.append(f"adduct {text[:60]!r} is not understood and left out")
            signs.append(ion_mode_of_text(text) or "")
    if not understood and not signs and (match := _ADDUCT_IN_NAME.search(name)):
        with suppress(AdductError):
            understood.append(parse_adduct(match[1] or match[2]).name)
    reported, size, charge_sign = parse_ion_mode(mode) if mode else None, *_charge(charge_text)
    if mode and reported is None and text_or_none(mode):
        notes.append(f"ion mode {mode[:60]!r} is not understood and left out")
    # Some programs write 1+ for negative ions too, so an ion or an ion mode goes before it.
    sign = next(filter(None, signs), None)
    ion_mode = sign or reported or _MODE_OF_SIGN.get(charge_sign)
    if understood:
        ion_mode = parse_adduct(understood[0]).ion_mode
        if len(understood) > 1:
            notes.append(f"{understood[0]} is taken, though the record also says {understood[1]}")
    elif size > 1 and not signs:
        negative = charge_sign == "-" or (not charge_sign and ion_mode == "negative")
        ion_mode = "negative" if negative or ion_mode == "negative" else "positive"
        end = "-" if ion_mode == "negative" else "+"
        understood = [f"[M{end}{size}H]{size}{end}"]
    source = understood[0] if understood else "its ion" if sign else "its ion mode"
    if reported and ion_mode != reported:
        notes.append(f"ion mode {reported} contradicts {source}, which is taken")
    elif (size and charge_sign and ion_mode and ion_mode != _MODE_OF_SIGN[charge_sign]) or (
        understood and size and size != abs(parse_adduct(understood[0]).charge)
    ):
        notes.append(f"charge {charge_text.strip()} contradicts {source}, which is taken")
    return (understood[0] if understood else None), ion_mode, tuple(notes)


_MODE_OF_SIGN = {"+": "positive", "-": "negative"}


def _charge(text: str) -> tuple[int, str]:
    """Return size and sign of a charge, 0 and "" where it is not known; "2-" and "-2" are one."""
    matches = _CHARGE.findall(text)
    if len(matches) != 1:  # "2+ and 3+" is what a search engine is to try
        return 0, ""
    before, digits, behind = matches[0]
    return int(digits[:3]), "-" if "-" in (before, behind) else before or behind


def _energy(fields: Mapping[str, str], identifier: str) -> str | None:
    text = fields.get("collision_energy")
    if text is None:
        text = fields.get("nce")
        return f"{text} NCE" if text and re.fullmatch(r"[\d.]+", text) else text
    # MassSpecGym has turned all its energies to eV and left the unit out.
    if identifier.startswith("MassSpecGymID") and re.fullmatch(r"[\d.]+", text):
        return f"{text} eV"
    return text
