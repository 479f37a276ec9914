"""Shared by all tests: no network, few threads, and the optional folder of real data."""

import gc
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

# Before any test imports them: hub libraries and thread pools read these once.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TRANSFORMERS_OFFLINE", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Sums depend on the number of threads: tests that compare bytes with another process need one
# number throughout.
os.environ.setdefault("REFRACT_THREADS", "1")
# Tests count and replace what a stage computes with in this process, so it forks none.
os.environ.setdefault("REFRACT_PROCESSES", "1")
# Commands that tests start run this code, wherever they are started.
os.environ["PYTHONPATH"] = f"{Path(__file__).parents[1]}/src:{Path(__file__).parents[1]}"

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from tests.tiny.edit import Workshop

# How long an example takes says more of what runs beside it than of the code. And the same examples
# each time: what fails has to do with the change. `--hypothesis-profile explore` draws others.
settings.register_profile("explore", deadline=None)
settings.register_profile("refract", deadline=None, derandomize=True, max_examples=25)
settings.load_profile("refract")

# A shell without job control starts jobs in the background deaf to Ctrl-C, and so what they start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

ROOT = Path(__file__).resolve().parents[1]

# Workers share the list of tests by halves and then take from the end of each other's: what takes
# longest goes first, so that no worker has it left when the others are done.
_LONGEST = (
    "test_lint.py", "test_pipeline.py", "test_snippets.py", "test_item_processes.py",
    "test_fsdp_training.py",
)  # fmt: skip


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    ranks = {name: rank for rank, name in enumerate(_LONGEST)}
    items.sort(key=lambda item: ranks.get(item.path.name, len(ranks)))


def pytest_collection_finish() -> None:
    """Leave what the imports made out of garbage collections, which stages ask for in full."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository root."""
    return ROOT


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real sample data beside the repository."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"no real sample data at {folder}")
    return folder


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random FLUX Fill repository of a few kilobytes; to be read only."""
    from tests.tiny.fill import write_tiny_fill  # not above: most tests need no diffusers

    return write_tiny_fill(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="session")
def tiny_triptychs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five random triptychs to train on and two to validate with; to be read only."""
    from tests.tiny.fill import write_triptychs

    return write_triptychs(tmp_path_factory.mktemp("data") / "triptychs", {"train": 5, "val": 2})


@pytest.fixture(scope="session")
def tiny_wan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random Wan repository of a few kilobytes; to be read only."""
    from tests.tiny.wan import save_tiny_wan

    return save_tiny_wan(tmp_path_factory.mktemp("wan") / "model")


@pytest.fixture
def shop(tmp_path: Path, tiny_wan: Path) -> "Workshop":
    """The two editing jobs on `tiny_wan`, with data of their own."""
    from tests.tiny.edit import Workshop

    return Workshop(tmp_path, tiny_wan)


@pytest.fixture(autouse=True)
def _own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Keep the item store of the working tree out of the tests."""
    monkeypatch.setenv("REFRACT_STATE", str(tmp_path / "state"))
    monkeypatch.delenv("REFRACT_REFRESH", raising=False)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    yield
