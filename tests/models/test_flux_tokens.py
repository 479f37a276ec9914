import refract.models.torchvision_compat  # noqa: F401  (before diffusers)

# isort: split
import pytest
import torch
from diffusers import FluxFillPipeline
from hypothesis import given
from hypothesis import strategies as st

from refract.models.flux_tokens import (
    image_ids,
    pack_latents,
    pack_mask,
    panel_grid,
    right_half,
    unpack_latents,
)

sides = st.integers(1, 5)


@given(batch=st.integers(1, 3), channels=st.integers(1, 4), rows=sides, columns=sides)
def test_unpacking_inverts_packing(batch: int, channels: int, rows: int, columns: int) -> None:
    latents = torch.randn(batch, channels, 2 * rows, 2 * columns)
    assert torch.equal(unpack_latents(pack_latents(latents), rows, columns), latents)


def test_packing_equals_the_pipeline() -> None:
    latents = torch.randn(2, 16, 6, 8)
    theirs = FluxFillPipeline._pack_latents(latents, 2, 16, 6, 8)
    assert torch.equal(pack_latents(latents), theirs)
    unpacked = FluxFillPipeline._unpack_latents(theirs, 6 * 8, 8 * 8, 8)
    assert torch.equal(unpack_latents(theirs, 3, 4), unpacked)


def test_image_ids_equal_the_pipeline() -> None:
    theirs = FluxFillPipeline._prepare_latent_image_ids(1, 3, 8, "cpu", torch.float32)
    assert torch.equal(image_ids(3, 8), theirs)


def test_mask_tokens_keep_every_pixel() -> None:
    mask = torch.randint(0, 2, (2, 1, 32, 64)).float()
    tokens = pack_mask(mask)
    assert tokens.shape == (2, 8, 256)
    assert torch.equal(tokens.sum((1, 2)), mask.sum((1, 2, 3)))


@pytest.mark.parametrize("shape", [(1, 1, 24, 32), (1, 1, 32, 40)])
def test_mask_sides_must_hold_whole_tokens(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="multiples of 16"):
        pack_mask(torch.zeros(shape))


def test_odd_latents_are_refused_with_their_shape() -> None:
    with pytest.raises(ValueError, match=r"\(1, 16, 3, 4\)"):
        pack_latents(torch.zeros(1, 16, 3, 4))
    with pytest.raises(ValueError, match="2 x 2 tokens"):
        unpack_latents(torch.zeros(1, 5, 64), 2, 2)


def test_the_same_place_has_the_same_coordinates_in_every_panel() -> None:
    grid = panel_grid(2, 3, 2).reshape(2, 6, 2)
    assert torch.equal(grid[:, :3], grid[:, 3:])
    assert torch.equal(grid[:, :3].reshape(-1, 2), panel_grid(2, 3, 1))
    assert grid[1, 2].tolist() == [1, 2]


def test_right_half() -> None:
    assert right_half(2, 4).tolist() == [False, False, True, True] * 2
