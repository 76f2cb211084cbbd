"""What nobody should send, and the error it gives: from Python, the command line and HTTP alike."""

from dataclasses import dataclass, field
from typing import Any

from team5 import errors

SMILES = "CC(=O)Oc1ccccc1C(=O)O"
NAN, INFINITE = float("nan"), float("inf")


@dataclass(frozen=True)
class Hostile:
    """An item, and the class of its error."""

    name: str
    error: type[errors.Team5Error]
    item: dict[str, Any] = field(default_factory=dict)

    @property
    def is_typed(self) -> bool:
        """Whether it can be written on a command line at all."""
        if not all(_is_written(key, value) for key, value in self.item.items()):
            return False
        smiles = self.item.get("smiles", [])
        texts = [smiles] if isinstance(smiles, str) else smiles
        peaks = [self.item.get(key, []) for key in ("mzs", "intensities")]
        numbers = [self.item.get("precursor_mz", 1.0), *(peak for one in peaks for peak in one)]
        return (
            not {"spectra", "references"} & self.item.keys()
            and bool(texts)
            and all(text.strip() and text.isprintable() for text in texts)
            and all(len(one) < 5000 for one in peaks)
            and all(len(repr(number)) < 40 for number in numbers)
            and len(repr(texts)) < 10_000
        )

    def words(self) -> list[str]:
        """The item as arguments of predict.py."""
        words = []
        for key, value in self.item.items():
            if isinstance(value, list):
                joined = ",".join(value if key == "smiles" else map(repr, value))
                words.append(f"{key}=[{joined}{',' if key == 'smiles' else ''}]")
            else:
                words.append(f"{key}={value}")
        return words


def _is_written(key: str, value: Any) -> bool:
    if key in ("mzs", "intensities"):
        return isinstance(value, list) and all(isinstance(one, int | float) for one in value)
    if key == "smiles":
        texts = [value] if isinstance(value, str) else value
        return isinstance(texts, list) and all(isinstance(text, str) for text in texts)
    return key == "adduct" or isinstance(value, int | float)


def _item(mzs: Any, intensities: Any, **more: Any) -> dict[str, Any]:
    return {"smiles": SMILES, "mzs": mzs, "intensities": intensities, **more}


def _structure(smiles: Any) -> dict[str, Any]:
    return {"smiles": smiles}


_BAD_PEAKS = {
    "no peaks": _item([], []),
    "NaN m/z": _item([50.0, NAN], [1.0, 1.0]),
    "NaN intensity": _item([50.0], [NAN]),
    "infinite m/z": _item([INFINITE], [1.0]),
    "infinite intensity": _item([50.0], [INFINITE]),
    "negative infinite": _item([50.0], [-INFINITE]),
    "negative m/z": _item([-50.0], [1.0]),
    "m/z zero": _item([0.0], [1.0]),
    "negative intensity": _item([50.0, 60.0], [1.0, -1.0]),
    "no intensity at all": _item([50.0, 60.0], [0.0, 0.0]),
    "more m/z than intensities": _item([50.0, 60.0], [1.0]),
    "more intensities than m/z": _item([50.0], [1.0, 2.0]),
    "2,001 peaks": _item([100 + i / 1000 for i in range(2001)], [1.0] * 2001),
    "half a million peaks": _item([1.0] * 500_000, [1.0] * 500_000),
    "peaks as text": _item("50 60", "1 2"),
    "peaks of text": _item(["a"], ["b"]),
    "peaks of null": _item([None], [None]),
    "one number as peaks": _item(50, 1),
    "an object as peaks": _item({"50": 1}, {"60": 1}),
    "peaks three deep": _item([[[50.0]]], [[[1.0]]]),
    "a whole number beyond floats": _item([10**400], [1.0]),
    "precursor NaN": _item([50.0], [1.0], precursor_mz=NAN),
    "precursor negative": _item([50.0], [1.0], precursor_mz=-5.0),
    "precursor infinite": _item([50.0], [1.0], precursor_mz=INFINITE),
    "precursor in words": _item([50.0], [1.0], precursor_mz="heavy"),
    "precursor a list": _item([50.0], [1.0], precursor_mz=[50.0]),
    "precursor beyond floats": _item([50.0], [1.0], precursor_mz=10**400),
}
_BAD_STRUCTURES = {
    "empty SMILES": _structure(""),
    "blank SMILES": _structure("   "),
    "unclosed ring": _structure("C1CC"),
    "unclosed parenthesis": _structure("CC(=O"),
    "parenthesis too many": _structure("CC)O"),
    "no chemistry": _structure("hello"),
    "five bonds": _structure("C(C)(C)(C)(C)C"),
    "not aromatic": _structure("c1cccc1"),
    "placeholder": _structure("C*"),
    "look-alike letter": _structure("CC\u0421"),
    "lone surrogate": _structure("CC\ud800"),
    "null character": _structure("CC\0O"),
    "line break": _structure("CC\nO"),
    "129 heavy atoms": _structure("C" * 129),
    "a thousand rings": _structure("C1CC1" * 190),
    "4,001 characters": _structure("C" * 4001),
    "a million characters": _structure("C" * 1_000_000),
    "deep parentheses": _structure("C(" * 1900 + "C" + ")" * 1900),
    "unknown isotope": _structure("[999C]"),
    "unknown element": _structure("[Xx]"),
    "a path": _structure("../../etc/passwd"),
    "a number as SMILES in a list": _structure([5]),
    "null in a list": _structure([SMILES, None]),
    "second of two": _structure([SMILES, "C1CC"]),
    "three of four": _structure(["C1CC", SMILES, "CC)O", ""]),
    "a hundred of a hundred": _structure(["C1CC"] * 100),
    "a list in a list": _structure([["CCO"]]),
}
_BAD_ADDUCTS = {
    "no adduct": _item([50.0], [1.0], adduct="protonated"),
    "adduct of nothing": _item([50.0], [1.0], adduct="[]"),
    "adduct heavier than the structure": _item([50.0], [1.0], adduct="[M-C99+H]+"),
    "atoms lost that are not there": _item([50.0], [1.0], adduct="[M-Cl]+"),
    "adduct a number": _item([50.0], [1.0], adduct=5),
}
_BAD_CALLS = {
    "nothing": {},
    "no structure": {"mzs": [50.0], "intensities": [1.0]},
    "structures, none": _structure([]),
    "a number as SMILES": _structure(5),
    "m/z alone": {"smiles": SMILES, "mzs": [50.0]},
    "intensities alone": {"smiles": SMILES, "intensities": [50.0]},
    "one nested, one not": _item([[50.0]], [1.0]),
    "lists differ in number": _item([[50.0], [60.0]], [[1.0]]),
    "three structures, two spectra": {
        "smiles": ["CCO", "CCN", "CCC"], "mzs": [[50.0], [60.0]], "intensities": [[1.0], [1.0]]},
    "peaks and spectra": _item([50.0], [1.0], spectra=[{"mzs": [50.0], "intensities": [1.0]}]),
    "no spectra": {"smiles": SMILES, "spectra": []},
    "error rate above 1": _item([50.0], [1.0], max_error=1.5),
    "error rate NaN": _item([50.0], [1.0], max_error=NAN),
    "error rate in words": _item([50.0], [1.0], max_error="low"),
    "references as text": _item([50.0], [1.0], references=SMILES),
    "references a number": _item([50.0], [1.0], references=5),
    "references of a version that compares nothing": _item([50.0], [1.0], references=[SMILES]),
}  # fmt: skip

HOSTILE = [
    *(Hostile(name, errors.SpectrumError, item) for name, item in _BAD_PEAKS.items()),
    *(Hostile(name, errors.MoleculeError, item) for name, item in _BAD_STRUCTURES.items()),
    *(Hostile(name, errors.AdductError, item) for name, item in _BAD_ADDUCTS.items()),
    *(Hostile(name, errors.ConfigError, item) for name, item in _BAD_CALLS.items()),
]
# Bodies that are no item at all, and the status they get: known to HTTP only.
HOSTILE_BODIES = {
    "empty": (b"", 422),
    "no JSON": (b"smiles=CCO", 422),
    "cut off": (b'{"smiles": "CC', 422),
    "bad UTF-8": (b'{"smiles": "\xff\xfe"}', 422),
    "UTF-16 without a mark": ('{"smiles": "CCO"}'.encode("utf-16-be")[1:], 422),
    "null": (b"null", 422),
    "a number": (b"5", 422),
    "text": (b'"CCO"', 422),
    "items that are none": (b'{"items": 5}', 422),
    "items and more": (b'{"items": [], "smiles": "CCO"}', 422),
    "a key that is not known": (b'{"smile": "CCO"}', 422),
    "deep lists": (b"[" * 100_000 + b"]" * 100_000, 422),
    "deep objects": (b'{"mzs":' * 50_000 + b"1" + b"}" * 50_000, 422),
    "deep peaks": (
        b'{"smiles": "CCO", "intensities": [1], "mzs": ' + b"[" * 900 + b"]" * 900 + b"}", 422),
    "a number of 5,000 digits": (b'{"smiles": "CCO", "precursor_mz": ' + b"9" * 5000 + b"}", 422),
    "beyond floats": (b'{"smiles": "CCO", "mzs": [1e999], "intensities": [1]}', 422),
    "a million peaks": (
        b'{"smiles": "CCO", "mzs": [' + b"100.0," * 999_999 + b"100.0], "
        b'"intensities": [' + b"1.0," * 999_999 + b"1.0]}", 413),
    "too many candidates": (
        b'{"mzs": [50], "intensities": [1], "smiles": [' + b'"C",' * 10_000 + b'"C"]}', 422),
    "too many items": (b"[" + b"{}," * 10_000 + b"{}]", 422),
    "twelve megabytes": (b" " * 12_000_000, 413),
}  # fmt: skip
