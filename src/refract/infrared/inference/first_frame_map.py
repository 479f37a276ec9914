"""Where the semantic map of a clip's first frame comes from: a file, a segmenter, or nowhere."""

import logging
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from refract.base.errors import InputError
from refract.infrared.adapter.adapter_files import AdapterConfig
from refract.media.given_pictures import map_colours
from refract.media.image_reading import read_semantic
from refract.pipeline.item_store import hash_file
from refract.triptychs.panels.semantic_maps import MapModel, Photo, model_maps
from refract.triptychs.panels.training_maps import check_same_segmenter, read_training_maps

logger = logging.getLogger(__name__)

_REMEDY = "or give the case a first_frame_map"


class FirstFrameMap(NamedTuple):
    """The choice for one case; with neither file nor segmenter the map is black.

    case: its id, for messages. given: the case's own file. model: the training's segmenter.
    is_fallback: the map is black where the training had maps, or that is not known.
    """

    case: str
    given: Path | None = None
    model: MapModel | None = None
    is_fallback: bool = False

    def fingerprint(self) -> str:
        """What the item store knows the map by, beside the frame and the code.

        Raises InputError naming the case's key where its file cannot be read.
        """
        if self.given is not None:
            try:
                return hash_file(self.given)
            except InputError as error:
                raise self._refused(error) from error
        return "black" if self.model is None else self.model.identity

    def colours(self, frame: NDArray[np.uint8], photo: Path) -> NDArray[np.uint8] | None:
        """[H', W', 3] of the frame's field of view, None for a black map.

        frame: [H, W, 3]. photo: the same as a file, for the segmenter.
        Raises InputError naming the case's key for a file that is no picture or of another aspect.
        """
        if self.given is not None:
            try:
                return map_colours(self.given, frame)
            except InputError as error:
                raise self._refused(error) from error
        if self.model is None:
            return None
        (made,) = model_maps([Photo(photo)], self.model)
        return read_semantic(made)

    def _refused(self, error: InputError) -> InputError:
        """The same error, naming the case's key and the file once."""
        reason = str(error).removeprefix(f"{self.given}: ").removeprefix("semantic_map: ")
        return InputError(f"cases.{self.case}.first_frame_map = {self.given}: {reason}")


def choose_map(case: str, given: Path | None, config: AdapterConfig, info: Path) -> FirstFrameMap:
    """The case's own map, else one of the training's segmenter, else a black one; it is logged.

    info: info.json of the triptychs that the adapter was trained on. Black is what a training
    without maps saw; where there were maps, or that is not known, a warning tells of the loss.

    Raises InputError for a segmenter that has changed since the training.
    """
    subject = f"case {case}: semantic map of the first frame:"
    if config.mode == "none":
        logger.info("%s none, for the adapter reads none", subject)
        return FirstFrameMap(case)
    if given is not None:
        logger.info("%s %s", subject, given)
        return FirstFrameMap(case, given=given)
    training = read_training_maps(info)
    if training.model is not None:
        check_same_segmenter(training, info, _REMEDY)
        logger.info("%s of the training's segmenter %s", subject, training.model)
        return FirstFrameMap(case, model=training.model)
    if training.source == "none":
        logger.info("%s black, as in the training", subject)
        return FirstFrameMap(case)
    logger.warning(
        "%s black, while the adapter was trained with maps (%s: semantic_source %s), so the "
        "reference is much poorer; give the case a first_frame_map",
        subject, info, training.source,
    )  # fmt: skip
    return FirstFrameMap(case, is_fallback=True)
