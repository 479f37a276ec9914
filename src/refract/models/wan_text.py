"""Prompt embeddings exactly as diffusers' `WanPipeline` makes them."""

from typing import Any

import torch
from torch import Tensor

from refract.base.errors import InputError, shorten


@torch.no_grad()
def embed_prompt(
    tokenizer: Any,
    text_encoder: Any,
    prompt: str,
    max_sequence_length: int,
    *,
    allow_empty: bool = False,
) -> Tensor:
    """Embedding (1, max_sequence_length, text_dim) of one prompt, zero behind its last token.

    The pipeline's own method is called, which masks and zeroes the padding. It would cut a longer
    prompt without a word; here that is an InputError, as is an empty prompt unless allowed.
    """
    from diffusers.pipelines.wan.pipeline_wan import WanPipeline, prompt_clean

    text = prompt_clean(prompt)
    if not text and not allow_empty:
        raise InputError("prompt is empty; say what the video shows")
    count = len(tokenizer(text, add_special_tokens=True).input_ids)
    if count > max_sequence_length:
        raise InputError(
            f"prompt {shorten(text)} has {count} tokens; at most {max_sequence_length} are "
            "allowed: shorten it or raise video_model.max_sequence_length"
        )
    pipeline = WanPipeline(
        tokenizer=tokenizer, text_encoder=text_encoder, vae=None, scheduler=None, transformer=None
    )
    embedding, _ = pipeline.encode_prompt(
        text,
        do_classifier_free_guidance=False,
        max_sequence_length=max_sequence_length,
        device=text_encoder.device,
    )
    return embedding
