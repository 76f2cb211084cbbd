"""Libraries that callers may search, by the names they are served under."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from team5.data.demo import demo_molecules
from team5.errors import ConfigError
from team5.library.library import open_library
from team5.search.structures import LibraryStructures, Structures, library_structures

# Decoded row groups that one search keeps.
_CACHE_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class ServedLibrary:
    """A library by its path, or ``demo``, and how many structures it has."""

    path: str
    n_structures: int


def open_libraries(paths: Sequence[str]) -> dict[str, ServedLibrary]:
    """Return libraries by the names of their folders or files, after checking that they open.

    Raises
    ------
    ConfigError
        If two of them have one name.
    DataError
        If one is not a library, or damaged.
    """
    libraries: dict[str, ServedLibrary] = {}
    for path in paths:
        structures = library_structures(path)
        name = path
        n_structures = len(demo_molecules())
        if isinstance(structures, LibraryStructures):
            name = Path(path).name.removesuffix(".parquet").removesuffix(".library")
            n_structures = len(open_library(path))
        if name in libraries:
            raise ConfigError(
                f"library={path}: {libraries[name].path} is called {name} as well. Rename one.",
                argument="library",
            )
        libraries[name] = ServedLibrary(path, n_structures)
    return libraries


def structures_of(libraries: Mapping[str, ServedLibrary], name: str) -> Structures:
    """Return a library ready to search, by the name it is served under.

    Raises
    ------
    ConfigError
        If none has it.
    """
    if name not in libraries:
        choices = f"choose {' or '.join(libraries)}" if libraries else "this server has none"
        raise ConfigError(f"library={name[:80]}: {choices}.", argument="library")
    structures = library_structures(libraries[name].path)
    if isinstance(structures, LibraryStructures):
        library = open_library(structures.path, cache_bytes=_CACHE_BYTES)
        return replace(structures, library=library)
    return structures
