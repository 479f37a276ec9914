"""What a template is before its edit: its size, when each of its frames is shown, where it cuts."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from refract.base.errors import InputError
from refract.media.clip_facts import clip_facts, open_clip
from refract.media.video_io import TimedFrame, read_frames
from refract.pipeline.import_closure import closure
from refract.pipeline.item_store import ItemStore, hash_file, state_root

_FILE = "template.json"
_DETECTED_PX = 256  # longer side of what the cut detector sees
_TELLING = ("mov", "matroska", "avi", "flv", "asf")  # formats whose header has the length
_LEAST_MISSING_S = 0.5  # less is how containers round
_SHORTEST_S = 0.6  # of a shot, as PySceneDetect's own command has it


class Template(NamedTuple):
    """A clip to edit, frames counted at the case's rate.

    width, height: as it is shown. times: second at which each frame begins, counted from the
    clip's start. end: of the last frame. cuts: frames that begin another shot, rising. missing: s
    that a file which was cut off lacks of what its header tells, 0 for a whole one.
    """

    width: int
    height: int
    times: list[float]
    end: float
    cuts: list[int]
    missing: float = 0.0

    @property
    def fps(self) -> float:
        """Mean rate of its frames, 1/s."""
        return len(self.times) / (self.end - self.times[0])


def template_of(path: Path, fps: float | None) -> Template:
    """The facts of a template, which are read off all of its frames once.

    fps: the case's rate; None for the clip's own.
    Raises InputError for a clip that cannot be decoded.
    """
    try:
        digest = hash_file(path)
    except InputError as error:
        raise InputError(f"video {error}") from error
    store = ItemStore(state_root(), "templates")
    key = store.key(params={"fps": fps}, inputs={"video": digest}, code=closure(__name__))
    slot = store.get_or_make(key, lambda folder: _write(folder / _FILE, _read(path, fps)))
    return Template(**json.loads((slot / _FILE).read_text()))


def _write(path: Path, template: Template) -> None:
    path.write_text(json.dumps(template._asdict()))


def _read(path: Path, fps: float | None) -> Template:
    facts = clip_facts(path)
    times: list[float] = []

    def shown() -> Iterator[NDArray[np.uint8]]:
        for frame in read_frames(path, fps=fps):
            times.append(float(frame.time))
            yield _reduced(frame)

    cuts = _find_cuts(shown(), fps or facts.fps)
    end = facts.duration if fps is None else times[-1] + 1 / fps
    return Template(facts.width, facts.height, times, end, cuts, _missing(path))


def _missing(path: Path) -> float:
    """Seconds between the last packet of any stream and where the header has the end."""
    with open_clip(path) as container:
        if not container.format.name.startswith(_TELLING) or container.duration is None:
            return 0.0
        start = container.start_time or 0
        told = (container.duration + start) / 1e6
        for stream in container.streams.video:  # AVI's own length is of what is there
            if stream.average_rate:  # a cover picture has none
                told = max(told, float(stream.frames / stream.average_rate))
        reached = 0.0
        for packet in container.demux():
            time = packet.dts if packet.pts is None else packet.pts  # as `clip_facts` has it
            if time is not None and packet.time_base is not None:
                until = (time + (packet.duration or 0)) * packet.time_base
                reached = max(reached, float(until))
        missing = told - reached
    return missing if missing > _LEAST_MISSING_S else 0.0


def _reduced(frame: TimedFrame) -> NDArray[np.uint8]:
    """The picture in blue, green, red, as the detector takes it."""
    import cv2  # here and below: a template known before needs neither

    height, width = frame.pixels.shape[:2]
    scale = min(1.0, _DETECTED_PX / max(height, width))
    wanted = (max(1, round(width * scale)), max(1, round(height * scale)))
    pixels = np.ascontiguousarray(frame.pixels[..., ::-1])
    return np.asarray(cv2.resize(pixels, wanted, interpolation=cv2.INTER_AREA), np.uint8)


def _find_cuts(frames: Iterator[NDArray[np.uint8]], fps: float) -> list[int]:
    """Frames that begin another shot, by PySceneDetect's detector that allows for fast motion."""
    from scenedetect import AdaptiveDetector, FrameTimecode

    detector = AdaptiveDetector(min_scene_len=max(1, round(_SHORTEST_S * fps)))
    found: list[FrameTimecode] = []
    place = FrameTimecode(0, fps)
    for number, pixels in enumerate(frames):
        place = FrameTimecode(number, fps)
        found += detector.process_frame(place, pixels)
    found += detector.post_process(place)
    return sorted({cut.frame_num for cut in found} - {0})
