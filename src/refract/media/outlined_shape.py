"""What stands out of a backdrop by a sharp outline, though no more than a shadow by its colour.

A gray or white product on white has the colour of a shadow. A shadow of a product photo is soft,
so the two are told apart by their edges: what cannot be reached from the photo's border without
crossing a sharp edge is enclosed by one.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import (
    binary_dilation,
    binary_fill_holes,
    distance_transform_edt,
    gaussian_filter,
    gaussian_gradient_magnitude,
    label,
    mean,
)
from skimage.segmentation import expand_labels, watershed

Mask = NDArray[np.bool_]

_SCALE, _AROUND = 1.0, 2.8  # pixels: of a slope, and of the place it is compared with
_SHARP = 1.35  # times the mean slope around; at a step it is 3 times, on a longer ramp once
_LEAST_SLOPE = 0.009  # RGB distance a pixel: a step of 3 levels in each channel
_NOISE_MARGIN = 1.5  # times the steepest slopes of the backdrop
_GAP = 0.03  # of the shorter side: an outline interrupted by twice as much is still closed
_RING = 3  # pixels around a part: what surrounds it
_ISLAND = 0.9  # of what surrounds a part must be enclosed with it
_SPARSE = 0.25  # of an enclosed shape: parts that cover less are no likeness of it
_LEAST_GROWTH = 1.1  # times what is known of a shape; less is the blur of its outline


def grow_to_outline(
    parts: Mask, difference: NDArray[np.float64], faint: float, backdrop: Mask
) -> Mask:
    """`parts` [H, W] of a product, grown to the outlined shapes that they are islands of.

    A shape is taken where a part lies in it as an island, or where parts cover little of it; where
    there are no parts at all every shape is. A part that reaches the shape's outline is taken for
    the product itself, and the rest for the shadow that it casts.

    Args:
        difference: [H, W, 3] of the photo from its backdrop, RGB in 0..1.
        faint: its least length that is none of the backdrop's.
        backdrop: [H, W], pixels of which nothing but the backdrop is seen.
    """
    other = np.linalg.norm(difference, axis=-1) > faint
    outlined = _outlined(difference, other, backdrop)
    if not parts.any():
        return np.asarray(binary_fill_holes(outlined), bool)
    shapes, _ = label(outlined)
    grown = parts.copy()
    for number in np.unique(shapes[parts & outlined]):
        shape = shapes == number
        if _is_likelier(shape, parts):
            grown |= shape
    return np.asarray(binary_fill_holes(grown), bool)


def _is_likelier(shape: Mask, parts: Mask) -> bool:
    """Whether the whole shape is the product rather than its parts alone."""
    known = shape & parts
    if shape.sum() < _LEAST_GROWTH * known.sum():
        return False
    if known.sum() < _SPARSE * shape.sum():
        return True
    islands, _ = label(known)
    rings = np.where(parts, 0, expand_labels(islands, _RING))
    enclosed = mean(shape, rings, np.unique(rings[rings > 0]))
    return bool((np.asarray(enclosed) > _ISLAND).any())


def _outlined(difference: NDArray[np.float64], other: Mask, backdrop: Mask) -> Mask:
    """Pixels that a sharp edge encloses, divided from the rest where the slope is steepest."""
    slope = _slope(difference)
    least = max(_LEAST_SLOPE, _NOISE_MARGIN * float(np.quantile(slope[backdrop], 0.99)))
    edges = (slope > least) & (slope > _SHARP * gaussian_filter(slope, _AROUND))
    gap = max(2.0, _GAP * min(edges.shape))
    outside = _reached_from_border(edges, gap)
    # Through pixels of the backdrop's colour into the corners that the gap's width keeps out.
    outside = np.asarray(
        binary_dilation(outside, iterations=round(2 * gap), mask=~other | outside), bool
    )
    markers = np.where(outside, 1, np.where(edges, 0, 2))
    return np.asarray(watershed(slope, markers) == 2)


def _slope(difference: NDArray[np.float64]) -> NDArray[np.float64]:
    channels = np.moveaxis(difference, -1, 0)
    squares = sum(gaussian_gradient_magnitude(channel, _SCALE) ** 2 for channel in channels)
    return np.sqrt(np.asarray(squares))


def _reached_from_border(edges: Mask, gap: float) -> Mask:
    """What a disc of this radius covers that rolls in from the border and crosses no edge."""
    free = distance_transform_edt(~edges) > gap if edges.any() else ~edges
    parts, _ = label(free)
    border = np.concatenate([parts[0], parts[-1], parts[:, 0], parts[:, -1]])
    centres = np.isin(parts, border[border > 0])
    return distance_transform_edt(~centres) <= gap if centres.any() else centres
