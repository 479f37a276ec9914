import numpy as np
import pytest
from numpy.typing import NDArray

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
