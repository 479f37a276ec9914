"""What an independent reader sees in samples of the video model, and what the VAE keeps.

    python -m backbones.video.assess_samples --model backbones/wan-micro \\
        --reader backbones/runs/video/reader --report FILE.json [--sheet FILE.png]

64 full captions that no training saw, every class under every motion, every colour eight times.
The same readings of the renderings themselves, and of those through the VAE, are the ceilings.
"""

import argparse
import json
import logging
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from backbones.options import begin, recipe_parser
from backbones.video.clip_codec import decode_clips, encode_clips
from backbones.video.clips import draw_sample, to_bytes
from backbones.video.reader_model import WORDS, Reader, labels, load_reader, read_clips
from backbones.video.sheet import write_sheet
from backbones.video.text import encode_text
from backbones.video.text_to_video import sample_latents
from backbones.worlds.tabletop import (
    CLASSES,
    COLOURS,
    MOTIONS,
    PATTERNS,
    Product,
    Scene,
    draw_product,
    draw_scene,
    render,
)
from backbones.worlds.tabletop_captions import describe
from refract.evaluation.measures.image import psnr, to_unit
from refract.models.wan import WanModel

log = logging.getLogger("assess_samples")

STREAM = 13  # of prompts; apart from every training and validation
_VAE_STREAM = 14
_VAE_CLIPS = 32
_SHEET_ROWS = 12
_SHEET_FRAMES = (0, 8, 16)


@dataclass(frozen=True)
class Sampling:
    """Euler steps, guidance and timestep shift, as `sample_latents` takes them."""

    steps: int
    guidance: float
    shift: float


@dataclass(frozen=True)
class Prompts:
    """Subjects, their full captions, and their renderings (n, 17, 96, 96, 3), 8-bit."""

    subjects: list[tuple[Product, Scene]]
    captions: list[str]
    clips: NDArray[np.uint8]


def draw_prompt(index: int, seed: int) -> tuple[Product, Scene]:
    """The index-th of 64: class and motion run through all pairs, colour through a Latin square.

    A plain ball looks the same however it turns; where that is asked for it gets stripes.
    """
    rng = np.random.default_rng([seed, STREAM, index])
    column, row = index % 8, index // 8 % 8
    category, motion = CLASSES[column], MOTIONS[row]
    pattern = PATTERNS[(column + row) % 4]
    if category == "ball" and pattern == "plain" and motion in ("rotating", "standing still"):
        pattern = "striped"
    colour = list(COLOURS)[(column + 3 * row) % 8]
    return draw_product(rng, category, colour, pattern), draw_scene(rng, motion)


def draw_prompts(count: int, seed: int) -> Prompts:
    subjects = [draw_prompt(index, seed) for index in range(count)]
    clips = np.stack([to_bytes(render(*subject).video) for subject in subjects])
    return Prompts(subjects, [describe(*subject) for subject in subjects], clips)


def accuracies(
    reader: Reader, clips: NDArray[np.uint8], subjects: list[tuple[Product, Scene]]
) -> dict[str, float]:
    """Share of clips of which the reader reads the true word, for each kind of word."""
    found, truth = read_clips(reader, clips).words, labels(subjects)
    return {kind: float((found[kind] == truth[kind].numpy()).mean()) for kind in WORDS}


def draw_samples(
    model: WanModel, captions: list[str], settings: Sampling, seed: int
) -> NDArray[np.uint8]:
    """One clip for each caption, (n, 17, 96, 96, 3)."""
    tokenizer, encoder = model.text
    shape = (model.channels, 5, 12, 12)
    with torch.inference_mode():
        context = encode_text(encoder, tokenizer, captions)
        nothing = encode_text(encoder, tokenizer, [""] * len(captions))
        latents = sample_latents(
            model.transformer, context, nothing, shape, seed=seed, **asdict(settings)
        )
    return decode_clips(model.vae, latents)


def vae_figures(model: WanModel, count: int, seed: int) -> dict[str, float]:
    """PSNR in dB, mean over unseen clips: the whole clip, and the product's pixels."""
    samples = [draw_sample(seed, index, stream=_VAE_STREAM).clip for index in range(count)]
    clips = np.stack([to_bytes(clip.video) for clip in samples])
    kept = to_unit(decode_clips(model.vae, encode_clips(model.vae, clips)))
    scores = [
        (psnr(clip, truth), psnr(clip, truth, sample.mask > 0.5))
        for clip, truth, sample in zip(kept, to_unit(clips), samples, strict=True)
    ]
    whole, product = np.mean(scores, axis=0)
    return {"psnr": float(whole), "psnr_product": float(product), "clips": count}


def sheet(prompts: Prompts, samples: NDArray[np.uint8], path: Path) -> None:
    """Rows of three frames of the rendering and three of the sample, spread over the prompts."""
    chosen = np.linspace(0, len(samples) - 1, min(_SHEET_ROWS, len(samples))).round().astype(int)
    frames = list(_SHEET_FRAMES)
    rows = [
        [*to_unit(prompts.clips[index][frames]), *to_unit(samples[index][frames])]
        for index in chosen
    ]
    write_sheet(rows, path)


def parse_options() -> argparse.Namespace:
    parser = recipe_parser(__doc__)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--reader", type=Path, required=True)
    parser.add_argument("--report", type=Path, required=True)
    parser.add_argument("--sheet", type=Path)
    parser.add_argument("--prompts", type=int, default=64)
    parser.add_argument("--steps", type=int, default=24, help="Euler steps")
    parser.add_argument("--guidance", type=float, default=4.0)
    parser.add_argument("--shift", type=float, default=3.0, help="timestep shift, as Wan's")
    return begin(parser)


def main() -> None:
    options = parse_options()
    reader = load_reader(options.reader)
    model = WanModel(str(options.model), None, "float32", "cpu")
    prompts = draw_prompts(options.prompts, options.seed)
    sampling = Sampling(options.steps, options.guidance, options.shift)
    samples = draw_samples(model, prompts.captions, sampling, options.seed)
    through_vae = decode_clips(model.vae, encode_clips(model.vae, prompts.clips))
    readings = {"samples": samples, "renderings": prompts.clips, "through_vae": through_vae}
    report = {
        "settings": {
            "prompts": options.prompts,
            "seed": options.seed,
            **asdict(sampling),
        },
        "accuracy": {
            name: accuracies(reader, clips, prompts.subjects) for name, clips in readings.items()
        },
        "vae": vae_figures(model, _VAE_CLIPS, options.seed),
    }
    text = json.dumps(report, indent=2)
    log.info("%s", text)
    options.report.parent.mkdir(parents=True, exist_ok=True)
    options.report.write_text(text + "\n")
    if options.sheet is not None:
        sheet(prompts, samples, options.sheet)


if __name__ == "__main__":
    main()
