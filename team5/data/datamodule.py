"""Lightning data module: from a source of spectra to loaders."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import lightning
import numpy as np
from torch.utils.data import DataLoader, Dataset
from torch.utils.data.distributed import DistributedSampler

from team5.chemistry.tokenizer import MoleculeTokenizer
from team5.data.compounds import read_compounds
from team5.data.dataset import (
    CompoundBatchSampler,
    CompoundDataset,
    PairDataset,
    QueryDataset,
    collate_items,
)
from team5.data.decoys import CandidatePool
from team5.data.download import cache_folder, massbank_archive
from team5.data.licenses import DEFAULT_LICENSES
from team5.data.peaks import Peaks, peaks_path
from team5.data.preparation import format_skipped, prepare_table
from team5.data.preprocess import FIRST_RULE
from team5.data.splits import FOLDS, check_folds
from team5.data.training_table import (
    counts,
    distinct,
    folds_hash,
    read_training_table,
    seen,
    structure_pool,
    table_hash,
    text,
    trainable,
    with_folds,
    with_part_held_out,
)
from team5.data.validation_set import draw_validation_set, training_decoys
from team5.errors import ConfigError, DataError
from team5.runtime.tables import counted, counted_spectra

Kind = Literal["demo", "file", "massbank"]
_MIN_COMPOUNDS = 20  # with fewer, neither the fit nor its figures mean anything

_log = logging.getLogger(__name__)


@dataclass(eq=False, repr=False)
class SpectrumDataModule(lightning.LightningDataModule):
    """Spectra of a source, split into folds, as loaders for training and validation.

    Validation has two loaders: pairs (each spectrum with its true structure and with one decoy of
    the same mass, and their references) and rankings (one spectrum per compound with several
    candidates).

    Parameters
    ----------
    kind : {"demo", "file", "massbank"}
        The built-in computed spectra, a file or folder of the user, or the MassBank release.
    path : path, optional
        For ``file``: anything team5 reads.
    archive : path, optional
        For ``massbank``: a local release archive; otherwise it is downloaded once.
    folds : path, optional
        Table with ``inchikey14`` and ``fold``. By default the folds of the data, or a split by
        structural cluster.
    pool : path, optional
        Candidate structures for decoys; by default those of the data set.
    isomer_decoys : int
        Isomers generated for each compound with fewer others of its mass in the pool, or without
        one in the data set; 0 for none.
    val_share : float
        Share of the compounds to validate on, if neither ``folds`` nor the data say which.
    licenses : list of str
        Licences of the records to use.
    batch_size : int
        Compounds per batch.
    max_spectra, val_max_spectra : int
        Spectra per compound and epoch, drawn by seed; the same each time for validation.
    n_candidates : int
        Candidates per validation ranking, including the true structure.
    n_references : int
        Other molecules of its mass as references of a validation structure and its decoys.
    cross_fold : int, optional
        Part of the structures of train and val, 0 to 4, to hold out: each part by one
        of five runs. Test is left out.
    train_compounds : int, optional
        Train on only so many compounds, drawn by seed: for learning curves.
    train_decoys : int
        Decoys per compound and epoch, none of a held-out fold; 0 to train on the likelihood
        of the peaks alone.
    train_exchanged : int
        Spectra of other compounds per epoch under which a compound and its decoys should score
        alike, so that no structure is preferred regardless of the spectrum.
    seed : int
        Of splits, decoys and draws.
    num_workers : int
    cache_dir : path, optional
        Folder of prepared tables; by default the user's cache folder.
    """

    kind: Kind
    path: str | None = None
    archive: str | None = None
    folds: str | None = None
    pool: str | None = None
    isomer_decoys: int = 0
    val_share: float = 0.05
    licenses: Sequence[str] = DEFAULT_LICENSES
    batch_size: int = 12
    max_spectra: int = 8
    val_max_spectra: int = 4
    n_candidates: int = 16
    n_references: int = 24
    cross_fold: int | None = None
    train_compounds: int | None = None
    train_decoys: int = 0
    train_exchanged: int = 0
    seed: int = 0
    num_workers: int = 1
    cache_dir: str | None = None

    def __post_init__(self) -> None:
        super().__init__()
        if self.kind not in ("demo", "file", "massbank"):
            raise ConfigError(f"data.kind={self.kind!r} is unknown. Pass demo, file or massbank.")
        if self.kind == "file" and not self.path:
            raise ConfigError("data=file needs data.path=FILE: the spectra to learn from.")
        if self.path and self.kind != "file":
            raise ConfigError(f"data.path={self.path!r} needs data=file, not data={self.kind}.")
        if self.archive and self.kind != "massbank":
            raise ConfigError(
                f"data.archive={self.archive!r} needs data=massbank, not data={self.kind}."
            )
        self.cache = Path(self.cache_dir) if self.cache_dir else cache_folder()
        self.tokenizer = MoleculeTokenizer()
        self.rule = FIRST_RULE
        self.facts: dict[str, Any] = {}
        self._source: Path | None = None
        self._prepared_path: Path | None = None
        self._table_path: Path | None = None

    @property
    def is_computed(self) -> bool:
        """Whether the spectra are computed, not measured."""
        return self.kind == "demo"

    def prepare_data(self) -> None:
        """Download and prepare the table, once per machine."""
        if self._prepared_path is None:
            self._prepared_path = self._prepare(progress=True)

    def source(self) -> Path:
        """Return the file or folder to train on, in any format that team5 reads.

        Users' classes override it to fetch or convert spectra. It is called once in each process,
        so it should reuse existing files.
        """
        if self.archive:
            return Path(self.archive)
        return massbank_archive() if self.kind == "massbank" else Path(str(self.path))

    def _prepare(self, *, progress: bool) -> Path:
        if self.kind == "demo":
            from team5.data.demo import COMPUTED_NOTICE, write_demo_table

            path = self.cache / f"demo-{self.seed}.parquet"
            write_demo_table(path, seed=self.seed)
            _log.info("Demo set: %s", COMPUTED_NOTICE)
            return path
        self._source = self.source()
        table = prepare_table(
            self._source, self.cache, licenses=tuple(self.licenses), progress=progress
        )
        if progress:
            _log.info("%s", format_skipped(table))
        return table.path

    def setup(self, stage: str | None = None) -> None:
        """Read the table, split it and choose decoys; ``stage`` is "fit" for a training."""
        if self._table_path is not None:
            return
        # Other processes of a distributed run read the table that the first one prepared.
        self._table_path = self._prepared_path or self._prepare(progress=False)
        table = read_training_table(self._table_path)
        table = with_folds(table, self.folds, seed=self.seed, val_share=self.val_share)
        if self.cross_fold is not None:
            table = with_part_held_out(table, self.cross_fold)
        structures = table.select("inchikey14", "fold").unique()
        check_folds(structures.iter_rows(), source=self._table_path.name)
        table, left_out = trainable(table)
        pool = structure_pool(
            table, self.isomer_decoys, CandidatePool.read(self.pool) if self.pool else None
        )
        self.candidate_pool = pool
        peaks = Peaks.open(peaks_path(self._table_path))
        train, val, self.held_out = (
            read_compounds(table.filter(text("fold") == fold), peaks, self.rule) for fold in FOLDS
        )
        if not train or not val or len(train) + len(val) < _MIN_COMPOUNDS:
            sizes = _too_few(len(train), len(val), is_training=stage == "fit")
            raise DataError(
                f"{self._source or self.kind}: {sizes}: give more, or other folds "
                "(data.folds=FILE)."
            )
        if self.train_compounds is not None:
            random = np.random.default_rng(self.seed)
            chosen = random.permutation(len(train))[: self.train_compounds]
            train = [train[i] for i in sorted(chosen)]
        self.train, self.val = train, val
        self._held_out_keys = set(distinct(table.filter(text("fold") != "train"), "inchikey14"))
        self.decoys = (
            training_decoys(train, pool, self._held_out_keys, n=self.train_decoys, seed=self.seed)
            if self.train_decoys > 0
            else None
        )
        validation = draw_validation_set(
            val, pool, max_spectra=self.val_max_spectra, n_candidates=self.n_candidates,
            n_references=self.n_references, seed=self.seed,
        )  # fmt: skip
        self.pairs, self.references = validation.pairs, validation.references
        self.rankings = validation.rankings
        if not self.pairs:
            raise DataError(
                f"{self._source or self.kind}: no validation spectrum has a decoy of its mass. "
                "Give data.pool=FILE with candidate structures, or data.isomer_decoys=8."
            )
        used = [compound.inchikey14 for compound in train]
        sources = table.filter(text("inchikey14").is_in(used))
        self.facts = {
            "kind": self.kind,
            "source": self._source.name if self._source else self.kind,
            "table_sha256": table_hash(table),
            "folds_sha256": folds_hash(table),
            "cross_fold": self.cross_fold,
            "computed": self.is_computed,
            "train_compounds": len(train),
            "train_spectra": sources.height,
            "train_decoys": self.train_decoys,
            "val_compounds": len(val),
            "val_pairs": 2 * len(self.pairs),
            "val_spectra_without_decoy": validation.n_without_decoy,
            "left_out": left_out,
            "licenses": counts(sources, "license"),
            "contributors": counts(sources, "contributor"),
            **seen(sources),
        }
        _log.info(
            "%s of %s to train on; %s, %s to validate on",
            counted_spectra(sources.height),
            counted(len(train), "compound"),
            counted(2 * len(self.pairs), "pair"),
            counted(len(self.rankings), "ranking"),
        )

    def structures(self, n: int) -> list[str]:
        """Draw at most n structures of the pool by seed, none of a held-out fold."""
        order = np.random.default_rng(self.seed).permutation(len(self.candidate_pool))
        drawn = order[: n + len(self._held_out_keys)]
        keys = self.candidate_pool.inchikey14s.take(drawn).to_pylist()
        smiles = self.candidate_pool.smiles.take(drawn).to_pylist()
        pairs = zip(smiles, keys, strict=True)
        return [each for each, key in pairs if key not in self._held_out_keys][:n]

    def train_dataloader(self) -> DataLoader[Any]:
        dataset = CompoundDataset(
            self.train,
            self.tokenizer,
            max_spectra=self.max_spectra,
            decoys=self.decoys,
            n_decoys=self.train_decoys,
            n_shuffled=self.train_exchanged,
            seed=self.seed,
        )
        trainer = self.trainer
        sampler = CompoundBatchSampler(
            [len(compound.smiles) for compound in self.train],
            self.batch_size,
            seed=self.seed,
            rank=trainer.global_rank if trainer else 0,
            world_size=trainer.world_size if trainer else 1,
        )
        return DataLoader(
            dataset,
            batch_sampler=sampler,
            collate_fn=collate_items,
            num_workers=self.num_workers,
            persistent_workers=self.num_workers > 0,
        )

    def val_dataloader(self) -> list[DataLoader[Any]]:
        pairs = PairDataset(self.pairs, self.references, self.tokenizer)
        rankings = QueryDataset(self.rankings, self.tokenizer)
        return [
            DataLoader(
                dataset,
                batch_size=1,
                sampler=self._share(dataset),
                collate_fn=collate_items,
                num_workers=self.num_workers,
                persistent_workers=self.num_workers > 0 and dataset is pairs,
            )
            for dataset in (pairs, rankings)
        ]

    def _share(self, dataset: Dataset[Any]) -> DistributedSampler[Any] | None:
        """Return a sampler of this process's share of the items; None for a single process."""
        trainer = self.trainer
        if trainer is None or trainer.world_size == 1:
            return None
        return DistributedSampler(
            dataset, num_replicas=trainer.world_size, rank=trainer.global_rank, shuffle=False
        )


def _too_few(n_train: int, n_val: int, *, is_training: bool) -> str:
    if is_training:
        return (
            f"{counted(n_train, 'compound')} to train on and {n_val} to validate on. At least "
            f"{_MIN_COMPOUNDS} are needed, some of them to validate on"
        )
    return (
        f"{counted(n_train + n_val, 'compound')} to evaluate on, {n_val} of them held out. At "
        f"least {_MIN_COMPOUNDS} are needed, some of them held out"
    )
