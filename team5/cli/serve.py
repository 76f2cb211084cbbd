r"""Serve a model over HTTP: a page for people at /, JSON for programs at /predict.

    python serve.py
    python serve.py port=8080 version=v0.1
    TEAM5_TOKEN=secret python serve.py host=0.0.0.0

Query it from another terminal:

    curl http://127.0.0.1:8000/predict -d '{"smiles": "CC(=O)Oc1ccccc1C(=O)O",
        "mzs": [121.028, 139.039], "intensities": [100, 35]}'
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from team5.cli.run import program

if TYPE_CHECKING:
    from omegaconf import DictConfig


@program("serve")
def main(cfg: DictConfig) -> int:
    """Serve until SIGTERM or Ctrl-C."""
    from omegaconf import OmegaConf

    from team5.errors import MissingExtraError

    settings: dict[str, Any] = OmegaConf.to_container(cfg, resolve=True)  # type: ignore[assignment]
    try:
        from team5.serving.server import serve
    except ModuleNotFoundError as error:
        raise MissingExtraError.of("serving", "serve") from error
    from team5.serving.settings import Settings

    return serve(Settings.from_config(settings))


if __name__ == "__main__":
    sys.exit(main())
