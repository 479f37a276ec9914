"""What a stage is made of, and which changes of its code count."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from refract.pipeline import import_closure
from refract.pipeline.import_closure import hash_code


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A little repository in place of ours."""
    for name, text in {
        "src/refract/__init__.py": "from refract import alone  # the public names",
        "src/refract/base/__init__.py": "",
        "src/refract/base/files.py": "from refract import alone\n",
        "src/refract/pipeline/__init__.py": "",
        "src/refract/pipeline/store.py": "from refract.base import files\n",
        "src/refract/plain.py": "import os, torch\nfrom refract.pipeline.store import x\n",
        "src/refract/by_name.py": "from refract import plain\n",
        "src/refract/by_member.py": "from refract.plain import thing\n",
        "src/refract/dotted.py": "import refract.plain\n",
        "src/refract/late.py": "def f():\n    if True:\n        from refract.plain import x\n",
        "src/refract/branched.py": (
            "from typing import TYPE_CHECKING\n"
            "if TYPE_CHECKING:\n    import refract.late\nelse:\n    import refract.alone\n"
            "try:\n    pass\nexcept OSError:\n    with a:\n        import refract.dotted\n"
        ),
        "src/refract/sub/__init__.py": "from refract.dotted import y\n",
        "src/refract/sub/leaf.py": "from . import sibling\nfrom ..late import f\n",
        "src/refract/sub/sibling.py": "import refract.sub.leaf\n",
        "src/refract/alone.py": "'from refract import plain'  # only a text\n",
        "stages/__init__.py": "",
        "stages/one.py": "from refract.sub import leaf\n",
    }.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.setattr(import_closure, "_ROOT", tmp_path)
    import_closure._file_of.cache_clear()
    yield tmp_path
    import_closure._file_of.cache_clear()


def closure(*modules: str) -> list[str]:
    """Relative to the repository root."""
    files = import_closure.closure(*modules)
    return [file.relative_to(import_closure._ROOT).as_posix() for file in files]


@pytest.mark.parametrize("module", ["by_name", "by_member", "dotted", "late"])
def test_every_form_of_import_is_followed_but_into_plumbing(tree: Path, module: str) -> None:
    assert closure(f"refract.{module}") == [f"src/refract/{module}.py", "src/refract/plain.py"]


def test_imports_for_type_checkers_alone_are_not_followed(tree: Path) -> None:
    assert closure("refract.branched") == [
        "src/refract/alone.py",
        "src/refract/branched.py",
        "src/refract/dotted.py",
        "src/refract/plain.py",
    ]


def test_packages_relative_imports_and_cycles(tree: Path) -> None:
    assert closure("stages.one") == [
        "src/refract/dotted.py",  # through the package's __init__.py
        "src/refract/late.py",
        "src/refract/plain.py",
        "src/refract/sub/__init__.py",
        "src/refract/sub/leaf.py",
        "src/refract/sub/sibling.py",
        "stages/__init__.py",
        "stages/one.py",
    ]


def test_several_modules_join(tree: Path) -> None:
    assert closure("refract.alone", "refract.plain") == [
        "src/refract/alone.py",
        "src/refract/plain.py",
    ]
    assert closure("refract.alone") == ["src/refract/alone.py"], "a text is no import"


def test_unknown_module_is_an_error(tree: Path) -> None:
    with pytest.raises(ModuleNotFoundError, match=r"refract\.missing"):
        import_closure.closure("refract.missing")


def test_the_real_package_is_found(root: Path) -> None:
    assert root / "src/refract/models/wan_latents.py" in import_closure.closure(
        "refract.editing.reference.making"
    )


CODE = """
class Sampler:
    rate: float = 0.5

    def step(self, x: int) -> str:
        return f"{x + 1} steps"
"""
DECIDE_NOTHING = {
    "comments": CODE.replace("0.5", "0.5  # type: ignore") + "# the end",
    "docstrings": '"""Of the module."""\n' + CODE.replace(
        "    rate", '    """Of the class."""\n    rate'
    ).replace("        return", '        """Of the function."""\n        return'),
    "a remark": CODE.replace("0.5\n", '0.5\n    """How fast."""\n'),
    "blank lines": CODE.replace("\n", "\n\n"),
    "layout": CODE.replace("self, x: int", "\n        self,\n        x: int,\n    "),
    "quotes": CODE.replace('"', "'"),
    "line ends": CODE.replace("\n", "\r\n"),
    "a byte order mark": "\ufeff" + CODE,
}  # fmt: skip
DECIDE = {
    "a number": CODE.replace("+ 1", "+ 2"),
    "a kind of number": CODE.replace("+ 1", "+ 1.0"),
    "an operator": CODE.replace("+", "-"),
    "a text": CODE.replace(" steps", " step"),
    "a name": CODE.replace("rate", "pace"),
    "an annotation": CODE.replace("-> str", "-> object"),
    "none for a number": CODE.replace("0.5", "None"),
    "an ellipsis for a number": CODE.replace("0.5", "..."),
    "no value": CODE.replace(" = 0.5", ""),
    "a statement more": CODE.replace("        return", "        del x\n        return"),
    "a decorator": CODE.replace("    def", "    @cached\n    def"),
}


@pytest.mark.parametrize("change", [*DECIDE_NOTHING, *DECIDE])
def test_code_counts_by_what_it_says(tree: Path, change: str) -> None:
    before, after = tree / "before.py", tree / "after.py"
    before.write_text(CODE)
    after.write_bytes((DECIDE_NOTHING | DECIDE)[change].encode())
    assert before.read_bytes() != after.read_bytes()
    assert (hash_code(before) == hash_code(after)) is (change in DECIDE_NOTHING)


def test_the_hash_is_the_same_in_every_version_of_python(tree: Path) -> None:
    """As Python 3.11 has it; later versions give functions and classes more fields."""
    (tree / "code.py").write_text(CODE)
    assert hash_code(tree / "code.py").startswith("6ae493b29c66")


def test_plumbing_does_not_load_torch(root: Path) -> None:
    """What counts in no key has nothing to compute with, but where it picks the device."""
    places = ("base", "pipeline")
    modules = [
        path.relative_to(root / "src").with_suffix("").as_posix().replace("/", ".")
        for place in places
        for path in sorted((root / "src/refract" / place).rglob("*.py"))
        if path.stem != "__init__"
    ]
    assert len(modules) > 15
    loading = f"import {', '.join(modules)}, sys; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", loading], capture_output=True, text=True)
    assert done.stdout.strip() == "False", done.stderr
