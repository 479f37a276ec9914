"""Pictures and clips of the page: encoded for every browser, named by their content.

A file's name is the digest of its bytes, so nothing is stored twice and no text of a user's gets
into a name.
"""

import hashlib
import io
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from refract.media.image_reading import read_rgb
from refract.media.video_io import read_clip
from refract.media.webm import write_webm
from refract.pipeline.import_closure import closure
from refract.pipeline.item_store import ItemStore, hash_file, state_root

MEDIA = "media"  # folder beside the page
LEAST_SIDE_PX = 192  # smaller clips are enlarged by a whole factor: VP9 halves the colours' grid
_NAME_DIGITS = 20
_CLIP_FILE = "clip.webm"


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

        Raises InputError: the file is missing or no picture.
        """
        image = Image.fromarray(read_rgb(path))
        image.thumbnail((most_px, most_px), Image.Resampling.LANCZOS)
        return self.picture(np.asarray(image))

    def clip(self, path: Path, short_side: int) -> str:
        """A lossless clip as WebM; equal files are encoded once.

        short_side: of its frames, in pixels.

        Raises InputError: the file is missing or no clip.
        """
        digest = hash_file(path)
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
        clip = read_clip(path)
        with self._encodings.create(key) as folder:
            write_webm(folder / _CLIP_FILE, clip, "quick", enlarge=factor)
        return (self._encodings.folder / key / _CLIP_FILE).read_bytes()

    def _store(self, content: bytes, suffix: str) -> str:
        name = f"{MEDIA}/{hashlib.sha256(content).hexdigest()[:_NAME_DIGITS]}.{suffix}"
        target = self.page / name
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
        return name
