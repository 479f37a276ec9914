"""Semantic maps for a user's own photos, made as those of the training were."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from refract.infrared.inference.scenes import SceneSource
from refract.triptychs.panels.semantic_maps import Photo, model_maps
from refract.triptychs.panels.training_maps import check_same_segmenter, read_training_maps

logger = logging.getLogger(__name__)

_REMEDY = "put your own maps beside the photos, or set infer_ir.match_training: false to go on"


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
    if not bare:
        return list(scenes)
    training = read_training_maps(info)
    if training.model is None:
        if training.source == "provided":
            logger.warning(
                "infer_ir.input: %d photos have no semantic map, while the training's triptychs "
                "have; black ones stand in. Put maps into a folder `semantic` beside `visible`",
                len(bare),
            )
        return list(scenes)
    if match_training:
        check_same_segmenter(training, info, _REMEDY)
    made = model_maps([Photo(scene.visible) for scene in bare], training.model)
    maps = {scene.visible: path for scene, path in zip(bare, made, strict=True)}
    return [replace(scene, semantic=maps.get(scene.visible, scene.semantic)) for scene in scenes]
