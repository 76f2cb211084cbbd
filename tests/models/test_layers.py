import torch

from team5.models.layers import MessagePassing, ResidualBlock, gather_rows


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
