"""Which metrics a sweep's table and plots show, and in which order.

Patterns, since names vary with the model that measured. All metrics are in the CSV files.
"""

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase

from refract.compare.item_tables import HalfName

PREFERRED: dict[HalfName, tuple[str, ...]] = {
    "edit": (
        "product.fidelity",
        "product.histogram_overlap",
        "product.delta_e",
        "product.clip*_i_crop",
        "product.dino*_crop",
        "background.psnr",
        "temporal.motion_fidelity*",
        "temporal.relative_*",
    ),
    "infrared": ("psnr", "day.psnr", "night.psnr", "ssim", "lpips*", "perceptual*", "l1"),
}


def choose_metrics(
    present: Iterable[str], half: HalfName, patterns: Sequence[str] | None = None
) -> list[str]:
    """The present metrics that fit, by pattern and then by name; all where none fits.

    patterns: a grid's own in place of the half's.
    """
    names = sorted(set(present))
    wanted = PREFERRED[half] if patterns is None else patterns
    fitting = [name for pattern in wanted for name in names if fnmatchcase(name, pattern)]
    return list(dict.fromkeys(fitting)) or names
