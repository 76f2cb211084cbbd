"""Other ways to compute the network on a processor: what they gain, and which ranks they move.

    python benchmarks/precision.py QUERIES.parquet [version=v0.2] [queries=40]

Each way scores the same candidates of the first queries, in turns with the way that is shipped. One
is worth having if it is quicker by 10 % or more and moves no rank.
"""

from __future__ import annotations

import contextlib
import copy
import statistics
import sys
import warnings
from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
import polars as pl
import torch
from machine import command_line, machine_line, print_table, spread
from measure import alternate
from scoring import REPOSITORY
from torch import Tensor, nn

from team5.data.spectrum import Spectrum
from team5.errors import MoleculeError
from team5.inference.encodings import EncodingCache
from team5.inference.engine import iter_scores
from team5.inference.inference import LoadedModel, load_model
from team5.models import layers

MAX_CANDIDATES = 48  # of one query


class Quantized(nn.Module):
    """A linear layer whose weights and, row by row, inputs are whole numbers of 8 bits."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        plain = nn.Linear(linear.in_features, linear.out_features)
        plain.load_state_dict(linear.state_dict())
        self.inner = torch.ao.quantization.quantize_dynamic(nn.Sequential(plain), {nn.Linear})

    def gelu(self, x: Tensor) -> Tensor:
        return nn.functional.gelu(self.inner(x))

    def added_to(self, other: Tensor, x: Tensor) -> Tensor:
        return other + self.inner(x)


@contextlib.contextmanager
def without_onednn() -> Iterator[None]:
    """Let torch choose who multiplies matrices."""
    layers._HAS_ONEDNN = False
    try:
        yield
    finally:
        layers._HAS_ONEDNN = True


def quantized(model: LoadedModel) -> LoadedModel:
    """Return a copy whose residual blocks, where most of the time goes, are of 8 bits."""
    changed = copy.deepcopy(model)
    for block in (changed.molecule_encoder.first, *changed.molecule_encoder.blocks):
        block.up, block.down = Quantized(block.up), Quantized(block.down)
    return changed


def compiled(model: LoadedModel) -> LoadedModel:
    """Return a copy whose pass over the fragments is compiled."""
    changed = copy.deepcopy(model)
    encoder = changed.molecule_encoder
    encoder.read_counts = torch.compile(encoder.read_counts, dynamic=True)
    return changed


def main() -> int:
    """Score in each way and print a table."""
    warnings.filterwarnings("ignore", category=DeprecationWarning)
    torch.set_num_threads(1)
    words, options = command_line()
    if len(words) != 1:
        sys.exit(__doc__)
    model = load_model(options.get("version"), device="cpu", root=REPOSITORY / "checkpoints")
    work = list(read_work(words[0], int(options.get("queries", 40))))
    ways: dict[str, tuple[LoadedModel, Callable[[], contextlib.AbstractContextManager]]] = {
        "float32, as torch chooses": (model, without_onednn),
        "torch.compile": (compiled(model), without_onednn),
        "bfloat16": (model, partial(torch.autocast, "cpu", dtype=torch.bfloat16)),
        "8 bits in residual blocks": (quantized(model), contextlib.nullcontext),
    }

    def scores(of: LoadedModel) -> list[np.ndarray]:
        found = []
        for molecules, spectrum in work:
            own = np.full(len(molecules), -np.inf)
            for scored in iter_scores(of, molecules, [spectrum], EncodingCache(0)):
                own[scored.index] = scored.scores[0]
            found.append(own)
        return found

    expected = scores(model)
    rows = []
    for name, (other, context) in ways.items():
        found: list[list[np.ndarray]] = []

        def run(other=other, context=context, found=found) -> None:
            with context():
                found.append(scores(other))

        run()  # compiles
        plain, changed = alternate([lambda: scores(model), run])
        ratio = [a / b for a, b in zip(plain, changed, strict=True)]
        moved, queries, first, n = moved_ranks(expected, found[-1])
        gains = statistics.median(ratio) >= 1.1 and not moved
        rows.append(
            (name, spread(ratio), f"{moved:,} of {n:,}", queries, first, "yes" if gains else "no")
        )
    print(machine_line())
    header = ("way", "times as fast", "ranks moved", "in queries", "first places", "worth having")
    print_table(header, rows)
    return 0


def read_work(path: str, n: int) -> Iterator[tuple[list, Spectrum]]:
    """Yield candidates and spectrum of the first queries."""
    parse: Callable = EncodingCache(0).parse
    for row in pl.read_parquet(path).head(n).iter_rows(named=True):
        molecules = []
        for smiles in row["candidates"][:MAX_CANDIDATES]:
            with contextlib.suppress(MoleculeError):
                molecules.append(parse(smiles))
        yield (
            molecules,
            Spectrum(
                row["mzs"],
                row["intensities"],
                adduct=row["adduct"],
                collision_energy=row["collision_energy"],
                instrument_type=row["instrument_type"],
            ),
        )


def moved_ranks(expected: list[np.ndarray], found: list[np.ndarray]) -> tuple[int, int, int, int]:
    """Return how many ranks moved, in how many queries, how often the first, and of how many."""
    moved = queries = first = total = 0
    for a, b in zip(expected, found, strict=True):
        before, after = np.argsort(-a, kind="stable"), np.argsort(-b, kind="stable")
        others = int((before != after).sum())
        moved, queries = moved + others, queries + bool(others)
        first, total = first + int(before[0] != after[0]), total + len(a)
    return moved, queries, first, total


if __name__ == "__main__":
    sys.exit(main())
