import refract.models.torchvision_compat  # noqa: F401  (before diffusers)

# isort: split
from types import SimpleNamespace
from typing import NamedTuple

import pytest
import torch
from diffusers import FluxFillPipeline
from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution
from torch import Tensor

from refract.infrared.adapter.adapter_files import build_model
from refract.infrared.adapter.fill_conditioning import (
    encode_images_fill,
    fuse_pixels,
    replace_right,
    tile_panel,
)
from refract.infrared.adapter.semantic_conditioning import DiptychGrid
from refract.models.flux_fill import FillVae, TextEmbedding
from refract.models.flux_tokens import pack_latents
from tests.infrared.test_adapter_files import base, config
from tests.tiny.fill import tiny_vae


def cheap_encode(pictures: Tensor) -> Tensor:
    """Stands in for the VAE where only shapes matter: 16 channels, an eighth of the side."""
    small = pictures[:, :1, ::8, ::8]
    return small.expand(-1, 16, -1, -1)


@pytest.mark.parametrize(("panel_px", "tokens"), [(32, 8), (512, 2048)])
def test_conditioning_equals_the_pipeline(
    monkeypatch: pytest.MonkeyPatch, panel_px: int, tokens: int
) -> None:
    """Latents, mask and ids as `FluxFillPipeline` packs them, also at the size of the full model.

    The pipeline samples the posterior; we take its mode, so let its sample be the mode.
    """
    monkeypatch.setattr(
        DiagonalGaussianDistribution, "sample", lambda self, generator=None: self.mode()
    )
    torch.manual_seed(0)
    vae = FillVae(tiny_vae().eval())
    visible, infrared = torch.rand(2, 2, 3, panel_px, panel_px) * 2 - 1
    x_0, x_cond = encode_images_fill(vae.encode, visible, infrared)
    assert x_0 is not None
    x_t = torch.randn(2, 16, panel_px // 8, panel_px // 4)
    hidden = torch.cat([pack_latents(x_t), x_cond], -1)
    expected = pipeline_tokens(vae, torch.cat([visible, infrared], -1), x_t)
    assert x_0.shape == (2, tokens, 64)
    assert x_cond.shape == (2, tokens, 320)
    assert hidden.shape == (2, tokens, 384)
    assert torch.equal(x_0, expected.x_0)
    assert torch.equal(x_cond, expected.hidden[..., 64:])
    assert torch.equal(hidden, expected.hidden)
    grid = DiptychGrid(panel_px // 16, panel_px // 16)
    assert torch.equal(grid.image_ids(), expected.ids)


class PipelineTokens(NamedTuple):
    x_0: Tensor
    hidden: Tensor
    ids: Tensor


@torch.no_grad()
def pipeline_tokens(vae: FillVae, picture: Tensor, x_t: Tensor) -> PipelineTokens:
    """What `FluxFillPipeline.__call__` makes of a picture [2, 3, H, W] and latents x_t."""
    pack = FluxFillPipeline._pack_latents
    pipeline = SimpleNamespace(vae=vae.vae, vae_scale_factor=8, _pack_latents=pack)
    height, width = picture.shape[-2:]
    mask = torch.zeros(2, 1, height, width)
    mask[..., width // 2 :] = 1
    mask_tokens, masked_tokens = FluxFillPipeline.prepare_mask_latents(
        pipeline, mask, picture * (1 - mask), 2, 16, 1, height, width, torch.float32, "cpu", None
    )
    shape = (2, 16, height // 8, width // 8)
    x_0 = FluxFillPipeline._encode_vae_image(pipeline, picture, None)
    ids = FluxFillPipeline._prepare_latent_image_ids(
        2, height // 16, width // 16, "cpu", torch.float32
    )
    hidden = torch.cat([pack(x_t, *shape), torch.cat((masked_tokens, mask_tokens), -1)], 2)
    return PipelineTokens(pack(x_0, *shape), hidden, ids)


@pytest.mark.parametrize("gate", ["zero_scale", "zero_projection"])
@pytest.mark.parametrize("site", ["x_t", "x_cond"])
@torch.no_grad()
def test_with_a_closed_gate_the_full_size_model_is_the_base(gate: str, site: str) -> None:
    """Against the stock transformer as the pipeline calls it, diptychs of 512 x 1024."""
    fresh = build_model(base(), config(gate=gate, site=site, panel_px=512))
    text = TextEmbedding(torch.randn(2, 4, 64), torch.randn(2, 64))
    x_t, x_cond = torch.randn(2, 2048, 64), torch.randn(2, 2048, 320)
    t = torch.tensor([0.3, 0.8])
    velocity = fresh(x_t, t, x_cond, torch.randn(2, 1024, 64), text)
    expected = base()(
        hidden_states=torch.cat([x_t, x_cond], 2),
        timestep=t,
        guidance=torch.ones(2),
        pooled_projections=text.pooled,
        encoder_hidden_states=text.tokens,
        txt_ids=torch.zeros(4, 3),
        img_ids=FluxFillPipeline._prepare_latent_image_ids(2, 32, 64, "cpu", torch.float32),
        return_dict=False,
    )[0]
    assert velocity.shape == (2, 2048, 64)
    assert torch.equal(velocity, expected)


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
