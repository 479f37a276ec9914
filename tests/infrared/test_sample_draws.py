import torch
from hypothesis import given
from hypothesis import strategies as st

from refract.infrared.adapter.sample_draws import item_at, noise_and_time


@given(seed=st.integers(0, 100), count=st.integers(1, 20), epoch=st.integers(0, 3))
def test_every_epoch_shows_every_item_once(seed: int, count: int, epoch: int) -> None:
    positions = range(epoch * count, (epoch + 1) * count)
    assert sorted(item_at(seed, position, count) for position in positions) == list(range(count))


def test_draws_depend_on_seed_and_position_alone() -> None:
    torch.manual_seed(0)
    noise, t = noise_and_time(3, 7, (4, 2))
    torch.manual_seed(99)
    again, t_again = noise_and_time(3, 7, (4, 2))
    assert torch.equal(noise, again)
    assert t == t_again
    assert not torch.equal(noise, noise_and_time(3, 8, (4, 2))[0])
    assert not torch.equal(noise, noise_and_time(4, 7, (4, 2))[0])


def test_times_are_sigmoid_normal() -> None:
    times = torch.stack([noise_and_time(0, position, (1,))[1] for position in range(2000)])
    assert times.min() > 0 and times.max() < 1
    assert abs(times.logit().mean()) < 0.1
    assert abs(times.logit().std() - 1) < 0.1


@given(position=st.integers(0, 1000), shift=st.floats(0.1, 10))
def test_a_shift_moves_the_time_as_in_sd3_and_leaves_the_noise(position: int, shift: float) -> None:
    noise, t = noise_and_time(0, position, (3,))
    same, shifted = noise_and_time(0, position, (3,), shift)
    assert torch.equal(noise, same)
    torch.testing.assert_close(shifted, shift * t / (1 + (shift - 1) * t))
