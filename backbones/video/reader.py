"""Train the reader by which samples and edits of the video model are judged.

    python -m backbones.video.reader --output DIR [--steps 700]

It sees renderings alone, of a stream of its own, most of them softened as a generator's clips are
(lower resolution, blotches, another gain), so that soft samples are read fairly. Writes
reader.safetensors, curve.csv and figures.json: accuracies on renderings of yet another stream.
"""

import json
import logging
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import Tensor
from tqdm import tqdm

from backbones.options import begin, recipe_parser
from backbones.progress import Progress
from backbones.video.clips import draw_subject, to_bytes
from backbones.video.reader_model import READ_FRAMES, WEIGHTS, WORDS, Reader, labels
from backbones.worlds.tabletop import FRAME_PX, Product, Scene, render

log = logging.getLogger("reader")

# apart from the streams of the video model and of the sample cases
_STREAM, _HELD_OUT_STREAM = 11, 12
_HELD_OUT_CLIPS = 512
_BATCH = 24
_LEARNING_RATE = 4e-3
_WEIGHT_DECAY = 0.02
_WARM_UP = 40
_REPORT_EVERY = 50


@dataclass(frozen=True)
class Pool:
    """Read frames (n, 5, 96, 96, 3) and masks (n, 5, 96, 96), both 8-bit, and their words."""

    frames: NDArray[np.uint8]
    masks: NDArray[np.uint8]
    truth: dict[str, Tensor]


def draw_pool(count: int, seed: int, stream: int) -> Pool:
    """The first `count` clips of a stream, at the frames the reader looks at."""
    frames = np.empty((count, len(READ_FRAMES), FRAME_PX, FRAME_PX, 3), np.uint8)
    masks = np.empty(frames.shape[:-1], np.uint8)
    subjects: list[tuple[Product, Scene]] = []
    for index in tqdm(range(count), desc="render", unit="clip", mininterval=2):
        subjects.append(draw_subject(seed, index, stream=stream))
        clip = render(*subjects[-1], READ_FRAMES)
        frames[index], masks[index] = to_bytes(clip.video), to_bytes(clip.mask)
    return Pool(frames, masks, labels(subjects))


def soften(frames: Tensor, generator: torch.Generator) -> Tensor:
    """Augment clips (b, f, 3, 96, 96) in -1..1, each clip in one way for all its frames.

    Two thirds lose resolution, down to a quarter; half get blotches; all a gain of 5 % a channel.
    """
    count, length, _, px, _ = frames.shape
    frames = frames.clone()
    for clip in frames:
        if torch.rand((), generator=generator) < 0.67:
            small = int(torch.randint(px // 4, px, (), generator=generator))
            less = F.interpolate(clip, (small, small), mode="area")
            clip.copy_(F.interpolate(less, (px, px), mode="bilinear", antialias=False))
    coarse = torch.randn(count * length, 3, px // 8, px // 8, generator=generator)
    blotches = F.interpolate(coarse, (px, px), mode="bilinear").view_as(frames)
    share = (torch.rand(count, 1, 1, 1, 1, generator=generator) * 2 - 1).clamp(0)
    gain = 1 + 0.1 * (torch.rand(count, 1, 3, 1, 1, generator=generator) - 0.5)
    return ((frames + 0.12 * share * blotches + 1) * gain - 1).clamp(-1, 1)


def to_input(frames: NDArray[np.uint8]) -> Tensor:
    """8-bit (b, f, h, w, 3) -> (b, f, 3, h, w) in -1..1."""
    return rearrange(torch.from_numpy(frames), "b f h w c -> b f c h w").float() / 127.5 - 1


def loss_of(reader: Reader, frames: Tensor, masks: Tensor, truth: dict[str, Tensor]) -> Tensor:
    """Sum of the cross entropies of all kinds of words and of the mask; masks (b, f, h, w) 0..1."""
    logits = reader(frames)
    mask_loss = F.binary_cross_entropy_with_logits(logits["mask"].float(), masks)
    losses = [F.cross_entropy(logits[kind].float(), truth[kind]) for kind in WORDS]
    return torch.stack([*losses, 3 * mask_loss]).sum()


def rate(step: int, steps: int) -> float:
    """Warm up, then half a cosine to 0."""
    return min(1, (step + 1) / _WARM_UP) * 0.5 * (1 + math.cos(math.pi * step / steps))


@torch.inference_mode()
def validate(reader: Reader, pool: Pool, batch: int = 32) -> dict[str, float]:
    """Accuracy of each kind of word and mean IoU of the masks, on clean renderings."""
    reader.eval()
    hits: dict[str, list[Tensor]] = {kind: [] for kind in WORDS}
    overlaps = []
    for start in range(0, len(pool.frames), batch):
        part = slice(start, start + batch)
        logits = reader(to_input(pool.frames[part]))
        for kind, found in hits.items():
            found.append(logits[kind].argmax(1) == pool.truth[kind][part])
        seen, true = logits["mask"] > 0, torch.from_numpy(pool.masks[part]) > 127
        union = (seen | true).sum((2, 3)).clamp(min=1)
        overlaps.append((seen & true).sum((2, 3)) / union)
    reader.train()
    figures = {kind: torch.cat(found).float().mean().item() for kind, found in hits.items()}
    return figures | {"mask_iou": torch.cat(overlaps).mean().item()}


def train(reader: Reader, pool: Pool, held_out: Pool, steps: int, seed: int, curve: Path) -> None:
    """Everything drawn in a step follows from (seed, step)."""
    optimiser = torch.optim.AdamW(
        reader.parameters(), lr=_LEARNING_RATE, weight_decay=_WEIGHT_DECAY
    )
    progress = Progress(curve, 0, steps)
    reader.train()
    for step in range(steps):
        rng = np.random.default_rng([seed, 21, step])
        generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
        index = rng.integers(len(pool.frames), size=_BATCH)
        frames = soften(to_input(pool.frames[index]), generator)
        masks = torch.from_numpy(pool.masks[index]).float() / 255
        truth = {kind: values[index] for kind, values in pool.truth.items()}
        with torch.autocast("cpu", torch.bfloat16):
            loss = loss_of(reader, frames, masks, truth)
        optimiser.zero_grad()
        loss.backward()
        for group in optimiser.param_groups:
            group["lr"] = _LEARNING_RATE * rate(step, steps)
        optimiser.step()
        progress.note(loss=loss.item())
        if (step + 1) % _REPORT_EVERY == 0 or step + 1 == steps:
            progress.report(step + 1)
    log.info("%s", validate(reader, held_out))


def main() -> None:
    parser = recipe_parser(__doc__, steps=700)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--clips", type=int, default=3000, help="renderings to train on")
    options = begin(parser)
    reader = Reader()
    reader.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    log.info("reader %.2f M parameters", sum(p.numel() for p in reader.parameters()) / 1e6)
    pool = draw_pool(options.clips, options.seed, _STREAM)
    held_out = draw_pool(_HELD_OUT_CLIPS, options.seed, _HELD_OUT_STREAM)
    options.output.mkdir(parents=True, exist_ok=True)
    train(reader, pool, held_out, options.steps, options.seed, options.output / "curve.csv")
    figures = validate(reader, held_out)
    weights = {name: value.contiguous() for name, value in reader.state_dict().items()}
    save_file(weights, options.output / WEIGHTS)
    (options.output / "figures.json").write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
