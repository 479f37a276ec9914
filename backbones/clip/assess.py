"""Held-out figures of the micro CLIP: zero-shot words and finding a product by its photo.

python -m backbones.clip.assess --model backbones/clip-micro [--report FILE.json]
"""

import json
from pathlib import Path

import refract.models.torchvision_compat  # noqa: F401  (must come before open_clip)

import numpy as np
import torch
from open_clip import get_tokenizer

from backbones.clip.pool import Pool, draw_pool
from backbones.options import begin, recipe_parser
from backbones.worlds.tabletop import CLASSES, COLOURS, PATTERNS, Product
from refract.models.clip import ClipModel, load_clip

HELD_OUT_SEED = 91_000  # training draws its products from another seed
COUNT = 512
GALLERY = 64

# A word's text embedding is the mean over captions that vary everything else.
PROMPTS: dict[str, dict[str, list[str]]] = {
    "category": {name: [f"a {name}", *(f"a {c} {name}" for c in COLOURS)] for name in CLASSES},
    "colour": {name: [f"a {name} {c}" for c in CLASSES] for name in COLOURS},
    "pattern": {name: [f"a {name} {c}" for c in CLASSES] for name in PATTERNS},
}


def prompt_embeddings(clip: ClipModel, model: Path, word: str) -> torch.Tensor:
    """One unit embedding a word of the vocabulary entry `word`, `[K, D]`."""
    tokenizer = get_tokenizer(f"local-dir:{model}")
    rows = []
    for prompts in PROMPTS[word].values():
        encoded = clip.text_features(tokenizer(prompts))
        rows.append(torch.nn.functional.normalize(encoded.mean(0), dim=0))
    return torch.stack(rows)


def zero_shot(features: torch.Tensor, words: torch.Tensor, truth: list[int]) -> float:
    return float(((features @ words.T).argmax(1) == torch.tensor(truth)).float().mean())


def rank_one(queries: torch.Tensor, gallery: torch.Tensor) -> float:
    """Share of photos whose nearest frame among `GALLERY` shows the same product."""
    hits = []
    for start in range(0, len(queries), GALLERY):
        group = slice(start, start + GALLERY)
        nearest = (queries[group] @ gallery[group].T).argmax(1)
        hits.append(nearest == torch.arange(len(nearest)))
    return float(torch.cat(hits).float().mean())


def assess(model: Path) -> dict[str, float]:
    clip = load_clip(str(model), None, torch.device("cpu"))
    pool: Pool = draw_pool(COUNT, HELD_OUT_SEED)
    photos = clip.image_features(list(pool.photos))
    frames = clip.image_features(list(pool.frames[:, 0]))
    others = clip.image_features(list(pool.frames[:, 1]))
    figures: dict[str, float] = {}
    for word, names in PROMPTS.items():
        truth = [list(names).index(_word(product, word)) for product in pool.products]
        words = prompt_embeddings(clip, model, word)
        figures[f"zero_shot.frame.{word}"] = zero_shot(frames, words, truth)
        figures[f"zero_shot.photo.{word}"] = zero_shot(photos, words, truth)
    figures["rank_one_of_64.photo_to_frame"] = rank_one(photos, frames)
    figures["rank_one_of_64.frame_to_frame"] = rank_one(frames, others)
    matched = (photos * frames).sum(1)
    figures["cosine.same_product"] = float(matched.mean())
    figures["cosine.other_product"] = float((photos * frames.roll(1, 0)).sum(1).mean())
    return {name: float(np.round(value, 4)) for name, value in figures.items()}


def _word(product: Product, word: str) -> str:
    return str(getattr(product, word))


def main() -> None:
    parser = recipe_parser(__doc__)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--report", type=Path)
    arguments = begin(parser)
    text = json.dumps(assess(arguments.model), indent=2)
    print(text)
    if arguments.report:
        arguments.report.write_text(text + "\n")


if __name__ == "__main__":
    main()
