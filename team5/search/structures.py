"""Structures that spectra are searched among: a library, a list, or those of their records."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from team5.chemistry.adducts import default_adduct, parse_adduct, structure_charge
from team5.chemistry.molecule import Molecule, parse_smiles
from team5.data.demo import demo_molecules
from team5.data.spectrum import Spectrum
from team5.errors import DataError
from team5.library.library import Library, open_library
from team5.library.manifest import MANIFEST_NAME
from team5.runtime.storage import as_path, sha256
from team5.search.reading import Candidate
from team5.search.spectra import Chunk, LeftOut

# Structures with a higher permanent charge fly under adducts that records name.
_CHARGES_WITHOUT_ADDUCT = (0, 1, -1)
_FOOTER_LENGTH = 8  # bytes at the end of a Parquet file: the length of its footer, and a mark


@dataclass(frozen=True, slots=True)
class CandidateSet:
    """Structures that could be behind one spectrum.

    Attributes
    ----------
    smiles : sequence of str
    inchikey14, names : sequence of str or None
    columns : sequence of dict
        Further columns of each, where its source has some.
    """

    smiles: Sequence[str]
    inchikey14: Sequence[str | None]
    names: Sequence[str | None]
    columns: Sequence[Mapping[str, Any]] = ()


class Structures(Protocol):
    """Where candidates come from; picklable, as each worker gets a copy."""

    @property
    def name(self) -> str:
        """What messages call it."""

    @property
    def columns(self) -> pa.Schema:
        """Further columns of its candidates."""

    def opened(self) -> Structures:
        """Return it ready to search; called once in each worker."""

    def identity(self) -> dict[str, Any]:
        """Return values that change with the structures."""

    def candidates(self, spectrum: Spectrum, target: str | None, ppm: float) -> CandidateSet | str:
        """Return the candidates of a spectrum, or why there are none.

        Parameters
        ----------
        spectrum : Spectrum
        target : str or None
            SMILES of its own structure, if its record carries one.
        ppm : float
            Half-width of the window around the precursor m/z.
        """


@dataclass(frozen=True, slots=True)
class LibraryStructures:
    """The structures of a library that have a spectrum's precursor."""

    path: str
    library: Library | None = field(default=None, compare=False)
    name: ClassVar[str] = "library"
    columns: ClassVar[pa.Schema] = pa.schema([])

    def opened(self) -> LibraryStructures:
        return replace(self, library=open_library(self.path))

    def identity(self) -> dict[str, Any]:
        """Return size and checksum of its manifest, or of a file's footer.

        Both change with any structure, and are read in no time, from object storage too.
        """
        place = as_path(self.path)
        try:
            if not place.is_file():
                return {"sha256": sha256(place / MANIFEST_NAME)}
            size = place.stat().st_size
            with place.open("rb") as file:
                file.seek(max(0, size - _FOOTER_LENGTH))
                length = int.from_bytes(file.read(_FOOTER_LENGTH)[:4], "little") + _FOOTER_LENGTH
                file.seek(max(0, size - length))
                return {"size": size, "sha256": sha256(file.read())}
        except OSError as error:
            raise DataError(f"{self.path}: cannot be read ({error}). Check your rights.") from error

    def candidates(self, spectrum: Spectrum, target: str | None, ppm: float) -> CandidateSet | str:
        assert self.library is not None  # noqa: S101 - opened before
        if spectrum.precursor_mz is None:
            return "no precursor m/z"
        parts = [
            self.library.of_precursor(spectrum.precursor_mz, adduct, ppm)
            for adduct in _adducts(spectrum)
        ]
        columns = [(part.smiles, part.inchikey14, part.names) for part in parts]
        rows = [zip(*(c.to_pylist() for c in three), strict=True) for three in columns]
        # Each once: with a wide window one structure is near the masses of several adducts.
        unique = list(dict.fromkeys(itertools.chain.from_iterable(rows)))
        if not unique:
            return _none_within(ppm)
        return CandidateSet(*map(list, zip(*unique, strict=True)))


@dataclass(frozen=True, slots=True, eq=False)
class ListedStructures:
    """A list of structures, of which a spectrum is searched among those of its precursor's mass.

    Spectra without a precursor m/z are searched among all.

    Attributes
    ----------
    name : str
    listed : tuple of Candidate
    exact_masses, charges : array of shape (C,)
    columns : pyarrow.Schema
        Of the list's own columns.
    """

    name: str
    listed: tuple[Candidate, ...]
    exact_masses: NDArray[np.float64]
    charges: NDArray[np.int64]
    columns: pa.Schema

    @classmethod
    def of(cls, name: str, structures: Iterable[tuple[Candidate, Molecule]]) -> ListedStructures:
        """Take structures in, each with its parsed molecule."""
        listed, masses, charges = [], [], []
        for candidate, molecule in structures:
            listed.append(candidate)
            masses.append(molecule.exact_mass)
            charges.append(molecule.charge)
        columns = _schema_of([candidate.columns for candidate in listed])
        return cls(name, tuple(listed), np.array(masses), np.array(charges, np.int64), columns)

    def opened(self) -> ListedStructures:
        return self

    def identity(self) -> dict[str, Any]:
        digest = hashlib.sha256()
        for candidate in self.listed:
            digest.update(repr(sorted(map(str, asdict(candidate).items()))).encode())
        return {"name": self.name, "structures": len(self.listed), "sha256": digest.hexdigest()}

    def candidates(self, spectrum: Spectrum, target: str | None, ppm: float) -> CandidateSet | str:
        chosen: Sequence[Candidate] = self.listed
        if spectrum.precursor_mz is not None:
            fits = np.zeros(len(self.listed), dtype=bool)
            half_width = spectrum.precursor_mz * ppm * 1e-6
            for ion in map(parse_adduct, _adducts(spectrum)):
                low = ion.exact_mass(spectrum.precursor_mz - half_width)
                high = ion.exact_mass(spectrum.precursor_mz + half_width)
                is_near = (self.exact_masses >= low) & (self.exact_masses <= high)
                fits |= is_near & (self.charges == structure_charge(ion))
            chosen = [self.listed[i] for i in np.flatnonzero(fits)]
        if not chosen:
            return _none_within(ppm)
        return CandidateSet(
            [candidate.smiles for candidate in chosen],
            [None] * len(chosen),
            [candidate.name for candidate in chosen],
            [candidate.columns for candidate in chosen],
        )


@dataclass(frozen=True, slots=True)
class TargetStructures:
    """The structure that each spectrum's own record carries."""

    name: ClassVar[str] = "record"
    columns: ClassVar[pa.Schema] = pa.schema([])

    def opened(self) -> TargetStructures:
        return self

    def identity(self) -> dict[str, Any]:
        return {"structures": "those of the spectra"}

    def candidates(self, spectrum: Spectrum, target: str | None, ppm: float) -> CandidateSet | str:
        if target is None:
            return "no SMILES. Give candidates=FILE or library= to rank structures"
        return CandidateSet([target], [None], [None])


def library_structures(library: str) -> Structures:
    """Return the structures of a library by its path, or of the demo set for ``demo``."""
    if library == "demo" and not Path(library).exists():
        return ListedStructures.of(
            library,
            (
                (Candidate(molecule.smiles, molecule.name), parse_smiles(molecule.smiles))
                for molecule in demo_molecules()
            ),
        )
    return LibraryStructures(absolute(library))


def absolute(root: str) -> str:
    """Return a path as processes elsewhere find it."""
    return root if "://" in root else str(Path(root).absolute())


def _adducts(spectrum: Spectrum) -> list[str]:
    """Return the adducts a precursor is looked up under.

    Without an adduct these are neutral structures under the usual adduct of the ion mode, and
    those with a permanent charge under theirs.
    """
    if spectrum.adduct is not None:
        return [spectrum.adduct]
    if spectrum.hypotheses:
        return list(spectrum.hypotheses)
    return [default_adduct(spectrum.ion_mode, charge) for charge in _CHARGES_WITHOUT_ADDUCT]


def looked_up(spectrum: Spectrum) -> list[str]:
    """Return in words what a precursor is looked up as; nothing where there is none."""
    if spectrum.precursor_mz is None:
        return []
    adducts = " or ".join(_adducts(spectrum))
    is_given = spectrum.adduct or spectrum.hypotheses
    assumed = "" if is_given else ", assumed; adduct= names another, or auto"
    return [f"m/z {spectrum.precursor_mz:.4f} as {adducts}{assumed}"]


def without_candidates(chunk: Chunk, number: int, spectrum: Spectrum, reason: str) -> list[LeftOut]:
    """Return a spectrum of a chunk, and those judged together with it, as left out."""
    return [
        LeftOut(
            index,
            member.identifier,
            reason,
            notes="; ".join([*looked_up(member), *member.notes]),
        )
        for index, member in ((number, spectrum), *chunk.others.get(number, ()))
    ]


def _none_within(ppm: float) -> str:
    return f"no candidate within {ppm:g} ppm"


def _schema_of(rows: Sequence[Mapping[str, Any]]) -> pa.Schema:
    """Return the columns of rows with their types; text where the values of one differ in type."""
    fields = []
    for name in dict.fromkeys(name for row in rows for name in row):
        try:
            kind = pa.array([row.get(name) for row in rows]).type
        except (pa.ArrowInvalid, pa.ArrowTypeError):
            kind = pa.string()
        fields.append((name, pa.string() if pa.types.is_null(kind) else kind))
    return pa.schema(fields)
