"""The model that the tests of infrared pictures share."""

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def model(tiny_model: Path) -> Path:
    """A random FLUX Fill repository; to be read only."""
    return tiny_model
