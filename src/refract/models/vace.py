"""Load the parts of a Wan VACE model (reference and mask to video), each when it is needed."""

from collections.abc import Callable
from functools import cached_property
from typing import Any

from refract.base.errors import InputError
from refract.models.wan import WanModel

_INDEX = "model_index.json"
# What each scheduler calls the shift of sigma = shift * t / (1 + (shift - 1) * t).
_SHIFT_KEYS = {"UniPCMultistepScheduler": "flow_shift", "FlowMatchEulerDiscreteScheduler": "shift"}


class VaceModel(WanModel):
    """A `WanVACEPipeline` on disk or on the hub; its text encoder can be dropped after use.

    Text encoder, tokenizer and VAE are those of any Wan model and load as `WanModel` loads them:
    the VAE in float32, the rest in `dtype`.
    """

    layout = "WanVACEPipeline"
    setting = "flowalign.vace.path"

    @cached_property
    def transformer(self) -> Any:
        from diffusers import WanVACETransformer3DModel

        model = self._load("transformer", WanVACETransformer3DModel.from_pretrained, self.dtype)
        self._check_geometry(model.config)
        return model

    def pipeline(self, shift: float) -> Any:
        """A `WanVACEPipeline` without text encoder, with a fresh scheduler of this shift.

        Only the first call loads anything. A scheduler carries state from step to step, so no two
        edits share one.
        """
        from diffusers.pipelines.wan.pipeline_wan_vace import WanVACEPipeline

        return WanVACEPipeline(
            tokenizer=None,
            text_encoder=None,
            transformer=self.transformer,
            vae=self.vae,
            scheduler=self._scheduler(shift),
        )

    @cached_property
    def _scheduler_config(self) -> dict[str, Any]:
        from diffusers import UniPCMultistepScheduler

        config: dict[str, Any] = self._call("scheduler", UniPCMultistepScheduler.load_config)
        return config

    def _scheduler(self, shift: float) -> Any:
        """The model's own scheduler with another shift.

        Its class is looked up, since `from_config` of another class would take the fields it knows
        and leave the rest at defaults that do not belong to a flow model.
        """
        import diffusers

        config = self._scheduler_config
        name = config.get("_class_name", "none")
        is_unipc = name == "UniPCMultistepScheduler"  # which also serves other kinds of models
        if name not in _SHIFT_KEYS or (is_unipc and not config.get("use_flow_sigmas")):
            raise InputError(
                f"model {self.name}: scheduler {name} has no flow shift; one of "
                f"{', '.join(_SHIFT_KEYS)} with flow sigmas is needed: see {self.setting}"
            )
        changes = {_SHIFT_KEYS[name]: shift, "use_dynamic_shifting": False}
        return getattr(diffusers, name).from_config(config, **changes)

    @cached_property
    def _index(self) -> dict[str, Any]:
        """The pipeline's list of parts; InputError unless it is VACE with one transformer."""
        from diffusers.pipelines.wan.pipeline_wan_vace import WanVACEPipeline

        def load(source: str, subfolder: str, revision: str | None) -> Any:
            return WanVACEPipeline.load_config(source, revision=revision)

        index: dict[str, Any] = self._call(_INDEX, load)
        class_name = index.get("_class_name")
        if class_name != self.layout:
            raise InputError(
                f"model {self.name}: is a {class_name}, but a {self.layout} such as Wan2.1-VACE is "
                f"needed: see {self.setting}"
            )
        if index.get("boundary_ratio") is not None:
            raise InputError(
                f"model {self.name}: changes between two transformers (Wan 2.2); a model with one, "
                f"such as Wan2.1-VACE, is needed: see {self.setting}"
            )
        return index

    def _check_geometry(self, transformer: Any) -> None:
        """InputError unless transformer and VAE fit the way the pipeline lays out its condition.

        The condition is two videos of latents and a mask of as many channels as a latent pixel
        has pixels. The pipeline counts them by the VAE's stages, which is wrong for VAEs that
        also patch their input (Wan 2.2).
        """
        vae = self.vae.config
        scale = 2 ** len(vae.temperal_downsample)
        expected = (vae.z_dim, 2 * vae.z_dim + scale**2, vae.scale_factor_spatial)
        if (transformer.in_channels, transformer.vace_in_channels, scale) != expected:
            raise InputError(
                f"model {self.name}: transformer ({transformer.in_channels} channels, condition "
                f"{transformer.vace_in_channels}) and vae ({vae.z_dim} channels, "
                f"{vae.scale_factor_spatial} pixels a side) do not fit together; a Wan2.1-VACE is "
                f"needed: see {self.setting}"
            )

    def _call(self, part: str, load: Callable[..., Any], **options: Any) -> Any:
        if part != _INDEX:
            _ = self._index  # before gigabytes of another kind of model are read
        return super()._call(part, load, **options)
