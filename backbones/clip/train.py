"""Train the micro CLIP on the table-top world and write it in open_clip's format.

    python -m backbones.clip.train --output backbones/clip-micro --state backbones/runs/clip

Symmetric InfoNCE losses with one temperature, over two kinds of pairs. Pictures and captions:
frames and photos together, where captions that fit another picture, too, are no mismatch for it.
Pictures and pictures of one product, photo or frame: what makes an embedding say which product
it is and forget the surface below it; half of a batch differs from the other half in details
that no caption names.
"""

import logging
import math
from pathlib import Path

import refract.models.torchvision_compat  # noqa: F401  (must come before open_clip)

import numpy as np
import torch
from open_clip import CLIP, SimpleTokenizer
from torch import Tensor

from backbones.checkpoint import load_checkpoint, save_checkpoint
from backbones.clip.architecture import CONTEXT, build, save
from backbones.clip.objective import contrast, is_true_of, true_words
from backbones.clip.pool import Pool, augment, captions, draw_pool, namesake_batch
from backbones.muon import Muon
from backbones.options import begin, recipe_parser
from backbones.progress import Progress
from backbones.worlds.tabletop_captions import vocabulary

log = logging.getLogger("train_clip")

TRAIN_SEED = 20_000
POOL = 6144
VIEWS = 3  # scenes a product is rendered in; a batch takes two of them
BATCH = 64
LEARNING_RATE = 3e-3
WEIGHT_DECAY = 0.05
WARMUP = 100
_CHECKPOINT_EVERY = 200
_REPORT_EVERY = 50


def optimisers(network: CLIP) -> dict[str, torch.optim.Optimizer]:
    """Muon for kernels and matrices of the towers; AdamW for the embeddings and all else."""
    matrices: list[Tensor] = []
    tables: list[Tensor] = []
    vectors: list[Tensor] = []
    for name, parameter in network.named_parameters():
        if "embedding" in name or name == "text_projection":
            tables.append(parameter)
        else:
            (matrices if parameter.ndim >= 2 else vectors).append(parameter)
    adam = torch.optim.AdamW(
        [
            {"params": tables, "weight_decay": WEIGHT_DECAY},
            {"params": vectors, "weight_decay": 0.0},
        ],
        lr=LEARNING_RATE,
        betas=(0.9, 0.98),
    )
    return {"muon": Muon(matrices, lr=LEARNING_RATE, decay=WEIGHT_DECAY), "adam": adam}


def learning_rate(step: int, steps: int) -> float:
    """Linear warm-up, then a cosine to zero, as a fraction of the peak."""
    if step < WARMUP:
        return (step + 1) / WARMUP
    return 0.5 * (1 + math.cos(math.pi * (step - WARMUP) / max(1, steps - WARMUP)))


def batch_losses(
    network: CLIP,
    tokenizer: SimpleTokenizer,
    pool: Pool,
    rng: np.random.Generator,
) -> dict[str, Tensor]:
    """`text` and `image`: the mean contrastive loss of either kind of pairs."""
    indices = namesake_batch(pool, BATCH, rng)
    views = np.argsort(rng.random((len(indices), pool.frames.shape[1])), axis=1)[:, :2]
    first, second = views.T
    of_frames, of_photos = captions(pool, indices, first.tolist(), rng)
    shown = [pool.frames[indices, first], pool.photos[indices], pool.frames[indices, second]]
    generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
    pictures = augment(np.concatenate(shown), generator)
    pictures = pictures.contiguous(memory_format=torch.channels_last)
    truth = [
        true_words(pool.products[i], pool.scenes[i][view])
        for i, view in zip(indices, first, strict=True)
    ]
    truth += [true_words(pool.products[i], None) for i in indices]
    with torch.autocast("cpu", torch.bfloat16):
        seen = network.encode_image(pictures)
        said = network.encode_text(tokenizer(of_frames + of_photos))
    seen, said = (torch.nn.functional.normalize(x.float(), dim=-1) for x in (seen, said))
    frames, photos, others = seen.chunk(3)
    scale = network.logit_scale.exp()
    fits = is_true_of(of_frames + of_photos, truth).T
    pairs = ((photos, frames), (photos, others), (frames, others))
    return {
        "text": contrast(torch.cat((frames, photos)), said, scale, fits),
        "image": torch.stack([contrast(*pair, scale) for pair in pairs]).mean(),
    }


def train(steps: int, seed: int, pool: Pool, state: Path) -> CLIP:
    """The trained network, evaluation mode; goes on from the checkpoint in `state`."""
    torch.manual_seed(seed)
    network, tokenizer = build().train(), SimpleTokenizer(context_length=CONTEXT)
    network.visual.to(memory_format=torch.channels_last)
    steppers = optimisers(network)
    start = load_checkpoint(state / "clip.safetensors", {"clip": network}, steppers)
    progress = Progress(state / "curve.csv", start, steps)
    for step in range(start, steps):
        losses = batch_losses(network, tokenizer, pool, np.random.default_rng([seed, 31, step]))
        network.zero_grad(set_to_none=True)
        torch.stack([*losses.values()]).sum().backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        for stepper in steppers.values():
            for group in stepper.param_groups:
                group["lr"] = LEARNING_RATE * learning_rate(step, steps)
            stepper.step()
        with torch.no_grad():
            network.logit_scale.clamp_(0, math.log(100))  # as Radford et al. 2021
        progress.note(**{name: loss.item() for name, loss in losses.items()})
        done = step + 1
        if done % _REPORT_EVERY == 0 or done == steps:
            progress.report(done)
        if done % _CHECKPOINT_EVERY == 0 or done == steps:
            save_checkpoint(state / "clip.safetensors", done, {"clip": network}, steppers)
    return network.eval()


def used_tokens() -> Tensor:
    """Ids of every token a caption can hold, the two markers included."""
    rows = SimpleTokenizer(context_length=CONTEXT)(vocabulary())
    return torch.unique(rows)


def main() -> None:
    parser = recipe_parser(__doc__, steps=3000)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--state", type=Path, required=True, help="checkpoints; may be deleted")
    parser.add_argument("--products", type=int, default=POOL)
    options = begin(parser)
    pool = draw_pool(options.products, TRAIN_SEED, VIEWS)
    network = train(options.steps, options.seed, pool, options.state)
    save(network, used_tokens(), options.output)
    log.info("%.2f M parameters", sum(p.numel() for p in network.parameters()) / 1e6)


if __name__ == "__main__":
    main()
