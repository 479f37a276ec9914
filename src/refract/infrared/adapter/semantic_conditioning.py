"""Where the semantic signal enters: the noisy tokens (x_t) or the conditioning tokens (x_cond).

At x_t the signal lands on the noise that the transformer is to predict. At x_cond it lands on
the 64 masked-picture channels of the infrared half, which are otherwise constant.
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from refract.infrared.adapter.fill_conditioning import tile_panel
from refract.infrared.adapter.semantic_attention import KeyValue, SemanticConditioningAdapter
from refract.models.flux_tokens import image_ids, panel_grid, right_half
from refract.params.ir_adapter import MapLayout, Site


@dataclass(frozen=True)
class DiptychGrid:
    """Token geometry of a diptych whose panels have rows x columns tokens."""

    rows: int
    columns: int

    def image_ids(self) -> Tensor:
        """Rotary ids [2n, 3] for the transformer."""
        return image_ids(self.rows, 2 * self.columns)

    def infrared(self) -> Tensor:
        """Boolean [2n]: the tokens of the infrared half."""
        return right_half(self.rows, 2 * self.columns)

    def panels(self, count: int) -> Tensor:
        """Panel-relative coordinates [count * n, 2] of `count` panels side by side."""
        return panel_grid(self.rows, self.columns, count)


class AdapterInputs(NamedTuple):
    """What an adapter reads at its site; N tokens of the infrared half or of both, M of the map."""

    image: Tensor  # [B, N, 64]
    semantic: Tensor  # [B, M, 64]
    image_grid: Tensor  # [N, 2]
    semantic_grid: Tensor  # [M, 2]


class SemanticConditioning:
    """Applies an adapter at its site.

    `tile` shows the adapter the map under both panels and, at x_t, changes both halves; `target`
    shows it the map once and leaves the visible half untouched.
    """

    def __init__(
        self,
        adapter: SemanticConditioningAdapter,
        grid: DiptychGrid,
        *,
        site: Site = "x_cond",
        layout: MapLayout = "tile",
    ) -> None:
        self.adapter = adapter
        self.grid = grid
        self.site = site
        self.layout = layout
        device = next(adapter.parameters()).device
        self._infrared = grid.infrared().to(device)
        self._semantic_grid = grid.panels(2 if layout == "tile" else 1).to(device)
        self._both_halves = site == "x_t" and layout == "tile"
        self._image_grid = grid.panels(2 if self._both_halves else 1).to(device)

    def project(self, semantic: Tensor) -> list[KeyValue]:
        """K and V of the map tokens [B, n, 64]; valid for every step that follows."""
        self._follow(semantic.device)
        return self.adapter.project(self._laid_out(semantic), self._semantic_grid)

    def __call__(
        self, x_t: Tensor, x_cond: Tensor, semantic: Tensor, projected: list[KeyValue] | None = None
    ) -> tuple[Tensor, Tensor]:
        """x_t [B, 2n, 64] and x_cond [B, 2n, 320] with the semantic signal added at the site."""
        enhanced = self.adapter(*self.adapter_inputs(x_t, x_cond, semantic), projected)
        if self.site == "x_t":
            return self._put(x_t, enhanced), x_cond
        channels = x_t.shape[-1]
        masked, mask = x_cond[..., :channels], x_cond[..., channels:]
        return x_t, torch.cat([self._put(masked, enhanced), mask], -1)

    def adapter_inputs(self, x_t: Tensor, x_cond: Tensor, semantic: Tensor) -> AdapterInputs:
        """The tokens of the site and the laid-out map; shapes as in `__call__`."""
        self._follow(x_t.device)
        tokens = x_t if self.site == "x_t" else x_cond[..., : x_t.shape[-1]]
        image = tokens if self._both_halves else tokens[:, self._infrared]
        return AdapterInputs(image, self._laid_out(semantic), self._image_grid, self._semantic_grid)

    @property
    def infrared_inputs(self) -> Tensor:
        """Boolean [N]: which of the adapter's image tokens are of the infrared half."""
        return self._infrared if self._both_halves else self._infrared[self._infrared]

    def _follow(self, device: torch.device) -> None:
        """The grids go where the tokens are: a model may be built on the CPU and move later."""
        if self._infrared.device != device:
            self._infrared = self._infrared.to(device)
            self._semantic_grid = self._semantic_grid.to(device)
            self._image_grid = self._image_grid.to(device)

    def _put(self, tokens: Tensor, enhanced: Tensor) -> Tensor:
        if self._both_halves:
            return enhanced
        result = tokens.clone()
        result[:, self._infrared] = enhanced
        return result

    def _laid_out(self, semantic: Tensor) -> Tensor:
        return tile_panel(semantic, self.grid.columns) if self.layout == "tile" else semantic
