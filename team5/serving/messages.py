"""What the server and the process that owns the models say to each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from team5 import errors
from team5.data.records import Record
from team5.data.spectrum import Spectrum
from team5.errors import Team5Error, WorkerError
from team5.search.reading import Candidate


@dataclass(frozen=True, slots=True)
class Fault:
    """An error on its way between processes: its class by name, and its text."""

    type: str
    message: str

    @classmethod
    def of(cls, error: Exception) -> Fault:
        return cls(type(error).__name__, str(error))

    def to_error(self) -> Team5Error:
        """Return the error again; one that is none of team5's is a mistake of ours."""
        kind = getattr(errors, self.type, None)
        if isinstance(kind, type) and issubclass(kind, Team5Error):
            return kind(self.message)
        return WorkerError(f"{self.type}: {self.message}")


# To the worker.
@dataclass(frozen=True, slots=True)
class Ask:
    """Answer one item; ``question`` holds the arguments of `infer` as they came.

    All jobs of one request have the same ``caller``, who has one turn in each round.
    """

    job: int
    caller: int
    question: Mapping[str, Any]
    version: str | None = None


@dataclass(frozen=True, slots=True)
class Rank:
    """Rank the candidates of a file for one of its spectra; those at fault are left out."""

    job: int
    caller: int
    spectrum: Spectrum
    candidates: Sequence[Candidate]
    max_error: float | None = None
    version: str | None = None


@dataclass(frozen=True, slots=True)
class Cancel:
    """Nobody waits for this job any more."""

    job: int


@dataclass(frozen=True, slots=True)
class Load:
    """Load a version, and let it answer from then on where none is named."""

    version: str | None = None


# To the helper, and from it.
@dataclass(frozen=True, slots=True)
class Upload:
    """A file as a caller sent it."""

    name: str
    content: bytes


@dataclass(frozen=True, slots=True)
class Contents:
    """What uploads held: spectra with their places, candidates, and what was left out."""

    records: list[tuple[str, Record]]
    candidates: list[Candidate] | None
    left_out: list[str]


# From the worker.
@dataclass(frozen=True, slots=True)
class Loaded:
    """A version answers from now on where none is named."""

    version: str
    version_hash: str


@dataclass(frozen=True, slots=True)
class Refused:
    """A version was not taken; what answered before answers on."""

    version: str | None
    fault: Fault


@dataclass(frozen=True, slots=True)
class Answered:
    """The answer to a job as JSON, or why there is none; and what was left out, in words."""

    job: int
    json: bytes | None
    fault: Fault | None = None
    left_out: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Counted:
    """How many pairs a job has, with the isomers that were made for it."""

    job: int
    n_pairs: int


@dataclass(frozen=True, slots=True)
class Progress:
    """What one batch was, for the metrics; also a sign of life."""

    n_pairs: int
    n_jobs: int
    seconds: float
    versions: tuple[str, ...] = ()
