"""The micro text side of the video model: a word tokenizer and a small UMT5 encoder."""

from collections.abc import Sequence

import refract.models.torchvision_compat  # noqa: F401  (must come before diffusers)

import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from torch import Tensor
from transformers import PreTrainedTokenizerFast, UMT5Config, UMT5EncoderModel

TEXT_DIM = 128
MAX_SEQUENCE_LENGTH = 16  # the longest caption has 9 words and the end token
_SPECIAL = ("<pad>", "</s>", "<unk>")


def build_tokenizer(words: Sequence[str]) -> PreTrainedTokenizerFast:
    """One id a word, lower case, `</s>` at the end; what is not in `words` becomes `<unk>`."""
    vocabulary = {word: index for index, word in enumerate([*_SPECIAL, *words])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A </s>", special_tokens=[("</s>", vocabulary["</s>"])]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        eos_token="</s>",
        unk_token="<unk>",
        model_max_length=MAX_SEQUENCE_LENGTH,
    )


def build_text_encoder(tokenizer: PreTrainedTokenizerFast) -> UMT5EncoderModel:
    config = UMT5Config(
        vocab_size=len(tokenizer),
        d_model=TEXT_DIM,
        d_kv=32,
        d_ff=256,
        num_layers=2,
        num_heads=4,
        dropout_rate=0.0,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
        decoder_start_token_id=tokenizer.pad_token_id,
    )
    return UMT5EncoderModel(config)


def encode_text(
    encoder: UMT5EncoderModel, tokenizer: PreTrainedTokenizerFast, captions: Sequence[str]
) -> Tensor:
    """(b, 16, 128), zero after the end token: what `WanPipeline.encode_prompt` gives."""
    tokens = tokenizer(
        list(captions),
        padding="max_length",
        max_length=MAX_SEQUENCE_LENGTH,
        truncation=True,
        return_tensors="pt",
    )
    mask = tokens.attention_mask
    states = encoder(tokens.input_ids, mask).last_hidden_state
    return states * torch.as_tensor(mask)[..., None]
