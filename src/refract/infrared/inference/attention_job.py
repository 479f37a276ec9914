"""Overlay pictures of where regions of the infrared image look, for the first test scenes."""

import logging
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from einops import rearrange
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from refract.base.errors import InputError
from refract.infrared.adapter.adapter_files import AdapterConfig
from refract.infrared.adapter.attention_maps import TokenBox, draw_overlay, region_heat, token_box
from refract.infrared.adapter.sampling import generate_tokens
from refract.infrared.inference.generator import InfraredGenerator, Scene, SceneTokens
from refract.infrared.inference.scenes import SceneSource, read_scene
from refract.models.flux_fill import TextEmbedding
from refract.params.infer_ir import AttentionMaps
from refract.pipeline.item_store import ItemStore, state_root
from refract.pipeline.processes import Processes
from refract.pipeline.shared_items import in_batches, own_share

logger = logging.getLogger(__name__)


def check_attention(wanted: AttentionMaps, config: AdapterConfig, adapter: Path) -> None:
    """InputError where maps are wanted of an adapter that has no cross-attention."""
    if wanted.regions and config.mode != "cross_attention":
        raise InputError(
            f"infer_ir.attention_maps.regions: the adapter in {adapter} was trained with "
            f"ir_adapter.semantic.mode = {config.mode}, which has no attention to the map; set it "
            "to null, or train with mode cross_attention"
        )


@dataclass
class AttentionJob:
    """Makes the overlays of a scene as one item of the store `ir_attention`."""

    wanted: AttentionMaps
    config: AdapterConfig
    processes: Processes
    batch: int  # scenes in a forward pass

    def run(
        self,
        pictures: Mapping[str, SceneSource],
        embed: Callable[[Collection[SceneSource]], dict[str, TextEmbedding]],
        load: Callable[[], InfraredGenerator],
    ) -> dict[str, Path]:
        """Scene id -> folder of layer<l>_head<h>_step<s>_region<r>.png, all counted from 0.

        pictures: store key of the infrared picture -> its scene; the key stands for all that
        decides the picture and the attention alike. embed: gives the embeddings of the scenes'
        prompts, and is called by all processes where something is missing; load: by those that
        have a share of it.
        """
        store = ItemStore(state_root(), "ir_attention")
        keys = {self._key(store, picture): scene for picture, scene in pictures.items()}
        missing = self.processes.decide(
            lambda: {key: scene for key, scene in keys.items() if store.get(key) is None}
        )
        if missing:
            texts = embed(missing.values())
            self._compute(missing, store, texts, load)
        computed = self.processes.total(store.computed)
        logger.info("attention maps: %d scenes, %d computed", len(keys), computed)
        return {scene.id: store.folder / key for key, scene in keys.items()}

    def _key(self, store: ItemStore, picture: str) -> str:
        params = {
            "picture": picture,
            "regions": self.wanted.regions,
            "steps": sorted(set(self.wanted.steps)),
        }
        return store.key(params=params, inputs={}, code=())  # the code is in the picture's key

    def _compute(
        self,
        missing: Mapping[str, SceneSource],
        store: ItemStore,
        texts: dict[str, TextEmbedding],
        load: Callable[[], InfraredGenerator],
    ) -> None:
        if self.config.site == "x_cond" and len(set(self.wanted.steps)) > 1:
            logger.info("attention maps: the adapter acts at x_cond, so all steps look alike")
        for batch in own_share(self.processes, in_batches(missing, self.batch), list):
            scenes = [read_scene(source, self.config.panel_px) for source in batch.values()]
            for key, files in zip(batch, self._draw(scenes, load(), texts), strict=True):
                with store.create(key) as slot:
                    for name, pixels in files:
                        Image.fromarray(pixels).save(slot / name)

    def _draw(
        self,
        scenes: Sequence[Scene],
        generator: InfraredGenerator,
        texts: dict[str, TextEmbedding],
    ) -> Iterator[list[tuple[str, NDArray[np.uint8]]]]:
        """The files of each scene, in order."""
        rows, columns = generator.grid.rows, generator.grid.columns
        boxes = [token_box(region, rows, columns) for region in self.wanted.regions or ()]
        for chosen, padded in generator.batches(scenes):
            tokens = generator.encode(padded, texts)
            states = states_at(generator, padded, tokens, self.wanted.steps)
            heats = {
                (step, index): _heat(generator, x_t, tokens, box)
                for step, x_t in states.items()
                for index, box in enumerate(boxes)
            }
            for place, scene in enumerate(chosen):
                panel = _pixels(scene.semantic)
                yield [
                    (
                        f"layer{layer}_head{head}_step{step}_region{index}.png",
                        draw_overlay(panel, heat[place, layer, head], boxes[index]),
                    )
                    for (step, index), heat in heats.items()
                    for layer in range(heat.shape[1])
                    for head in range(heat.shape[2])
                ]


def states_at(
    generator: InfraredGenerator, scenes: Sequence[Scene], tokens: SceneTokens, steps: Sequence[int]
) -> dict[int, Tensor]:
    """x_t [B, 2n, 64] before each of `steps` of the scenes' first sample; no later step is run."""
    noise = generator.noise(scenes, tokens)
    states = {0: noise}

    def keep(step: int, x_t: Tensor) -> None:
        if step + 1 in steps:
            states[step + 1] = x_t

    if max(steps) > 0:
        generate_tokens(
            generator.model, generator.sigmas[: max(steps) + 1], noise, *tokens, callback=keep
        )
    return {step: states[step] for step in sorted(set(steps))}


def _heat(
    generator: InfraredGenerator, x_t: Tensor, tokens: SceneTokens, box: TokenBox
) -> NDArray[np.float32]:
    conditioning = generator.model.conditioning
    if conditioning is None:
        raise ValueError("this model has no cross-attention; see check_attention")
    return region_heat(conditioning, x_t, tokens.x_cond, tokens.semantic, box).cpu().numpy()


def _pixels(panel: Tensor) -> NDArray[np.uint8]:
    """[3, P, P] in [-1, 1] as bytes [P, P, 3]."""
    levels = ((panel + 1) * 127.5).round().to(torch.uint8)
    return rearrange(levels, "c h w -> h w c").numpy()
