"""How far pedestrians stand out in generated infrared pictures of the street world.

    python -m backbones.image.pedestrians --triptychs out/triptychs --infrared out/infrared/adapter

A scene's contrast is the mean level of its pedestrians minus that of a ring of 6 px around them;
what is told is the median, by day and by night, of the generated contrast over the true one.
"""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation

from backbones.options import begin, recipe_parser
from backbones.worlds.street import PALETTE
from backbones.worlds.street_layout import CLASSES
from refract.evaluation.infrared.scenes import Gray, TrueScene, load_scenes, predictions

_RING_PX = 6
_FEWEST_PX = 20  # of pedestrians in a scene that counts
_LEAST_CONTRAST = 5.0  # levels in the truth: a ratio to less is noise

Mask = NDArray[np.bool_]


def pedestrian_mask(semantic: NDArray[np.uint8]) -> Mask:
    """Pixels of the colour map [H, W, 3] whose nearest class colour is that of persons."""
    distance = np.square(semantic[:, :, None].astype(np.float32) - PALETTE).sum(-1)
    return np.asarray(distance.argmin(-1) == CLASSES.index("person"))


def contrast(picture: Gray, mask: Mask) -> float:
    """Mean level inside the mask minus that of the ring around it."""
    ring = binary_dilation(mask, iterations=_RING_PX) & ~mask
    return float(picture[mask].mean() - picture[ring].mean())


def contrast_ratios(
    scenes: Sequence[TrueScene], pictures: Sequence[Gray]
) -> dict[str, list[float]]:
    """Generated over true contrast of every scene that counts, by time of day."""
    ratios: dict[str, list[float]] = {}
    for scene, picture in zip(scenes, pictures, strict=True):
        mask = pedestrian_mask(scene.semantic)
        if mask.sum() >= _FEWEST_PX and not mask.all():
            true = contrast(scene.infrared, mask)
            if abs(true) > _LEAST_CONTRAST:
                ratios.setdefault(scene.daytime, []).append(contrast(picture, mask) / true)
    return ratios


def main() -> None:
    parser = recipe_parser(__doc__)
    parser.add_argument("--triptychs", type=Path, required=True)
    parser.add_argument("--infrared", type=Path, required=True, help="folder of <id>.png")
    options = begin(parser)
    scenes = load_scenes(options.triptychs, "test")
    ratios = contrast_ratios(scenes, predictions(options.infrared, scenes))
    figures = {
        daytime: {"median": float(np.median(found)), "scenes": len(found)}
        for daytime, found in ratios.items()
    }
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
