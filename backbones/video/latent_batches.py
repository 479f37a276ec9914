"""Training batches of the text-to-video transformer, drawn from cached latents."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from backbones.video.clips import STILLS_STREAM, TRAINING_STREAM, draw_subject
from backbones.worlds.tabletop import Product, Scene
from backbones.worlds.tabletop_captions import describe, draw_caption, name_class

# (chance, samples): sizes of about equal cost
_CLIPS = (0.40, 12)
_IMAGES = (0.35, 48)
_PHOTO = (0.25, 10)
_NO_CAPTION = 0.10  # for classifier-free guidance
_UNNAMED = 0.7  # of captions beside a photo leave colour and pattern to it
_NOISE_MEAN = 1.0  # of the logit: a timestep shift of 2.7
_MAX_PHOTO_SIGMA = 0.7  # the noise levels at which reference banks are made

Kind = Literal["clip", "image", "photo"]
Setting = Literal["caption", "photo", "wrong"]


@dataclass(frozen=True)
class Batch:
    """x_0, eps (b, c, f, h, w), sigma (b,); photo: (noisy photo, its sigma, its tokens)."""

    kind: str
    x_0: Tensor
    eps: Tensor
    sigma: Tensor
    captions: Sequence[str]
    photo: tuple[Tensor, Tensor, Tensor] | None = None


Subjects = list[tuple[Product, Scene]]


def _subjects(seed: int, stream: int, count: int) -> Subjects:
    return [draw_subject(seed, index, stream=stream) for index in range(count)]


class LatentSet:
    """Cached latents of clips with the products and scenes they show."""

    def __init__(
        self, latents: dict[str, Tensor], seed: int, stream: int = TRAINING_STREAM
    ) -> None:
        self.clips = latents["clips"]
        self.photos = latents["photos"]
        self.photo_tokens = latents["photo_tokens"]
        self.subjects = _subjects(seed, stream, len(self.clips))

    def __len__(self) -> int:
        return len(self.clips)


class StillSet:
    """Cached latents of single frames of further clips, and of photos of their products."""

    def __init__(self, latents: dict[str, Tensor], seed: int) -> None:
        self.stills = latents["stills"]
        self.photos = latents["photos"]
        self.subjects = _subjects(seed, STILLS_STREAM, len(self.stills))

    def __len__(self) -> int:
        return len(self.stills)


def _noise(shape: Sequence[int], rng: np.random.Generator) -> Tensor:
    return torch.from_numpy(rng.standard_normal(shape, dtype=np.float32))


def _draw_sigma(count: int, rng: np.random.Generator) -> Tensor:
    """Mostly high noise levels (logit-normal, shifted), where the text decides what is drawn; some
    uniform, so that both ends are learnt."""
    high = 1 / (1 + np.exp(-rng.normal(_NOISE_MEAN, 1.0, count)))
    sigma = np.where(rng.random(count) < 0.8, high, rng.random(count))
    return torch.from_numpy(sigma.astype(np.float32))


def _noisy_photo(
    latents: LatentSet, index: np.ndarray, rng: np.random.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    photo = latents.photos[index].float()
    level = rng.uniform(0, _MAX_PHOTO_SIGMA, len(index)).astype(np.float32)
    sigma = torch.from_numpy(level).view(-1, 1, 1, 1, 1)
    noisy = (1 - sigma) * photo + sigma * _noise(photo.shape, rng)
    return noisy, sigma.flatten(), latents.photo_tokens[index]


def _captions(
    subjects: Subjects, index: np.ndarray, rng: np.random.Generator, kind: Kind
) -> list[str]:
    captions = []
    for i in index:
        named = kind != "photo" or rng.random() >= _UNNAMED
        product, scene = subjects[i]
        caption = draw_caption(rng, product, scene, still=kind == "image", named=named)
        captions.append("" if rng.random() < _NO_CAPTION else caption)
    return captions


def _image_batch(stills: StillSet, rng: np.random.Generator) -> Batch:
    """Half single frames, which the causal VAE encodes as images, half photos."""
    index = rng.integers(len(stills), size=_IMAGES[1])
    half = _IMAGES[1] // 2
    captions = _captions(stills.subjects, index[:half], rng, "image")
    captions += [draw_caption(rng, stills.subjects[i][0], None) for i in index[half:]]
    x_0 = torch.cat((stills.stills[index[:half]], stills.photos[index[half:]])).float()
    return Batch("image", x_0, _noise(x_0.shape, rng), _draw_sigma(len(x_0), rng), captions)


def draw_batch(latents: LatentSet, stills: StillSet, rng: np.random.Generator) -> Batch:
    """One batch of a random kind."""
    kinds: tuple[Kind, ...] = ("clip", "image", "photo")
    kind = kinds[int(rng.choice(3, p=(_CLIPS[0], _IMAGES[0], _PHOTO[0])))]
    if kind == "image":
        return _image_batch(stills, rng)
    index = rng.integers(len(latents), size=(_CLIPS if kind == "clip" else _PHOTO)[1])
    photo = _noisy_photo(latents, index, rng) if kind == "photo" else None
    x_0 = latents.clips[index].float()
    captions = _captions(latents.subjects, index, rng, kind)
    return Batch(kind, x_0, _noise(x_0.shape, rng), _draw_sigma(len(x_0), rng), captions, photo)


def full_batch(latents: LatentSet, kind: Setting, samples: int = 8) -> Iterator[Batch]:
    """All clips once at evenly spread noise, in batches; the same noise at every call.

    caption: full captions, no photo. photo: the class alone, beside the product's photo.
    wrong: the class alone, beside the photo of the next clip's product.
    """
    rng = np.random.default_rng(0)
    order = np.arange(len(latents))
    levels = np.linspace(0.05, 0.95, len(order), dtype=np.float32)
    for index in np.split(order, range(samples, len(order), samples)):
        x_0 = latents.clips[index].float()
        eps = _noise(x_0.shape, rng)
        photo = None
        if kind != "caption":
            of = index if kind == "photo" else (index + 1) % len(order)
            photo = _noisy_photo(latents, of, rng)
        tell = describe if kind == "caption" else name_class
        captions = [tell(*latents.subjects[i]) for i in index]
        yield Batch(kind, x_0, eps, torch.from_numpy(levels[index]), captions, photo)
