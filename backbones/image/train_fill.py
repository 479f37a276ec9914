"""Train the transformer of the micro FLUX Fill base: fill the right panel as the prompt says.

python -m backbones.image.train_fill --work WORK --vae WORK/vae --output WORK/fill

The base never sees an infrared image nor the words for it: that is what the adapter is for.
Writes the moving average of the weights, figures.json, curve.csv and samples.jpg to --output.
A killed run continues from WORK/fill_run.safetensors; --start goes on from published weights.
"""

import refract.models.torchvision_compat  # noqa: F401  (must come before diffusers)

# isort: split
import argparse
import copy
import json
import logging
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL, FluxFillPipeline, FluxTransformer2DModel
from safetensors.torch import load_file, save_file

from backbones.checkpoint import load_checkpoint, save_checkpoint
from backbones.image.assemble import build_pipeline
from backbones.image.bank import HELD_OUT_SEED, TRAIN_SEED, Bank, base_bank
from backbones.image.diptychs import Encoded, draw_pairs, encode_pairs, mask_table
from backbones.image.fill_figures import (
    HeldOut,
    ceiling,
    encode_held_out,
    fill,
    psnr_by_task,
    write_sheet,
)
from backbones.image.fill_flow import PANEL_PX, encode_prompts, flow_loss
from backbones.image.flux_attention import install_explicit_attention
from backbones.image.tasks import PHRASES
from backbones.moving_average import follow
from backbones.muon import Muon
from backbones.options import begin, recipe_parser
from backbones.progress import Progress

log = logging.getLogger("train_fill")

CONFIG = {
    "patch_size": 1,
    "in_channels": 384,
    "out_channels": 64,
    "num_layers": 2,
    "num_single_layers": 4,
    "attention_head_dim": 32,
    "num_attention_heads": 6,
    "joint_attention_dim": 64,
    "pooled_projection_dim": 64,
    "guidance_embeds": True,
    "axes_dims_rope": (4, 14, 14),
}
MASKS = 65
_HELD_OUT_SCENES = 48  # drawn
_CHECKED_SCENES, _CHECK_STEPS = 8, 8  # while training
_FINAL_SCENES, _FINAL_STEPS = 24, 6  # steps as the pipeline infers


def refuse_infrared(bank: Bank, phrases: list[str]) -> None:
    """Raise if the base could see an infrared image or read about one."""
    if "infrared" in bank or any(w in p for p in phrases for w in ("infrared", "thermal")):
        raise ValueError("the image base must not be trained on infrared panels or prompts")


def learning_rate(step: int, steps: int) -> float:
    """Share of the peak: warm-up over 100 steps, constant to 30%, then a cosine to 1%."""
    done = max(0.0, (step / steps - 0.3) / 0.7)
    return min(1.0, (step + 1) / 100) * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * done)))


def make_optimisers(net: FluxTransformer2DModel, peak: float) -> dict[str, torch.optim.Optimizer]:
    """Muon for the matrices inside the blocks, AdamW at half its rate for the rest."""
    inside = {
        name
        for name, p in net.named_parameters()
        if "transformer_blocks" in name and p.ndim == 2 and ".norm" not in name
    }
    matrices = [p for name, p in net.named_parameters() if name in inside]
    rest = [p for name, p in net.named_parameters() if name not in inside]
    adamw = torch.optim.AdamW(rest, peak / 2, betas=(0.9, 0.98), weight_decay=0.01)
    return {"muon": Muon(matrices, lr=peak, decay=0.01), "adamw": adamw}


def train(
    pipeline: FluxFillPipeline,
    average: FluxTransformer2DModel,
    data: Encoded,
    options: argparse.Namespace,
) -> Iterator[tuple[int, Progress]]:
    """Train in place; yields (finished steps, progress) where `average` is to be checked."""
    net = pipeline.transformer
    tokens, pooled = encode_prompts(pipeline, PHRASES)
    optimisers = make_optimisers(net, options.lr)
    modules = {"transformer": net, "average": average}
    resume = options.work / "fill_run.safetensors"
    first = load_checkpoint(resume, modules, optimisers)
    peaks = [(group, group["lr"]) for o in optimisers.values() for group in o.param_groups]
    progress = Progress(options.work / "fill_curve.csv", first, options.steps)
    for step in range(first, options.steps):
        random = torch.Generator().manual_seed(
            int(np.random.default_rng([options.seed, step]).integers(2**62))
        )
        rows = torch.randint(0, len(data.x_0), (options.batch,), generator=random)
        x_0, x_cond, prompt = data.batch(rows)
        loss = flow_loss(net, x_0, x_cond, (tokens[prompt], pooled[prompt]), random)
        net.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        for group, highest in peaks:
            group["lr"] = highest * learning_rate(step, options.steps)
        for optimiser in optimisers.values():
            optimiser.step()
        done = step + 1
        follow(average.parameters(), net.parameters(), done)
        progress.note(loss=loss.item())
        if done % options.check_every == 0 and done < options.steps:
            yield done, progress
        if done % options.checkpoint_every == 0 or done == options.steps:
            save_checkpoint(resume, done, modules, optimisers)
        if done % 50 == 0 or done == options.steps:
            progress.report(done)


@torch.no_grad()
def validation_loss(
    pipeline: FluxFillPipeline, net: FluxTransformer2DModel, data: Encoded, repeats: int
) -> float:
    """Flow loss on all of `data`, the noise always the same; beside the training loss it shows
    over-fitting if `data` is a held-out copy of the training mix."""
    tokens, pooled = encode_prompts(pipeline, PHRASES)
    random = torch.Generator().manual_seed(0)
    losses = []
    for rows in torch.arange(len(data.x_0)).repeat(repeats).split(16):
        x_0, x_cond, prompt = data.batch(rows)
        losses.append(flow_loss(net, x_0, x_cond, (tokens[prompt], pooled[prompt]), random))
    return float(torch.stack(losses).mean())


def encoded_pairs(
    pipeline: FluxFillPipeline, bank: Bank, count: int, seed: int, cache: Path
) -> Encoded:
    """`count` random pairs of `bank`, encoded once and kept in the file `cache`."""
    refuse_infrared(bank, PHRASES)
    if cache.exists():
        return Encoded(**load_file(cache))
    random = np.random.default_rng(seed)
    pairs = draw_pairs(bank, count, MASKS, random)
    masks = mask_table(PANEL_PX, MASKS, random)
    data = encode_pairs(pipeline, bank, pairs, masks, PHRASES, rough=True)
    partial = cache.with_suffix(".partial")
    save_file(vars(data), partial)
    partial.replace(cache)
    return data


def finish(
    pipeline: FluxFillPipeline, average: FluxTransformer2DModel, held_out: HeldOut, output: Path
) -> None:
    """Write the weights, the figures beside the autoencoder's ceiling, and the sheet."""
    average.save_pretrained(output)
    made = fill(pipeline, average, held_out, _FINAL_STEPS)
    figures = {
        "scenes": held_out.scenes,
        "psnr": psnr_by_task(made, held_out),
        "ceiling": psnr_by_task(ceiling(pipeline, held_out), held_out),
    }
    (output / "figures.json").write_text(json.dumps(figures, indent=2) + "\n")
    write_sheet(output / "samples.jpg", made, held_out)
    log.info("%s", json.dumps(figures))


def parse_options() -> argparse.Namespace:
    parser = recipe_parser(__doc__, steps=13_600, lr=2e-3)
    parser.add_argument("--work", type=Path, required=True, help="caches, resume file, curves")
    parser.add_argument("--vae", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True, help="folder of the transformer")
    parser.add_argument("--start", type=Path, help="folder of a transformer to go on from")
    parser.add_argument("--scenes", type=int, default=3000)
    parser.add_argument("--pairs", type=int, default=15000)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--check-every", type=int, default=1500)
    parser.add_argument("--checkpoint-every", type=int, default=500)
    parser.add_argument(
        "--no-compile", dest="compile", action="store_false", help="without a C++ compiler"
    )
    return begin(parser)


def main() -> None:
    options = parse_options()
    vae = (
        AutoencoderKL.from_pretrained(options.vae, dtype=torch.float32).eval().requires_grad_(False)
    )
    vae.to(memory_format=torch.channels_last)  # a quarter faster on CPU
    net = FluxTransformer2DModel(**CONFIG)
    if options.start:
        trained = FluxTransformer2DModel.from_pretrained(options.start, dtype=torch.float32)
        net.load_state_dict(trained.state_dict())
    install_explicit_attention(net)
    average = copy.deepcopy(net).requires_grad_(False).eval()
    pipeline = build_pipeline(vae, net)
    bank = base_bank(options.work, TRAIN_SEED, options.scenes)
    cache = options.work / f"encoded_{options.scenes}_{options.pairs}.safetensors"
    data = encoded_pairs(pipeline, bank, options.pairs, 1, cache)
    unseen = base_bank(options.work, HELD_OUT_SEED, _HELD_OUT_SCENES)
    unseen_pairs = encoded_pairs(pipeline, unseen, 128, 2, options.work / "unseen.safetensors")
    checked = encode_held_out(pipeline, unseen, _CHECKED_SCENES)
    log.info("ceiling %s", json.dumps(psnr_by_task(ceiling(pipeline, checked), checked)))
    if options.compile:
        for block in [*net.transformer_blocks, *net.single_transformer_blocks]:
            block.compile(dynamic=False)
    for done, progress in train(pipeline, average, data, options):
        progress.note(unseen_loss=validation_loss(pipeline, average, unseen_pairs, 2))
        with torch.autocast("cpu", torch.bfloat16):
            made = fill(pipeline, average, checked, _CHECK_STEPS)
        progress.note(**psnr_by_task(made, checked))
        write_sheet(options.work / f"fill_{done:06d}.jpg", made, checked)
        average.save_pretrained(options.output)
    finish(pipeline, average, encode_held_out(pipeline, unseen, _FINAL_SCENES), options.output)
    (options.output / "curve.csv").write_bytes((options.work / "fill_curve.csv").read_bytes())


if __name__ == "__main__":
    main()
