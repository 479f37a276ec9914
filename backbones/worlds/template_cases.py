"""Write two sample templates as a phone and a camera make them, beside the clips of product_cases.

python -m backbones.worlds.template_cases --products data/products

A portrait clip of two shots and a wide one of one, longer than the video model was trained on,
with sound, in H.264 as players expect it. A unit of the scene is as many pixels of the edit's frame
as in training, so that the product has a size, and moves as far from frame to frame, as the model
knows it.
"""

import argparse
import tempfile
import wave
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import imageio.v2 as imageio
import numpy as np
from numpy.typing import NDArray

from backbones.worlds.product_cases import (
    RenderedCase,
    case_entry,
    photograph,
    to_mask,
    to_pixels,
    write_case,
)
from backbones.worlds.tabletop import FRAMES, Product, Scene, draw_product, draw_scene, render
from backbones.worlds.tabletop_captions import describe, name_class

FRAME_RATE = 12
_STREAM = 4  # apart from the streams of the backbones and of product_cases
_UNIT_PX = 432  # 4.5 pixels to one of the edit's frame, as a square of 96 has them
_SAMPLE_RATE = 22_050
_TO_BT709 = (
    "scale=out_color_matrix=bt709:out_range=tv:flags=accurate_rnd+full_chroma_int+bitexact,"
    "setparams=color_primaries=bt709:color_trc=bt709"
)
_TICK = 0.5  # seconds from tick to tick
_LOUDNESS = 0.1  # of full scale
_CHEAP = "{flowalign: {strength_curve: [], baselines: {samplers: []}}}"


@dataclass(frozen=True)
class Shot:
    """motion, backdrop and surface of a run of frames; radius and speed as a Scene has them."""

    motion: str
    backdrop: str
    surface: str
    frames: int
    radius: float
    speed: float


@dataclass(frozen=True)
class Template:
    """colour, pattern and class of the source and of the target, size in pixels, and the shots."""

    name: str
    source: tuple[str, str, str]
    target: tuple[str, str, str]
    size: tuple[int, int]
    shots: tuple[Shot, ...]
    tone: float  # Hz

    @property
    def frames(self) -> int:
        return sum(shot.frames for shot in self.shots)


TEMPLATES = (
    Template(
        "wide-yellow-star-to-plain-purple",
        ("yellow", "plain", "star"),
        ("purple", "plain", "star"),
        (512, 288),
        (Shot("sliding right", "teal", "table", 48, 0.26, 0.62),),
        440.0,
    ),
    Template(
        "portrait-red-pendant-to-plain-green",
        ("red", "plain", "pendant"),
        ("green", "plain", "pendant"),
        (288, 512),
        (
            Shot("sliding up", "cream", "silk", 40, 0.26, 0.65),
            Shot("sliding down", "gray", "marble", 32, 0.24, 0.6),
        ),
        330.0,
    ),
)


def render_template(index: int, step: int = 1) -> RenderedCase:
    """The index-th of `TEMPLATES`, its shots one after another; always the same.

    step: of each shot its first frame, and every so many after it.
    """
    template, rng = TEMPLATES[index], np.random.default_rng([_STREAM, index])
    source, target = (
        draw_product(rng, category, colour, pattern)
        for colour, pattern, category in (template.source, template.target)
    )
    scenes = [_draw_scene(rng, shot) for shot in template.shots]

    def play(product: Product) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        shots = [
            render(product, scene, _span(shot)[::step], _UNIT_PX, template.size)
            for shot, scene in zip(template.shots, scenes, strict=True)
        ]
        return np.concatenate([s.video for s in shots]), np.concatenate([s.mask for s in shots])

    video, source_mask = play(source)
    before, after = _prompts(source, target, scenes)
    return RenderedCase(
        video=to_pixels(video),
        photo=photograph(rng, target),
        source_mask=to_mask(source_mask),
        target_mask=to_mask(play(target)[1]),
        source_prompt=before,
        target_prompt=after,
    )


def _draw_scene(rng: np.random.Generator, shot: Shot) -> Scene:
    scene = draw_scene(rng, shot.motion, shot.backdrop, shot.surface)
    return replace(scene, radius=shot.radius, x=0.0, y=0.0, speed=shot.speed)


def _span(shot: Shot) -> range:
    """The frames of a shot, the middle of the motion in its middle."""
    first = (FRAMES - shot.frames) // 2
    return range(first, first + shot.frames)


def _prompts(source: Product, target: Product, scenes: Sequence[Scene]) -> tuple[str, str]:
    """What holds for every shot: of several, no motion and no ground."""
    if len(scenes) == 1:
        return describe(source, scenes[0]), name_class(target, scenes[0])
    return f"a {source.colour} {source.pattern} {source.category}", f"a {target.category}"


def write_template(path: Path, frames: NDArray[np.uint8], tone: float) -> None:
    """H.264 in 4:2:0, tagged BT.709, and AAC; no encoder stamp: equal frames make equal bytes."""
    with tempfile.TemporaryDirectory() as folder:
        sound = Path(folder) / "sound.wav"
        _write_ticks(sound, len(frames) / FRAME_RATE, tone)
        imageio.mimwrite(
            path,
            list(frames),
            fps=FRAME_RATE,
            codec="libx264",
            pixelformat="yuv420p",
            macro_block_size=1,
            audio_path=str(sound),
            audio_codec="aac",
            output_params=[
                *("-vf", _TO_BT709),
                *("-crf", "20", "-preset", "slow", "-threads", "1", "-b:a", "32k"),
                *("-flags", "+bitexact", "-fflags", "+bitexact", "-map_metadata", "-1"),
                *("-movflags", "+faststart"),
            ],
        )


def _write_ticks(path: Path, seconds: float, tone: float) -> None:
    """A quiet tone that dies away after each tick, mono, 16 bits."""
    times = np.arange(round(seconds * _SAMPLE_RATE)) / _SAMPLE_RATE
    wave_form = _LOUDNESS * np.sin(2 * np.pi * tone * times) * np.exp(-8 * (times % _TICK))
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(_SAMPLE_RATE)
        file.writeframes(np.rint(wave_form * 32767).astype("<i2").tobytes())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--products", type=Path, required=True)
    options = parser.parse_args()
    for index, template in enumerate(TEMPLATES):
        rendered, folder = render_template(index), options.products / template.name
        write_case(folder, rendered, partial(write_template, tone=template.tone))
        shots = "; ".join(f"{shot.motion}, {shot.frames} frames" for shot in template.shots)
        width, height = template.size
        comment = f"{width} x {height} at {FRAME_RATE} frames a second, with sound: {shots}"
        print(case_entry(template.name, comment, rendered, folder, _CHEAP))


if __name__ == "__main__":
    main()
