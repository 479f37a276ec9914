"""Which source files of this repository a module is made of.

DVC does not follow Python imports and the item store must not serve results of older code, so both
take the list of files from here. Imports are read from the syntax tree, at any depth of the file;
an import by a computed name is not seen.
"""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[3]
_SOURCES = {
    "refract": _ROOT / "src",
    "stages": _ROOT,
    "backbones": _ROOT,
}  # top-level package -> folder it lies in


def closure(*modules: str) -> list[Path]:
    """Absolute paths of this repository's source files reached from `modules`, sorted.

    Packages on the way count too, since Python runs their `__init__.py`.
    Raises ModuleNotFoundError where a named module has no file here.
    """
    pending = [_existing(module) for module in modules]
    reached: set[Path] = set()
    while pending:
        path = pending.pop()
        if path not in reached:
            reached.add(path)
            pending.extend(_imported_files(path))
    return sorted(reached)


def relative_closure(*modules: str) -> list[str]:
    """As `closure`, relative to the repository root with forward slashes (as dvc.yaml has it)."""
    return [path.relative_to(_ROOT).as_posix() for path in closure(*modules)]


def _existing(module: str) -> Path:
    path = _file_of(module)
    if path is None:
        raise ModuleNotFoundError(f"no source file of this repository for module {module!r}")
    return path


def _file_of(module: str) -> Path | None:
    top = module.partition(".")[0]
    if top not in _SOURCES:
        return None
    stem = _SOURCES[top].joinpath(*module.split("."))
    candidates = (stem.with_suffix(".py"), stem / "__init__.py")
    return next((path for path in candidates if path.is_file()), None)


def _module_name(path: Path) -> str:
    source = _ROOT / "src" if path.is_relative_to(_ROOT / "src") else _ROOT
    parts = path.relative_to(source).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def _imported_files(path: Path) -> tuple[Path, ...]:
    package = _module_name(path)
    if path.name != "__init__.py":
        package = package.rpartition(".")[0]
    names = set(_imported_names(ast.parse(path.read_bytes(), filename=str(path)), package))
    names.add(_module_name(path))
    with_packages = {
        ".".join(parts[: i + 1])
        for parts in (name.split(".") for name in names)
        for i in range(len(parts))
    }
    files = {_file_of(name) for name in with_packages}
    return tuple(sorted(file for file in files if file is not None))


def _imported_names(tree: ast.AST, package: str) -> Iterator[str]:
    """Dotted names that may be modules; `from a import b` yields `a` and `a.b`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = package.split(".")
                base = ".".join([*parents[: len(parents) - node.level + 1], *filter(None, [base])])
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)
