"""VMAF against ffmpeg's own command line, and what it says of known changes."""

import json
import subprocess
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from refract.evaluation.measures.vmaf import VMAF_KEY, VMAF_MODEL, vmaf, vmaf_measures
from refract.media.video_io import Clip, write_clip

T, HEIGHT, WIDTH = 4, 46, 64
RNG = np.random.default_rng(0)


def _panning() -> np.ndarray:
    soft = gaussian_filter(RNG.normal(0, 1, (HEIGHT, WIDTH + 2 * T, 3)), (2, 2, 0))
    scene = (128 + 40 * soft / soft.std()).clip(0, 255).astype(np.uint8)
    return np.stack([scene[:, 2 * frame : 2 * frame + WIDTH] for frame in range(T)])


CLIP = _panning()
NOISE = RNG.normal(0, 1, CLIP.shape)


def _noisy(deviation: float) -> np.ndarray:
    return (CLIP + deviation * NOISE).clip(0, 255).astype(np.uint8)


def test_it_is_what_the_command_line_says_of_lossless_files(tmp_path: Path) -> None:
    for name, frames in (("clip", _noisy(20)), ("truth", CLIP)):
        write_clip(tmp_path / f"{name}.mkv", Clip(frames, 8), "lossless")
    subprocess.run(
        [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-i", "clip.mkv", "-i", "truth.mkv",
         "-lavfi", f"libvmaf=model=version={VMAF_MODEL}:log_fmt=json:log_path=log.json",
         "-f", "null", "-"],
        check=True, cwd=tmp_path,
    )  # fmt: skip
    log = json.loads((tmp_path / "log.json").read_text())
    measured = vmaf_measures(_noisy(20), CLIP)
    # not to the last digit: the command line chooses its own conversion from RGB
    assert measured.scores[VMAF_KEY] == pytest.approx(
        log["pooled_metrics"]["vmaf"]["mean"], abs=0.2
    )
    assert measured.series[VMAF_KEY] == pytest.approx(
        [frame["metrics"]["vmaf"] for frame in log["frames"]], abs=0.5
    )


def test_identical_clips_have_its_known_ceiling() -> None:
    first, *others = vmaf(CLIP, CLIP)
    assert first == pytest.approx(97.43, abs=1.5)  # nothing moved yet
    assert others == pytest.approx([100] * (T - 1), abs=0.5)


def test_it_falls_with_noise() -> None:
    values = [np.mean(vmaf(_noisy(deviation), CLIP)) for deviation in (0, 10, 20, 40, 80)]
    assert (np.diff(values) < -1).all() and values[-1] >= 0


def test_a_frozen_clip_falls_behind_the_source() -> None:
    series = vmaf(np.repeat(CLIP[:1], T, axis=0), CLIP)
    assert series[0] > 95 and series[-1] < 60


def test_frames_too_small_for_the_library_have_no_value() -> None:
    assert np.isnan(vmaf_measures(CLIP[:, :31], CLIP[:, :31]).scores[VMAF_KEY])
