"""Let the self-attention of a Wan transformer see the tokens of a reference image.

    with reference_attention(pipeline.transformer, bank, strength=0.8):
        video = pipeline(prompt).frames[0]

Works on any diffusers `WanTransformer3DModel`. Only `blocks.i.attn1` is touched: the text enters
through `attn2` as before. What is not injected goes to the processor that stood there, so a
strength of 0 (or no bank, or no layer) is bit for bit the stock model.
"""

import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, get_args

from einops import rearrange
from torch import Tensor

from refract.base.errors import InputError
from refract.editing.reference.bank import ReferenceBank
from refract.editing.reference.frame_schedule import FrameSchedule
from refract.editing.reference.joint_attention import Strength
from refract.editing.reference.modes import INJECTIONS, Injection, restyle
from refract.editing.reference.placed import PlacedReference, Rope, heads_first
from refract.editing.samplers.layer_choice import chosen_layers
from refract.editing.samplers.velocity import Branch
from refract.editing.samplers.windows import Window
from refract.models.wan_rope import rotate

Branches = Literal["target", "edited", "all", "guided"]

_SEEN_BY: dict[str, frozenset[str]] = {
    "target": frozenset({"target"}),
    "edited": frozenset({"edited", "target"}),
    "all": frozenset({"source", "edited", "target"}),
    "guided": frozenset({"reference"}),
}


@dataclass
class ActiveReference:
    """What the forward passes inside the context see; set by whoever calls the transformer.

    present: False where nothing is injected: strength 0, no layer, an empty bank or none.
    branch: the velocity being evaluated, see `at`. A caller who knows no branches leaves it.
    window: the part of the clip being shown; None for all of it.
    enabled: False switches the reference off for a while, e.g. outside `ref_steps`.
    """

    seen_by: frozenset[str]
    present: bool
    branch: Branch
    enabled: bool = True
    window: Window | None = None

    def at(self, branch: Branch, window: Window | None = None) -> None:
        """Name the velocity that the next forward pass evaluates, and what of the clip it shows.

        `source` is v(q, source prompt), `edited` v(p, source prompt), `target` v(p, target prompt)
        and `reference` v(p, target prompt) once more, for a guidance of the reference's own.
        """
        self.branch, self.window = branch, window

    @property
    def visible(self) -> bool:
        """Whether the forward pass at hand sees the reference."""
        return self.enabled and self.branch in self.seen_by


class ReferenceAttnProcessor:
    """Self-attention processor of one layer; has the call signature of `WanAttnProcessor`."""

    _attention_backend = None
    _parallel_config = None

    def __init__(
        self,
        stock: Any,
        layer: int,
        placed: PlacedReference,
        active: ActiveReference,
        injection: Injection,
    ) -> None:
        self.stock, self.layer, self.placed, self.active = stock, layer, placed, active
        self.injection = injection
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
        arguments = (hidden_states, encoder_hidden_states, attention_mask, rotary_emb)
        if not self.active.visible:
            return self._stock_output(attn, *arguments, **kwargs)
        self._check_supported(encoder_hidden_states, attention_mask, rotary_emb)
        if self.injection.attend is None:
            out = self._stock_output(attn, *arguments, **kwargs)
        else:
            assert rotary_emb is not None
            out = self._injected_output(attn, hidden_states, *rotary_emb)
        if not self.injection.restyles:
            return out
        return restyle(out, *self.placed.statistics(self.layer, out), self._strength(out))

    def _strength(self, like: Tensor) -> Strength:
        return self.placed.strength(self.active.window, like.device)

    def _injected_output(
        self, attn: Any, hidden_states: Tensor, cos_table: Tensor, sin_table: Tensor
    ) -> Tensor:
        cos, sin = cos_table[..., 0::2], sin_table[..., 1::2]
        # Query, key and value belong to `_attended` alone: they are free before the projection
        out = self._attended(*_projections(attn, hidden_states, cos, sin))
        return attn.to_out[1](attn.to_out[0](rearrange(out, "b h n d -> b n (h d)")))

    def _attended(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        k_ref, v_ref = (
            x.expand(len(q), -1, -1, -1) for x in self.placed.keys_values(self.layer, q)
        )
        assert self.injection.attend is not None
        return self.injection.attend(q, k, v, k_ref, v_ref, self._strength(q))

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


def _projections(
    attn: Any, hidden_states: Tensor, cos: Tensor, sin: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Query and key after norm and rotary position, and value: (batch, heads, tokens, head_dim).

    One after another, since what their norms need meanwhile is the peak of the layer's memory. Each
    is dense by heads, as the kernels are fastest with; `rotate` copies in any case.
    """
    if getattr(attn, "fused_projections", False):
        raw = iter(attn.to_qkv(hidden_states).chunk(3, dim=-1))
    else:
        raw = (to(hidden_states) for to in (attn.to_q, attn.to_k, attn.to_v))
    cos, sin = heads_first(cos), heads_first(sin)
    split = {"pattern": "b n (h d) -> b h n d", "h": attn.heads}
    query = rotate(rearrange(attn.norm_q(next(raw)), **split), cos, sin)
    key = rotate(rearrange(attn.norm_k(next(raw)), **split), cos, sin)
    return query, key, rearrange(next(raw), **split).contiguous()


def _check_choices(strength: float, mode: str, branches: str, rope: str) -> None:
    for key, value, allowed in (
        ("ref_mode", mode, tuple(INJECTIONS)),
        ("ref_branches", branches, tuple(_SEEN_BY)),
        ("flowalign.ref_rope", rope, get_args(Rope)),
    ):
        if value not in allowed:
            raise InputError(f"{key} = {value!r}: must be one of {', '.join(allowed)}")
    if not math.isfinite(strength):
        raise InputError(f"ref_strength = {strength}: must be a finite number")
    if strength < 0 and not INJECTIONS[mode].signed:
        raise InputError(f"ref_strength = {strength}: must be >= 0 with ref_mode {mode}")


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
    frame_schedule: FrameSchedule = "constant",
) -> Iterator[ActiveReference]:
    """Inject a reference bank into `transformer` for the length of the `with` block.

    Args:
        transformer: a diffusers `WanTransformer3DModel`, with or without LoRA or fused projections.
        bank: recorded in the same model; None or an empty one runs the stock model.
        strength: s, the weight of the reference; 0 runs the stock model whatever the mode. In
            `joint`, 1 is plain concatenation and above 1 amplifies. Below 0 only in `refdrop`.
        mode: joint (one softmax over video and reference tokens), concat_scaled, refdrop, adain or
            attn+adain; see `modes`.
        layers: all, middle, deep, a range such as "10-20" or indices; an empty list: stock model.
        branches: which velocity branches see the reference: target, edited (both at p), all, or
            guided (a pass of its own, `reference`).
        rope: frame given to the reference tokens: before the clip (-1), frame0, after, none.
        frame_schedule: factors of the strength over the frames, see `frame_factors`.
    Yields:
        The switch by which the caller names the branch it evaluates; for one who does not, every
        pass sees the reference. The original processors are back when the block ends, also by
        an exception.
    Raises:
        InputError for values out of range and a bank of another model.
    """
    _check_choices(strength, mode, branches, rope)
    blocks = list(transformer.blocks)
    wanted = chosen_layers(layers, len(blocks))
    present = bank is not None and bank.tokens > 0 and strength != 0 and bool(wanted)
    active = ActiveReference(
        _SEEN_BY[branches], present, "reference" if branches == "guided" else "target"
    )
    if bank is None or not present:
        yield active
        return
    injection = INJECTIONS[mode]
    _check_bank(bank, blocks, wanted, injection)
    placed = PlacedReference(bank, rope, transformer.rope, strength, frame_schedule)
    stock = {layer: blocks[layer].attn1.processor for layer in sorted(wanted)}
    hook = transformer.rope.register_forward_pre_hook(placed.note_grid)
    try:
        for layer, processor in stock.items():
            blocks[layer].attn1.processor = ReferenceAttnProcessor(
                processor, layer, placed, active, injection
            )
        yield active
    finally:
        hook.remove()
        for layer, processor in stock.items():
            blocks[layer].attn1.processor = processor


def _check_bank(
    bank: ReferenceBank, blocks: list[Any], wanted: frozenset[int], injection: Injection
) -> None:
    first = blocks[0].attn1
    bank.check_fits(len(blocks), first.heads, first.inner_dim // first.heads)
    missing = sorted(wanted - bank.layers.keys())
    if missing:
        raise InputError(f"reference bank: holds no layer {missing[0]}; extract it again")
    missing = sorted(wanted - bank.statistics.keys())
    if missing and injection.restyles:
        raise InputError(
            f"reference bank: holds no statistics of layer {missing[0]}, which a ref_mode with "
            "adain needs; extract it again"
        )
