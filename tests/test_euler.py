import torch

from refract.euler import sample_euler


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
