from dataclasses import replace

import torch
from torch import multiprocessing

from team5.models.validation import JudgedPairs, gathered, joined
from tests.models.test_head_fit import random_pairs


def _gather(rank: int, folder: str) -> None:
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2
    )
    # Three items dealt out in turn, so that the second process has the first item once more.
    items = [0, 1, 2]
    own = {i % 3: items[i % 3] for i in range(rank, 4, 2)}
    assert gathered(own) == items
    torch.distributed.destroy_process_group()


def test_processes_gather_the_items_of_all_in_the_order_of_one(tmp_path):
    multiprocessing.spawn(_gather, args=(str(tmp_path),), nprocs=2)


def test_one_process_gathers_its_own_in_order():
    assert gathered({2: "c", 0: "a", 1: "b"}) == ["a", "b", "c"]


def test_joined_pairs_are_grouped_by_structure_whatever_item_they_came_in():
    pairs = replace(random_pairs(2), groups=torch.tensor([0, 0, 1, 1]))
    items = [
        JudgedPairs(0.5, 2, pairs, ("CCO", "CCN")),
        JudgedPairs(0.5, 2, pairs, ("CCC", "CCO")),
    ]
    numbers: dict[str, int] = {}
    assert joined(items, numbers).groups.tolist() == [0, 0, 1, 1, 2, 2, 0, 0]
    assert numbers == {"CCO": 0, "CCN": 1, "CCC": 2}
