"""Imports of libraries without what they import for uses that nobody here makes of them."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from types import ModuleType
from typing import Any

# Takes longer to import than torch; torchvision asks it one thing, where it pools regions.
_COMPILER = ("torch._dynamo", "torch._dynamo.utils")


@contextmanager
def lean_imports(*missing: str) -> Iterator[None]:
    """Within the block imports do not find `missing`, which a library can do without.

    Nor torch's compiler, but what imports a function of it when that is called. What is loaded
    already is left as it is.
    """
    found: dict[str, Any] = dict.fromkeys(missing) | {name: _Late(name) for name in _COMPILER}
    found = {name: found[name] for name in found.keys() - sys.modules.keys()}
    sys.modules.update(found)  # None is a module that is missing
    try:
        yield
    finally:
        for name in found:
            del sys.modules[name]


class _Late(ModuleType):
    """Stands in for a module whose functions are imported when they are called."""

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith("__"):
            raise AttributeError(name)
        return lambda *arguments: getattr(import_module(self.__name__), name)(*arguments)
