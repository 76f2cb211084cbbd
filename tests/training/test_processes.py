import pytest
from torch import distributed

from team5.errors import ProcessError
from team5.training.processes import is_first_process, together


@pytest.fixture
def group(tmp_path):
    """A process group of this one process."""
    distributed.init_process_group(
        "gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1
    )
    yield
    if distributed.is_initialized():
        distributed.destroy_process_group()


@pytest.mark.parametrize("name", ["RANK", "LOCAL_RANK", "NODE_RANK", "SLURM_PROCID"])
def test_only_the_first_process_has_no_rank_above_zero(monkeypatch, name):
    assert is_first_process()
    monkeypatch.setenv(name, "0")
    assert is_first_process()
    monkeypatch.setenv(name, "1")
    assert not is_first_process()


def test_a_connection_that_breaks_is_told_in_one_line(group):
    with pytest.raises(ProcessError, match=r"process 0 of 1 .* lost another one"), together():
        raise RuntimeError("[gloo/transport/tcp/pair.cc:547] Connection closed by peer")


def test_an_exchange_that_takes_too_long_is_told_in_one_line(group):
    with pytest.raises(ProcessError), together():
        raise distributed.DistBackendError("Watchdog caught collective operation timeout")


def test_other_mistakes_keep_their_type(group):
    with pytest.raises(RuntimeError, match="sizes differ") as raised, together():
        raise RuntimeError("sizes differ")
    assert not isinstance(raised.value, ProcessError)


def test_the_next_job_of_this_process_can_form_a_group_of_its_own(group):
    with together():
        assert distributed.is_initialized()
    assert not distributed.is_initialized()
