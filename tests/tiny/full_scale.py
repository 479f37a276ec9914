"""The published models at a thousandth of their width, for tests of the full-scale benchmark."""

from dataclasses import replace

import pytest

from benchmarks import full_scale_models
from benchmarks.full_scale_flops import (
    TRUE_SCALE,
)
from benchmarks.full_scale_models import Cut
from benchmarks.true_shapes import FILL, WAN_SMALL

# The widths of the models through a thousandth, everything else as published
TINY_WAN = {
    **WAN_SMALL, "attention_head_dim": 12, "ffn_dim": 32, "num_attention_heads": 2, "text_dim": 16
}  # fmt: skip
TINY_WAN_VAE = {
    "base_dim": 8, "dim_mult": [1, 1, 1, 1], "num_res_blocks": 1, "z_dim": 16,
    "temperal_downsample": [False, True, True],
}  # fmt: skip
TINY_FILL = {
    **FILL, "attention_head_dim": 16, "axes_dims_rope": [4, 6, 6], "joint_attention_dim": 32,
    "num_attention_heads": 2, "pooled_projection_dim": 16,
}  # fmt: skip
TINY_FILL_VAE = {
    **full_scale_models.FILL_VAE, "block_out_channels": [8, 8, 8, 8], "layers_per_block": 1,
    "norm_num_groups": 2,
}  # fmt: skip
SMALL = replace(TRUE_SCALE, frames=5, width=64, height=32, panel_px=32, words=8, cut=Cut(2))


def make_tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both models at a thousandth of their width; T5's and CLIP's embeddings with them."""
    parts = full_scale_models._PARTS
    small = {16: TINY_WAN_VAE}
    for name, part in list(parts):
        kind, _ = parts[name, part]
        fill = name == full_scale_models.FILL_NAME
        config = {
            ("transformer", True): TINY_FILL, ("vae", True): TINY_FILL_VAE,
            ("transformer", False): TINY_WAN, ("vae", False): small[16],
        }[part, fill]  # fmt: skip
        monkeypatch.setitem(parts, (name, part), (kind, config))
    for key, value in TINY_FILL.items():
        monkeypatch.setitem(FILL, key, value)
