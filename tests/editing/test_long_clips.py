"""A template of several shots: what of it is edited, as one file, and what is computed when."""

import json
import re
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from ruamel.yaml import YAML

from refract.base.errors import InputError
from refract.media.video_io import read_clip, write_frames
from refract.params.cases import Case, Span
from tests.stage_process import ModuleProcess, run_module
from tests.tiny.clips import ffmpeg
from tests.tiny.edit import HEIGHT, WIDTH, Workshop

SHOTS = (30, 22)  # frames, neither 4k + 1


def cut_clip(height: int = 2 * HEIGHT, width: int = 2 * WIDTH) -> np.ndarray:
    """Two shots of a moving square, on red and on blue, at twice the size of the edit."""
    video = np.full((sum(SHOTS), height, width, 3), (190, 90, 80), np.uint8)
    video[SHOTS[0] :] = (20, 60, 150)
    for frame in range(len(video)):
        video[frame, 16:40, frame : frame + 24] = (40, 200, 60)
    return video


@pytest.fixture
def case(shop: Workshop) -> Case:
    """At 40 frames a second; the edits are of the first 6 frames of a shot at most."""
    shop.set("flowalign", frames=6)
    case = shop.case("cup", 0)
    write_frames(Path(case.video), cut_clip(), 40.0, "lossless")
    shop.extract({"cup": case})
    return case


def facts(shop: Workshop) -> dict[str, Any]:
    told: dict[str, Any] = json.loads((shop.edits / "info.json").read_text())["cases"]["cup"]
    return told


def test_the_clips_of_a_case_hold_its_shots_one_after_another(shop: Workshop, case: Case) -> None:
    shop.edit({"cup": case})
    told = facts(shop)
    assert told["shots"] == [
        {"first": 0, "frames": 6, "start": 0.0, "end": pytest.approx(0.15, abs=2e-3)},
        {
            "first": 30, "frames": 6, "start": pytest.approx(0.75, abs=2e-3),
            "end": pytest.approx(0.9, abs=2e-3),
        },
    ]  # fmt: skip
    assert told["frame"] == [WIDTH, HEIGHT] and told["fps"] == pytest.approx(40.0, rel=1e-2)
    source = read_clip(shop.edits / "cup/source.mkv")
    assert source.fps == pytest.approx(40.0, rel=1e-2)
    shown = cut_clip()[[*range(6), *range(30, 36)], ::2, ::2]
    assert np.abs(source.frames.astype(int) - shown).mean() < 3  # but for the square's edges
    for name in ("plain.mkv", "reference.mkv", "curve/0.5.mkv"):
        assert read_clip(shop.edits / "cup" / name).frames.shape == source.frames.shape, name


def test_each_shot_is_edited_as_a_clip_of_its_own(shop: Workshop, case: Case) -> None:
    shop.edit({"cup": case})
    both = read_clip(shop.edits / "cup/reference.mkv").frames
    second = case.model_copy(update={"clip": Span(start=0.75)})
    assert shop.edit({"cup": second}).store.computed == 1, "the views alone"
    assert np.array_equal(read_clip(shop.edits / "cup/reference.mkv").frames, both[6:])
    listed = case.model_copy(update={"shots": ((0.0, 0.1), (0.75, 1.0))})
    job = shop.edit({"cup": listed})
    assert job.store.computed == 1 + 4, "a shorter first shot"
    assert [shot["frames"] for shot in facts(shop)["shots"]] == [4, 6]


def test_equal_prompts_leave_every_frame_of_every_shot(shop: Workshop, case: Case) -> None:
    """But for the VAE: each shot comes back as it is decoded from its own latents."""
    same = case.model_copy(update={"target_prompt": case.source_prompt, "shots": "none"})
    shop.set("", ref_strength=0.0)
    shop.set("flowalign", frames=None, strength_curve=[])
    shop.edit({"cup": same})
    plain = read_clip(shop.edits / "cup/plain.mkv").frames
    assert len(plain) == sum(SHOTS)
    shop.set("flowalign", sampler="flowedit", source_guidance=1.0, guidance=1.0)
    shop.edit({"cup": same})
    assert np.array_equal(read_clip(shop.edits / "cup/plain.mkv").frames, plain)


def test_the_rate_of_a_case(shop: Workshop, case: Case) -> None:
    shop.edit({"cup": case.model_copy(update={"fps": 10.0})})
    told = facts(shop)
    assert told["fps"] == pytest.approx(10.0, rel=1e-2)
    first, second = told["shots"]
    assert (first["first"], first["frames"], second["frames"]) == (0, 6, 5)
    assert second["start"] == pytest.approx(0.8, abs=0.06)


def test_the_users_region_takes_the_place_of_the_one_found(shop: Workshop, case: Case) -> None:
    """What it leaves out is pulled to the source wholly by a zeta of 1; final.mp4 has it too."""
    mask = np.zeros((20, 30), np.uint8)
    mask[:, 18:] = 255
    Image.fromarray(mask).save(shop.folder / "region.png")
    own = case.model_copy(update={"region_mask": str(shop.folder / "region.png"), "shots": "none"})
    region = {"zeta_outside": 1.0, "words": None, "layers": "all", "threshold": 0.5}
    shop.set("flowalign", region=region, strength_curve=[])
    shop.set("deliver", final=True)
    shop.edit({"cup": own})
    source, plain = (
        read_clip(shop.edits / f"cup/{name}.mkv").frames for name in ("source", "plain")
    )
    same = own.model_copy(update={"target_prompt": own.source_prompt})
    shop.edit({"cup": same})
    decoded = read_clip(shop.edits / "cup/plain.mkv").frames
    changed = np.abs(plain.astype(int) - decoded).mean((0, 1, 3))  # by column
    # the VAE spreads what changed a little
    assert changed[: WIDTH // 4].max() < 0.4 * changed[-WIDTH // 4 :].mean()
    assert source.shape == plain.shape


def test_a_region_that_a_sampler_does_not_know_is_told(
    shop: Workshop, case: Case, caplog: pytest.LogCaptureFixture
) -> None:
    Image.new("L", (30, 20), 255).save(shop.folder / "white.png")
    shop.set("flowalign", sampler="sdedit", strength=0.5, strength_curve=[])
    shop.edit({"cup": case})
    assert "region_mask" not in caplog.text
    shop.edit({"cup": case.model_copy(update={"region_mask": str(shop.folder / "white.png")})})
    assert "case cup: flowalign.sampler sdedit knows no region: region_mask" in caplog.text


def test_a_region_that_does_not_fit_names_its_case(shop: Workshop, case: Case) -> None:
    Image.new("L", (30, 20)).save(shop.folder / "black.png")
    shop.set("flowalign", region={**shop.params["flowalign"]["region"], "zeta_outside": 0.2})
    with pytest.raises(
        InputError, match=r"cases\.cup\.region_mask: .*black\.png: nothing is white"
    ):
        shop.edit({"cup": case.model_copy(update={"region_mask": str(shop.folder / "black.png")})})
    shop.set("flowalign", region={**shop.params["flowalign"]["region"], "zeta_outside": None})
    Image.new("L", (30, 20), 255).save(shop.folder / "white.png")
    with pytest.raises(InputError, match=r"case cup: .*zeta_outside, which is null"):
        shop.edit({"cup": case.model_copy(update={"region_mask": str(shop.folder / "white.png")})})


def test_the_deliverable_is_the_template_with_edited_shots(shop: Workshop, case: Case) -> None:
    """Its own size and times; pixels of frames that were not edited are the template's."""
    sound = ("-f", "lavfi", "-i", "sine=440:d=1.3", "-c:v", "copy", "-c:a", "pcm_s16le")
    loud = ffmpeg(Path(case.video).with_name("loud.mkv"), "-i", case.video, *sound)
    case = case.model_copy(update={"video": str(loud)})
    shop.set("deliver", final=True)
    shop.edit({"cup": case})
    assert facts(shop)["fallbacks"] == ["sound pcm_s16le re-encoded as aac"]
    final = read_clip(shop.edits / "cup/final.mp4")
    template = read_clip(Path(case.video))
    assert final.frames.shape == template.frames.shape
    assert final.fps == pytest.approx(template.fps)
    error = np.square(final.frames.astype(float) - template.frames).mean((1, 2, 3))
    untouched = [*range(6, 30), *range(36, 52)]
    assert 10 * np.log10(255**2 / error[untouched].max()) > 30  # of colours at 4:2:0
    assert error[[2, 33]].min() > 4 * error[untouched].max()
    shop.set("deliver", final=False)
    shop.edit({"cup": case})
    assert not (shop.edits / "cup/final.mp4").exists() and facts(shop)["fallbacks"] == []


def test_the_command_goes_on_where_it_was_killed(shop: Workshop, case: Case, root: Path) -> None:
    document = YAML(typ="safe").load((root / "params.yaml").read_text())
    shop.set("deliver", final=True)
    with (shop.folder / "params.yaml").open("w") as file:
        YAML().dump({**document, **shop.params}, file)
    arguments = [
        "--params", "params.yaml", "--video", case.video, "--output", "one",
        "--target-image", str(Path(case.video).with_name("product.png")),
        "--source-prompt", case.source_prompt, "--target-prompt", case.target_prompt,
        "--start", "0.1", "--end", "1.2", "--shots", "0.1-0.4,0.75-1",
    ]  # fmt: skip
    state = shop.folder / "state"
    env = {"REFRACT_STATE": str(state)}
    killed = ModuleProcess("stages.flowalign_edit", *arguments, cwd=shop.folder, env=env)
    finished = state / "flowalign_edit"
    while not list(finished.glob("[0-9a-f]*")) and killed.poll() is None:
        time.sleep(0.01)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    assert not (shop.folder / "one").exists()
    done = run_module("stages.flowalign_edit", *arguments, cwd=shop.folder, env=env)
    assert done.returncode == 0, done.stderr
    (hits,) = re.findall(r"edits: 1 cases, (\d+) items hit", done.stderr)
    assert int(hits) >= 1
    final = read_clip(shop.folder / "one/edit/final.mp4").frames
    assert final.shape == (sum(SHOTS), 2 * HEIGHT, 2 * WIDTH, 3)
