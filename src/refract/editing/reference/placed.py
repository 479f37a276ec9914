"""A reference bank placed in the clip at hand: rotated keys, and a strength for every token."""

from typing import Any, Literal

import torch
from einops import rearrange
from torch import Tensor, nn

from refract.editing.reference.bank import ReferenceBank
from refract.editing.reference.frame_schedule import FrameSchedule, frame_factors
from refract.editing.reference.joint_attention import Strength
from refract.editing.samplers.windows import Window, whole
from refract.models.wan_rope import TokenGrid, rotary_at, rotate

Rope = Literal["before", "frame0", "after", "none"]


class PlacedReference:
    """What the layers read of a bank; made once per grid of the clip, layer, device and type."""

    def __init__(
        self,
        bank: ReferenceBank,
        rope: Rope,
        table: Any,
        strength: float,
        schedule: FrameSchedule = "constant",
    ) -> None:
        """table: the transformer's rotary module."""
        self.bank, self.rope, self.table = bank, rope, table
        self.base_strength, self.schedule = strength, schedule
        self._grid: TokenGrid | None = None
        self._strengths: dict[Window, Strength] = {}
        self._ready: dict[tuple[int, torch.device, torch.dtype], tuple[Tensor, Tensor]] = {}

    def note_grid(self, _module: nn.Module, args: tuple[Any, ...]) -> None:
        """Forward pre-hook of the model's rotary module: its input has the latent's shape."""
        frames, height, width = args[0].shape[2:]
        p_t, p_h, p_w = self.table.patch_size
        grid = TokenGrid(frames // p_t, height // p_h, width // p_w)
        if grid != self._grid:
            self._grid = grid
            self._ready.clear()
            self._strengths.clear()

    def keys_values(self, layer: int, like: Tensor) -> tuple[Tensor, Tensor]:
        """Key and value (1, heads, tokens, head_dim) of a layer, typed and placed like `like`."""
        address = (layer, like.device, like.dtype)
        if address not in self._ready:
            pair = self.bank.layers[layer]
            key = pair["key"].to(like.device)[None]  # (1, tokens, heads, head_dim)
            value = pair["value"].to(like.device)[None]
            if self.rope != "none":
                cos, sin = rotary_at(self.table, self._positions().to(like.device))
                key = rotate(key.float(), cos, sin)
            # Read at every pass, so worth a copy whose heads are dense
            self._ready[address] = (
                heads_first(key.to(like)).contiguous(),
                heads_first(value.to(like)).contiguous(),
            )
        return self._ready[address]

    def statistics(self, layer: int, like: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and deviation (channels,) of a layer's output, placed like `like`."""
        pair = self.bank.statistics[layer]
        return pair["mean"].to(like.device), pair["deviation"].to(like.device)

    def strength(self, window: Window | None, device: torch.device) -> Strength:
        """A number, or (tokens shown, 1) where it varies over the frames.

        window: the part of the clip that is shown, None for all of it. The schedule runs over the
            whole clip.
        """
        window = window or whole(self._known_grid.frames)
        if window not in self._strengths:
            self._strengths[window] = self._strength_over(window, device)
        return self._strengths[window]

    def _strength_over(self, window: Window, device: torch.device) -> Strength:
        factors = frame_factors(self.schedule, window.length)
        if factors is None:
            return self.base_strength
        _, rows, columns = self._known_grid
        by_token = factors[window.frames].repeat_interleave(rows * columns)[:, None]
        return (self.base_strength * by_token).to(device)

    @property
    def _known_grid(self) -> TokenGrid:
        assert self._grid is not None, "the rotary module runs before the first block"
        return self._grid

    def _positions(self) -> Tensor:
        frame = {"before": -1, "frame0": 0, "after": self._known_grid.frames}[self.rope]
        frames = torch.full((self.bank.tokens, 1), float(frame))
        return torch.cat([frames, self.bank.positions.cpu()], dim=1)


def heads_first(x: Tensor) -> Tensor:
    """(batch, tokens, heads, head_dim) -> (batch, heads, tokens, head_dim), a view."""
    return rearrange(x, "b n h d -> b h n d")
