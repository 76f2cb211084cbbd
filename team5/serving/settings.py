"""Settings of a server: configs/serve.yaml as checked values."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from team5.errors import ConfigError
from team5.registry.allowed import check_allow

TOKEN_VARIABLE = "TEAM5_TOKEN"  # noqa: S105  (its name, not its value)


@dataclass(frozen=True)
class Limits:
    """What a request may be and cost; see configs/serve.yaml."""

    body_mb: float = 10
    peaks: int = 2000
    atoms: int = 1000
    candidates: int = 10_000
    together: int = 500
    spectra: int = 10_000
    memory_mb: float = 1000
    queue_requests: int = 256
    queue_pairs: int = 20_000
    request_s: float = 300
    headers_s: float = 20
    body_s: float = 30
    stalled_s: float = 60
    read_s: int = 10
    registry_s: float = 5
    connections: int = 512

    @property
    def body_bytes(self) -> int:
        return int(self.body_mb * 1_000_000)


@dataclass(frozen=True)
class Settings:
    """Settings of one server; see configs/serve.yaml."""

    version: str | None = None
    checkpoints_root: str = "checkpoints"
    device: str = "auto"
    allow: tuple[str, ...] = ()
    host: str = "127.0.0.1"
    port: int = 8000
    token: str | None = field(default=None, repr=False)
    cors_origins: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    library: tuple[str, ...] = ()
    limits: Limits = field(default_factory=Limits)
    batch_pairs: int = 32
    max_versions: int = 2
    poll_s: float = 1
    shutdown_s: float = 30
    stuck_s: float = 60

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Settings:
        """Return the settings of a composed configuration."""
        limits = {key: _positive(f"limits.{key}", value) for key, value in config["limits"].items()}
        values = {**config, "limits": Limits(**limits)}
        for key, example in (("cors_origins", "https://lab.example.org"), ("names", "lab-server")):
            listed = values[key] or []
            if not isinstance(listed, list) or not all(isinstance(each, str) for each in listed):
                raise ConfigError(f"{key}= takes a list: {key}=[{example}].", argument=key)
            values[key] = tuple(listed)
        values["library"] = _libraries(values["library"])
        values["allow"] = tuple(check_allow(values["allow"]))
        for key in ("batch_pairs", "max_versions", "poll_s", "shutdown_s", "stuck_s"):
            _positive(key, values[key])
        port = values["port"]
        if not isinstance(port, int) or not 0 <= port <= 65535:
            raise ConfigError(f"port={port}: give a number from 1 to 65535, or 0 for a free one.")
        token = values["token"] or os.environ.get(TOKEN_VARIABLE) or None
        return cls(**{**values, "token": None if token is None else str(token)})


def _libraries(value: Any) -> tuple[str, ...]:
    listed = [value] if isinstance(value, str) else value or []
    if not isinstance(listed, list) or not all(each and isinstance(each, str) for each in listed):
        raise ConfigError(
            "library= takes a folder made by team5 library build, or several: "
            "[demo,pubchem.library].",
            argument="library",
        )
    return tuple(listed)


def _positive(key: str, value: Any) -> Any:
    known = {each.name: each.type for each in (*fields(Limits), *fields(Settings))}
    kinds = (int,) if known[key.rpartition(".")[2]] == "int" else (int, float)
    if not isinstance(value, kinds) or isinstance(value, bool) or not value > 0:
        kind = "a whole number" if kinds == (int,) else "a number"
        raise ConfigError(f"{key}={value}: give {kind} above 0.")
    return value
