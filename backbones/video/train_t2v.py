"""Train the micro text-to-video transformer and its text encoder by flow matching.

    python -m backbones.video.train_t2v --vae DIR --latents DIR --output DIR --state DIR

Three kinds of batch: clips with captions; one-frame images (first frames and product photos);
and clips beside a photo of their product, captions mostly without colour and pattern, so that
attention learns to read appearance from the photo's tokens. Writes the moving averages of the
weights in diffusers folders, curve.csv and sheet.png; goes on from the checkpoint in --state.
"""

import argparse
import copy
import logging
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import refract.models.torchvision_compat  # noqa: F401  (must come before diffusers)

import numpy as np
import torch
from diffusers import AutoencoderKLWan, WanTransformer3DModel
from torch import Tensor
from transformers import PreTrainedTokenizerFast, UMT5EncoderModel

from backbones.checkpoint import load_checkpoint, save_checkpoint
from backbones.moving_average import follow
from backbones.muon import Muon
from backbones.options import begin, recipe_parser
from backbones.progress import Progress
from backbones.video.cache_latents import encode_shard, load_latents, load_stills
from backbones.video.clips import VALIDATION_STREAM
from backbones.video.latent_batches import (
    Batch,
    LatentSet,
    Setting,
    StillSet,
    draw_batch,
    full_batch,
)
from backbones.video.text import build_text_encoder, build_tokenizer, encode_text
from backbones.video.text_to_video import sample_sheet
from backbones.video.transformer_model import (
    ExplicitAttention,
    build_transformer,
    install_explicit_attention,
    predict_velocity,
    predict_velocity_beside_photo,
)
from backbones.worlds.tabletop_captions import vocabulary

log = logging.getLogger("train_t2v")

_WARM_UP = 60
_FINAL_SHARE = 0.4  # of the steps, over which the rate falls
_ADAM_SHARE = 0.5  # of Muon's rate: the text encoder collapses to one state for all words at 3e-3
_TEXT_SIDE = re.compile(r"attn2|norm2|text_embedder")
_VALIDATION_CLIPS = 16


@dataclass(frozen=True)
class Networks:
    """One set of weights; `attention` is the processor all layers share."""

    transformer: WanTransformer3DModel
    text_encoder: UMT5EncoderModel
    tokenizer: PreTrainedTokenizerFast
    attention: ExplicitAttention

    def parameters(self) -> list[Tensor]:
        return [*self.transformer.parameters(), *self.text_encoder.parameters()]


def build_networks(layers: int, heads: int, ffn_dim: int) -> Networks:
    tokenizer = build_tokenizer(vocabulary())
    transformer = build_transformer(layers, heads, ffn_dim)
    attention = install_explicit_attention(transformer)
    return Networks(transformer, build_text_encoder(tokenizer), tokenizer, attention)


def average_of(networks: Networks) -> Networks:
    transformer = copy.deepcopy(networks.transformer).requires_grad_(False)
    text_encoder = copy.deepcopy(networks.text_encoder).requires_grad_(False)
    attention = install_explicit_attention(transformer)
    return Networks(transformer, text_encoder, networks.tokenizer, attention)


def squared_error(networks: Networks, batch: Batch) -> Tensor:
    """Flow-matching error a sample (b,): x_t = (1 - sigma) x_0 + sigma eps, target eps - x_0."""
    context = encode_text(networks.text_encoder, networks.tokenizer, batch.captions)
    sigma = batch.sigma.view(-1, 1, 1, 1, 1)
    x_t = (1 - sigma) * batch.x_0 + sigma * batch.eps
    if batch.photo is None:
        velocity = predict_velocity(networks.transformer, x_t, batch.sigma, context)
    else:
        velocity = predict_velocity_beside_photo(
            networks.transformer, networks.attention, x_t, batch.sigma, context, batch.photo
        )
    return ((velocity - (batch.eps - batch.x_0)) ** 2).mean((1, 2, 3, 4))


@torch.no_grad()
def validate(networks: Networks, latents: LatentSet) -> dict[str, float]:
    """Errors on unseen clips: caption in full; class and photo; class and another's photo; none.

    Where the last is no larger than the first, the text is not read.
    """
    errors = {}
    kinds: dict[str, Setting] = {"val": "caption", "val_photo": "photo", "val_wrong": "wrong"}
    for name, kind in kinds.items():
        parts = [squared_error(networks, batch) for batch in full_batch(latents, kind)]
        errors[name] = torch.cat(parts).mean().item()
    silent = (replace(b, captions=[""] * len(b.captions)) for b in full_batch(latents, "caption"))
    errors["val_silent"] = torch.cat([squared_error(networks, b) for b in silent]).mean().item()
    return errors


def start_from(folder: Path, networks: Networks, *, text_anew: bool) -> None:
    """Take over the weights in `folder`; with `text_anew` all but those that read text."""
    transformer = networks.transformer
    trained = WanTransformer3DModel.from_pretrained(
        folder / "transformer", dtype=torch.float32
    ).state_dict()
    if not text_anew:
        encoder = UMT5EncoderModel.from_pretrained(folder / "text_encoder", dtype=torch.float32)
        networks.text_encoder.load_state_dict(encoder.state_dict())
    kept = {k: v for k, v in trained.items() if not (text_anew and _TEXT_SIDE.search(k))}
    missing, unexpected = transformer.load_state_dict(kept, strict=False)
    lacking = [key for key in missing if not (text_anew and _TEXT_SIDE.search(key))]
    if unexpected or lacking:
        raise ValueError(f"{folder} holds another transformer: {lacking} {unexpected}")


def make_optimisers(networks: Networks, lr: float) -> dict[str, torch.optim.Optimizer]:
    matrices = [
        p for n, p in networks.transformer.named_parameters() if p.ndim == 2 and "blocks" in n
    ]
    chosen = {id(p) for p in matrices}
    others = [p for p in networks.parameters() if id(p) not in chosen]
    adam = torch.optim.AdamW(others, lr=lr * _ADAM_SHARE, betas=(0.9, 0.98), weight_decay=0.0)
    return {"muon": Muon(matrices, lr=lr, decay=0.01), "adam": adam}


def rate(step: int, steps: int, lr: float) -> float:
    """Warm up, hold, fall to 2%."""
    fall = max(0.02, min(1, (1 - step / steps) / _FINAL_SHARE))
    return lr * min(1, (step + 1) / _WARM_UP) * fall


def train(
    networks: Networks, average: Networks, options: argparse.Namespace
) -> Iterator[tuple[int, Progress]]:
    """Yields (finished steps, progress) where a validation is due, then saves a checkpoint."""
    latents = LatentSet(load_latents(options.latents), options.seed)
    stills = StillSet(load_stills(options.latents), options.seed)
    optimisers = make_optimisers(networks, options.lr)
    modules = {
        "transformer": networks.transformer,
        "text_encoder": networks.text_encoder,
        "average_transformer": average.transformer,
        "average_text_encoder": average.text_encoder,
    }
    path = options.state / "t2v.safetensors"
    start = load_checkpoint(path, modules, optimisers)
    peaks = [(group, group["lr"]) for o in optimisers.values() for group in o.param_groups]
    log.info(
        "%d clips, %d stills; %d of %d steps done", len(latents), len(stills), start, options.steps
    )
    progress = Progress(options.state / "t2v_curve.csv", start, options.steps)
    for step in range(start, options.steps):
        batch = draw_batch(latents, stills, np.random.default_rng([options.seed, 11, step]))
        if options.unprompted:
            batch = replace(batch, captions=[""] * len(batch.captions))
        with torch.autocast("cpu", torch.bfloat16):
            loss = squared_error(networks, batch).mean()
        networks.transformer.zero_grad()
        networks.text_encoder.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(networks.parameters(), 1.0)
        for group, peak in peaks:
            group["lr"] = rate(step, options.steps, peak)
        for optimiser in optimisers.values():
            optimiser.step()
        done = step + 1
        follow(average.parameters(), networks.parameters(), done)
        progress.note(**{batch.kind: loss.item()})
        if done % options.checkpoint_every == 0 or done == options.steps:
            yield done, progress
            save_checkpoint(path, done, modules, optimisers)
        if done % 50 == 0 or done == options.steps:
            progress.report(done)


def save_networks(networks: Networks, output: Path) -> None:
    networks.transformer.save_pretrained(output / "transformer")
    networks.text_encoder.save_pretrained(output / "text_encoder")


def parse_options() -> argparse.Namespace:
    parser = recipe_parser(__doc__, steps=14_500, lr=2e-3)
    parser.add_argument("--vae", type=Path, required=True)
    parser.add_argument("--latents", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--state", type=Path, required=True, help="checkpoints; may be deleted")
    parser.add_argument("--unprompted", action="store_true", help="leave all captions out")
    parser.add_argument(
        "--start", type=Path, help="folder of transformer and text_encoder to go on from"
    )
    parser.add_argument(
        "--text-anew", action="store_true", help="leave behind what --start has learnt of text"
    )
    parser.add_argument("--layers", type=int, default=8)
    parser.add_argument("--heads", type=int, default=6)
    parser.add_argument("--ffn-dim", type=int, default=768)
    parser.add_argument("--checkpoint-every", type=int, default=1000)
    parser.add_argument(
        "--no-compile",
        dest="compile",
        action="store_false",
        help="where there is no C++ compiler; a third slower",
    )
    options = begin(parser)
    if options.text_anew and options.start is None:
        parser.error("--text-anew leaves part of --start behind, which is not given")
    return options


def main() -> None:
    options = parse_options()
    vae = AutoencoderKLWan.from_pretrained(options.vae, dtype=torch.float32).eval()
    vae.requires_grad_(False)
    networks = build_networks(options.layers, options.heads, options.ffn_dim)
    if options.start:
        start_from(options.start, networks, text_anew=options.text_anew)
    average = average_of(networks)
    log.info("%.2f M parameters", sum(p.numel() for p in networks.parameters()) / 1e6)
    unseen = encode_shard(vae, options.seed, 0, _VALIDATION_CLIPS, VALIDATION_STREAM)
    held_out = LatentSet(unseen, options.seed, VALIDATION_STREAM)
    if options.compile:
        for block in networks.transformer.blocks:
            block.compile(dynamic=False)
    for done, progress in train(networks, average, options):
        progress.note(**validate(average, held_out))
        sheet = options.state / f"t2v_sheet_{done:06d}.png"
        sample_sheet(vae, average.transformer, average.text_encoder, average.tokenizer, sheet)
        save_networks(average, options.output)
    (options.output / "curve.csv").write_bytes((options.state / "t2v_curve.csv").read_bytes())
    shutil.copyfile(
        options.state / f"t2v_sheet_{options.steps:06d}.png", options.output / "sheet.png"
    )


if __name__ == "__main__":
    main()
