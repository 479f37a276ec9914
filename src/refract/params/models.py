"""The two generative models and how they are loaded."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from refract.params.section import Section

# diffusers' names. Left out are those that download a kernel (`*_hub`), which would run code from
# the network; for ragged batches (`*_varlen`), of which there are none here; and `flex`, which
# without a compiled mask function forms all scores at once.
TrainableAttention = Literal[
    "native", "_native_math", "_native_flash", "_native_efficient", "_native_cudnn",
    "flash", "_flash_3", "xformers",
]  # fmt: skip
Attention = TrainableAttention | Literal["sage"]  # which has no backward pass
StorageDtype = Literal["float8_e4m3fn", "float8_e5m2"]
StepCache = Literal["first_block"]
_ATTENTION = Field(description="diffusers' attention kernel; null is its default")


class Model(Section):
    path: Annotated[
        str,
        Field(min_length=1, description="folder in diffusers layout or hub id; $VARIABLES expand"),
    ]
    revision: Annotated[
        str | None,
        Field(
            description="commit, tag or branch of a hub id; null takes the pinned commit, else main"
        ),
    ]
    dtype: Annotated[
        Literal["float32", "bfloat16", "float16"], Field(description="precision of the weights")
    ]
    max_sequence_length: Annotated[
        int, Field(ge=1, le=512, description="prompt tokens given to the text encoder")
    ]
    # What follows is off by default: a section made in code names only what it wants.
    offload: Annotated[
        Literal["none", "block", "leaf"],
        Field(description="what of the transformer waits in main memory between its uses"),
    ] = "none"
    storage_dtype: Annotated[
        StorageDtype | None,
        Field(description="type in which the transformer's weights wait, cast to dtype for use"),
    ] = None
    vae_tiling: Annotated[bool, Field(description="code large pictures in tiles")] = False
    vae_slicing: Annotated[bool, Field(description="code pictures of a batch singly")] = False
    attention_backend: Annotated[Attention | None, _ATTENTION] = None
    compile: Annotated[
        bool, Field(description="compile the transformer's repeated blocks, for inference")
    ] = False
    step_cache: Annotated[
        StepCache | None,
        Field(description="reuse the later blocks of a step where the first has changed little"),
    ] = None
    step_cache_threshold: Annotated[
        float, Field(gt=0, le=10, description="relative change of the first block that is little")
    ] = 0.1

    @model_validator(mode="after")
    def _check_compile(self) -> Self:
        hooked = {
            "offload": self.offload != "none",
            "storage_dtype": self.storage_dtype is not None,
            "step_cache": self.step_cache is not None,
        }
        if self.compile and any(hooked.values()):
            raise ValueError(
                "compile: true goes with none of offload, storage_dtype and step_cache, whose "
                "hooks the compiler would leave uncompiled"
            )
        return self

    @property
    def cache_threshold(self) -> float | None:
        """From which change on a step is computed whole; None where every step is."""
        return None if self.step_cache is None else self.step_cache_threshold

    def result_settings(self) -> dict[str, Any]:
        """What results depend on besides the weights, for the keys of stored items.

        `offload` is none of it. The other options count where they are on.
        """
        unread = {"path", "revision", "offload", "step_cache", "step_cache_threshold"}
        values = self.model_dump(mode="json", exclude=unread)
        values["step_cache"] = self.cache_threshold
        off = {
            name: field.default
            for name, field in type(self).model_fields.items()
            if not field.is_required()
        }
        return {
            name: value for name, value in values.items() if name not in off or value != off[name]
        }

    def vae_settings(self) -> str:
        """What the VAE's results depend on: the type and how pictures are divided."""
        options = {"tiling": self.vae_tiling, "slicing": self.vae_slicing}
        return "+".join([self.dtype, *(name for name, is_on in options.items() if is_on)])


class InfraredModelParams(Model):
    """A FLUX.1-Fill-shaped image model."""

    attention_backend: Annotated[TrainableAttention | None, _ATTENTION] = None
    quantization: Annotated[
        Literal["nf4"] | None,
        Field(description="how the frozen blocks below the LoRA are stored, also in training"),
    ] = None

    @model_validator(mode="after")
    def _check_quantization(self) -> Self:
        if self.quantization is None:
            return self
        others = {
            "offload": self.offload != "none",
            "storage_dtype": self.storage_dtype is not None,
            "compile": self.compile,
        }
        for name, is_on in others.items():
            if is_on:
                raise ValueError(
                    f"quantization: {self.quantization} does not go with {name}, which would not "
                    "move or cast quantised weights rightly"
                )
        return self

    def training_settings(self) -> dict[str, Any]:
        """What a training depends on besides the weights: `result_settings` that it knows."""
        inference_only = {"storage_dtype", "compile", "step_cache"}
        settings = self.result_settings()
        return {name: value for name, value in settings.items() if name not in inference_only}


class VideoModelParams(Model):
    """A Wan2.1-T2V-shaped video model."""
