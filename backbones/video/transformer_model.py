"""The micro Wan transformer, and attention that trains fast on a CPU.

Training batches come in two forms: videos (or one-frame images) alone, and a product photo put
before the video. In the second form the photo has a noise level of its own, sees only itself,
and the video sees only those of its tokens that show the product: exactly what a reference bank
gives at editing time, where the photo's keys stand one frame before the clip.
"""

import refract.models.torchvision_compat  # noqa: F401  (must come before diffusers)

import torch
from diffusers import WanTransformer3DModel
from diffusers.models.transformers.transformer_wan import WanAttention
from einops import rearrange
from torch import Tensor

from backbones.video.text import TEXT_DIM
from backbones.video.vae_model import LATENT_CHANNELS

_HIDDEN = -1e9


def build_transformer(layers: int, heads: int, ffn_dim: int) -> WanTransformer3DModel:
    """Head width 32, patches (1, 2, 2). Output starts at zero, attention outputs small."""
    transformer = WanTransformer3DModel(
        patch_size=(1, 2, 2),
        num_attention_heads=heads,
        attention_head_dim=32,
        in_channels=LATENT_CHANNELS,
        out_channels=LATENT_CHANNELS,
        text_dim=TEXT_DIM,
        freq_dim=128,
        ffn_dim=ffn_dim,
        num_layers=layers,
        cross_attn_norm=True,
        qk_norm="rms_norm_across_heads",
        rope_max_seq_len=64,
    )
    with torch.no_grad():
        transformer.proj_out.weight.zero_()
        transformer.proj_out.bias.zero_()
        for block in transformer.blocks:
            block.attn1.to_out[0].weight *= 0.5
            block.attn2.to_out[0].weight *= 0.5
    return transformer


def _rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    first, second = x.unflatten(-1, (-1, 2)).unbind(-1)
    cos, sin = cos[..., 0::2], sin[..., 1::2]
    return torch.stack((first * cos - second * sin, first * sin + second * cos), -1).flatten(-2)


class ExplicitAttention:
    """`WanAttnProcessor`'s arithmetic with the softmax written out.

    At these lengths the fused CPU kernel's backward pass takes half of a training step. `bias`
    (b, 1, n, n) or None is added to the self-attention scores.
    """

    def __init__(self) -> None:
        self.bias: Tensor | None = None

    def __call__(
        self,
        attn: WanAttention,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        rotary_emb: tuple[Tensor, Tensor] | None = None,
    ) -> Tensor:
        context = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        query = attn.norm_q(attn.to_q(hidden_states)).unflatten(2, (attn.heads, -1))
        key = attn.norm_k(attn.to_k(context)).unflatten(2, (attn.heads, -1))
        value = attn.to_v(context).unflatten(2, (attn.heads, -1)).transpose(1, 2)
        if rotary_emb is not None:
            query, key = _rotate(query, *rotary_emb), _rotate(key, *rotary_emb)
        query = query.transpose(1, 2) * query.shape[-1] ** -0.5
        scores = query @ rearrange(key, "b n h d -> b h d n")
        if encoder_hidden_states is None and self.bias is not None:
            scores = scores + self.bias
        mixed = (scores.softmax(-1) @ value).transpose(1, 2).flatten(2)
        return attn.to_out[1](attn.to_out[0](mixed))


def install_explicit_attention(transformer: WanTransformer3DModel) -> ExplicitAttention:
    """One processor for all layers; returned, to set its bias."""
    processor = ExplicitAttention()
    for block in transformer.blocks:
        block.attn1.processor = processor
        block.attn2.processor = processor
    return processor


def photo_bias(photo_tokens: Tensor, video_tokens: int) -> Tensor:
    """photo_tokens (b, r) bool -> (b, 1, r + n, r + n): who may look at whom (0 or -1e9).

    The photo sees itself alone; the video sees itself and the photo's chosen tokens.
    """
    batch, photo = photo_tokens.shape
    bias = torch.zeros(batch, 1, photo + video_tokens, photo + video_tokens)
    bias[:, :, :photo, photo:] = _HIDDEN
    bias[:, :, photo:, :photo] = torch.where(photo_tokens, 0.0, _HIDDEN)[:, None, None]
    return bias


def predict_velocity(
    transformer: WanTransformer3DModel, x_t: Tensor, sigma: Tensor, context: Tensor
) -> Tensor:
    """x_t (b, c, f, h, w), sigma (b,) -> velocity eps - x_0 of the same shape."""
    return transformer(x_t, sigma * 1000, context, return_dict=False)[0]


def predict_velocity_beside_photo(
    transformer: WanTransformer3DModel,
    processor: ExplicitAttention,
    x_t: Tensor,
    sigma: Tensor,
    context: Tensor,
    photo: tuple[Tensor, Tensor, Tensor],
) -> Tensor:
    """As `predict_velocity`, with photo = (noisy photo (b, c, 1, h, w), its sigma, its tokens)."""
    photo_t, photo_sigma, photo_tokens = photo
    frames = x_t.shape[2]
    cells = photo_tokens.shape[1]
    steps = torch.cat(
        (photo_sigma[:, None].expand(-1, cells), sigma[:, None].expand(-1, frames * cells)), 1
    )
    processor.bias = photo_bias(photo_tokens, frames * cells)
    try:
        both = torch.cat((photo_t, x_t), 2)
        return transformer(both, steps * 1000, context, return_dict=False)[0][:, :, 1:]
    finally:
        processor.bias = None
