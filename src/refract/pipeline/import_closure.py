"""Which source files of this repository decide what a module computes, and what they say.

DVC does not follow Python imports and the item store must not serve results of older code, so both
go by these files. Imports are read from the syntax tree, at any depth of the file; one by a
computed name, or for a type checker alone, is not followed. What decides no result does not count:
`base` and `pipeline`, which carry them, the table of public names, and the wording of errors.
"""

import ast
import hashlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

_ROOT = Path(__file__).resolve().parents[3]
_FOLDERS = {"refract": "src", "stages": "", "backbones": ""}  # top-level package -> where it lies
_PLUMBING = (
    "src/refract/base", "src/refract/pipeline", "src/refract/__init__.py",
    "src/refract/params/explain.py",
)  # fmt: skip


def closure(*modules: str) -> list[Path]:
    """Absolute paths of the files that decide results, reached from `modules`, sorted.

    Packages on the way count too, since Python runs their `__init__.py`.
    Raises ModuleNotFoundError where a named module has no file here.
    """
    return list(_closure(_ROOT, modules))


@cache
def _closure(root: Path, modules: tuple[str, ...]) -> tuple[Path, ...]:
    """root: below which the files lie."""
    pending = [_existing(module) for module in modules]
    reached: set[Path] = set()
    while pending:
        path = pending.pop()
        if path not in reached:
            reached.add(path)
            pending.extend(_imported_files(path))
    return tuple(sorted(reached))


def hash_code(path: Path) -> str:
    """sha256 of the syntax tree: a file without its comments, docstrings and layout."""
    return _read(path).sha256


class _Source(NamedTuple):
    imports: tuple[str, ...]  # dotted names that may be modules
    sha256: str


@cache
def _read(path: Path) -> _Source:
    package = _module_name(path)
    if path.name != "__init__.py":
        package = package.rpartition(".")[0]
    tree = ast.parse(path.read_bytes(), filename=str(path))
    digest = hashlib.sha256(repr(_outline(tree)).encode()).hexdigest()
    return _Source(tuple(_imported_names(tree, package)), digest)


def _outline(part: object) -> object:
    """A syntax tree as nested lists; empty fields are left out, for each version adds more."""
    if isinstance(part, list):
        return [_outline(child) for child in part if not _is_bare_text(child)]
    if isinstance(part, ast.AST):
        fields = ((name, getattr(part, name)) for name in part._fields if name != "ctx")
        held = [(name, _outline(value)) for name, value in fields if value not in (None, [])]
        return [type(part).__name__, *held]
    return part


def _is_bare_text(node: object) -> bool:
    """Whether it is a statement of a text alone: a docstring, or a remark on what stands above."""
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


def _existing(module: str) -> Path:
    path = _file_of(module)
    if path is None:
        raise ModuleNotFoundError(f"no source file of this repository for module {module!r}")
    return path


@cache
def _file_of(module: str) -> Path | None:
    top = module.partition(".")[0]
    if top not in _FOLDERS:
        return None
    stem = _ROOT.joinpath(_FOLDERS[top], *module.split("."))
    candidates = (stem.with_suffix(".py"), stem / "__init__.py")
    return next((path for path in candidates if path.is_file()), None)


def _module_name(path: Path) -> str:
    source = _ROOT / "src" if path.is_relative_to(_ROOT / "src") else _ROOT
    parts = path.relative_to(source).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def _imported_files(path: Path) -> frozenset[Path]:
    names = (name.split(".") for name in (*_read(path).imports, _module_name(path)))
    modules = {".".join(parts[:depth]) for parts in names for depth in range(1, len(parts) + 1)}
    files = map(_file_of, modules)
    return frozenset(file for file in files if file is not None and not _is_plumbing(file))


@cache
def _is_plumbing(path: Path) -> bool:
    return any(path.is_relative_to(_ROOT / place) for place in _PLUMBING)


def _imported_names(tree: ast.AST, package: str) -> Iterator[str]:
    """Dotted names that may be modules; `from a import b` yields `a` and `a.b`."""
    for node in _statements(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = package.split(".")
                base = ".".join([*parents[: len(parents) - node.level + 1], *filter(None, [base])])
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)


def _statements(tree: ast.AST) -> Iterator[ast.AST]:
    """All that run, at any depth: not those under `if TYPE_CHECKING:`."""
    pending = [tree]
    while pending:
        node = pending.pop()
        yield node
        for block in ("body", "orelse", "handlers", "finalbody", "cases"):
            if block != "body" or not _is_for_type_checkers(node):
                pending.extend(getattr(node, block, ()))


def _is_for_type_checkers(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")
