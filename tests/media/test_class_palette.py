from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from refract.base.errors import InputError
from refract.media.class_palette import MSRS_PALETTE, read_labels
from refract.media.image_reading import read_semantic

COLOURS = {
    "unlabelled": [0, 0, 0],
    "car": [128, 0, 0],
    "person": [0, 128, 0],
    "bike": [128, 128, 0],
    "curve": [0, 0, 128],
    "car_stop": [128, 0, 128],
    "guardrail": [0, 128, 128],
    "color_cone": [128, 128, 128],
    "bump": [64, 0, 0],
}
IDS = np.arange(9, dtype=np.uint8).reshape(3, 3)


def test_msrs_classes_and_their_colours() -> None:
    assert MSRS_PALETTE.as_dict() == COLOURS


def test_ids_are_read_from_any_kind_of_file(tmp_path: Path) -> None:
    Image.fromarray(IDS).save(tmp_path / "gray.png")
    Image.fromarray(np.repeat(IDS[..., None], 3, -1)).save(tmp_path / "rgb.png")
    indexed = Image.fromarray(IDS).convert("P")
    indexed.putpalette([77] * 768)  # its own colours say nothing
    indexed.save(tmp_path / "indexed.png")
    for name in ("gray", "rgb", "indexed"):
        colours = read_labels(tmp_path / f"{name}.png", MSRS_PALETTE)
        assert colours.reshape(-1, 3).tolist() == list(COLOURS.values()), name


def test_maps_of_ids_elsewhere_have_the_same_colours(tmp_path: Path) -> None:
    """Maps handed to inference by their user go through `read_semantic`."""
    Image.fromarray(IDS).save(tmp_path / "a.png")
    path = tmp_path / "a.png"
    assert np.array_equal(read_labels(path, MSRS_PALETTE), read_semantic(path))


def test_what_are_no_class_ids(tmp_path: Path) -> None:
    Image.fromarray(np.full((2, 2), 255, np.uint8)).save(tmp_path / "a.png")
    with pytest.raises(InputError, match=r"ids 255 to 255, expected .* 0 \(unlab.* 8 \(bump\)"):
        read_labels(tmp_path / "a.png", MSRS_PALETTE)
    Image.new("RGB", (2, 2), (64, 0, 128)).save(tmp_path / "b.png")
    with pytest.raises(InputError, match="found colours, expected class ids"):
        read_labels(tmp_path / "b.png", MSRS_PALETTE)
