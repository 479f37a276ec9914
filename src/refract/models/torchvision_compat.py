"""Let a CPU build of torch import a CUDA build of torchvision.

Importing this module before `transformers`, `diffusers`, `lpips` or `open_clip` is enough, and so
is importing it after one of them failed. Package indexes may pair a CPU torch with a torchvision
whose C++ operators are linked against CUDA; its import then fails with `operator torchvision::nms
does not exist`, although nothing here calls that operator. Declaring the two schemas cures it.
Where the operators load, or somebody has declared them, nothing is touched.

`import_torchvision` does without torch's compiler, which takes longer to import than all the rest.
"""

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

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

_COMPILER = ("torch._dynamo", "torch._dynamo.utils")


def import_torchvision() -> None:
    """Import it, and the compiler only when it asks that a question, as it pools regions."""
    later = {} if _COMPILER[0] in sys.modules else {name: _Later(name) for name in _COMPILER}
    with standing_in(later):
        import torchvision  # noqa: F401


class _Later(ModuleType):
    """Stands in for a module whose functions are imported when they are called."""

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith("__"):
            raise AttributeError(name)
        return lambda *arguments: getattr(import_module(self.__name__), name)(*arguments)


@contextmanager
def standing_in(modules: Mapping[str, Any]) -> Iterator[None]:
    """Within the block imports find these; one that is None is missing."""
    sys.modules.update(modules)
    try:
        yield
    finally:
        for name in modules:
            del sys.modules[name]
