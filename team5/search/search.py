"""search_file: every spectrum of a file against a library of structures, into one file.

from team5.search.search import search_file

search_file("run.mzML", "pubchem.library", "hits.parquet", resume=True)
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import team5
from team5.data.conditions import Conditions
from team5.data.readers import nothing_usable
from team5.errors import ConfigError, DataError, WorkerError
from team5.inference.selective import check_max_error
from team5.library.library import open_library
from team5.library.manifest import MANIFEST_NAME
from team5.models.foreign_encoder import ForeignEncoder
from team5.registry.allowed import check_allow
from team5.registry.export import read_version
from team5.runtime.storage import as_path, is_remote, sha256
from team5.search.chunks import Result, SearchSettings, Tools, absolute
from team5.search.engines import Engine, run
from team5.search.outputs import ENDINGS, write_hits, write_left_out
from team5.search.parts import Parts, open_parts
from team5.search.progress import progress
from team5.search.rows import SCHEMA_VERSION
from team5.search.spectra import Chunk, Source, SpectraFile, count_reasons, iter_chunks

# With long lists of candidates a spectrum takes seconds, and what a chunk has is lost when the
# search is broken off.
CHUNK_SIZE = 8
_FOOTER_LENGTH = 8  # bytes at the end of a Parquet file: the length of its footer, and a mark


@dataclass(frozen=True, slots=True)
class Summary:
    """What became of the spectra.

    Attributes
    ----------
    n_spectra, n_answered, n_rows : int
        Spectra of the file, those with hits, and hits.
    left_out : Counter
        The other spectra, by reason.
    """

    n_spectra: int
    n_answered: int
    n_rows: int
    left_out: Counter[str]


def search_file(
    spectra: str | Path | Source,
    library: str | Path,
    output: str | Path,
    *,
    version: str | None = None,
    root: str | Path = "checkpoints",
    device: str = "auto",
    verify: bool = True,
    cache_structures: bool = True,
    allow: Sequence[str] = (),
    settings: SearchSettings | None = None,
    context: Conditions | None = None,
    engine: Engine | None = None,
    resume: bool = False,
    chunk_size: int = CHUNK_SIZE,
    show_progress: bool = False,
) -> Summary:
    """Hold spectra against the structures of a library, and write the best of each to a file.

    While it is at work, ``OUTPUT.parts/`` holds what is done as a Parquet dataset; in the end it
    becomes the output. Memory grows with neither the spectra nor the candidates.

    Parameters
    ----------
    spectra : str or Path
        What `team5.data.readers.iter_spectra` reads; or another source of spectra.
    library : str or Path
        What `open_library` opens.
    output : str or Path
        ``.parquet``, ``.csv`` or ``.jsonl``. Spectra without hits are in ``OUTPUT.left_out.csv``.
    version, root, device, verify, cache_structures, allow
        As for `load_model`.
    settings : SearchSettings, optional
    context : Conditions, optional
        For spectra that do not say how they were measured.
    engine : Engine, optional
        All cores of this machine by default.
    resume : bool, default False
        Go on with a search that was broken off.
    chunk_size : int
        Spectra that are done, and kept, together.
    show_progress : bool, default False
        On standard error.

    Raises
    ------
    ConfigError
        If there is a search that was broken off and `resume` is false, or it began otherwise.
    DataError
        If spectra or library cannot be read, or there is not one spectrum.
    WorkerError
        If a worker ends; what is done is kept.
    """
    if is_remote(output):
        raise ConfigError(
            f"output={output}: results are written to a local disk. Copy them when they are whole."
        )
    output = Path(output)
    if output.suffix.lower() not in ENDINGS:
        raise ConfigError(f"output={output}: choose one of {', '.join(ENDINGS)}.")
    source = SpectraFile(spectra) if isinstance(spectra, str | Path) else spectra
    settings, context = settings or SearchSettings(), context or Conditions()
    tools = make_tools(
        version, root, device, library, settings,
        verify=verify, cache_structures=cache_structures, allow=allow,
    )  # fmt: skip
    plan = {
        "format": SCHEMA_VERSION,
        "team5": team5.__version__,
        "version": tools.version,
        "version_hash": tools.version_hash,
        "library": _identity_of_library(library),
        "spectra": source.identity(),
        "conditions": asdict(context),
        **asdict(settings),
        "chunk_size": chunk_size,
    }
    with open_parts(output, plan, resume=resume) as parts:
        chunks = iter_chunks(source, context, chunk_size)
        n_chunks = _do(chunks, parts, source, engine or Engine(), tools, settings, show_progress)
        assert sorted(parts.finished) == list(range(n_chunks))  # noqa: S101 - none lost, none twice
        if not n_chunks:
            parts.remove()
            raise DataError(nothing_usable(source.name, Counter()))
        if source.identity() != plan["spectra"]:
            parts.remove()
            raise DataError(
                f"{source.name}: has changed while it was searched, so that nothing of it can be "
                "told. Search again when it is whole."
            )
        left_out = count_reasons(parts.left_out())
        n_spectra = sum(parts.finished.values())
        n_rows = write_hits(parts.tables(), output, parts.folder)
        write_left_out(parts.left_out(), output, parts.folder)
        parts.remove()
    return Summary(n_spectra, n_spectra - left_out.total(), n_rows, left_out)


def iter_results(
    source: Source,
    tools: Tools,
    *,
    settings: SearchSettings,
    context: Conditions,
    engine: Engine,
    chunk_size: int = CHUNK_SIZE,
) -> Iterator[Result]:
    """Yield what each chunk gave, in the order of the spectra."""
    early: dict[int, Result] = {}
    wanted = 0
    chunks = iter_chunks(source, context, chunk_size)
    with closing(run(chunks, engine, tools, settings)) as results:
        for result in results:
            early[result.number] = result
            while wanted in early:
                yield early.pop(wanted)
                wanted += 1


def make_tools(
    version: str | None,
    root: str | Path,
    device: str,
    library: str | Path,
    settings: SearchSettings,
    *,
    verify: bool = True,
    cache_structures: bool = True,
    allow: Sequence[str] = (),
) -> Tools:
    """Return what workers load, sure that it is there and can do what is asked."""
    open_library(library)
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
        library=absolute(str(library)),
        verify=verify,
        cache_structures=cache_structures,
        allow=tuple(names),
    )


def _do(
    chunks: Iterator[Chunk],
    parts: Parts,
    source: Source,
    engine: Engine,
    tools: Tools,
    settings: SearchSettings,
    show_progress: bool,
) -> int:
    """Do the chunks that are not done yet; return how many there are in all."""
    n_chunks = 0

    def unfinished() -> Iterator[Chunk]:
        nonlocal n_chunks
        for chunk in chunks:
            n_chunks += 1
            if chunk.number not in parts.finished:
                yield chunk

    before = sum(parts.finished.values())
    with (
        progress(source.count, before, show=show_progress) as advance,
        closing(run(unfinished(), engine, tools, settings)) as results,
    ):
        try:
            for result in results:
                parts.write(result)
                advance(result.n_spectra)
        except WorkerError as error:
            raise WorkerError(
                f"{error} What is done is kept in {parts.folder}: the same command with "
                "resume=true goes on."
            ) from error
    return n_chunks


def _identity_of_library(library: str | Path) -> dict[str, Any]:
    """Return what tells whether a library is the same: of its manifest, or a file's footer.

    Both change with any structure, and are read in no time, from object storage too.
    """
    place = as_path(library)
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
        raise DataError(f"{library}: cannot be read ({error}). Check your rights.") from error
