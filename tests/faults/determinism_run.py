"""The first stages on tiny models, in the folder `run` below the working folder.

python -m tests.faults.determinism_run COUNT

Models, data and settings are made anew each time, by relative names, as in a clone of its own.
"""

import importlib
import os
import sys
from pathlib import Path

from backbones.publish import write_manifest
from tests.tiny.hub import write_fill_hub, write_wan_hub
from tests.tiny.world import STAGES, full_world

FOLDER = Path("run")


def main() -> None:
    stages = STAGES[: int(sys.argv[1])]
    FOLDER.mkdir()
    os.chdir(FOLDER)
    os.environ["REFRACT_STATE"] = "state"
    write_fill_hub(Path("fill"))
    write_wan_hub(Path("wan"))
    world = full_world(Path(), "fill", "wan")
    for folder in ("fill", "wan", "clip"):
        write_manifest(Path(folder))  # else a folder is known by the times of its files
    for key in ("infrared_model.dtype", "video_model.dtype", "ir_adapter.precision"):
        world.set(key, '"float32"')
    captions = world.path("scenes/metadata.csv")
    text = captions.read_text(encoding="utf-8")
    captions.write_text(text.replace("photo", "photo – façade 夜"), encoding="utf-8")
    for stage in stages:
        sys.argv = [stage, *world.arguments(stage)]
        importlib.import_module(f"stages.{stage}").main()


if __name__ == "__main__":
    main()
