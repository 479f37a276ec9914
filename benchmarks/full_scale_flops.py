"""Floating-point operations at full scale, counted on the `meta` device: no weights, no GPU.

torch's counter looks on while the pipeline's own functions run: matrix products and convolutions
count, with two operations a multiplication and addition; norms, softmax and the like do not.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.full_scale_models import FILL_NAME, WAN_NAMES, Cut, empty_model, empty_weights
from benchmarks.full_scale_options import OptionSet
from benchmarks.full_scale_run import Scale, full_settings
from benchmarks.full_scale_training import fill_config, random_batch, training_settings
from benchmarks.full_scale_video import Edit, EditSetting, edit_setting, video_edit
from benchmarks.wan_step import Shape, step_flops
from refract.editing.reference.bank import ReferenceBank
from refract.editing.samplers.source_branch import SourceBranch
from refract.infrared.adapter.adapter_files import build_model
from refract.infrared.adapter.model import InfraredModel
from refract.infrared.adapter.sampling import generate_tokens
from refract.models.wan_latents import encode_frames
from stages.infer_ir import StageParams

_FEW = (1, 2)  # steps or layers counted: each further one costs what the second does


def count(call: Callable[[], object]) -> int:
    with FlopCounterMode(display=False) as counter:
        call()
    return counter.get_total_flops()


def affine(count_few: Callable[[int], int], number: int) -> int:
    """Operations of `number` steps or layers, from those of one and of two."""
    fewer, more = (count_few(few) for few in _FEW)
    return fewer + (number - _FEW[0]) * (more - fewer)


@torch.no_grad()
def video_flops(name: str, scale: Scale, reference: int) -> dict[str, int]:
    """Operations of an edit's parts; `reference` tokens in the bank, the first of a frame."""
    _, config = scale.cut.config(WAN_NAMES[name], "transformer")
    steps = edit_setting(None).all_steps
    edits = {
        (layers, few): _on_meta(name, replace(scale, cut=Cut(layers)), edit_setting(few), reference)
        for layers in _FEW
        for few in _FEW
    }

    def whole(call: Callable[[Edit], object]) -> int:
        def of_layers(layers: int) -> int:
            return affine(lambda few: count(lambda: call(edits[layers, few])), steps)

        return affine(of_layers, config["num_layers"])

    first = edits[_FEW[0], _FEW[0]]
    return {
        "encode": count(lambda: encode_frames(first.model.vae, first.clip)),
        "source branch": whole(Edit.branch),
        "plain steps": whole(Edit.plain),
        "steps with bank": whole(Edit.with_bank),
        "decode": count(lambda: first.model.vae.decode(first.x_src)),
    }


def _on_meta(name: str, scale: Scale, setting: EditSetting, reference: int) -> Edit:
    """The measured edit, with what would have to be computed put there."""
    with empty_weights(scale.cut):
        own = replace(scale, device="meta")
        edit = video_edit(name, OptionSet(), own, setting, Path("never written"))
        latents = edit.model.transformer.config.in_channels, *latent_shape(scale)
    x_src = edit.x_src = torch.empty(1, *latents, device="meta")
    edit.source = SourceBranch(x_src, x_src.new_empty(setting.steps, *x_src.shape))
    edit.bank = _zero_bank(edit.model.transformer.config, x_src, reference)
    return edit


def latent_shape(scale: Scale) -> tuple[int, int, int]:
    """Frames, height and width of a clip's latents."""
    return 1 + (scale.frames - 1) // 4, scale.height // 8, scale.width // 8


def _zero_bank(config: Any, x_src: Tensor, reference: int) -> ReferenceBank:
    """Real zeros, since a bank is checked for values that are not finite; one pair for all."""
    rows, columns = (side // 2 for side in x_src.shape[-2:])
    grid = torch.cartesian_prod(torch.arange(rows), torch.arange(columns)).float()
    if not 0 < reference <= len(grid):
        raise ValueError(f"{reference} reference tokens: a frame has {len(grid)}")
    shape = reference, config.num_attention_heads, config.attention_head_dim
    pair = {kind: torch.zeros(shape) for kind in ("key", "value")}
    return ReferenceBank(dict.fromkeys(range(config.num_layers), pair), grid[:reference])


def edit_flops(parts: dict[str, int], vae: bool = True) -> dict[str, int]:
    """Operations of the plain edit, the edit with a bank and a further point of a sweep."""
    encode, decode = (parts["encode"], parts["decode"]) if vae else (0, 0)
    first = encode + parts["source branch"]
    return {
        "edit, plain": first + parts["plain steps"] + decode,
        "edit, with bank": first + parts["steps with bank"] + decode,
        "sweep point": parts["steps with bank"] + decode,
    }


def wan_pass_flops(config: dict[str, Any], frames: int, rows: int, columns: int, words: int) -> int:
    """By hand: one pass of a Wan transformer over frames x rows x columns tokens, batch 1."""
    heads, width = config["num_attention_heads"], config["attention_head_dim"]
    shape = Shape(frames, rows, columns, heads, width, config["ffn_dim"], words, config["text_dim"])
    n, d = shape.tokens, shape.dim
    patch_in = config["in_channels"] * 4  # 1 x 2 x 2 latent pixels
    patch_out = config["out_channels"] * 4
    time = config["freq_dim"] * d + d * d + 6 * d * d
    text = words * (config["text_dim"] * d + d * d)
    embedding = 2 * (n * (patch_in + patch_out) * d + time + text)
    return config["num_layers"] * step_flops(shape, 1) + embedding


def fill_pass_flops(config: dict[str, Any], tokens: int, words: int) -> int:
    """By hand: one pass of FLUX Fill, without LoRA, over so many image and text tokens, batch 1."""
    d = config["num_attention_heads"] * config["attention_head_dim"]
    n = tokens + words
    blocks = config["num_layers"] + config["num_single_layers"]
    products = blocks * n * 12 * d * d  # either kind: 4 d^2 of attention, 8 d^2 of feed-forward
    attention = blocks * 2 * n * n * d
    modulation = (config["num_layers"] * 12 + config["num_single_layers"] * 3) * d * d
    time = 2 * (256 * d + d * d) + config["pooled_projection_dim"] * d + d * d
    ends = tokens * (config["in_channels"] + config["out_channels"]) * d + 2 * d * d
    text = words * config["joint_attention_dim"] * d
    return 2 * (products + attention + modulation + time + ends + text)


def infrared_flops(scale: Scale) -> dict[str, int]:
    """Operations of a training step, with and without checkpointing, and of a picture's steps."""
    own = replace(scale, device="meta")
    with _without_autocast():
        steps = full_settings(StageParams).infer_ir.steps
        return {
            "training step": _training_flops(own, checkpointing=False),
            "training step, checkpointing": _training_flops(own, checkpointing=True),
            f"picture, {steps} steps": affine(lambda few: _picture_flops(own, few), steps),
        }


def _model(scale: Scale, *, checkpointing: bool) -> InfraredModel:
    options = OptionSet(checkpointing=checkpointing)
    section = options.infrared("float32", scale.words)
    settings = training_settings(options, "float32", 1)
    base = empty_model(FILL_NAME, "transformer", scale.cut)
    if checkpointing:
        base.enable_gradient_checkpointing()
    model = build_model(base, fill_config(scale, settings, section))
    assert model.conditioning is not None
    # Choosing by a boolean mask has a shape that depends on values, of which meta has none
    model.conditioning._infrared = model.grid.infrared().nonzero().squeeze(1)
    return model


def _training_flops(scale: Scale, *, checkpointing: bool) -> int:
    """The optimiser and the loss have no products."""
    model = _model(scale, checkpointing=checkpointing).train()
    batch = random_batch(scale, training_settings(OptionSet(), "float32", 1))
    t = torch.empty(len(batch.x_0), device="meta")
    return count(lambda: model(batch.x_0, t, *batch[1:]).square().mean().backward())


def _picture_flops(scale: Scale, steps: int) -> int:
    model = _model(scale, checkpointing=False).eval().requires_grad_(False)
    batch = random_batch(scale, training_settings(OptionSet(), "float32", 1))
    sigmas = torch.linspace(1, 0, steps + 1)
    return count(lambda: generate_tokens(model, sigmas, batch.x_0, *batch[1:]))


@contextmanager
def _without_autocast() -> Iterator[None]:
    """The meta device knows no autocast; the type changes no count."""
    with patch.object(torch, "autocast", lambda *_, **__: nullcontext()):
        yield


TRUE_SCALE = Scale(
    device="meta", dtype="float32", cut=Cut(), frames=49, width=832, height=480, panel_px=512,
    words=512, steps=None, repeats=1, clock=float,
)  # fmt: skip
