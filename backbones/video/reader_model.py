"""An independent reader of table-top clips: which words are true of it, and where the product is.

Trained on renderings alone, never on what a model made, so that its reading of samples and edits
is a judgement from outside.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import Tensor, nn

from backbones.worlds.tabletop import CLASSES, COLOURS, MOTIONS, PATTERNS, Product, Scene

READ_FRAMES = (0, 4, 8, 12, 16)  # motions are read from these; masks of any frame
WORDS: dict[str, tuple[str, ...]] = {
    "class": CLASSES,
    "colour": tuple(COLOURS),
    "pattern": PATTERNS,
    "motion": MOTIONS,
}
WEIGHTS = "reader.safetensors"
_WIDTHS = (16, 40, 80)
_STILL = ("class", "colour", "pattern")  # what a single frame shows
_EMBEDDING = 128
_CROP_PX = 40
_CROP_SPREADS = 2.2  # half a crop's side, in spreads of the mask: a bottle just fits
_PATH_GAIN = 6.0  # brings way and growth to the size of the other features
_TURN = 12  # features that tell how the product is turned; more invite learning clips by heart


def _unit(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


def _convolutions(*channels: int) -> nn.Sequential:
    """One halving of the resolution for each step from channels to channels."""
    return nn.Sequential(*(_unit(*pair, stride=2) for pair in pairwise(channels)))


def product_box(mask: Tensor) -> Tensor:
    """mask (n, h, w) 0..1 -> (n, 3): centre x and y in -1..1 and spread, the unit of a crop.

    The spread is the root of the summed variances; a frame without a product gives all of it.
    """
    n, height, width = mask.shape
    y, x = torch.meshgrid(
        torch.linspace(-1, 1, height), torch.linspace(-1, 1, width), indexing="ij"
    )
    weight = mask + 1e-4
    total = weight.sum((1, 2))
    centre_x, centre_y = ((weight * axis).sum((1, 2)) / total for axis in (x, y))
    apart = (x - centre_x.view(n, 1, 1)) ** 2 + (y - centre_y.view(n, 1, 1)) ** 2
    spread = ((weight * apart).sum((1, 2)) / total).sqrt()
    return torch.stack((centre_x, centre_y, spread), 1)


def crop_product(images: Tensor, box: Tensor) -> Tensor:
    """images (n, c, h, w), box (n, 3) -> (n, c, 40, 40): squares that hold the whole product."""
    theta = torch.zeros(len(box), 2, 3)
    theta[:, 0, 0] = theta[:, 1, 1] = (_CROP_SPREADS * box[:, 2]).clamp(0.15, 1)
    theta[:, :, 2] = box[:, :2]
    size = [len(images), images.shape[1], _CROP_PX, _CROP_PX]
    places = F.affine_grid(theta, size, align_corners=True)
    return F.grid_sample(images, places, padding_mode="border", align_corners=True)


class Reader(nn.Module):
    """Finds the product, reads its words from crops around it, and the motion from where it went.

    Frames (b, f, 3, 96, 96) in -1..1 -> logits of every kind of word, and of the mask.
    """

    def __init__(self) -> None:
        super().__init__()
        first, second, third = _WIDTHS
        self.stem = _unit(3, first, 2)  # 48 px
        self.down = nn.ModuleList((_convolutions(first, second), _convolutions(second, third)))
        self.deepest = _unit(third, third)  # 12 px
        self.up = nn.ModuleList(
            (_unit(third + second, second), _unit(second + first, first))
        )  # 24, 48 px
        self.mask = nn.Conv2d(first, 4, 3, padding=1)  # one logit for each pixel of a 2 x 2 cell
        self.crop = nn.Sequential(
            _unit(4, 24), _convolutions(24, 48, 96, 128), nn.Flatten(), nn.Dropout(0.2),
            nn.Linear(128 * (_CROP_PX // 8) ** 2, _EMBEDDING), nn.ReLU(),
        )  # fmt: skip
        self.still = nn.ModuleDict(
            {
                kind: nn.Linear(_EMBEDDING, len(words))
                for kind, words in WORDS.items()
                if kind != "motion"
            }
        )
        self.turn = nn.Linear(_EMBEDDING, _TURN)
        per_frame = _TURN + 3
        self.motion = nn.Sequential(
            nn.Linear(per_frame * len(READ_FRAMES), 256), nn.ReLU(), nn.Linear(256, len(MOTIONS))
        )

    def mask_logits(self, frames: Tensor) -> Tensor:
        """(n, 3, 96, 96) in -1..1 -> (n, 96, 96), positive where the product is."""
        maps = [self.stem(frames.contiguous(memory_format=torch.channels_last))]
        for down in self.down:
            maps.append(down(maps[-1]))
        x = self.deepest(maps.pop())
        for up, skip in zip(self.up, reversed(maps), strict=True):
            x = up(torch.cat((F.interpolate(x, scale_factor=2.0), skip), 1))
        return F.pixel_shuffle(self.mask(x), 2)[:, 0]

    def forward(self, frames: Tensor) -> dict[str, Tensor]:
        """Logits: `mask` (b, f, 96, 96), and for each kind of `WORDS` (b, its words)."""
        batch = len(frames)
        flat = frames.flatten(0, 1)
        mask = self.mask_logits(flat)
        found = mask.detach().float().sigmoid()
        box = product_box(found.where(found > 0.5, 0))
        seen = crop_product(torch.cat((flat, 2 * found[:, None] - 1), 1), box)
        looks = self.crop(seen.contiguous(memory_format=torch.channels_last))
        whole = rearrange(looks, "(b f) d -> b f d", b=batch).mean(1)
        logits = {kind: head(whole) for kind, head in self.still.items()}
        where = rearrange(torch.cat((box[:, :2], box[:, 2:].log()), 1), "(b f) d -> b f d", b=batch)
        path = _PATH_GAIN * (where - where.mean(1, keepdim=True))
        turns = rearrange(self.turn(looks), "(b f) d -> b f d", b=batch)
        logits["motion"] = self.motion(torch.cat((path, turns), 2).flatten(1))
        logits["mask"] = rearrange(mask, "(b f) h w -> b f h w", b=batch)
        return logits


def labels(subjects: Sequence[tuple[Product, Scene]]) -> dict[str, Tensor]:
    """The true index of each kind of word, (n,)."""
    return {
        "class": torch.tensor([CLASSES.index(product.category) for product, _ in subjects]),
        "colour": torch.tensor([WORDS["colour"].index(product.colour) for product, _ in subjects]),
        "pattern": torch.tensor([PATTERNS.index(product.pattern) for product, _ in subjects]),
        "motion": torch.tensor([MOTIONS.index(scene.motion) for _, scene in subjects]),
    }


@dataclass(frozen=True)
class Reading:
    """What the reader says of clips: kind of word -> index (n,), and masks (n, f, h, w)."""

    words: dict[str, NDArray[np.int64]]
    masks: NDArray[np.bool_]


@torch.inference_mode()
def read_clips(reader: Reader, clips: NDArray[np.uint8], batch: int = 16) -> Reading:
    """clips (n, 17, 96, 96, 3) 8-bit; the masks are of all their frames."""
    words: dict[str, list[Tensor]] = {kind: [] for kind in WORDS}
    masks = []
    for start in range(0, len(clips), batch):
        part = torch.from_numpy(clips[start : start + batch])
        frames = rearrange(part, "b f h w c -> b f c h w").float() / 127.5 - 1
        logits = reader(frames[:, list(READ_FRAMES)])
        for kind, found in words.items():
            found.append(logits[kind].argmax(1))
        masks.append(torch.stack([reader.mask_logits(clip) > 0 for clip in frames]))
    return Reading(
        {kind: torch.cat(found).numpy() for kind, found in words.items()}, torch.cat(masks).numpy()
    )


def load_reader(folder: Path) -> Reader:
    """The trained reader, evaluation mode; FileNotFoundError where it has not been trained."""
    path = folder / WEIGHTS
    if not path.is_file():
        raise FileNotFoundError(f"{path}: run `python -m backbones.video.reader` first")
    reader = Reader()
    reader.load_state_dict(load_file(path))
    return reader.eval().requires_grad_(False)
