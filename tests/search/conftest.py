"""A small library, and files of spectra of what is in it, with all that can be wrong with them."""

from pathlib import Path

import pytest

from team5.data.demo import demo_molecules
from team5.library.build import build_library
from team5.registry.export import read_version
from team5.search.chunks import SearchSettings, Tools
from team5.search.structures import LibraryStructures
from tests.search.spectra_files import write_mgf

SMALL_VERSION = Path(__file__).resolve().parents[1] / "files/checkpoints"


@pytest.fixture(scope="session")
def library(tmp_path_factory) -> str:
    folder = tmp_path_factory.mktemp("library")
    source = folder / "demo.smi"
    source.write_text("\n".join(f"{each.smiles} {each.name}" for each in demo_molecules()) + "\n")
    build_library([source], folder / "demo.library", n_workers=0)
    return str(folder / "demo.library")


@pytest.fixture(scope="session")
def spectra(tmp_path_factory) -> Path:
    return write_mgf(tmp_path_factory.mktemp("spectra") / "run.mgf", 40)


@pytest.fixture(scope="session")
def tools(library) -> Tools:
    stored = read_version(SMALL_VERSION)
    return Tools(
        stored.version,
        stored.version_hash,
        str(SMALL_VERSION),
        "cpu",
        LibraryStructures(library),
    )


@pytest.fixture
def settings() -> SearchSettings:
    return SearchSettings(keep=5)
