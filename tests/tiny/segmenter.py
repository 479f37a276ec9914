"""Small random Mask2Former and OneFormer, on disk as `transformers` saves them."""

import json
from pathlib import Path
from typing import Any

import refract.models.torchvision_compat  # noqa: F401  (before transformers)

import torch
from transformers import (
    CLIPTokenizer,
    Mask2FormerConfig,
    Mask2FormerForUniversalSegmentation,
    Mask2FormerImageProcessor,
    OneFormerConfig,
    OneFormerForUniversalSegmentation,
    OneFormerImageProcessor,
    SwinConfig,
)

NAMES = ("road", "car", "person", "vegetation")
_PHOTO_PX = 64  # what photos are resized to; 32 leaves one pixel to the last stage, too few to norm
_DIM = 32  # the pixel decoders normalise in 32 groups


def swin() -> SwinConfig:
    """Four stages, since the pixel decoders want features of four strides."""
    return SwinConfig(
        image_size=_PHOTO_PX,
        embed_dim=8,
        depths=[1, 1, 1, 1],
        num_heads=[1, 1, 1, 1],
        window_size=4,
        out_features=["stage1", "stage2", "stage3", "stage4"],
    )


def shape(names: tuple[str, ...]) -> dict[str, Any]:
    return {
        "backbone_config": swin(),
        "hidden_dim": _DIM,
        "encoder_feedforward_dim": _DIM,
        "dim_feedforward": _DIM,
        "encoder_layers": 1,
        "decoder_layers": 2,
        "num_attention_heads": 2,
        "num_queries": 6,
        "id2label": dict(enumerate(names)),
        "label2id": {name: index for index, name in enumerate(names)},
    }


def write_mask2former(folder: Path, names: tuple[str, ...] = NAMES, *, seed: int = 0) -> Path:
    """Write the model with its image processor."""
    torch.manual_seed(seed)
    config = Mask2FormerConfig(**shape(names), feature_size=_DIM, mask_feature_size=_DIM)
    network = Mask2FormerForUniversalSegmentation(config)
    decide(network.class_predictor, network.model.transformer_module.decoder.mask_predictor)
    network.save_pretrained(folder)
    Mask2FormerImageProcessor(size={"height": _PHOTO_PX, "width": _PHOTO_PX}).save_pretrained(
        folder
    )
    return folder


def write_oneformer(folder: Path, names: tuple[str, ...] = NAMES) -> Path:
    """Write the model with its image processor and tokenizer."""
    torch.manual_seed(0)
    tokens = write_tokenizer(folder)
    config = OneFormerConfig(
        **shape(names),
        conv_dim=_DIM,
        mask_dim=_DIM,
        query_dec_layers=1,
        task_seq_len=16,
        text_encoder_width=_DIM,
        text_encoder_context_length=16,
        text_encoder_num_layers=1,
        text_encoder_vocab_size=tokens,
    )
    network = OneFormerForUniversalSegmentation(config)
    decoder = network.model.transformer_module.decoder
    decide(decoder.class_embed, decoder.mask_embed)
    network.save_pretrained(folder)
    processor = OneFormerImageProcessor(size={"height": _PHOTO_PX, "width": _PHOTO_PX})
    processor.save_pretrained(folder)
    # As the published ones: the file lies in another hub repository.
    path = folder / "preprocessor_config.json"
    settings = json.loads(path.read_text()) | {"class_info_file": "cityscapes_panoptic.json"}
    path.write_text(json.dumps(settings))
    return folder


def decide(classes: torch.nn.Linear, masks: torch.nn.Module) -> None:
    """Blow up the last layers: a random network is sure of nothing, and all would be black."""
    with torch.no_grad():
        classes.weight *= 300
        classes.bias[-1] = -1000.0  # no query is of no object
        last = [layer for layer in masks.modules() if isinstance(layer, torch.nn.Linear)][-1]
        last.weight *= 300


def write_tokenizer(folder: Path) -> int:
    """A CLIP tokenizer of single bytes without merges; returns how many tokens it has."""
    folder.mkdir(parents=True, exist_ok=True)
    letters = [chr(code) for code in range(33, 127)]
    tokens = [*letters, *(f"{x}</w>" for x in letters), "<|startoftext|>", "<|endoftext|>"]
    (folder / "vocab.json").write_text(json.dumps({t: i for i, t in enumerate(tokens)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    CLIPTokenizer(str(folder / "vocab.json"), str(folder / "merges.txt")).save_pretrained(folder)
    return len(tokens)
