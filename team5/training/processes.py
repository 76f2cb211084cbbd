"""The processes of one training: which of them is the first, and how the others end."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from team5.errors import ProcessError

# How torch, Lightning and SLURM number them.
_RANKS = ("RANK", "LOCAL_RANK", "NODE_RANK", "SLURM_PROCID")
# What gloo says when the other end of a connection has gone; it has no type of its own.
_GONE = ("closed by peer", "reset by peer", "Broken pipe", "Connection refused", "gloo")


def is_first_process() -> bool:
    """Whether this is the one process of a training, or the first of several."""
    return all(os.environ.get(name, "0") == "0" for name in _RANKS)


@contextmanager
def together() -> Iterator[None]:
    """Fit in several processes: say in one line when another has gone, and let none wait after it.

    Raises
    ------
    ProcessError
        If what the processes exchange breaks off or takes too long.
    """
    from torch import distributed

    try:
        yield
    except RuntimeError as error:
        lost = isinstance(error, distributed.DistError) or any(s in str(error) for s in _GONE)
        if not (distributed.is_initialized() and lost):
            raise
        rank, size = distributed.get_rank(), distributed.get_world_size()
        raise ProcessError(
            f"process {rank} of {size} (counted from 0) lost another one, which was killed, has "
            "failed or hangs. Look for its own message, then go on from the version named above."
        ) from error
    if distributed.is_available() and distributed.is_initialized():
        # A later job of this process is to form a group of its own.
        distributed.destroy_process_group()
