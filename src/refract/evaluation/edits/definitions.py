"""What every metric of an edited clip means, in one line each, and which way is better.

Unless a line says otherwise: frames are 8-bit RGB at the edit's own resolution, a score is the
mean over a clip's frames, and 'the region' is the case's target_mask, else its source_mask. A long
clip is measured in parts, so that 'all frames' and 'the whole clip' are a part's: `parts.JOINED`.
"""

from refract.evaluation.edits.clip_measures import CLIP_MEASURES
from refract.evaluation.edits.delivered import DELIVERED_METRICS
from refract.evaluation.edits.found_region import FOUND_METHOD
from refract.evaluation.edits.product_fidelity import PARTS
from refract.evaluation.measures.metric_definition import MetricDefinition
from refract.evaluation.measures.motion import TRACK_METHOD
from refract.evaluation.measures.optical_flow import FLOW_METHOD
from refract.evaluation.measures.product import CROP_MARGIN, ERODE_PX
from refract.evaluation.measures.product_detail import CROP_PX
from refract.evaluation.measures.product_motion import OUTLINE_PX
from refract.evaluation.measures.vmaf import LEAST_PX, VMAF_MODEL

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


def _likeness(name: str, key: str, model: str, source: str) -> dict[str, MetricDefinition]:
    """The two measures of likeness to the photo by one encoder; cosine, -1 to 1."""
    return {
        f"product.{key}_i": MetricDefinition(
            f"{name}: cosine of the whole frame to the whole product photo, -1 to 1, by {model}; "
            f"{source}; pasting the photo wins it",
            "higher",
        ),
        f"product.{key}_i_crop": MetricDefinition(
            f"{name} of the product: as {key}_i, {_CROP}; says nothing of pose, place or motion",
            "higher",
        ),
    }


def _clip(key: str) -> dict[str, MetricDefinition]:
    judged_by = "" if key == "clip" else " by the micro CLIP"
    return _likeness(f"CLIP-I{judged_by}", key, _CLIP[key], "Ruiz et al. 2023 (DreamBooth)") | {
        f"product.{key}_t": MetricDefinition(
            f"CLIP-T{judged_by}: cosine of the whole frame to the target prompt, -1 to 1, not "
            f"scaled, by {_CLIP[key]}; Hessel et al. 2021 (CLIPScore); a prompt that leaves the "
            "look to the photo asks for little",
            "higher",
        )
    }


_PRODUCT = {
    "product.histogram_overlap": MetricDefinition(
        f"intersection of Lab histograms (6 x 8 x 8 bins, blurred) with the photo's product, 0 to "
        f"1; {_COLOUR}; Swain and Ballard 1991",
        "higher",
    ),
    "product.delta_e": MetricDefinition(
        f"CIE76 difference of mean colours to the photo's product, dE; {_COLOUR}",
        "lower",
    ),
    "product.shape_iou": MetricDefinition(
        "intersection over union of the region with the pixels outside the background whose Lab "
        "bin is likelier in the photo's product than in the source clip, 0 to 1: place, size, "
        "shape and pose; back-projection of Swain and Ballard 1991",
        "higher",
    ),
    "product.motion_agreement": MetricDefinition(
        "(S + n) / (S + M + 2 n), S and M the mean squared error of adjacent frames as they are "
        "and warped back by the source's flow, over the product as shape_iou finds it and "
        f"{OUTLINE_PX} px around, n the source's own M; 1 moves as the source, 0 stands still, 0.5 "
        f"cannot be told; nan for a region at rest or no product; flow: {FLOW_METHOD}",
        "higher",
    ),
    "product.fidelity": MetricDefinition(
        f"harmonic mean of {', '.join(part.removeprefix('product.') for part in PARTS)} (the last "
        "left out where it is nan), 0 to 1: right colours, right place and shape, right "
        "motion, all at once",
        "higher",
    ),
    "product.fidelity_found": MetricDefinition(
        f"product.fidelity of a case without masks, by a region found {FOUND_METHOD}, 0 to 1; the "
        "product is looked for in the whole frame; nan where that is nothing or half of the clip; "
        "compares with another run only where the plain edits are equal",
        "higher",
    ),
    "product.lpips_crop": MetricDefinition(
        "LPIPS 0.1 (lpips package, AlexNet) of the product in the region to the photo's, each in "
        f"its square as for the other crops, all else gray, at {CROP_PX} px (PIL, bicubic); the "
        "photo turned by 0, 90, 180 or 270 degrees, whichever is nearest to the whole clip; no "
        "other pose is allowed for; Zhang et al. 2018",
        "lower",
    ),
}

_BACKGROUND = {
    "background.psnr": MetricDefinition(
        "PSNR against the source beyond dilate_px of every mask, dB, squared errors of all frames "
        "and channels pooled, at most 100",
        "higher",
    ),
    "background.ssim": MetricDefinition(
        "SSIM against the source beyond dilate_px of every mask, at most 1; scikit-image, Gaussian "
        "window of sigma 1.5, mean over channels; Wang et al. 2004",
        "higher",
    ),
    "background.lpips": MetricDefinition(
        "LPIPS 0.1 (lpips package, AlexNet) to the source after everything but the background is "
        "taken from it; no resize; Zhang et al. 2018",
        "lower",
    ),
    "background.vmaf": MetricDefinition(
        f"VMAF ({VMAF_MODEL}, libvmaf of ffmpeg) against the source after everything but the "
        "background is taken from it, 0 to 100, the source itself 97 to 100; BT.601 luma, no "
        f"resize though the model is of 1080p; nan below {LEAST_PX} px; Li et al. 2016",
        "higher",
    ),
}

_TEMPORAL = {
    "temporal.relative_consistency": MetricDefinition(
        "mean CLIP cosine of adjacent frames divided by the source's own; VBench's background "
        "consistency (Huang et al. 2024) takes it plain, and to the first frame too, which a "
        "frozen clip wins: here that is above 1",
        "one",
    ),
    "temporal.relative_change": MetricDefinition(
        "mean absolute difference of adjacent frames divided by the source's own; 0 is frozen; nan "
        "for a source at rest",
        "one",
    ),
    "temporal.relative_warp_error": MetricDefinition(
        "mean squared error of each frame against the next one warped back by the SOURCE's flow, "
        "where that has a partner, divided by the source's own; above 1 the motion is lost; Lai "
        f"et al. 2018; flow: {FLOW_METHOD}",
        "one",
    ),
    "temporal.motion_fidelity_dis": MetricDefinition(
        f"agreement with the source's tracks, -1 to 1, 0 is frozen, nan for a source at rest; "
        f"{TRACK_METHOD}",
        "higher",
    ),
}

EDIT_METRICS: dict[str, MetricDefinition] = {
    **_clip("clip"),
    **_clip("clip_micro"),
    **_likeness("DINO", "dino", _DINO, "Ruiz et al. 2023 (DreamBooth)"),
    **_PRODUCT,
    **_BACKGROUND,
    **_TEMPORAL,
    **CLIP_MEASURES,
    **DELIVERED_METRICS,
}
