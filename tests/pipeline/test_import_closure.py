from pathlib import Path

import pytest

from refract.pipeline import import_closure


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A little repository in place of ours."""
    for name, text in {
        "src/refract/__init__.py": "",
        "src/refract/plain.py": "import os, torch\n",
        "src/refract/by_name.py": "from refract import plain\n",
        "src/refract/by_member.py": "from refract.plain import thing\n",
        "src/refract/dotted.py": "import refract.plain\n",
        "src/refract/late.py": "def f():\n    if True:\n        from refract.plain import x\n",
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
    sources = {"refract": tmp_path / "src", "stages": tmp_path}
    monkeypatch.setattr(import_closure, "_SOURCES", sources)
    return tmp_path


@pytest.mark.parametrize("module", ["by_name", "by_member", "dotted", "late"])
def test_every_form_of_import_is_followed(tree: Path, module: str) -> None:
    assert import_closure.relative_closure(f"refract.{module}") == [
        "src/refract/__init__.py",
        f"src/refract/{module}.py",
        "src/refract/plain.py",
    ]


def test_packages_relative_imports_and_cycles(tree: Path) -> None:
    assert import_closure.relative_closure("stages.one") == [
        "src/refract/__init__.py",
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
    both = import_closure.closure("refract.alone", "refract.plain")
    assert {path.name for path in both} == {"__init__.py", "alone.py", "plain.py"}
    assert len(import_closure.closure("refract.alone")) == 2, "a text is no import"


def test_unknown_module_is_an_error(tree: Path) -> None:
    with pytest.raises(ModuleNotFoundError, match=r"refract\.missing"):
        import_closure.closure("refract.missing")


def test_the_real_package_is_found(root: Path) -> None:
    assert root / "src/refract/base/errors.py" in import_closure.closure(
        "refract.pipeline.item_store"
    )
