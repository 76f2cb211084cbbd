"""Batching of jobs from many callers.

A batch is limited by its work, pairs of a structure and a spectrum, and shared by all callers:
one with thousands of candidates takes many batches and delays nobody. A cancelled job
costs nothing from the next batch on.
"""

from __future__ import annotations

import json
import logging
import pickle
import time
from collections import deque
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

from team5.chemistry.molecule import Molecule
from team5.data.conditions import Conditions
from team5.data.spectrum import Spectrum
from team5.errors import ConfigError, MoleculeError, Team5Error
from team5.inference.engine import iter_mixed
from team5.inference.loading import LoadedModel
from team5.inference.question import Inputs, MoleculeScores, Question, make_questions
from team5.inference.results import Match, Simulation
from team5.search.ranking import ranking_answer, ranking_question
from team5.search.structures import CandidateSet
from team5.serving.channel import in_chunks
from team5.serving.messages import Answered, Ask, Counted, Fault, Piece, Progress, Rank

log = logging.getLogger(__name__)

# For how long questions of a job are prepared or its answer is encoded before others have their
# turn, and questions of all jobs prepared in one step.
_TURN_S = 0.01
_PREPARING_PER_STEP_S = 0.1
# Number of spectra that cost as much as encoding their structure.
_SPECTRA_PER_STRUCTURE = 8

# Growth of an answer in memory, or time, after which progress is reported to the server.
_REPORTED_BYTES = 1_000_000
_REPORTED_S = 0.5

Encode = Callable[[list[Any]], Iterable[bytes]]


@dataclass(slots=True)
class Job:
    """State of one item.

    Structures are parsed and checked, isomers generated for those without other references, all of
    them scored, and the results combined.
    """

    request: Ask | Rank
    model: LoadedModel
    preparing: Iterator[None] = field(init=False)
    questions: list[Question] | None = None
    encode: Encode = lambda _: ()
    left_out: list[str] = field(default_factory=list)
    scores: list[list[MoleculeScores]] = field(default_factory=list)
    units: Iterator[Unit] = field(default_factory=lambda: iter(()))
    n_waiting: int = 0
    chunks: Iterator[bytes] | None = None
    n_bytes: int = 0
    n_bytes_sent: int = 0
    reported_at: float = field(default_factory=time.perf_counter)
    impossible: dict[tuple[float, ...], tuple[float, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.preparing = self._prepare()

    def prepare_some(self) -> None:
        """Take some of the steps up to the questions; all of them are there when it has ended."""
        until = time.perf_counter() + _TURN_S
        for _ in self.preparing:
            if time.perf_counter() > until:
                return

    @property
    def is_scored(self) -> bool:
        return self.questions is not None and self.n_waiting == 0

    @property
    def n_pairs(self) -> int:
        """Pairs of a structure and a spectrum, with all that structures are compared with."""
        return sum(len(each.molecules) * len(each.spectra) for each in self.questions or ())

    @property
    def n_done(self) -> int:
        """Those of the pairs that are scored."""
        pairs = zip(self.questions or (), self.scores, strict=True)
        return sum(len(scores) * len(question.spectra) for question, scores in pairs)

    def keep(self, question: int, scores: MoleculeScores) -> None:
        """Keep the scores of one molecule; impossible peaks that many share are stored once."""
        if isinstance(match := scores.answer, Match):
            n_known = len(self.impossible)
            mzs = self.impossible.setdefault(match.impossible_mzs, match.impossible_mzs)
            scores = replace(scores, answer=replace(match, impossible_mzs=mzs))
            self.n_bytes += _size(match) + (len(self.impossible) - n_known) * 50 * len(mzs)
        elif isinstance(scores.answer, Simulation):
            self.n_bytes += 200 * len(scores.answer.mzs)
        self.scores[question].append(scores)
        self.n_waiting -= 1

    def answer(self) -> Iterable[bytes]:
        """Return the answer as pieces of JSON, once every molecule is scored."""
        return self.encode(
            [
                answer
                for question, scores in zip(self.questions or (), self.scores, strict=True)
                for answer in question.judge(self.model, scores)
            ]
        )

    def _prepare(self) -> Iterator[None]:
        """Make the questions, in steps between which others have their turn."""
        match self.request:
            case Rank() as request:
                questions = yield from self._ranking(request)
            case Ask() as request:
                questions = yield from self._questions(request)
        for number, question in enumerate(questions):
            while question.wanting:
                question = question.with_isomers()
                yield
            questions[number] = question
        self.scores = [[] for _ in questions]
        self.units = (
            Unit(self, number, index)
            for number, question in enumerate(questions)
            for index in range(len(question.molecules))
        )
        self.n_waiting = sum(len(question.molecules) for question in questions)
        self.questions = questions

    def _ranking(self, request: Rank) -> Generator[None, None, list[Question]]:
        """Make the question of a spectrum of a file."""
        spectra: list[Spectrum] = pickle.loads(request.query.spectra)  # noqa: S301  (pickled by us)
        candidates: CandidateSet = pickle.loads(request.query.candidates)  # noqa: S301
        parse = yield from self._parse_all(candidates.smiles)
        question, usable = yield from ranking_question(
            self.model,
            spectra,
            candidates.smiles,
            report=self.left_out.append,
            max_error=request.max_error,
            parse=parse,
        )
        self.encode = lambda matches: [
            _to_json(
                ranking_answer(
                    request.query.number, spectra, candidates, usable, question,
                    cast("list[Match]", matches), keep=request.keep,
                )
            )
        ]  # fmt: skip
        return [question]

    def _questions(self, request: Ask) -> Generator[None, None, list[Question]]:
        """Make the questions of an item."""
        arguments = pickle.loads(request.question)  # noqa: S301
        texts = []
        for key in ("smiles", "references"):
            value = arguments.get(key)
            texts += value if isinstance(value, list) else [value]
        parse = yield from self._parse_all(text for text in texts if isinstance(text, str))
        steps, many = make_questions(self.model, _to_inputs(arguments), parse)
        questions = []
        for question in steps:
            if question is not None:
                questions.append(question)
            yield
        self.encode = _list_to_json if many else lambda answers: [_to_json(answers[0].to_dict())]
        return questions

    def _parse_all(self, texts: Iterable[str]) -> Generator[None, None, Callable[[str], Molecule]]:
        """Parse structures one by one; return what gives them again, and what was wrong."""
        known: dict[str, Molecule | MoleculeError] = {}
        for text in texts:
            if text not in known:
                try:
                    known[text] = self.model.encodings.parse(text)
                except MoleculeError as error:
                    known[text] = error
            yield

        def parse(text: str) -> Molecule:
            molecule = known.get(text) if isinstance(text, str) else None
            if isinstance(molecule, MoleculeError):
                raise molecule
            return molecule or self.model.encodings.parse(text)

        return parse


@dataclass(frozen=True, slots=True)
class Unit:
    """One structure of one question of a job, the unit of batches."""

    job: Job
    question: int
    index: int

    @property
    def of(self) -> Question:
        assert self.job.questions is not None  # noqa: S101  (units are made from them)
        return self.job.questions[self.question]

    @property
    def work(self) -> float:
        return max(1.0, len(self.of.spectra) / _SPECTRA_PER_STRUCTURE)


class Turns:
    """Order of callers: who has had the least work is next, of equals who has waited longest."""

    def __init__(self) -> None:
        self._had: dict[int, tuple[float, int]] = {}  # work, and number of the last turn
        self._now = 0.0
        self._n_turns = 0

    def next(self, callers: Collection[int]) -> int:
        """Return who is next; newcomers count as having had what the last one had before."""
        self._had = {each: self._had.get(each, (self._now, 0)) for each in callers}
        return min(callers, key=self._had.__getitem__)

    def record(self, caller: int, work: float = 1.0) -> None:
        """Record a caller's turn."""
        self._n_turns += 1
        self._now, _ = self._had[caller]
        self._had[caller] = self._now + work, self._n_turns


class Batcher:
    """Turns jobs into answers, one batch at each step; sends `Counted`, `Answered`, `Progress`.

    Batches of more than ``batch_pairs`` are hardly faster on a CPU and make others wait.
    """

    def __init__(self, send: Callable[[Any], None], batch_pairs: int) -> None:
        self._send = send
        self._batch_pairs = batch_pairs
        self._jobs: dict[int, Job] = {}  # in the order they came
        self._prepared, self._scored = Turns(), Turns()

    def __len__(self) -> int:
        return len(self._jobs)

    def add(self, request: Ask | Rank, model: LoadedModel) -> None:
        """Add a job."""
        self._jobs[request.job] = Job(request, model)

    def cancel(self, job: int) -> None:
        """Drop a job, if it is there."""
        self._jobs.pop(job, None)

    def step(self) -> None:
        """Prepare some questions, score one batch, answer complete jobs."""
        started = time.perf_counter()
        self._prepare()
        batch = self._next_batch()
        for model in {id(unit.job.model): unit.job.model for unit in batch}.values():
            self._score(model, [unit for unit in batch if unit.job.model is model])
        for job in {id(unit.job): unit.job for unit in batch}.values():
            is_larger = job.n_bytes > job.n_bytes_sent + _REPORTED_BYTES
            if is_larger or started > job.reported_at + _REPORTED_S:
                job.n_bytes_sent, job.reported_at = job.n_bytes, started
                self._send(Counted(job.request.job, job.n_pairs, job.n_bytes, job.n_done))
        for job in [job for job in self._jobs.values() if job.is_scored]:
            self._guarded(job, lambda job=job: self._send_some(job))  # type: ignore[misc]
        n_jobs = len({id(unit.job) for unit in batch})
        self._send(Progress(len(batch), n_jobs, time.perf_counter() - started))

    def _prepare(self) -> None:
        """Prepare questions of each caller in turn."""
        until = time.perf_counter() + _PREPARING_PER_STEP_S
        waiting = _by_caller(job for job in self._jobs.values() if job.questions is None)
        while waiting and time.perf_counter() < until:
            caller = self._prepared.next(waiting)
            self._prepared.record(caller)
            job = waiting[caller][0]
            self._guarded(job, lambda job=job: self._prepare_some(job))  # type: ignore[misc]
            if job.questions is not None or job.request.job not in self._jobs:
                waiting[caller].popleft()
            if not waiting[caller]:
                del waiting[caller]

    def _prepare_some(self, job: Job) -> None:
        job.prepare_some()
        if job.questions is not None:
            self._send(Counted(job.request.job, job.n_pairs))

    def _next_batch(self) -> list[Unit]:
        """Return units that make a batch: half of it in turns, the rest of the oldest jobs.

        In turns alone, a caller of a thousand candidates would wait for every small one that comes
        while it is under way; the oldest first, every small one would wait for it.
        """
        batch: list[Unit] = []
        ready = [job for job in self._jobs.values() if job.questions is not None]
        left = self._take_turns(_by_caller(ready), self._batch_pairs / 2, batch)
        left += self._batch_pairs / 2
        for job in ready:
            while left > 0 and (unit := next(job.units, None)) is not None:
                batch.append(unit)
                left -= unit.work
            if left <= 0:
                break
        return batch

    def _take_turns(self, waiting: dict[int, deque[Job]], left: float, batch: list[Unit]) -> float:
        """Add units of the callers in turn, while there is room; return what is left of it."""
        while waiting and left > 0:
            caller = self._scored.next(waiting)
            unit = _next_unit(waiting[caller])
            if unit is None:
                del waiting[caller]
                continue
            self._scored.record(caller, unit.work)
            batch.append(unit)
            left -= unit.work
        return left

    def _score(self, model: LoadedModel, units: Sequence[Unit]) -> None:
        work = [(unit.of.molecules[unit.index], unit.of.spectra) for unit in units]
        try:
            for scored in iter_mixed(model, work, model.encodings):
                unit = units[scored.index]
                unit.job.keep(unit.question, unit.of.score(model, scored, unit.index))
        except Exception as error:  # noqa: BLE001  (one job must not take the others with it)
            self._score_apart(model, units, error)

    def _score_apart(self, model: LoadedModel, units: Sequence[Unit], error: Exception) -> None:
        """After a bug, score the remaining units job by job to find the job at fault."""
        jobs = {id(unit.job): unit.job for unit in units}
        if len(jobs) == 1:
            (job,) = jobs.values()
            log.error("a request could not be computed", exc_info=error)
            self._fail(job, error)
            return
        for job in jobs.values():
            scored = {(n, each.index) for n, scores in enumerate(job.scores) for each in scores}
            missing = [
                unit
                for unit in units
                if unit.job is job and (unit.question, unit.index) not in scored
            ]
            if missing:
                self._score(model, missing)

    def _send_some(self, job: Job) -> None:
        """Send the next part of a scored job's answer."""
        number = job.request.job
        if job.chunks is None:
            job.chunks = in_chunks(job.answer())
        until = time.perf_counter() + _TURN_S
        for chunk in job.chunks:
            self._send(Piece(number, chunk))
            if time.perf_counter() > until:
                return
        del self._jobs[number]
        self._send(Answered(number, left_out=tuple(job.left_out)))

    def _guarded(self, job: Job, step: Callable[[], None]) -> None:
        try:
            step()
        except Team5Error as error:
            self._fail(job, error)
        except RecursionError:
            self._fail(job, ConfigError("the item is nested too deeply. Give plain lists."))
        except Exception as error:
            # One job must not take the others with it.
            log.exception("a request could not be computed")
            self._fail(job, error)

    def _fail(self, job: Job, error: Exception) -> None:
        if self._jobs.pop(job.request.job, None) is not None:
            self._send(Answered(job.request.job, Fault.of(error), tuple(job.left_out)))


def _by_caller(jobs: Iterable[Job]) -> dict[int, deque[Job]]:
    callers: dict[int, deque[Job]] = {}
    for job in jobs:
        callers.setdefault(job.request.caller, deque()).append(job)
    return callers


def _next_unit(jobs: deque[Job]) -> Unit | None:
    while jobs:
        unit = next(jobs[0].units, None)
        if unit is not None:
            return unit
        jobs.popleft()
    return None


def _size(match: Match) -> int:
    """Return the approximate bytes of a match, as an object plus as JSON."""
    return 1500 + sum(
        600 + 20 * len(peak.atoms) + 80 * len(peak.broken_bonds) for peak in match.peaks
    )


def _to_json(answer: dict[str, Any]) -> bytes:
    return json.dumps(answer, allow_nan=False).encode()


def _list_to_json(answers: Sequence[Match | Simulation]) -> Iterator[bytes]:
    """Yield a list of answers; peaks that no structure can give are listed with the first.

    Thousands of candidates with thousands of such peaks are hundreds of megabytes otherwise.
    """
    first = getattr(answers[0], "impossible_mzs", ())
    for number, answer in enumerate(answers):
        plain = answer
        is_same = number > 0 and isinstance(answer, Match) and answer.impossible_mzs == first
        if is_same and first:
            plain = replace(answer, impossible_mzs=None)  # type: ignore[arg-type]
        yield (b", " if number else b"[") + _to_json(plain.to_dict())
    yield b"]"


def _to_inputs(item: Mapping[str, Any]) -> Inputs:
    """Return an item as the arguments of `infer`: spectra become Spectrum objects."""
    names = Conditions.__dataclass_fields__
    conditions = Conditions(**{name: value for name, value in item.items() if name in names})
    arguments = {"smiles": None, **{name: v for name, v in item.items() if name not in names}}
    if arguments.get("spectra") is not None:
        arguments["spectra"] = _spectra(arguments["spectra"])
    return Inputs(**arguments, conditions=conditions)


def _spectra(values: Any) -> list[Spectrum]:
    if not isinstance(values, list) or not all(isinstance(value, Mapping) for value in values):
        raise ConfigError(
            "spectra= takes a list of objects with mzs and intensities, and adduct, precursor_mz, "
            "collision_energy or instrument_type if they are known."
        )
    known = set(Spectrum.__dataclass_fields__)
    spectra = []
    for number, value in enumerate(values, start=1):
        if unknown := sorted(map(str, value.keys() - known)):
            raise ConfigError(f"spectra, number {number}: no key {', '.join(unknown)}.")
        fields = {"identifier": f"spectrum {number} of {len(values)}", **value}
        spectra.append(Spectrum(fields.pop("mzs", []), fields.pop("intensities", []), **fields))
    return spectra
