"""The ablations of the infrared adapter: each changes one choice of the default, or a preset."""

from collections.abc import Mapping

# Dotted keys below `ir_adapter`, as `dvc exp run -S ir_adapter.KEY=VALUE` takes them.
VARIANTS: Mapping[str, Mapping[str, object]] = {
    "default": {},
    "LoRA only": {"semantic.mode": "none"},
    "pixel fusion": {"semantic.mode": "pixel_fusion"},
    "as described": {"semantic.preset": "as_described"},
    "panel": {"semantic.mode": "panel"},
    "position none": {"semantic.position": "none"},
    "position rope2d": {"semantic.position": "rope2d"},
    "gate zero_scale": {"semantic.gate": "zero_scale"},
    "gate small": {"semantic.gate": "small"},
    "gate one": {"semantic.gate": "one"},
    "site x_t": {"semantic.site": "x_t"},
    "layout target": {"semantic.layout": "target"},
    "layers 2": {"layers": 2},
    "layers 3": {"layers": 3},
    "heads 4": {"heads": 4},
    "heads 16": {"heads": 16},
    "pixel fusion, learnable": {"semantic.mode": "pixel_fusion", "semantic.fusion": "learnable"},
}
