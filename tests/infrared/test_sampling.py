import torch

from refract.infrared.adapter.sample_draws import derived_generator
from refract.infrared.adapter.sampling import item_noise, sample_euler


def test_a_straight_flow_is_exact_in_any_number_of_steps() -> None:
    x_0, x_1 = torch.randn(2, 3, 4, dtype=torch.float64)
    for steps in (1, 3, 20):
        sigmas = torch.linspace(1, 0, steps + 1, dtype=torch.float64)
        result = sample_euler(lambda x, sigma: x_1 - x_0, x_1, sigmas)
        assert torch.allclose(result, x_0)


def test_a_curved_flow_converges_at_first_order() -> None:
    start = torch.ones(1, dtype=torch.float64)
    exact = torch.exp(torch.tensor(-1.0, dtype=torch.float64))  # dx = x dsigma from 1 to 0
    errors = []
    for steps in (50, 100):
        sigmas = torch.linspace(1, 0, steps + 1, dtype=torch.float64)
        errors.append((sample_euler(lambda x, sigma: x, start, sigmas) - exact).abs().item())
    assert 1.9 < errors[0] / errors[1] < 2.1


def test_the_callback_sees_every_step() -> None:
    seen: list[int] = []
    sigmas = torch.tensor([1.0, 0.5, 0.0])
    sample_euler(lambda x, sigma: x, torch.ones(1), sigmas, lambda step, x: seen.append(step))
    assert seen == [0, 1]


def test_the_first_sample_is_the_noise_of_an_item_without_samples() -> None:
    expected = torch.randn(6, 64, generator=derived_generator(0, "infer", "a"))
    assert torch.equal(item_noise(0, "a", 6, 64), expected)
    assert torch.equal(item_noise(0, "a", 6, 64, sample=0), expected)


def test_samples_are_independent_and_repeatable() -> None:
    drawn = [item_noise(0, "a", 200, 64, sample) for sample in range(5)]
    drawn.append(item_noise(0, "a/1", 200, 64))  # no other item's either
    correlations = torch.corrcoef(torch.stack([x.flatten() for x in drawn]))
    assert (correlations - torch.eye(len(drawn))).abs().max() < 0.05
    assert torch.equal(item_noise(0, "a", 200, 64, 3), drawn[3])
