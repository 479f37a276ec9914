"""Time, shape and order of frames as cameras and editors write them; colours: test_clip_colours."""

import struct
from collections.abc import Sequence
from fractions import Fraction
from itertools import product
from pathlib import Path
from typing import Any

import av
import numpy as np
import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refract.base.errors import InputError
from refract.media.clip_facts import clip_facts, mean_rate
from refract.media.video_io import read_clip, read_frames
from tests.tiny.clips import H264, LOSSLESS, disc, ffmpeg, mark, marked

_SOUND = ("-f", "lavfi", "-i", "sine=d={}")
X264 = ("-c:v", "libx264", "-qp", "0", "-pix_fmt", "yuv420p")


def timed(path: Path, times: Sequence[Fraction | float], **options: Any) -> Path:
    """Marked frames shown at these times (s), and sound from 0 on where `sound` is its length."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=options.get("rate", 60))
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv444p"
        stream.options = {"qp": "0"}
        stream.codec_context.time_base = Fraction(1, 90000)
        if "sound" in options:
            sound = container.add_stream("aac", rate=48000)
            for start in range(0, int(options["sound"] * 48000), 1024):
                samples = av.AudioFrame.from_ndarray(
                    np.zeros((1, 1024), np.float32), "fltp", "mono"
                )
                samples.sample_rate, samples.pts = 48000, start
                container.mux(sound.encode(samples))
            container.mux(sound.encode(None))
        for time, pixels in zip(times, marked(len(times)), strict=True):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), "rgb24")
            frame.pts, frame.time_base = round(time * 90000), Fraction(1, 90000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def shown(path: Path, **wanted: Any) -> list[tuple[int, float]]:
    """Which frames come, and when."""
    return [(mark(pixels), round(float(time), 3)) for time, pixels in read_frames(path, **wanted)]


# s; of a phone's 17 frames, which take .28 s
VARIABLE = [0, *np.cumsum([1, 3, 1, 1, 2, 1, 1, 1, 2, 1, 1, 1, 3, 1, 1, 2]) * 0.264 / 23]


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "mov", "ts"])
def test_a_variable_rate_keeps_its_times_and_has_their_mean_rate(
    tmp_path: Path, suffix: str
) -> None:
    path = timed(tmp_path / f"a.{suffix}", VARIABLE)
    assert [place for place, _ in shown(path)] == list(range(17))
    times = np.array([time for _, time in shown(path)])
    assert np.abs(times - VARIABLE).max() < 0.0011
    assert read_clip(path, 17).fps == pytest.approx(17 / 0.28, rel=0.05)
    assert read_clip(path, 5).fps == pytest.approx(4 / VARIABLE[4], rel=0.03)
    assert clip_facts(path).duration == pytest.approx(0.28, abs=0.02)


@pytest.mark.parametrize(
    ("suffix", "rate"),
    product(["mkv", "mp4", "ts", "avi"], ["24000/1001", "30"]),
)
def test_a_constant_rate_is_told_as_it_is(tmp_path: Path, suffix: str, rate: str) -> None:
    path = ffmpeg(tmp_path / f"a.{suffix}", "-c:v", "mpeg4", frames=marked(19, 16, 16), rate=rate)
    facts = clip_facts(path)
    assert facts.fps == float(Fraction(rate)) and facts.frames == 19
    assert read_clip(path, 7).fps == float(Fraction(rate))
    assert facts.duration == pytest.approx(19 / Fraction(rate), abs=0.002)


@given(
    st.sampled_from([Fraction(24000, 1001), Fraction(25), Fraction(60), Fraction(25, 2)]),
    st.integers(2, 60),
    st.fractions(0, 9, max_denominator=1000),
)
def test_mean_rate_sees_through_rounded_times(rate: Fraction, count: int, start: Fraction) -> None:
    times = [Fraction(round((start + n / rate) * 1000), 1000) for n in range(count)]
    assert mean_rate(times, Fraction(1, 1000), [rate]) == float(rate)


def test_mean_rate_of_one_frame_is_the_one_known() -> None:
    assert mean_rate([Fraction(3)], Fraction(1, 1000), [Fraction(25, 2)]) == 12.5
    assert mean_rate([Fraction(3)], Fraction(1, 1000), [], Fraction(1, 4)) == 4


def test_a_picture_that_starts_after_the_sound_has_its_own_times(tmp_path: Path) -> None:
    path = timed(tmp_path / "late.mp4", [2 + n / 10 for n in range(6)], sound=3, rate=10)
    assert shown(path) == [(n, pytest.approx(2 + n / 10, abs=0.03)) for n in range(6)]
    facts = clip_facts(path)
    assert facts.has_sound and facts.fps == pytest.approx(10)
    assert facts.duration == pytest.approx(2.6, abs=0.03)
    assert [place for place, _ in shown(path, fps=10, count=3)] == [0, 1, 2]


def test_a_transport_stream_starts_at_zero(tmp_path: Path) -> None:
    path = ffmpeg(tmp_path / "a.ts", *X264, "-muxdelay", "0", "-output_ts_offset", "50",
                  frames=marked(5), rate="25")  # fmt: skip
    assert clip_facts(path).start >= 50
    assert shown(path) == [(n, n / 25) for n in range(5)]


def test_a_transport_stream_starts_with_its_sound(tmp_path: Path) -> None:
    """Its AAC begins with 1024 samples of the encoder's own, before the first picture."""
    path = ffmpeg(tmp_path / "a.ts", "-f", "lavfi", "-i", "sine=440:r=44100:d=0.2", *X264,
                  "-c:a", "aac", frames=marked(5), rate="25")  # fmt: skip
    early = 1024 / 44100
    assert shown(path) == [(n, pytest.approx(n / 25 + early, abs=1e-3)) for n in range(5)]


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("a.h264", (*X264, "-bf", "3")), ("b-frames.avi", (*X264, "-bf", "3")),
        ("a.ogv", ("-c:v", "libtheora", "-q:v", "10")),
        ("a.gif", ()), ("a.y4m", ("-pix_fmt", "gray")),
        ("a.mpg", ("-c:v", "mpeg2video", "-q:v", "1")), ("a.wmv", ("-c:v", "wmv2", "-q:v", "1")),
    ],
)  # fmt: skip
def test_containers_with_and_without_times(
    tmp_path: Path, name: str, options: tuple[str, ...]
) -> None:
    path = ffmpeg(tmp_path / name, *options, frames=marked(12), rate="25")
    assert shown(path) == [(n, n / 25) for n in range(12)]
    facts = clip_facts(path)
    assert (facts.fps, facts.frames, facts.has_sound) == (25, 12, False)


@pytest.mark.parametrize("variable", [False, True])
def test_first_and_count_are_exact(tmp_path: Path, variable: bool) -> None:
    if variable:
        path = timed(tmp_path / "a.mp4", VARIABLE)
    else:  # groups that need the one before
        gops = "open-gop=1:keyint=6:min-keyint=6:bframes=2:b-adapt=0:scenecut=0"
        path = ffmpeg(tmp_path / "a.ts", *X264, "-x264-params", gops, frames=marked(17), rate="60")
    everything, resampled = shown(path), shown(path, fps=24)
    assert [place for place, _ in everything] == list(range(17))
    for first, count in ((0, 1), (5, 3), (7, 6), (16, 1), (15, 9), (40, 2)):
        assert shown(path, first=first, count=count) == everything[first : first + count]
        wanted = resampled[first : first + count]
        assert shown(path, first=first, count=count, fps=24) == wanted
    assert shown(path, first=3) == everything[3:]


@pytest.mark.parametrize("fps", [10, 24, 60])
def test_resampled_frames_are_those_nearest_in_time(tmp_path: Path, fps: float) -> None:
    path = timed(tmp_path / "a.mp4", [n / 30 for n in range(12)], rate=30)
    frames = shown(path, fps=fps)
    assert [time for _, time in frames] == pytest.approx(
        [n / fps for n in range(len(frames))], abs=1e-3
    )
    assert all(abs(place / 30 - time) <= 1 / fps / 2 + 1 / 30 for place, time in frames)
    assert len(frames) == pytest.approx(0.4 * fps, abs=1)


def combed(count: int) -> np.ndarray:
    """A bar that moves by 3 px a field, the upper field first: [F, 48, 64, 3]."""
    fields = np.full((2 * count, 48, 64, 3), 60, np.uint8)
    for time, field in enumerate(fields):
        field[:, 3 * time : 3 * time + 8] = 200
    frames = fields[::2].copy()
    frames[:, 1::2] = fields[1::2, 1::2]
    return frames


def test_frames_marked_as_interlaced_become_whole(tmp_path: Path) -> None:
    for name, options in (
        ("a.mp4", ("-flags", "+ildct+ilme", *X264)),
        ("a.mkv", ("-c:v", "ffv1", "-pix_fmt", "yuv420p")),
    ):  # fmt: skip
        path = ffmpeg(tmp_path / name, "-vf", "setfield=tff", *options, frames=combed(8), rate="25")
        assert clip_facts(path).fps == 25 and clip_facts(path).frames == 8
        frames = read_clip(path).frames[..., 1].astype(int)
        for place, frame in enumerate(frames):
            bar = slice(6 * place, 6 * place + 8)  # of the upper field
            assert np.abs(frame[4:-4, bar].mean() - 200) < 12
            assert np.abs(np.diff(frame[4:-4], axis=0)).mean() < 3  # combed it is 13
            assert (
                np.abs(np.delete(frame, np.arange(6 * place - 4, 6 * place + 16), 1) - 60).max() < 2
            )


def test_frames_that_are_not_marked_so_stay(tmp_path: Path) -> None:
    path = ffmpeg(tmp_path / "a.mkv", "-c:v", "ffv1", "-pix_fmt", "yuv444p", frames=combed(4))
    assert np.abs(read_clip(path).frames.astype(int) - combed(4)).max() <= 2


def test_an_edit_list_leaves_frames_out(tmp_path: Path) -> None:
    whole = ffmpeg(tmp_path / "whole.mov", *X264, "-bf", "0", "-g", "20",
                   frames=marked(12), rate="10")  # fmt: skip
    cut = ffmpeg(tmp_path / "cut.mov", "-ss", "0.45", "-i", str(whole), "-c", "copy")
    assert [place for place, _ in shown(cut)] == list(range(5, 12))
    facts = clip_facts(cut)
    assert facts.fps == pytest.approx(10) and facts.frames == 7


def test_the_picture_is_what_players_show(tmp_path: Path) -> None:
    slow = ffmpeg(tmp_path / "slow.mkv", *LOSSLESS, frames=marked(4, 16, 16), rate="15")
    fast = ffmpeg(tmp_path / "fast.mkv", *LOSSLESS, frames=marked(9, 32, 32) + 100, rate="30")
    cover = ffmpeg(tmp_path / "cover.png", "-frames:v", "1", frames=marked(1, 256, 256))
    two = ("-i", str(slow), "-i", str(fast), "-map", "0", "-map", "1", "-c", "copy")
    defaults = ("-disposition:0", "{}", "-disposition:1", "{}")
    for dispositions, fps in ((("0", "default"), 30), (("default", "0"), 15), (("0", "0"), 30)):
        path = tmp_path / "two.mkv"
        ffmpeg(path, *two, *(word.format(d) for word, d in zip(
            defaults, (None, dispositions[0], None, dispositions[1]), strict=True)))  # fmt: skip
        assert clip_facts(path).fps == read_clip(path).fps == fps
    ffmpeg(tmp_path / "covered.mp4", "-i", str(cover), *_SOUND[:3], "sine=d=1", "-i", str(fast),
           "-map", "0", "-map", "1", "-map", "2", "-c:v:0", "png", "-c:v:1", "libx264",
           "-disposition:v:0", "attached_pic")  # fmt: skip
    facts = clip_facts(tmp_path / "covered.mp4")
    assert (facts.width, facts.fps, facts.has_sound) == (32, 30, True)
    assert len(read_clip(tmp_path / "covered.mp4").frames) == 9
    ffmpeg(tmp_path / "song.mp4", "-i", str(cover), *_SOUND[:3], "sine=d=1", "-map", "0", "-map",
           "1", "-c:v", "png", "-disposition:v:0", "attached_pic")  # fmt: skip
    with pytest.raises(InputError, match="no moving picture in it"):
        read_clip(tmp_path / "song.mp4")


@pytest.mark.parametrize(
    ("coded", "aspect", "turn", "square"),
    [
        ((90, 72), "64:45", 0, (128, 72)), ((90, 60), "8:9", 0, (90, 68)),
        ((90, 60), "32:27", 0, (106, 60)), ((90, 72), "64:45", 90, (72, 128)),
        ((90, 60), "8:9", -90, (68, 90)), ((64, 48), "1:1", 90, (48, 64)),
        ((64, 48), "1:1", 180, (64, 48)), ((65, 49), "1:1", 0, (64, 48)),
    ],
)  # fmt: skip
def test_pixels_are_square_and_upright(
    tmp_path: Path, coded: tuple[int, int], aspect: str, turn: int, square: tuple[int, int]
) -> None:
    width, height = coded
    across, down = map(int, aspect.split(":"))
    drawn = np.repeat(disc(height, width, min(height, width) / 3, across / down), 2, 0)
    drawn[:, : height // 6, : width // 6] = 99  # which corner came where
    flat = ffmpeg(tmp_path / "flat.mp4", *H264, "-vf", f"setsar={across}/{down}", frames=drawn)
    path = ffmpeg(tmp_path / "a.mp4", "-display_rotation", str(turn), "-i", str(flat), "-c", "copy")
    facts = clip_facts(path)
    pixels = read_clip(path).frames[0]
    assert (facts.width, facts.height) == (pixels.shape[1], pixels.shape[0]) == square
    upright = np.rot90(pixels, -turn // 90)  # counterclockwise is positive to both
    assert 60 < upright[:3, :3].mean() < 130 and upright[-3:, -3:].max() < 20
    rows, columns = (np.ptp(np.nonzero(pixels[..., 0] > 140)[axis]) + 1 for axis in (0, 1))
    assert columns / rows == pytest.approx(1, abs=0.06)


def test_an_aperture_of_the_container_squeezes_nothing(tmp_path: Path) -> None:
    """A QuickTime clean aperture of the middle 32 columns, as editors write it."""
    drawn = np.repeat(disc(48, 64, 15), 2, 0)
    path = ffmpeg(tmp_path / "a.mp4", *H264, frames=drawn)
    content = bytearray(path.read_bytes())
    aperture = struct.pack(">I4s8i", 40, b"clap", 32, 1, 48, 1, 0, 1, 0, 1)
    for name in (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd", b"avc1"):  # longer now
        place = content.index(name) - 4
        size = int.from_bytes(content[place : place + 4], "big") + len(aperture)
        content[place : place + 4] = size.to_bytes(4, "big")
    place = content.index(b"btrt") - 4
    content[place:place] = aperture
    path.write_bytes(content)
    assert np.abs(read_clip(path).frames.astype(int) - drawn).max() <= 2


def test_a_clip_that_breaks_off(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (12, 48, 64, 3), np.uint8)
    whole = ffmpeg(tmp_path / "whole.mkv", *LOSSLESS, frames=noise).read_bytes()
    (tmp_path / "cut.mkv").write_bytes(whole[: len(whole) // 2])
    given = len(list(read_frames(tmp_path / "cut.mkv")))
    assert 3 <= given <= 6
    with pytest.raises(InputError, match=f"has {given} frames, but 9 are needed"):
        read_clip(tmp_path / "cut.mkv", 9)


def test_who_stops_early_leaves_no_process(tmp_path: Path) -> None:
    path = ffmpeg(tmp_path / "a.mkv", *LOSSLESS, frames=marked(40, 256, 256))
    before = {child.pid for child in psutil.Process().children()}
    frames = read_frames(path)
    assert mark(next(frames).pixels) == 0
    assert {child.pid for child in psutil.Process().children()} - before
    frames.close()  # type: ignore[attr-defined]
    assert {child.pid for child in psutil.Process().children()} <= before
