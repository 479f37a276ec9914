"""The model that the tests of infrared pictures share, and what trainings read."""

from pathlib import Path

import pytest

from tests.tiny.training import Inputs


@pytest.fixture(scope="session")
def model(tiny_model: Path) -> Path:
    """A random FLUX Fill repository; to be read only."""
    return tiny_model


@pytest.fixture(scope="session")
def inputs(
    tiny_model: Path, tiny_triptychs: Path, tmp_path_factory: pytest.TempPathFactory
) -> Inputs:
    """For trainings in processes of their own."""
    return Inputs(tiny_model, tiny_triptychs, tmp_path_factory.mktemp("inputs"))
