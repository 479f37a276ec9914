"""What metrics are called on the page, and their units; definitions say which way is better."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Literal

from refract.evaluation.directions import direction_of
from refract.evaluation.measures.bootstrap import MeanInterval
from refract.evaluation.measures.metric_definition import Better


@dataclass(frozen=True)
class MetricFacts:
    """key: dotted name in the tables. digits: decimals shown. about: one sentence.

    is_key: whether the page shows it at once, not only when asked for more.
    """

    key: str
    label: str
    unit: str = ""
    digits: int = 3
    about: str = ""
    is_key: bool = False
    better: Better | Literal["none"] = "none"

    def text(self, value: float) -> str:
        """The value as it stands on the page, without its unit; a true minus sign."""
        return f"{round(value, self.digits) + 0.0:.{self.digits}f}".replace("-", "−")

    def signed(self, value: float) -> str:
        """A difference, with its sign in any case."""
        return f"{round(value, self.digits) + 0.0:+.{self.digits}f}".replace("-", "−")

    def ends(self, mean: MeanInterval) -> str:
        """The two ends of an interval."""
        return f"[{self.text(mean.low)}, {self.text(mean.high)}]"


_REGION = "inside the product region"
_ELSEWHERE = "Is the source kept outside the product?"
_SOURCE_IS_ONE = "As a multiple of the source's own; 1 is the aim."
_OWN_MODEL = "By the micro profile's own model; compares only with itself."

# In the order of the page. A key may be a pattern, since names vary with the model that measured;
# the first that fits counts.
_KNOWN = tuple(
    MetricFacts(*row)
    for row in (
        ("psnr", "PSNR", "dB", 2, "Peak signal-to-noise ratio to the truth.", True),
        ("ssim", "SSIM", "", 3, "Structural similarity to the truth.", True),
        ("ms_ssim", "MS-SSIM", "", 3, "Multi-scale structural similarity.", False),
        ("ms_ssim_?", "MS-SSIM, fewer scales", "", 3,
         "At the scales the panels have room for; compares only with itself.", False),
        ("lpips", "LPIPS", "", 3, "Perceptual distance to the truth, AlexNet.", True),
        ("l1", "L1", "", 4, "Mean absolute error, grey levels 0 to 1.", True),
        ("targets_hallucinated", "Hallucinated targets", "a scene", 2,
         "Warm targets that the truth does not have.", True),
        ("targets_missed", "Missed targets", "a scene", 2,
         "Warm targets of the truth that are not there.", True),
        ("targets_matched", "Matched targets", "a scene", 2, "Warm targets of both.", False),
        ("edge_f1", "Edge F1", "", 3, "Edges against the truth's.", False),
        ("edge_alignment", "Edge alignment", "", 3,
         "Edges that the visible picture has, over the truth's share.", False),
        ("drift_px", "Drift", "px", 2, "Shift beyond the truth's own.", False),
        ("product.fidelity", "Product fidelity", "", 3,
         "Harmonic mean of colour, shape and motion.", True),
        ("product.fidelity_found", "Product fidelity, region found", "", 3,
         "The same for cases without masks, where the plain edit changed the source.", True),
        ("product.histogram_overlap", "Colour overlap", "", 3,
         f"Overlap of colour histograms with the photo, {_REGION}.", True),
        ("product.delta_e", "ΔE to the product", "", 1,
         f"CIE76 colour difference to the photo, {_REGION}.", True),
        ("product.clip_i_crop", "CLIP-I, crop", "", 3,
         "The product's surroundings against the photo's.", True),
        ("product.clip_micro_i_crop", "CLIP-I (micro), crop", "", 3, _OWN_MODEL, True),
        ("product.lpips_crop", "Product LPIPS", "", 3,
         "Perceptual distance of the product's cut-out to the photo's.", False),
        ("background.psnr", "Background PSNR", "dB", 2, _ELSEWHERE, True),
        ("background.ssim", "Background SSIM", "", 3, _ELSEWHERE, True),
        ("background.lpips", "Background LPIPS", "", 4, _ELSEWHERE, False),
        ("background.vmaf", "Background VMAF", "", 1, _ELSEWHERE, False),
        ("temporal.motion_fidelity*", "Motion fidelity", "", 3,
         "Do points move as in the source?", True),
        ("temporal.relative_warp_error", "Warp error", "× source", 3, _SOURCE_IS_ONE, True),
        ("temporal.relative_change", "Frame change", "× source", 3, _SOURCE_IS_ONE, False),
        ("temporal.relative_consistency", "Consistency", "× source", 3,
         _SOURCE_IS_ONE, False),
        ("temporal.flickering", "Flickering", "", 3,
         "VBench's score: 1 for a frozen clip, so no aim by itself.", False),
        ("product.shape_iou", "Product shape", "", 3,
         "Is the product where it should be, and of its shape?", False),
        ("product.motion_agreement", "Product motion", "", 3,
         "Does the product move as the source does?", False),
        ("product.clip_i", "CLIP-I", "", 3, "Whole frames against the photo.", False),
        ("product.clip_micro_i", "CLIP-I (micro)", "", 3, _OWN_MODEL, False),
        ("product.clip_t", "CLIP-T", "", 3, "Frames against the target prompt.", False),
        ("product.clip_micro_t", "CLIP-T (micro)", "", 3, _OWN_MODEL, False),
        ("product.dino_i_crop", "DINO-I, crop", "", 3,
         "The product's surroundings against the photo's.", False),
        ("product.dino_i", "DINO-I", "", 3, "Whole frames against the photo.", False),
        ("delivered.background_psnr", "Deliverable PSNR", "dB", 2,
         "Of final.mp4 to the template, where no edited pixel shows.", False),
        ("delivered.replaced_share", "Share replaced", "", 3,
         "Of the template's pixels, those that show the edit.", False),
        ("delivered.sound_kept", "Sound kept", "", 2,
         "Share of the template's streams of sound, byte by byte.", False),
        ("delivered.duration_error", "Length, error", "s", 3, "Against the template.", False),
        ("delivered.frame_error", "Frames, error", "", 0, "Against the template.", False),
    )
)  # fmt: skip


def metric_facts(key: str) -> MetricFacts:
    """Facts of a metric; one not known here goes by its own name."""
    for facts in _KNOWN:
        if fnmatchcase(key, facts.key):
            return replace(facts, key=key, better=_better(key))
    label = key.replace(".", ": ").replace("_", " ")
    return MetricFacts(key, label, digits=4, better=_better(key))


def _better(key: str) -> Better | Literal["none"]:
    direction = direction_of(key)
    if direction is None:
        return "none"
    return "one" if direction.way == "nearer" else direction.way


def in_order(keys: Iterable[str]) -> list[MetricFacts]:
    """Facts of metrics: key figures first, then known ones, then the others as they come."""
    places = {facts.label: place for place, facts in enumerate(_KNOWN)}
    return sorted(
        map(metric_facts, keys), key=lambda f: (not f.is_key, places.get(f.label, len(places)))
    )


def merit(facts: MetricFacts, value: float) -> float:
    """The value turned so that more is better."""
    if facts.better == "one":
        return -abs(value - 1)
    return -value if facts.better == "lower" else value
