"""A tiny run's outputs: two scenes, two cases, and names and texts that would like to be markup."""

import csv
import json
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from refract.media.video_io import Clip, write_clip, write_frames
from refract.triptychs.panels.manifest import TriptychRow, write_manifest

PX = 32
FPS = 8.0
FRAMES = 24  # three seconds, so that a second of play does not reach the end
HOSTILE = "<img src=x onerror=alert(1)>"  # a folder may be called so
HOSTILE_TEXT = "</script><script>alert(2)</script>\u2028\"'<!--"
CASES = (HOSTILE, "plain-case")
SCENES = (("00001D", "day"), ("00002N", "night"))
STRENGTHS = (0.5, 1.0)
LEVEL = 10  # of 255, by which each frame of a clip is brighter than the last


def write_outputs(root: Path) -> dict[str, Path]:
    """Fill `root`; the arguments of write_report but for its output."""
    _triptychs(root / "triptychs")
    _infrared(root / "infrared")
    for case in CASES:
        _case(root / "edits" / case, root / "photos" / f"{CASES.index(case)}.png")
    _tables(root / "plots")
    _info(root)
    (root / "metrics" / "details").mkdir(parents=True)
    tree = {"psnr": 20.0, "psnr_low": 19.0, "psnr_high": 21.0, "about": {"note": HOSTILE_TEXT}}
    (root / "metrics" / "details" / "infrared.json").write_text(json.dumps(tree))
    (root / "params.yaml").write_text(f"seed: 3  # {HOSTILE}\nevaluate:\n  bootstrap: 100\n")
    cases = {name: {"target_prompt": HOSTILE_TEXT, "video": "no/such.mp4"} for name in CASES}
    (root / "cases.yaml").write_text(json.dumps({"cases": cases}))  # JSON is YAML
    names = ("plots", "metrics", "triptychs", "infrared", "edits", "banks")
    return {name: root / name for name in names} | {
        "params": root / "params.yaml",
        "cases": root / "cases.yaml",
    }


def ramp(first: int = 0) -> Clip:
    """A clip whose frame k is gray everywhere, at level first + 10 k."""
    levels = first + LEVEL * np.arange(FRAMES, dtype=np.uint8)
    return Clip(np.broadcast_to(levels[:, None, None, None], (FRAMES, PX, PX, 3)).copy(), FPS)


def _triptychs(folder: Path) -> None:
    rng = np.random.default_rng(0)
    rows = []
    for name, daytime in SCENES:
        (folder / "test").mkdir(parents=True, exist_ok=True)
        picture = rng.integers(0, 256, (PX, 3 * PX, 3), dtype=np.uint8)
        picture[:, PX : 2 * PX] = picture[:, PX : 2 * PX, :1]
        Image.fromarray(picture).save(folder / "test" / f"{name}.png")
        file = f"{name}.png"
        rows.append(TriptychRow(name, "test", file, file, file, HOSTILE_TEXT, daytime, name))
    write_manifest(rows, folder)


def _infrared(folder: Path) -> None:
    rng = np.random.default_rng(1)
    for variant in ("adapter", "zero_map"):
        (folder / variant).mkdir(parents=True)
        for name, _ in SCENES:
            pixels = rng.integers(0, 256, (PX, PX), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / variant / f"{name}.png")
    maps = folder / "attention_maps" / SCENES[0][0]
    maps.mkdir(parents=True)
    for head in range(2):
        picture = rng.integers(0, 256, (PX, PX, 3), dtype=np.uint8)
        Image.fromarray(picture).save(maps / f"layer0_head{head}_step0_region0.png")


def _case(folder: Path, photo: Path) -> None:
    for place, name in enumerate(("source", "plain", "reference", "curve/0.5", "baselines/sdedit")):
        path = folder / f"{name}.mkv"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_clip(path, ramp(place), "lossless")
    (folder / "curve" / "1.mkv").write_bytes((folder / "reference.mkv").read_bytes())
    if folder.name != HOSTILE:  # one of the cases has a deliverable
        write_frames(folder / "final.mp4", _shades(6), FPS, "preview")
        write_frames(folder / "region.mkv", _shades(6), FPS, "lossless")
    photo.parent.mkdir(exist_ok=True)
    Image.new("RGB", (PX, PX), (200, 30, 30)).save(photo)


def _shades(first: int) -> np.ndarray:
    """Frames larger than a page shows them, 1000 x 640."""
    return np.stack([np.full((640, 1000, 3), 9 * (first + n), np.uint8) for n in range(3)])


def _tables(folder: Path) -> None:
    folder.mkdir()
    rng = np.random.default_rng(2)
    value = lambda: round(float(rng.uniform(10, 30)), 3)  # noqa: E731
    infrared = [
        (name, daytime, variant, metric, value())
        for name, daytime in SCENES
        for variant in ("adapter", "zero_map", HOSTILE)
        for metric in ("psnr", HOSTILE)
    ]
    _write(folder / "infrared_items.csv", "item daytime variant metric value", infrared)
    variants = ("source", "plain", "reference", "s050", "s100", "sdedit")
    edits = [(c, v, "background.psnr", value()) for c in CASES for v in variants]
    _write(folder / "edit_cases.csv", "case variant metric value", edits)
    frames = [
        (case, variant, "background.psnr", frame, value())
        for case in CASES
        for variant in variants
        for frame in range(FRAMES - 1)
    ]
    _write(folder / "edit_frames.csv", "case variant metric frame value", frames)
    curve = [("background.psnr", s, 20 + s, 19 + s, 21 + s, 2) for s in (0, *STRENGTHS)]
    _write(folder / "strength_curve.csv", "metric strength mean low high count", curve)
    _write(folder / "classes.csv", "class value", [(HOSTILE, 1.0)])


def _write(path: Path, columns: str, rows: Iterable[Sequence[object]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns.split())
        writer.writerows(rows)


def _info(root: Path) -> None:
    facts = {"model": HOSTILE, "steps": 6, "note": None}
    (root / "infrared" / "info.json").write_text(json.dumps(facts))
    cases = {
        name: {
            "target_prompt": HOSTILE_TEXT,
            "product_image": str(root / "photos" / f"{place}.png"),
            "result_strength": 1.0,
            "shots": [{"first": 0, "frames": FRAMES, "start": 0.0, "end": FRAMES / FPS}],
        }
        for place, name in enumerate(CASES)
    }
    (root / "edits" / "info.json").write_text(json.dumps({"model": "m", "cases": cases}))
