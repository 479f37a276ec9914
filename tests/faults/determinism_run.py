"""The first stages on tiny models, in the folder `run` below the working folder.

python -m tests.faults.determinism_run COUNT

Models, data and settings are made anew each time, by relative names, as in a clone of its own.
"""

import importlib
import os
import sys
from pathlib import Path

from backbones.publish import write_manifest
from tests.full.full_run import STAGES, FullRun
from tests.tiny.hub import write_fill_hub, write_wan_hub

FOLDER = Path("run")


def main() -> None:
    stages = STAGES[: int(sys.argv[1])]
    os.environ["REFRACT_STATE"] = str(FOLDER / "state")
    models = {"fill": write_fill_hub(FOLDER / "fill"), "wan": write_wan_hub(FOLDER / "wan")}
    run = FullRun(FOLDER, **{name: str(folder) for name, folder in models.items()})
    for folder in (*models.values(), FOLDER / "clip"):
        write_manifest(folder)  # else a folder is known by the times of its files
    run.change(
        {
            "infrared_model": {"dtype": "float32"},
            "video_model": {"dtype": "float32"},
            "ir_adapter": {"precision": "float32"},
        }
    )
    captions = FOLDER / "scenes" / "metadata.csv"
    text = captions.read_text(encoding="utf-8")
    captions.write_text(text.replace("photo", "photo – façade 夜"), encoding="utf-8")
    for stage in stages:
        sys.argv = [stage, *run.arguments(stage)]
        importlib.import_module(f"stages.{stage}").main()


if __name__ == "__main__":
    main()
