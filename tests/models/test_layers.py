import subprocess
import sys

import pytest
import torch

from team5.models.layers import Linear, MessagePassing, ResidualBlock, gather_rows

# What a process keeps after products of many different numbers of rows, in MB.
KEPT = """
import torch
from pathlib import Path
from team5.models.layers import Linear

def memory_mb():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 1e6

layer = Linear(128, 128)
with torch.inference_mode():
    layer(torch.zeros(1200, 128))
    before = memory_mb()
    for n_rows in range(2, 1200, 5):
        layer(torch.zeros(n_rows, 128))
print(memory_mb() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_products_of_any_number_of_rows_keep_little_memory():
    done = subprocess.run([sys.executable, "-c", KEPT], capture_output=True, text=True, check=True)
    assert float(done.stdout) < 30  # 166 if each of the 240 numbers of rows were compiled


@pytest.mark.parametrize("n_rows", [1, 2, 3, 17, 100, 1024, 1025, 2500])
def test_a_row_is_bitwise_the_same_whatever_rows_are_beside_it(n_rows):
    torch.manual_seed(0)
    layer = Linear(128, 24)
    x = torch.randn(n_rows, 128)
    with torch.inference_mode():
        together = layer(x), layer.gelu(x), layer.added_to(layer(x), x)
        alone = [
            torch.cat(rows)
            for rows in zip(
                *((layer(r), layer.gelu(r), layer.added_to(layer(r), r)) for r in x.split(1)),
                strict=True,
            )
        ]
    for of_all, of_each in zip(together, alone, strict=True):
        assert of_all.shape == (n_rows, 24)
        assert torch.equal(of_all, of_each)


def test_rows_are_gathered_by_molecule():
    rows = torch.arange(12.0).view(2, 3, 2)
    index = torch.tensor([[2, 0], [1, 1]])
    assert gather_rows(rows, index).tolist() == [[[4, 5], [0, 1]], [[8, 9], [8, 9]]]


def test_messages_come_from_bonded_atoms_alone():
    torch.manual_seed(0)
    layer = MessagePassing(4, dropout=0.0).eval()
    atoms = torch.randn(1, 3, 4)
    bonds = torch.randn(1, 2, 4)
    # 0 - 1, first one way and then the other; the second bond is padding and points anywhere.
    source, target = torch.tensor([[0, 2, 1, 1]]), torch.tensor([[1, 1, 0, 2]])
    padding = torch.tensor([[False, True, False, True]])
    out = layer(atoms, bonds, source, target, padding)
    moved = atoms.clone()
    moved[0, 2] += 1.0
    other = layer(moved, bonds, source, target, padding)
    torch.testing.assert_close(other[:, :2], out[:, :2], rtol=0, atol=0)
    moved = atoms.clone()
    moved[0, 0] += torch.tensor([1.0, -1.0, 2.0, 0.0])
    assert not torch.allclose(layer(moved, bonds, source, target, padding)[:, 1], out[:, 1])


def test_dropout_leaves_out_the_same_channels_for_all_rows_of_a_molecule():
    torch.manual_seed(0)
    block = ResidualBlock(8, 64, dropout=0.5).train()
    x = torch.randn(3, 1, 8).expand(3, 5, 8)
    out = block(x)
    torch.testing.assert_close(out, out[:, :1].expand_as(out))
    assert not torch.allclose(block(x), out)
    block.eval()
    torch.testing.assert_close(block(x), block(x))
