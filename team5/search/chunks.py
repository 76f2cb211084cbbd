"""search_chunk: some spectra held against the structures of a library, one after the other."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from team5.chemistry.adducts import default_adduct
from team5.constants import CANDIDATE_TOLERANCE_PPM
from team5.data.spectrum import Spectrum
from team5.errors import CheckpointError
from team5.inference.inference import LoadedModel, load_model
from team5.library.candidates import Candidates
from team5.library.library import Library, open_library
from team5.runtime.workers import OnItem
from team5.search.reading import UNANSWERABLE
from team5.search.rows import rows_of, to_table
from team5.search.shortlist import shortlist
from team5.search.spectra import Chunk, LeftOut

NO_PRECURSOR = "no precursor m/z"
# Structures with a higher permanent charge fly under adducts that records name.
_CHARGES_WITHOUT_ADDUCT = (0, 1, -1)


@dataclass(frozen=True, slots=True)
class SearchSettings:
    """What decides the hits of a spectrum, beside the model and the library.

    Attributes
    ----------
    ppm : float
        Half-width of the window around the precursor m/z.
    keep : int
        Rows of each spectrum.
    first_look : bool
        Score only those of long lists that are worth it at first sight.
    max_error : float or None
        As for `infer`.
    """

    ppm: float = CANDIDATE_TOLERANCE_PPM
    keep: int = 100
    first_look: bool = False
    max_error: float | None = None


@dataclass(frozen=True, slots=True)
class Tools:
    """What a worker loads once: a version, and a library.

    Attributes
    ----------
    version, version_hash : str
        The version, and what its hash must be.
    root : str
        The folder of versions.
    device : str
    library : str
        Path of the library.
    verify, cache_structures : bool
    allow : tuple of str
        As for `load_model`.
    """

    version: str
    version_hash: str
    root: str
    device: str
    library: str
    verify: bool = True
    cache_structures: bool = True
    allow: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Result:
    """What a chunk gave: every one of its spectra is in exactly one of both.

    Attributes
    ----------
    number : int
        Of the chunk.
    n_spectra : int
    table : pyarrow.Table
        Rows, see `team5.search.rows.SCHEMA`.
    left_out : tuple of LeftOut
        In the order of the file.
    """

    number: int
    n_spectra: int
    table: pa.Table
    left_out: tuple[LeftOut, ...]


class Searcher:
    """A version and a library in one process; what a worker holds."""

    def __init__(self, tools: Tools, settings: SearchSettings) -> None:
        self._settings = settings
        self._model = load_model(
            tools.version,
            device=tools.device,
            root=tools.root,
            verify=tools.verify,
            cache_structures=tools.cache_structures,
            allow=tools.allow,
        )
        if self._model.version_hash != tools.version_hash:
            raise CheckpointError(
                f"{tools.version} in {tools.root} is {self._model.version_hash} here and was "
                f"{tools.version_hash} when the search began. Give all workers the same versions."
            )
        self._library = open_library(tools.library)

    def search(self, chunk: Chunk, on_spectrum: OnItem = lambda index: None) -> Result:
        """Search a chunk; `on_spectrum` is told the index of each spectrum before it."""
        return search_chunk(self._model, self._library, chunk, self._settings, on_spectrum)


def search_chunk(
    model: LoadedModel,
    library: Library,
    chunk: Chunk,
    settings: SearchSettings,
    on_spectrum: OnItem = lambda index: None,
) -> Result:
    """Hold the spectra of a chunk against the structures of a library.

    A spectrum without a precursor m/z, with no candidate, or none that can be used, is left out.
    """
    rows: list[dict[str, Any]] = []
    left_out = list(chunk.left_out)
    for index, (number, spectrum) in enumerate(chunk.spectra):
        on_spectrum(index)
        try:
            found = _search(model, library, number, spectrum, settings)
        except UNANSWERABLE as error:
            found = f"none of its candidates can be used: {error}"
        if isinstance(found, str):
            left_out.append(LeftOut(number, spectrum.identifier, found))
        else:
            rows += found
    left_out.sort(key=lambda one: one.spectrum)
    return Result(chunk.number, chunk.n_spectra, to_table(rows), tuple(left_out))


def _search(
    model: LoadedModel,
    library: Library,
    number: int,
    spectrum: Spectrum,
    settings: SearchSettings,
) -> list[dict[str, Any]] | str:
    """Return the rows of a spectrum, or why there are none."""
    if spectrum.precursor_mz is None:
        return NO_PRECURSOR
    candidates = candidates_of(library, spectrum, spectrum.precursor_mz, settings.ppm)
    smiles = [text for part in candidates for text in part.smiles.to_pylist()]
    if not smiles:
        return f"no candidate within {settings.ppm:g} ppm"
    found = shortlist(
        model,
        spectrum,
        smiles,
        [key for part in candidates for key in part.inchikey14.to_pylist()],
        keep=settings.keep,
        first_look=settings.first_look,
        max_error=settings.max_error,
    )
    names = [name for part in candidates for name in part.names.to_pylist()]
    return rows_of(number, spectrum, found, names)


def candidates_of(
    library: Library, spectrum: Spectrum, precursor_mz: float, ppm: float
) -> list[Candidates]:
    """Return the structures that could be behind a spectrum's precursor.

    Without an adduct these are neutral ones under the usual adduct of the ion mode, and those
    with a permanent charge under theirs.
    """
    adducts = (
        [spectrum.adduct]
        if spectrum.adduct is not None
        else [default_adduct(spectrum.ion_mode, charge) for charge in _CHARGES_WITHOUT_ADDUCT]
    )
    return [library.of_precursor(precursor_mz, adduct, ppm) for adduct in adducts]


def absolute(root: str) -> str:
    """Return a folder of versions as processes elsewhere find it."""
    return root if "://" in root else str(Path(root).absolute())
