"""Time and peak memory of the stand-alone edit of a short and a long template, side by side.

python -m benchmarks.long_clip --seconds 1 15

The templates are made here: 1280 x 720, 30 frames a second, with sound and without a cut. The
command is the one that a user types, with the settings of --params and an item store of its own.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import imageio_ffmpeg

from benchmarks.tables import describe_machine, markdown_table
from benchmarks.workspace import ROOT

_PHOTO = ROOT / "data" / "products" / "red-mug-to-dotted-blue" / "product.png"


class Measured(NamedTuple):
    """wall_s, cpu_s: seconds. peak_mib: of the largest process at any time."""

    wall_s: float
    cpu_s: float
    peak_mib: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, nargs="+", default=[1.0, 15.0])
    parser.add_argument("--width", type=int, default=1280)
    parser.add_argument("--height", type=int, default=720)
    parser.add_argument("--fps", type=int, default=30)
    parser.add_argument("--params", type=Path, default=ROOT / "params.yaml")
    options = parser.parse_args()
    rows = []
    for seconds in options.seconds:
        with tempfile.TemporaryDirectory(prefix="refract-benchmark-") as folder:
            template = Path(folder, "template.mp4")
            make_template(template, seconds, options.width, options.height, options.fps)
            done = edit(template, Path(folder), options.params)
        rows.append([f"{seconds:g} s", done.wall_s, done.cpu_s, round(done.peak_mib)])
    print(
        f"{describe_machine('cpu', 'float32')}; {options.width} x {options.height}, "
        f"{options.fps} frames a second, with sound\n"
    )
    print(markdown_table(["template", "wall s", "CPU s", "peak memory MiB"], rows))


def make_template(path: Path, seconds: float, width: int, height: int, fps: int) -> None:
    """A moving test picture with a tone, as H.264 and AAC."""
    picture = f"testsrc2=size={width}x{height}:rate={fps}:duration={seconds}"
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-y", "-f", "lavfi", "-i", picture]
    command += ["-f", "lavfi", "-i", f"sine=frequency=330:duration={seconds}"]
    command += ["-c:v", "libx264", "-preset", "veryfast", "-pix_fmt", "yuv420p", "-c:a", "aac"]
    subprocess.run([*command, str(path)], check=True)


def edit(template: Path, folder: Path, params: Path) -> Measured:
    """Run the stand-alone command on a template, from the start of Python on."""
    command = [sys.executable, "-m", "stages.flowalign_edit", "--params", str(params)]
    command += ["--video", str(template), "--target-image", str(_PHOTO), "--shots", "none"]
    command += ["--source-prompt", "a red plain mug sliding left on beige wood"]
    command += ["--target-prompt", "a mug sliding left on beige wood"]
    command += ["--output", str(folder / "one")]
    before = time.perf_counter()
    child = subprocess.Popen(command, cwd=ROOT, env=_environment(folder))
    _, status, usage = os.wait4(child.pid, 0)  # of it and of those that it waited for
    if status != 0:
        raise RuntimeError(f"the command ended with status {status}")
    return Measured(
        time.perf_counter() - before, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024
    )


def _environment(folder: Path) -> dict[str, str]:
    paths = f"{ROOT / 'src'}{os.pathsep}{ROOT}"
    return os.environ | {"REFRACT_STATE": str(folder / "state"), "PYTHONPATH": paths}


if __name__ == "__main__":
    main()
