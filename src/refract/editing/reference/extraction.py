"""Record the reference bank: keys and values of a product image in every self-attention layer."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from refract.editing.reference.bank import LayerTensors, ReferenceBank


@contextmanager
def recording(transformer: Any) -> Iterator[LayerTensors]:
    """Collect key, value and output of each `attn1` in the passes inside; the last pass stays.

    Forward hooks read what the layers compute anyway: the output of `norm_k`, which comes before
    the rotary position, of the value projection, fused or not, with any LoRA in it, and of the
    whole layer. Key and value are (batch, tokens, heads, head_dim), output (batch, tokens,
    channels).
    """
    recorded: LayerTensors = {}
    with ExitStack() as hooks:
        for layer, block in enumerate(transformer.blocks):
            attn, pair = block.attn1, recorded.setdefault(layer, {})
            fused = getattr(attn, "fused_projections", False)
            for kind, module in (("key", attn.norm_k), ("value", _value_module(attn))):
                parts = 3 if fused and kind == "value" else 1  # to_qkv gives all three
                hook = _hook(pair, kind, attn.heads, parts)
                hooks.callback(module.register_forward_hook(hook).remove)
            hooks.callback(attn.register_forward_hook(_keep_output(pair)).remove)
        yield recorded


def _value_module(attn: Any) -> nn.Module:
    module: nn.Module = attn.to_qkv if getattr(attn, "fused_projections", False) else attn.to_v
    return module


def _hook(pair: dict[str, Tensor], kind: str, heads: int, parts: int) -> Any:
    def keep(_module: nn.Module, _args: Any, output: Tensor) -> None:
        pair[kind] = output.chunk(parts, dim=-1)[-1].unflatten(-1, (heads, -1)).detach()

    return keep


def _keep_output(pair: dict[str, Tensor]) -> Any:
    def keep(_module: nn.Module, _args: Any, output: Tensor) -> None:
        pair["output"] = output.detach()

    return keep


@torch.no_grad()
def extract_bank(
    transformer: Any,
    x_0: Tensor,
    context: Tensor,
    sigmas: Sequence[float],
    keep: Tensor,
    *,
    pool: int = 1,
    generator: torch.Generator | None = None,
    facts: Mapping[str, Any] | None = None,
) -> ReferenceBank:
    """The bank of one image, averaged over noise levels.

    At each sigma the image latents become x_t = (1 - sigma) x_0 + sigma eps, with a fresh eps
    from `generator`, and pass once through the transformer.

    Args:
        transformer: a diffusers `WanTransformer3DModel`.
        x_0: (1, channels, 1, height, width) latents of the image as a clip of one frame,
            normalised with the VAE's mean and standard deviation.
        context: (1, words, text_dim) embedding of the target prompt.
        sigmas: noise levels in [0, 1]: 0 keeps fine detail, 1 the style the prompt implies.
        keep: (rows, columns) boolean, the tokens of the product.
        pool: average tokens over windows of this side: 1, 2 or 4.
        facts: further facts to store with the bank.
    """
    windows, positions = _windows(keep.cpu(), pool)
    kept = keep.flatten().cpu()
    sums: dict[tuple[int, str], Tensor] = {}
    for sigma in sigmas:
        eps = torch.randn(x_0.shape, generator=generator, dtype=x_0.dtype)
        x_t = (1 - sigma) * x_0 + sigma * eps.to(x_0.device)
        timestep = torch.full((1,), 1000 * sigma, device=x_0.device)
        with recording(transformer) as recorded:
            transformer(x_t.to(context.dtype), timestep, context, return_dict=False)
        for layer, pair in recorded.items():
            for kind, tokens in _of_product(pair, kept).items():
                sums[layer, kind] = sums.get((layer, kind), 0.0) + tokens / len(sigmas)
    layers: LayerTensors = {}
    statistics: LayerTensors = {}
    for (layer, kind), tokens in sums.items():
        if kind in ("key", "value"):
            pooled = torch.einsum("wk,khd->whd", windows, tokens)
            layers.setdefault(layer, {})[kind] = pooled.to(context.dtype)
        else:
            statistics.setdefault(layer, {})[kind] = tokens
    how_recorded = {
        "depth": len(transformer.blocks),
        "heads": transformer.blocks[0].attn1.heads,
        "sigmas": [float(sigma) for sigma in sigmas],
        "grid": list(keep.shape),
        "kept_tokens": int(kept.sum()),
        "pool": pool,
    }
    return ReferenceBank(layers, positions, {**(facts or {}), **how_recorded}, statistics)


def _of_product(pair: dict[str, Tensor], kept: Tensor) -> dict[str, Tensor]:
    """Key and value of the product's tokens, mean and deviation of their outputs; float32, CPU."""
    tokens = {kind: recorded[0].float().cpu()[kept] for kind, recorded in pair.items()}
    deviation, mean = torch.std_mean(tokens.pop("output"), dim=0, correction=0)
    return {**tokens, "mean": mean, "deviation": deviation}


def _windows(keep: Tensor, pool: int) -> tuple[Tensor, Tensor]:
    """Weights (windows, kept tokens) that average inside each window, and its mean position.

    A window averages the product tokens it holds; one without any is left out.
    """
    positions = keep.nonzero()  # (kept, 2) row, column
    if len(positions) == 0:
        raise ValueError("no token of the image is kept; the mask must cover at least one")
    corners, owner = torch.unique(positions // pool, dim=0, return_inverse=True)
    weights = nn.functional.one_hot(owner, len(corners)).T.float()  # (windows, kept)
    weights = weights / weights.sum(dim=1, keepdim=True)
    return weights, weights @ positions.float()
