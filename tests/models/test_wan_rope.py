from typing import Any

import pytest
import torch

from refract.models.wan_rope import rotary_at, rotary_frequencies, rotate


@pytest.fixture(scope="module", params=[12, 32, 128])
def table(request: pytest.FixtureRequest) -> Any:
    import refract.models.torchvision_compat  # noqa: F401  before diffusers

    # isort: split
    from diffusers.models.transformers.transformer_wan import WanRotaryPosEmbed

    return WanRotaryPosEmbed(request.param, (1, 2, 2), 64)


def grid_positions(frames: int, rows: int, columns: int) -> torch.Tensor:
    axes = (torch.arange(frames), torch.arange(rows), torch.arange(columns))
    return torch.cartesian_prod(*axes).float()


def test_equals_the_models_own_table_on_whole_positions(table: Any) -> None:
    frames, rows, columns = 5, 6, 7
    latents = torch.zeros(1, 4, frames, 2 * rows, 2 * columns)
    cos, sin = table(latents)
    ours = rotary_at(table, grid_positions(frames, rows, columns))
    torch.testing.assert_close(ours[0], cos[..., 0::2].float(), rtol=0, atol=1e-5)
    torch.testing.assert_close(ours[1], sin[..., 1::2].float(), rtol=0, atol=1e-5)


def test_frame_before_the_clip_flips_the_sine_of_the_frame_part(table: Any) -> None:
    pairs = table.t_dim // 2
    after, before = (rotary_at(table, torch.tensor([[t, 3.0, 2.0]])) for t in (1.0, -1.0))
    torch.testing.assert_close(before[0], after[0], rtol=0, atol=1e-6)
    torch.testing.assert_close(before[1][..., :pairs], -after[1][..., :pairs], rtol=0, atol=1e-6)
    torch.testing.assert_close(before[1][..., pairs:], after[1][..., pairs:])


def test_products_depend_on_distance_alone(table: Any) -> None:
    dim = 2 * len(rotary_frequencies(table))
    q, k = torch.randn(2, 1, 1, 1, dim, generator=torch.Generator().manual_seed(0))

    def product(q_at: list[float], k_at: list[float]) -> torch.Tensor:
        placed = [
            rotate(x, *rotary_at(table, torch.tensor([at]))) for x, at in ((q, q_at), (k, k_at))
        ]
        return (placed[0] * placed[1]).sum()

    near = product([2.0, 3.0, 1.5], [-1.0, 1.0, 0.5])
    torch.testing.assert_close(near, product([5.0, 5.0, 2.5], [2.0, 3.0, 1.5]), rtol=0, atol=1e-4)


def test_rotation_keeps_length_and_type() -> None:
    x = torch.randn(2, 3, 4, 8).half()
    angle = torch.rand(1, 3, 1, 4)
    turned = rotate(x, angle.cos(), angle.sin())
    assert turned.dtype == x.dtype
    torch.testing.assert_close(
        turned.float().norm(dim=-1), x.float().norm(dim=-1), rtol=1e-2, atol=0
    )
