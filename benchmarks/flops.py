"""Floating-point operations of an edit, a training step and a picture at true shapes, counted.

python -m benchmarks.flops

No weights and no GPU: passes of a transformer by formulas, which tests hold to torch's counter to
the operation; the VAE, a training step and a picture by that counter on the `meta` device. Matrix
products and convolutions count, with two operations a multiplication and addition.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import Any
from unittest.mock import patch

import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.full_scale_parts import (
    Scale,
    all_steps,
    fill_config,
    full_settings,
    random_batch,
    training_settings,
)
from benchmarks.hub_folder import parts_of
from benchmarks.tables import markdown_table
from benchmarks.wan_step import Shape, reference_flops, step_flops
from refract.infrared.adapter.adapter_files import build_model
from refract.infrared.adapter.model import InfraredModel
from refract.params.models import InfraredModelParams
from stages.infer_ir import StageParams

SCALE = Scale("meta")
_BANKS = (500, 1560)  # tokens of a product, and of a photo that fills the frame
_H100_TFLOPS = 989  # dense products in bfloat16, SXM; NVIDIA's data sheet
_SECONDS = 20  # wanted of an edit


def count(call: Callable[[], object]) -> int:
    with FlopCounterMode(display=False) as counter:
        call()
    return counter.get_total_flops()


def wan_pass_flops(config: Mapping[str, Any], shape: Shape) -> int:
    """One pass of a Wan transformer, batch 1."""
    d, words = shape.dim, shape.words
    patch_in, patch_out = (4 * config[f"{side}_channels"] for side in ("in", "out"))  # 1 x 2 x 2
    time = config["freq_dim"] * d + d * d + 6 * d * d
    text = words * (config["text_dim"] * d + d * d)
    embedding = 2 * (shape.tokens * (patch_in + patch_out) * d + time + text)
    layers: int = config["num_layers"]
    return layers * step_flops(shape, 1) + embedding


def fill_pass_flops(config: Mapping[str, Any], tokens: int, words: int) -> int:
    """One pass of FLUX Fill, without LoRA, over so many image and text tokens, batch 1."""
    d = config["num_attention_heads"] * config["attention_head_dim"]
    n = tokens + words
    blocks = config["num_layers"] + config["num_single_layers"]
    products = blocks * n * 12 * d * d  # either kind: 4 d^2 of attention, 8 d^2 of feed-forward
    attention = blocks * 2 * n * n * d
    modulation = (config["num_layers"] * 12 + config["num_single_layers"] * 3) * d * d
    time = 2 * (256 * d + d * d) + config["pooled_projection_dim"] * d + d * d
    ends = tokens * (config["in_channels"] + config["out_channels"]) * d + 2 * d * d
    text = words * config["joint_attention_dim"] * d
    flops: int = 2 * (products + attention + modulation + time + ends + text)
    return flops


def wan_shape(config: Mapping[str, Any], scale: Scale) -> Shape:
    """Tokens of a clip, and the widths of a model."""
    frames, rows, columns = 1 + (scale.frames - 1) // 4, scale.height // 16, scale.width // 16
    heads, width = config["num_attention_heads"], config["attention_head_dim"]
    ffn, text = config["ffn_dim"], config["text_dim"]
    return Shape(frames, rows, columns, heads, width, ffn, scale.words, text)


def video_flops(model: str, reference: int, scale: Scale = SCALE) -> dict[str, int]:
    """Of an edit's parts; `reference` tokens in the bank. K steps: see `full_scale_parts`."""
    parts, steps = parts_of(model), all_steps()
    config, vae = parts["transformer"].config, parts["vae"].empty()
    shape = wan_shape(config, scale)
    a_pass = wan_pass_flops(config, shape)
    bank = config["num_layers"] * reference_flops(shape, 1, reference)
    clip = torch.empty(1, 3, scale.frames, scale.height, scale.width, device="meta")
    latents = 1, config["in_channels"], shape.frames, 2 * shape.rows, 2 * shape.columns
    x_0 = torch.empty(latents, device="meta")
    with torch.no_grad():
        encode, decode = count(lambda: vae.encode(clip)), count(lambda: vae.decode(x_0))
    plain = (2 * steps - 1) * a_pass
    return {
        "encode": encode,
        "source branch": steps * a_pass,
        "plain steps": plain,
        "steps with bank": plain + steps * bank,
        "decode": decode,
    }


def edit_flops(parts: Mapping[str, int], *, vae: bool = True) -> dict[str, int]:
    """Of the plain edit, the edit with a bank and a further point of a sweep."""
    encode, decode = (parts["encode"], parts["decode"]) if vae else (0, 0)
    first = encode + parts["source branch"]
    return {
        "edit, plain": first + parts["plain steps"] + decode,
        "edit, with bank": first + parts["steps with bank"] + decode,
        "sweep point": parts["steps with bank"] + decode,
    }


def infrared_flops(scale: Scale = SCALE, depth: int | None = None) -> dict[str, int]:
    """Of a training step, with and without checkpointing, and of a picture's steps."""
    steps = full_settings(StageParams).infer_ir.steps
    with _without_autocast():
        return {
            "training step": _training_flops(scale, depth, checkpointing=False),
            "training step, checkpointing": _training_flops(scale, depth, checkpointing=True),
            f"picture, {steps} steps": steps * _velocity_flops(scale, depth),
        }


def _model(scale: Scale, depth: int | None, *, checkpointing: bool) -> InfraredModel:
    settings = training_settings("float32", checkpointing=checkpointing)
    section = InfraredModelParams(
        path="meta", revision=None, dtype="float32", max_sequence_length=scale.words
    )
    base = parts_of("fill", depth)["transformer"].empty().requires_grad_(False)
    if checkpointing:
        base.enable_gradient_checkpointing()
    model = build_model(base, fill_config(scale, settings, section))
    assert model.conditioning is not None
    # Choosing by a boolean mask has a shape that depends on values, of which meta has none
    model.conditioning._infrared = model.grid.infrared().nonzero().squeeze(1)
    return model


def _training_flops(scale: Scale, depth: int | None, *, checkpointing: bool) -> int:
    """The optimiser and the loss have no products."""
    model = _model(scale, depth, checkpointing=checkpointing).train()
    batch = random_batch(scale, model.transformer.config)
    t = torch.empty(1, device="meta")
    return count(lambda: model(batch.x_0, t, *batch[1:]).square().mean().backward())


@torch.no_grad()
def _velocity_flops(scale: Scale, depth: int | None) -> int:
    """Of one Euler step; what is projected once a map is counted in each."""
    model = _model(scale, depth, checkpointing=False).eval()
    batch = random_batch(scale, model.transformer.config)
    return count(lambda: model(batch.x_0, torch.empty(1, device="meta"), *batch[1:]))


@contextmanager
def _without_autocast() -> Iterator[None]:
    """The meta device knows no autocast; the type changes no count."""
    with patch.object(torch, "autocast", lambda *_, **__: nullcontext()):
        yield


def edit_table(parts: Mapping[str, Mapping[str, int]]) -> str:
    """Whole edits by model and bank; what an H100 would have to do for 20 s."""
    header = [
        "model, bank", "what", "PFLOP", "x", "of", "x without the VAE",
        f"TFLOP/s for {_SECONDS} s", f"share of {_H100_TFLOPS} TFLOP/s",
    ]  # fmt: skip
    bases = {"edit, with bank": "edit, plain", "sweep point": "edit, with bank"}
    lines: list[list[object]] = []
    for name, own in parts.items():
        whole, bare = edit_flops(own), edit_flops(own, vae=False)
        for what, flops in whole.items():
            base = bases.get(what)
            ratios = [f"{x[what] / x[base]:.3f}" if base else "" for x in (whole, bare)]
            needed = flops / _SECONDS / 1e12
            share = f"{needed / _H100_TFLOPS:.0%}"
            lines.append(
                [name, what, flops / 1e15, ratios[0], base or "", ratios[1], needed, share]
            )
    return markdown_table(header, lines)


def main() -> None:
    edits = {
        f"{model}, {tokens} tokens": video_flops(model, tokens)
        for model in ("wan-1.3B", "wan-14B")
        for tokens in _BANKS
    }
    print(edit_table(edits))
    parts = {**edits, "FLUX.1 Fill": infrared_flops()}
    lines = [[name, what, n / 1e12] for name, own in parts.items() for what, n in own.items()]
    print(f"\n{markdown_table(['model', 'part', 'TFLOP'], lines)}")


if __name__ == "__main__":
    main()
