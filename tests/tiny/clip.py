"""A random open_clip model of a few kilobytes, on disk in open_clip's own layout."""

import json
from pathlib import Path

import refract.models.torchvision_compat  # noqa: F401  (must come before open_clip)

import torch
from open_clip import CLIP
from safetensors.torch import save_file

CONFIG = {
    "embed_dim": 16,
    # image_px must be a multiple of 32, the visual tower's stride
    "vision_cfg": {"image_size": 32, "layers": [1, 1, 1, 1], "width": 8, "head_width": 64},
    "text_cfg": {"context_length": 8, "vocab_size": 49408, "width": 8, "heads": 1, "layers": 1},
}


def write_tiny_clip(folder: Path) -> Path:
    """Write the model.

    Its residual branches are opened, which open_clip starts at zero, and the position and the
    biases of the pooling removed, which would drown what a random network makes of the picture.
    """
    torch.manual_seed(0)
    network = CLIP(**CONFIG).eval()
    for name, parameter in network.visual.named_parameters():
        if name.endswith("bn3.weight"):
            torch.nn.init.ones_(parameter)
    for name, parameter in network.visual.attnpool.named_parameters():
        if name == "positional_embedding" or name.endswith("bias"):
            torch.nn.init.zeros_(parameter)
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps({"model_cfg": CONFIG, "preprocess_cfg": {}})
    (folder / "open_clip_config.json").write_text(text)
    weights = {name: value.contiguous() for name, value in network.state_dict().items()}
    save_file(weights, folder / "open_clip_model.safetensors")
    return folder
