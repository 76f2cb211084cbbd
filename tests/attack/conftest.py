from typing import Any

import pytest

from tests.attack.versions import honest


@pytest.fixture(scope="session")
def trained() -> dict[str, Any]:
    """What the version of an honest training holds."""
    return honest()
