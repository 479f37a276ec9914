"""Write the sample clips, product photos and masks, and print their entries of data/cases.yaml.

python -m backbones.worlds.product_cases --products data/products

Twelve cases change a product's colour and pattern, four its class too. Source and target colour
lie far apart, every motion and every class occurs. The target prompt names the class alone:
colour and pattern can only come from the photo. `target_mask` is where the target product would
stand, from a rendering of it in the same scene, which no one but the evaluation sees.
"""

import argparse
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import imageio.v2 as imageio
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from backbones.worlds.tabletop import (
    FRAME_PX,
    Product,
    Scene,
    draw_product,
    draw_scene,
    packshot,
    render,
)
from backbones.worlds.tabletop_captions import describe, name_class

_STREAM = 3  # apart from the streams the backbones are trained and validated on
_FRAME_RATE = 8
_PHOTO_PX = 2 * FRAME_PX


@dataclass(frozen=True)
class Case:
    """colour, pattern and class of the source and of the target, and the scene of both."""

    source: tuple[str, str, str]
    target: tuple[str, str, str]
    motion: str
    backdrop: str
    surface: str

    @property
    def name(self) -> str:
        colour, _, category = self.source
        new_colour, pattern, new_category = self.target
        end = "" if new_category == category else f"-{new_category}"
        return f"{colour}-{category}-to-{pattern}-{new_colour}{end}"

    @property
    def comment(self) -> str:
        return f"{' '.join(self.source)} -> {' '.join(self.target)}, {self.motion}"


CASES = (
    Case(("red", "plain", "mug"), ("blue", "dotted", "mug"), "sliding left", "beige", "wood"),
    Case(("blue", "striped", "ball"), ("yellow", "plain", "ball"), "sliding right", "pink", "silk"),
    Case(
        ("green", "plain", "bottle"), ("red", "striped", "bottle"), "sliding up", "cream", "marble"
    ),
    Case(("white", "dotted", "box"), ("purple", "plain", "box"), "sliding down", "lime", "table"),
    Case(("yellow", "plain", "star"), ("blue", "checkered", "star"), "rotating", "gray", "wood"),
    Case(("black", "plain", "watch"), ("orange", "plain", "watch"), "zooming in", "teal", "silk"),
    Case(
        ("purple", "striped", "ring"), ("yellow", "plain", "ring"), "zooming out", "navy", "table"
    ),
    Case(
        ("orange", "plain", "pendant"),
        ("blue", "plain", "pendant"),
        "standing still",
        "beige",
        "marble",
    ),
    Case(("blue", "plain", "mug"), ("orange", "striped", "mug"), "zooming in", "gray", "table"),
    Case(("red", "checkered", "box"), ("green", "plain", "box"), "sliding right", "cream", "wood"),
    Case(
        ("white", "plain", "bottle"), ("purple", "plain", "bottle"), "sliding left", "brown", "silk"
    ),
    Case(("green", "dotted", "ball"), ("red", "plain", "ball"), "rotating", "pink", "marble"),
    Case(("red", "plain", "ball"), ("green", "plain", "box"), "sliding up", "gray", "silk"),
    Case(("yellow", "striped", "box"), ("purple", "dotted", "mug"), "sliding down", "teal", "wood"),
    Case(
        ("blue", "plain", "star"), ("orange", "checkered", "ball"), "zooming out", "cream", "table"
    ),
    Case(
        ("purple", "plain", "mug"),
        ("yellow", "plain", "bottle"),
        "standing still",
        "lime",
        "marble",
    ),
)


@dataclass(frozen=True)
class RenderedCase:
    """video (f, h, w, 3), photo (h, w, 3), masks (f, h, w), all uint8."""

    video: NDArray[np.uint8]
    photo: NDArray[np.uint8]
    source_mask: NDArray[np.uint8]
    target_mask: NDArray[np.uint8]
    source_prompt: str
    target_prompt: str


def _draw_pair(case: Case, rng: np.random.Generator) -> tuple[Product, Product, Scene]:
    colour, pattern, category = case.source
    source = draw_product(rng, category, colour, pattern)
    colour, pattern, category = case.target
    target = draw_product(rng, category, colour, pattern)
    scene = draw_scene(rng, case.motion, case.backdrop, case.surface)
    # large enough that the product spans several latent cells
    return source, target, replace(scene, radius=max(scene.radius, 0.29))


def render_case(index: int, seed: int) -> RenderedCase:
    """The index-th of `CASES`; the same for the same seed."""
    rng = np.random.default_rng([seed, _STREAM, index])
    source, target, scene = _draw_pair(CASES[index], rng)
    clip = render(source, scene)
    return RenderedCase(
        video=to_pixels(clip.video),
        photo=photograph(rng, target),
        source_mask=to_mask(clip.mask),
        target_mask=to_mask(render(target, scene).mask),
        source_prompt=describe(source, scene),
        target_prompt=name_class(target, scene),
    )


def photograph(rng: np.random.Generator, product: Product) -> NDArray[np.uint8]:
    """A product photo."""
    return to_pixels(packshot(rng, product, _PHOTO_PX).video[0])


def to_pixels(video: NDArray[np.float32]) -> NDArray[np.uint8]:
    return (video * 255 + 0.5).astype(np.uint8)


def to_mask(mask: NDArray[np.float32]) -> NDArray[np.uint8]:
    return np.where(mask > 0.5, 255, 0).astype(np.uint8)


def write_video(path: Path, frames: NDArray[np.uint8]) -> None:
    """H.264 with full chroma and no encoder stamp: the same frames give the same bytes."""
    imageio.mimwrite(
        path,
        list(frames),
        fps=_FRAME_RATE,
        codec="libx264",
        pixelformat="yuv444p",
        macro_block_size=1,
        output_params=[
            *("-crf", "12", "-preset", "slow", "-threads", "1"),
            *("-flags", "+bitexact", "-fflags", "+bitexact", "-map_metadata", "-1"),
        ],
    )


def write_case(
    folder: Path, case: RenderedCase, write: Callable[[Path, NDArray[np.uint8]], None] = write_video
) -> None:
    """Replaces the folder; written beside it and renamed, so never half there."""
    temporary = folder.with_name(folder.name + ".tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    write(temporary / "video.mp4", case.video)
    Image.fromarray(case.photo).save(temporary / "product.png", optimize=True)
    for name, masks in (("source_mask", case.source_mask), ("target_mask", case.target_mask)):
        (temporary / name).mkdir()
        for frame, mask in enumerate(masks):
            image = Image.fromarray(mask).convert("1")
            image.save(temporary / name / f"{frame:05d}.png", optimize=True)
    shutil.rmtree(folder, ignore_errors=True)
    os.replace(temporary, folder)


def case_entry(
    name: str, comment: str, rendered: RenderedCase, folder: Path, overrides: str = "{}"
) -> str:
    """The YAML lines of one case."""
    return f"""\
  # {comment}
  {name}:
    video: {folder.as_posix()}/video.mp4
    source_prompt: {rendered.source_prompt}
    target_prompt: {rendered.target_prompt}
    target_image: {folder.as_posix()}/product.png
    source_mask: {folder.as_posix()}/source_mask
    target_mask: {folder.as_posix()}/target_mask
    overrides: {overrides}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--products", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    for index, case in enumerate(CASES):
        rendered = render_case(index, options.seed)
        folder = options.products / case.name
        write_case(folder, rendered)
        print(case_entry(case.name, case.comment, rendered, folder))


if __name__ == "__main__":
    main()
