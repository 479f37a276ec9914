"""What every metric of an edited clip means, in one line each, and which way is better.

Unless a line says otherwise: frames are 8-bit RGB at the edit's own resolution, a score is the
mean over a clip's frames, and 'the region' is the case's target_mask, else its source_mask.
"""

from dataclasses import dataclass
from typing import Literal

from refract.evaluation.measures.motion import TRACK_METHOD
from refract.evaluation.measures.optical_flow import FLOW_METHOD
from refract.evaluation.measures.product import CROP_MARGIN, ERODE_PX
from refract.evaluation.measures.product_fidelity import PARTS
from refract.evaluation.measures.product_motion import OUTLINE_PX

Better = Literal["higher", "lower", "one"]  # one: 1 is the aim, both sides of it are worse


@dataclass(frozen=True)
class Definition:
    """better: None for what is described, not judged."""

    better: Better | None
    text: str


_CLIP = {
    "clip": "a published CLIP (open_clip, its own resize, crop and normalisation)",
    "clip_micro": "this project's own small CLIP (open_clip, bicubic to 64 px); compares with "
    "itself alone, not with CLIP-I or CLIP-T of any paper",
}
_DINO = (
    "class token of the configured DINO or ViT (transformers, its own resize, centre crop and "
    "normalisation)"
)
_CROP = (
    f"squares around the region, {CROP_MARGIN:.0%} of its longer side as margin, against the "
    "photo's own square"
)
_COLOUR = (
    f"pixels of all frames together, {ERODE_PX} px inside the region, in CIE Lab (scikit-image)"
)


def _likeness(name: str, key: str, model: str, source: str) -> dict[str, Definition]:
    """The two measures of likeness to the photo by one encoder; cosine, -1 to 1."""
    return {
        f"product.{key}_i": Definition(
            "higher",
            f"{name}: cosine of the whole frame to the whole product photo, -1 to 1, by {model}; "
            f"{source}; pasting the photo wins it",
        ),
        f"product.{key}_i_crop": Definition(
            "higher",
            f"{name} of the product: as {key}_i, {_CROP}; says nothing of pose, place or motion",
        ),
    }


def _clip(key: str) -> dict[str, Definition]:
    own = "" if key == "clip" else " by the micro CLIP"
    return _likeness(f"CLIP-I{own}", key, _CLIP[key], "Ruiz et al. 2023 (DreamBooth)") | {
        f"product.{key}_t": Definition(
            "higher",
            f"CLIP-T{own}: cosine of the whole frame to the target prompt, -1 to 1, not scaled, by "
            f"{_CLIP[key]}; Hessel et al. 2021 (CLIPScore); a prompt that leaves the look to the "
            "photo asks for little",
        )
    }


_PRODUCT = {
    "product.histogram_overlap": Definition(
        "higher",
        f"intersection of Lab histograms (6 x 8 x 8 bins, blurred) with the photo's product, 0 to "
        f"1; {_COLOUR}; Swain and Ballard 1991",
    ),
    "product.delta_e": Definition(
        "lower",
        f"CIE76 difference of mean colours to the photo's product, dE; {_COLOUR}",
    ),
    "product.shape_iou": Definition(
        "higher",
        "intersection over union of the region with the pixels outside the background whose Lab "
        "bin is likelier in the photo's product than in the source clip, 0 to 1: place, size, "
        "shape and pose; back-projection of Swain and Ballard 1991",
    ),
    "product.motion_agreement": Definition(
        "higher",
        "(S + n) / (S + M + 2 n), S and M the mean squared error of adjacent frames as they are "
        "and warped back by the source's flow, over the product as shape_iou finds it and "
        f"{OUTLINE_PX} px around, n the source's own M; 1 moves as the source, 0 stands still, 0.5 "
        f"cannot be told; nan for a region at rest or no product; flow: {FLOW_METHOD}",
    ),
    "product.fidelity": Definition(
        "higher",
        f"harmonic mean of {', '.join(part.removeprefix('product.') for part in PARTS)} (the last "
        "left out where it is nan), 0 to 1: right colours, right place and shape, right "
        "motion, all at once",
    ),
}

_BACKGROUND = {
    "background.psnr": Definition(
        "higher",
        "PSNR against the source beyond dilate_px of every mask, dB, squared errors of all frames "
        "and channels pooled, at most 100",
    ),
    "background.ssim": Definition(
        "higher",
        "SSIM against the source beyond dilate_px of every mask, at most 1; scikit-image, Gaussian "
        "window of sigma 1.5, mean over channels; Wang et al. 2004",
    ),
    "background.lpips": Definition(
        "lower",
        "LPIPS 0.1 (lpips package, AlexNet) to the source after everything but the background is "
        "taken from it; no resize; Zhang et al. 2018",
    ),
    "background.perceptual_micro": Definition(
        "lower",
        "feature distance to the source after everything but the background is taken from it, by "
        "the configured CLIP's visual maps, 0 to 4; LPIPS's form, uncalibrated: not LPIPS",
    ),
}

_TEMPORAL = {
    "temporal.relative_consistency": Definition(
        "one",
        "mean CLIP cosine of adjacent frames divided by the source's own; VBench's background "
        "consistency (Huang et al. 2024) takes it plain, and to the first frame too, which a "
        "frozen clip wins: here that is above 1",
    ),
    "temporal.relative_change": Definition(
        "one",
        "mean absolute difference of adjacent frames divided by the source's own; 0 is frozen; nan "
        "for a source at rest",
    ),
    "temporal.relative_warp_error": Definition(
        "one",
        "mean squared error of each frame against the next one warped back by the SOURCE's flow, "
        "where that has a partner, divided by the source's own; above 1 the motion is lost; Lai "
        f"et al. 2018; flow: {FLOW_METHOD}",
    ),
    "temporal.motion_fidelity_dis": Definition(
        "higher",
        f"agreement with the source's tracks, -1 to 1, 0 is frozen, nan for a source at rest; "
        f"{TRACK_METHOD}",
    ),
    "temporal.flickering": Definition(
        None,
        "VBench's temporal flickering: 1 - mean absolute difference of adjacent frames / 255; a "
        "frozen clip is perfect by it and motion counts as flicker; Huang et al. 2024",
    ),
}

EDIT_METRICS: dict[str, Definition] = {
    **_clip("clip"),
    **_clip("clip_micro"),
    **_likeness("DINO", "dino", _DINO, "Ruiz et al. 2023 (DreamBooth)"),
    **_PRODUCT,
    **_BACKGROUND,
    **_TEMPORAL,
}
