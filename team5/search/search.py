"""search_file: search of all spectra of a file among structures, written to one file.

from team5.search.search import search_file
from team5.search.structures import LibraryStructures

search_file("run.mzML", LibraryStructures("pubchem.library"), "hits.parquet", resume=True)
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import team5
from team5.data.conditions import Conditions
from team5.data.readers import nothing_usable
from team5.errors import DataError
from team5.inference.selective import check_max_error
from team5.models.foreign_encoder import ForeignEncoder
from team5.registry.allowed import check_allow
from team5.registry.export import read_version
from team5.registry.roots import find_checkpoints
from team5.runtime.progress import progress
from team5.runtime.storage import sha256
from team5.runtime.tables import counted_spectra
from team5.search.checkpoint import Checkpoint, open_checkpoint
from team5.search.chunks import Result, SearchSettings, Tools
from team5.search.engines import Engine, run
from team5.search.rows import SCHEMA_VERSION, count_withheld, schema_with
from team5.search.spectra import (
    Chunk,
    LeftOut,
    Source,
    SpectraFile,
    check_group_by,
    count_reasons,
    iter_chunks,
)
from team5.search.structures import Structures, absolute, library_structures
from team5.search.writers import TABLE_ENDINGS, check_output_path, write_hits, write_left_out

# With long lists of candidates a spectrum takes seconds, and an interrupted search loses its
# unfinished chunks.
CHUNK_SIZE = 8


@dataclass(frozen=True, slots=True)
class Summary:
    """Summary of a search.

    Attributes
    ----------
    n_spectra, n_answered, n_withheld, n_rows : int
        Spectra of the file, those with answers, those with answers that are withheld, and rows.
    left_out : Counter
        The other spectra, by reason.
    """

    n_spectra: int
    n_answered: int
    n_withheld: int
    n_rows: int
    left_out: Counter[str]


def search_file(
    spectra: str | Path | Source,
    structures: str | Path | Structures,
    output: str | Path,
    *,
    version: str | None = None,
    root: str | Path | None = None,
    device: str = "auto",
    verify: bool = True,
    allow: Sequence[str] = (),
    settings: SearchSettings | None = None,
    context: Conditions | None = None,
    engine: Engine | None = None,
    resume: bool = False,
    chunk_size: int = CHUNK_SIZE,
    show_progress: bool = False,
    unusable: Sequence[LeftOut] = (),
) -> Summary:
    """Search spectra among structures, and write the best of each to a file.

    While it is at work, ``OUTPUT.parts/`` holds finished chunks as a Parquet dataset; in the end
    it becomes the output. Memory grows with neither the spectra nor the candidates.

    Parameters
    ----------
    spectra : str or Path
        What `team5.data.readers.iter_spectra` reads; or another source of spectra.
    structures : str, Path or Structures
        A path is that of a library; ``demo`` is the demo set.
    output : str or Path
        A file by its ending, one of `TABLE_ENDINGS`. Spectra without answers are in
        ``OUTPUT.left_out.csv``.
    version, root, device, verify, allow
        As for `load_model`.
    context : Conditions, optional
        For spectra that do not say how they were measured.
    engine : Engine, optional
        All cores of this machine by default.
    chunk_size : int
        Spectra that are searched, and kept, together.
    unusable : sequence of LeftOut
        Structures that cannot be used, to be named in ``OUTPUT.left_out.csv`` as well.

    Raises
    ------
    ConfigError
        If there is an interrupted search and not ``resume=True``, or it began otherwise.
    DataError
        If spectra or structures cannot be read, or there is not one spectrum.
    WorkerError
        If workers cannot begin; finished chunks are kept.
    """
    output = check_output_path(output, endings=TABLE_ENDINGS)
    source = SpectraFile(spectra) if isinstance(spectra, str | Path) else spectra
    if isinstance(structures, str | Path):
        structures = library_structures(str(structures))
    settings, context = settings or SearchSettings(), context or Conditions()
    tools = make_tools(
        version, find_checkpoints(root, version), device, structures, settings,
        verify=verify, allow=allow,
    )  # fmt: skip
    plan = _plan(source, tools, settings, context, chunk_size)
    with open_checkpoint(output, plan, resume=resume) as checkpoint:
        chunks = iter_chunks(source, context, chunk_size, settings.group_by)
        n_chunks = _search(
            chunks, checkpoint, source, engine or Engine(), tools, settings, show_progress
        )
        if fault := _fault_of(source, n_chunks, plan):
            checkpoint.remove()
            raise DataError(fault)
        # None lost, none twice.
        assert sorted(checkpoint.finished) == list(range(n_chunks))  # noqa: S101
        summary = _write_answers(checkpoint, output, structures.columns, unusable)
        checkpoint.remove()
    return summary


def _write_answers(
    checkpoint: Checkpoint, output: Path, columns: Sequence[str], unusable: Sequence[LeftOut]
) -> Summary:
    left_out = count_reasons(checkpoint.left_out())
    n_spectra = sum(checkpoint.finished.values())
    n_withheld = sum(count_withheld(table) for table in checkpoint.tables())
    n_rows = write_hits(checkpoint.tables(), output, checkpoint.folder, schema_with(columns))
    write_left_out([*unusable, *checkpoint.left_out()], output, checkpoint.folder)
    n_answered = n_spectra - left_out.total() - n_withheld
    return Summary(n_spectra, n_answered, n_withheld, n_rows, left_out)


def _fault_of(source: Source, n_chunks: int, plan: dict[str, Any]) -> str | None:
    """Return why a search has no result: there was no spectrum, or the file changed meanwhile."""
    if not n_chunks:
        return nothing_usable(source.name, Counter())
    if source.identity() == plan["spectra"]:
        return None
    return (
        f"{source.name}: has changed while it was searched, so that nothing of it can be "
        "reported. Search again when it is whole."
    )


def _plan(
    source: Source,
    tools: Tools,
    settings: SearchSettings,
    context: Conditions,
    chunk_size: int,
) -> dict[str, Any]:
    """Return all that determines the answers, as values of JSON."""
    references = "\n".join(settings.references).encode()
    return {
        "format": SCHEMA_VERSION,
        "team5": team5.__version__,
        "version": tools.version,
        "version_hash": tools.version_hash,
        tools.structures.name: tools.structures.identity(),
        "spectra": source.identity(),
        "conditions": asdict(context),
        **asdict(settings),
        "references": sha256(references) if references else None,
        "chunk_size": chunk_size,
    }


def iter_results(
    source: Source,
    tools: Tools,
    *,
    settings: SearchSettings,
    context: Conditions,
    engine: Engine,
) -> Iterator[Result]:
    """Yield the results of chunks in the order of the spectra."""
    early: dict[int, Result] = {}
    next_number = 0
    chunks = iter_chunks(source, context, CHUNK_SIZE, settings.group_by)
    with closing(run(chunks, engine, tools, settings)) as results:
        for result in results:
            early[result.number] = result
            while next_number in early:
                yield early.pop(next_number)
                next_number += 1


def make_tools(
    version: str | None,
    root: str | Path,
    device: str,
    structures: Structures,
    settings: SearchSettings,
    *,
    verify: bool = True,
    allow: Sequence[str] = (),
) -> Tools:
    """Return what workers load, after a check that it is there and supports the settings."""
    check_group_by(settings.group_by)
    structures.opened()
    stored = read_version(root, version, verify=verify)
    names = check_allow(allow)
    if (encoder := stored.config.get("encoder")) is not None:
        ForeignEncoder.from_config(encoder, names)
    if settings.max_error is not None:
        check_max_error(stored.config.get("calibration"), settings.max_error, stored.version)
    return Tools(
        version=stored.version,
        version_hash=stored.version_hash,
        root=absolute(str(root)),
        device=device,
        structures=structures,
        verify=verify,
        allow=tuple(names),
    )


def _search(
    chunks: Iterator[Chunk],
    checkpoint: Checkpoint,
    source: Source,
    engine: Engine,
    tools: Tools,
    settings: SearchSettings,
    show_progress: bool,
) -> int:
    """Search the chunks that are not finished; return how many there are in all."""
    n_chunks = 0

    def unfinished() -> Iterator[Chunk]:
        nonlocal n_chunks
        for chunk in chunks:
            n_chunks += 1
            if chunk.number not in checkpoint.finished:
                yield chunk

    before = sum(checkpoint.finished.values())
    total = source.count() if show_progress else None
    if show_progress:
        spectra = "the spectra" if total is None else counted_spectra(total)
        resumed = f", {before:,} done before" if before else ""
        sys.stderr.write(f"Searching {spectra}{resumed}.\n")
    with (
        progress("Searching", total, unit="spectra", done=before, show=show_progress) as job,
        closing(run(unfinished(), engine, tools, settings)) as results,
    ):
        checkpoint.keep(results, job.advance)
    return n_chunks
