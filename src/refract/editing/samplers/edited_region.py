"""Where in a clip FlowAlign edits: what the text's cross-attention to the edited words points at.

    with edited_region(transformer, tokens, layers=..., threshold=..., ...) as region:
        velocity = WanVelocity(transformer, contexts, region.at)
        sample_flowalign(velocity, ..., zeta=region.zeta)

After WANAlign2.1 (github.com/KyujinHan/Awesome-Training-Free-WAN2.1-Editing): FlowAlign's pull
towards the source is weak inside the region and strong outside, so that the background is kept.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from einops import rearrange, repeat
from torch import Tensor, nn

from refract.base.errors import InputError
from refract.editing.samplers.windows import Window, whole
from refract.models.wan_rope import TokenGrid

_ROWS = 2048  # video tokens whose attention to all of the text is in memory at a time
_PROMPT_OF = {"edited": "source", "target": "target"}  # branches recorded


@torch.no_grad()
def word_attention(query: Tensor, key: Tensor, heads: int, words: Sequence[int]) -> Tensor:
    """Share of each video token's cross-attention that falls on some text tokens.

    Args:
        query: (batch, n, dim) and
        key: (batch, text tokens, dim) as they enter a block's `attn2` softmax, heads side by side;
            the keys of padding belong to it and take their part.
        words: indices of text tokens.
    Returns:
        (batch, n) float32 in 0..1: summed over the words, mean over the heads.
    """
    query, key = (rearrange(x, "b n (h d) -> b h n d", h=heads) for x in (query, key))
    key = key.float() / math.sqrt(key.shape[-1])
    shares = [
        (rows.float() @ key.mT).softmax(-1)[..., list(words)].sum(-1).mean(1)
        for rows in query.split(_ROWS, dim=2)
    ]
    return torch.cat(shares, dim=1)


class _WordMap:
    """Running mean over steps of the attention to one prompt's words, each step's in 0..1."""

    def __init__(self, words: Sequence[int]) -> None:
        self.words = tuple(words)
        self._layers: dict[int, Tensor] = {}  # of the step at hand: layer -> (batch, f, places)
        self.restart()

    def restart(self) -> None:
        """Forget the steps that are over."""
        self._sum: Tensor | None = None
        self._steps = 0

    def drop_step(self) -> None:
        """Forget the step at hand."""
        self._layers.clear()

    def add(self, layer: int, share: Tensor, window: Window) -> None:
        """Take the attention (batch, n) of a layer in one window into the step at hand."""
        share = share.unflatten(1, (len(window.frames), -1))
        if layer not in self._layers:
            batch, _, places = share.shape
            self._layers[layer] = share.new_zeros(batch, window.length, places)
        window.add(share, self._layers[layer], 1)

    def close_step(self) -> None:
        """The step at hand is over; one in which nothing was recorded does not count."""
        if not self._layers:
            return
        scaled = _unit(torch.stack(list(self._layers.values())).mean((0, 1)).flatten())
        self._layers.clear()
        self._sum = scaled if self._sum is None else self._sum + scaled
        self._steps += 1

    @property
    def mean(self) -> Tensor | None:
        """(n,) in 0..1, or None before the first step with a record."""
        return None if self._sum is None else self._sum / self._steps


def _unit(x: Tensor) -> Tensor:
    """x moved and scaled to 0..1; a flat one, which tells no place from another, becomes all 1."""
    low, high = x.min(), x.max()
    return torch.where(high > low, (x - low) / (high - low), 1.0)


class EditedRegion:
    """The region of the edited words as far as the passes up to now tell, and its zeta.

    Tell `at` which velocity comes before each forward pass, and ask for `zeta` once a step. Of a
    clip shown in windows the maps are put together, blended as its velocities are, before they are
    scaled and meet the threshold.
    """

    def __init__(
        self,
        tokens: Mapping[str, Sequence[int]],
        patch_size: tuple[int, int, int],
        threshold: float,
        zeta_inside: float,
        zeta_outside: float,
    ) -> None:
        self.patch_size, self.threshold = patch_size, threshold
        self.zeta_inside, self.zeta_outside = zeta_inside, zeta_outside
        self._maps = {
            branch: _WordMap(tokens.get(prompt, ())) for branch, prompt in _PROMPT_OF.items()
        }
        self._branch: str | None = None
        self._window: Window | None = None
        self._grid: TokenGrid | None = None
        self._device = torch.device("cpu")
        self._mask: Tensor | None = None

    def at(self, branch: str, window: Window | None = None) -> None:
        """Name the velocity that the next forward pass evaluates, and what of the clip it shows.

        `edited`, v(p, source prompt), and `target`, v(p, target prompt), are recorded. The others
        are not: v(q, source prompt) is replayed in most edits, and v_ref(p, target prompt) shows
        what the reference draws.
        """
        self._branch, self._window = branch, window

    def zeta(self, step: int, _sigma: float) -> Tensor:
        """Close a step and give FlowAlign's zeta (1, 1, f, h, w) for it, of latent pixels, float32.

        Args:
            step: counted from 0; 0 begins a new edit, which forgets the one before it.
        """
        for word_map in self._maps.values():
            if step == 0:
                word_map.restart()
            word_map.close_step()
        self._mask = self._threshold_maps()
        frames, rows, columns = self.patch_size
        inside = repeat(self._mask, "f h w -> 1 1 (f t) (h r) (w c)", t=frames, r=rows, c=columns)
        return torch.where(inside, self.zeta_inside, self.zeta_outside)

    @property
    def mask(self) -> Tensor:
        """Boolean (f, rows, columns) of video tokens: the region of the last `zeta`."""
        if self._mask is None:
            raise ValueError("no step is over yet: ask for zeta first")
        return self._mask

    def _threshold_maps(self) -> Tensor:
        if self._grid is None:
            raise ValueError("no forward pass yet: zeta comes after the velocities of a step")
        means = [word_map.mean for word_map in self._maps.values()]
        known = [mean for mean in means if mean is not None]
        if not known:  # as at a first step without tokens in the target prompt: plain FlowAlign
            return torch.ones(self._grid, dtype=torch.bool, device=self._device)
        near = torch.stack(known).amax(0) >= self.threshold
        return near.view(self._grid)

    def note_grid(self, _module: nn.Module, args: tuple[Any, ...]) -> None:
        """Forward pre-hook of the model's rotary module: its input has the latent's shape."""
        frames, height, width = args[0].shape[2:]
        p_t, p_h, p_w = self.patch_size
        self._window = self._window or whole(frames // p_t)
        grid = TokenGrid(self._window.length, height // p_h, width // p_w)
        if grid != self._grid:
            for word_map in self._maps.values():
                word_map.restart()
                word_map.drop_step()
        self._grid, self._device = grid, args[0].device

    def record(self, layer: int, query: Tensor, key: Tensor, heads: int) -> None:
        """Take a layer's attention in the pass at hand into its map."""
        word_map = self.listening
        assert word_map is not None and self._window is not None, "the rotary module runs first"
        word_map.add(layer, word_attention(query, key, heads, word_map.words), self._window)

    @property
    def listening(self) -> _WordMap | None:
        """The map that the pass at hand goes into, if any."""
        word_map = self._maps.get(self._branch or "")
        return word_map if word_map is not None and word_map.words else None


class _LayerTap:
    """Takes query and key of a block's cross-attention where the model itself has formed them."""

    def __init__(self, layer: int, attn: Any, region: EditedRegion) -> None:
        self._layer, self._heads, self._region = layer, attn.heads, region
        self._query: Tensor | None = None

    def keep_query(self, _norm: nn.Module, _args: Any, query: Tensor) -> None:
        """Forward hook of `norm_q`; it changes nothing."""
        self._query = query if self._region.listening else None

    def record(self, _norm: nn.Module, _args: Any, key: Tensor) -> None:
        """Forward hook of `norm_k`, which comes after `norm_q`; it changes nothing."""
        query, self._query = self._query, None
        if query is not None:
            self._region.record(self._layer, query, key, self._heads)


def _check_choices(
    tokens: Mapping[str, Sequence[int]],
    layers: frozenset[int],
    depth: int,
    threshold: float,
    zetas: Mapping[str, float],
) -> None:
    if not any(tokens.get(prompt) for prompt in _PROMPT_OF.values()):
        raise InputError(
            "flowalign.region.words: no token in either prompt belongs to the edited words"
        )
    if not layers or not all(0 <= layer < depth for layer in layers):
        raise InputError(
            f"flowalign.region.layers = {sorted(layers)}: must be one or more of the {depth} "
            f"layers 0 to {depth - 1}"
        )
    if not 0 <= threshold <= 1:
        raise InputError(f"flowalign.region.threshold = {threshold}: must be 0 to 1")
    for key, value in zetas.items():
        if not (math.isfinite(value) and value >= 0):
            raise InputError(f"{key} = {value}: must be a finite number >= 0")


@contextmanager
def edited_region(
    transformer: Any,
    tokens: Mapping[str, Sequence[int]],
    *,
    layers: frozenset[int],
    threshold: float,
    zeta: float,
    zeta_outside: float,
) -> Iterator[EditedRegion]:
    """Record the cross-attention to the edited words for the length of the `with` block.

    Its weights are formed beside the model's own attention, from the same queries and keys, so
    every output stays the same to the bit. Where a word is looked at is a running mean over the
    steps, each step's map scaled to 0..1 by its least and greatest value in the clip; a token
    belongs to the region where the map of either prompt reaches the threshold.

    Args:
        transformer: a text-to-video `WanTransformer3DModel`, also with LoRA or fused projections.
        tokens: "source" and "target" -> indices of that prompt's tokens, see `edited_tokens`;
            one of them may be empty, then the other alone makes the region.
        layers: whose cross-attention is recorded, counted from 0.
        threshold: 0 (everywhere) to 1.
        zeta: of FlowAlign, inside the region; >= 0.
        zeta_outside: elsewhere; larger keeps more of the source there.
    Yields:
        The region. The hooks are gone when the block ends, also by an exception.
    Raises:
        InputError for values out of range.
    """
    blocks = list(transformer.blocks)
    zetas = {"flowalign.zeta": zeta, "flowalign.region.zeta_outside": zeta_outside}
    _check_choices(tokens, layers, len(blocks), threshold, zetas)
    region = EditedRegion(tokens, transformer.rope.patch_size, threshold, zeta, zeta_outside)
    with ExitStack() as hooks:
        handle = transformer.rope.register_forward_pre_hook(region.note_grid)
        hooks.callback(handle.remove)
        for layer in sorted(layers):
            attn = blocks[layer].attn2
            tap = _LayerTap(layer, attn, region)
            for norm, hook in ((attn.norm_q, tap.keep_query), (attn.norm_k, tap.record)):
                hooks.callback(norm.register_forward_hook(hook).remove)
        yield region
