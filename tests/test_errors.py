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


def test_an_error_is_json():
    assert MoleculeError("what is wrong").to_dict() == {
        "type": "MoleculeError",
        "code": "structure_invalid",
        "argument": "smiles",
        "message": "what is wrong",
    }
