"""The trained infrared adapter in a stock diffusers `FluxFillPipeline`.

    pipeline = FluxFillPipeline.from_pretrained(model, dtype=torch.float32)
    with load_into_pipeline(pipeline, "out/ir_adapter") as adapter:
        inputs = adapter.inputs(photo, semantic_map)
        diptych = pipeline(**inputs, num_inference_steps=20).images[0]
    infrared_half(diptych).save("infrared.png")

What a scene adds travels in the pipeline's own arguments (`joint_attention_kwargs`) to a hook on
the transformer, so a call cannot meet the map of another call. The hook also puts our
conditioning tokens in the place of the pipeline's: the pipeline samples the posterior of its VAE
where the training took the mode. It cannot be handed tokens instead, since it refuses
`masked_image_latents` beside an image, and fails without an image.
"""

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from einops import rearrange
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from refract.base.errors import InputError
from refract.infrared.adapter.adapter_files import AdapterConfig, load_adapter, read_config
from refract.infrared.adapter.fill_conditioning import encode_masked, fuse_pixels, with_mask
from refract.infrared.adapter.model import InfraredModel
from refract.infrared.adapter.semantic_attention import KeyValue
from refract.infrared.adapter.semantic_conditioning import SemanticConditioning
from refract.infrared.adapter.stock_checks import check_base, check_types, fill_transformer
from refract.media.given_pictures import GivenPicture, map_colours, photo_pixels
from refract.media.gray_levels import quantise
from refract.media.panel_pixels import square_panel
from refract.models.flux_fill import FillVae
from refract.models.flux_tokens import pack_latents

SCENE_KEY = "infrared_scene"  # of joint_attention_kwargs
_MASKED_LEVEL = 128  # of the blank half; `MASKED_PIXEL` in 8 bits
_IN_MODEL_DTYPE = (
    "hidden_states", "timestep", "guidance", "encoder_hidden_states", "pooled_projections",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class SceneConditioning:
    """What the model reads of one scene, constant over the steps and over the batch."""

    x_cond: Tensor  # [1, 2n, 320]
    semantic: Tensor  # [1, n, 64]


@dataclass(frozen=True)
class _Batch:
    """A scene repeated to the batch at hand, with K and V of its map."""

    scene: SceneConditioning
    x_cond: Tensor  # [B, 2n, 320]
    semantic: Tensor  # [B, n, 64]
    projected: list[KeyValue] | None

    def is_of(self, scene: SceneConditioning, count: int, device: torch.device) -> bool:
        made_for = len(self.x_cond), self.x_cond.device
        return self.scene is scene and made_for == (count, device)


class PipelineAdapter:
    """An adapter that acts in every forward of a pipeline's transformer until `remove`.

    As a context manager it removes itself at the end of the block.
    """

    def __init__(self, pipeline: Any, model: InfraredModel, config: AdapterConfig) -> None:
        """model: built on `pipeline.transformer`. Use `load_into_pipeline`."""
        self.pipeline = pipeline
        self.model = model
        self.config = config
        self._batch: _Batch | None = None
        self._dtype = torch.float32
        self._autocast = ExitStack()
        transformer = model.transformer
        # Hooks, not a wrapped `forward`: accelerate's offloading puts its own `forward` back after
        # every call of the pipeline, and a wrapper would be lost with it.
        self._hooks = [
            transformer.register_forward_pre_hook(self._before, with_kwargs=True),
            transformer.register_forward_hook(self._after, with_kwargs=True, always_call=True),
        ]

    def __enter__(self) -> "PipelineAdapter":
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()

    def remove(self) -> None:
        """Take hooks and LoRA off; the transformer computes what it did before, to the bit.

        Any LoRA loaded since goes too. The transformer stays frozen and in eval mode.
        """
        self._autocast.close()
        if not self._hooks:
            return
        for hook in self._hooks:
            hook.remove()
        self._hooks.clear()
        self._batch = None
        self.model.transformer.unload_lora()

    def inputs(
        self,
        photo: GivenPicture,
        semantic_map: GivenPicture | None = None,
        prompt: str | list[str] | None = None,
    ) -> dict[str, Any]:
        """Arguments for the pipeline that make the diptych [photo | infrared] as `infer_ir` does.

        photo: file, PIL picture or [H, W, 3]. semantic_map: the same, or class ids [H, W]; of the
        photo's field of view, in any resolution; may be left out in mode `none` only. Both are
        cropped and resized to the square panel of the training. prompt: None takes the training's.

        A pipeline in half precision rounds its latents at every step, as it always does, while
        `infer_ir` keeps them in float32.

        Raises InputError for unfit pictures, where no prompt or no needed map is given, and for
        a pipeline whose text encoder and VAE have different types.
        """
        self._autocast.close()  # left open where a forward was interrupted from the keyboard
        check_types(self.pipeline)
        prompt = prompt or self.config.prompt
        if prompt is None:
            raise InputError("prompt: needed, the adapter was trained with one for each picture")
        side = self.config.panel_px
        visible, maps = self._panels(photo, semantic_map)
        mask = np.zeros((side, 2 * side), np.uint8)
        mask[:, side:] = 255
        return {
            "prompt": prompt,
            "image": Image.fromarray(np.hstack([visible, np.full_like(visible, _MASKED_LEVEL)])),
            "mask_image": Image.fromarray(mask),
            "height": side,
            "width": 2 * side,
            "guidance_scale": self.config.guidance,
            "max_sequence_length": self.config.max_sequence_length,
            "joint_attention_kwargs": {SCENE_KEY: self.encode(_tensor(visible), _tensor(maps))},
        }

    @torch.no_grad()
    def encode(self, visible: Tensor, maps: Tensor) -> SceneConditioning:
        """The conditioning of one scene; both [1, 3, P, P] in [-1, 1]."""
        vae = FillVae(self.pipeline.vae)
        if (offloaded := getattr(vae.vae, "_hf_hook", None)) is not None:
            offloaded.pre_forward(vae.vae)  # brings the weights, and with them `vae.device`
        if self.config.fusion_alpha is not None:
            visible = fuse_pixels(visible, maps, self.config.fusion_alpha)
        x_cond = with_mask(encode_masked(vae.encode, visible), self.config.panel_px)
        return SceneConditioning(x_cond.float(), pack_latents(vae.encode(maps)).float())

    def _panels(
        self, photo: GivenPicture, semantic_map: GivenPicture | None
    ) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Photo and map as panels [P, P, 3]; a black map where none is used."""
        pixels = photo_pixels(photo)
        visible = square_panel(pixels, self.config.panel_px)
        if semantic_map is None:
            if self.config.mode != "none":
                raise InputError(
                    f"semantic_map: needed, the adapter was trained with maps (mode "
                    f"{self.config.mode}); np.zeros_like(photo) is a map without content"
                )
            return visible, np.zeros_like(visible)
        colours = map_colours(semantic_map, pixels)
        return visible, square_panel(colours, self.config.panel_px, labels=True)

    def _before(
        self, _: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Forward pre-hook: what `InfraredModel.forward` does up to the transformer."""
        self._autocast.close()
        options = dict(kwargs.get("joint_attention_kwargs") or {})
        scene = options.pop(SCENE_KEY, None)
        if scene is None:
            raise InputError(
                "the pipeline has an infrared adapter but was given no scene: call it with "
                "**adapter.inputs(photo, semantic_map), or take the adapter off with remove()"
            )
        hidden = kwargs["hidden_states"]
        self._dtype = hidden.dtype
        self._autocast.enter_context(self.model.autocast(hidden.device))
        changed = dict(kwargs, joint_attention_kwargs=options or None)
        changed["hidden_states"] = self._hidden_states(hidden, scene)
        for name in _IN_MODEL_DTYPE:
            if changed.get(name) is not None:
                changed[name] = changed[name].to(self.model.transformer.dtype)
        return args, changed

    def _after(
        self, _: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any
    ) -> Any:
        """Forward hook: the velocity in the type of the latents.

        The scheduler rounds the latents to the velocity's type, and autocast's is the lower one.
        """
        self._autocast.close()
        if output is None:  # the forward raised
            return None
        if isinstance(output, tuple):
            return (output[0].to(self._dtype), *output[1:])
        return type(output)(sample=output.sample.to(self._dtype))

    def _hidden_states(self, hidden: Tensor, scene: SceneConditioning) -> Tensor:
        """[B, 2n, 384] with the scene's conditioning in the place of the pipeline's."""
        if hidden.shape[1] != scene.x_cond.shape[1]:
            side = self.config.panel_px
            raise InputError(
                f"the pipeline makes {hidden.shape[1]} tokens, the adapter "
                f"{scene.x_cond.shape[1]}: leave height = {side} and width = {2 * side}"
            )
        batch = self._repeated(scene, len(hidden), hidden.device)
        x_t = hidden[..., : scene.semantic.shape[-1]].float()
        return self.model.hidden_states(x_t, batch.x_cond, batch.semantic, batch.projected)

    def _repeated(self, scene: SceneConditioning, count: int, device: torch.device) -> _Batch:
        """The scene `count` times; kept, so that K and V are computed once for all steps.

        K and V come from the repeated map, not repeated from one: matrix products of another shape
        may differ in their last bits, and the training's had the batch's.
        """
        if self._batch is None or not self._batch.is_of(scene, count, device):
            self._move(device)
            x_cond = scene.x_cond.to(device).repeat(count, 1, 1)
            semantic = scene.semantic.to(device).repeat(count, 1, 1)
            self._batch = _Batch(scene, x_cond, semantic, self.model.project(semantic))
        return self._batch

    def _move(self, device: torch.device) -> None:
        """The semantic adapter to where the transformer computes, which moves or is offloaded."""
        adapter, conditioning = self.model.adapter, self.model.conditioning
        if adapter is None or conditioning is None:
            return
        self.model.conditioning = SemanticConditioning(
            adapter.to(device), self.model.grid, site=conditioning.site, layout=conditioning.layout
        )


def load_into_pipeline(
    pipeline: Any, folder: Path | str, *, match_training: bool = True
) -> PipelineAdapter:
    """Put the adapter of a folder (an output of `train_ir_adapter`) onto `pipeline.transformer`.

    The LoRA file alone also loads with `pipeline.load_lora_weights(folder)`; what comes then
    lacks the semantic map. `pipeline.to(device)` and `enable_model_cpu_offload()` may come before
    or after; `enable_sequential_cpu_offload()` is not supported.

    match_training: refuse a base other than the training's. Their identities are compared where
    both are manifests, that is for a pipeline from a local folder with `manifest.json`; otherwise
    only names and shapes of the weights can tell.

    Raises InputError for a pipeline that is not of the Fill kind or already has a LoRA, an
    adapter of another base, and a missing or damaged file; the pipeline is then as it was.
    """
    folder = Path(folder)
    config = read_config(folder)
    transformer = fill_transformer(pipeline)
    if match_training:
        check_base(pipeline, config, folder)
    try:
        model = load_adapter(folder, lambda: transformer.eval().requires_grad_(False), config)
    except BaseException:
        transformer.unload_lora()  # a file may turn out unfit when the LoRA is already in
        raise
    return PipelineAdapter(pipeline, model, config)


def infrared_half(diptych: Image.Image | NDArray[np.floating[Any]]) -> Image.Image:
    """The right half of a diptych in 8-bit gray, the mean of its three channels.

    diptych: one of the pipeline's pictures, or with `output_type="np"` [H, W, 3] in [0, 1]: then
    nothing is rounded before the mean, as in `infer_ir`; the other is up to one level off.
    """
    if isinstance(diptych, Image.Image):
        diptych = np.asarray(diptych.convert("RGB")) / 255
    right = torch.tensor(diptych[:, diptych.shape[1] // 2 :])
    return Image.fromarray(quantise(2 * right.mean(-1) - 1, 8))


def _tensor(pixels: NDArray[np.uint8]) -> Tensor:
    """[H, W, 3] to [1, 3, H, W] in [-1, 1]."""
    return rearrange(torch.tensor(pixels), "h w c -> 1 c h w").float() / 127.5 - 1
