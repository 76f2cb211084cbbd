"""Messages between the server and its processes."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from team5 import errors
from team5.errors import Team5Error, WorkerError

# Of an error that quotes what a caller has sent.
_MAX_TEXT = 10_000


@dataclass(frozen=True, slots=True)
class Fault:
    """An error on its way between processes and to the caller."""

    type: str
    message: str
    code: str = WorkerError.code
    argument: str | None = None

    @classmethod
    def of(cls, error: Exception) -> Fault:
        text = str(error)
        if len(text) > _MAX_TEXT:
            text = f"{text[:_MAX_TEXT]}…"
        if isinstance(error, Team5Error):
            return cls(type(error).__name__, text, error.code, error.argument)
        return cls(type(error).__name__, text)

    def to_error(self) -> Team5Error:
        """Return the original error; any that is not a Team5Error is a bug."""
        kind = getattr(errors, self.type, None)
        if isinstance(kind, type) and issubclass(kind, Team5Error):
            return kind(self.message, code=self.code, argument=self.argument)
        return WorkerError(f"{self.type}: {self.message}")

    def to_dict(self, where: str | None = None) -> dict[str, Any]:
        """Return the error as a body has it; ``where`` is the item it is in."""
        place = ".".join(part for part in (where, self.argument) if part) or None
        return {**dataclasses.asdict(self), "where": place}


# To the worker. What callers have sent is pickled once, where it was checked, and only the worker
# looks at it again.
@dataclass(frozen=True, slots=True)
class Ask:
    """Answer one item; ``question`` holds the arguments of `infer` as they came, pickled.

    All jobs of one request have the same ``caller``, who has one turn in each round.
    """

    job: int
    caller: int
    question: bytes
    version: str | None = None


@dataclass(frozen=True, slots=True)
class Rank:
    """Rank the candidates of a query; the answer has ``keep`` of them, and not those at fault."""

    job: int
    caller: int
    query: Query
    keep: int
    max_error: float | None = None
    version: str | None = None


@dataclass(frozen=True, slots=True)
class Cancel:
    """Cancel a job that nobody waits for any more."""

    job: int


@dataclass(frozen=True, slots=True)
class Load:
    """Load a version, and make it the default."""

    version: str | None = None


# To the helper, and from it.
@dataclass(frozen=True, slots=True)
class Call:
    """Run a task, within seconds of processor time and bytes of memory.

    Its files are in ``folder``, which the server removes however the task ends.
    """

    task: str
    arguments: tuple[Any, ...]
    cpu_s: int
    n_bytes: int
    folder: str


@dataclass(frozen=True, slots=True)
class Query:
    """Spectra of a file that are judged together, and a CandidateSet, both pickled.

    Or why a spectrum is left out. Numbers are those of the spectra in the file; ``n_pairs`` are
    pairs of a structure and a spectrum.
    """

    number: int
    place: str
    numbers: tuple[int, ...] = ()
    spectra: bytes = b""
    candidates: bytes = b""
    n_pairs: int = 0
    left_out: str | None = None


@dataclass(frozen=True, slots=True)
class Contents:
    """Uploaded files: a query for each spectrum or group of them, and structures left out."""

    queries: list[Query]
    keep: int
    max_error: float | None
    left_out: list[str]

    @property
    def n_pairs(self) -> int:
        """Pairs of the largest query: of one are several under way at a time."""
        return max((query.n_pairs for query in self.queries), default=0)

    @property
    def n_bytes(self) -> int:
        """Memory that spectra and candidates take, each list of candidates once."""
        lists = {id(query.candidates): len(query.candidates) for query in self.queries}
        return sum(len(query.spectra) for query in self.queries) + sum(lists.values())


# From the worker.
@dataclass(frozen=True, slots=True)
class Loaded:
    """A version has been loaded and is the default from now on."""

    version: str
    version_hash: str


@dataclass(frozen=True, slots=True)
class Refused:
    """A version was refused; the previous one stays the default."""

    version: str | None
    fault: Fault


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a job's answer as JSON."""

    job: int
    json: bytes


@dataclass(frozen=True, slots=True)
class Answered:
    """The end of a job's answer, or why there is none; and what was left out, in words."""

    job: int
    fault: Fault | None = None
    left_out: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Counted:
    """Pairs of a job, with the isomers that were made for it, and how far it is.

    ``n_bytes`` is the memory that its answer takes so far, ``n_done`` the pairs that are scored.
    """

    job: int
    n_pairs: int
    n_bytes: int = 0
    n_done: int = 0


@dataclass(frozen=True, slots=True)
class Progress:
    """What one batch was, for the metrics; also a sign of life."""

    n_pairs: int
    n_jobs: int
    seconds: float
