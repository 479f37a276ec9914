from types import SimpleNamespace

import pytest
import torch
from diffusers import FluxFillPipeline
from torch import Tensor

from refract.fill_conditioning import (
    encode_images_fill,
    fuse_pixels,
    replace_right,
    tile_panel,
)
from refract.flux_fill import FillVae
from refract.latent_packing import pack_latents
from tests.tiny_fill import tiny_vae


def cheap_encode(pictures: Tensor) -> Tensor:
    """Stands in for the VAE where only shapes matter: 16 channels, an eighth of the side."""
    small = pictures[:, :1, ::8, ::8]
    return small.expand(-1, 16, -1, -1)


def test_conditioning_equals_prepare_mask_latents(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    vae = FillVae(tiny_vae().eval())
    # The pipeline samples the posterior; we take its mode, so let its sample be the mode.
    from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution

    monkeypatch.setattr(
        DiagonalGaussianDistribution, "sample", lambda self, generator=None: self.mode()
    )
    visible, infrared = torch.rand(2, 2, 3, 32, 32) * 2 - 1
    mask = torch.zeros(2, 1, 32, 64)
    mask[..., 32:] = 1
    picture = torch.cat([visible, infrared], -1)
    pipeline = SimpleNamespace(
        vae=vae.vae, vae_scale_factor=8, _pack_latents=FluxFillPipeline._pack_latents
    )
    with torch.no_grad():
        mask_tokens, masked_tokens = FluxFillPipeline.prepare_mask_latents(
            pipeline, mask, picture * (1 - mask), 2, 16, 1, 32, 64, torch.float32, "cpu", None
        )
    x_0, x_cond = encode_images_fill(vae.encode, visible, infrared)
    assert torch.equal(x_cond, torch.cat([masked_tokens, mask_tokens], -1))
    assert x_0 is not None
    assert torch.equal(x_0, pack_latents(vae.encode(picture)))


def test_shapes_of_the_full_profile() -> None:
    visible = torch.zeros(1, 3, 512, 512)
    x_0, x_cond = encode_images_fill(cheap_encode, visible, visible)
    assert x_0 is not None
    assert x_0.shape == (1, 2048, 64)
    assert x_cond.shape == (1, 2048, 320)
    assert torch.cat([x_0, x_cond], -1).shape == (1, 2048, 384)
    semantic = pack_latents(cheap_encode(visible))
    assert semantic.shape == (1, 1024, 64)
    assert tile_panel(semantic, 32).shape == (1, 2048, 64)


def test_the_truth_is_not_in_the_conditioning() -> None:
    visible, first, second = torch.rand(3, 1, 3, 32, 32)
    with_first = encode_images_fill(cheap_encode, visible, first)[1]
    assert torch.equal(with_first, encode_images_fill(cheap_encode, visible, second)[1])
    assert encode_images_fill(cheap_encode, visible)[0] is None


def test_tiled_tokens_repeat_row_by_row() -> None:
    panel = torch.arange(6.0).reshape(1, 6, 1)  # 2 rows of 3
    assert tile_panel(panel, 3).flatten().tolist() == [0, 1, 2, 0, 1, 2, 3, 4, 5, 3, 4, 5]


def test_replacing_the_right_panel() -> None:
    diptych = torch.arange(8.0).reshape(1, 8, 1)  # 2 rows of 2 + 2
    panel = torch.full((1, 4, 1), -1.0)
    replaced = replace_right(diptych, panel, 2).flatten().tolist()
    assert replaced == [0, 1, -1, -1, 4, 5, -1, -1]


def test_fusion_is_a_weighted_mean() -> None:
    visible, semantic = torch.rand(2, 1, 3, 4, 4)
    assert torch.equal(fuse_pixels(visible, semantic, 0.0), visible)
    assert torch.equal(fuse_pixels(visible, semantic, 1.0), semantic)
