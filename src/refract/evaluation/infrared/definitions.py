"""What every key of the infrared metrics means: library, resize, channels, unit, direction, paper.

The one place to look a figure up; the report and the comparison of runs can read it too. Keys are
the last part of a dotted key: `baseline.class_mean.psnr` is `psnr` of another variant.
"""

from refract.evaluation.measures.image import l1, psnr, ssim
from refract.evaluation.measures.metric_definition import MetricDefinition

_INTERVAL_ENDS = ("_low", "_high")
_PLAIN = "single channel, native resolution, no resize"


def _ms_ssim(scales: int) -> MetricDefinition:
    return MetricDefinition(
        f"MS-SSIM at the {scales} finest scales of the paper's five, its weights scaled to sum 1, "
        "for panels below 192 px; not comparable with ms_ssim; scikit-image's SSIM, 11 x 11 "
        f"Gaussian, {_PLAIN}; after Wang et al. 2003",
        "higher",
    )


def _frechet(clip: str) -> MetricDefinition:
    return MetricDefinition(
        "Frechet distance of the sets of pictures over unit-length image embeddings of "
        f"{clip}, open_clip's own transform, gray repeated to RGB; not FID; only where the "
        "pictures outnumber the features; after Heusel et al. 2017",
        "lower",
    )


DEFINITIONS: dict[str, MetricDefinition] = {
    "count": MetricDefinition("test scenes with a true infrared picture", None),
    "psnr": MetricDefinition(
        f"peak signal-to-noise ratio against the truth, dB, peak 255, at most 100; {_PLAIN}",
        "higher",
        psnr,
    ),
    "ssim": MetricDefinition(
        "structural similarity, scikit-image, 11 x 11 Gaussian of sigma 1.5, K1 .01, K2 .03; "
        f"{_PLAIN}; Wang et al. 2004",
        "higher",
        ssim,
    ),
    "ms_ssim": MetricDefinition(
        "multi-scale structural similarity, five scales, weights .0448 .2856 .3001 .2363 .1333, "
        f"on scikit-image's SSIM; {_PLAIN}; panels of 192 px or more; Wang et al. 2003",
        "higher",
    ),
    **{f"ms_ssim_{scales}": _ms_ssim(scales) for scales in (4, 3, 2)},
    "lpips": MetricDefinition(
        "LPIPS 0.1, AlexNet, lpips package; gray repeated to RGB in [-1, 1], no resize; Zhang et "
        "al. 2018",
        "lower",
    ),
    "l1": MetricDefinition(f"mean absolute error, fraction of full scale; {_PLAIN}", "lower", l1),
    "drift_px": MetricDefinition(
        "shift against the visible picture beyond the true infrared picture's own, px, at most 1/8 "
        "of the side (no likeness); scikit-image's phase correlation of the log of the gradient "
        f"magnitude, sigma 1 px, to 0.1 px; {_PLAIN}; Kuglin and Hines 1975",
        "lower",
    ),
    "edge_f1": MetricDefinition(
        "F1 of the picture's edges against the truth's, at most 2 px apart; scikit-image's Canny, "
        "sigma 2 px, thresholds at the 0.8 and 0.9 quantiles of the gradient (blind to contrast "
        f"and polarity); {_PLAIN}; Canny 1986",
        "higher",
    ),
    "edge_alignment": MetricDefinition(
        "share of the edges at most 2 px from an edge of the visible picture, over the true "
        "infrared picture's share; edges as in edge_f1; a copy of the visible picture is far "
        "above 1",
        "one",
    ),
    "targets_matched": MetricDefinition(
        "warm targets that picture and truth both have: bright regions at most half the picture "
        "wide and high that stand out from what surrounds them by one standard deviation of the "
        "picture, or by half of one beside a target of the other picture; diameter top-hat, a "
        "Gaussian of 1/64 of the side before it, levels of a quarter deviation (blind to gain and "
        "offset), OpenCV's 8-connected regions; one to one by scipy's linear_sum_assignment, IoU "
        f"of the boxes 0.5 or more; {_PLAIN}; after Walter et al. 2007, Everingham et al. 2010",
        "higher",
    ),
    "targets_missed": MetricDefinition(
        "warm targets of the truth that the picture does not have; as in targets_matched", "lower"
    ),
    "targets_hallucinated": MetricDefinition(
        "warm targets of the picture that the truth does not have; as in targets_matched", "lower"
    ),
    "target_precision": MetricDefinition(
        "matched over matched and hallucinated targets of all scenes together: the rest to 1 is "
        "the share of hallucinated ones; interval over scenes",
        "higher",
    ),
    "target_recall": MetricDefinition(
        "matched over matched and missed targets of all scenes together, the probability of "
        "detection; interval over scenes",
        "higher",
    ),
    "target_f1": MetricDefinition(
        "harmonic mean of target_precision and target_recall; interval over scenes", "higher"
    ),
    "class_l1": MetricDefinition(
        "mean over the classes of the semantic maps of the mean absolute error of all their pixels "
        f"in all scenes, fraction of full scale; {_PLAIN}; interval over scenes",
        "lower",
    ),
    "fid": MetricDefinition(
        "Frechet inception distance of the sets of pictures, clean-fid's protocol: PIL bicubic "
        "antialiased to 299 px in float, gray repeated to RGB, the original Inception-v3, 2048 "
        "pool features; only for more than 2048 pictures; Heusel et al. 2017, Parmar et al. 2022",
        "lower",
    ),
    "frechet_clip": _frechet("a published CLIP"),
    "frechet_clip_micro": _frechet("the micro profile's own small CLIP"),
    "gain_psnr": MetricDefinition(
        "mean over scenes of the PSNR of the run minus that of this variant, dB", "higher"
    ),
    "gain_psnr_best": MetricDefinition(
        "gain_psnr over the baseline without a model of the highest mean PSNR, `best_baseline`",
        "higher",
    ),
    "best_baseline": MetricDefinition("name of the variant of gain_psnr_best", None),
}


def definition_of(key: str) -> MetricDefinition | None:
    """Definition of a dotted key, its intervals' ends included; None for an unknown one."""
    leaf = key.rpartition(".")[2]
    for end in _INTERVAL_ENDS:
        leaf = leaf.removesuffix(end)
    return DEFINITIONS.get(leaf)
