"""SpectrumDataModule: tables to loaders, no science."""

from __future__ import annotations

import logging
from collections.abc import Sequence, Set
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import lightning
import numpy as np
from torch.utils.data import DataLoader, Dataset
from torch.utils.data.distributed import DistributedSampler

from team5.chemistry.adducts import check_adduct, parse_adduct
from team5.chemistry.molecule import parse_smiles
from team5.chemistry.tokenizer import MoleculeTokenizer
from team5.constants import CANDIDATE_TOLERANCE_PPM, MAX_HEAVY_ATOMS
from team5.data.compounds import Compound, Measurement, read_compounds
from team5.data.dataset import (
    CompoundBatchSampler,
    CompoundDataset,
    PairDataset,
    Query,
    QueryDataset,
    collate_held,
)
from team5.data.decoys import CandidatePool, choose_decoys
from team5.data.download import cache_folder, massbank_archive
from team5.data.licenses import DEFAULT_LICENSES
from team5.data.peaks import Peaks, peaks_path
from team5.data.preparation import format_skipped, prepare_table
from team5.data.splits import assign_folds, check_folds, read_folds
from team5.data.training_table import (
    counts,
    distinct,
    folds_hash,
    read_training_table,
    table_hash,
    text,
)
from team5.errors import AdductError, ConfigError, DataError, MoleculeError

if TYPE_CHECKING:
    import polars as pl

Kind = Literal["demo", "file", "massbank"]
_log = logging.getLogger(__name__)
# Of one validation query's candidates, how many of the pool are looked at.
_MAX_NEAR = 2_000
_DECOYS_PER_DRAWN = 3


class SpectrumDataModule(lightning.LightningDataModule):
    """Spectra of a source, split into folds, as loaders for training and validation.

    Validation has two loaders: pairs (each spectrum with its own structure and with a decoy of
    the same mass, one to one, and what these are compared with) and rankings (one spectrum per
    compound with several candidates).

    Parameters
    ----------
    kind : {"demo", "file", "massbank"}
        The built-in computed spectra, a file or folder of one's own, or the MassBank release.
    path : path, optional
        For ``file``: anything team5 reads.
    archive : path, optional
        For ``massbank``: a release archive at hand; otherwise it is downloaded once.
    folds : path, optional
        Table with ``inchikey14`` and ``fold``. Otherwise the table's own folds, or a split by
        structural cluster.
    pool : path, optional
        Candidate structures for decoys; otherwise those of the data set itself.
    licenses : list of str
        Records under other licences are left out.
    batch_size : int
        Compounds in a batch.
    max_spectra, val_max_spectra : int
        Spectra of a compound in one epoch, drawn by seed; validation takes the same each time.
    n_candidates : int
        Candidates of a validation ranking, the own structure included.
    n_references : int
        Other molecules of its mass that a validation structure and its decoys are compared with.
    train_compounds : int, optional
        Learn from this many compounds only, drawn by seed: for learning curves.
    train_decoys : int
        Other structures of its mass that each compound's spectra are to be told from in an epoch,
        none of them of a held-out fold; 0 to learn from the likelihood of the peaks alone.
    train_exchanged : int
        Spectra of other compounds in an epoch under which a compound and its decoys are to be
        equal, so that they are not told apart by their look.
    seed : int
        Of splits, decoys and draws.
    num_workers : int
    cache_dir : path, optional
        Where prepared tables are kept; the user's cache folder by default.
    """

    def __init__(
        self,
        kind: Kind,
        path: str | None = None,
        archive: str | None = None,
        folds: str | None = None,
        pool: str | None = None,
        licenses: Sequence[str] = DEFAULT_LICENSES,
        batch_size: int = 12,
        max_spectra: int = 8,
        val_max_spectra: int = 4,
        n_candidates: int = 16,
        n_references: int = 24,
        train_compounds: int | None = None,
        train_decoys: int = 0,
        train_exchanged: int = 0,
        seed: int = 0,
        num_workers: int = 1,
        cache_dir: str | None = None,
    ) -> None:
        super().__init__()
        if kind not in ("demo", "file", "massbank"):
            raise ConfigError(f"data.kind={kind!r} is unknown. Pass demo, file or massbank.")
        if kind == "file" and not path:
            raise ConfigError("data=file needs data.path=FILE: the spectra to learn from.")
        if path and kind != "file":
            raise ConfigError(f"data.path={path!r} needs data=file, not data={kind}.")
        if archive and kind != "massbank":
            raise ConfigError(f"data.archive={archive!r} needs data=massbank, not data={kind}.")
        self.kind = kind
        self.path = path
        self.archive = archive
        self.folds = folds
        self.pool = pool
        self.licenses = tuple(licenses)
        self.batch_size = batch_size
        self.max_spectra = max_spectra
        self.val_max_spectra = val_max_spectra
        self.n_candidates = n_candidates
        self.n_references = n_references
        self.train_compounds = train_compounds
        self.train_decoys = train_decoys
        self.train_exchanged = train_exchanged
        self.seed = seed
        self.num_workers = num_workers
        self.cache = Path(cache_dir) if cache_dir else cache_folder()
        self.tokenizer = MoleculeTokenizer()
        self.facts: dict[str, Any] = {}
        self._source: Path | None = None
        self._prepared_path: Path | None = None
        self._table_path: Path | None = None

    @property
    def is_computed(self) -> bool:
        """Whether the spectra are computed, not measured."""
        return self.kind == "demo"

    def prepare_data(self) -> None:
        """Download and prepare the table, once on each machine."""
        if self._prepared_path is None:
            self._prepared_path = self._prepare(progress=True)

    def source(self) -> Path:
        """Return the file or folder to learn from, of any format that team5 reads.

        A class of one's own overrides this to fetch or convert spectra; it is called once for each
        process, so that what is there already is best returned as it is.
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
        table = prepare_table(self._source, self.cache, licenses=self.licenses, progress=progress)
        if progress:
            _log.info("%s", format_skipped(table))
        return table.path

    def setup(self, stage: str | None = None) -> None:
        """Read the table, split it and choose decoys."""
        if self._table_path is not None:
            return
        # Other processes of a distributed run find what the first one has prepared.
        self._table_path = self._prepared_path or self._prepare(progress=False)
        table = self._with_folds(read_training_table(self._table_path))
        structures = table.select("inchikey14", "fold").unique()
        check_folds(structures["inchikey14"], structures["fold"], source=self._table_path.name)
        table, left_out = _trainable(table)
        pool = CandidatePool.read(self.pool) if self.pool else _own_pool(table)
        peaks = Peaks.open(peaks_path(self._table_path))
        train = read_compounds(table.filter(text("fold") == "train"), peaks)
        val = read_compounds(table.filter(text("fold") == "val"), peaks)
        if not train or not val:
            raise DataError(
                f"{self._table_path.name}: {len(train)} compounds to train on and {len(val)} to "
                "validate on. Give data.folds=FILE with both, or more compounds."
            )
        if self.train_compounds is not None:
            random = np.random.default_rng(self.seed)
            chosen = random.permutation(len(train))[: self.train_compounds]
            train = [train[i] for i in sorted(chosen)]
        self.train = train
        held_out = set(distinct(table.filter(text("fold") != "train"), "inchikey14"))
        self.decoys = (
            self._training_decoys(train, pool, held_out) if self.train_decoys > 0 else None
        )
        self.pairs, n_without = self._pair_queries(val, pool)
        self.references = self._references(self.pairs, pool)
        self.rankings = self._ranking_queries(val, pool)
        if not self.pairs:
            raise DataError(
                f"{self._table_path.name}: no validation spectrum has a decoy of its mass. "
                "Give data.pool=FILE with candidate structures."
            )
        used = [compound.inchikey14 for compound in train]
        sources = table.filter(text("inchikey14").is_in(used))
        self.facts = {
            "kind": self.kind,
            "source": self._source.name if self._source else self.kind,
            "table_sha256": table_hash(table),
            "folds_sha256": folds_hash(table),
            "computed": self.is_computed,
            "train_compounds": len(train),
            "train_spectra": sources.height,
            "train_decoys": self.train_decoys,
            "val_compounds": len(val),
            "val_pairs": 2 * len(self.pairs),
            "val_spectra_without_decoy": n_without,
            "left_out": left_out,
            "licenses": counts(sources, "license"),
            "contributors": counts(sources, "contributor"),
        }
        _log.info(
            "%d spectra of %d compounds to train on; %d pairs, %d rankings to validate on",
            sources.height,
            len(train),
            2 * len(self.pairs),
            len(self.rankings),
        )

    def _with_folds(self, table: pl.DataFrame) -> pl.DataFrame:
        import polars as pl

        if self.folds is None and table["fold"].null_count() == 0:
            return table
        if self.folds is not None:
            folds = read_folds(self.folds)
            structures = set(distinct(table, "inchikey14"))
            unknown = structures - set(folds)
            if len(unknown) == len(structures):
                raise DataError(
                    f"{self.folds}: none of the data set's structures has a fold. Give its own."
                )
            if unknown:
                _log.info("%d structures have no fold in %s: left out", len(unknown), self.folds)
        else:
            # One structure is written in several ways; which one is taken must not depend on order.
            written = table.select("inchikey14", "smiles").unique()
            texts = written.group_by(text("inchikey14")).agg(text("smiles").min())
            folds = assign_folds(
                dict(zip(texts["inchikey14"], texts["smiles"], strict=True)), seed=self.seed
            )
        fold = text("inchikey14").replace_strict(folds, default=None, return_dtype=pl.String)
        return table.with_columns(fold.cast(pl.Categorical).alias("fold")).filter(
            pl.col("fold").is_not_null()
        )

    def _pair_queries(
        self, compounds: Sequence[Compound], pool: CandidatePool
    ) -> tuple[list[Query], int]:
        rows = [
            (compound, compound.measurements[i])
            for position, compound in enumerate(compounds)
            for i in _draw(len(compound.measurements), self.val_max_spectra, self.seed, position)
        ]
        decoys = choose_decoys(
            [compound.inchikey14 for compound, _ in rows],
            [compound.exact_mass for compound, _ in rows],
            [measurement.identifier for _, measurement in rows],
            pool,
            seed=self.seed,
        )
        queries = [
            Query(measurement, (compound.smiles, decoy))
            for (compound, measurement), decoy in zip(rows, decoys, strict=True)
            if decoy is not None and _can_be_held(decoy, measurement)
        ]
        return queries, len(rows) - len(queries)

    def _references(self, pairs: Sequence[Query], pool: CandidatePool) -> dict[str, list[str]]:
        """Return, by own structure, other molecules of its mass; drawn as the decoys are."""
        taken: dict[str, set[str]] = {}
        for query in pairs:
            own, decoy = query.candidates
            taken.setdefault(own, {own}).add(decoy)
        references: dict[str, list[str]] = {}
        for position, (own, structures) in enumerate(taken.items()):
            keys = {parse_smiles(smiles).inchikey14 for smiles in structures}
            near = pool.near(parse_smiles(own).exact_mass, CANDIDATE_TOLERANCE_PPM)
            random = np.random.default_rng((self.seed, position, 3))
            drawn = references[own] = []
            for i in random.permutation(len(near)).tolist():
                if len(drawn) == self.n_references:
                    break
                smiles = near.smiles[i].as_py()
                if near.inchikey14s[i].as_py() not in keys and _is_cuttable(smiles):
                    drawn.append(smiles)
        return references

    def _ranking_queries(self, compounds: Sequence[Compound], pool: CandidatePool) -> list[Query]:
        queries = []
        for position, compound in enumerate(compounds):
            (chosen,) = _draw(len(compound.measurements), 1, self.seed, position)
            measurement = compound.measurements[chosen]
            others = self._others(compound, pool, (self.seed, position), self.n_candidates - 1)
            others = [smiles for smiles in others if _can_be_held(smiles, measurement)]
            if others:
                queries.append(Query(measurement, (compound.smiles, *others)))
        return queries

    def _training_decoys(
        self, compounds: Sequence[Compound], pool: CandidatePool, held_out: Set[str]
    ) -> list[list[str]]:
        # More than one epoch takes, so that epochs differ.
        n = _DECOYS_PER_DRAWN * self.train_decoys
        return [
            self._others(compound, pool, (self.seed, position, 2), n, held_out)
            for position, compound in enumerate(compounds)
        ]

    @staticmethod
    def _others(
        compound: Compound,
        pool: CandidatePool,
        key: tuple[int, ...],
        n: int,
        held_out: Set[str] = frozenset(),
    ) -> list[str]:
        """Return other structures of the mass: those of the same formula first, drawn by key.

        Structures of other formulas can be told by mass alone.
        """
        near = pool.near(compound.exact_mass, CANDIDATE_TOLERANCE_PPM)
        n_near = min(len(near), _MAX_NEAR)
        keys = near.inchikey14s.slice(0, n_near).to_pylist()
        formulas = near.formulas.slice(0, n_near).to_pylist()
        order = np.random.default_rng(key).permutation(n_near).tolist()
        order.sort(key=lambda i: formulas[i] != compound.formula)
        others: list[str] = []
        for i in order:
            if len(others) == n:
                break
            if keys[i] != compound.inchikey14 and keys[i] not in held_out:
                smiles = near.smiles[i].as_py()
                if _is_cuttable(smiles):
                    others.append(smiles)
        return others

    def train_dataloader(self) -> DataLoader[Any]:
        dataset = CompoundDataset(
            self.train,
            self.tokenizer,
            max_spectra=self.max_spectra,
            decoys=self.decoys,
            n_decoys=self.train_decoys,
            n_exchanged=self.train_exchanged,
            seed=self.seed,
        )
        trainer = self.trainer
        sampler = CompoundBatchSampler(
            [compound.n_characters for compound in self.train],
            self.batch_size,
            seed=self.seed,
            rank=trainer.global_rank if trainer else 0,
            world_size=trainer.world_size if trainer else 1,
        )
        return DataLoader(
            dataset,
            batch_sampler=sampler,
            collate_fn=collate_held,
            num_workers=self.num_workers,
            persistent_workers=self.num_workers > 0,
        )

    def val_dataloader(self) -> list[DataLoader[Any]]:
        pairs = PairDataset(self.pairs, self.references, self.tokenizer)
        rankings = QueryDataset(self.rankings, self.tokenizer)
        return [
            DataLoader(
                pairs,
                batch_size=1,
                sampler=self._share(pairs),
                collate_fn=collate_held,
                num_workers=self.num_workers,
                persistent_workers=self.num_workers > 0,
            ),
            DataLoader(
                rankings,
                batch_size=1,
                sampler=self._share(rankings),
                collate_fn=collate_held,
                num_workers=self.num_workers,
            ),
        ]

    def _share(self, dataset: Dataset[Any]) -> DistributedSampler[Any] | None:
        """Deal the items out to the processes of a distributed run; None where there is one."""
        trainer = self.trainer
        if trainer is None or trainer.world_size == 1:
            return None
        return DistributedSampler(
            dataset, num_replicas=trainer.world_size, rank=trainer.global_rank, shuffle=False
        )


def _draw(n: int, at_most: int, seed: int, position: int) -> list[int]:
    if n <= at_most:
        return list(range(n))
    random = np.random.default_rng((seed, position, 1))
    return sorted(random.choice(n, at_most, replace=False).tolist())


def _trainable(table: pl.DataFrame) -> tuple[pl.DataFrame, dict[str, int]]:
    """Leave out ions the model has no fragments for, and molecules too large to cut."""
    single = [name for name in distinct(table, "adduct") if _is_single(name)]
    ions = table.filter(text("adduct").is_in(single))
    too_large = [smiles for smiles in distinct(ions, "smiles") if not _is_cuttable(smiles)]
    usable = ions.filter(~text("smiles").is_in(too_large))
    return usable, {
        "several molecules or charges": table.height - ions.height,
        "too large": ions.height - usable.height,
    }


def _own_pool(table: pl.DataFrame) -> CandidatePool:
    """Return the data set's own structures as candidates."""
    structures = table.select("smiles", "inchikey14", "formula", "exact_mass").unique(
        maintain_order=True
    )
    return CandidatePool.from_structures(*structures.iter_columns())


def _is_single(adduct_name: str) -> bool:
    adduct = parse_adduct(adduct_name)
    return adduct.n_molecules == 1 and abs(adduct.charge) == 1


def _can_be_held(smiles: str, measurement: Measurement) -> bool:
    """Tell whether a structure is not too large and can form the ion of a spectrum."""
    if not _is_cuttable(smiles):
        return False
    if not any(count < 0 for _, count in measurement.adduct.composition):
        return True
    try:
        check_adduct(parse_smiles(smiles), measurement.adduct)
    except AdductError:
        return False
    return True


def _is_cuttable(smiles: str) -> bool:
    # Two characters a heavy atom at least would be wrong for chains, so only long text is parsed.
    if len(smiles) <= MAX_HEAVY_ATOMS:
        return True
    try:
        parse_smiles(smiles)
    except MoleculeError:
        return False
    return True
