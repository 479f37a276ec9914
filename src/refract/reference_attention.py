"""Let the self-attention of a Wan transformer see the tokens of a reference image.

    with reference_attention(pipeline.transformer, bank, strength=0.8):
        video = pipeline(prompt).frames[0]

Works on any diffusers `WanTransformer3DModel`. Only `blocks.i.attn1` is touched: the text enters
through `attn2` as before. What is not injected goes to the processor that stood there, so a
strength of 0 (or no bank, or no layer) is bit for bit the stock model.
"""

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import torch
from einops import rearrange
from torch import Tensor, nn

from refract.errors import InputError
from refract.joint_attention import joint_attention
from refract.layer_choice import chosen_layers
from refract.reference_bank import ReferenceBank
from refract.wan_rope import Grid, rotary_at, rotate

Branch = Literal["source", "edited", "target"]
Branches = Literal["target", "edited", "all"]
Rope = Literal["before", "frame0", "after", "none"]

# (q, k, v, k_ref, v_ref, strength) -> out; each (batch, heads, tokens, head_dim)
_MODES: dict[str, Callable[..., Tensor]] = {"joint": joint_attention}
_SEEN_BY: dict[str, frozenset[str]] = {
    "target": frozenset({"target"}),
    "edited": frozenset({"edited", "target"}),
    "all": frozenset({"source", "edited", "target"}),
}
_ROPES = ("before", "frame0", "after", "none")


@dataclass
class ActiveReference:
    """What the forward passes inside the context see; set by whoever calls the transformer.

    branch: the velocity being evaluated, see `at`. A caller who knows no branches leaves it.
    enabled: False switches the reference off for a while, e.g. outside `ref_steps`.
    """

    seen_by: frozenset[str]
    branch: Branch = "target"
    enabled: bool = True

    def at(self, branch: Branch) -> None:
        """Name the velocity that the next forward pass evaluates.

        `source` is v(q, source prompt), `edited` v(p, source prompt), `target` v(p, target prompt).
        """
        self.branch = branch

    @property
    def visible(self) -> bool:
        """Whether the forward pass at hand sees the reference."""
        return self.enabled and self.branch in self.seen_by


class _PlacedKeys:
    """Rotates bank keys to their position in the clip at hand, once per grid and layer."""

    def __init__(self, bank: ReferenceBank, rope: Rope, table: Any) -> None:
        self.bank, self.rope, self.table = bank, rope, table
        self._grid: Grid | None = None
        self._ready: dict[tuple[int, torch.device, torch.dtype], tuple[Tensor, Tensor]] = {}

    def note_grid(self, _module: nn.Module, args: tuple[Any, ...]) -> None:
        """Forward pre-hook of the model's rotary module: its input has the latent's shape."""
        frames, height, width = args[0].shape[2:]
        p_t, p_h, p_w = self.table.patch_size
        grid = Grid(frames // p_t, height // p_h, width // p_w)
        if grid != self._grid:
            self._grid = grid
            self._ready.clear()

    def __call__(self, layer: int, like: Tensor) -> tuple[Tensor, Tensor]:
        """Key and value (1, heads, tokens, head_dim) of a layer, typed and placed like `like`."""
        address = (layer, like.device, like.dtype)
        if address not in self._ready:
            pair = self.bank.layers[layer]
            key = pair["key"].to(like.device)[None]  # (1, tokens, heads, head_dim)
            value = pair["value"].to(like.device)[None]
            if self.rope != "none":
                cos, sin = rotary_at(self.table, self._positions().to(like.device))
                key = rotate(key.float(), cos, sin)
            self._ready[address] = (_heads_first(key.to(like)), _heads_first(value.to(like)))
        return self._ready[address]

    def _positions(self) -> Tensor:
        assert self._grid is not None, "the rotary module runs before the first block"
        frame = {"before": -1, "frame0": 0, "after": self._grid.frames}[self.rope]
        frames = torch.full((self.bank.tokens, 1), float(frame))
        return torch.cat([frames, self.bank.positions.cpu()], dim=1)


def _heads_first(x: Tensor) -> Tensor:
    return rearrange(x, "b n h d -> b h n d").contiguous()


class ReferenceAttnProcessor:
    """Self-attention processor of one layer; has the call signature of `WanAttnProcessor`."""

    _attention_backend = None
    _parallel_config = None

    def __init__(
        self,
        stock: Any,
        layer: int,
        placed: _PlacedKeys,
        active: ActiveReference,
        strength: float,
        mode: str,
    ) -> None:
        self.stock, self.layer, self.placed, self.active = stock, layer, placed, active
        self.strength, self.attend = strength, _MODES[mode]
        self._attention_backend = getattr(stock, "_attention_backend", None)
        self._parallel_config = getattr(stock, "_parallel_config", None)

    def __call__(
        self,
        attn: Any,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        rotary_emb: tuple[Tensor, Tensor] | None = None,
        **kwargs: Any,
    ) -> Tensor:
        if not self.active.visible:
            return self._stock_output(
                attn, hidden_states, encoder_hidden_states, attention_mask, rotary_emb, **kwargs
            )
        self._check_supported(encoder_hidden_states, attention_mask, rotary_emb)
        query, key, value = _projections(attn, hidden_states)  # (b, n, h, d) each
        assert rotary_emb is not None
        cos, sin = rotary_emb[0][..., 0::2], rotary_emb[1][..., 1::2]
        query, key = rotate(query, cos, sin), rotate(key, cos, sin)
        q, k, v = _heads_first(query), _heads_first(key), _heads_first(value)
        k_ref, v_ref = (x.expand(len(q), -1, -1, -1) for x in self.placed(self.layer, q))
        out = self.attend(q, k, v, k_ref, v_ref, self.strength)
        out = rearrange(out, "b h n d -> b n (h d)").to(query.dtype)
        return attn.to_out[1](attn.to_out[0](out))

    def _stock_output(self, *args: Any, **kwargs: Any) -> Tensor:
        """The output without a reference, with a backend that was set meanwhile passed on."""
        for name in ("_attention_backend", "_parallel_config"):
            if hasattr(self.stock, name):
                setattr(self.stock, name, getattr(self, name))
        return self.stock(*args, **kwargs)

    def _check_supported(
        self,
        encoder_hidden_states: Tensor | None,
        attention_mask: Tensor | None,
        rotary_emb: tuple[Tensor, Tensor] | None,
    ) -> None:
        if encoder_hidden_states is not None or rotary_emb is None:
            raise ValueError("reference attention belongs in the self-attention of a Wan block")
        if attention_mask is not None:
            raise ValueError("reference attention knows no attention mask; Wan passes none")
        if self._parallel_config is not None:
            raise ValueError("reference attention does not run under context parallelism")


def _projections(attn: Any, hidden_states: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Query and key after their norms, and value, each (batch, tokens, heads, head_dim)."""
    if getattr(attn, "fused_projections", False):
        query, key, value = attn.to_qkv(hidden_states).chunk(3, dim=-1)
    else:
        query, key, value = (to(hidden_states) for to in (attn.to_q, attn.to_k, attn.to_v))
    query, key = attn.norm_q(query), attn.norm_k(key)
    split = "b n (h d) -> b n h d"
    return tuple(rearrange(x, split, h=attn.heads) for x in (query, key, value))


def _check_choices(strength: float, mode: str, branches: str, rope: str) -> None:
    if not math.isfinite(strength) or strength < 0:
        raise InputError(f"ref_strength = {strength}: must be a finite number >= 0")
    for key, value, allowed in (
        ("ref_mode", mode, tuple(_MODES)),
        ("ref_branches", branches, tuple(_SEEN_BY)),
        ("flowalign.rope", rope, _ROPES),
    ):
        if value not in allowed:
            raise InputError(f"{key} = {value!r}: must be one of {', '.join(allowed)}")


@contextmanager
def reference_attention(
    transformer: Any,
    bank: ReferenceBank | None,
    *,
    strength: float = 1.0,
    mode: str = "joint",
    layers: str | Iterable[int] = "all",
    branches: Branches = "target",
    rope: Rope = "before",
) -> Iterator[ActiveReference]:
    """Inject a reference bank into `transformer` for the length of the `with` block.

    Args:
        transformer: a diffusers `WanTransformer3DModel`, with or without LoRA or fused projections.
        bank: recorded in the same model; None runs the stock model.
        strength: s >= 0, the weight of the reference in the softmax; 0 runs the stock model, 1 is
            plain concatenation.
        mode: joint, one softmax over video and reference tokens.
        layers: all, middle, deep, a range such as "10-20" or indices; an empty list: stock model.
        branches: which velocity branches see the reference: target, edited (both at p) or all.
        rope: frame given to the reference tokens: before the clip (-1), frame0, after, none.
    Yields:
        The switch by which the caller names the branch it evaluates. The original processors are
        back when the block ends, also by an exception.
    Raises:
        InputError for values out of range and a bank of another model.
    """
    _check_choices(strength, mode, branches, rope)
    active = ActiveReference(_SEEN_BY[branches])
    blocks = list(transformer.blocks)
    wanted = chosen_layers(layers, len(blocks))
    if bank is None or strength == 0 or not wanted:
        yield active
        return
    first = blocks[0].attn1
    bank.check_fits(len(blocks), first.heads, first.inner_dim // first.heads)
    missing = sorted(wanted - bank.layers.keys())
    if missing:
        raise InputError(f"reference bank: holds no layer {missing[0]}; extract it again")
    placed = _PlacedKeys(bank, rope, transformer.rope)
    stock = {layer: blocks[layer].attn1.processor for layer in sorted(wanted)}
    hook = transformer.rope.register_forward_pre_hook(placed.note_grid)
    try:
        for layer, processor in stock.items():
            blocks[layer].attn1.processor = ReferenceAttnProcessor(
                processor, layer, placed, active, strength, mode
            )
        yield active
    finally:
        hook.remove()
        for layer, processor in stock.items():
            blocks[layer].attn1.processor = processor
