"""Settings of the infrared adapter's training."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from refract.params.section import Items, Section, one_of

Position = Literal["none", "rope2d", "distance_bias"]
Gate = Literal["zero_scale", "zero_projection", "small", "one"]
Site = Literal["x_t", "x_cond"]
MapLayout = Literal["tile", "target"]
SemanticMode = Literal["cross_attention", "pixel_fusion", "panel", "none"]
LearningRate = Annotated[float, Field(gt=0, le=1)]
StepInterval = Annotated[int, Field(ge=0, le=1_000_000)]


class Semantic(Section):
    mode: Annotated[SemanticMode, Field(description="how the map enters; none: LoRA only")]
    preset: Annotated[
        Literal["default", "as_described"],
        Field(description="default takes the three keys below; as_described overrules them"),
    ]
    layout: Annotated[MapLayout, Field(description="map over both panels or the infrared half")]
    position: Annotated[Position, Field(description="what tells semantic tokens apart")]
    gate: Annotated[Gate, Field(description="how a layer starts")]
    site: Annotated[Site, Field(description="latents that the output is added to")]
    fusion_alpha: Annotated[
        float, Field(ge=0, le=1, description="share of the map in the visible panel (pixel_fusion)")
    ]
    fusion: Annotated[
        Literal["fixed", "learnable"],
        Field(description="whether that share is learnt, starting at fusion_alpha"),
    ]

    @model_validator(mode="after")
    def _alpha_that_can_move(self) -> Self:
        if self.fusion == "learnable" and self.fusion_alpha in (0, 1):
            raise ValueError(
                f"fusion_alpha = {self.fusion_alpha:g}: must be above 0 and below 1 with fusion "
                "learnable, whose sigmoid never reaches the ends"
            )
        return self

    @property
    def form(self) -> tuple[Position, Gate, Site]:
        """(position, gate, site) in effect, the preset taken into account."""
        if self.preset == "as_described":
            return "none", "zero_scale", "x_t"
        return self.position, self.gate, self.site


class Phases(Section):
    """Shares of `steps`; what they leave is the main phase."""

    warmup: Annotated[float, Field(ge=0, le=0.5, description="learning rates ramp up from 0")]
    finetune: Annotated[float, Field(ge=0, le=1, description="rates fall to finetune_lr_factor")]


class IrAdapter(Section):
    semantic: Semantic
    layers: Annotated[int, Field(ge=1, le=8, description="stacked semantic attention layers")]
    heads: Annotated[int, one_of(1, 2, 4, 8, 16), Field(description="heads a layer; divides 64")]
    rank: Annotated[int, Field(ge=1, le=1024, description="LoRA rank")]
    alpha: Annotated[float, Field(gt=0, le=4096, description="LoRA alpha; its scale is alpha/rank")]
    lora_targets: Annotated[
        str | Items[Annotated[str, Field(min_length=1)]],
        Field(min_length=1, description="suffixes of module names, or one regular expression"),
    ]
    optimizer: Annotated[Literal["adamw", "prodigy"], Field(description="optimiser")]
    lr: Annotated[LearningRate, Field(description="learning rate of the LoRA; prodigy: 1")]
    semantic_lr: Annotated[LearningRate, Field(description="of the semantic attention")]
    scale_lr: Annotated[
        LearningRate, Field(description="of the layers' scales and of a learnable fusion's alpha")
    ]
    finetune_lr_factor: Annotated[
        float, Field(gt=0, le=1, description="what the learning rates fall to, relative")
    ]
    weight_decay: Annotated[float, Field(ge=0, le=1, description="decoupled weight decay")]
    steps: Annotated[int, Field(ge=1, le=10_000_000, description="optimiser steps")]
    phases: Phases
    batch: Annotated[
        int, Field(ge=1, le=4096, description="triptychs a forward pass, in all processes")
    ]
    accumulation: Annotated[int, Field(ge=1, le=4096, description="forward passes a step")]
    mirror: Annotated[bool, Field(description="train on mirrored triptychs too")]
    precision: Annotated[
        Literal["float32", "bfloat16", "float16"], Field(description="precision of the computation")
    ]
    ema: Annotated[
        float, Field(ge=0, lt=1, description="decay of the weights' moving average; 0 is off")
    ]
    grad_clip: Annotated[float, Field(gt=0, le=1e6, description="largest gradient norm")]
    gradient_checkpointing: Annotated[bool, Field(description="less memory, more time")]
    guidance: Annotated[float, Field(ge=0, le=100, description="guidance embedding of the model")]
    time_shift: Annotated[
        float, Field(gt=0, le=100, description="timestep shift of the noise levels; 1 is none")
    ]
    left_panel_weight: Annotated[
        float, Field(ge=0, le=1, description="weight of the visible half in the loss")
    ]
    validate_every: Annotated[StepInterval, Field(description="steps; 0 only at the end")]
    sample_every: Annotated[StepInterval, Field(description="steps; 0 only at the end")]
    checkpoint_every: Annotated[StepInterval, Field(description="steps; 0 only at the end")]

    @model_validator(mode="after")
    def _one_rate_for_prodigy(self) -> Self:
        rates = (self.lr, self.semantic_lr, self.scale_lr)
        if self.optimizer == "prodigy" and len(set(rates)) > 1:
            raise ValueError(
                f"lr, semantic_lr, scale_lr = {', '.join(f'{rate:g}' for rate in rates)}: must be "
                "equal for optimizer prodigy, which finds one step size for all; set each to 1"
            )
        return self

    @property
    def phase_steps(self) -> tuple[int, int, int]:
        """Optimiser steps of warm-up, main and finetune; they sum to `steps`."""
        warmup = round(self.steps * self.phases.warmup)
        finetune = min(round(self.steps * self.phases.finetune), self.steps - warmup)
        return warmup, self.steps - warmup - finetune, finetune
