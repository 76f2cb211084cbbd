"""Searches on a real Ray on this machine: the same rows, whatever happens to its workers."""

import dataclasses
import os

import psutil
import pytest

from team5.data.conditions import Conditions
from team5.errors import DataError
from team5.search.engines import Engine, run
from team5.search.spectra import SpectraFile, iter_chunks
from team5.search.structures import LibraryStructures
from tests.search.spectra_files import write_mgf

ray = pytest.importorskip("ray", reason="needs the extra ray")
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def cluster():
    """Two workers' worth of Ray, for all tests here; a search leaves it running."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    ray.init(
        address="local", num_cpus=2, include_dashboard=False, log_to_driver=False,
        object_store_memory=128 << 20,
    )  # fmt: skip
    yield
    ray.shutdown()


def results(engine, spectra, tools, settings):
    chunks = iter_chunks(SpectraFile(spectra), Conditions(), 4)
    return run(chunks, engine, tools, settings)


def processes_of_actors() -> list[psutil.Process]:
    everything = psutil.Process().children(recursive=True)
    return [each for each in everything if "_Actor" in " ".join(each.cmdline())]


def contents(found):
    return {each.number: (each.table.to_pylist(), each.left_out) for each in found}


def test_ray_finds_what_this_process_finds(cluster, spectra, tools, settings):
    expected = contents(results(Engine(workers=0), spectra, tools, settings))
    assert contents(results(Engine("ray", 2), spectra, tools, settings)) == expected


def test_a_worker_killed_in_the_middle_loses_nothing(cluster, tmp_path, tools, settings):
    many = write_mgf(tmp_path / "many.mgf", 300)
    expected = contents(results(Engine(workers=0), many, tools, settings))
    found = results(Engine("ray", 2), many, tools, settings)
    first = [next(found), next(found)]
    actors = processes_of_actors()
    assert len(actors) == 2
    actors[0].kill()
    rest = list(found)
    assert len(first) + len(rest) == len(expected)
    assert contents([*first, *rest]) == expected


def test_what_an_actor_cannot_load_is_told_as_it_is(cluster, spectra, tools, settings, tmp_path):
    elsewhere = dataclasses.replace(tools, structures=LibraryStructures(str(tmp_path / "none")))
    with pytest.raises(DataError, match="no such folder"):
        list(results(Engine("ray", 2), spectra, elsewhere, settings))
