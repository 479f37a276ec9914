"""Where the semantic maps of a training came from, as its triptychs' info.json tells."""

from pathlib import Path
from typing import Any, NamedTuple

from refract.base.errors import InputError, shorten
from refract.base.files import read_json_object
from refract.triptychs.panels.semantic_maps import MAP_MODEL, MapModel, map_model


class TrainingMaps(NamedTuple):
    """source: provided, none, `model ...`, or unknown. model: the segmenter, where one made them.

    `recorded` is the segmenter's identity at the time; `model` has that of today.
    """

    source: str
    model: MapModel | None = None
    recorded: str | None = None


def read_training_maps(info: Path) -> TrainingMaps:
    """info: info.json of the prepared triptychs; source `unknown` where it is missing.

    Raises InputError where the segmenter is neither folder nor hub id any more.
    """
    facts: dict[str, Any] = read_json_object(info) if info.exists() else {}
    source = str(facts.get("semantic_source", "unknown"))
    if MAP_MODEL not in facts:
        return TrainingMaps(source)
    recorded = facts[MAP_MODEL]
    if not isinstance(recorded, dict) or not {"path", "revision", "identity"} <= recorded.keys():
        raise InputError(
            f"{info}: {MAP_MODEL} = {shorten(recorded)}: must be an object with path, revision and "
            "identity; run prepare_triptychs again"
        )
    model = map_model(recorded["path"], recorded["revision"])
    return TrainingMaps(source, model, recorded["identity"])


def check_same_segmenter(maps: TrainingMaps, info: Path, remedy: str) -> None:
    """InputError, ending in `remedy`, where the segmenter has changed since the training."""
    if maps.model is not None and maps.model.identity != maps.recorded:
        raise InputError(
            f"{info}: the semantic maps are of model {maps.model.path} as {maps.recorded}, but "
            f"it is now {maps.model.identity}: run prepare_triptychs again, {remedy}"
        )
