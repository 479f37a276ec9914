"""Let a CPU build of torch import a CUDA build of torchvision.

Importing this module before `transformers`, `diffusers`, `lpips` or `open_clip` is enough.
Package indexes may pair a CPU torch with a torchvision whose C++ operators are linked against
CUDA; its import then fails with `operator torchvision::nms does not exist`, although nothing
here calls that operator. Declaring the two schemas cures it. Where the operators load, nothing
is touched.
"""

from importlib.util import find_spec
from pathlib import Path

import torch

import refract.models.quiet_imports  # noqa: F401  whoever comes before diffusers comes here

_SCHEMAS = ("nms", "qnms")
_library: torch.library.Library | None = None  # schemas live as long as this object


def _operators_load() -> bool:
    spec = find_spec("torchvision")
    if spec is None or spec.origin is None:
        return True  # nothing to mend without torchvision
    extensions = [*Path(spec.origin).parent.glob("_C.*")]
    try:
        for extension in extensions:
            torch.ops.load_library(extension)
    except OSError:
        return False
    return bool(extensions)


def declare_missing_operators() -> bool:
    """Declare the schemas torchvision expects; returns whether that was needed."""
    global _library
    if _library is not None or _operators_load():
        return False
    _library = torch.library.Library("torchvision", "DEF")
    for name in _SCHEMAS:
        _library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    return True


declare_missing_operators()
