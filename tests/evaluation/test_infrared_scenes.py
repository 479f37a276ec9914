from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from refract.base.errors import InputError
from refract.evaluation.infrared import score_store
from refract.evaluation.infrared.scenes import TrueScene, load_prediction
from refract.evaluation.infrared.score_store import SceneMeasures
from refract.media.image_reading import read_infrared
from refract.pipeline.item_store import ItemStore

TRUTH = np.random.default_rng(0).integers(40, 90, (16, 16), np.uint8)  # not the whole range
BLANK = np.zeros((16, 16, 3), np.uint8)
SCENES = [TrueScene("a", "day", BLANK, TRUTH, BLANK)]


def test_sixteen_bit_pictures_are_read_whole_and_compared_by_their_stated_scaling(
    tmp_path: Path,
) -> None:
    fine = TRUTH.astype(np.uint16) * 257 + 100  # under half of an 8-bit step above the truth
    Image.fromarray(fine).save(tmp_path / "a.png")
    read = read_infrared(tmp_path / "a.png")
    assert read.kind == "16-bit" and np.array_equal(read.pixels, fine)
    picture = load_prediction(tmp_path, SCENES[0])
    assert picture.dtype == np.uint8 and np.array_equal(picture, TRUTH), "no stretching, no shift"


def test_eight_bit_pictures_are_taken_as_they_are(tmp_path: Path) -> None:
    Image.fromarray(TRUTH).save(tmp_path / "a.png")
    assert np.array_equal(load_prediction(tmp_path, SCENES[0]), TRUTH)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_picture_of_another_shape_is_one_error(tmp_path: Path, dtype: type) -> None:
    Image.fromarray(np.zeros((16, 8), dtype)).save(tmp_path / "a.png")
    with pytest.raises(InputError, match=r"a\.png: 8 x 16, must be 16 x 16"):
        load_prediction(tmp_path, SCENES[0])


def test_a_picture_is_measured_again_for_itself_its_scene_and_the_judge_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def measure(scene: TrueScene, *pictures: np.ndarray, lpips: str = "one") -> int:
        """How many of them, by a store of its own, as the next run has."""
        judge: Any = SimpleNamespace(of_pictures={"lpips": lpips}, lpips=None)
        store = ItemStore(tmp_path, "evaluate")
        measures = SceneMeasures(scene, judge, store)
        assert [measures.measured(x)["mean"] for x in pictures] == [x.mean() for x in pictures]
        return store.computed

    def scorer(scene: TrueScene, lpips: None) -> Any:
        return SimpleNamespace(measured=lambda picture: {"mean": float(picture.mean())})

    monkeypatch.setattr(score_store, "SceneScorer", scorer)
    scene, picture = SCENES[0], TRUTH // 2
    assert measure(scene, picture, TRUTH) == 2
    assert measure(replace(scene, id="b", daytime="night", semantic=BLANK + 1), picture, TRUTH) == 0
    assert measure(scene, picture, picture + 1) == 1
    assert measure(replace(scene, infrared=TRUTH + 1), picture) == 1
    assert measure(replace(scene, visible=BLANK + 1), picture) == 1
    assert measure(scene, picture, lpips="two") == 1
