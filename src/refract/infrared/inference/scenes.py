"""Which pictures inference makes: the test split with three kinds of map, or a user's folder."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from einops import rearrange
from numpy.typing import NDArray
from torch import Tensor

from refract.base.errors import InputError
from refract.base.item_names import check_item_names
from refract.infrared.adapter.triptych_latents import read_triptych
from refract.infrared.inference.generator import Scene
from refract.media.image_reading import read_rgb, read_semantic
from refract.media.panel_pixels import square_panel
from refract.triptychs.panels.manifest import TriptychRow, read_manifest
from refract.triptychs.panels.picture_folders import ALIASES, find_panel_folder, pictures_by_stem

OWN_MAP = "adapter"
VARIANTS = (OWN_MAP, "shuffled_map", "zero_map")
USER_VARIANT = "input"


@dataclass(frozen=True)
class SceneSource:
    """One picture to make. Files are triptychs, or plain pictures where `is_user` is set."""

    id: str
    variant: str
    visible: Path
    semantic: Path | None  # None: an all-zero map
    prompt: str
    is_user: bool = False


def held_out_scenes(triptychs: Path, seed: int, prompt: str | None) -> list[SceneSource]:
    """Every test triptych with its own map, another scene's map and no map.

    `prompt` replaces the captions of the manifest.
    """
    rows = read_manifest(triptychs, "test")
    partners = shuffled_partners(rows, seed)
    scenes = []
    for row in rows:
        path = row.path(triptychs)
        maps = {
            OWN_MAP: path,
            "shuffled_map": partners[row.id].path(triptychs),
            "zero_map": None,
        }
        for variant in VARIANTS:
            text = prompt or row.caption
            scenes.append(SceneSource(row.id, variant, path, maps[variant], text))
    return sorted(scenes, key=lambda scene: (VARIANTS.index(scene.variant), scene.id))


def user_scenes(folder: Path, prompt: str | None) -> list[SceneSource]:
    """The pictures of a folder, or of its visible subfolder with maps beside it where it has one.

    No infrared truth is needed. Raises InputError where the folder holds no pictures, a map is
    missing, or no prompt is known.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder (infer_ir.input)")
    if prompt is None:
        raise InputError(
            "infer_ir.prompt: needed for infer_ir.input, since the adapter was trained with a "
            "caption for each picture"
        )
    visible = find_panel_folder(folder, "visible", ALIASES["visible"]) or folder
    maps_folder = find_panel_folder(folder, "semantic", ALIASES["semantic"])
    pictures = pictures_by_stem(visible)
    check_item_names(pictures, visible)
    maps = pictures_by_stem(maps_folder) if maps_folder else None
    scenes = []
    for stem, path in pictures.items():
        if maps is not None and stem not in maps:
            raise InputError(f"{path}: no map of the same name in {maps_folder}")
        semantic = maps[stem] if maps else None
        scenes.append(SceneSource(stem, USER_VARIANT, path, semantic, prompt, is_user=True))
    return scenes


def read_scene(source: SceneSource, panel_px: int) -> Scene:
    """Decode one scene at the panel side the adapter was trained with."""
    if source.is_user:
        visible = _tensor(square_panel(read_rgb(source.visible), panel_px))
        pixels = read_semantic(source.semantic) if source.semantic else None
        semantic = None if pixels is None else _tensor(square_panel(pixels, panel_px, labels=True))
    else:
        visible = read_triptych(source.visible, panel_px).visible
        semantic = None
        if source.semantic is not None:
            semantic = read_triptych(source.semantic, panel_px).semantic
    if semantic is None:
        semantic = torch.full_like(visible, -1.0)  # a black map
    return Scene(source.id, visible, semantic, source.prompt)


def map_fingerprint(scene: Scene) -> str:
    """What the item store knows a map by: its pixels. All black maps are one, however come by."""
    return hashlib.sha256(scene.semantic.numpy().tobytes()).hexdigest()


def shuffled_partners(rows: Sequence[TriptychRow], seed: int) -> dict[str, TriptychRow]:
    """For each row (by id) another one whose map it gets in `shuffled_map`.

    Rows stand in a circle in an order drawn from the seed; each takes the next one of another
    sequence, or the next one where all are of one sequence.
    """
    if len(rows) < 2:
        raise InputError(
            f"the test split has {len(rows)} triptych: the control shuffled_map needs two at least"
        )
    circle = sorted(rows, key=lambda row: hashlib.sha256(f"{seed}/{row.id}".encode()).digest())
    partners = {}
    for place, row in enumerate(circle):
        following = circle[place + 1 :] + circle[:place]
        others = [other for other in following if other.sequence != row.sequence]
        partners[row.id] = (others or following)[0]
    return partners


def _tensor(pixels: NDArray[np.uint8]) -> Tensor:
    return rearrange(torch.tensor(pixels), "h w c -> c h w").float() / 127.5 - 1
