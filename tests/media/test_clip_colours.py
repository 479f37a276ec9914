"""Colours of clips as cameras tag them, by values made from the standards' own equations."""

from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from refract.media.clip_facts import clip_facts
from refract.media.video_io import Clip, read_clip, read_frames, write_clip
from refract.media.webm import write_webm
from tests.tiny.clips import ffmpeg, marked

Floats = NDArray[np.floating[Any]]

_LUMA = {"bt709": (0.2126, 0.0722), "bt601": (0.299, 0.114), "bt2020": (0.2627, 0.0593)}
_WIDE = "color_primaries=bt2020:colorspace=bt2020nc:color_trc="


def planes(
    signal: Floats, matrix: str, height: int, width: int, bits: int = 8, *, full: bool = False
) -> np.ndarray:
    """Two frames of one colour R'G'B' in [0, 1] as yuv420p code values, by BT.709 and BT.2020."""
    red_share, blue_share = _LUMA[matrix]
    red, _, blue = signal
    luma = red_share * red + (1 - red_share - blue_share) * signal[1] + blue_share * blue
    chroma = np.array([(blue - luma) / (1 - blue_share), (red - luma) / (1 - red_share)]) / 2
    if full:
        codes = np.array([luma * 255, *(chroma * 255 + 128)])
    else:
        codes = np.array([16 + 219 * luma, *(128 + 224 * chroma)]) * 2 ** (bits - 8)
    sizes = (height * width, height * width // 4, height * width // 4)
    form = np.uint8 if bits == 8 else np.dtype("<u2")
    frame = [np.full(size, np.rint(code), form) for size, code in zip(sizes, codes, strict=True)]
    return np.tile(np.concatenate(frame), 2)


def colour_of(path: Path) -> NDArray[np.int_]:
    """The one colour of a clip, RGB."""
    frames = read_clip(path).frames.astype(int)
    assert np.ptp(frames, axis=(0, 1, 2)).max() <= 1
    return frames[0, 0, 0]


GREEN = np.array([40, 160, 60])


@pytest.mark.parametrize(
    ("matrix", "size", "tags"),
    [
        ("bt601", (64, 48), ""),  # untagged, by the size
        ("bt709", (32, 720), ""),
        ("bt709", (1280, 16), ""),
        ("bt709", (64, 48), "colorspace=bt709"),
        ("bt601", (32, 720), "colorspace=smpte170m"),
        ("bt709", (64, 48), "colorspace=bt709:range=pc"),
        ("bt601", (64, 48), "range=pc"),
    ],
)
@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_yuv_is_decoded_as_tagged_or_as_cameras_of_that_size_code(
    tmp_path: Path, matrix: str, size: tuple[int, int], tags: str, suffix: str
) -> None:
    width, height = size
    coded = planes(GREEN / 255, matrix, height, width, full="pc" in tags)
    path = ffmpeg(tmp_path / f"a.{suffix}", "-c:v", "libx264", "-qp", "0", "-vf",
                  f"setparams={tags}", frames=coded, form=f"yuv420p {width}x{height}")  # fmt: skip
    assert np.abs(colour_of(path) - GREEN).max() <= 2


def sdr_light(colour: Floats) -> Floats:
    """Linear light of sRGB [0, 1] (IEC 61966-2-1) in the primaries of BT.2020 (BT.2087)."""
    light = np.where(colour <= 0.04045, colour / 12.92, ((colour + 0.055) / 1.055) ** 2.4)
    return np.array([
        [0.6274, 0.3293, 0.0433], [0.0691, 0.9195, 0.0114], [0.0164, 0.0880, 0.8956],
    ]) @ light  # fmt: skip


def hlg(light: Floats) -> Floats:
    """OETF of BT.2100, SDR's white at 75 %: (e^((.75 - c) / a) + b) / 12 = .26496."""
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    scene = 0.26496 * light
    high = a * np.log(np.maximum(12 * scene - b, 1e-9)) + c
    return np.where(scene <= 1 / 12, np.sqrt(3 * scene), high)


def pq(light: Floats) -> Floats:
    """Inverse EOTF of BT.2100 (SMPTE ST 2084), SDR's white at 203 cd/m^2."""
    power = (203 / 10_000 * light) ** 0.1593017578125
    return ((0.8359375 + 18.8515625 * power) / (1 + 18.6875 * power)) ** 78.84375


@pytest.mark.parametrize(("curve", "tags"), [(hlg, "arib-std-b67"), (pq, "smpte2084")])
@pytest.mark.parametrize(
    "colour", [(200, 40, 40), (40, 160, 60), (30, 30, 200), (128, 128, 128), (250, 250, 250),
               (8, 8, 8)],
)  # fmt: skip
def test_high_dynamic_range_holds_what_sdr_can_show(
    tmp_path: Path, curve: Any, tags: str, colour: tuple[int, int, int]
) -> None:
    signal = curve(sdr_light(np.array(colour) / 255))
    path = ffmpeg(tmp_path / "a.mkv", "-c:v", "ffv1", "-vf", f"setparams={_WIDE}{tags}",
                  form="yuv420p10le 64x48",
                  frames=planes(signal, "bt2020", 48, 64, bits=10))  # fmt: skip
    assert np.abs(colour_of(path) - colour).max() <= 2


@pytest.mark.parametrize(("curve", "tags"), [(hlg, "arib-std-b67"), (pq, "smpte2084")])
def test_highlights_are_rolled_off(tmp_path: Path, curve: Any, tags: str) -> None:
    light = np.array([0.5, 0.9, 1, 1.5, 2, 3.7])
    coded = [planes(np.full(3, signal), "bt2020", 48, 64, bits=10)[: 48 * 96] for signal in
             curve(light)]  # fmt: skip
    path = ffmpeg(tmp_path / "a.mkv", "-c:v", "ffv1", "-vf", f"setparams={_WIDE}{tags}",
                  form="yuv420p10le 64x48", frames=np.concatenate(coded))  # fmt: skip
    shown = read_clip(path).frames.mean((1, 2, 3))
    assert shown[:2] == pytest.approx(255 * (1.055 * light[:2] ** (1 / 2.4) - 0.055), abs=2)
    assert shown[2] > 251 and (np.diff(shown) >= 0).all() and shown[-1] <= 255


def test_wide_gamut_without_high_dynamic_range(tmp_path: Path) -> None:
    light = sdr_light(GREEN / 255)
    signal = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    path = ffmpeg(tmp_path / "a.mp4", "-c:v", "libx264", "-qp", "0", "-vf",
                  f"setparams={_WIDE}bt2020-10", form="yuv420p 64x48",
                  frames=planes(signal, "bt2020", 48, 64))  # fmt: skip
    assert np.abs(colour_of(path) - GREEN).max() <= 4  # eight bits of BT.2020 are coarse


@pytest.mark.parametrize("tags", ["colorspace=bt709", ""])
def test_yuv_comes_as_it_was_decoded(tmp_path: Path, tags: str) -> None:
    noise = np.random.default_rng(0).integers(16, 236, (3, 1080 * 32), np.uint8)
    path = ffmpeg(tmp_path / "a.mp4", "-c:v", "libx264", "-qp", "0", "-vf", f"setparams={tags}",
                  frames=noise, form="yuv420p 32x720")  # fmt: skip
    shown = [pixels for _, pixels in read_frames(path, layout="yuv")]
    assert np.array_equal(np.stack(shown), noise.reshape(3, 1080, 32))
    with av.open(str(path)) as container:
        decoded = [frame.to_ndarray() for frame in container.decode(video=0)]
    assert np.array_equal(np.stack(shown), np.stack(decoded))


def test_yuv_of_another_matrix_becomes_bt709(tmp_path: Path) -> None:
    path = ffmpeg(tmp_path / "a.mp4", "-c:v", "libx264", "-qp", "0", form="yuv420p 64x48",
                  frames=planes(GREEN / 255, "bt601", 48, 64))  # fmt: skip
    wanted = planes(GREEN / 255, "bt709", 48, 64).reshape(2, -1)
    shown = np.stack([pixels.ravel() for _, pixels in read_frames(path, layout="yuv")])
    assert np.abs(shown.astype(int) - wanted).max() <= 1


@pytest.mark.parametrize("name", ["a.mp4", "a.webm"])
def test_previews_are_bt709_and_say_so(tmp_path: Path, name: str) -> None:
    clip = Clip(np.broadcast_to(GREEN.astype(np.uint8), (2, 48, 64, 3)), 8.0)
    if name == "a.mp4":
        write_clip(tmp_path / name, clip, "preview")
    else:
        write_webm(tmp_path / name, clip.frames, clip.fps, "fine")
    assert clip_facts(tmp_path / name).colours == (1, 1, 1)
    with av.open(str(tmp_path / name)) as container:
        frame = next(container.decode(video=0))
    assert frame.color_range == 1  # limited
    wanted = planes(GREEN / 255, "bt709", 48, 64)[: 48 * 96].reshape(72, 64)
    assert np.abs(frame.to_ndarray().astype(int) - wanted).max() <= 1


def test_alpha_is_dropped(tmp_path: Path) -> None:
    clear = np.concatenate([marked(3), np.full((3, 48, 64, 1), 90, np.uint8)], -1)
    for name, *options in (
        ("a.webm", "-c:v", "libvpx-vp9", "-lossless", "1", "-pix_fmt", "yuva420p"),
        ("a.mov", "-c:v", "qtrle", "-pix_fmt", "argb"),
        ("a.gif", "-c:v", "gif"),
        ("a.apng", "-c:v", "apng", "-pix_fmt", "rgba"),
    ):
        path = ffmpeg(tmp_path / name, *options, frames=clear)
        if name != "a.gif":  # which has one bit of it
            assert np.abs(read_clip(path).frames.astype(int) - marked(3)).max() <= 2
        assert len(list(read_frames(path, layout="yuv"))) >= 1
