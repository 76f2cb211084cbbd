"""What every test may count on: quiet threads, settled property tests, the shared data."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

REPOSITORY = Path(__file__).resolve().parent.parent

if "PYTEST_XDIST_WORKER" in os.environ:
    # The workers share the cores already; set before torch is first imported.
    os.environ.setdefault("OMP_NUM_THREADS", "1")

# What a site judges its versions on is not what the tests judge theirs on.
os.environ.pop("TEAM5_GATE_QUERIES", None)

# No test depends on how fast the machine is; a run that gates a change finds the same each time.
settings.register_profile("team5", deadline=None, derandomize="CI" in os.environ)
settings.load_profile("team5")


_SLOW_TIMEOUT_S = 1800


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.get_closest_marker("slow") and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(_SLOW_TIMEOUT_S))
    needs_gpu = [item for item in items if item.get_closest_marker("gpu")]
    if not needs_gpu:
        return
    import torch

    if not torch.cuda.is_available():
        skip = pytest.mark.skip(reason="needs a CUDA device; this machine has none")
        for item in needs_gpu:
            item.add_marker(skip)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder with the MassBank archive and the tables that are too large for the repository."""
    named = os.environ.get("TEAM5_TEST_DATA")
    folder = Path(named) if named else REPOSITORY.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(
            f"no test data: TEAM5_TEST_DATA names {folder}, which is no folder"
            if named
            else "no test data: set TEAM5_TEST_DATA to the folder that holds it"
        )
    return folder
