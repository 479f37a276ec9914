"""Clips that are none, and clips of kinds that an editor may well be given."""

import random
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tests.faults.malformed_case import Case, Handled, Refused, refused
from tests.faults.malformed_images import encoded
from tests.faults.malformed_picture_kinds import quarters
from tests.tiny.clips import ffmpeg
from tests.tiny.world import CASE, CLIP, FRAMES, HEIGHT, WIDTH, World, moving_square

BROKEN = "clips: damaged, or none at all"
ODD = "clips: rates, sizes, alpha, rotation"
_RESULT = f"out/edits/{CASE}/reference.mkv"


def broken_cases(random_: random.Random) -> Iterator[Case]:
    """What is no clip, as source of an edit and as result to be measured."""
    for number, (fault, write) in enumerate(_BROKEN.items()):
        for file, stage in ((CLIP, "flowalign_edit"), (_RESULT, "evaluate")):
            if file == CLIP or number % 2:
                make = partial(_replace, file=file, write=partial(write, random_=random_))
                expected: Refused | Handled = refused(file, allowed=_TOLD[fault])
                if fault in _SHORT:
                    expected = (
                        refused(f"out/edits/{CASE}", "reference", allowed="flowalign_edit again")
                        if file == _RESULT
                        else Handled(partial(_has_frames, count=_SHORT[fault]))
                    )
                yield Case(BROKEN, f"{Path(file).name}: {fault}", stage, make, expected)
    yield Case(BROKEN, "reference.mkv: another size than the source's", "evaluate",
               partial(_replace, file=_RESULT, write=_of_size(64, 64)),
               refused(f"out/edits/{CASE}", allowed="but source is"))  # fmt: skip
    yield Case(BROKEN, "plain.mkv: missing", "evaluate",
               lambda world: world.remove(f"out/edits/{CASE}/plain.mkv"),
               refused("plain.mkv", allowed="must write it"))  # fmt: skip
    yield Case(BROKEN, "curve: a clip without a strength in its name", "evaluate",
               lambda world: world.put(f"out/edits/{CASE}/curve/half.mkv", b""),
               refused("half.mkv", allowed="such as 0.3.mkv"))  # fmt: skip
    yield Case(BROKEN, "video.mkv: of a frame for infer_ir", "extract_ref_banks", _no_first_frame,
               refused(CLIP, allowed="must be one file"))  # fmt: skip


def _replace(world: World, file: str, write: Callable[[Path], object]) -> None:
    write(world.put(file, b""))


def _no_first_frame(world: World) -> None:
    world.case("target_image", '"infer_ir"')
    world.put(CLIP, b"no clip")


def _of_size(height: int, width: int) -> Callable[[Path], None]:
    def write(path: Path, random_: random.Random | None = None) -> None:
        ffmpeg(path, "-c:v", "ffv1", frames=moving_square(FRAMES, height, width))

    return write


def _bytes(content: bytes) -> Callable[..., None]:
    def write(path: Path, random_: random.Random) -> None:
        path.write_bytes(content)

    return write


def _truncated(path: Path, random_: random.Random) -> None:
    _of_size(HEIGHT, WIDTH)(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * random_.uniform(0.2, 0.5))])


def _mp4_without_index(path: Path, random_: random.Random) -> None:
    """An MP4 that was cut off: its index stands at the end."""
    ffmpeg(path, "-c:v", "libx264", "-f", "mp4", frames=moving_square(20))
    whole = path.read_bytes()
    path.write_bytes(whole[: whole.index(b"moov") - 4])


def _audio_only(path: Path, random_: random.Random) -> None:
    ffmpeg(path, "-f", "lavfi", "-i", "sine=d=1", "-c:a", "flac")


def _subtitles_only(path: Path, random_: random.Random) -> None:
    path.write_bytes(b"1\n00:00:00,000 --> 00:00:01,000\nhello\n")


def _one_frame(path: Path, random_: random.Random) -> None:
    ffmpeg(path, "-c:v", "ffv1", frames=moving_square(1))


def _two_frames(path: Path, random_: random.Random) -> None:
    ffmpeg(path, "-c:v", "ffv1", frames=moving_square(2))


_BROKEN: dict[str, Callable[..., None]] = {
    "0 bytes": _bytes(b""),
    "truncated": _truncated,
    "an MP4 without its index": _mp4_without_index,
    "sound alone": _audio_only,
    "subtitles alone": _subtitles_only,
    "one frame": _one_frame,
    "two frames": _two_frames,
    "text": _bytes(b"this is no clip\n" * 99),
    "a PNG": _bytes(encoded(quarters())),
    "a JPEG": _bytes(encoded(quarters(), "JPEG")),
    "an HLS playlist": _bytes(b"#EXTM3U\n#EXTINF:1,\nvideo.ts\n#EXT-X-ENDLIST\n"),
    "a list of files to join": _bytes(b"ffconcat version 1.0\nfile other.mkv\n"),
    "the first bytes of an MKV": _bytes(b"\x1aE\xdf\xa3" + bytes(40)),
    "the first bytes of an MP4": _bytes(b"\0\0\0\x18ftypmp42" + bytes(40)),
    "random bytes": lambda path, random_: path.write_bytes(random_.randbytes(5000)),
}
# A cut clip may still have a header, and some of its frames.
_TOLD = {fault: "must be one file" for fault in _BROKEN} | {"truncated": ""}
_SHORT = {"one frame": 1, "two frames": 2}  # whole clips, which are edited as they are


def _has_frames(world: World, count: int) -> None:
    """The edit is as long as its clip."""
    from refract.media.video_io import read_clip

    assert len(read_clip(world.out("edits") / CASE / "source.mkv").frames) == count


class _Clip(NamedTuple):
    """A sound clip: how it is written, and the frames [F, H, W, 3] that are to be read."""

    write: Callable[[Path], None]
    expected: np.ndarray
    tolerance: int = 0


def odd_cases(_: random.Random) -> Iterator[Case]:
    """Each by the edit's source.mkv: the clip as it was read, fitted to the frame."""
    for fault, clip in _odd_clips().items():
        make = partial(_replace, file=CLIP, write=clip.write)
        check = partial(_source_is, expected=clip.expected, tolerance=clip.tolerance)
        yield Case(ODD, fault, "flowalign_edit", make, Handled(check))


def _odd_clips() -> dict[str, _Clip]:
    from refract.media.video_io import fit_frame

    square, high = moving_square(), moving_square(FRAMES, 120, 60)
    fitted = np.stack([fit_frame(frame, HEIGHT, WIDTH) for frame in high])  # portrait stays so
    odd = moving_square(FRAMES, 33, 49)
    even = odd[:, :32, :48]
    even_fitted = np.stack([fit_frame(frame, WIDTH, HEIGHT) for frame in even])
    clear = np.concatenate([square, np.full((*square.shape[:3], 1), 90, np.uint8)], -1)
    turned = np.ascontiguousarray(np.rot90(square, axes=(1, 2)))  # counterclockwise
    lossless = ("-c:v", "ffv1", "-pix_fmt", "gbrp")
    h264 = ("-c:v", "libx264", "-qp", "0", "-pix_fmt", "yuv444p")
    return {
        "portrait: in its own aspect": _Clip(_writer(high, *lossless), fitted),
        "33 x 49: even, covered and cropped": _Clip(_writer(odd, *lossless), even_fitted),
        "alpha: dropped": _Clip(_writer(clear, "-c:v", "ffv1", "-pix_fmt", "bgra"), square),
        "longer than the edit: its first frames": _Clip(_writer(moving_square(40), *lossless),
        square),
        "MP4 by name of MKV": _Clip(_writer(square, *h264, "-f", "mp4"), square, 3),
        "AVI by name of MKV": _Clip(_writer(square, "-c:v", "rawvideo", "-pix_fmt", "bgr24", "-f",
        "avi"), square),
        "with sound": _Clip(_with_sound, square),
        "a rotation of 90 degrees: as a player shows it": _Clip(
            _rotated(turned, *h264), square, 3),
        "a variable rate: each frame once": _Clip(_variable(square), square),
        "gray": _Clip(_writer(square, "-c:v", "ffv1", "-pix_fmt", "gray"), _gray(square), 3),
        "10 bits": _Clip(_writer(square, "-c:v", "ffv1", "-pix_fmt", "gbrp10le"), square, 1),
    }  # fmt: skip


def _writer(frames: np.ndarray, *arguments: str) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        ffmpeg(path, *arguments, frames=frames)

    return write


def _gray(frames: np.ndarray) -> np.ndarray:
    luma = np.rint(frames @ np.array([0.299, 0.587, 0.114])).astype(np.uint8)
    return np.repeat(luma[..., None], 3, -1)


def _with_sound(path: Path) -> None:
    ffmpeg(path, "-f", "lavfi", "-i", "sine=d=1", "-c:v", "ffv1", "-pix_fmt", "gbrp", "-c:a",
    "flac",
           frames=moving_square())  # fmt: skip


def _rotated(frames: np.ndarray, *arguments: str) -> Callable[[Path], None]:
    """A clip whose pixels are turned and whose header turns them back, as phones write it."""

    def write(path: Path) -> None:
        plain = path.with_suffix(".plain.mp4")
        ffmpeg(plain, *arguments, frames=frames)
        # rot90 turned counterclockwise, so the player has to turn clockwise: -90 in ffmpeg's sense
        ffmpeg(path, "-display_rotation", "-90", "-i", str(plain), "-c", "copy", "-f", "mp4")
        plain.unlink()

    return write


def _variable(frames: np.ndarray) -> Callable[[Path], None]:
    """Frames at 0, 2, 4, 5 and 6 eighths of a second."""

    def write(path: Path) -> None:
        ffmpeg(path, "-vf", "setpts='(N+min(N,2))/(8*TB)'", "-fps_mode", "vfr", "-c:v", "ffv1",
               "-pix_fmt", "gbrp", frames=frames)  # fmt: skip

    return write


def _source_is(world: World, expected: np.ndarray, tolerance: int) -> None:
    from refract.media.video_io import read_clip

    frames = read_clip(world.out("edits") / CASE / "source.mkv").frames
    assert frames.shape == expected.shape, f"{frames.shape}, not {expected.shape}"
    far = np.abs(frames.astype(int) - expected.astype(int)).max(axis=(1, 2, 3)).tolist()
    assert max(far) <= tolerance, f"frames differ by {far} levels"
