"""The trainable whole: FLUX Fill transformer with LoRA, and the semantic adapter at its site."""

import refract.models.torchvision_compat  # noqa: F401  (before diffusers)

# isort: split
import logging
from typing import Literal

import torch
from diffusers import FluxTransformer2DModel
from torch import Tensor, nn

from refract.infrared.adapter.fill_conditioning import replace_right
from refract.infrared.adapter.learnable_fusion import LearnableFusion
from refract.infrared.adapter.semantic_attention import KeyValue, SemanticConditioningAdapter
from refract.infrared.adapter.semantic_conditioning import (
    DiptychGrid,
    MapLayout,
    SemanticConditioning,
    Site,
)
from refract.models.flux_fill import TextEmbedding
from refract.models.memory_options import MemoryOptions, fit_transformer

logger = logging.getLogger(__name__)

Precision = Literal["float32", "bfloat16", "float16"]

_AUTOCAST = {"bfloat16": torch.bfloat16, "float16": torch.float16}


class InfraredModel(nn.Module):
    """Velocity of a diptych; one forward for training, validation and sampling.

    Everything that happens to x_t and x_cond before the transformer happens in `forward`, so an
    adapter cannot be trained and then left out at inference.
    """

    def __init__(
        self,
        transformer: FluxTransformer2DModel,
        adapter: SemanticConditioningAdapter | None,
        grid: DiptychGrid,
        *,
        site: Site = "x_cond",
        layout: MapLayout = "tile",
        guidance: float = 1.0,
        map_as_panel: bool = False,
        precision: Precision = "float32",
        fusion: LearnableFusion | None = None,
    ) -> None:
        """map_as_panel: put the map's tokens into the blank right panel of the conditioning.
        fusion: makes the pixels behind x_cond; a part of the model only while it is learnt.
        precision: what autocast computes in; part of the model, so that inference cannot differ.
        """
        super().__init__()
        self.transformer = transformer
        self.adapter = adapter
        self.grid = grid
        self.guidance = guidance
        self.map_as_panel = map_as_panel
        self.precision = precision
        self.fusion = fusion
        self.conditioning = (
            None
            if adapter is None
            else SemanticConditioning(adapter, grid, site=site, layout=layout)
        )
        self.cache_threshold: float | None = None  # of `step_cache`, while sampling
        self.shapes_to_log = 0  # log tensor shapes in this many forward calls

    @property
    def device(self) -> torch.device:
        return self.transformer.device

    def fit_memory(self, options: MemoryOptions, device: str) -> None:
        """Hold and run the transformer as `options` say, for inference; all else on `device`."""
        for part in (self.adapter, self.fusion):
            if part is not None:
                part.to(device)
        fit_transformer(self.transformer, options, device)
        self.cache_threshold = options.cache_threshold

    def project(self, semantic: Tensor) -> list[KeyValue] | None:
        """K and V of map tokens [B, n, 64], constant over the sampling steps of one map."""
        if self.conditioning is None:
            return None
        with self.autocast(semantic.device):
            return self.conditioning.project(semantic)

    def autocast(self, device: torch.device) -> torch.autocast:
        """The context that every computation of the model runs in; does nothing for float32."""
        lower = _AUTOCAST.get(self.precision)
        return torch.autocast(device.type, lower or torch.bfloat16, enabled=lower is not None)

    def forward(
        self,
        x_t: Tensor,
        t: Tensor,
        x_cond: Tensor,
        semantic: Tensor,
        text: TextEmbedding,
        projected: list[KeyValue] | None = None,
    ) -> Tensor:
        """Velocity [B, 2n, 64] at x_t [B, 2n, 64], t [B] in [0, 1], x_cond [B, 2n, 320].

        semantic [B, n, 64]; text holds [B, T, D] tokens and [B, P] pooled vectors.
        """
        with self.autocast(x_t.device):
            hidden = self.hidden_states(x_t, x_cond, semantic, projected)
            if self.shapes_to_log > 0:
                self._log_shapes(x_t=x_t, x_cond=x_cond, semantic=semantic, hidden=hidden, t=t)
            dtype, device = self.transformer.dtype, hidden.device
            guidance = torch.full((len(x_t),), self.guidance, device=device, dtype=dtype)
            velocity: Tensor = self.transformer(
                hidden_states=hidden.to(dtype),
                timestep=t.to(dtype),
                guidance=guidance if self.transformer.config.guidance_embeds else None,
                encoder_hidden_states=text.tokens.to(dtype),
                pooled_projections=text.pooled.to(dtype),
                img_ids=self.grid.image_ids().to(device),
                txt_ids=torch.zeros(text.tokens.shape[1], 3, device=device),
                return_dict=False,
            )[0]
        return velocity.float()

    def hidden_states(
        self, x_t: Tensor, x_cond: Tensor, semantic: Tensor, projected: list[KeyValue] | None
    ) -> Tensor:
        """What the transformer reads, [B, 2n, 384]; other shapes as in `forward`."""
        if self.map_as_panel:
            channels = x_t.shape[-1]
            filled = replace_right(x_cond[..., :channels], semantic, self.grid.columns)
            x_cond = torch.cat([filled, x_cond[..., channels:]], -1)
        if self.conditioning is not None:
            x_t, x_cond = self.conditioning(x_t, x_cond, semantic, projected)
        return torch.cat([x_t, x_cond], -1)

    def _log_shapes(self, **tensors: Tensor) -> None:
        self.shapes_to_log -= 1
        logger.debug(
            "shapes: %s", ", ".join(f"{name} {tuple(x.shape)}" for name, x in tensors.items())
        )


def stack_text(texts: list[TextEmbedding], device: torch.device | str) -> TextEmbedding:
    """A batch from single embeddings [1, T, D] and [1, P]."""
    return TextEmbedding(
        torch.cat([text.tokens for text in texts]).to(device),
        torch.cat([text.pooled for text in texts]).to(device),
    )
