"""Frechet distance between two sets of features, each taken for a Gaussian (Heusel et al. 2017)."""

import numpy as np
from numpy.typing import NDArray

from refract.base.errors import InputError

Features = NDArray[np.floating]  # [N, D], one row an image


def frechet_distance(features: Features, truths: Features) -> float:
    """|m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)) of two sets `[N, D]` and `[M, D]`; 0 or more.

    C are the unbiased covariances. With centred features A / sqrt(N - 1) = Q R, C is R^T R and
    the trace of the root is the sum of the singular values of R1 R2^T. No matrix root is taken,
    so that near-singular covariances neither fail nor turn complex.

    Raises:
        InputError: fewer than two rows, different widths, or a value that is not finite.
    """
    _check(features, truths)
    step = features.mean(0, dtype=np.float64) - truths.mean(0, dtype=np.float64)
    ours, theirs = _root(features), _root(truths)
    shared = float(np.linalg.norm(ours @ theirs.T, "nuc"))
    spread = float(np.square(ours).sum() + np.square(theirs).sum())
    return max(0.0, float(step @ step) + spread - 2 * shared)


def enough_images(count: int, dimension: int) -> bool:
    """Whether `count` images can span the covariance of so many features: one more than these."""
    return count > dimension


def _check(features: Features, truths: Features) -> None:
    for name, found in (("features", features), ("truths", truths)):
        if found.ndim != 2 or len(found) < 2:
            raise InputError(f"Frechet distance: {name} {found.shape}, must be [2 or more, D]")
        if not np.isfinite(found).all():
            raise InputError(f"Frechet distance: {name} hold values that are not finite")
    if features.shape[1] != truths.shape[1]:
        raise InputError(
            f"Frechet distance: features of {features.shape[1]} and {truths.shape[1]} columns; "
            "both must be of one network"
        )


def _root(features: Features) -> NDArray[np.float64]:
    """R with R^T R the unbiased covariance of the rows."""
    wide = np.asarray(features, np.float64)
    centred = (wide - wide.mean(0)) / np.sqrt(len(wide) - 1)
    return np.asarray(np.linalg.qr(centred, mode="r"))
