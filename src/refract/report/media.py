"""Pictures and clips of the page: encoded for every browser, named by their content.

A file's name is the digest of its bytes, so nothing is stored twice and no text of a user's gets
into a name. What an earlier page had of the same files comes from the item store, undecoded.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from refract.base.files import INFO_NAME, read_json_object
from refract.media.clip_facts import clip_facts
from refract.media.image_reading import read_rgb
from refract.media.video_io import Frames, fit_frame, read_frames
from refract.media.webm import write_webm
from refract.pipeline.device import core_count
from refract.pipeline.import_closure import closure
from refract.pipeline.item_store import ItemStore, hash_file, state_root

MEDIA = "media"  # folder beside the page
MOST_SIDE_PX = 480  # of a clip's shorter side
LEAST_SIDE_PX = 192  # smaller clips are enlarged by a whole factor: VP9 halves the colours' grid
MOST_FRAMES = 120  # of a clip on the page
_NAME_DIGITS = 20
_CLIP_FILE, _STILL_FILE = "clip.webm", "still.png"

Pictures = Mapping[str, NDArray[np.uint8]]  # name -> [H, W] or [H, W, 3]


@dataclass(frozen=True)
class ShownClip:
    """address: relative to the page. still: file of the frame in its middle.

    step: of how many frames one is shown, 1 but for long clips. count, fps: of those shown. width,
    height, duration (s), has_sound: of the clip itself, which is shown without sound.
    """

    address: str
    still: Path
    count: int
    fps: float
    width: int
    height: int
    duration: float
    has_sound: bool
    step: int


@dataclass
class MediaFolder:
    """Writes into `<page>/media`; each method returns addresses relative to the page."""

    page: Path
    _items: ItemStore = field(default_factory=lambda: ItemStore(state_root(), "report"))

    def pictures(
        self,
        files: Mapping[str, Path],
        draw: Callable[[], Pictures],
        module: str,
        **settings: object,
    ) -> dict[str, str]:
        """The address of each picture, as PNG, that `draw`, of `module`, makes of these files.

        Raises InputError: a file cannot be read.
        """

        def write(folder: Path) -> None:
            for name, pixels in draw().items():
                Image.fromarray(pixels).save(folder / f"{name}.png")

        slot = self._items.get_or_make(self._key(files, module, settings), write)
        return {path.stem: self.file(path) for path in sorted(slot.glob("*.png"))}

    def picture(self, path: Path, most_px: int) -> str:
        """A picture file as PNG, its longer side at most `most_px`.

        Raises InputError: the file is missing or no picture.
        """
        draw = partial(_fitted, path, most_px)
        return self.pictures({"picture": path}, draw, __name__, most_px=most_px)["picture"]

    def clips(self, paths: Sequence[Path]) -> dict[Path, ShownClip]:
        """Clips as WebM, encoded side by side where they are new, held frame by frame.

        Large ones are reduced. Of one longer than `MOST_FRAMES` every second frame is shown, or
        every third, and so on, so that a page does not grow with it.

        Raises InputError: a file is missing or no clip.
        """
        with ThreadPoolExecutor(core_count()) as pool:  # they wait for ffmpeg
            return dict(zip(paths, pool.map(self._clip, paths), strict=True))

    def _clip(self, path: Path) -> ShownClip:
        key = self._key({"clip": path}, __name__, {})
        slot = self._items.get_or_make(key, partial(_write_clip, path))
        facts = read_json_object(slot / INFO_NAME)
        return ShownClip(self.file(slot / _CLIP_FILE), slot / _STILL_FILE, **facts)

    def file(self, path: Path) -> str:
        """A file as it is."""
        content = path.read_bytes()
        digest = hashlib.sha256(content).hexdigest()
        name = f"{MEDIA}/{digest[:_NAME_DIGITS]}{path.suffix}"
        target = self.page / name
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
        return name

    def _key(self, files: Mapping[str, Path], module: str, settings: Mapping[str, object]) -> str:
        digests = {name: hash_file(path) for name, path in files.items()}
        return self._items.key(params=settings, inputs=digests, code=closure(module))


def _fitted(path: Path, most_px: int) -> Pictures:
    return {"picture": read_rgb(path, most_px)}


def _write_clip(path: Path, folder: Path) -> None:
    clip = clip_facts(path)
    step = -(-clip.frames // MOST_FRAMES)
    count, fps = -(-clip.frames // step), clip.fps / step
    side = min(clip.height, clip.width)
    reduced = min(1.0, MOST_SIDE_PX / side) / 2
    width, height = (round(whole * reduced) * 2 for whole in (clip.width, clip.height))

    def shown() -> Iterator[Frames]:
        for place, (_, pixels) in enumerate(islice(read_frames(path), None, None, step)):
            fitted = fit_frame(pixels, width, height)
            if place == count // 2:
                Image.fromarray(fitted).save(folder / _STILL_FILE)
            yield fitted

    enlarge = max(1, -(-LEAST_SIDE_PX // side))
    write_webm(folder / _CLIP_FILE, shown(), fps, "quick", enlarge=enlarge)
    facts = {
        "count": count, "fps": fps, "width": clip.width, "height": clip.height,
        "duration": clip.duration, "has_sound": clip.has_sound, "step": step,
    }  # fmt: skip
    (folder / INFO_NAME).write_text(json.dumps(facts))
