"""Which frames of a template are edited, as `clip`, `shots` and `flowalign.frames` ask."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from pydantic import ValidationError

from refract.base.errors import InputError
from refract.editing.cases.request import Shot
from refract.editing.cases.shots import find_shots
from refract.editing.cases.template import Template, template_of
from refract.media.video_io import write_frames
from refract.params.cases import Case
from tests.tiny.clips import ffmpeg

# Ten frames at 10 a second that cut before frames 4 and 7, then two of half a second each
TIMES = [*(frame / 10 for frame in range(10)), 1.0, 1.5]
TEMPLATE = Template(64, 48, TIMES, 2.0, [4, 7])


def case(**facts: Any) -> Case:
    return Case.model_validate(
        {"video": "v.mp4", "source_prompt": "a", "target_prompt": "b", "overrides": {}, **facts}
    )


def shots(most: int | None = None, **facts: Any) -> list[tuple[int, int]]:
    return [(shot.first, shot.frames) for shot in find_shots("cup", case(**facts), TEMPLATE, most)]


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ({}, [(0, 4), (4, 3), (7, 5)]),
        ({"shots": "none"}, [(0, 12)]),
        ({"clip": {"start": 0.2, "end": 0.6}}, [(2, 2), (4, 2)]),
        ({"clip": {"start": 0.25}}, [(3, 1), (4, 3), (7, 5)]),
        ({"clip": {"start": 1.2}}, [(11, 1)]),
        ({"clip": {"start": 0.4, "end": 9.0}, "shots": "none"}, [(4, 8)]),
        ({"shots": [[0, 0.3], [0.8, 2]]}, [(0, 3), (8, 4)]),
        ({"shots": [[0.3, 0.5]]}, [(3, 2)]),
        ({"clip": {"start": 0.3004}}, [(3, 1), (4, 3), (7, 5)]),
        ({"most": 2}, [(0, 2), (4, 2), (7, 2)]),
    ],
)
def test_the_frames_that_are_asked_for(
    facts: dict[str, Any], expected: list[tuple[int, int]]
) -> None:
    assert shots(**facts) == expected


@given(st.floats(0, 1.5), st.floats(0.01, 2.5), st.sampled_from(["auto", "none"]))
def test_shots_divide_the_clip_and_never_hold_a_cut(start: float, last: float, how: str) -> None:
    spans = (
        shots(clip={"start": start, "end": start + last}, shots=how)
        if any(start - 1e-3 <= time < start + last - 1e-3 for time in TIMES)
        else []
    )
    frames = [frame for first, count in spans for frame in range(first, first + count)]
    assert frames == [n for n, t in enumerate(TIMES) if start - 1e-3 <= t < start + last - 1e-3]
    if how == "auto":
        assert not any(first < cut < first + count for first, count in spans for cut in (4, 7))


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({"clip": {"start": 1.6}}, r"cases\.cup\.clip\.start = 1\.6: .* begins at 1\.50 s"),
        ({"clip": {"start": 0.41, "end": 0.49}}, r"cases\.cup\.clip: holds no frame"),
        ({"shots": [[1.6, 1.9]]}, r"cases\.cup\.shots: \[1\.6, 1\.9\] holds no frame"),
        ({"shots": [[0, 0.9]], "clip": {"start": 0.5}}, r"lasts from 0\.50 to 2\.00 s"),
    ],
)
def test_times_that_the_template_lacks(facts: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        shots(**facts)


@pytest.mark.parametrize("suffix", ["mkv", "mp4", "avi"])
def test_a_file_that_was_cut_off_is_no_template_unless_an_end_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    """Half of it would be edited and published as if it were the whole."""
    monkeypatch.setenv("REFRACT_STATE", str(tmp_path / "state"))
    noise = ("-f", "lavfi", "-i", "testsrc2=s=64x48:r=20:d=2,noise=alls=60", "-f", "lavfi")
    codecs = ("-c:v", "mjpeg", "-c:a", "mp2") if suffix == "avi" else ("-c:v", "libx264")
    whole = ffmpeg(
        tmp_path / f"whole.{suffix}", *noise, "-i", "sine=d=2", *codecs, "-movflags", "+faststart"
    )
    assert template_of(whole, None).missing == 0
    cut = tmp_path / f"cut.{suffix}"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size * 6 // 10])
    template = template_of(cut, None)
    assert template.missing == pytest.approx(2 - template.end, abs=0.2) and template.missing > 0.5
    with pytest.raises(InputError, match=r"cases\.cup: video .* is cut off: .* or clip\.end = "):
        find_shots("cup", case(), template, None)
    (left,) = find_shots("cup", case(clip={"end": 0.28}, shots="none"), template, None)
    assert left.first == 0 and left.frames in (5, 6), "sound may begin a packet earlier"


@pytest.mark.parametrize(
    ("suffix", "arguments"),
    [
        ("avi", ("-c:v", "mpeg4", "-bf", "2")),  # packets without a time to be shown at
        ("mp4", ("-c:v", "libx264", "-bf", "3")),
        ("mkv", ("-c:v", "libx264", "-bf", "3")),
    ],
)
def test_a_whole_file_lacks_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str, arguments: tuple[str, ...]
) -> None:
    """Without sound, shorter than what is taken for a loss, frames coded out of order."""
    monkeypatch.setenv("REFRACT_STATE", str(tmp_path / "state"))
    for seconds in ("0.3", "2"):
        picture = ("-f", "lavfi", "-i", f"testsrc2=s=64x48:r=20:d={seconds}")
        path = ffmpeg(tmp_path / f"{seconds}.{suffix}", *picture, *arguments)
        template = template_of(path, None)
        assert template.missing == 0
        assert find_shots("cup", case(shots="none"), template, None) == [
            Shot(0, round(20 * float(seconds)))
        ]


def test_a_cover_picture_is_no_length_to_reach(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REFRACT_STATE", str(tmp_path / "state"))
    cover = tmp_path / "cover.png"
    Image.new("RGB", (32, 32), "red").save(cover)
    path = ffmpeg(
        tmp_path / "clip.mp4", "-f", "lavfi", "-i", "testsrc2=s=64x48:r=20:d=0.3", "-i", str(cover),
        "-map", "0", "-map", "1", "-c:v:0", "libx264", "-c:v:1", "png", "-disposition:v:1",
        "attached_pic",
    )  # fmt: skip
    template = template_of(path, None)
    assert (template.missing, len(template.times)) == (0, 6)


def test_an_end_far_beyond_the_templates_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    assert shots(clip={"end": 2.1}) == shots() and caplog.text == ""
    assert shots(clip={"end": 20.0}, shots=[[0.8, 30]]) == [(8, 4)]
    assert "cases.cup.clip.end = 20 s, but the video ends at 2.00 s" in caplog.text
    assert "cases.cup.shots = 30 s" in caplog.text


@pytest.mark.parametrize(
    "facts",
    [
        {"clip": {"start": 2.0, "end": 2.0}}, {"clip": {"start": -1.0}}, {"clip": {"begin": 1}},
        {"shots": "all"}, {"shots": []}, {"shots": [[2, 1]]}, {"shots": [[0, 2], [1, 3]]},
        {"shots": [[0, 1, 2]]}, {"shots": [0, 1]}, {"shots": [[0, True]]}, {"fps": 0},
        {"fps": 1000.0}, {"shots": [[0, float("nan")]]},
    ],
)  # fmt: skip
def test_what_is_no_part_of_a_clip_is_refused(facts: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        case(**facts)


def test_a_template_tells_its_size_times_and_cuts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REFRACT_STATE", str(tmp_path / "state"))
    video = np.full((40, 48, 64, 3), 200, np.uint8)
    video[:24, 10:30, 10:30] = (200, 30, 30)
    video[24:] = (20, 60, 120)
    for frame in range(40):  # something moves in both
        video[frame, 30:40, frame : frame + 10] = (20, 200, 30)
    path = tmp_path / "clip.mkv"
    write_frames(path, video, 20.0, "lossless")
    template = template_of(path, None)
    assert (template.width, template.height, template.cuts) == (64, 48, [24])
    assert template.times == pytest.approx([frame / 20 for frame in range(40)], abs=1e-3)
    assert (template.end, template.fps) == pytest.approx((2.0, 20.0), rel=1e-3)
    half = template_of(path, 10.0)
    assert len(half.times) == 20 and half.fps == pytest.approx(10.0)
    assert half.cuts == [12]
    assert find_shots("cup", case(), half, None) == [Shot(0, 12), Shot(12, 8)]
