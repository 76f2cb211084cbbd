"""The small model that tests of inference use."""

from tests.inference.conftest import model

__all__ = ["model"]
