"""The models that the tests of editing share."""

from pathlib import Path
from typing import Any

import pytest
from torch import Tensor

from refract.editing.reference.bank import ReferenceBank
from refract.editing.samplers.velocity import Prompt
from tests.tiny.latents import tiny_bank, tiny_contexts
from tests.tiny.wan import tiny_transformer


@pytest.fixture(scope="session")
def model(tiny_wan: Path) -> Path:
    """A random Wan repository; to be read only."""
    return tiny_wan


@pytest.fixture(scope="module")
def transformer() -> Any:
    return tiny_transformer()


@pytest.fixture(scope="module")
def contexts() -> dict[Prompt, Tensor]:
    return tiny_contexts()


@pytest.fixture(scope="module")
def bank(transformer: Any, contexts: dict[Prompt, Tensor]) -> ReferenceBank:
    return tiny_bank(transformer, contexts)
