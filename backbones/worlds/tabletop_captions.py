"""Captions of the table-top world, and the words they are made of.

`describe` tells all there is to tell; `name_class` leaves colour and pattern to a reference
photo; `draw_caption` drops words at random, so that a network trained on it knows what each
word, and each missing word, stands for.
"""

import numpy as np

from backbones.worlds.tabletop import (
    BACKDROPS,
    CLASSES,
    COLOURS,
    MOTIONS,
    PATTERNS,
    PHOTO_SURFACE,
    SURFACES,
    Product,
    Scene,
)

# chances of leaving a word out of a training caption
_DROP_COLOUR = 0.25
_DROP_PATTERN = 0.30
_DROP_CLASS = 0.08
_DROP_MOTION = 0.10
_DROP_GROUND = 0.20


def vocabulary() -> list[str]:
    """Every word a caption can hold, in a fixed order."""
    words = ["a", "on", "product", PHOTO_SURFACE, *CLASSES, *COLOURS, *PATTERNS]
    words += [*BACKDROPS, *SURFACES, *" ".join(MOTIONS).split()]
    return list(dict.fromkeys(words))


def describe(product: Product, scene: Scene) -> str:
    """The full caption of a clip, as a source prompt."""
    name = f"a {product.colour} {product.pattern} {product.category}"
    return f"{name} {scene.motion} on {scene.backdrop} {scene.surface}"


def name_class(product: Product, scene: Scene) -> str:
    """The caption without colour and pattern, as a target prompt beside a reference photo."""
    return f"a {product.category} {scene.motion} on {scene.backdrop} {scene.surface}"


def draw_caption(
    rng: np.random.Generator,
    product: Product,
    scene: Scene | None,
    *,
    still: bool = False,
    named: bool = True,
) -> str:
    """A training caption with words left out at random.

    `scene` None captions a packshot; `still` leaves the motion out; `named` False never names
    colour and pattern, as beside a reference photo.
    """
    words = ["a"]
    if named and rng.random() >= _DROP_COLOUR:
        words.append(product.colour)
    if named and rng.random() >= _DROP_PATTERN:
        words.append(product.pattern)
    words.append("product" if rng.random() < _DROP_CLASS else product.category)
    if scene is None:
        return " ".join([*words, "on", PHOTO_SURFACE])
    if not still and rng.random() >= _DROP_MOTION:
        words.append(scene.motion)
    if rng.random() >= _DROP_GROUND:
        words += ["on", scene.backdrop, scene.surface]
    return " ".join(words)
