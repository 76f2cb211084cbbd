"""Chunks: groups of spectra that are searched one after the other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from team5.chemistry.molecule import Molecule
from team5.constants import CANDIDATE_TOLERANCE_PPM
from team5.data.spectrum import Spectrum
from team5.errors import CheckpointError
from team5.inference.loading import LoadedModel, load_model
from team5.inference.question import parse_references
from team5.runtime.workers import OnItem
from team5.search.checks import KEEP
from team5.search.reading import UNANSWERABLE
from team5.search.rows import rows_of, to_table
from team5.search.shortlist import shortlist
from team5.search.spectra import Chunk, LeftOut
from team5.search.structures import Structures, without_candidates


@dataclass(frozen=True, slots=True)
class SearchSettings:
    """Settings that determine the answers, besides the model and the structures.

    Attributes
    ----------
    ppm : float
        Half-width of the window around the precursor m/z.
    keep : int
        Rows of each spectrum.
    prefilter : bool
        Score only the promising ones of long lists; see `promising`.
    max_error : float or None
    references : tuple of str
        As for `infer`.
    group_by : str or None
        What spectra have in common that are judged together, see `iter_chunks`.
    """

    ppm: float = CANDIDATE_TOLERANCE_PPM
    keep: int = KEEP
    prefilter: bool = False
    max_error: float | None = None
    references: tuple[str, ...] = ()
    group_by: str | None = None


@dataclass(frozen=True, slots=True)
class Tools:
    """Resources that a worker loads once: a version, and structures.

    Attributes
    ----------
    version, version_hash : str
        The version, and what its hash must be.
    root : str
        The folder of versions.
    device : str
    structures : Structures
    verify : bool
    allow : tuple of str
        As for `load_model`.
    """

    version: str
    version_hash: str
    root: str
    device: str
    structures: Structures
    verify: bool = True
    allow: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Result:
    """Answers of a chunk; each of its spectra is either in the table or left out.

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


def load_version(tools: Tools) -> LoadedModel:
    """Load the version of a worker; refuse one that is not the same everywhere."""
    model = load_model(
        tools.version,
        device=tools.device,
        root=tools.root,
        verify=tools.verify,
        allow=tools.allow,
    )
    if model.version_hash != tools.version_hash:
        raise CheckpointError(
            f"{tools.version} in {tools.root} is {model.version_hash} here and was "
            f"{tools.version_hash} when the search began. Give all workers the same versions."
        )
    return model


class Searcher:
    """A version and structures, loaded once in each worker."""

    def __init__(self, tools: Tools, settings: SearchSettings) -> None:
        self._settings = settings
        self._model = load_version(tools)
        self._structures = tools.structures.opened()
        self._references = parse_references(self._model, settings.references or None)

    def search(self, chunk: Chunk, on_spectrum: OnItem = lambda index: None) -> Result:
        """Search a chunk; `on_spectrum` takes the index of each spectrum before it."""
        return search_chunk(
            self._model, self._structures, chunk, self._settings, self._references, on_spectrum
        )


def search_chunk(
    model: LoadedModel,
    structures: Structures,
    chunk: Chunk,
    settings: SearchSettings,
    references: list[Molecule] | None = None,
    on_spectrum: OnItem = lambda index: None,
) -> Result:
    """Search the spectra of a chunk.

    A spectrum without candidates, or with none that can be used, is left out.
    """
    rows: list[dict[str, Any]] = []
    left_out = list(chunk.left_out)
    for index, (number, spectrum) in enumerate(chunk.spectra):
        on_spectrum(index)
        try:
            answer = _search(model, structures, number, spectrum, chunk, settings, references or [])
        except UNANSWERABLE as error:
            answer = f"none of its candidates can be used: {error}"
        if isinstance(answer, str):
            left_out += without_candidates(chunk, number, spectrum, answer)
        else:
            rows += answer
    left_out.sort(key=lambda entry: entry.spectrum)
    table = to_table(rows, structures.columns)
    return Result(chunk.number, chunk.n_spectra, table, tuple(left_out))


def _search(
    model: LoadedModel,
    structures: Structures,
    number: int,
    spectrum: Spectrum,
    chunk: Chunk,
    settings: SearchSettings,
    references: list[Molecule],
) -> list[dict[str, Any]] | str:
    """Return the rows of a spectrum, or the reason why there are none."""
    candidates = structures.candidates(spectrum, chunk.targets.get(number), settings.ppm)
    if isinstance(candidates, str):
        return candidates
    others = chunk.others.get(number, ())
    best = shortlist(
        model,
        [spectrum, *(other for _, other in others)],
        candidates.smiles,
        candidates.inchikey14,
        keep=settings.keep,
        prefilter=settings.prefilter,
        max_error=settings.max_error,
        references=references,
    )
    return rows_of(number, spectrum, best, candidates, n_spectra=1 + len(others))
