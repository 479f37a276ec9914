import torch
from torch import Tensor

from refract.infrared.training.objective import Batch, flow_matching_loss, validation_levels
from refract.models.flux_fill import TextEmbedding

INFRARED = torch.tensor([False, False, True, True])


def batch(x_0: Tensor) -> Batch:
    text = TextEmbedding(torch.zeros(len(x_0), 1, 4), torch.zeros(len(x_0), 4))
    return Batch(x_0, torch.zeros(*x_0.shape[:2], 320), torch.zeros(len(x_0), 2, 64), text)


class Oracle(torch.nn.Module):
    """Knows the data: returns the exact velocity plus an error on the right half."""

    def __init__(self, x_0: Tensor, error: Tensor) -> None:
        super().__init__()
        self.x_0, self.error = x_0, error
        self.seen: list[Tensor] = []

    def forward(self, x_t: Tensor, t: Tensor, *rest: object) -> Tensor:
        self.seen.append(x_t)
        return (x_t - self.x_0) / t[:, None, None] + self.error  # x_t = x_0 + t (x_1 - x_0)


def test_the_exact_velocity_has_no_loss() -> None:
    x_0, x_1 = torch.randn(2, 3, 4, 64)
    t = torch.tensor([0.2, 0.5, 0.9])
    oracle = Oracle(x_0, torch.zeros(1))
    loss = flow_matching_loss(oracle, batch(x_0), x_1, t, INFRARED, 1.0)
    assert loss < 1e-9
    expected = 0.5 * (x_0[1] + x_1[1])
    assert torch.allclose(oracle.seen[0][1], expected, atol=1e-6)


def test_halves_are_weighted() -> None:
    x_0, x_1 = torch.randn(2, 1, 4, 64)
    t = torch.tensor([0.5])
    left = torch.where(INFRARED, 0.0, 2.0)[None, :, None]
    right = torch.where(INFRARED, 2.0, 0.0)[None, :, None]

    def loss(error: Tensor) -> float:
        oracle = Oracle(x_0, error)
        return float(flow_matching_loss(oracle, batch(x_0), x_1, t, INFRARED, 0.1))

    assert abs(loss(right) - 4.0) < 1e-4
    assert abs(loss(left) - 0.4) < 1e-4


def test_validation_levels_are_spread_like_the_training_draws() -> None:
    levels = validation_levels(101)
    assert torch.equal(levels, levels.sort().values)
    assert torch.isclose(levels[50], torch.tensor(0.5))
    assert torch.allclose(levels + levels.flip(0), torch.ones(101), atol=1e-6)
