"""One large input read in a process of its own, and what that took.

python -m tests.faults.resource_inputs clip|picture|bomb|table|settings FOLDER

Prints a JSON list of one [bytes that memory grew by at its peak, milliseconds of a processor].
"""

import gc
import json
import os
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import psutil
from PIL import Image

from refract.base.errors import InputError
from refract.base.yaml_files import read_yaml
from refract.media.image_reading import open_upright, read_rgb
from refract.media.video_io import read_clip
from refract.triptychs.layouts.table import import_table

_FRAMES, _WIDTH, _HEIGHT = 4000, 832, 480


def clip(folder: Path) -> Callable[[], object]:
    """A clip of 4,000 frames (4.8 GB of pixels); 17 are read, as the full profile's frame."""
    path = folder / "long.mp4"
    source = f"testsrc=size={_WIDTH}x{_HEIGHT}:rate=16"
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-f", "lavfi", "-i", source]
    command += ["-frames:v", str(_FRAMES), "-c:v", "libx264", "-preset", "ultrafast", str(path)]
    subprocess.run(command, check=True, capture_output=True)

    def read() -> None:
        frames = read_clip(path, 17, width=_WIDTH, height=_HEIGHT).frames
        assert frames.shape == (17, _HEIGHT, _WIDTH, 3)

    return read


def picture(folder: Path) -> Callable[[], object]:
    """144 million pixels, below the limit at which Pillow refuses."""
    path = folder / "large.png"
    Image.fromarray(np.zeros((12_000, 12_000, 3), np.uint8)).save(path, compress_level=1)
    warnings.simplefilter("ignore", Image.DecompressionBombWarning)
    return lambda: read_rgb(path)


def bomb(folder: Path) -> Callable[[], object]:
    """A small file of 400 million pixels."""
    path = folder / "bomb.png"
    Image.new("1", (20_000, 20_000)).save(path)
    return lambda: _refused(lambda: open_upright(path))


def table(folder: Path) -> Callable[[], object]:
    """A table of scenes that are one picture."""
    Image.new("RGB", (8, 8)).save(folder / "a.png")
    with (folder / "t.csv").open("w") as file:
        file.write("src_img,edited_img\n")
        file.writelines("a.png,a.png\n" for _ in range(50_000))
    return lambda: import_table(folder / "t.csv")


def settings(folder: Path) -> Callable[[], object]:
    path = folder / "params.yaml"
    path.write_text("key: 1\n" * (100_000_000 // 7))
    return lambda: _refused(lambda: read_yaml(path))


def _refused(read: Callable[[], object]) -> None:
    try:
        read()
    except InputError:
        return
    raise RuntimeError("was read, though it is too large")


KINDS = {"clip": clip, "picture": picture, "bomb": bomb, "table": table, "settings": settings}


def main() -> None:
    kind, folder = sys.argv[1], Path(sys.argv[2])
    read = KINDS[kind](folder)
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew from here
    before = _memory("VmRSS")
    with Children() as children:
        start = _cpu_seconds()
        read()
        took = _cpu_seconds() - start
    grown = _memory("VmHWM") - before + children.most
    print(json.dumps([[grown, round(took * 1000)]]))


class Children:
    """The most memory that child processes (ffmpeg) took together, bytes."""

    def __init__(self) -> None:
        self.most = 0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> "Children":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._done.wait(0.01):
            total = 0
            for child in psutil.Process().children(recursive=True):
                with suppress(psutil.NoSuchProcess):
                    total += child.memory_info().rss
            self.most = max(self.most, total)


def _cpu_seconds() -> float:
    """Of this process and the children it has waited for, however busy the machine is."""
    return sum(os.times()[:4])


def _memory(field: str) -> int:
    """A field of /proc/self/status, bytes; unlike getrusage's peak it is of this program alone."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"/proc/self/status has no {field}")


if __name__ == "__main__":
    main()
