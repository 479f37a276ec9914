from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from refract.base.errors import InputError
from refract.triptychs.panels.semantic_maps import Photo, map_model, model_maps
from tests.tiny.segmenter import write_mask2former


def write_photos(folder: Path, count: int) -> list[Photo]:
    folder.mkdir()
    random = np.random.default_rng(0)
    for index in range(count):
        pixels = random.integers(0, 200, (40, 48, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{index}.png")
    return [Photo(folder / f"{index}.png") for index in range(count)]


def pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path))


def forbid_loading(patch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise AssertionError("the model was loaded")

    patch.setattr("refract.models.segmenter.load_segmenter", fail)


def test_maps_are_items_and_the_model_loads_for_new_ones_only(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = write_mask2former(tmp_path / "model")
    model = map_model(str(folder), None)
    photos = write_photos(tmp_path / "photos", 3)
    first = model_maps(photos[:2], model)
    assert len(set(first)) == 2
    with pytest.MonkeyPatch.context() as patch:
        forbid_loading(patch)
        assert model_maps(photos[1::-1], model) == first[::-1]
    with caplog.at_level("INFO"):
        assert model_maps(photos, model)[:2] == first
    assert "3 photos, 1 computed" in caplog.text


def test_a_map_does_not_depend_on_its_neighbours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = map_model(str(write_mask2former(tmp_path / "model")), None)
    photos = write_photos(tmp_path / "photos", 3)
    together = [pixels(path) for path in model_maps(photos, model)]
    monkeypatch.setenv("REFRACT_STATE", str(tmp_path / "other"))
    for photo, expected in zip(photos[::-1], together[::-1], strict=True):
        (alone,) = model_maps([photo], model)
        assert np.array_equal(pixels(alone), expected)


def test_another_model_or_photo_is_another_item(tmp_path: Path) -> None:
    photos = write_photos(tmp_path / "photos", 1)
    models = [
        map_model(str(write_mask2former(tmp_path / f"model{seed}", seed=seed)), None)
        for seed in range(2)
    ]
    first, second = (model_maps(photos, model)[0] for model in models)
    assert first != second
    Image.new("RGB", (48, 40), (9, 9, 9)).save(photos[0].path)
    assert model_maps(photos, models[0]) != [first]


def test_a_white_margin_is_unlabelled(tmp_path: Path) -> None:
    model = map_model(str(write_mask2former(tmp_path / "model")), None)
    (plain,) = write_photos(tmp_path / "photos", 1)
    framed = np.pad(pixels(plain.path), ((8, 8), (8, 8), (0, 0)), constant_values=255)
    Image.fromarray(framed).save(tmp_path / "framed.png")
    inner, outer = model_maps([plain, Photo(tmp_path / "framed.png", 8)], model)
    expected = np.pad(pixels(inner), ((8, 8), (8, 8), (0, 0)))
    assert np.array_equal(pixels(outer), expected)


def test_a_path_that_is_none_names_its_key() -> None:
    told = r"prepare_triptychs\.semantic\.model = './nowhere': no such folder"
    with pytest.raises(InputError, match=told):
        map_model("./nowhere", None)
    assert str(map_model("owner/name", "v1")) == "owner/name (owner/name@v1)"
