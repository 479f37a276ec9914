import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file

from refract.base.errors import InputError
from refract.models.segmenter import PanopticSegmenter, load_segmenter
from tests.tiny.segmenter import write_mask2former, write_oneformer


def photo(seed: int, side: tuple[int, int] = (40, 48)) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (*side, 3), np.uint8)


def load(folder: Path) -> PanopticSegmenter:
    return load_segmenter(str(folder), None, "cpu")


@pytest.mark.parametrize("write", [write_mask2former, write_oneformer])
def test_a_photo_becomes_a_map_of_its_shape(write: Callable[[Path], Path], tmp_path: Path) -> None:
    segmenter = load(write(tmp_path))
    maps = [segmenter.colour_map(photo(seed)) for seed in range(3)]
    assert all(x.shape == (40, 48, 3) and x.dtype == np.uint8 and x.any() for x in maps)
    assert not np.array_equal(maps[0], maps[1])
    assert np.array_equal(maps[1], segmenter.colour_map(photo(1))), "whatever went before"
    assert np.array_equal(maps[2], load(tmp_path).colour_map(photo(2)))
    classes = segmenter.palette.colours.astype(int)
    shown = np.unique(np.concatenate(maps).reshape(-1, 3), axis=0).astype(int)
    nearest = np.abs(shown[:, None] - classes).max(axis=-1).min(axis=1)
    assert all(near <= 12 or not colour.any() for near, colour in zip(nearest, shown, strict=True))
    assert all(x.dtype == torch.float32 for x in segmenter.network.parameters())


def test_large_photos_get_a_map_of_2048_pixels(tmp_path: Path) -> None:
    made = load(write_mask2former(tmp_path)).colour_map(photo(0, (2560, 3200)))
    assert made.shape == (2048, 2560, 3)


def test_other_classes_take_the_palette_of_label_files(tmp_path: Path) -> None:
    segmenter = load(write_mask2former(tmp_path, ("cat", "dog", "sofa", "lamp")))
    assert segmenter.palette.colours[0].tolist() == [128, 0, 0]


def refusal(path: str, revision: str | None = None) -> str:
    with pytest.raises(InputError) as error:
        load_segmenter(path, revision, "cpu")
    assert str(error.value).startswith(f"prepare_triptychs.semantic.model = {path}: ")
    return str(error.value)


def test_a_hub_model_out_of_reach_is_one_clear_line() -> None:
    told = refusal("facebook/no-such-segmenter")
    assert "https://huggingface.co/facebook/no-such-segmenter" in told
    assert "set prepare_triptychs.semantic.model to the path of a local copy" in told


def test_only_whole_segmenters_in_safetensors_are_loaded(tmp_path: Path) -> None:
    folder = write_mask2former(tmp_path / "model")
    weights = load_file(folder / "model.safetensors")
    name = "class_predictor.weight"
    rest = {key: value for key, value in weights.items() if key != name}
    save_file(rest, folder / "model.safetensors", metadata={"format": "pt"})
    assert f"1 weights are missing, as {name}" in refusal(str(folder))

    (folder / "model.safetensors").unlink()
    torch.save(weights, folder / "pytorch_model.bin")
    assert "no file named model.safetensors" in refusal(str(folder))

    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config["backbone_config"]))
    assert "of type swin, expected mask2former or oneformer" in refusal(str(folder))

    (folder / "config.json").write_text("{}")
    assert "the folder must hold config.json" in refusal(str(folder))


def test_a_missing_processor_is_named(tmp_path: Path) -> None:
    folder = write_mask2former(tmp_path)
    (folder / "preprocessor_config.json").unlink()
    assert "AutoImageProcessor" in refusal(str(folder))
