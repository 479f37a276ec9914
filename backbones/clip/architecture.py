"""The micro CLIP's configuration in open_clip's own form, and how it is written to disk.

A ModifiedResNet visual tower, because convolutions learn from a few thousand pictures where a
transformer does not. The text tower keeps open_clip's standard tokenizer; its embedding table alone
is 4.7 of the 7.6 MB.
"""

import json
from pathlib import Path
from typing import Any

import open_clip
import torch
from safetensors.torch import save_file

from backbones.publish import write_manifest

IMAGE_PX = 64
CONTEXT = 16  # tokens; the longest caption of the table-top world has 12

MODEL_CONFIG: dict[str, Any] = {
    "embed_dim": 128,
    "vision_cfg": {
        "image_size": IMAGE_PX,
        "layers": [1, 1, 1, 1],
        "width": 16,
        "head_width": 64,
    },
    "text_cfg": {
        "context_length": CONTEXT,
        "vocab_size": 49408,
        "width": 48,
        "heads": 3,
        "layers": 2,
    },
}
PREPROCESS_CONFIG: dict[str, Any] = {
    "mean": [0.5, 0.5, 0.5],
    "std": [0.5, 0.5, 0.5],
    "interpolation": "bicubic",
    "resize_mode": "shortest",
}


def build() -> open_clip.CLIP:
    """The untrained network; torch's global seed decides its weights."""
    return open_clip.CLIP(**MODEL_CONFIG)


def save(network: open_clip.CLIP, used_tokens: torch.Tensor, folder: Path) -> None:
    """Write `open_clip_config.json`, fp16 `open_clip_model.safetensors` and `manifest.json`.

    Embeddings of tokens outside `used_tokens` are zeroed: they hold their random start and
    nothing learned, and zeros cost a compressed repository nothing.
    """
    folder.mkdir(parents=True, exist_ok=True)
    config = {"model_cfg": MODEL_CONFIG, "preprocess_cfg": PREPROCESS_CONFIG}
    (folder / "open_clip_config.json").write_text(json.dumps(config, indent=2) + "\n")
    weights = {
        name: (value.half() if value.is_floating_point() else value).contiguous()
        for name, value in network.state_dict().items()
    }
    table = torch.zeros_like(weights["token_embedding.weight"])
    table[used_tokens] = weights["token_embedding.weight"][used_tokens]
    weights["token_embedding.weight"] = table
    save_file(weights, folder / "open_clip_model.safetensors", metadata={"format": "pt"})
    write_manifest(folder)
