import copy
import pickle

import pytest

from team5 import errors
from team5.errors import (
    ConfigError,
    DataFileNotFoundError,
    MissingExtraError,
    MoleculeError,
    StorageError,
    Team5Error,
)

CLASSES = [
    kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, Team5Error)
]


@pytest.mark.parametrize("kind", CLASSES)
def test_codes_and_arguments_survive_copies_and_processes(kind):
    error = kind("what is wrong", code="finer", argument="mzs")
    for other in (pickle.loads(pickle.dumps(error)), copy.copy(error), error.reworded("other")):
        assert type(other) is kind
        assert (other.code, other.argument) == ("finer", "mzs")
    assert str(pickle.loads(pickle.dumps(error))) == "what is wrong"


def test_every_class_has_a_code_of_its_own_in_snake_case():
    codes = [kind.code for kind in CLASSES]
    assert len(set(codes)) == len(codes)
    assert all(code.isidentifier() and code == code.lower() for code in codes)


def test_an_error_is_still_the_builtin_one_that_fits():
    for error, builtin in (
        (DataFileNotFoundError("x"), FileNotFoundError),
        (MissingExtraError("x"), ImportError),
        (StorageError("x"), OSError),
        (ConfigError("x"), ValueError),
    ):
        assert isinstance(error, builtin)
        assert str(error) == "x"


def test_a_missing_extra_is_installed_without_the_name_of_team5(monkeypatch):
    from importlib import metadata

    needed = ["torch>=2", 'a>=1; extra == "hub"', "b; extra == 'hub'", 'c; extra == "hub-two"']
    monkeypatch.setattr(metadata, "requires", lambda name: needed)
    said = 'sharing needs the extra hub: pip install "a>=1" "b"'
    assert str(MissingExtraError.of("sharing", "hub")) == said

    def not_installed(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "requires", not_installed)
    said = 'sharing needs the extra hub: pip install -e ".[hub]" in the clone'
    assert str(MissingExtraError.of("sharing", "hub")) == said


def test_an_error_is_json():
    assert MoleculeError("what is wrong").to_dict() == {
        "type": "MoleculeError",
        "code": "structure_invalid",
        "argument": "smiles",
        "message": "what is wrong",
    }
