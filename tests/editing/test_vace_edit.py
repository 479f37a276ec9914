"""The VACE baseline on a tiny random model: against diffusers' own call, and by its properties."""

import json
import logging
import shutil
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from safetensors.torch import load_file, save_file

from refract.base.errors import InputError
from refract.editing.cases.request import Shot
from refract.editing.cases.vace_edit import (
    Embeddings,
    VaceSettings,
    _draw_noise,
    edit_with_vace,
    load_source_masks,
)
from refract.models.vace import VaceModel
from refract.models.wan_text import embed_prompt
from tests.tiny.vace import save_tiny_vace
from tests.tiny.wan import WORDS, save_tiny_wan, tiny_text, tiny_vae

FRAMES, HEIGHT, WIDTH = 5, 32, 48
PROMPT = "a red mug"
SETTINGS = VaceSettings(
    steps=2, guidance=3.0, shift=3.0, conditioning_scale=1.0, seed=0,
)  # fmt: skip

Pixels = NDArray[np.uint8]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_vace(tmp_path_factory.mktemp("vace") / "model")


@pytest.fixture(scope="module")
def model(folder: Path) -> VaceModel:
    return load(folder)


def load(folder: Path, dtype: str = "float32") -> VaceModel:
    return VaceModel(str(folder), None, dtype, "cpu")


@cache
def embed(prompt: str = PROMPT, negative: str = "blue ball") -> Embeddings:
    """By the text encoder that `save_tiny_vace` saves."""
    positive, other = (
        embed_prompt(*tiny_text(), text, WORDS, allow_empty=True) for text in (prompt, negative)
    )
    return positive, other


def clip(seed: int = 0) -> Pixels:
    return np.random.default_rng(seed).integers(0, 256, (FRAMES, HEIGHT, WIDTH, 3), np.uint8)


def square_mask() -> NDArray[np.bool_]:
    mask = np.zeros((FRAMES, HEIGHT, WIDTH), bool)
    for frame in range(FRAMES):
        mask[frame, 8:24, 8 + frame : 28 + frame] = True
    return mask


def photo(level: int = 0) -> Pixels:
    """A coloured square on white, of another shape than the clip."""
    pixels = np.full((60, 40, 3), 255, np.uint8)
    pixels[10:50, 5:35] = (255 - level, level, level)
    return pixels


def edit(model: VaceModel, **changes: Any) -> Pixels:
    given = {
        "frames": clip(), "mask": square_mask(), "photo": photo(), "embeddings": embed(),
        "settings": SETTINGS,
    }  # fmt: skip
    return edit_with_vace(model, **{**given, **changes})


@pytest.fixture(scope="module")
def edited(model: VaceModel) -> Pixels:
    return edit(model)


def test_shape_type_and_determinism(model: VaceModel, folder: Path, edited: Pixels) -> None:
    assert edited.shape == (FRAMES, HEIGHT, WIDTH, 3) and edited.dtype == np.uint8
    assert np.ptp(edited) > 50, "a flat picture would make every comparison below pass"
    assert np.array_equal(edit(model), edited)
    with torch.inference_mode():  # as the jobs run it
        assert np.array_equal(edit(load(folder)), edited)
    assert not np.array_equal(edit(model, settings=replace(SETTINGS, seed=1)), edited)


@pytest.mark.parametrize("guidance", [1.0, 3.0])
@pytest.mark.parametrize("negative", ["", "blue ball"])
def test_the_plain_edit_is_the_pipelines(
    folder: Path, model: VaceModel, guidance: float, negative: str
) -> None:
    from diffusers import UniPCMultistepScheduler, WanVACEPipeline

    pipeline = WanVACEPipeline.from_pretrained(folder)
    pipeline.scheduler = UniPCMultistepScheduler.from_config(
        pipeline.scheduler.config, flow_shift=2.0
    )
    video = clip() / np.float32(255)
    video[square_mask()] = 0.5
    expected = pipeline(
        video=video[None], mask=square_mask()[None, ..., None].astype(np.float32), prompt=PROMPT,
        negative_prompt=negative, height=HEIGHT, width=WIDTH, num_frames=FRAMES,
        num_inference_steps=2, guidance_scale=guidance, max_sequence_length=WORDS,
        generator=torch.Generator().manual_seed(0),
    ).frames[0]  # fmt: skip
    settings = replace(SETTINGS, guidance=guidance, shift=2.0)
    plain = edit(model, photo=None, embeddings=embed(PROMPT, negative), settings=settings)
    assert np.abs(plain - expected * 255).max() <= 1


def test_every_setting_and_both_prompts_matter(model: VaceModel, edited: Pixels) -> None:
    changes: list[dict[str, Any]] = [
        {"steps": 3}, {"guidance": 1.0}, {"shift": 1.0}, {"conditioning_scale": 0.2},
    ]  # fmt: skip
    results = [edit(model, settings=replace(SETTINGS, **change)) for change in changes]
    results += [
        edit(model, embeddings=embed("a blue ball")),
        edit(model, embeddings=embed(PROMPT, "")),
    ]
    for change, result in zip([*changes, "prompt", "negative"], results, strict=True):
        assert not np.array_equal(result, edited), change


def test_the_negative_prompt_goes_with_guidance(model: VaceModel) -> None:
    positive, negative = embed()
    low = replace(SETTINGS, guidance=1.0)
    without = edit(model, embeddings=(positive, None), settings=low)
    assert np.array_equal(edit(model, embeddings=(positive, negative), settings=low), without)
    with pytest.raises(ValueError, match="guidance 3 needs the embedding of a negative prompt"):
        edit(model, embeddings=(positive, None))


def test_the_photo_enters(model: VaceModel, edited: Pixels) -> None:
    plain, other = edit(model, photo=None), edit(model, photo=photo(255))
    assert plain.shape == edited.shape
    assert not np.array_equal(plain, edited)
    assert not np.array_equal(other, edited) and not np.array_equal(other, plain)


def test_a_photo_of_the_frames_shape_is_taken_as_it_is(model: VaceModel, edited: Pixels) -> None:
    padded = np.full((HEIGHT, WIDTH, 3), 255, np.uint8)
    inner = Image.fromarray(photo()).resize((21, HEIGHT), Image.Resampling.LANCZOS)
    padded[:, 14:35] = np.asarray(inner)  # (48 - 21) / 2 rounds to 14
    assert np.array_equal(edit(model, photo=padded), edited)


def test_plain_twin_starts_from_the_same_noise(model: VaceModel) -> None:
    shape = (FRAMES, HEIGHT, WIDTH, 3)
    plain, referred = (_draw_noise(model, shape, references, seed=3) for references in (0, 1))
    assert plain.shape == (1, 4, 2, 4, 6) and referred.shape == (1, 4, 3, 4, 6)
    assert torch.equal(referred[:, :, 1:], plain)


def test_only_what_the_mask_leaves_open_is_seen(model: VaceModel, edited: Pixels) -> None:
    mask = square_mask()
    hidden, seen = clip(), clip()
    hidden[mask] = clip(1)[mask]
    seen[~mask] = 255 - seen[~mask]
    assert np.array_equal(edit(model, frames=hidden), edited)
    assert not np.array_equal(edit(model, frames=seen), edited)


def test_the_mask_itself_enters(model: VaceModel) -> None:
    gray = np.full((FRAMES, HEIGHT, WIDTH, 3), 128, np.uint8)
    inside, outside = (edit(model, frames=gray, mask=m) for m in (square_mask(), ~square_mask()))
    assert not np.array_equal(inside, outside)


def test_without_a_mask_nothing_is_seen_and_that_is_said(
    model: VaceModel, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "refract.editing.cases.vace_edit"):
        first, second = (edit(model, mask=None, frames=clip(seed)) for seed in (0, 1))
    assert np.array_equal(first, second)
    messages = [record.getMessage() for record in caplog.records]
    assert len(messages) == 2 and "whole frame is made anew" in messages[0]


def test_half_precision_keeps_the_vae_whole(folder: Path, edited: Pixels) -> None:
    half = load(folder, "bfloat16")
    close = np.abs(edit(half).astype(int) - edited)
    assert half.vae.dtype == torch.float32
    assert half.transformer.blocks[0].attn1.to_q.weight.dtype == torch.bfloat16
    assert close.mean() < 2


def test_one_frame_is_a_clip(model: VaceModel) -> None:
    assert edit(model, frames=clip()[:1], mask=square_mask()[:1]).shape[0] == 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"frames": clip()[:4], "mask": None}, r"frames = 4: must be 4k \+ 1"),
        ({"frames": clip()[:, :24], "mask": None}, "height = 24: must be a multiple of 16"),
        ({"frames": clip()[:, :, :40], "mask": None}, "width = 40: must be a multiple of 16"),
        ({"frames": clip() / 255}, r"frames are float64 .*expected uint8 \[F, H, W, 3\]"),
        ({"frames": clip()[..., 0]}, "frames are uint8"),
        ({"mask": square_mask()[:4]}, r"masks are bool \(4, 32, 48\), expected bool \(5, 32, 48\)"),
        ({"mask": square_mask().astype(np.uint8)}, "masks are uint8"),
        ({"photo": photo()[..., 0]}, r"photo are uint8 \(60, 40\)"),
        ({"photo": photo()[:0]}, r"photo are uint8 \(0, 40, 3\)"),
    ],
)
def test_bad_input(model: VaceModel, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        edit(model, **changes)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("steps", 0), ("shift", 0.0), ("shift", float("inf")), ("guidance", float("nan")),
        ("conditioning_scale", -1.0),
    ],
)  # fmt: skip
def test_bad_settings(key: str, value: float) -> None:
    with pytest.raises(InputError, match=rf"\.{key} = .*: must be"):
        replace(SETTINGS, **{key: value})  # type: ignore[arg-type]


def test_an_edit_that_is_not_finite_is_refused(model: VaceModel) -> None:
    with pytest.raises(InputError, match=r"not finite: lower flowalign\.guidance"):
        edit(model, settings=replace(SETTINGS, guidance=1e38))


def test_schedulers_take_the_shift(folder: Path, tmp_path: Path) -> None:
    from diffusers import FlowMatchEulerDiscreteScheduler

    assert load(folder).pipeline(7.0).scheduler.config.flow_shift == 7.0
    other = copied(folder, tmp_path)
    FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True).save_pretrained(other / "scheduler")
    model = load(other)
    assert model.pipeline(7.0).scheduler.config.shift == 7.0
    low, high = (edit(model, settings=replace(SETTINGS, shift=shift)) for shift in (1.0, 7.0))
    assert not np.array_equal(low, high)


def copied(folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(folder, tmp_path / "copy"))


def test_no_vace_model_at_all(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such folder"):
        load(tmp_path / "absent")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"cannot load model_index\.json.*flowalign\.vace\.path"):
        _ = load(tmp_path / "empty").text
    plain = save_tiny_wan(tmp_path / "wan")
    with pytest.raises(InputError, match=r"is a WanPipeline, but a WanVACEPipeline"):
        edit(load(plain))


def test_unreachable_hub() -> None:
    page = r"https://huggingface\.co/nobody/absent-vace"
    with pytest.raises(InputError, match=rf"cannot be reached .*{page}.*flowalign\.vace\.path"):
        edit(VaceModel("nobody/absent-vace", None, "float32", "cpu"))


@pytest.mark.parametrize("part", ["transformer", "vae", "text_encoder"])
def test_broken_and_pickled_weights(folder: Path, tmp_path: Path, part: str) -> None:
    other = copied(folder, tmp_path)
    weights = next((other / part).glob("*.safetensors"))
    weights.write_bytes(weights.read_bytes()[:1000])
    attribute = "text" if part == "text_encoder" else part
    with pytest.raises(InputError, match=f"cannot load {part}"):
        getattr(load(other), attribute)
    weights.unlink()
    torch.save({}, weights.with_suffix(".bin"))
    with pytest.raises(InputError, match=rf"cannot load {part}.*\.safetensors found"):
        getattr(load(other), attribute)


def test_missing_weights_are_not_made_up(folder: Path, tmp_path: Path) -> None:
    other = copied(folder, tmp_path)
    path = next((other / "transformer").glob("*.safetensors"))
    weights = {key: value for key, value in load_file(path).items() if "vace_" not in key}
    save_file(weights, path, {"format": "pt"})
    with pytest.raises(InputError, match=r"weights are missing, 'vace_"):
        edit(load(other))


def test_parts_that_do_not_fit(folder: Path, tmp_path: Path) -> None:
    other = copied(folder, tmp_path)
    shutil.rmtree(other / "vae")
    tiny_vae().save_pretrained(other / "vae")  # shaped as Wan 2.2's
    with pytest.raises(InputError, match="do not fit together"):
        edit(load(other))


@pytest.mark.parametrize(
    ("file", "changes", "message"),
    [
        ("model_index.json", {"boundary_ratio": 0.9}, "two transformers"),
        ("scheduler/scheduler_config.json", {"_class_name": "DDIMScheduler"}, "no flow shift"),
        ("scheduler/scheduler_config.json", {"use_flow_sigmas": False}, "no flow shift"),
    ],
)
def test_other_kinds_of_pipelines(
    folder: Path, tmp_path: Path, file: str, changes: dict[str, Any], message: str
) -> None:
    path = copied(folder, tmp_path) / file
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    with pytest.raises(InputError, match=message):
        edit(load(tmp_path / "copy"))


def write_masks(folder: Path, count: int, size: tuple[int, int] = (WIDTH, HEIGHT)) -> Path:
    folder.mkdir(exist_ok=True)
    for frame in range(count):
        image = Image.new("L", size, 0)
        image.paste(255, (10 + frame, 10, 20 + frame, 20))
        image.save(folder / f"{frame:03}.png")
    return folder


def test_masks_are_read_and_grown(tmp_path: Path) -> None:
    folder = write_masks(tmp_path / "masks", FRAMES)
    exact, grown = (load_source_masks(folder, Shot(0, FRAMES), HEIGHT, WIDTH, px) for px in (0, 2))
    assert exact.shape == (FRAMES, HEIGHT, WIDTH) and exact.dtype == np.bool_
    assert exact.sum((1, 2)).tolist() == [100] * FRAMES
    assert exact[3, 10:20, 13:23].all()
    assert grown[3, 8, 15] and grown[3, 15, 24] and not grown[3, 8, 11], "city blocks"


def test_masks_are_those_of_the_shot(tmp_path: Path) -> None:
    """A picture a frame of the template, whatever comes before and behind the shot."""
    folder = write_masks(tmp_path / "masks", FRAMES)
    expected = load_source_masks(folder, Shot(0, FRAMES), HEIGHT, WIDTH, 0)
    write_masks(folder, FRAMES + 3)
    assert np.array_equal(load_source_masks(folder, Shot(0, FRAMES), HEIGHT, WIDTH, 0), expected)
    later = load_source_masks(folder, Shot(2, FRAMES - 2), HEIGHT, WIDTH, 0)
    assert np.array_equal(later, expected[2:])


def test_bad_masks(tmp_path: Path) -> None:
    def read(folder: Path) -> NDArray[np.bool_]:
        return load_source_masks(folder, Shot(0, FRAMES), HEIGHT, WIDTH, 1)

    with pytest.raises(InputError, match="3 masks; 5 are needed"):
        read(write_masks(tmp_path / "few", 3))
    with pytest.raises(InputError, match="0 masks; 5 are needed"):
        read(tmp_path / "absent")
    unequal = write_masks(tmp_path / "unequal", FRAMES)
    Image.new("L", (WIDTH, WIDTH), 255).save(unequal / "002.png")
    with pytest.raises(InputError, match=r"unequal sizes \(.* 48 x 32, 002\.png 48 x 48\)"):
        read(unequal)
    black = write_masks(tmp_path / "black", 0)
    for frame in range(FRAMES):
        Image.new("L", (WIDTH, HEIGHT)).save(black / f"{frame}.png")
    with pytest.raises(InputError, match="black everywhere"):
        read(black)
    (black / "2.png").write_text("no picture")
    with pytest.raises(InputError, match="not a readable picture"):
        read(black)
