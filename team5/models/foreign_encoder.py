"""User-supplied encoders: created for training, named in config.json, recreated on loading.

A version only names the class, which is imported only if the user has listed exactly that name.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from torch import nn

from team5.errors import ConfigError
from team5.registry.allowed import argument_fault


@dataclass(frozen=True)
class ForeignEncoder:
    """An encoder class and the arguments of its constructor, except ``d_model``.

    Attributes
    ----------
    kind : type of nn.Module
    arguments : mapping
        Plain values by the name of the constructor's parameter.
    """

    kind: type[nn.Module]
    arguments: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, maker: object) -> Self:
        """Return the encoder of a config's ``_target_`` with ``_partial_: true``.

        Raises
        ------
        ConfigError
            If it is no module class that can be imported by its name, or an argument is no plain
            value.
        """
        if not isinstance(maker, functools.partial) or maker.args:
            raise ConfigError(
                "model.encoder must be a _target_ with _partial_: true and named arguments; "
                "team5 makes it with d_model=."
            )
        kind = _checked(maker.func, "model.encoder")
        if kind.__module__ == "__main__" or "." in kind.__qualname__:
            raise ConfigError(
                f"model.encoder: {name_of(kind)} cannot be imported by this name later on. Put the "
                "class at the top level of a module of its own."
            )
        _check_arguments(maker.keywords, "model.encoder, stored in config.json")
        return cls(kind, maker.keywords)

    @classmethod
    def from_config(cls, config: Mapping[str, Any], allow: Sequence[str]) -> Self:
        """Import the encoder that a version names, if the user allows exactly that.

        Parameters
        ----------
        config : mapping
            :meth:`to_config`'s output, read from a version: untrusted data of the schema's types.
        allow : sequence of str
            Dotted names of classes.

        Raises
        ------
        ConfigError
            If the name is not among them, cannot be imported, or is of no ``nn.Module`` class, or
            an argument is no plain value.
        """
        name = config["class"]
        if name not in allow:
            raise ConfigError(
                f"the version's encoder is {name}, which is not part of team5, so nothing of it "
                f"was imported. If you trust that code, allow it: allow=[{name}], in Python "
                f'load_model(allow=["{name}"]).'
            )
        _check_arguments(config["arguments"], "config.json: encoder")
        return cls(_import(name), config["arguments"])

    def make(self, d_model: int) -> nn.Module:
        """Create an encoder with untrained weights.

        Raises
        ------
        ConfigError
            If the class does not take the arguments.
        """
        try:
            return self.kind(d_model=d_model, **self.arguments)
        except TypeError as error:
            arguments = ", ".join(["d_model", *self.arguments])
            raise ConfigError(
                f"{name_of(self.kind)} cannot be made from {arguments}: {error}. Correct "
                "model.encoder, or use the code that the version was trained with."
            ) from error

    def to_config(self) -> dict[str, Any]:
        """Return the name of the class, and its arguments."""
        return {"class": name_of(self.kind), "arguments": dict(self.arguments)}


def name_of(kind: type) -> str:
    """Return the dotted name by which a class is allowed."""
    return f"{kind.__module__}.{kind.__qualname__}"


def _check_arguments(arguments: Mapping[str, Any], where: str) -> None:
    faults = [argument_fault(name, value) for name, value in arguments.items()]
    if named := next(filter(None, faults), None):
        raise ConfigError(
            f"{where}: {named}. Give numbers, words, true or false, or lists and dicts of these; "
            "a file that an encoder reads is named in its own code."
        )


def _import(name: str) -> type[nn.Module]:
    module, _, attribute = name.rpartition(".")
    where = f"allow=[{name}]"
    try:
        kind = getattr(importlib.import_module(module), attribute)
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"{where}: there is no module {error.name!r} here. Put the folder that holds it on "
            "PYTHONPATH, or install its package."
        ) from error
    except (AttributeError, ValueError) as error:
        raise ConfigError(
            f"{where}: {module or 'nothing'} holds no {attribute}. Use the code that the version "
            "was trained with."
        ) from error
    return _checked(kind, where)


def _checked(kind: object, where: str) -> type[nn.Module]:
    if not isinstance(kind, type) or not issubclass(kind, nn.Module):
        raise ConfigError(f"{where}: {kind!r} is no class of torch.nn.Module. Name an encoder.")
    return kind
