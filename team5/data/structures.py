"""Structures that a version was trained on, for the controls of evaluate.py."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from team5.chemistry.molecule import Molecule, parse_smiles
from team5.data.readers.tables import read_texts
from team5.data.splits import check_folds
from team5.errors import DataError, MoleculeError


@dataclass(frozen=True, eq=False)
class TrainingStructures:
    """Structures of the train fold, and those withheld from training.

    Attributes
    ----------
    molecules : dict of str to Molecule
        Of the train fold, by InChIKey first block.
    held_out : frozenset of str
        InChIKey first blocks of structures in another fold.
    unreadable : tuple of str
        Reasons why SMILES cannot be used.
    """

    molecules: Mapping[str, Molecule]
    held_out: frozenset[str]
    unreadable: tuple[str, ...]


def read_training_structures(path: str | Path) -> TrainingStructures:
    """Read the structures that were trained on.

    Parameters
    ----------
    path : str or Path
        CSV or Parquet with the column ``smiles``; with ``fold``, its rows of fold ``train`` are
        read; ``inchikey14`` is computed where missing. Structures may repeat.

    Raises
    ------
    DataError
        If the file has no such column or no readable structure of the train fold, or a structure
        is in two folds.
    """
    path = Path(path)
    remedy = (
        "Give data.train=FILE, a CSV or Parquet table with smiles, and with fold where only some "
        "of the rows were trained on."
    )
    columns = read_texts(path, ["smiles"], optional=("fold", "inchikey14"), remedy=remedy)
    n_rows = len(columns["smiles"])
    folds = columns.get("fold", ["train"] * n_rows)
    stated_keys = columns.get("inchikey14", [""] * n_rows)
    molecules: dict[str, Molecule] = {}
    all_folds: list[tuple[str, str]] = []
    unreadable: list[str] = []
    # Rows of spectra repeat their structure; sorting fixes which SMILES is kept.
    for smiles, fold, key in sorted(set(zip(columns["smiles"], folds, stated_keys, strict=True))):
        if not fold:
            continue
        if fold == "train" or not key:
            try:
                molecule = parse_smiles(smiles)
                key = key or molecule.inchikey14
            except MoleculeError as error:
                unreadable.append(str(error))
                continue
            if fold == "train":
                molecules.setdefault(key, molecule)
        all_folds.append((key, fold))
    check_folds(all_folds, source=str(path))
    if not molecules:
        raise DataError(
            f"{path}: no readable structure of the train fold among {n_rows} rows. Give smiles, "
            "and fold=train where there is a fold."
        )
    held_out = {key for key, fold in all_folds if fold != "train"}
    return TrainingStructures(molecules, frozenset(held_out), tuple(unreadable))
