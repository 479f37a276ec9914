"""Triptychs on disk to packed latents, each encoded once and kept in the item store."""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from einops import rearrange
from safetensors.torch import load_file, save_file
from torch import Tensor
from tqdm import tqdm

from refract.base.errors import InputError
from refract.infrared.adapter.fill_conditioning import TriptychTokens, encode_masked, fuse_pixels
from refract.media.image_reading import read_rgb
from refract.models.flux_fill import FillVae
from refract.models.flux_tokens import TOKEN_PX, pack_latents
from refract.pipeline.import_closure import closure
from refract.pipeline.item_store import ItemStore, hash_file
from refract.pipeline.shared_items import compute_items
from refract.triptychs.panels.triptych import Triptych, split_triptych

logger = logging.getLogger(__name__)

_FILE = "latents.safetensors"


class LatentRequest(NamedTuple):
    """One triptych file, mirrored left to right within each panel or not."""

    path: Path
    mirrored: bool = False


def read_triptych(path: Path, panel_px: int | None = None) -> Triptych[Tensor]:
    """The panels of a triptych file, each [3, P, P] in [-1, 1].

    Raises InputError where it is none, where P is not `panel_px`, and where no whole number of
    tokens makes a side.
    """
    pixels = torch.tensor(read_rgb(path))
    picture = rearrange(pixels, "h w c -> c h w").float() / 127.5 - 1
    panels = split_triptych(picture, name=str(path), panel_px=panel_px)
    side = panels.visible.shape[-1]
    if side % TOKEN_PX:
        raise InputError(
            f"{path}: panels of {side} pixels a side, must be a multiple of {TOKEN_PX}"
        )
    return panels


def read_request(request: LatentRequest, panel_px: int) -> Triptych[Tensor]:
    """The panels of a request, each [3, P, P] in [-1, 1]."""
    panels = read_triptych(request.path, panel_px)
    return Triptych(*(panel.flip(-1) for panel in panels)) if request.mirrored else panels


def encode_triptych(
    vae: FillVae, panels: Triptych[Tensor], fusion_alpha: float | None = None
) -> TriptychTokens:
    """Packed latents of one triptych, batch dimension 1.

    With `fusion_alpha` the visible panel is mixed with the map first (mode `pixel_fusion`).
    """
    visible, infrared, semantic = (panel[None] for panel in panels)
    if fusion_alpha is not None:
        visible = fuse_pixels(visible, semantic, fusion_alpha)
    return TriptychTokens(
        x_0=pack_latents(vae.encode(torch.cat([visible, infrared], -1))),
        masked=encode_masked(vae.encode, visible),
        semantic=pack_latents(vae.encode(semantic)),
    )


class LatentCache:
    """Latents of triptych files, made when missing and read from disk when used.

    Each file is encoded alone, so its latents do not depend on its neighbours.
    """

    def __init__(
        self,
        root: Path,
        *,
        panel_px: int,
        model_identity: str,
        dtype: str,
        fusion_alpha: float | None,
        refresh: bool | None = None,
    ) -> None:
        self.store = ItemStore(root, "ir_latents", refresh=refresh)
        self.panel_px = panel_px
        self.model_identity = model_identity
        self.dtype = dtype
        self.fusion_alpha = fusion_alpha
        self.code = closure("refract.infrared.adapter.triptych_latents")
        self._keys: dict[LatentRequest, str] = {}

    def fill(self, requests: Sequence[LatentRequest], load: Callable[[], FillVae]) -> None:
        """Encode what is missing; `load` is called only where something is."""
        self.encode(self.missing(requests), load)

    def missing(self, requests: Sequence[LatentRequest]) -> list[LatentRequest]:
        """What of `requests` has to be encoded before it can be in a batch."""
        self._keys.update((request, self._key(request)) for request in requests)
        missing = [request for request in requests if self.store.get(self._keys[request]) is None]
        logger.info("latents: %d cached, %d to encode", self.store.hits, len(missing))
        return missing

    def encode(self, requests: Sequence[LatentRequest], load: Callable[[], FillVae]) -> None:
        """Encode these, which `missing` has named; `load` is called only where there are any."""
        if not requests:
            return
        vae = load()

        def encode(request: LatentRequest, done: Callable[[int], Any]) -> None:
            panels = read_request(request, self.panel_px)
            tokens = encode_triptych(vae, panels, self.fusion_alpha)
            with self.store.create(self._keys[request]) as slot:
                single = {name: x[0].contiguous().cpu() for name, x in tokens._asdict().items()}
                save_file(single, slot / _FILE)
            done(1)

        quiet = not logger.isEnabledFor(logging.INFO)
        with tqdm(
            total=len(requests), desc="encode", unit="triptych", mininterval=1, disable=quiet
        ) as bar:
            compute_items(requests, encode, self.store, bar)

    def batch(self, requests: Sequence[LatentRequest]) -> TriptychTokens:
        """A batch of latents, float32, on the CPU."""
        folders = [self.store.folder / self._keys[request] for request in requests]
        loaded = [load_file(folder / _FILE) for folder in folders]
        return TriptychTokens(
            *(torch.stack([x[name] for x in loaded]).float() for name in TriptychTokens._fields)
        )

    def _key(self, request: LatentRequest) -> str:
        return self.store.key(
            params={
                "panel_px": self.panel_px,
                "dtype": self.dtype,
                "fusion_alpha": self.fusion_alpha,
                "mirrored": request.mirrored,
            },
            inputs={"triptych": hash_file(request.path)},
            code=self.code,
            model=self.model_identity,
        )
