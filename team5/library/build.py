"""build_library: files of structures become a library; one that was broken off goes on."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, nullcontext
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from team5.errors import ConfigError, DataError, StorageError
from team5.library.chunks import Chunk
from team5.library.dropped import Dropped, format_dropped
from team5.library.inputs import Input, check_unchanged, find_inputs
from team5.library.manifest import BUILDING_NAME, MANIFEST_NAME, Manifest, Part, read_manifest
from team5.library.merge import MergeLimits, merge
from team5.library.plan import LOCK_NAME, is_made_from, make_plan, runs_folder, take_up
from team5.library.progress import Show, progress
from team5.library.reading import iter_chunks
from team5.library.runs import Run, RunMaker, finished_chunks, open_run, run_path
from team5.library.workers import do_chunks
from team5.runtime.storage import as_path, is_remote, sha256, storage_errors, write_whole
from team5.runtime.strict_json import read_object, to_json

RECORD_TIMEOUT_S = 60.0
_READ_NAME = "read.json"
# A chunk is lost when a build is broken off: seconds. More chunks make the merge slower.
_MIN_RECORDS_PER_CHUNK, _MAX_RECORDS_PER_CHUNK = 2_000, 20_000
_CHUNKS_WANTED = 1_000
_GO_ON = "Run the same command to go on."


def build_library(
    inputs: Sequence[str | Path],
    output: str | Path,
    *,
    n_workers: int | None = None,
    trust_columns: bool = False,
    replace: bool = False,
    work: str | Path | None = None,
    records_per_chunk: int | None = None,
    record_timeout_s: float = RECORD_TIMEOUT_S,
    limits: MergeLimits | None = None,
    show_progress: bool = False,
) -> Manifest:
    """Build a library: structures standardised, each once, sorted by exact mass.

    Broken off, even by a crash, it goes on where it was when it is called again with the same
    inputs. Memory does not grow with the number of structures.

    Parameters
    ----------
    inputs : sequence of str or Path
        Files of SMILES (.smi, .txt), SDF, CSV, TSV, the like compressed, or Parquet; folders of
        them; object storage too.
    output : str or Path
        The library: a folder, made if need be, or a place on object storage.
    n_workers : int, optional
        Processes that standardise; all cores by default, 0 does without further processes.
    trust_columns : bool, default False
        Take ``inchikey14, formula, exact_mass`` of tables that have all three, and their
        ``smiles`` as they are, rather than computing them.
    replace : bool, default False
        Build in place of a library, or an unfinished build, of other inputs. The old library
        stays until the new one is whole.
    work : str or Path, optional
        Local folder for what is unfinished, in a folder of its own there; by default it is
        ``.building`` in the output, or among the system's temporary files if the output is on
        object storage.
    records_per_chunk : int, optional
        How much is done at a time; by default from the size of the inputs.
    record_timeout_s : float, default 60
        A structure that takes longer is left out.
    limits : MergeLimits, optional
        Sizes of row groups, parts and ranges.
    show_progress : bool, default False
        Show on stderr how far it is.

    Returns
    -------
    Manifest

    Raises
    ------
    DataError
        If an input cannot be read, has changed since the build began, or none holds a structure.
    ConfigError
        If the output holds something else, or an argument makes no sense.
    StorageError
        If the output cannot be written, or another build writes it.
    """
    n_workers = _n_cores() if n_workers is None else n_workers
    if n_workers < 0 or (records_per_chunk or 1) < 1 or not record_timeout_s > 0:
        raise ConfigError(
            f"workers {n_workers}, records per chunk {records_per_chunk}, time limit "
            f"{record_timeout_s}: must be positive (0 workers: this process alone)."
        )
    if is_remote(work or ""):
        raise ConfigError(f"{work}: what is unfinished is kept in a local folder. Give one.")
    place = as_path(output)
    sources = find_inputs(inputs)
    folder = _work_folder(place, work)
    plan = make_plan(sources, trust_columns)
    if (place / MANIFEST_NAME).exists():
        manifest = read_manifest(place)
        # One made by another release is as good, unless it is asked for anew.
        if is_made_from(manifest, plan) and (
            not replace or manifest.made_with == plan["made_with"]
        ):
            shutil.rmtree(folder, ignore_errors=True)
            return manifest
        if not replace:
            raise ConfigError(
                f"{output}: holds a library of other inputs or made otherwise. Choose another "
                "folder, or put this one in its place: --replace"
            )
    elif not folder.exists() and place.exists() and any(place.iterdir()):
        raise ConfigError(
            f"{output}: holds files and is no library. Choose a folder of its own for the library."
        )
    with storage_errors(place):
        if not is_remote(place):
            place.mkdir(parents=True, exist_ok=True)
        folder.mkdir(parents=True, exist_ok=True)
        with _locked(folder):
            chunk_size = take_up(folder, plan, replace, records_per_chunk or _chunk_size(sources))
            runs = _read_inputs(
                sources, runs_folder(folder, plan), chunk_size,
                trust_columns=trust_columns, n_workers=n_workers,
                record_timeout_s=record_timeout_s, show_progress=show_progress,
            )  # fmt: skip
            parts = _merge(runs, folder, limits or MergeLimits(), show_progress)
            manifest = _describe(sources, plan, runs, parts, limits or MergeLimits())
            _publish(folder / "parts", place, manifest)
        shutil.rmtree(folder, ignore_errors=True)
    return manifest


def _n_cores() -> int:
    if hasattr(os, "sched_getaffinity"):  # what this process may use; not on macOS
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _work_folder(output: Path, work: str | Path | None) -> Path:
    if work is None and not is_remote(output):
        return output / BUILDING_NAME
    name = str(output if is_remote(output) else output.resolve())
    digest = sha256(name.encode())[:16]
    parent = Path(tempfile.gettempdir() if work is None else work)
    return parent / f"team5-library-{digest}"


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    lock = FileLock(folder / LOCK_NAME)
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise StorageError(f"{folder}: another build is at work here. Wait for its end.") from error
    with lock:
        yield


def _chunk_size(sources: Sequence[Input]) -> int:
    wanted = sum(source.estimated_records() for source in sources) // _CHUNKS_WANTED
    # Molblocks are long, and a chunk of each worker is in memory.
    is_long = any(source.kind == "sdf" for source in sources)
    most = _MIN_RECORDS_PER_CHUNK if is_long else _MAX_RECORDS_PER_CHUNK
    return min(max(wanted, _MIN_RECORDS_PER_CHUNK), most)


def _read_inputs(
    sources: Sequence[Input],
    folder: Path,
    records_per_chunk: int,
    *,
    trust_columns: bool,
    n_workers: int,
    record_timeout_s: float,
    show_progress: bool,
) -> list[Run]:
    """Make the runs that are not there yet, and return all of them in order."""
    read_path = folder / _READ_NAME
    if not read_path.exists():
        finished = finished_chunks(folder)
        n_chunks = 0

        def unfinished() -> Iterator[Chunk]:
            nonlocal n_chunks
            for chunk in iter_chunks(sources, records_per_chunk, trust_columns=trust_columns):
                n_chunks += 1
                if chunk.number not in finished:
                    yield chunk

        done = do_chunks(
            unfinished(), RunMaker(folder),
            n_workers=n_workers, record_timeout_s=record_timeout_s,
        )  # fmt: skip
        with closing(done), _progress("Standardising", show_progress) as show:
            n_records = 0
            for chunk in done:
                n_records += chunk.n_records
                show(chunk.share_read, n_records)
        try:
            check_unchanged(sources)
        except DataError:
            shutil.rmtree(folder)
            raise
        write_whole(read_path, to_json({"n_chunks": n_chunks}, read_path.name))
    n_chunks = read_object(read_path, f"Delete it. {_GO_ON}")["n_chunks"]
    return [open_run(run_path(folder, number)) for number in range(n_chunks)]


def _progress(title: str, show: bool) -> Any:
    return progress(title) if show else nullcontext(_show_nothing)


def _show_nothing(share: float, n_records: int) -> None:
    pass


def _merge(
    runs: Sequence[Run], folder: Path, limits: MergeLimits, show_progress: bool
) -> list[Part]:
    parts_folder = folder / "parts"
    parts_folder.mkdir(exist_ok=True)
    show: Show
    with _progress("Merging", show_progress) as show:
        return merge(runs, parts_folder, limits, lambda share: show(share, 0))


def _describe(
    sources: Sequence[Input],
    plan: dict[str, Any],
    runs: Sequence[Run],
    parts: Sequence[Part],
    limits: MergeLimits,
) -> Manifest:
    dropped = Dropped()
    n_records = [0] * len(sources)
    for run in runs:
        dropped.update(run.facts["dropped"])
        n_records[run.facts["source_index"]] += run.facts["n_records"]
    n_rows = sum(part.n_rows for part in parts)
    if not n_rows:
        raise DataError(
            f"{', '.join(source.path for source in sources)}: no structure that can be used among "
            f"{sum(n_records)} records.\n{format_dropped(dropped.to_dict())}".rstrip()
        )
    return Manifest(
        n_rows=n_rows,
        rows_per_group=limits.per_group,
        parts=tuple(parts),
        inputs=tuple(
            {"path": source.path, "size": source.size, "sha256": source.sha256, "n_records": n}
            for source, n in zip(sources, n_records, strict=True)
        ),
        trust_columns=plan["trust_columns"],
        made_with=plan["made_with"],
        n_records=sum(n_records),
        n_merged=sum(n_records) - sum(dropped.counts.values()) - n_rows,
        dropped=dropped.to_dict(),
    )


def _publish(parts_folder: Path, output: Path, manifest: Manifest) -> None:
    """Put the parts in place and then the manifest, which makes them a library."""
    manifest_path = output / MANIFEST_NAME
    if manifest_path.exists():
        manifest_path.unlink()
    if output.exists():
        names = {part.file for part in manifest.parts}
        for old in list(output.glob("part-*.parquet")):
            if old.name not in names:
                old.unlink()
    for part in manifest.parts:
        made, target = parts_folder / part.file, output / part.file
        if is_remote(output):
            with made.open("rb") as source, target.open("wb") as destination:
                shutil.copyfileobj(source, destination, 1 << 20)
        elif made.exists():  # else an earlier call got this far
            shutil.move(made, target)
    if is_remote(output):
        manifest_path.write_bytes(manifest.to_bytes())
    else:
        write_whole(manifest_path, manifest.to_bytes())
