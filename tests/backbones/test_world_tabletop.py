"""The table-top world: determinism, geometry of masks and motions, captions, the sample cases."""

import re
import sys
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from backbones.worlds import product_cases
from backbones.worlds.product_cases import CASES, RenderedCase, render_case
from backbones.worlds.tabletop import (
    CLASSES,
    COLOURS,
    FRAME_PX,
    FRAMES,
    MOTIONS,
    PATTERNS,
    draw_product,
    draw_scene,
    packshot,
    render,
)
from backbones.worlds.tabletop_captions import describe, draw_caption, name_class, vocabulary
from backbones.worlds.template_cases import FRAME_RATE, TEMPLATES, render_template
from refract.media.video_io import read_clip
from refract.params.cases import Case, load_cases

DATA = Path(__file__).parents[2] / "data"


def _generator(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def _centroids(mask: np.ndarray) -> np.ndarray:
    """(n, h, w) -> (n, 2): mean x, y of a mask, in pixels."""
    y, x = np.mgrid[: mask.shape[1], : mask.shape[2]]
    weight = mask.sum((1, 2))
    return np.stack([(mask * x).sum((1, 2)), (mask * y).sum((1, 2))], 1) / weight[:, None]


def test_same_seed_same_clip_and_other_seed_another() -> None:
    first, again, other = (
        render(draw_product(rng), draw_scene(rng), frames=[0, 16])
        for rng in (_generator(3), _generator(3), _generator(4))
    )
    assert np.array_equal(first.video, again.video)
    assert np.array_equal(first.mask, again.mask)
    assert not np.array_equal(first.video, other.video)


@pytest.mark.parametrize("category", CLASSES)
def test_product_is_inside_its_mask(category: str) -> None:
    """Repainting the product changes pixels under the mask, and no others."""
    rng = _generator(0)
    red = draw_product(rng, category, "red", "plain")
    blue = draw_product(rng, category, "blue", "plain")
    scene = draw_scene(rng, motion="standing still")
    one, two = render(red, scene, frames=[0]), render(blue, scene, frames=[0])
    assert np.array_equal(one.mask, two.mask)
    changed = np.abs(one.video - two.video).max(-1)
    assert changed[one.mask == 0].max() == 0
    assert (changed[one.mask == 1] > 0.2).mean() > 0.5
    assert 0.02 < one.mask.mean() < 0.5


@pytest.mark.parametrize(
    ("motion", "axis", "sign"),
    [
        ("sliding left", 0, -1),
        ("sliding right", 0, 1),
        ("sliding up", 1, -1),
        ("sliding down", 1, 1),
    ],
)
def test_sliding_moves_the_product_where_the_caption_says(
    motion: str, axis: int, sign: int
) -> None:
    rng = _generator(1)
    clip = render(draw_product(rng, "ball"), draw_scene(rng, motion), frames=[4, 8, 12])
    steps = np.diff(_centroids(clip.mask), axis=0)
    assert (sign * steps[:, axis] > 2).all()
    assert np.abs(steps[:, 1 - axis]).max() < 1


@pytest.mark.parametrize(("motion", "sign"), [("zooming in", 1), ("zooming out", -1)])
def test_zooming_changes_the_size(motion: str, sign: int) -> None:
    rng = _generator(2)
    clip = render(draw_product(rng, "mug"), draw_scene(rng, motion), frames=[4, 8, 12])
    assert (sign * np.diff(clip.mask.sum((1, 2))) > 0).all()


def test_standing_still_stands_still_and_rotating_turns() -> None:
    rng = _generator(5)
    product, scene = draw_product(rng, "mug"), draw_scene(rng, "standing still")
    still = render(product, scene, frames=[0, 16])
    assert np.array_equal(still.video[0], still.video[1])
    turning = render(product, draw_scene(rng, "rotating"), frames=[0, 16]).mask
    assert np.abs(turning[0] - turning[1]).mean() > 0.02
    areas = turning.sum((1, 2))
    assert abs(areas[0] - areas[1]) < 0.1 * areas[0]


def test_a_frame_does_not_depend_on_the_frames_beside_it() -> None:
    rng = _generator(6)
    product, scene = draw_product(rng), draw_scene(rng)
    whole = render(product, scene)
    assert whole.video.shape == (FRAMES, FRAME_PX, FRAME_PX, 3)
    assert np.array_equal(render(product, scene, frames=[7]).video[0], whole.video[7])


@given(st.integers(0, 2**32 - 1))
def test_packshot_has_a_plain_light_backdrop(seed: int) -> None:
    rng = _generator(seed)
    shot = packshot(rng, draw_product(rng))
    corners = shot.video[0][[0, 0, -1, -1], [0, -1, 0, -1]]
    bare = shot.mask[0][[0, 0, -1, -1], [0, -1, 0, -1]] == 0
    grey = corners[bare]
    assert np.ptp(grey, axis=-1).max(initial=0) < 1e-6
    assert shot.mask.max() == 1


@given(st.integers(0, 2**32 - 1), st.booleans())
def test_captions_use_the_vocabulary_and_leave_out_what_they_must(seed: int, still: bool) -> None:
    rng = _generator(seed)
    product, scene = draw_product(rng), draw_scene(rng)
    words = set(vocabulary())
    unnamed = draw_caption(rng, product, scene, still=still, named=False)
    photo = draw_caption(rng, product, None)
    for caption in (describe(product, scene), name_class(product, scene), unnamed, photo):
        assert set(caption.split()) <= words
    named_words = {product.colour, product.pattern}
    assert not named_words & set(unnamed.split())
    assert not named_words & set(name_class(product, scene).split())
    assert named_words <= set(describe(product, scene).split())


def test_vocabulary_has_no_word_twice_and_no_colour_is_a_backdrop() -> None:
    words = vocabulary()
    assert len(words) == len(set(words))
    assert {*COLOURS, *PATTERNS, *CLASSES} <= set(words)


def test_cases_cover_every_class_and_motion_and_far_colours() -> None:
    assert len(CASES) >= 16
    assert {case.motion for case in CASES} == set(MOTIONS)
    assert {case.source[2] for case in CASES} == set(CLASSES)
    swaps = [case for case in CASES if case.source[2] != case.target[2]]
    assert len(swaps) == 4
    for case in CASES:
        distance = np.subtract(COLOURS[case.source[0]], COLOURS[case.target[0]])
        assert np.linalg.norm(distance) > 110, case.name
        assert re.fullmatch("[a-z][a-z0-9_-]*", case.name)
    assert len({case.name for case in CASES}) == len(CASES)
    products = {(case.source, case.target) for case in (*CASES, *TEMPLATES)}
    assert len(products) == len(CASES) + len(TEMPLATES)


def test_the_cases_in_the_repository_are_those_the_world_makes() -> None:
    listed = load_cases(DATA / "cases.yaml")
    for index, case in enumerate(CASES):
        _check_stored(listed[case.name], render_case(index, seed=0))


@pytest.mark.parametrize("index", range(len(TEMPLATES)))
def test_the_templates_in_the_repository_are_those_the_world_makes(index: int) -> None:
    template, step = TEMPLATES[index], 8
    rendered = render_template(index, step)
    entry = load_cases(DATA / "cases.yaml")[template.name]
    _check_stored(entry, rendered, step)
    for folder in (entry.source_mask, entry.target_mask):
        assert folder is not None and len(list((DATA.parent / folder).iterdir())) == template.frames
    video = DATA.parent / entry.video
    with av.open(str(video)) as file:
        picture, sound = file.streams.video[0], file.streams.audio[0]
        assert (picture.width, picture.height) == template.size
        assert picture.frames == template.frames and picture.average_rate == FRAME_RATE
        assert picture.pix_fmt == "yuv420p"
        decoded = next(file.decode(picture))
        assert decoded.colorspace == decoded.color_primaries == decoded.color_trc == 1  # BT.709
        assert sound.duration is not None and sound.time_base is not None
        seconds = float(sound.duration * sound.time_base)
        assert seconds == pytest.approx(template.frames / FRAME_RATE, abs=0.1)
    frames = read_clip(video).frames.astype(np.int16)
    assert np.abs(frames[::step] - rendered.video).mean((1, 2, 3)).max() < 3  # levels, of the codec
    changes = np.abs(np.diff(frames, axis=0)).mean((1, 2, 3))
    cuts = np.cumsum([shot.frames for shot in template.shots])[:-1] - 1
    assert np.flatnonzero(changes > 20).tolist() == cuts.tolist()


def _check_stored(entry: Case, rendered: RenderedCase, step: int = 1) -> None:
    assert entry.source_prompt == rendered.source_prompt
    assert entry.target_prompt == rendered.target_prompt
    folder = (DATA.parent / entry.video).parent
    photo = np.asarray(Image.open(folder / "product.png"))
    assert np.abs(photo.astype(int) - rendered.photo).max() <= 1
    for kind, masks in (
        ("source_mask", rendered.source_mask),
        ("target_mask", rendered.target_mask),
    ):
        files = sorted((folder / kind).glob("*.png"))[::step]
        assert len(files) == len(rendered.video)
        stored = np.stack([np.asarray(Image.open(path).convert("L")) for path in files])
        assert (stored != masks).mean() < 1e-3


def test_the_recipe_of_the_cases_leaves_the_users_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It writes folders of its own, and prints their entries as data/cases.yaml has them."""
    mine = {tmp_path / "data/cases.yaml": "cases: {}", tmp_path / "data/products/my-mug/a": "me"}
    for path, text in mine.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(product_cases, "CASES", CASES[:2])
    monkeypatch.setattr(sys, "argv", ["product_cases", "--products", "data/products"])
    product_cases.main()
    assert all(path.read_text() == text for path, text in mine.items())
    folders = {path.name for path in (tmp_path / "data/products").iterdir()}
    assert folders == {"my-mug", *(case.name for case in CASES[:2])}
    printed = capsys.readouterr().out.rstrip()
    assert printed and printed in (DATA / "cases.yaml").read_text()
