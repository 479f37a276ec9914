"""The pipeline's edits of many pairs: what they share is encoded once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from backbones.video.clip_codec import encode_clips
from backbones.video.edit_pairs import Pair, stack_videos
from backbones.video.text import MAX_SEQUENCE_LENGTH, encode_text
from refract.editing.reference.bank import ReferenceBank
from refract.editing.reference.extraction import extract_bank
from refract.editing.samplers.edited_words import edited_tokens
from refract.editing.samplers.latent_edit import FlowSettings, RegionSettings, edit_latents
from refract.editing.samplers.noise_levels import edit_sigmas
from refract.editing.samplers.source_branch import (
    SourceBranch,
    compute_source_branch,
    source_velocity_of,
)
from refract.editing.samplers.velocity import Prompt
from refract.editing.samplers.wan_velocity import WanVelocity
from refract.editing.samplers.windows import Windowed, WindowedVelocity
from refract.media.product_foreground import product_tokens, separate_product
from refract.models.wan import WanModel
from refract.models.wan_latents import encode_frames
from refract.params.ref_bank import BankParams


@dataclass(frozen=True)
class Flow:
    """Settings of FlowAlign, as in section flowalign of params.yaml.

    region: its section `region`, None for one zeta everywhere. windowed: how longer clips are
    divided.
    """

    steps: int
    strength: float
    guidance: float
    zeta: float
    shift: float
    region: Mapping[str, Any] | None = None
    windowed: Windowed | None = None

    def at(self, seed: int, tokens: Mapping[str, Sequence[int]] | None = None) -> FlowSettings:
        """tokens: of the edited words, where there is a region."""
        sigmas = edit_sigmas(self.steps, self.strength, self.shift)
        region = None
        if self.region is not None:
            assert tokens is not None, "a region needs the tokens of the edited words"
            facts = {key: self.region[key] for key in ("layers", "threshold", "zeta_outside")}
            region = RegionSettings(tokens, **facts)
        return FlowSettings(
            sigmas, self.guidance, self.zeta, seed, region=region, windowed=self.windowed
        )


class Editor:
    """The pairs of one experiment, encoded once, and the pipeline's edits of them."""

    def __init__(self, model: WanModel, pairs: Sequence[Pair]) -> None:
        self.model, self.pairs = model, pairs
        self.latents = encode_clips(model.vae, stack_videos(pairs))
        tokenizer, encoder = model.text
        prompts = [(pair.source_prompt, pair.target_prompt) for pair in pairs]
        with torch.no_grad():
            self.contexts: list[dict[Prompt, Tensor]] = [
                {
                    "source": encode_text(encoder, tokenizer, [source]),
                    "target": encode_text(encoder, tokenizer, [target]),
                    "negative": encode_text(encoder, tokenizer, [""]),
                }
                for source, target in prompts
            ]

    def settings(self, index: int, flow: Flow, seed: int) -> FlowSettings:
        """`flow` for one pair, with the tokens of the words in which its prompts differ."""
        if flow.region is None:
            return flow.at(seed)
        pair = self.pairs[index]
        prompts, words = (pair.source_prompt, pair.target_prompt), flow.region["words"]
        tokens = edited_tokens(self.model.tokenizer, *prompts, words, MAX_SEQUENCE_LENGTH)
        return flow.at(seed, tokens)

    def source(self, index: int, settings: FlowSettings) -> SourceBranch:
        velocity = WindowedVelocity(
            WanVelocity(self.model.transformer, self.contexts[index]), settings.windowed
        )
        evaluate = source_velocity_of(velocity, settings.algorithm.source, settings.source_guidance)
        x_src = self.latents[index : index + 1]
        return compute_source_branch(evaluate, x_src, settings.sigmas, settings.seed, torch.float32)

    def plain(self, index: int, source: SourceBranch, settings: FlowSettings) -> Tensor:
        return edit_latents(self.model.transformer, self.contexts[index], source, settings)

    def bank(self, index: int, params: BankParams) -> ReferenceBank:
        """As the pipeline makes it: product apart from its backdrop, target prompt."""
        photo = self.pairs[index].photo
        mask = separate_product(photo)
        return extract_bank(
            self.model.transformer,
            encode_frames(self.model.vae, photo[None]),
            self.contexts[index]["target"],
            params.ref_timesteps,
            product_tokens(np.ones(photo.shape[:2], bool) if mask is None else mask, 6, 6),
            pool=params.ref_bank.pool,
            generator=torch.Generator().manual_seed(params.seed),
        )
