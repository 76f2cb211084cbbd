"""Folds by structure (InChIKey first block): reading, checking, assigning."""

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rdkit import Chem, DataStructs, rdBase

from team5.chemistry.fingerprints import morgan_bits
from team5.data.readers.tables import read_texts
from team5.errors import ConfigError, DataError

FOLDS = ("train", "val", "test")
N_CROSS_FOLDS = 5
CLUSTER_SIMILARITY = 0.45

_INCHIKEY14 = re.compile(r"[A-Z]{14}")
_COLUMNS = ("inchikey14", "fold")
_EXAMPLES = 3  # how many faulty rows or structures an error names


def read_folds(path: str | Path) -> dict[str, str]:
    """Read the fold of each structure.

    Parameters
    ----------
    path : str or Path
        CSV or Parquet table with the columns ``inchikey14`` and ``fold``; others are ignored.

    Returns
    -------
    dict of str to str
        Fold (``train``, ``val`` or ``test``) by InChIKey first block.

    Raises
    ------
    DataError
        If a column is missing, a value is wrong, or a structure is in two folds.
    """
    path = Path(path)
    remedy = f"Pass a CSV or Parquet table with the columns {', '.join(_COLUMNS)}."
    columns = read_texts(path, _COLUMNS, remedy=remedy)
    rows = list(zip(*(columns[name] for name in _COLUMNS), strict=True))
    faults = [
        f"row {number}: {inchikey14!r}, {fold!r}"
        for number, (inchikey14, fold) in enumerate(rows, start=1)
        if fold not in FOLDS or not _INCHIKEY14.fullmatch(inchikey14)
    ]
    if faults:
        raise DataError(
            f"{path}: {len(faults)} rows are no fold of a structure ({_some(faults)}). Give "
            f"inchikey14 as the 14 letters of an InChIKey's first block and fold as one of "
            f"{', '.join(FOLDS)}."
        )
    if not rows:
        raise DataError(f"{path}: no rows. Give one row per structure: inchikey14, fold.")
    check_folds(rows, source=str(path))
    return dict(rows)


def check_folds(rows: Iterable[tuple[str, str | None]], *, source: str = "the data set") -> None:
    """Raise if a structure is in two folds.

    Parameters
    ----------
    rows : iterable of (str, str or None)
        InChIKey first block and fold of each row; None for no fold.
    source : str
        Source of the rows, for the error.

    Raises
    ------
    DataError
        Naming structures in two folds, or folds other than train, val and test.
    """
    fold_of: dict[str, str] = {}
    leaks: dict[str, set[str]] = {}
    unknown: set[str] = set()
    for inchikey14, fold in rows:
        if fold is None:
            continue
        if fold not in FOLDS:
            unknown.add(fold)
        first = fold_of.setdefault(inchikey14, fold)
        if fold != first:
            leaks.setdefault(inchikey14, {first}).add(fold)
    if unknown:
        raise DataError(
            f"{source}: unknown folds {_some(sorted(map(repr, unknown)))}. "
            f"Use {', '.join(FOLDS)}, or leave the fold empty."
        )
    if leaks:
        examples = [f"{key} in {' and '.join(sorted(leaks[key]))}" for key in sorted(leaks)]
        raise DataError(
            f"{source}: {len(leaks)} structures stand in more than one fold "
            f"({_some(examples)}). Keep every structure in one fold."
        )


def assign_folds(
    structures: Mapping[str, str],
    *,
    val_share: float = 0.05,
    test_share: float = 0.07,
    similarity: float = CLUSTER_SIMILARITY,
    seed: int = 0,
) -> dict[str, str]:
    """Split structures into folds by structural cluster.

    Butina clustering: the structure with most neighbours forms the first cluster, then the next
    among the remaining ones. Whole clusters go to one fold, in an order drawn from `seed`: to test
    while it has room for them, then to val, the rest to train. Two structures of different clusters
    can still be more similar than `similarity`; only a structure and its cluster's centre are
    compared.

    The result does not depend on the order of the structures. All pairs are compared: 6,000
    structures take 3 s on one core, 50,000 about 4 minutes.

    Parameters
    ----------
    structures : mapping of str to str
        SMILES by InChIKey first block.
    val_share, test_share : float
        Share of the structures in each fold. A fold with a share above zero gets at least one
        cluster as long as train keeps one; val comes first.
    similarity : float
        Tanimoto similarity (Morgan, radius 2, 2,048 bits) from which two structures are
        neighbours.
    seed : int
        Draws which clusters are held out.

    Returns
    -------
    dict of str to str
        Fold by InChIKey first block, sorted by key.

    Raises
    ------
    ConfigError
        If the shares leave nothing to train on or `similarity` is outside 0 to 1.
    DataError
        If a SMILES cannot be parsed.

    References
    ----------
    Butina, J. Chem. Inf. Comput. Sci. 39:747 (1999).
    """
    if val_share < 0 or test_share < 0 or not val_share + test_share < 1:
        raise ConfigError(
            f"val_share {val_share} and test_share {test_share} leave nothing to train on. "
            "Give two shares from 0 to 1 whose sum is below 1."
        )
    if not 0 < similarity <= 1:
        raise ConfigError(f"similarity {similarity} is not above 0 and at most 1.")

    clusters = _butina_clusters(structures, similarity)
    # By a hash, so that the draw for one cluster does not depend on the others.
    clusters.sort(key=lambda cluster: _hash(seed, cluster[0]))
    folds = _deal(clusters, {"val": val_share, "test": test_share}, len(structures))
    fold_of = {key: fold for fold, members in folds.items() for key in chain(*members)}
    return {key: fold_of[key] for key in sorted(structures)}


def cross_folds(structures: Mapping[str, str]) -> dict[str, int]:
    """Divide structures into `N_CROSS_FOLDS` parts of similar size, keeping clusters whole.

    Parameters
    ----------
    structures : mapping of str to str
        SMILES by InChIKey first block.

    Returns
    -------
    dict of str to int
        Part, from 0, by InChIKey first block.
    """
    parts: list[list[str]] = [[] for _ in range(N_CROSS_FOLDS)]
    # The largest first, so that the parts become similar in size.
    for cluster in sorted(_butina_clusters(structures, CLUSTER_SIMILARITY), key=len)[::-1]:
        min(parts, key=len).extend(cluster)
    return {key: part for part, members in enumerate(parts) for key in members}


def _deal(
    clusters: Sequence[list[str]], shares: Mapping[str, float], n: int
) -> dict[str, list[list[str]]]:
    """Assign whole clusters to the folds, in their order."""
    room = {fold: round(shares[fold] * n) for fold in ("test", "val")}
    folds: dict[str, list[list[str]]] = {fold: [] for fold in FOLDS}
    for cluster in clusters:
        fold = next((fold for fold in room if len(cluster) <= room[fold]), "train")
        folds[fold].append(cluster)
        if fold in room:
            room[fold] -= len(cluster)
    # Small sets: a share of less than one structure, or clusters larger than a whole fold.
    for fold, share in shares.items():
        if share > 0 and not folds[fold] and len(folds["train"]) > 1:
            smallest = min(folds["train"], key=len)
            folds["train"].remove(smallest)
            folds[fold].append(smallest)
    return folds


def _butina_clusters(structures: Mapping[str, str], similarity: float) -> list[list[str]]:
    """Return clusters of InChIKey first blocks, each with its centre first."""
    keys = sorted(structures)
    neighbours = _neighbours(_fingerprints([structures[key] for key in keys], keys), similarity)
    # Ties go to the lower index, and so to the first key.
    order = sorted(range(len(neighbours)), key=lambda index: (-len(neighbours[index]), index))
    is_assigned = np.zeros(len(neighbours), dtype=bool)
    clusters = []
    for centre in order:
        if is_assigned[centre]:
            continue
        members = neighbours[centre][~is_assigned[neighbours[centre]]]
        is_assigned[members] = True
        clusters.append([keys[index] for index in (centre, *members[members != centre])])
    return clusters


def _neighbours(
    fingerprints: Sequence[DataStructs.ExplicitBitVect], similarity: float
) -> list[NDArray[np.int32]]:
    """Return for each fingerprint the ascending indices of its neighbours, itself included."""
    lower: list[list[NDArray[np.int32]]] = [[] for _ in fingerprints]
    upper: list[NDArray[np.int32]] = []
    for index, fingerprint in enumerate(fingerprints):
        similarities = np.array(
            DataStructs.BulkTanimotoSimilarity(fingerprint, fingerprints[index:])
        )
        similarities[0] = 1.0  # a fingerprint without bits is not even similar to itself
        near = (np.flatnonzero(similarities >= similarity) + index).astype(np.int32)
        upper.append(near)
        for other in near[1:]:
            lower[other].append(np.array([index], dtype=np.int32))
    return [np.concatenate([*before, after]) for before, after in zip(lower, upper, strict=True)]


def _fingerprints(
    smiles: Sequence[str], inchikey14s: Sequence[str]
) -> list[DataStructs.ExplicitBitVect]:
    with rdBase.BlockLogs():
        mols = [Chem.MolFromSmiles(text) for text in smiles]
    faults = [
        f"{inchikey14}: {text}"
        for inchikey14, text, mol in zip(inchikey14s, smiles, mols, strict=True)
        if mol is None
    ]
    if faults:
        raise DataError(
            f"{len(faults)} structures to be split have no readable SMILES ({_some(faults)}). "
            "Leave them out or correct them."
        )
    return [morgan_bits(mol) for mol in mols]


def _hash(seed: int, text: str) -> bytes:
    return hashlib.blake2b(f"{seed}:{text}".encode(), digest_size=8).digest()


def _some(texts: Sequence[str]) -> str:
    n_more = len(texts) - _EXAMPLES
    return "; ".join(texts[:_EXAMPLES]) + (f"; and {n_more} more" if n_more > 0 else "")
