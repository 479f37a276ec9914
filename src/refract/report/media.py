"""Pictures and clips of the page: encoded for every browser, named by their content.

A file's name is the digest of its bytes, so nothing is stored twice and no text of a user's gets
into a name. Clips are WebM with VP9, from one thread with bit-exact switches: equal in, equal out.
"""

import hashlib
import io
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import imageio_ffmpeg
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from refract.base.errors import InputError
from refract.media.image_reading import read_rgb
from refract.media.video_io import input_name, input_switches
from refract.pipeline.import_closure import closure
from refract.pipeline.item_store import ItemStore, state_root

MEDIA = "media"  # folder beside the page
LEAST_SIDE_PX = 192  # smaller clips are enlarged by a whole factor: VP9 halves the colours' grid
GROUP_FRAMES = 4  # a key frame so often that a seek decodes few frames
_NAME_DIGITS = 20
_CLIP_FILE = "clip.webm"

_VP9 = [
    "-an", "-c:v", "libvpx-vp9", "-pix_fmt", "yuv420p", "-crf", "16", "-b:v", "0",
    "-deadline", "realtime", "-cpu-used", "8", "-row-mt", "0", "-lag-in-frames", "0",
    "-auto-alt-ref", "0", "-g", str(GROUP_FRAMES),
    # Untagged colours are read as BT.601 by one browser and as BT.709 by the next.
    "-colorspace", "bt709", "-color_primaries", "bt709", "-color_trc", "bt709",
    "-color_range", "tv",
    "-fflags", "+bitexact", "-flags:v", "+bitexact", "-threads", "1", "-map_metadata", "-1",
]  # fmt: skip


@dataclass
class MediaFolder:
    """Writes into `<page>/media`; each method returns the address relative to the page."""

    page: Path
    _clips: dict[tuple[str, int], str] = field(default_factory=dict)
    _encodings: ItemStore = field(default_factory=lambda: ItemStore(state_root(), "report"))

    def picture(self, pixels: NDArray[np.uint8]) -> str:
        """A picture [H, W] or [H, W, 3] as PNG."""
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, "PNG", optimize=False)
        return self._store(buffer.getvalue(), "png")

    def picture_file(self, path: Path, most_px: int) -> str:
        """A picture file as PNG, its longer side at most `most_px`.

        Raises:
            InputError: the file is missing or no picture.
        """
        image = Image.fromarray(read_rgb(path))
        image.thumbnail((most_px, most_px), Image.Resampling.LANCZOS)
        return self.picture(np.asarray(image))

    def clip(self, path: Path, short_side: int) -> str:
        """A lossless clip as WebM; equal files are encoded once.

        short_side: of its frames, in pixels.

        Raises:
            InputError: the file is missing or no clip.
        """
        if not path.is_file():
            raise InputError(f"video {path}: no such file")
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        factor = max(1, -(-LEAST_SIDE_PX // short_side))
        if (digest, factor) not in self._clips:
            self._clips[digest, factor] = self._store(self._encoded(path, digest, factor), "webm")
        return self._clips[digest, factor]

    def _encoded(self, path: Path, digest: str, factor: int) -> bytes:
        """From the item store where an earlier page had the clip: most of a sweep's are alike."""
        key = self._encodings.key(
            params={"factor": factor}, inputs={"clip": digest}, code=closure(__name__)
        )
        slot = self._encodings.get(key)
        if slot is not None:
            return (slot / _CLIP_FILE).read_bytes()
        content = _encode(path, factor)
        with self._encodings.create(key) as folder:
            (folder / _CLIP_FILE).write_bytes(content)
        return content

    def _store(self, content: bytes, suffix: str) -> str:
        name = f"{MEDIA}/{hashlib.sha256(content).hexdigest()[:_NAME_DIGITS]}.{suffix}"
        target = self.page / name
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
        return name


def _encode(path: Path, factor: int) -> bytes:
    """The clip as WebM, `factor` times as large by repeating pixels."""
    enlarge = (
        f"scale=iw*{factor}:ih*{factor}:flags=neighbor+accurate_rnd+bitexact:"
        "out_color_matrix=bt709:out_range=tv"
    )
    source = [*input_switches(), "-i", input_name(path), "-map", "0:v:0"]
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-nostdin", "-y", *source]
    command += ["-vf", enlarge, *_VP9, "-f", "webm", "-"]
    done = subprocess.run(command, capture_output=True)
    if done.returncode != 0 or not done.stdout:
        lines = done.stderr.decode(errors="replace").strip().splitlines()
        detail = lines[-1][:160] if lines else "no output"
        raise InputError(f"video {path}: cannot be turned into WebM ({detail})")
    return done.stdout
