"""Data, tiny models and the outputs of one sound run of all stages; and copies to be damaged."""

import json
import os
import resource
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from ruamel.yaml import YAML

from tests.stage_process import Done, ModuleProcess

ROOT = Path(__file__).parents[2]
PANEL_PX, FRAMES, WIDTH, HEIGHT = 32, 5, 48, 32
CASE = "mug"
CLIP, PHOTO = f"products/{CASE}/video.mkv", f"products/{CASE}/product.png"
STAGES = (
    "prepare_triptychs", "train_ir_adapter", "infer_ir", "extract_ref_banks", "flowalign_edit",
    "evaluate",
)  # fmt: skip
ARGUMENTS = {  # but for --params, of every stage
    "prepare_triptychs": {"output": "triptychs"},
    "train_ir_adapter": {"triptychs": "triptychs", "output": "ir_adapter"},
    "infer_ir": {"triptychs": "triptychs", "adapter": "ir_adapter", "output": "infrared"},
    "extract_ref_banks": {
        "adapter": "ir_adapter", "triptychs": "triptychs", "output": "ref_banks",
    },
    "flowalign_edit": {"banks": "ref_banks", "output": "edits"},
    "evaluate": {
        "triptychs": "triptychs", "infrared": "infrared", "banks": "ref_banks", "edits": "edits",
        "metrics": "metrics", "plots": "plots", "report": "report",
    },
}  # fmt: skip
OUTPUTS = {
    stage: [folder for option, folder in options.items() if option == "output"]
    for stage, options in ARGUMENTS.items()
} | {"evaluate": ["metrics", "plots", "report"]}
_READ_CASES = frozenset({"extract_ref_banks", "flowalign_edit", "evaluate"})
SCENES = {"00000D": "train", "00001N": "val", "00002D": "test", "00003N": "test"}
LIMIT_S = 60.0  # a stage's time; the slowest takes a twentieth of it
_MOST_BYTES = 12 << 30  # of address space: torch alone maps some
PROMPT = "a diptych of the same scene, on the right as infrared thermal photo"

# What a run here changes of params.yaml: places, sizes, and how long things take.
_CHANGES: dict[str, Any] = {
    "ref_layers": "all",
    "infrared_model": {"path": "fill"},
    "video_model": {"path": "wan", "max_sequence_length": 8},
    "prepare_triptychs": {"source": "scenes", "panel_px": PANEL_PX},
    "ir_adapter": {"steps": 1, "batch": 1, "rank": 2, "checkpoint_every": 0},
    "infer_ir": {"steps": 1},
    "ref_bank": {"infrared_steps": 1},
    "flowalign": {
        "steps": 2, "frames": FRAMES, "width": WIDTH, "height": HEIGHT, "strength_curve": [0.5],
        "region": {"layers": "all"}, "baselines": {"samplers": []},
    },
    "evaluate": {"clip_model": "clip", "bootstrap": 100, "sheet_items": 1, "votes": None},
}  # fmt: skip


_FULL_CHANGES: dict[str, Any] = {
    "prepare_triptychs": {"source": "scenes", "panel_px": PANEL_PX},
    "ir_adapter": {"steps": 2},  # of 10000
    "infer_ir": {"steps": 2},  # of 28
    "ref_bank": {"infrared_steps": 2},  # of 28
    "flowalign": {  # 50 steps, 49 frames of 832 x 480
        "steps": 4, "frames": FRAMES, "width": WIDTH, "height": HEIGHT, "strength_curve": [0.5],
    },
    "evaluate": {"clip_model": "clip", "bootstrap": 100, "sheet_items": 2, "votes": None},
}  # fmt: skip


class World:
    """A folder with settings, data, models, outputs and item store; paths in it are relative."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, name: str) -> Path:
        return self.folder / name

    def out(self, name: str) -> Path:
        return self.folder / "out" / name

    def put(self, name: str, content: bytes | str) -> Path:
        """Write a file anew: its present content may be a link to that of the sound run."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    def picture(self, name: str, picture: Image.Image, **options: Any) -> Path:
        """Save a picture anew; `options` are Pillow's, `format` among them."""
        path = self.put(name, b"")
        picture.save(path, **options)
        return path

    def remove(self, name: str) -> None:
        path = self.folder / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()

    def set(self, key: str, value: str, file: str = "params.yaml") -> None:
        """Write a dotted key's value as this YAML text; a key that is new is added."""
        document = self.read(file)
        *above, leaf = key.split(".")
        section = document
        for name in above:
            section = section.setdefault(name, {})
        section[leaf] = _PLACE
        self.put(file, json.dumps(document).replace(f'"{_PLACE}"', value))

    def case(self, key: str, value: str) -> None:
        """Write a key of the one case as this YAML text."""
        self.set(f"cases.{CASE}.{key}", value, "cases.yaml")

    def read(self, file: str = "params.yaml") -> dict[str, Any]:
        """The sound settings, which are JSON: it is YAML too, and soon read and written."""
        content: dict[str, Any] = json.loads(self.path(file).read_text())
        return content

    def block_text(self, file: str = "params.yaml") -> str:
        """The same document as people write it, a key a line."""
        lines = list(_block(self.read(file), 0))
        return "\n".join(lines) + "\n"

    def arguments(self, stage: str) -> list[str]:
        """The command line of a stage, as in dvc.yaml."""
        pairs = {"params": "params.yaml"}
        if stage in _READ_CASES:
            pairs["cases"] = "cases.yaml"
        pairs |= {option: f"out/{folder}" for option, folder in ARGUMENTS[stage].items()}
        return [text for option, path in pairs.items() for text in (f"--{option}", path)]

    def run(self, stage: str, *, file_bytes: int | None = None) -> Done:
        """What `python -m stages.<stage>` does in this folder, with a store of its own.

        file_bytes: how long a file may get, its log too.
        """
        limits = {resource.RLIMIT_AS: _MOST_BYTES}
        if file_bytes is not None:
            limits[resource.RLIMIT_FSIZE] = file_bytes
        module, arguments = f"stages.{stage}", self.arguments(stage)
        process = ModuleProcess(module, *arguments, cwd=self.folder, env=self.env, limits=limits)
        return process.wait(LIMIT_S)

    @property
    def env(self) -> dict[str, str]:
        """The environment of its stages."""
        return {"REFRACT_STATE": str(self.path("state")), "REFRACT_THREADS": "1", "DVC_ROOT": "."}

    def copy_to(self, folder: Path, *, empty_store: bool = False) -> "World":
        """A world of links to these files, whose bytes stay as long as nothing writes in place."""
        skipped = shutil.ignore_patterns("state") if empty_store else None
        shutil.copytree(self.folder, folder, copy_function=os.link, ignore=skipped)
        return World(folder)


_PLACE = "@value@"


def _block(document: dict[str, Any], depth: int) -> Iterator[str]:
    for key, value in document.items():
        if isinstance(value, dict) and value:
            yield f"{'  ' * depth}{key}:"
            yield from _block(value, depth + 1)
        else:
            yield f"{'  ' * depth}{key}: {json.dumps(value)}"


def write_world(folder: Path) -> World:
    """Settings, scenes, a case and the tiny models; no stage has been run yet."""
    from tests.tiny.clip import write_tiny_clip
    from tests.tiny.fill import write_tiny_fill
    from tests.tiny.wan import save_tiny_wan

    world = _with_data(folder, _read_yaml("params.yaml"), _CHANGES)
    write_tiny_fill(folder / "fill")
    save_tiny_wan(folder / "wan")
    write_tiny_clip(folder / "clip")
    return world


def full_world(folder: Path, fill: str, wan: str) -> World:
    """The full profile, but for sizes and how long things take; fill, wan: folders or hub ids.

    Types, layers, samplers, modes, scales, prompt lengths, ... are the profile's.
    """
    from tests.tiny.clip import write_tiny_clip

    full = _merged(_read_yaml("params.yaml"), _read_yaml("profiles/full.yaml"))
    models = {"infrared_model": {"path": fill}, "video_model": {"path": wan}}
    world = _with_data(folder, full, _FULL_CHANGES | models)
    write_tiny_clip(folder / "clip")
    return world


def _read_yaml(name: str) -> dict[str, Any]:
    with (ROOT / name).open() as file:
        content: dict[str, Any] = YAML(typ="safe", pure=True).load(file)
    return content


def _with_data(folder: Path, params: dict[str, Any], changes: dict[str, Any]) -> World:
    world = World(folder)
    world.put("params.yaml", json.dumps(_merged(params, changes)))
    _write_scenes(world)
    _write_case(world)
    return world


def sound_world(folder: Path, stages: Sequence[str] = STAGES) -> World:
    """One whose stages have been run; RuntimeError where one fails."""
    world = write_world(folder)
    for stage in stages:
        done = world.run(stage)
        if done.returncode != 0:
            raise RuntimeError(f"{stage} exited with {done.returncode}: {done.stderr[-3000:]}")
    return world


def _merged(values: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    nested = {key: _merged(values[key], x) for key, x in changes.items() if isinstance(x, dict)}
    return {**values, **changes, **nested}


def _write_scenes(world: World) -> None:
    random = np.random.default_rng(4)
    lines = ["file_name,split,daytime,sequence,caption"]
    for stem, split in SCENES.items():
        day = "day" if stem.endswith("D") else "night"
        lines.append(f"{stem}.png,{split},{day},{stem},{PROMPT.replace(',', ';')}")
        for kind in ("visible", "infrared", "semantic"):
            shape = (PANEL_PX, PANEL_PX) if kind == "infrared" else (PANEL_PX, PANEL_PX, 3)
            pixels = random.integers(0, 256, shape, np.uint8)
            world.picture(f"scenes/{kind}/{stem}.png", Image.fromarray(pixels))
    world.put("scenes/metadata.csv", "\n".join(lines) + "\n")


def _write_case(world: World) -> None:
    from refract.media.video_io import Clip, write_clip

    write_clip(world.path(CLIP), Clip(moving_square(), 8.0), "lossless")
    world.picture(PHOTO, product_photo())
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[8:24, 8:32] = 255
    for kind in ("source", "target"):
        for frame in range(FRAMES):
            world.picture(f"products/{CASE}/{kind}/{frame:03d}.png", Image.fromarray(mask))
    case = {
        "video": CLIP, "target_image": PHOTO, "source_prompt": "a red mug on wood",
        "target_prompt": "a mug on wood", "target_mask": f"products/{CASE}/target",
        "source_mask": f"products/{CASE}/source",
    }  # fmt: skip
    world.put("cases.yaml", json.dumps({"cases": {CASE: case}}))


def moving_square(frames: int = FRAMES, height: int = HEIGHT, width: int = WIDTH) -> Any:
    """A clip [F, H, W, 3] of a square that moves to the right."""
    clip = np.full((frames, height, width, 3), 150, np.uint8)
    for frame in range(frames):
        clip[frame, height // 4 : 3 * height // 4, 2 + 2 * frame : 14 + 2 * frame] = (200, 40, 40)
    return clip


def product_photo() -> Image.Image:
    """A blue product on a plain backdrop."""
    pixels = np.full((40, 40, 3), 220, np.uint8)
    pixels[10:30, 12:28] = (20, 60, 200)
    return Image.fromarray(pixels)
