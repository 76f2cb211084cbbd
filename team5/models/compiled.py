"""Parts of the network as compiled loops, for one structure at a time on a CPU.

Layers between a structure's few atoms, and sums over a fragment's parts, take torch longer to call
than to compute. What comes out for a structure or for the conditions of a spectrum does not depend,
to the last bit, on what else is computed. All arrays are of float32.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray
from torch import Tensor, nn

from team5.chemistry.atom_masks import count_atoms, write_atoms
from team5.chemistry.fragment_features import write_features
from team5.models.encoders import (
    KEPT_SUM_SCALE,
    ContextEncoder,
    MoleculeEncoder,
    TokenEmbedding,
)
from team5.models.heads import FragmentHead
from team5.runtime.compilation import compiled

Array = NDArray[Any]

_TILE = 32  # rows
# OpenBLAS, which scipy brings, multiplies with one thread up to so many products of two numbers.
_MAX_WORK = 2**18
_ZERO, _HALF, _ONE = np.float32(0), np.float32(0.5), np.float32(1)
_ROOT_HALF = np.float32(0.5**0.5)
_SUM_SHARE = np.float32(1 / KEPT_SUM_SCALE)
_EPS = np.float32(1e-5)  # of nn.LayerNorm
# erf(z) = z P(z^2) / Q(z^2) for |z| up to _ERF_END, where it is 1: fitted by weighted least squares
# to the function itself, in float32 within 4e-7 of it. numba's own erf takes one number at a time.
_ERF_END = np.float32(3.9)
_P = tuple(
    np.float32(c)
    for c in (1.12837899, 0.191940174, 0.052966807, 3.83683946e-3, 2.87456234e-4, 2.05039123e-6)
)
_Q = tuple(
    np.float32(c) for c in (0.503434360, 0.114757858, 0.015109132, 1.18172506e-3, 3.82307298e-5)
)


class EncoderWeights(NamedTuple):
    """Weights of a ``MoleculeEncoder`` and of the layer for "none", as contiguous arrays.

    A linear layer is an array of shape (I + 1, O), its bias below its weight; a normalisation one
    of shape (2, D), weight and bias. Layers of message passing are stacked, and blocks.
    """

    atom_table: Array
    atom_starts: Array
    bond_table: Array
    bond_starts: Array
    norms: Array
    sources: Array
    targets: Array
    bonds: Array
    updates_up: Array
    updates_down: Array
    atom_norm: Array
    kept: Array  # to the mean and to the sum, side by side
    cut_kept_end: Array
    cut_lost_end: Array
    cut_bond: Array
    cut: Array
    molecule: Array
    none: Array
    features: Array
    parent: Array
    block_norms: Array
    blocks_up: Array
    blocks_down: Array
    fragment_norm: Array


def encoder_weights(encoder: MoleculeEncoder, none: nn.Linear) -> EncoderWeights:
    """Return the weights that :func:`encode` takes; ``none`` is the layer for "none"."""
    layers: list[Any] = list(encoder.layers)
    d = encoder.molecule.out_features
    blocks: list[Any] = [encoder.first, *encoder.blocks]
    return EncoderWeights(
        *_table(encoder.atom_embedding),
        *_table(encoder.bond_embedding),
        norms=_stacked([_norm(layer.norm) for layer in layers], 2, d),
        sources=_stacked([_linear(layer.source) for layer in layers], d + 1, d),
        targets=_stacked([_linear(layer.target) for layer in layers], d + 1, d),
        bonds=_stacked([_linear(layer.bond) for layer in layers], d + 1, d),
        updates_up=_stacked([_linear(layer.update[0]) for layer in layers], 2 * d + 1, 2 * d),
        updates_down=_stacked([_linear(layer.update[-1]) for layer in layers], 2 * d + 1, d),
        atom_norm=_norm(encoder.atom_norm),
        kept=np.hstack([_linear(encoder.kept_mean), _linear(encoder.kept_sum)]),
        cut_kept_end=_linear(encoder.cut_kept_end),
        cut_lost_end=_linear(encoder.cut_lost_end),
        cut_bond=_linear(encoder.cut_bond),
        cut=_linear(encoder.cut),
        molecule=_linear(encoder.molecule),
        none=_linear(none),
        features=_linear(encoder.features),
        parent=_linear(encoder.parent),
        block_norms=np.stack([_norm(block.norm) for block in blocks]),
        blocks_up=np.stack([_linear(block.up) for block in blocks]),
        blocks_down=np.stack([_linear(block.down) for block in blocks]),
        fragment_norm=_norm(encoder.norm),
    )


def _stacked(arrays: list[Array], *shape: int) -> Array:
    """Return arrays of one shape as one; there may be none."""
    return np.array(arrays, dtype=np.float32).reshape(-1, *shape)


def _table(embedding: TokenEmbedding) -> tuple[Array, Array]:
    return embedding.table.weight.detach().numpy(), embedding.starts.numpy()


def _norm(layer: nn.LayerNorm) -> Array:
    return np.stack([layer.weight.detach().numpy(), layer.bias.detach().numpy()])


class ConditionWeights(NamedTuple):
    """Weights of a ``ContextEncoder``, the head that conditions weigh, and ``ConditionEmbedding``.

    All are linear layers as of ``EncoderWeights``; ``weights`` and ``biases``, without a bias, give
    K * D weights and K biases. Without an embedding, the last two give zeros.
    """

    first: Array
    second: Array
    last: Array
    weights: Array
    biases: Array
    embedding_hidden: Array
    embedding: Array


def condition_weights(
    encoder: ContextEncoder, head: FragmentHead, molecules: MoleculeEncoder
) -> ConditionWeights:
    """Return the weights that :func:`read_conditions` takes."""
    conditions, d = molecules.conditions, molecules.molecule.out_features
    first, second, last = (each for each in encoder.net if isinstance(each, nn.Linear))
    weights, biases = head.by_rank()
    if conditions is None:
        embedding = _zeros(first.in_features + 1, 1), _zeros(2, d)
    else:
        embedding = _linear(conditions.hidden), _linear(conditions.out)
    return ConditionWeights(
        _linear(first),
        _linear(second),
        _linear(last),
        _packed(weights),
        _packed(biases),
        *embedding,
    )


def _zeros(*shape: int) -> Array:
    return np.zeros(shape, dtype=np.float32)


def _linear(layer: nn.Linear) -> Array:
    """Return the array of a linear layer; see ``EncoderWeights``."""
    return _packed(layer.weight.t(), layer.bias)


def _packed(weight: Tensor, bias: Tensor | None = None) -> Array:
    packed = _zeros(len(weight) + 1, weight.shape[1])
    packed[:-1] = weight.detach().numpy()
    if bias is not None:
        packed[-1] = bias.detach().numpy()
    return packed


@compiled(nogil=True)
def encode(w, atoms, bonds, countable, first, kind, parents, condition):  # type: ignore[no-untyped-def]
    """Return vectors of kinds of fragments, and what ``none`` makes of the molecule.

    Parameters
    ----------
    w : EncoderWeights
    atoms, bonds : arrays of shape (A, 8), (E, 4)
        As of ``MoleculeTokens``.
    countable : Countable
    first, kind : arrays of shape (U,) and (F,)
        As of ``FragmentKinds``.
    parents : array of shape (F,)
    condition : array of shape (D,)
        Embedding of the conditions, from :func:`read_conditions`.

    Returns
    -------
    arrays of shape (U, D) and (R,)
    """
    ends, n_kinds = countable.ends, len(first)
    kept, cut, molecule = _read_atoms(w, atoms, bonds, ends, condition)
    rows = np.empty((n_kinds, len(w.parent) - 1), dtype=np.float32)
    # Tile by tile, so that what is in between stays in the fastest cache.
    for start in range(0, n_kinds, _TILE):
        tile, which = rows[start : start + _TILE], first[start : start + _TILE]
        _add_up(tile, w.features, countable, kept, cut, molecule[0], which)
        _add_block(tile, w.block_norms[0], w.blocks_up[0], w.blocks_down[0])
    formed, place_of = _read_parents(rows, w.parent, first, kind, parents)
    for start in range(0, n_kinds, _TILE):
        tile = rows[start : start + _TILE]
        for k in range(start, min(start + _TILE, n_kinds)):
            _add(rows[k], formed[place_of[kind[parents[first[k]]]]])
        for b in range(1, len(w.block_norms)):
            _add_block(tile, w.block_norms[b], w.blocks_up[b], w.blocks_down[b])
        _normalise(tile.copy(), w.fragment_norm, tile)
    return rows, _product(molecule, w.none)[0]


@njit
def _read_atoms(w, atoms, bonds, ends, condition):  # type: ignore[no-untyped-def]
    """Return what atoms, cut bonds and the molecule contribute to fragments.

    Shapes (A, 2 D), to means and to sums; (2 E, D), first of all bonds whose first end is kept;
    (1, D).
    """
    n_atoms, n_bonds, d = len(atoms), len(ends), w.atom_table.shape[1]
    vectors = _embed(atoms, w.atom_table, w.atom_starts)
    for a in range(n_atoms):
        _add(vectors[a], condition)
    bond_vectors = _embed(bonds, w.bond_table, w.bond_starts)
    normed = np.empty_like(vectors)
    for layer in range(len(w.norms)):
        _normalise(vectors, w.norms[layer], normed)
        source = _product(normed, w.sources[layer])
        target = _product(normed, w.targets[layer])
        messages = _along_bonds(source, target, _product(bond_vectors, w.bonds[layer]), ends)
        joined = np.zeros((n_atoms, 2 * d), dtype=np.float32)
        for a in range(n_atoms):
            _add(joined[a, :d], normed[a])
        for b in range(n_bonds):
            for i in range(d):
                joined[ends[b, 1], d + i] += messages[b, i]
                joined[ends[b, 0], d + i] += messages[n_bonds + b, i]
        hidden = _product(joined, w.updates_up[layer])
        _gelu(hidden)
        update = _product(hidden, w.updates_down[layer])
        for a in range(n_atoms):
            _add(vectors[a], update[a])
    _normalise(vectors, w.atom_norm, vectors)
    mean = np.zeros((1, d), dtype=np.float32)
    for a in range(n_atoms):
        for i in range(d):
            mean[0, i] += vectors[a, i] / np.float32(n_atoms)
    kept_end, lost_end = _product(vectors, w.cut_kept_end), _product(vectors, w.cut_lost_end)
    cut = _along_bonds(kept_end, lost_end, _product(bond_vectors, w.cut_bond), ends)
    return _product(vectors, w.kept), _product(cut, w.cut), _product(mean, w.molecule)


@njit
def _embed(tokens, table, starts):  # type: ignore[no-untyped-def]
    """Return the sum of a row of the table for each column of tokens."""
    vectors = np.zeros((len(tokens), table.shape[1]), dtype=np.float32)
    for n in range(len(tokens)):
        for column in range(len(starts)):
            _add(vectors[n], table[tokens[n, column] + starts[column]])
    return vectors


@njit
def _along_bonds(source, target, bond, ends):  # type: ignore[no-untyped-def]
    """Return ``gelu(source + target + bond)`` of all bonds, then of all the other way round."""
    n_bonds, d = len(ends), source.shape[1]
    vectors = np.zeros((2 * n_bonds, d), dtype=np.float32)
    for b in range(n_bonds):
        one, two = ends[b]
        for i in range(d):
            vectors[b, i] = source[one, i] + target[two, i] + bond[b, i]
            vectors[n_bonds + b, i] = source[two, i] + target[one, i] + bond[b, i]
    _gelu(vectors)
    return vectors


@njit(error_model="numpy")
def _add_up(rows, layer, countable, kept, cut, molecule, which):  # type: ignore[no-untyped-def]
    """Write the sums over kept atoms, cut bonds and features of some fragments."""
    ends, masks, d = countable.ends, countable.masks, len(molecule)
    features = np.zeros((len(rows), len(layer) - 1), dtype=np.float32)
    write_features(features, countable, which)
    write_product(rows, features, layer[:-1])
    inside = np.zeros((len(rows), len(kept)), dtype=np.float32)
    for k in range(len(which)):
        write_atoms(masks[which[k], 0], masks[which[k], 1], inside[k])
    sums = np.empty((len(rows), 2 * d), dtype=np.float32)
    write_product(sums, inside, kept)
    for k in range(len(which)):
        row, own = rows[k], sums[k]
        of_mean = _ONE / np.float32(count_atoms(masks[which[k], 0], masks[which[k], 1]))
        for i in range(d):
            row[i] += layer[-1, i] + molecule[i] + own[i] * of_mean + own[d + i] * _SUM_SHARE
        for b in range(len(ends)):
            one, two = inside[k, ends[b, 0]], inside[k, ends[b, 1]]
            if one != two:
                _add(row, cut[b] if one > two else cut[len(ends) + b])


@njit
def _read_parents(rows, layer, first, kind, parents):  # type: ignore[no-untyped-def]
    """Return what kinds that are parents contribute, each once, and its place by kind."""
    place_of = np.full(len(rows), -1)
    used = np.zeros_like(rows)
    n_used = 0
    for k in range(len(first)):
        parent = kind[parents[first[k]]]
        if place_of[parent] < 0:
            place_of[parent] = n_used
            _add(used[n_used], rows[parent])
            n_used += 1
    return _product(used[:n_used], layer), place_of


@njit
def _add_block(rows, norm, up, down):  # type: ignore[no-untyped-def]
    """Add what a ``ResidualBlock`` makes of the rows."""
    normed = np.empty_like(rows)
    _normalise(rows, norm, normed)
    hidden = _product(normed, up)
    _gelu(hidden)
    added = _product(hidden, down)
    for r in range(len(rows)):
        _add(rows[r], added[r])


@compiled(nogil=True)
def read_conditions(w, features):  # type: ignore[no-untyped-def]
    """Return what the layers of ``ConditionWeights`` make of conditions.

    Parameters
    ----------
    w : ConditionWeights
    features : array of shape (1, len(CONTEXT_FEATURES))

    Returns
    -------
    context, weights, biases, embedding : arrays of shape (R,), (K * D,), (K,), (D,)
    """
    hidden = _product(features, w.first)
    _gelu(hidden)
    hidden = _product(hidden, w.second)
    _gelu(hidden)
    varying = _product(hidden, w.last)
    context = np.ones((1, varying.shape[1] + 1), dtype=np.float32)
    for i in range(varying.shape[1]):
        context[0, i] = varying[0, i]
    hidden = _product(features, w.embedding_hidden)
    _gelu(hidden)
    embedding = _product(hidden, w.embedding)[0]
    return context[0], _product(context, w.weights)[0], _product(context, w.biases)[0], embedding


@njit(inline="always")
def _add(row, other):  # type: ignore[no-untyped-def]
    """Add to a row in place: several times as fast as ``+=`` of arrays is in numba."""
    for i in range(len(row)):
        row[i] += other[i]


# Sums may be taken in any order, several at a time: the same one in all rows.
@njit(fastmath={"reassoc", "contract"}, error_model="numpy")
def _normalise(x, norm, out):  # type: ignore[no-untyped-def]
    n, d = x.shape
    for r in range(n):
        total, squares = _ZERO, _ZERO
        for i in range(d):
            total += x[r, i]
        mean = total / np.float32(d)
        for i in range(d):
            squares += (x[r, i] - mean) * (x[r, i] - mean)
        scale = _ONE / np.sqrt(squares / np.float32(d) + _EPS)
        for i in range(d):
            out[r, i] = (x[r, i] - mean) * scale * norm[0, i] + norm[1, i]


@njit(fastmath={"contract"}, error_model="numpy")
def _gelu(x):  # type: ignore[no-untyped-def]
    """Replace each number by its GELU."""
    flat = x.reshape(-1)
    for i in range(len(flat)):
        z = min(max(flat[i] * _ROOT_HALF, -_ERF_END), _ERF_END)
        t = z * z
        p = ((((_P[5] * t + _P[4]) * t + _P[3]) * t + _P[2]) * t + _P[1]) * t + _P[0]
        q = ((((_Q[4] * t + _Q[3]) * t + _Q[2]) * t + _Q[1]) * t + _Q[0]) * t + _ONE
        flat[i] = _HALF * flat[i] * (_ONE + z * p / q)


@njit
def _product(x, layer):  # type: ignore[no-untyped-def]
    """Return the output of a linear layer."""
    out = np.empty((len(x), layer.shape[1]), dtype=np.float32)
    write_product(out, x, layer[:-1])
    for row in out:
        _add(row, layer[-1])
    return out


@njit
def write_product(out, x, weight):  # type: ignore[no-untyped-def]
    """Write ``x @ weight``, so few rows at a time that the library does not start threads."""
    step = max(1, _MAX_WORK // max(1, weight.size))
    for start in range(0, len(x), step):
        np.dot(x[start : start + step], weight, out[start : start + step])
