"""Rankings of a file's spectra, one after the other while they are computed."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import AsyncGenerator, Sequence
from typing import Any

from team5.data.records import Record
from team5.data.spectrum import Spectrum
from team5.errors import ConfigError, Team5Error
from team5.search.reading import UNANSWERABLE, Candidate
from team5.serving.answers import error_detail
from team5.serving.backend import Backend
from team5.serving.items import check_atoms
from team5.serving.messages import Contents
from team5.serving.settings import Limits
from team5.serving.uploads import FileQuestion

# Spectra under way at once: while one is put together the next is computed.
_AHEAD = 3


def check_contents(contents: Contents, limits: Limits) -> None:
    """Refuse files that are beyond the limits.

    Raises
    ------
    ConfigError, MoleculeError
    """
    candidates = contents.candidates or ()
    if len(candidates) > limits.candidates:
        raise ConfigError(
            f"{len(candidates):,} candidates; at most {limits.candidates:,} are taken at once. "
            "Send several files."
        )
    for candidate in candidates:
        check_atoms(candidate.smiles, limits)


async def rank_lines(
    backend: Backend, contents: Contents, asked: FileQuestion, version: str | None, caller: int
) -> AsyncGenerator[bytes]:
    """Yield a line of JSON for each spectrum, and for each thing left out, with its place.

    What was left out when the files were read says in its text where it stands; its place is null.

    Raises
    ------
    Team5Error
        Before the first line, if no spectrum could be answered for the same reason.
    """
    waiting = iter(contents.records)
    under_way: deque[tuple[str, asyncio.Task[tuple[bytes, tuple[str, ...]]]]] = deque()

    def start_next() -> None:
        for where, record in waiting:
            candidates = _candidates(contents, record)
            if candidates is None:
                said = f"{where}: no SMILES. Send candidates to rank structures. Left out."
                texts.append((where, said))
                continue
            try:
                spectrum = asked.context.fill(record.spectrum)
            except UNANSWERABLE as error:
                texts.append((where, f"{where}: {error} Left out."))
                continue
            work = backend.rank(spectrum, candidates, asked.max_error, version, caller)
            under_way.append((where, asyncio.create_task(work)))
            return

    texts: list[tuple[str | None, str]] = [(None, text) for text in contents.left_out]
    try:
        for _ in range(_AHEAD):
            start_next()
        while under_way:
            where, task = under_way.popleft()
            try:
                ranking, left_out = await task
            except UNANSWERABLE as error:
                ranking, left_out = b"", (f"{error} Left out.",)
            start_next()
            texts += [(where, f"{where}, {text}") for text in left_out]
            for place, text in texts:
                yield _line({"place": place, "left_out": text})
            texts.clear()
            if ranking:
                yield b'{"place": ' + json.dumps(where).encode() + b", " + ranking[1:] + b"\n"
        for place, text in texts:
            yield _line({"place": place, "left_out": text})
    finally:
        for _, task in under_way:
            task.cancel()
        await asyncio.gather(*(task for _, task in under_way), return_exceptions=True)


def error_line(error: Team5Error) -> bytes:
    """Return the line that ends a stream which cannot go on."""
    return _line({"place": None, "error": error_detail(error)})


def spectrum_to_dict(place: str, record: Record) -> dict[str, Any]:
    """Return a spectrum of a file as POST /spectra/read shows it."""
    spectrum: Spectrum = record.spectrum
    return {
        "identifier": spectrum.identifier,
        "place": place,
        "mzs": spectrum.mzs.tolist(),
        "intensities": spectrum.intensities.tolist(),
        "precursor_mz": spectrum.precursor_mz,
        "adduct": spectrum.adduct,
        "collision_energy": spectrum.collision_energy,
        "instrument_type": spectrum.instrument_type,
        "ion_mode": spectrum.ion_mode,
        "smiles": record.smiles,
    }


def _candidates(contents: Contents, record: Record) -> Sequence[Candidate] | None:
    if contents.candidates is not None:
        return contents.candidates
    return None if record.smiles is None else [Candidate(record.smiles)]


def _line(value: dict[str, Any]) -> bytes:
    return json.dumps(value).encode() + b"\n"
