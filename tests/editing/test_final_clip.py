"""The deliverable against its template: what may not differ, and what must."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from refract.base.errors import InputError
from refract.editing.deliver.composing import to_planes
from refract.editing.deliver.final_clip import read_weights, write_final
from refract.editing.deliver.outputs import FINAL_CLIP, REGION_CLIP
from refract.editing.deliver.replaced_region import EditedShot
from refract.editing.deliver.soundtrack import reencoded_sound, sound_digests
from refract.media.clip_facts import clip_facts
from refract.media.video_io import fit_frame, read_frames, write_frames
from refract.params.deliver import Deliver
from tests.tiny.clips import ffmpeg

PICTURE = ("-f", "lavfi", "-i", "testsrc2=s=96x64:r=24:d=1")
SOUND = ("-f", "lavfi", "-i", "sine=440:d=1.1:r=44100")
H264 = ("-c:v", "libx264", "-pix_fmt", "yuv420p")
SETTINGS = Deliver(final=True, composite=True, feather=0.03, quality=12)
EXACT = SETTINGS.model_copy(update={"quality": 0})  # x264 then loses nothing
FIRST, COUNT = 6, 8
RED = (200, 40, 40)
BOX = (slice(12, 24), slice(20, 36))  # rows and columns of what is new, at the edit's size

TEMPLATES = {
    "wide": ("mp4", [*PICTURE, *SOUND, *H264, "-c:a", "aac"]),
    "portrait": (
        "mp4", [*PICTURE, *SOUND, "-vf", "crop=36:64", *H264, "-c:a", "libmp3lame", "-ac", "1"],
    ),
    "variable": (
        "mkv", [*PICTURE, *SOUND, "-vf", "select='not(eq(mod(n,5),2))'", "-fps_mode", "vfr",
                *H264, "-c:a", "libopus"],
    ),
    "sound_first": ("mp4", ["-itsoffset", "0.3", *PICTURE, *SOUND, *H264, "-c:a", "aac"]),
    "sound_later": ("mov", [*PICTURE, "-itsoffset", "0.3", *SOUND, *H264, "-c:a", "aac"]),
    "broadcast": ("ts", [*PICTURE, *SOUND, *H264, "-c:a", "aac"]),
    "silent": ("mp4", [*PICTURE, *H264]),
    "two_sounds": ("mp4", [*PICTURE, *SOUND, *SOUND, "-map", "0", "-map", "1", "-map", "2", *H264]),
}  # fmt: skip


def _template(folder: Path, name: str = "wide") -> Path:
    suffix, arguments = TEMPLATES[name]
    return ffmpeg(folder / f"template.{suffix}", *arguments)


def _shot(
    folder: Path, template: Path, first: int = FIRST, size: tuple[int, int] = (64, 48)
) -> EditedShot:
    """An edit that paints a red box and makes a little noise everywhere else."""
    noise = np.random.default_rng(0)
    frames = read_frames(template, first=first, count=COUNT)
    sources = [fit_frame(frame.pixels, *size) for frame in frames]
    edits = []
    for source in sources:
        edit = (source + noise.normal(0, 1, source.shape)).clip(0, 255).astype(np.uint8)
        edit[BOX] = RED
        edits.append(edit)
    shot = EditedShot(first, folder / f"source{first}.mkv", folder / f"edit{first}.mkv")
    write_frames(shot.source, sources, 24, "lossless")
    write_frames(shot.edit, edits, 24, "lossless")
    return shot


def _planes(path: Path) -> list[np.ndarray]:
    return [frame.pixels for frame in read_frames(path, layout="yuv")]


def _untouched(weight: np.ndarray) -> np.ndarray:
    """The samples of the three planes of which no pixel shows the edit."""
    colour = weight.reshape(32, 2, 48, 2).max((1, 3)).ravel()
    return np.concatenate([weight.ravel(), colour, colour]).reshape(96, 96) == 0


def _times(path: Path) -> list[Fraction]:
    return [frame.time for frame in read_frames(path)]


@pytest.mark.parametrize("name", TEMPLATES)
def test_size_frames_times_length_and_sound_are_the_templates(name: str, tmp_path: Path) -> None:
    template = _template(tmp_path, name)
    write_final(tmp_path, template, [_shot(tmp_path, template, size=(32, 48))], SETTINGS)
    final = tmp_path / FINAL_CLIP
    given, made = clip_facts(template), clip_facts(final)
    assert (made.width, made.height, made.frames) == (given.width, given.height, given.frames)
    assert made.duration == pytest.approx(given.duration, abs=1e-4)
    assert _times(final) == pytest.approx(_times(template), abs=1e-4)
    assert sound_digests(final) == sound_digests(template)
    assert len(sound_digests(final)) == {"silent": 0, "two_sounds": 2}.get(name, 1)
    assert reencoded_sound(template) == []
    assert _sound_starts(final) == pytest.approx(_sound_starts(template), abs=1e-3)


def _sound_starts(path: Path) -> list[Fraction]:
    with av.open(path) as container:
        start = Fraction(container.start_time or 0, av.time_base)
        return [
            (sound.start_time or 0) * (sound.time_base or Fraction(1)) - start
            for sound in container.streams.audio
        ]


def test_any_player_reads_it_from_the_start(tmp_path: Path) -> None:
    template = _template(tmp_path)
    write_final(tmp_path, template, [], SETTINGS)
    content = (tmp_path / FINAL_CLIP).read_bytes()
    assert 0 < content.index(b"moov") < content.index(b"mdat")
    with av.open(tmp_path / FINAL_CLIP) as container:
        context = container.streams.video[0].codec_context
        assert (context.name, context.pix_fmt) == ("h264", "yuv420p")
        tags = (context.color_primaries, context.color_trc, context.colorspace, context.color_range)
        assert tags == (1, 1, 1, 1)  # BT.709 three times, limited range
        frame = next(container.decode(video=0))
        assert frame.rotation == 0
    again = tmp_path / "again"
    again.mkdir()
    write_final(again, template, [], SETTINGS)
    assert (again / FINAL_CLIP).read_bytes() == content


def test_outside_the_region_stand_the_templates_own_samples(tmp_path: Path) -> None:
    template = _template(tmp_path)
    shot = _shot(tmp_path, template)
    write_final(tmp_path, template, [shot], EXACT)
    weights = list(read_weights(tmp_path / REGION_CLIP))
    asked = range(FIRST, FIRST + COUNT)
    assert [place for place, weight in enumerate(weights) if weight.any()] == list(asked)
    red = to_planes(np.full((2, 2, 3), RED, np.uint8)).ravel()[[0, 4, 5]]
    planes = zip(_planes(template), _planes(tmp_path / FINAL_CLIP), strict=True)
    for weight, (given, made) in zip(weights, planes, strict=True):
        assert (made == given)[_untouched(weight)].all()
        if weight.any():  # the edit's box, 64 x 48 of 96 x 64, is scaled by 4/3 from column 5
            inner = made[20:28, 40:48]
            assert np.abs(inner.astype(int) - red[0]).max() <= 1
            assert weight[16:32, 36:52].min() == 255
            assert (weight > 0).mean() < 0.35


def test_at_the_quality_of_the_settings_the_rest_is_near(tmp_path: Path) -> None:
    template = _template(tmp_path)
    write_final(tmp_path, template, [_shot(tmp_path, template)], SETTINGS)
    planes = zip(_planes(template), _planes(tmp_path / FINAL_CLIP), strict=True)
    errors = [
        (made.astype(float) - given)[_untouched(weight)]
        for weight, (given, made) in zip(read_weights(tmp_path / REGION_CLIP), planes, strict=True)
    ]
    assert 10 * np.log10(255**2 / (np.concatenate(errors) ** 2).mean()) > 45


def _region(tmp_path: Path, settings: Deliver, mask: np.ndarray | None = None) -> np.ndarray:
    """The weight of the first edited frame."""
    template = _template(tmp_path)
    drawn = None
    if mask is not None:
        drawn = tmp_path / "mask.png"
        Image.fromarray(mask).save(drawn)
    shot = _shot(tmp_path, template)
    write_final(tmp_path, template, [shot], settings, region_mask=drawn)
    return list(read_weights(tmp_path / REGION_CLIP))[FIRST]


def test_the_users_region_is_grown_and_softened(tmp_path: Path) -> None:
    mask = np.zeros((64, 96), bool)
    mask[30:34, 40:44] = True
    weight = _region(tmp_path, EXACT.model_copy(update={"feather": 0.125}), mask)
    assert (weight[22:42, 40:44] == 255).all()  # 8 px: an eighth of the shorter side
    assert (np.diff(weight[33:52, 42].astype(int)) <= 0).all()
    assert 100 < weight[33 + 12, 42] < 155  # half way down
    assert weight[33 + 17, 42] == 0


def test_without_composite_the_whole_edit_shows(tmp_path: Path) -> None:
    """64 x 48 covers 85.3 of 96 columns: it fades where it was cut off, not at the frame's edge."""
    weight = _region(tmp_path, EXACT.model_copy(update={"composite": False}))
    assert (weight[:, 10:86] == 255).all()
    assert (weight[:, [0, 4, 91, 95]] == 0).all()


def test_what_is_cut_short_leaves_nothing(tmp_path: Path) -> None:
    template = _template(tmp_path)
    shot, frames = _shot(tmp_path, template), []

    def stop() -> None:
        frames.append(1)
        if len(frames) == 10:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_final(tmp_path / "out", template, [shot], SETTINGS, on_frame=stop)
    assert list((tmp_path / "out").iterdir()) == []
    with pytest.raises(InputError, match="no frame 24"):
        write_final(tmp_path / "out", template, [shot._replace(first=17)], SETTINGS)


def test_sound_that_mp4_does_not_carry_becomes_aac_and_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    template = ffmpeg(tmp_path / "camera.mov", *PICTURE, *SOUND, *H264, "-c:a", "pcm_s16le")
    write_final(tmp_path, template, [], SETTINGS)
    assert "pcm_s16le is re-encoded as aac" in caplog.text
    assert reencoded_sound(template) == ["sound pcm_s16le re-encoded as aac"]
    given, made = _tone(template), _tone(tmp_path / FINAL_CLIP)
    assert made[0] == "aac" and made[1] == pytest.approx(440, abs=2)
    assert made[2] == pytest.approx(given[2], abs=0.03)


def _tone(path: Path) -> tuple[str, float, float]:
    """Codec, loudest frequency (Hz) and length (s) of a file's sound."""
    with av.open(path) as container:
        stream = container.streams.audio[0]
        frames = [frame.to_ndarray() for frame in container.decode(stream)]
        wave = np.concatenate([frame.reshape(-1) for frame in frames]).astype(float)
        rate = stream.codec_context.sample_rate
        loudest = np.abs(np.fft.rfft(wave)).argmax() * rate / len(wave)
        return stream.codec_context.name, loudest, len(wave) / rate


def test_frames_may_be_of_another_rate_than_the_templates(tmp_path: Path) -> None:
    template = _template(tmp_path)
    write_final(tmp_path, template, [], SETTINGS, fps=12.0)
    facts = clip_facts(tmp_path / FINAL_CLIP)
    assert (facts.fps, facts.frames, facts.duration) == (12.0, 12, 1.0)
