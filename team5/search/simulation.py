"""simulate_file: the spectra of many structures, predicted in parallel, as one spectral library."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import asdict, dataclass, fields, replace
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import torch

import team5
from team5.chemistry.adducts import check_adduct, parse_adduct
from team5.chemistry.molecule import Molecule
from team5.data.collision_energy import parse_collision_energy
from team5.data.conditions import Conditions
from team5.data.readers import check_exists
from team5.data.spectrum import Spectrum
from team5.errors import ConfigError, MoleculeError
from team5.inference.engine import adduct_of, iter_mixed
from team5.inference.matches import to_simulation
from team5.inference.results import Simulation
from team5.registry.roots import find_checkpoints
from team5.runtime.progress import progress
from team5.runtime.storage import sha256, storage_errors, writing_whole
from team5.runtime.workers import OnItem, work_in_processes
from team5.search.checkpoint import Checkpoint, open_checkpoint
from team5.search.chunks import Result, SearchSettings, Tools, load_version
from team5.search.engines import default_workers
from team5.search.reading import UNANSWERABLE, Candidate, Report, iter_candidates
from team5.search.search import make_tools
from team5.search.spectra import LeftOut, count_reasons
from team5.search.structures import TargetStructures
from team5.search.writers import (
    SPECTRA_ENDINGS,
    check_output_path,
    is_number,
    write_left_out,
    write_spectra,
)

CHUNK_SIZE = 32
_FORMAT = 1
_STRUCTURE_TIMEOUT_S = 600.0
_SCHEMA = pa.schema(
    [
        ("name", pa.string()),
        ("smiles", pa.string()),
        ("mzs", pa.list_(pa.float64())),
        ("intensities", pa.list_(pa.float64())),
        ("formulas", pa.list_(pa.string())),
        ("formula", pa.string()),
        ("adduct", pa.string()),
        ("precursor_mz", pa.float64()),
        ("collision_energy", pa.string()),
        ("version", pa.string()),
        ("version_hash", pa.string()),
        ("notes", pa.list_(pa.string())),
    ]
)


@dataclass(frozen=True, slots=True)
class SimulationSettings:
    """Conditions under which each structure is simulated: every adduct with every energy.

    Attributes
    ----------
    adducts, energies : tuple of str
        Without adducts the usual one of the structure; without energies none is stated.
    instrument_type : str or None
    """

    adducts: tuple[str, ...] = ()
    energies: tuple[str, ...] = ()
    instrument_type: str | None = None

    def __post_init__(self) -> None:
        for adduct in self.adducts:
            parse_adduct(adduct)
        for energy in self.energies:
            if parse_collision_energy(energy).value is None:
                raise ConfigError(
                    f"energies={energy}: not understood. Give numbers in eV, or 35 NCE.",
                    argument="energies",
                )

    def conditions(self) -> list[Conditions]:
        """Return the conditions of the spectra of one structure."""
        energies: list[float | str | None] = [
            float(energy) if is_number(energy) else energy for energy in self.energies
        ]
        return [
            Conditions(adduct, None, energy, self.instrument_type)
            for adduct in self.adducts or (None,)
            for energy in energies or [None]
        ]


@dataclass(frozen=True, slots=True)
class SimulationSummary:
    """Counts of structures and of spectra written, and of what was left out, by reason."""

    n_structures: int
    n_spectra: int
    left_out: Counter[str]


@dataclass(frozen=True, slots=True)
class _Batch:
    number: int
    structures: tuple[Candidate, ...]
    left_out: tuple[LeftOut, ...] = ()


class Simulator:
    """A version, loaded once in each worker."""

    def __init__(self, tools: Tools, settings: SimulationSettings) -> None:
        self._conditions = settings.conditions()
        self._model = load_version(tools)

    def simulate(self, batch: _Batch, on_structure: OnItem = lambda index: None) -> Result:
        """Simulate the structures of a batch."""
        left_out = list(batch.left_out)
        questions: list[tuple[Molecule, list[Spectrum]]] = []
        names: list[str | None] = []
        for index, structure in enumerate(batch.structures):
            on_structure(index)
            try:
                molecule = self._model.encodings.parse(structure.smiles)
                blanks, faults = self._blanks(molecule)
            except MoleculeError as error:
                blanks, faults = [], [str(error)]
            name = structure.name or structure.smiles
            left_out += [LeftOut(0, name, fault, structure.place) for fault in faults]
            if blanks:
                questions.append((molecule, blanks))
                names.append(structure.name)
        rows: list[list[dict[str, Any]]] = [[] for _ in questions]
        for scored in iter_mixed(self._model, questions, self._model.encodings):
            for index, blank in enumerate(questions[scored.index][1]):
                simulation = to_simulation(self._model, scored, blank, index)
                row = {field.name: getattr(simulation, field.name) for field in fields(simulation)}
                rows[scored.index].append({"name": names[scored.index], **row})
        table = pa.Table.from_pylist(list(chain.from_iterable(rows)), schema=_SCHEMA)
        return Result(batch.number, len(batch.structures), table, tuple(left_out))

    def _blanks(self, molecule: Molecule) -> tuple[list[Spectrum], list[str]]:
        """Return a spectrum per condition that the structure can be measured under, and faults."""
        blanks, faults = [], []
        for conditions in self._conditions:
            # One peak of no meaning: the prediction does not look at it.
            blank = conditions.spectrum([100.0], [1.0])
            try:
                check_adduct(molecule, adduct_of(blank, molecule))
                blanks.append(blank)
            except UNANSWERABLE as error:
                adduct = f"{conditions.adduct}: " if conditions.adduct else ""
                faults.append(f"{adduct}{error}")
        return blanks, faults


def simulate_file(
    structures: str | Path,
    output: str | Path,
    settings: SimulationSettings,
    *,
    version: str | None = None,
    root: str | Path | None = None,
    device: str = "auto",
    n_workers: int | None = None,
    resume: bool = False,
    show_progress: bool = False,
    report: Report = lambda text: None,
) -> SimulationSummary:
    """Simulate every structure of a file under all conditions, into a library by its ending.

    While it is at work, ``OUTPUT.parts/`` holds what is done, which ``resume=True`` goes on from.

    Parameters
    ----------
    structures : path
        What `iter_candidates` reads.
    output : path
        ``.msp``, ``.mgf``, or ``.txt`` for mzSpecLib text.
    n_workers : int, optional
        Processes; by default one per core, or one on an accelerator.
    report : callable
        Gets a line for each structure that cannot be read.

    Raises
    ------
    ConfigError
        If the output cannot be written, or there is an interrupted run and not ``resume=True``.
    WorkerError
        If workers cannot begin; what is done is kept.
    """
    output = check_output_path(output, read_from=[str(structures)], endings=SPECTRA_ENDINGS)
    tools = make_tools(
        version, find_checkpoints(root), device, TargetStructures(), SearchSettings()
    )
    source = Path(structures)
    check_exists(source)
    plan = {
        "format": _FORMAT, "team5": team5.__version__, "version": tools.version,
        "version_hash": tools.version_hash,
        "structures": {"name": source.name, "sha256": sha256(source)},
        **{key: list(v) if isinstance(v, tuple) else v for key, v in asdict(settings).items()},
        "chunk_size": CHUNK_SIZE,
    }  # fmt: skip
    with open_checkpoint(output, plan, resume=resume) as checkpoint:
        read = (candidate for candidate, _ in iter_candidates(source, report=report))
        make_work = partial(_make_work, tools, settings)
        n_workers = n_workers or default_workers(device)
        _run(read, checkpoint, make_work, n_workers, show_progress)
        left_out = count_reasons(checkpoint.left_out())
        with writing_whole(output) as staged, storage_errors(output):
            n_spectra = write_spectra(_simulations(checkpoint), staged, output.suffix.lower())
        write_left_out(checkpoint.left_out(), output, checkpoint.folder)
        n_structures = sum(checkpoint.finished.values())
        checkpoint.remove()
    return SimulationSummary(n_structures, n_spectra, left_out)


def _run(
    structures: Iterable[Candidate],
    checkpoint: Checkpoint,
    make_work: Callable[[], Callable[[_Batch, OnItem], Result]],
    n_workers: int,
    show_progress: bool,
) -> None:
    done = work_in_processes(
        _unfinished(iter(structures), checkpoint),
        make_work,
        n_workers=n_workers,
        leave_out=_without,
        item_timeout_s=_STRUCTURE_TIMEOUT_S,
    )
    before = sum(checkpoint.finished.values())
    with (
        progress("Simulating", None, unit="structures", done=before, show=show_progress) as job,
        closing(done),
    ):
        checkpoint.keep((result for _, result in done), job.advance)


def _unfinished(structures: Iterator[Candidate], checkpoint: Checkpoint) -> Iterator[_Batch]:
    number = 0
    while batch := tuple(islice(structures, CHUNK_SIZE)):
        if number not in checkpoint.finished:
            yield _Batch(number, batch)
        number += 1


def _make_work(tools: Tools, settings: SimulationSettings) -> Callable[[_Batch, OnItem], Result]:
    torch.set_num_threads(1)
    return Simulator(tools, settings).simulate


def _without(batch: _Batch, index: int, reason: str) -> _Batch:
    structure = batch.structures[index]
    fault = LeftOut(0, structure.name or structure.smiles, reason, structure.place)
    return replace(
        batch,
        structures=batch.structures[:index] + batch.structures[index + 1 :],
        left_out=(*batch.left_out, fault),
    )


def _simulations(checkpoint: Checkpoint) -> Iterator[tuple[Simulation, str]]:
    names = [field.name for field in fields(Simulation)]
    for table in checkpoint.tables():
        for row in table.to_pylist():
            values = {name: row[name] for name in names}
            lists = {k: tuple(v) for k, v in values.items() if isinstance(v, list)}
            yield Simulation(**{**values, **lists}), row["name"] or ""
