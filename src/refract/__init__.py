"""Refract: condition injection into the attention of flow transformers.

`__init__.pyi` lists what other scripts take from here: `from refract import ReferenceBank`. A name
is loaded when it is first asked for, so that `import refract` alone loads no torch.
"""

import ast
from importlib import import_module
from pathlib import Path
from typing import Any

# Read from the stub, so that type checkers and this file go by one list.
_MODULE_OF = {
    alias.name: node.module
    for node in ast.parse(Path(__file__).with_suffix(".pyi").read_bytes()).body
    if isinstance(node, ast.ImportFrom) and node.module
    for alias in node.names
}
__all__ = sorted(_MODULE_OF)


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    # By name, since no result depends on it: diffusers, imported next, shall find its torchvision.
    import_module("refract.models.torchvision_compat")
    return getattr(import_module(_MODULE_OF[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
