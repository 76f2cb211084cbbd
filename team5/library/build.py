"""Building of libraries from lists of structures; an interrupted build resumes."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from team5.errors import ConfigError, DataError, StorageError
from team5.library.checkpoint import (
    LOCK_NAME,
    ChunkWriter,
    chunk_path,
    chunks_folder,
    facts_of,
    finished_chunks,
    is_made_from,
    make_plan,
    resume_or_begin,
)
from team5.library.inputs import (
    Chunk,
    Input,
    check_unchanged,
    chunk_size,
    find_inputs,
    iter_chunks,
)
from team5.library.manifest import BUILDING_NAME, MANIFEST_NAME, Manifest, read_manifest
from team5.library.sorting import DEFAULT_SIZES, PartSizes, sort_chunks
from team5.library.standardise import Dropped, format_dropped
from team5.runtime.progress import progress
from team5.runtime.storage import as_path, is_remote, sha256, storage_errors, write_whole
from team5.runtime.strict_json import read_object, to_json
from team5.runtime.workers import n_cores, work_in_processes

RECORD_TIMEOUT_S = 60.0
_READ_NAME = "read.json"
_GO_ON = "Run the same command to resume."


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
    sizes: PartSizes = DEFAULT_SIZES,
    show_progress: bool = False,
) -> Manifest:
    """Build a library of standardised, distinct structures sorted by exact mass.

    An interrupted build, even after a crash, resumes when it is called again with the same inputs.
    Memory does not grow with the number of structures. A refused build leaves nothing behind.

    Parameters
    ----------
    inputs : sequence of str or Path
        Lists of structures in the formats of `team5.data.readers.structures`, or folders of them;
        also on object storage.
    output : str or Path
        The library: a folder, created if need be, or a location on object storage.
    n_workers : int, optional
        Processes that standardise; all cores by default, 0 uses this process only.
    trust_columns : bool, default False
        Use ``smiles, inchikey14, formula, exact_mass`` of tables that have all four unchanged,
        rather than computing them.
    replace : bool, default False
        Replace a library, or an unfinished build, of other inputs. The old library
        stays until the new one is complete.
    work : str or Path, optional
        Local folder in which a subfolder holds the unfinished build; by default it is
        ``.building`` in the output, or among the system's temporary files if the output is on
        object storage.
    records_per_chunk : int, optional
        Size of a chunk; by default from the size of the inputs.
    record_timeout_s : float, default 60
        A structure that takes longer is left out.
    sizes : PartSizes
        Rows of row groups and parts.
    show_progress : bool, default False
        Show progress on stderr.

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
    n_workers = n_cores() if n_workers is None else n_workers
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
    build = _Build(sources, plan, place, folder, n_workers, record_timeout_s, sizes, show_progress)
    if (manifest := _finished_before(build, replace)) is not None:
        return manifest
    return _make(build, replace, records_per_chunk or chunk_size(sources))


def _make(build: _Build, replace: bool, records_per_chunk: int) -> Manifest:
    place, folder = build.place, build.folder
    is_new = not place.exists() or folder.exists()
    with storage_errors(place):
        if not is_remote(place):
            place.mkdir(parents=True, exist_ok=True)
        folder.mkdir(parents=True, exist_ok=True)
        with _locked(folder):
            records_per_chunk = resume_or_begin(folder, build.plan, replace, records_per_chunk)
            try:
                manifest = build.make_parts(records_per_chunk)
            except DataError:  # refused: nothing is left behind
                shutil.rmtree(folder, ignore_errors=True)
                if is_new and not is_remote(place) and not any(place.iterdir()):
                    place.rmdir()
                raise
            _publish(folder / "parts", place, manifest)
        shutil.rmtree(folder, ignore_errors=True)
    return manifest


def _finished_before(build: _Build, replace: bool) -> Manifest | None:
    """Return the existing library if it is the requested one."""
    place, folder = build.place, build.folder
    if (place / MANIFEST_NAME).exists():
        manifest = read_manifest(place)
        # One made by another release is as good, unless `replace` requests a new one.
        if is_made_from(manifest, build.plan) and (
            not replace or manifest.made_with == build.plan["made_with"]
        ):
            shutil.rmtree(folder, ignore_errors=True)
            return manifest
        if not replace:
            raise ConfigError(
                f"{place}: holds a library of other inputs or made otherwise. Choose another "
                "folder, or put this one in its place: --replace"
            )
    elif not folder.exists() and place.exists() and any(place.iterdir()):
        raise ConfigError(
            f"{place}: holds files and is no library. Choose a folder of its own for the library."
        )
    return None


@dataclass(frozen=True, slots=True)
class _Build:
    sources: Sequence[Input]
    plan: dict[str, Any]
    place: Path
    folder: Path
    n_workers: int
    record_timeout_s: float
    sizes: PartSizes
    show_progress: bool

    def make_parts(self, records_per_chunk: int) -> Manifest:
        """Write the parts of the library and its manifest into the work folder."""
        parts_folder = self.folder / "parts"
        if (parts_folder / MANIFEST_NAME).exists():  # only the end was interrupted
            return read_manifest(parts_folder)
        chunks = chunks_folder(self.folder, self.plan)
        n_chunks = self._standardise(chunks, records_per_chunk)
        facts = [facts_of(chunk_path(chunks, number)) for number in range(n_chunks)]
        shutil.rmtree(parts_folder, ignore_errors=True)
        parts_folder.mkdir()
        dropped = Dropped()
        n_records = [0] * len(self.sources)
        for chunk_facts in facts:
            dropped.update(chunk_facts["dropped"])
            n_records[chunk_facts["source_index"]] += chunk_facts["n_records"]
        n_dropped = sum(fault["count"] for fault in dropped.faults.values())
        if sum(n_records) == n_dropped:
            reasons = format_dropped(dropped.to_dict())
            raise DataError(
                f"{', '.join(source.path for source in self.sources)}: no structure that can be "
                f"used among {sum(n_records)} records.\n{reasons}".rstrip(),
                code="no_usable_structure",
            )
        n_kept = sum(n_records) - n_dropped
        with progress("Sorting", n_kept, unit="structures", show=self.show_progress) as job:
            parts = sort_chunks(chunks, parts_folder, self.sizes, job.update)
        n_rows = sum(part.n_rows for part in parts)
        manifest = Manifest(
            n_rows=n_rows,
            rows_per_group=self.sizes.per_group,
            parts=tuple(parts),
            inputs=tuple(
                {"path": source.path, "size": source.size, "sha256": source.sha256, "n_records": n}
                for source, n in zip(self.sources, n_records, strict=True)
            ),
            trust_columns=self.plan["trust_columns"],
            made_with=self.plan["made_with"],
            n_records=sum(n_records),
            n_merged=n_kept - n_rows,
            dropped=dropped.to_dict(),
        )
        write_whole(parts_folder / MANIFEST_NAME, manifest.to_bytes())
        return manifest

    def _standardise(self, folder: Path, records_per_chunk: int) -> int:
        """Process the remaining chunks; return the number of all chunks."""
        read_path = folder / _READ_NAME
        finished = finished_chunks(folder)
        if read_path.exists():
            n_chunks = int(read_object(read_path, f"Delete it. {_GO_ON}")["n_chunks"])
            if len(finished) == n_chunks:  # else a damaged one was taken out
                return n_chunks
        n_chunks = 0

        def unfinished() -> Iterator[Chunk]:
            nonlocal n_chunks
            chunks = iter_chunks(
                self.sources, records_per_chunk, trust_columns=self.plan["trust_columns"]
            )
            for chunk in chunks:
                n_chunks += 1
                if chunk.number not in finished:
                    yield chunk

        done = do_chunks(
            unfinished(), ChunkWriter(folder),
            n_workers=self.n_workers, record_timeout_s=self.record_timeout_s,
        )  # fmt: skip
        with (
            closing(done),
            progress("Standardising", 1.0, unit="records", show=self.show_progress) as job,
        ):
            n_records = 0
            for chunk in done:
                n_records += chunk.n_records
                job.update(chunk.share_read, count=n_records)
        check_unchanged(self.sources)
        write_whole(read_path, to_json({"n_chunks": n_chunks}, _READ_NAME))
        return n_chunks


def do_chunks(
    chunks: Iterable[Chunk], writer: ChunkWriter, *, n_workers: int, record_timeout_s: float
) -> Generator[Chunk]:
    """Process chunks in several processes, or in this one, and yield each when it is done."""
    if n_workers == 0:
        for chunk in chunks:
            writer.write(chunk)
            yield chunk
        return
    done = work_in_processes(
        chunks,
        writer.make_work,
        n_workers=n_workers,
        leave_out=Chunk.without,
        item_timeout_s=record_timeout_s,
    )
    with closing(done):
        for chunk, _ in done:
            yield chunk


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


def _publish(parts_folder: Path, output: Path, manifest: Manifest) -> None:
    """Move the parts into place and then the manifest, which completes the library."""
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
