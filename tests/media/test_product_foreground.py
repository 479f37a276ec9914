import io

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import gaussian_filter

from refract.media.product_foreground import PHOTO_COVER, product_tokens, separate_product


def photo(
    colour: tuple[float, float, float],
    *,
    backdrop: float = 0.88,
    gradient: float = 0.0,
    shadow: bool = False,
    noise: float = 0.0,
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """A disc on a backdrop, and the disc."""
    y, x = np.mgrid[-1:1:64j, -1:1:80j]
    disc = x**2 + y**2 < 0.4**2
    image = np.repeat((backdrop + gradient * x)[..., None], 3, -1)
    if shadow:
        image[(x - 0.15) ** 2 + (y - 0.2) ** 2 < 0.4**2] *= 0.7
    image[disc] = colour
    image += np.random.default_rng(0).normal(0, noise, image.shape)
    return (image.clip(0, 1) * 255).round().astype(np.uint8), disc


@pytest.mark.parametrize("colour", [(0.8, 0.1, 0.1), (0.1, 0.1, 0.12), (1.0, 1.0, 1.0)])
@pytest.mark.parametrize(
    "circumstances",
    [{}, {"gradient": 0.05}, {"shadow": True}, {"noise": 0.008}],
    ids=["plain", "gradient", "shadow", "noise"],
)
def test_finds_the_product(colour: tuple[float, float, float], circumstances: dict) -> None:
    image, disc = photo(colour, **circumstances)
    mask = separate_product(image)
    assert mask is not None
    overlap = (mask & disc).sum() / (mask | disc).sum()
    assert overlap > 0.93, overlap


def colourless(
    level: int,
    backdrop: int,
    *,
    slope: float = 0,
    shadow: bool = False,
    quality: int | None = None,
    noise: float = 0,
    logo: bool = True,
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """A box with a red logo on a backdrop of no other hue, through a lens and JPEG; and the box.

    slope: levels from side to side. shadow: soft, on the ground beneath and beside the box.
    """
    y, x = np.mgrid[0:1:240j, 0:1:300j]
    box = (abs(x - 0.5) < 0.25) & (abs(y - 0.5) < 0.22)
    image = np.repeat((backdrop + slope * (x - 0.5))[..., None], 3, -1)
    if shadow:
        ground = ((x - 0.52) / 0.3) ** 2 + ((y - 0.73) / 0.07) ** 2 < 1
        image *= 1 - 0.35 * gaussian_filter(ground.astype(float), 7)[..., None]
    image[box] = (level, level, min(level + 1, 255))
    if logo:
        image[(abs(x - 0.5) < 0.08) & (abs(y - 0.5) < 0.07)] = (200, 30, 40)
    image = gaussian_filter(image, (0.7, 0.7, 0))
    image += np.random.default_rng(0).normal(0, noise, image.shape)
    pixels = image.clip(0, 255).round().astype(np.uint8)
    if quality is not None:
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "JPEG", quality=quality)
        pixels = np.asarray(Image.open(file).convert("RGB"))
    return pixels, box


_HARD = {"slope": -6, "shadow": True, "quality": 85}


@pytest.mark.parametrize(
    ("level", "backdrop", "circumstances"),
    [
        (235, 255, {}),
        (235, 255, {"shadow": True}),
        (235, 255, {"quality": 85}),
        (235, 255, {"noise": 1, "shadow": True}),
        (235, 255, _HARD),
        (248, 255, _HARD),
        (200, 255, _HARD | {"logo": False}),
        (150, 250, {"shadow": True, "logo": False}),
        (255, 240, _HARD),
    ],
)
def test_a_product_of_no_hue_is_found_by_its_outline(
    level: int, backdrop: int, circumstances: dict
) -> None:
    image, box = colourless(level, backdrop, **circumstances)
    mask = separate_product(image)
    assert mask is not None
    assert (mask & box).sum() >= 0.95 * box.sum(), "the whole box"
    assert (mask & ~box).sum() <= 0.02 * box.sum(), "and no shadow"


def test_what_has_no_outline_is_not_found() -> None:
    image, _ = colourless(255, 255, shadow=True, quality=85)
    mask = separate_product(image)
    assert mask is not None and mask.mean() < 0.05, "the logo alone"
    assert separate_product(colourless(255, 255, logo=False, shadow=True)[0]) is None


def test_a_hole_is_filled() -> None:
    image, disc = photo((0.8, 0.1, 0.1))
    y, x = np.mgrid[-1:1:64j, -1:1:80j]
    image[x**2 + y**2 < 0.1**2] = 224  # the colour of the backdrop
    mask = separate_product(image)
    assert mask is not None and (mask & disc).sum() / (mask | disc).sum() > 0.93


def test_no_plain_backdrop_is_told() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    assert separate_product(noise) is None


def test_an_empty_photo_is_told() -> None:
    assert separate_product(np.full((64, 64, 3), 220, np.uint8)) is None


def test_tokens_by_cover() -> None:
    mask = np.zeros((8, 12), bool)
    mask[0:4, 0:4] = True  # all of token (0, 0)
    mask[0:4, 4:5] = True  # a quarter of (0, 1)
    mask[4:5, 0:3] = True  # less of (1, 0)
    assert product_tokens(mask, 2, 3).tolist() == [[True, True, False], [False, False, False]]
    assert product_tokens(mask, 2, 3, PHOTO_COVER).nonzero().tolist() == [[0, 0]]


def test_a_tiny_product_keeps_the_token_it_covers_most() -> None:
    mask = np.zeros((8, 8), bool)
    mask[5, 6] = True
    assert product_tokens(mask, 2, 2).tolist() == [[False, False], [False, True]]
