"""Clips that lead ffmpeg to other files or the network, and names it would take for more."""

import os
from contextlib import chdir
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from PIL import Image

from refract.base.errors import InputError
from refract.media.video_io import Clip, read_clip, write_clip
from tests.faults.row import Row

_LEVEL = 200  # of the clip that nobody named
# A text that names another clip, by the file names under which ffmpeg would look into it.
_PLAYLISTS = {
    "hls": "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:1,\n{file}\n#EXT-X-ENDLIST\n",
    "hls by address": "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:1,\nfile://{file}\n#EXT-X-ENDLIST\n",
    "concat": "ffconcat version 1.0\nfile plain.mkv\n",
    "concat above": "ffconcat version 1.0\nfile {file}\n",
    "dash": '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011"><BaseURL>{file}'
    "</BaseURL></MPD>",
    "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 9 RTP/AVP 96\n",
    "subtitles": "1\n00:00:00,000 --> 00:00:01,000\n{file}\n",
}
_ENDINGS = ("mp4", "m3u8", "ffconcat", "mpd", "sdp", "mkv", "srt")
_NAMES = (
    "-y.mkv", "-i.mkv", "concat:plain.mkv|plain.mkv", "data:x.mkv", "pipe:0", "file:x.mkv",
    "a%03d.mkv", "subfile,,start,0,end,9,,:x.mkv", "http:x.mkv", "*.mkv", "x;y.mkv", "$(y).mkv",
)  # fmt: skip


def run_clips() -> list[Row]:
    """A loss is a frame of a file that was not named, or a named clip that could not be read."""
    with TemporaryDirectory() as place:
        return [
            _playlists(Path(place, "lists")),
            _names(Path(place, "names")),
            _pattern(Path(place)),
        ]


def _clip(path: Path, level: int, frames: int = 3) -> Path:
    write_clip(path, Clip(np.full((frames, 16, 16, 3), level, np.uint8), 8.0), "lossless")
    return path


def _playlists(folder: Path) -> Row:
    _clip(folder / "plain.mkv", _LEVEL)
    followed = count = 0
    for text in _PLAYLISTS.values():
        for ending in _ENDINGS:
            path = folder / f"clip.{ending}"
            path.write_text(text.format(file=folder / "plain.mkv"))
            try:
                read_clip(path)
                followed += 1
            except InputError:
                pass  # refused, as it should be
            count += 1
    return Row("playlist or other text as a clip", count, "refused in one line", followed)


def _names(folder: Path) -> Row:
    """Clips by names relative to the working folder, as the cases file may hold them."""
    folder.mkdir()
    wrong = 0
    with chdir(folder):
        _clip(folder / "plain.mkv", _LEVEL)
        for number, name in enumerate(_NAMES):
            os.replace(_clip(folder / "new.mkv", number, frames=2), folder / name)
            try:
                frames = read_clip(Path(name)).frames
            except InputError:
                wrong += 1
                continue
            wrong += len(frames) != 2 or bool((frames != number).any())
    return Row("clip whose name is a switch, protocol or pattern of ffmpeg's", len(_NAMES),
               "read as the file of that name", wrong)  # fmt: skip


def _pattern(folder: Path) -> Row:
    """A numbered row of pictures is a clip to ffmpeg; here it is not."""
    for name in ("p001.png", "p%03d.png"):
        Image.new("RGB", (16, 16)).save(folder / name)
    try:
        read_clip(folder / "p%03d.png")
    except InputError:
        return Row("row of pictures as a clip", 1, "refused in one line", 0)
    return Row("row of pictures as a clip", 1, "read", 1)
