"""Let a CPU build of torch import a CUDA build of torchvision.

Importing this module before `transformers`, `diffusers`, `lpips` or `open_clip` is enough, and so
is importing it after one of them failed. Package indexes may pair a CPU torch with a torchvision
whose C++ operators are linked against CUDA; its import then fails with `operator torchvision::nms
does not exist`, although nothing here calls that operator. Declaring the two schemas cures it.
Where the operators load, or somebody has declared them, nothing is touched.
"""

from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

import torch

import refract.models.quiet_imports  # noqa: F401  whoever comes before diffusers comes here

_library = torch.library.Library("torchvision", "FRAGMENT")  # its schemas live as long as it does


def _load_operators() -> None:
    spec = find_spec("torchvision")
    if spec is None or spec.origin is None:
        return
    for extension in Path(spec.origin).parent.glob("_C.*"):
        with suppress(OSError):  # linked against what this torch does not have
            torch.ops.load_library(extension)


_load_operators()
for _name in ("nms", "qnms"):
    if not hasattr(torch.ops.torchvision, _name):
        _library.define(f"{_name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
