"""Settings and data of a run of the full profile on the tiny repositories."""

import csv
import importlib
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from refract.media.video_io import Clip, write_clip
from refract.pipeline.profile import apply_profile, round_trip_yaml
from tests.tiny.clip import write_tiny_clip

ROOT = Path(__file__).parents[2]
PANEL_PX, FRAMES, WIDTH, HEIGHT = 32, 5, 48, 32
STAGES = (
    "prepare_triptychs", "train_ir_adapter", "infer_ir", "extract_ref_banks", "flowalign_edit",
    "evaluate",
)  # fmt: skip

# All that a run here changes of the full profile: where models and data are, sizes, and how long
# things take. Types, layers, samplers, modes, scales, prompt lengths, ... stay the profile's.
SIZES: dict[str, dict[str, Any]] = {
    "prepare_triptychs": {"panel_px": PANEL_PX},
    "ir_adapter": {"steps": 2},  # of 10000
    "infer_ir": {"steps": 2},  # of 28
    "ref_bank": {"infrared_steps": 2},  # of 28
    "flowalign": {  # 50 steps, 49 frames of 832 x 480
        "steps": 4, "frames": FRAMES, "width": WIDTH, "height": HEIGHT, "strength_curve": [0.5],
    },
    "evaluate": {"bootstrap": 100, "sheet_items": 2, "votes": None},
}  # fmt: skip
CASE = {
    "source_prompt": "a red plain mug sliding left on beige wood",
    "target_prompt": "a mug sliding left on beige wood",
}
_PROMPT = "a diptych of the same scene, on the right as infrared thermal photo"
_SPLITS = {"00000D": "train", "00001N": "val", "00002D": "test", "00003N": "test"}


class FullRun:
    """A folder with settings, scenes and a case, and the six stages on them."""

    def __init__(self, folder: Path, fill: str, wan: str) -> None:
        """fill, wan: folders or hub ids of the two models."""
        self.folder, self.out = folder, folder / "out"
        folder.mkdir(parents=True, exist_ok=True)
        self.params, self.cases = folder / "params.yaml", folder / "cases.yaml"
        shutil.copy2(ROOT / "params.yaml", self.params)
        apply_profile(self.params, ROOT / "profiles" / "full.yaml")
        self.change(SIZES)
        self.change(
            {
                "infrared_model": {"path": fill},
                "video_model": {"path": wan},
                "prepare_triptychs": {"source": str(_write_scenes(folder / "scenes"))},
                "evaluate": {"clip_model": str(write_tiny_clip(folder / "clip"))},
            }
        )
        self._write_case("mug")

    def change(self, changes: Mapping[str, Mapping[str, Any]]) -> None:
        """Set values of sections of the settings; every key must be there."""
        apply_overlay = self.folder / "changes.yaml"
        with apply_overlay.open("w") as file:
            round_trip_yaml().dump({key: dict(values) for key, values in changes.items()}, file)
        apply_profile(self.params, apply_overlay)

    def arguments(self, stage: str) -> list[str]:
        """The command line of a stage, as in dvc.yaml."""
        out, cases = self.out, str(self.cases)
        places: dict[str, dict[str, Any]] = {
            "prepare_triptychs": {"output": out / "triptychs"},
            "train_ir_adapter": {"triptychs": out / "triptychs", "output": out / "ir_adapter"},
            "infer_ir": {
                "triptychs": out / "triptychs", "adapter": out / "ir_adapter",
                "output": out / "infrared",
            },
            "extract_ref_banks": {
                "cases": cases, "adapter": out / "ir_adapter", "triptychs": out / "triptychs",
                "output": out / "ref_banks",
            },
            "flowalign_edit": {
                "cases": cases, "banks": out / "ref_banks", "output": out / "edits",
            },
            "evaluate": {
                "cases": cases, "triptychs": out / "triptychs", "infrared": out / "infrared",
                "banks": out / "ref_banks", "edits": out / "edits", "metrics": out / "metrics",
                "plots": out / "plots", "report": out / "report",
            },
        }  # fmt: skip
        pairs = {"params": self.params, **places[stage]}
        return [text for key, path in pairs.items() for text in (f"--{key}", str(path))]

    def stage(self, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """What `python -m stages.<name>` does, in this process."""
        monkeypatch.setattr("sys.argv", [name, *self.arguments(name)])
        importlib.import_module(f"stages.{name}").main()

    def _write_case(self, name: str) -> None:
        home = self.folder / "products" / name
        frames = np.full((FRAMES, HEIGHT, WIDTH, 3), 150, np.uint8)
        for frame in range(FRAMES):
            frames[frame, 8:24, 4 + 3 * frame : 20 + 3 * frame] = (200, 40, 40)
        write_clip(home / "video.mkv", Clip(frames, 8.0), "lossless")
        photo = np.full((40, 40, 3), 220, np.uint8)
        photo[10:30, 12:28] = (20, 60, 200)
        Image.fromarray(photo).save(home / "product.png")
        facts = {"video": str(home / "video.mkv"), **CASE, "overrides": {}}
        with self.cases.open("w") as file:
            round_trip_yaml().dump({"cases": {name: facts}}, file)


def _write_scenes(folder: Path) -> Path:
    """Four random scenes of the generic layout; the control of shuffled maps needs two to test."""
    random = np.random.default_rng(4)
    with _opened(folder / "metadata.csv") as file:
        rows = csv.writer(file)
        rows.writerow(["file_name", "split", "daytime", "sequence", "caption"])
        for stem, split in _SPLITS.items():
            day = "day" if stem.endswith("D") else "night"
            rows.writerow([f"{stem}.png", split, day, stem, _PROMPT])
            for kind in ("visible", "infrared", "semantic"):
                pixels = random.integers(0, 256, (PANEL_PX, PANEL_PX, 3), np.uint8)
                if kind == "infrared":
                    pixels[...] = pixels[..., :1]  # gray
                (folder / kind).mkdir(exist_ok=True)
                Image.fromarray(pixels).save(folder / kind / f"{stem}.png")
    return folder


def _opened(path: Path) -> Any:
    path.parent.mkdir(parents=True)
    return path.open("w", newline="")
