"""open_clip and torchvision without what they import for models that nobody loads here.

They take seven seconds to import, four of which go into three libraries: transformers, for text
towers that `refract.models.clip` refuses; timm, for image towers that few configurations name; and
torch's compiler, which torchvision asks a question when it pools regions. What is loaded already
is left as it is.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from types import ModuleType
from typing import Any

import refract.models.torchvision_compat  # noqa: F401  (must precede torchvision)

_COMPILER = ("torch._dynamo", "torch._dynamo.utils")


def import_torchvision() -> None:
    """Import it, and the compiler only when a function of it is called."""
    later = {} if _COMPILER[0] in sys.modules else {name: _Later(name) for name in _COMPILER}
    with _standing_in(later):
        import torchvision  # noqa: F401


def import_open_clip(*, timm: bool) -> Any:
    """The package, which then knows no text towers of transformers; nor image towers without timm.

    timm: whether the model has an image tower of it.
    """
    import_torchvision()
    towers = sys.modules.get("open_clip.timm_model")
    if timm and towers is not None and towers.timm is None:  # as an earlier model had it
        for name in [name for name in sys.modules if name.partition(".")[0] == "open_clip"]:
            del sys.modules[name]
    unneeded = ["transformers", *([] if timm else ["timm"])]
    with _standing_in({name: None for name in unneeded if name not in sys.modules}):
        return import_module("open_clip")


class _Later(ModuleType):
    """Stands in for a module whose functions are imported when they are called."""

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith("__"):
            raise AttributeError(name)
        return lambda *arguments: getattr(import_module(self.__name__), name)(*arguments)


@contextmanager
def _standing_in(modules: dict[str, Any]) -> Iterator[None]:
    """Within the block imports find these; one that is None is missing."""
    sys.modules.update(modules)
    try:
        yield
    finally:
        for name in modules:
            del sys.modules[name]
