import pytest
import torch

from refract.base.errors import InputError
from refract.models.determinism import make_deterministic


@pytest.fixture(autouse=True)
def _restore() -> object:
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(False)


def test_equal_seeds_draw_equal_numbers() -> None:
    make_deterministic(3)
    first = torch.randn(8)
    make_deterministic(3)
    assert torch.equal(first, torch.randn(8))
    make_deterministic(4)
    assert not torch.equal(first, torch.randn(8))


def test_threads_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REFRACT_THREADS", "1")
    make_deterministic(0)
    assert torch.get_num_threads() == 1


@pytest.mark.parametrize("threads", ["0", "-1", "two", "1e3"])
def test_bad_thread_counts_are_input_errors(monkeypatch: pytest.MonkeyPatch, threads: str) -> None:
    monkeypatch.setenv("REFRACT_THREADS", threads)
    with pytest.raises(InputError, match="REFRACT_THREADS"):
        make_deterministic(0)
