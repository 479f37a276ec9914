"""One block of Wan with random weights, its input and a reference bank, for measurements."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import refract.models.torchvision_compat  # noqa: F401  before diffusers

import torch
from diffusers import WanTransformer3DModel
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from benchmarks.concat_attention import ConcatProcessor, Mask
from refract.editing.reference.attention import reference_attention
from refract.editing.reference.bank import ReferenceBank
from refract.models.wan_rope import rotary_at

_FLOPS = 2  # a product is a multiplication and an addition


@dataclass(frozen=True)
class Shape:
    """One block of Wan and its input; the defaults are those of Wan2.1-1.3B at 832x480.

    frames, rows, columns: tokens of the clip. words, text_dim: of the prompt's embedding.
    """

    frames: int = 3
    rows: int = 30
    columns: int = 52
    heads: int = 12
    head_dim: int = 128
    ffn: int = 8960
    words: int = 512
    text_dim: int = 4096

    @property
    def tokens(self) -> int:
        return self.frames * self.rows * self.columns

    @property
    def dim(self) -> int:
        return self.heads * self.head_dim


def step_flops(shape: Shape, batch: int) -> int:
    """Matrix products of the block, batch and all; embeddings, norms and softmax left out."""
    n, d, words = shape.tokens, shape.dim, shape.words
    self_attention = 4 * n * d * d + 2 * n * n * d
    cross_attention = 2 * n * d * d + 2 * words * d * d + 2 * n * words * d
    feed_forward = 2 * n * d * shape.ffn
    return _FLOPS * batch * (self_attention + cross_attention + feed_forward)


def reference_flops(shape: Shape, batch: int, reference: int) -> int:
    """Attention of every query over the reference's keys."""
    return _FLOPS * batch * 2 * shape.tokens * reference * shape.dim


class Step:
    """A model of one block, its input, and a bank; calls to measure with either or neither."""

    def __init__(
        self, shape: Shape, batch: int, reference: int, dtype: torch.dtype, device: str
    ) -> None:
        torch.manual_seed(0)
        self.shape = shape
        self.model = _model(shape, dtype).to(device)
        self.bank = _bank(shape, reference, dtype, device)
        latents = (batch, 16, shape.frames, 2 * shape.rows, 2 * shape.columns)
        self.inputs = {
            "hidden_states": torch.randn(latents, dtype=dtype, device=device),
            "timestep": torch.full((batch,), 500.0, device=device),
            "encoder_hidden_states": torch.randn(
                batch, shape.words, shape.text_dim, dtype=dtype, device=device
            ),
        }
        self.attn = self.model.blocks[0].attn1
        self.layer_inputs = self._layer_inputs()

    @torch.no_grad()
    def run(self, what: str) -> Tensor:
        """The whole `step`, (batch, channels, frames, height, width), or its self-attention
        `layer` alone, (batch, tokens, dim)."""
        out: Tensor
        if what == "layer":
            out = self.attn(*self.layer_inputs)
        else:
            out = self.model(**self.inputs, return_dict=False)[0]
        return out

    def kernel(self) -> Callable[[], Tensor]:
        """Attention of as many queries, laid out as in the stock model, over the reference."""
        x, heads = self.layer_inputs[0], self.shape.heads
        q = torch.randn_like(x).unflatten(2, (heads, -1)).transpose(1, 2)
        pair = self.bank.layers[0]
        k, v = (
            pair[kind].transpose(0, 1).contiguous().expand(len(x), -1, -1, -1)
            for kind in ("key", "value")
        )
        return lambda: scaled_dot_product_attention(q, k, v)

    def bare(self) -> Callable[[], Tensor]:
        """The layer's matrix products, of the video and the reference, and nothing else.

        The kernels get heads that are dense in memory, which is their fastest layout.
        """
        x, attn, kernel = self.layer_inputs[0], self.attn, self.kernel()
        q, k, v = (
            torch.randn_like(x).unflatten(2, (attn.heads, -1)).transpose(1, 2).contiguous()
            for _ in range(3)
        )

        @torch.no_grad()
        def call() -> Tensor:
            for projection in (attn.to_q, attn.to_k, attn.to_v):
                projection(x)
            scaled_dot_product_attention(q, k, v)
            kernel()
            out: Tensor = attn.to_out[0](x)
            return out

        return call

    def ours(self, strength: float) -> Any:
        """The processor that `reference_attention` installs, told the grid of the clip."""
        with reference_attention(self.model, self.bank, strength=strength):
            self.model.rope(self.inputs["hidden_states"])
            return self.attn.processor

    def concatenated(self, strength: float, mask: Mask) -> ConcatProcessor:
        """The form to compare with, its reference at the same place: one frame before the clip."""
        pair = self.bank.layers[0]
        before = torch.full((self.bank.tokens, 1), -1.0)
        positions = torch.cat([before, self.bank.positions], dim=1).to(pair["key"].device)
        rotary = rotary_at(self.model.rope, positions)
        return ConcatProcessor(pair["key"], pair["value"], rotary, strength, mask)

    def _layer_inputs(self) -> tuple[Any, ...]:
        seen: list[tuple[Any, ...]] = []
        hook = self.attn.register_forward_pre_hook(lambda _module, args: seen.append(args))
        self.run("step")
        hook.remove()
        return seen[0]


def _model(shape: Shape, dtype: torch.dtype) -> Any:
    model = WanTransformer3DModel(
        num_attention_heads=shape.heads,
        attention_head_dim=shape.head_dim,
        ffn_dim=shape.ffn,
        text_dim=shape.text_dim,
        num_layers=1,
        cross_attn_norm=True,
    )
    float32 = set(model._keep_in_fp32_modules)  # as `from_pretrained` has it
    for name, parameter in model.named_parameters():
        if float32.isdisjoint(name.split(".")):
            parameter.data = parameter.data.to(dtype)
    return model.eval().requires_grad_(False)


def _bank(shape: Shape, reference: int, dtype: torch.dtype, device: str) -> ReferenceBank:
    """Random keys and values; the tokens are the first of an image as large as a frame."""
    if not 0 < reference <= shape.rows * shape.columns:
        raise ValueError(f"{reference} reference tokens: a frame has {shape.rows * shape.columns}")
    key, value = torch.randn(2, reference, shape.heads, shape.head_dim, dtype=dtype, device=device)
    grid = torch.cartesian_prod(torch.arange(shape.rows), torch.arange(shape.columns))
    return ReferenceBank({0: {"key": key, "value": value}}, grid[:reference].float())
