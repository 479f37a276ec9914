import errno
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest

from refract.base.errors import InputError
from refract.media.clip_facts import open_clip
from refract.media.video_io import (
    Clip,
    Frames,
    fit_frame,
    read_clip,
    side_by_side,
    write_clip,
    write_frames,
)


def clip(frames: int = 6, height: int = 32, width: int = 48, fps: float = 8.0) -> Clip:
    y, x = np.mgrid[0:height, 0:width]
    ramps = [np.stack([x * 5, y * 7, (x + y + 20 * f) % 256], -1) for f in range(frames)]
    return Clip(np.stack(ramps).astype(np.uint8), fps)


@pytest.mark.parametrize("fps", [12.5, 24000 / 1001])
def test_lossless_is_lossless(tmp_path: Path, fps: float) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (5, 34, 50, 3), np.uint8)
    write_clip(tmp_path / "a.mkv", Clip(noise, fps), "lossless")
    again = read_clip(tmp_path / "a.mkv")
    assert np.array_equal(again.frames, noise) and again.fps == fps


@pytest.mark.parametrize(("suffix", "quality"), [("mkv", "lossless"), ("mp4", "preview")])
def test_equal_frames_make_equal_files(tmp_path: Path, suffix: str, quality: str) -> None:
    for name in ("first", "second"):
        write_clip(tmp_path / f"{name}.{suffix}", clip(), quality)  # type: ignore[arg-type]
    first, second = (tmp_path / f"{name}.{suffix}" for name in ("first", "second"))
    assert first.read_bytes() == second.read_bytes()
    assert [path.name for path in sorted(tmp_path.iterdir())] == [first.name, second.name]


def test_preview_looks_like_the_clip(tmp_path: Path) -> None:
    y, x = np.mgrid[0:32, 0:48]
    smooth = np.stack([np.stack([2 * x, 3 * y, x + y + 3 * f], -1) for f in range(6)])
    write_clip(tmp_path / "a.mp4", Clip(smooth.astype(np.uint8), 8), "preview")
    again = read_clip(tmp_path / "a.mp4")
    assert again.frames.shape == (6, 32, 48, 3)
    assert np.abs(again.frames.astype(int) - smooth).mean() < 4


def test_reads_only_the_first_frames(tmp_path: Path) -> None:
    write_clip(tmp_path / "a.mkv", clip(9), "lossless")
    again = read_clip(tmp_path / "a.mkv", 5)
    assert np.array_equal(again.frames, clip(9).frames[:5])


def test_fits_by_cover_and_centre_crop(tmp_path: Path) -> None:
    frames = np.zeros((2, 40, 80, 3), np.uint8)
    frames[:, :, 20:60] = 255  # the square in the middle
    write_clip(tmp_path / "a.mkv", Clip(frames, 8), "lossless")
    fitted = read_clip(tmp_path / "a.mkv", 2, width=20, height=20).frames
    assert fitted.shape == (2, 20, 20, 3) and fitted[:, :, 2:-2].min() > 250


def test_fit_frame_leaves_a_fitting_frame_alone_and_takes_masks() -> None:
    frame = clip().frames[0]
    assert fit_frame(frame, 48, 32) is frame
    mask = np.zeros((64, 96), np.uint8)
    mask[:, :48] = 255
    fitted = fit_frame(mask, 48, 32, nearest=True)
    assert set(np.unique(fitted)) == {0, 255} and fitted[:, :24].all()


def test_side_by_side_with_a_still() -> None:
    still = np.full((32, 48, 3), 9, np.uint8)
    wide = side_by_side([clip().frames, clip().frames, still])
    assert wide.shape == (6, 32, 144, 3) and (wide[:, :, 96:] == 9).all()


def test_bad_clips(tmp_path: Path) -> None:
    write_clip(tmp_path / "short.mkv", clip(3), "lossless")
    good = tmp_path / "good.mp4"
    write_clip(good, clip(), "preview")
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "text.mp4").write_text("no video " * 50)
    (tmp_path / "cut.mp4").write_bytes(good.read_bytes()[:300])
    for name, message in (
        ("absent.mp4", "no such file"),
        ("empty.mp4", "cannot be decoded"),
        ("text.mp4", "cannot be decoded"),
        ("cut.mp4", "cannot be decoded"),
        ("short.mkv", r"has 3 frames, but 5 are needed; lower flowalign\.frames \(4k \+ 1\)"),
    ):
        with pytest.raises(InputError, match=message):
            read_clip(tmp_path / name, 5)


def test_a_real_clip(shared: Path) -> None:
    clips = sorted((shared / "videos").glob("*.mp4"))
    fitted = read_clip(clips[0], 17, width=96, height=96)
    assert fitted.frames.shape == (17, 96, 96, 3) and fitted.frames.std() > 10


def test_failed_write_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="ffmpeg could not write"):
        write_clip(tmp_path / "a.mp4", Clip(np.zeros((2, 31, 33, 3), np.uint8), 8), "preview")
    assert not list(tmp_path.iterdir())


def test_frames_that_fail_to_come_leave_no_file(tmp_path: Path) -> None:
    def frames() -> Iterator[Frames]:
        yield clip().frames[0]
        raise InputError("the second one is missing")

    with pytest.raises(InputError, match="the second one is missing"):
        write_frames(tmp_path / "a.mkv", frames(), 8, "lossless")
    assert not list(tmp_path.iterdir())


def test_only_what_is_read_of_a_clip_counts_against_it(tmp_path: Path) -> None:
    write_clip(tmp_path / "a.mkv", clip(), "lossless")
    with pytest.raises(OSError, match="No space left"), open_clip(tmp_path / "a.mkv"):
        av.error.err_check(-errno.ENOSPC)
    with pytest.raises(InputError, match=r"decoded \(damaged\)"), open_clip(tmp_path / "a.mkv"):
        raise av.error.InvalidDataError(1, "damaged")
