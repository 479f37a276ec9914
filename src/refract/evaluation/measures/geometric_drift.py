"""Whether a generated infrared picture keeps things where the visible picture has them.

Pixel measures punish a moved vehicle little more than a vanished one. Three measures that look at
outlines alone, and so not at how warm anything is:

drift_px        shift against the visible picture beyond the true infrared picture's own, px.
edge_f1         share of the outlines that are where the true ones are.
edge_alignment  share of the outlines that are on outlines of the visible picture, over the true
                picture's own share. 1 is the aim: a copy of the visible picture is far above it.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt, gaussian_filter
from skimage.feature import canny
from skimage.registration import phase_cross_correlation

from refract.evaluation.measures.image import FloatArray

Edges = NDArray[np.bool_]  # [H, W]

EDGE_SIGMA = 2.0  # px, smoothing before Canny's gradient
# Quantiles of the gradient between which edges are followed. A share of the pixels and no
# contrast: the visible picture and the infrared one have different ones, the night little.
EDGE_QUANTILES = (0.8, 0.9)
TOLERANCE_PX = 2.0
GRADIENT_SIGMA = 1.0  # px, smoothing before the gradient whose phase is correlated
# Half an 8-bit level a pixel: gradients below it are rounding. Above it their logarithm counts, so
# that a few headlights do not outweigh a dark street; without it one night in five was mistaken.
GRADIENT_FLOOR = 0.5 / 255
SUBPIXEL = 10  # shifts are found to 1/10 px
# A larger shift is no shift but no likeness: the peak of the correlation then lies anywhere, as it
# does under heavy pixel noise. It is counted as this share of the picture's shorter side.
FURTHEST = 1 / 8
_LEAST_ALIGNED = 0.05  # share of true outlines on visible ones, below which a ratio is noise


@dataclass(frozen=True)
class SceneGeometry:
    """What a scene's pictures are held against, computed once a scene.

    visible_gradient: see `log_gradient`. to_visible_edge, to_true_edge: px to the next edge.
    true_shift: of the true infrared picture against the visible one, (down, right) px.
    """

    visible_gradient: FloatArray
    to_visible_edge: FloatArray
    true_edges: Edges
    to_true_edge: FloatArray
    true_shift: NDArray[np.float64] | None
    true_aligned: float


def scene_geometry(visible: FloatArray, truth: FloatArray) -> SceneGeometry:
    """Of the visible picture's luma and the true infrared picture, both `[H, W]` in [0, 1]."""
    gradient = log_gradient(visible)
    to_visible = distance_to(edges(visible))
    true_edges = edges(truth)
    return SceneGeometry(
        gradient,
        to_visible,
        true_edges,
        distance_to(true_edges),
        shift(gradient, log_gradient(truth)),
        near(true_edges, to_visible),
    )


def geometry_scores(image: FloatArray, scene: SceneGeometry) -> dict[str, float]:
    """`drift_px`, `edge_f1` and `edge_alignment` of a picture `[H, W]` in [0, 1]; see the module.

    nan where the scene has nothing to hold it against: a visible picture that even the truth
    cannot be registered to (dark night), a truth without edges.
    """
    image_edges = edges(image)
    return {
        "drift_px": drift_px(image, scene),
        "edge_f1": edge_f1(image_edges, scene.true_edges, scene.to_true_edge),
        "edge_alignment": _over(near(image_edges, scene.to_visible_edge), scene.true_aligned),
    }


def drift_px(image: FloatArray, scene: SceneGeometry) -> float:
    """Length of the shift against the visible picture less the truth's own shift, px."""
    furthest = FURTHEST * min(image.shape)
    if scene.true_shift is None or np.hypot(*scene.true_shift) > furthest:
        return float("nan")
    image_shift = shift(scene.visible_gradient, log_gradient(image))
    if image_shift is None:
        return furthest  # a blank picture is registered to nothing
    return min(furthest, float(np.hypot(*(image_shift - scene.true_shift))))


def edge_f1(image_edges: Edges, true_edges: Edges, to_true: FloatArray) -> float:
    """Harmonic mean of the shares of found edges near true ones and of true edges near found."""
    if not true_edges.any():
        return float("nan")
    if not image_edges.any():
        return 0.0
    precision, recall = near(image_edges, to_true), near(true_edges, distance_to(image_edges))
    return 2 * precision * recall / (precision + recall) if precision + recall > 0 else 0.0


def edges(picture: FloatArray) -> Edges:
    """Canny edges; none in a blank picture, where rounding errors would be followed."""
    if np.ptp(picture) < 1e-6:
        return np.zeros(picture.shape, bool)
    low, high = EDGE_QUANTILES
    mask = canny(
        np.asarray(picture, np.float64),
        sigma=EDGE_SIGMA,
        low_threshold=low,
        high_threshold=high,
        use_quantiles=True,
    )
    return np.asarray(mask, bool)


def distance_to(edges_there: Edges) -> FloatArray:
    """Distance of every place to the next edge, px; infinite without edges."""
    if not edges_there.any():
        return np.full(edges_there.shape, np.inf)
    return np.asarray(distance_transform_edt(~edges_there))


def near(edges_there: Edges, distance: FloatArray) -> float:
    """Share of the edges at most `TOLERANCE_PX` from the others; 0 without edges."""
    return float((distance[edges_there] <= TOLERANCE_PX).mean()) if edges_there.any() else 0.0


def log_gradient(picture: FloatArray) -> FloatArray:
    """Log length of the gradient of the smoothed picture; blind to which side is the warmer one."""
    smooth = gaussian_filter(np.asarray(picture, np.float64), GRADIENT_SIGMA)
    return np.asarray(np.log(np.hypot(*np.gradient(smooth)) + GRADIENT_FLOOR))


def shift(fixed: FloatArray, moved: FloatArray) -> NDArray[np.float64] | None:
    """How far `moved` lies (down, right) of `fixed`, px: phase correlation (Kuglin, Hines 1975).

    None where either is blank, for which the library would answer 0.
    """
    if np.ptp(fixed) < 1e-6 or np.ptp(moved) < 1e-6:
        return None
    offset, _, _ = phase_cross_correlation(fixed, moved, upsample_factor=SUBPIXEL)
    return -np.asarray(offset, np.float64)


def _over(share: float, true_share: float) -> float:
    return share / true_share if true_share >= _LEAST_ALIGNED else float("nan")
