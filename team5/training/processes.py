"""Processes of a distributed training: finding the first, and ending all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from team5.errors import ProcessError

# Set by torch, Lightning and SLURM.
_RANKS = ("RANK", "LOCAL_RANK", "NODE_RANK", "SLURM_PROCID")
# In messages of gloo when the peer of a connection has died; there is no error type for it.
_GONE = ("closed by peer", "reset by peer", "Broken pipe", "Connection refused", "gloo")


def is_first_process() -> bool:
    """Whether this is the only process of a training, or the first of several."""
    return all(os.environ.get(name, "0") == "0" for name in _RANKS)


@contextmanager
def together() -> Iterator[None]:
    """Context of a fit in several processes: reports a lost process, and closes the group.

    Raises
    ------
    ProcessError
        If the communication between processes breaks off or takes too long.
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
        # A later job in this process has to form a new group.
        distributed.destroy_process_group()
