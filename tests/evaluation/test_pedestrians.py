"""The measure of how far pedestrians stand out."""

import numpy as np
import pytest

from backbones.image.pedestrians import contrast_ratios, pedestrian_mask
from backbones.worlds import street
from backbones.worlds.street_layout import CLASSES
from refract.evaluation.infrared.scenes import TrueScene


def scene_with_pedestrian() -> TrueScene:
    layout = next(
        found
        for seed in range(100)
        if 100 < (street.labels(found := street.street(seed, night=True)) == 6).sum() < 8000
    )
    picture = street.infrared(layout)
    return TrueScene("a", "night", street.visible(layout), picture, street.semantic(layout))


def test_masks_are_the_labels_of_the_world() -> None:
    layout = street.street(3, night=False)
    expected = street.labels(layout) == CLASSES.index("person")
    assert np.array_equal(pedestrian_mask(street.semantic(layout)), expected)


def test_the_truth_scores_one_a_flat_picture_nothing_and_half_the_contrast_half() -> None:
    scene = scene_with_pedestrian()
    truth = scene.infrared
    half = (128 + (truth.astype(np.float32) - 128) / 2).round().astype(np.uint8)
    pictures = [truth, np.full_like(truth, 90), half]
    (found,) = contrast_ratios([scene] * 3, pictures).values()
    assert found == pytest.approx([1, 0, 0.5], abs=0.02)


def test_a_scene_without_pedestrians_does_not_count() -> None:
    scene = scene_with_pedestrian()
    empty = TrueScene("b", "day", scene.visible, scene.infrared, np.zeros_like(scene.semantic))
    assert contrast_ratios([empty], [scene.infrared]) == {}
