"""Requests that nobody should send: small to make, dear to answer."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass

ASPIRIN = "CC(=O)Oc1ccccc1C(=O)O"
_FORM = "multipart/form-data; boundary=x"
_PART = b'--x\r\nContent-Disposition: form-data; name="spectra"; filename="a.mgf"\r\n\r\n'


@dataclass(frozen=True)
class Attack:
    """A request, and the statuses that it may get beside 503."""

    path: str
    make_body: Callable[[], bytes]
    statuses: tuple[int, ...] = (422,)
    content_type: str = "application/json"


def _item(**values: object) -> bytes:
    return json.dumps({"smiles": "CCO", "mzs": [50.0], "intensities": [1.0], **values}).encode()


def _ranking(smiles: str, n_candidates: int, mz: float) -> bytes:
    return _item(smiles=[smiles] * n_candidates, mzs=[mz] * 2000, intensities=[1.0] * 2000)


def _form(content: bytes) -> bytes:
    return _PART + content + b"\r\n--x--\r\n"


ATTACKS = {
    "five million numbers": Attack("/predict", lambda: b"[" + b"1," * 4_999_990 + b"1]"),
    "five million numbers, no list": Attack("/predict", lambda: b"1," * 4_999_990 + b"1"),
    "a key of nine megabytes": Attack("/predict", lambda: b'{"' + b"a" * 9_000_000 + b'": 1}'),
    "a million empty lists": Attack("/predict", lambda: b"[" + b"[]," * 999_999 + b"[]]"),
    "a million empty objects": Attack("/predict", lambda: b"[" + b"{}," * 999_999 + b"{}]"),
    "a million lists of structures": Attack(
        "/predict", lambda: b'{"smiles": [' + b"[]," * 999_999 + b"[]]}"
    ),
    "a million lists of peaks": Attack(
        "/predict", lambda: b'{"smiles": "C", "mzs": [[1]], "intensities": ['
        + b"[]," * 999_999 + b"[]]}"
    ),
    "ten thousand wrong items": Attack(
        "/predict", lambda: json.dumps([{}] * 10_000).encode(), (200,)
    ),
    "brackets, opened and not closed": Attack(
        "/predict", lambda: json.dumps({"smiles": ["[" * 4000] * 2400}).encode()
    ),
    "nine million brackets": Attack("/predict", lambda: b"[" * 9_000_000),
    "an adduct of nine megabytes": Attack("/predict", lambda: _item(adduct="[M" * 4_500_000)),
    "a structure of nine megabytes": Attack("/predict", lambda: _item(smiles="C" * 9_000_000)),
    "peaks as a text of nine megabytes": Attack("/predict", lambda: _item(mzs="1 " * 4_500_000)),
    "a number of nine million digits": Attack(
        "/predict", lambda: b'{"smiles": "C", "precursor_mz": ' + b"9" * 9_000_000 + b"}"
    ),
    "2,000 impossible peaks for 9,990 structures": Attack(
        "/predict", lambda: _ranking(ASPIRIN, 9990, 500.0), (200,)
    ),
    "2,000 explained peaks for 5,000 structures": Attack(
        "/predict", lambda: _ranking(ASPIRIN, 5000, 121.0284), (200, 413)
    ),
    "400,000 spectra": Attack(
        "/spectra/read", lambda: _form(b"BEGIN IONS\n50 1\nEND IONS\n" * 400_000), (422,), _FORM
    ),
    "five million candidates": Attack(
        "/rank/file", lambda: json.dumps(
            {"spectra": "BEGIN IONS\n50 1\nEND IONS", "candidates": "C\n" * 3_300_000}
        ).encode(),
    ),
    "a form of a million parts": Attack(
        "/spectra/read", lambda: b"--x\r\nA: b\r\n\r\n\r\n" * 500_000 + b"--x--", (422,), _FORM
    ),
    "a form that is one header": Attack(
        "/spectra/read", lambda: b"--x\r\n" + b"A" * 9_000_000, (422,), _FORM
    ),
    "a drawing of 1,000 parts": Attack(
        "/draw", lambda: json.dumps({"smiles": ".".join(["C"] * 1000)}).encode(), (200, 422)
    ),
}  # fmt: skip
