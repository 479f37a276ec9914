"""Attention of the FLUX transformer that trains fast on a CPU."""

import refract.models.torchvision_compat  # noqa: F401  (must come before diffusers)

# isort: split
import torch
from diffusers import FluxTransformer2DModel
from diffusers.models.embeddings import apply_rotary_emb
from diffusers.models.transformers.transformer_flux import FluxAttention
from einops import rearrange
from torch import Tensor


class ExplicitAttention:
    """`FluxAttnProcessor`'s arithmetic with the softmax written out.

    At these lengths the fused CPU kernel's backward pass takes half of a training step.
    """

    def __call__(
        self,
        attn: FluxAttention,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        image_rotary_emb: tuple[Tensor, Tensor] | None = None,
    ) -> Tensor | tuple[Tensor, Tensor]:
        """hidden_states [B, N, C], encoder_hidden_states [B, T, C] in the double blocks."""
        if attention_mask is not None:
            raise ValueError("the micro FLUX trains without an attention mask")
        query, key, value = _project(attn, hidden_states, encoder_hidden_states)
        if image_rotary_emb is not None:
            query = apply_rotary_emb(query, image_rotary_emb, sequence_dim=1)
            key = apply_rotary_emb(key, image_rotary_emb, sequence_dim=1)
        query = query.transpose(1, 2) * query.shape[-1] ** -0.5
        scores = query @ rearrange(key, "b n h d -> b h d n")
        mixed = (scores.softmax(-1) @ value.transpose(1, 2)).transpose(1, 2).flatten(2)
        if encoder_hidden_states is None:
            return mixed
        words = encoder_hidden_states.shape[1]
        image = attn.to_out[1](attn.to_out[0](mixed[:, words:]))
        return image, attn.to_add_out(mixed[:, :words])


def _project(
    attn: FluxAttention, image: Tensor, text: Tensor | None
) -> tuple[Tensor, Tensor, Tensor]:
    """Queries, keys and values [B, T + N, heads, D]; the text comes first."""

    def heads(x: Tensor) -> Tensor:
        return x.unflatten(-1, (-1, attn.head_dim))

    query = attn.norm_q(heads(attn.to_q(image)))
    key = attn.norm_k(heads(attn.to_k(image)))
    value = heads(attn.to_v(image))
    if text is None:
        return query, key, value
    return (
        torch.cat([attn.norm_added_q(heads(attn.add_q_proj(text))), query], dim=1),
        torch.cat([attn.norm_added_k(heads(attn.add_k_proj(text))), key], dim=1),
        torch.cat([heads(attn.add_v_proj(text)), value], dim=1),
    )


def install_explicit_attention(transformer: FluxTransformer2DModel) -> None:
    """Give every block the processor above; saving and loading do not see it."""
    for block in [*transformer.transformer_blocks, *transformer.single_transformer_blocks]:
        block.attn.processor = ExplicitAttention()
