from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from refract.base.errors import InputError
from refract.triptychs.panels.triptych import join_triptych, split_triptych


def pixels() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (4, 12, 3), np.uint8)


def test_every_kind_of_picture_is_split_alike() -> None:
    array = pixels()
    tensor = torch.tensor(array).permute(2, 0, 1)
    image = Image.fromarray(array)
    for index, panel in enumerate(split_triptych(array)):
        assert np.array_equal(panel, array[:, 4 * index : 4 * index + 4])
        assert np.array_equal(split_triptych(tensor)[index].permute(1, 2, 0).numpy(), panel)
        assert np.array_equal(np.asarray(split_triptych(image)[index]), panel)


def test_panels_have_names_in_the_order_of_the_files() -> None:
    panels = split_triptych(pixels())
    assert np.array_equal(panels.visible, panels[0])
    assert np.array_equal(panels.infrared, panels[1])
    assert np.array_equal(panels.semantic, panels[2])


def test_leading_dimensions_of_a_tensor_are_kept() -> None:
    assert split_triptych(torch.zeros(5, 3, 8, 24)).infrared.shape == (5, 3, 8, 8)


def test_joining_inverts_splitting() -> None:
    array = pixels()
    array[:, 4:8] = array[:, 4:8, :1]  # infrared is gray
    visible, infrared, semantic = split_triptych(array)
    assert np.array_equal(join_triptych(visible, infrared[..., 0], semantic), array)


@pytest.mark.parametrize("width", [0, 4, 8, 11, 13, 16])
def test_another_aspect_names_file_found_and_expected(width: int) -> None:
    with pytest.raises(InputError) as error:
        split_triptych(np.zeros((4, width, 3), np.uint8), name=str(Path("train/a.png")))
    assert f"train/a.png: found {width} x 4 pixels, expected 12 x 4" in str(error.value)


def test_another_panel_side_is_refused() -> None:
    with pytest.raises(InputError, match="expected 96 x 32"):
        split_triptych(torch.zeros(3, 16, 48), panel_px=32)
