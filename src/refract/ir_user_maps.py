"""Semantic maps for a user's own photos, made as those of the training were."""

import json
import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from refract.errors import InputError
from refract.ir_scenes import SceneSource
from refract.semantic_maps import MAP_MODEL, MapModel, Photo, map_model, model_maps

logger = logging.getLogger(__name__)


def with_model_maps(
    scenes: Sequence[SceneSource], info: Path, *, match_training: bool
) -> list[SceneSource]:
    """The user's scenes, those without a map given one by the segmenter of the training's maps.

    info: info.json of the prepared triptychs. Without a segmenter in it, a black map stands in for
    a missing one, with a warning where the training had maps. match_training: refuse a segmenter
    that has changed since.

    Raises InputError for such a segmenter, and for one that cannot be loaded.
    """
    bare = [scene for scene in scenes if scene.semantic is None]
    facts = json.loads(info.read_text(encoding="utf-8")) if info.is_file() else {}
    if not bare or MAP_MODEL not in facts:
        if bare and facts.get("semantic_source") == "provided":
            logger.warning(
                "infer_ir.input: %d photos have no semantic map, while the training's triptychs "
                "have; black ones stand in. Put maps into a folder `semantic` beside `visible`",
                len(bare),
            )
        return list(scenes)
    made = model_maps(
        [Photo(scene.visible) for scene in bare], _model(facts[MAP_MODEL], info, match_training)
    )
    maps = {scene.visible: path for scene, path in zip(bare, made, strict=True)}
    return [replace(scene, semantic=maps.get(scene.visible, scene.semantic)) for scene in scenes]


def _model(recorded: dict[str, Any], info: Path, match_training: bool) -> MapModel:
    model = map_model(recorded["path"], recorded["revision"])
    if match_training and model.identity != recorded["identity"]:
        raise InputError(
            f"{info}: the semantic maps are of model {model.path} as {recorded['identity']}, but "
            f"it is now {model.identity}: run prepare_triptychs again, put your own maps beside "
            "the photos, or set infer_ir.match_training: false to go on"
        )
    return model
