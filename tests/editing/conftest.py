"""The model that the tests of editing share."""

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def model(tiny_wan: Path) -> Path:
    """A random Wan repository; to be read only."""
    return tiny_wan
