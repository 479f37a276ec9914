from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from refract.base.errors import InputError
from refract.media.product_image import load_product_image
from refract.media.salient_object import salient_object
from tests.tiny.salient import save_tiny_network

RED, BLUE = (220, 20, 20), (20, 20, 220)


@pytest.fixture
def network(tmp_path: Path) -> Path:
    return save_tiny_network(tmp_path / "red.onnx")


def busy(height: int = 60, width: int = 80) -> np.ndarray:
    """A red box among blue ones, on noise."""
    pixels = np.random.default_rng(0).integers(60, 120, (height, width, 3)).astype(np.uint8)
    pixels[5:15, 5:15] = pixels[40:55, 60:75] = BLUE
    pixels[20:50, 20:50] = RED
    return pixels


def test_the_mask_is_where_the_network_is_sure(network: Path) -> None:
    pixels = busy()
    mask = salient_object(pixels, network)
    red = np.zeros(mask.shape, bool)
    red[20:50, 20:50] = True
    assert (mask & red).sum() / (mask | red).sum() > 0.95


def test_the_network_sees_normalised_pixels(tmp_path: Path) -> None:
    """A photo half as bright is divided by half the maximum: the same input, the same mask."""
    network = save_tiny_network(tmp_path / "red.onnx")
    pixels = np.full((320, 320, 3), (40, 40, 80), np.uint8)
    pixels[:, :160] = (100, 40, 80)
    assert np.array_equal(salient_object(pixels, network), salient_object(2 * pixels, network))


def test_a_map_without_contrast_shows_nothing(network: Path) -> None:
    assert not salient_object(np.full((32, 32, 3), 99, np.uint8), network).any()


def test_a_photo_by_the_network(tmp_path: Path, network: Path) -> None:
    Image.fromarray(busy()).save(tmp_path / "p.png")
    image = load_product_image(tmp_path / "p.png", 60, 80, "model", network=network)
    assert image.foreground == "model" and not image.keeps_all
    assert image.mask[22:48, 22:48].all() and image.mask.sum() < 1.1 * 30 * 30
    Image.new("RGB", (40, 40), BLUE).save(tmp_path / "blue.png")
    with pytest.raises(InputError, match=r"blue\.png: ref_bank\.foreground_model sees no product"):
        load_product_image(tmp_path / "blue.png", 60, 80, "model", network=network)


def test_what_is_no_such_network_is_told(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    pixels, text = busy(), tmp_path / "text.onnx"
    text.write_text("no network")
    named = r"ref_bank\.foreground_model .*{}: "
    for path, message in (
        (tmp_path / "absent.onnx", named.format("absent.onnx") + "not a network"),
        (text, named.format("text.onnx") + "not a network"),
        (
            save_tiny_network(tmp_path / "three.onnx", outputs=3),
            r"its first output is \[1, 3, 320,",
        ),
        (
            save_tiny_network(tmp_path / "four.onnx", inputs=4),
            r"not a network .* takes a picture of 1 x 3 x",
        ),
    ):
        with pytest.raises(InputError, match=message) as caught:
            salient_object(pixels, path)
        assert "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")
