"""Train the micro CLIP on the table-top world and write it in open_clip's format.

python -m backbones.clip.train --output backbones/clip-micro [--steps 1300]

Three symmetric InfoNCE losses with one temperature: frame and its caption, photo and its
caption, and frame and photo of one product. The third makes an embedding say which product it
is and forget the surface below it, which image-to-image similarity is used for.
"""

import argparse
import math
import time
from pathlib import Path

import refract.torchvision_compat  # noqa: F401  (must come before open_clip)

import numpy as np
import torch
from open_clip import CLIP, ClipLoss, SimpleTokenizer
from tqdm import tqdm

from backbones.clip.architecture import CONTEXT, build, save
from backbones.clip.pool import Pool, augment, captions, distinct_batch, draw_pool
from backbones.worlds.tabletop_captions import vocabulary

TRAIN_SEED = 20_000
POOL = 4096
BATCH = 64
LEARNING_RATE = 3e-3
WEIGHT_DECAY = 0.05
WARMUP = 100


def optimiser(network: CLIP) -> torch.optim.AdamW:
    """AdamW; gains, biases and the temperature are not decayed."""
    groups: dict[bool, list[torch.nn.Parameter]] = {True: [], False: []}
    for parameter in network.parameters():
        groups[parameter.ndim >= 2].append(parameter)
    return torch.optim.AdamW(
        [
            {"params": groups[True], "weight_decay": WEIGHT_DECAY},
            {"params": groups[False], "weight_decay": 0.0},
        ],
        lr=LEARNING_RATE,
        betas=(0.9, 0.98),
    )


def learning_rate(step: int, steps: int) -> float:
    """Linear warm-up, then a cosine to zero, as a fraction of the peak."""
    if step < WARMUP:
        return (step + 1) / WARMUP
    return 0.5 * (1 + math.cos(math.pi * (step - WARMUP) / max(1, steps - WARMUP)))


def batch_loss(
    network: CLIP,
    tokenizer: SimpleTokenizer,
    pool: Pool,
    rng: np.random.Generator,
    generator: torch.Generator,
) -> torch.Tensor:
    """One batch's mean of the three contrastive losses."""
    indices = distinct_batch(pool, BATCH, rng)
    views = rng.integers(2, size=len(indices)).tolist()
    of_frames, of_photos = captions(pool, indices, views, rng)
    pictures = np.concatenate([pool.frames[indices, views], pool.photos[indices]])
    frames, photos = network.encode_image(augment(pictures, generator), normalize=True).chunk(2)
    tokens = tokenizer(of_frames + of_photos)
    about_frames, about_photos = network.encode_text(tokens, normalize=True).chunk(2)
    contrast, scale = ClipLoss(), network.logit_scale.exp()
    return (
        contrast(frames, about_frames, scale)
        + contrast(photos, about_photos, scale)
        + contrast(frames, photos, scale)
    ) / 3


def train(steps: int, seed: int) -> CLIP:
    """The trained network, evaluation mode. Same seed, same machine: same weights."""
    torch.manual_seed(seed)
    rng, generator = np.random.default_rng(seed), torch.Generator().manual_seed(seed)
    pool = draw_pool(POOL, TRAIN_SEED)
    network, tokenizer = build().train(), SimpleTokenizer(context_length=CONTEXT)
    optimizer = optimiser(network)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: learning_rate(step, steps))
    progress = tqdm(range(steps), desc="train", unit="step")
    for step in progress:
        loss = batch_loss(network, tokenizer, pool, rng, generator)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        with torch.no_grad():
            network.logit_scale.clamp_(0, math.log(100))  # as Radford et al. 2021
        if step % 20 == 0:
            progress.set_postfix(loss=f"{loss.item():.3f}")
    return network.eval()


def used_tokens() -> torch.Tensor:
    """Ids of every token a caption can hold, the two markers included."""
    rows = SimpleTokenizer(context_length=CONTEXT)(vocabulary())
    return torch.unique(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description="Train the micro CLIP")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=1300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    start = time.perf_counter()
    network = train(arguments.steps, arguments.seed)
    save(network, used_tokens(), arguments.output)
    count = sum(parameter.numel() for parameter in network.parameters())
    print(f"{count / 1e6:.2f} M parameters, {time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
