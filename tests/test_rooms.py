"""The house that docs/architecture.md draws: floors, rooms of a bearable size, what each is for."""

import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

_MOST_MODULES = 22  # a folder that holds more wants a room of its own


def _packages(root: Path) -> list[Path]:
    return sorted(path.parent for path in (root / "src/refract").rglob("__init__.py"))


@pytest.mark.parametrize(
    ("module", "imported", "contract"),
    [
        ("src/refract/base/errors.py", "refract.evaluation.judge", "floors below"),
        ("src/refract/report/page.py", "refract.user_study.page", "floors below"),
        ("src/refract/models/wan.py", "stages", "stages stand on top"),
    ],
)
def test_an_import_against_the_floors_fails_the_lint(
    module: str, imported: str, contract: str, root: Path, tmp_path: Path
) -> None:
    for folder in ("src", "stages"):
        shutil.copytree(
            root / folder,
            tmp_path / folder,
            ignore=lambda _, names: [name for name in names if name == "__pycache__"],
        )
    shutil.copy(root / "pyproject.toml", tmp_path)
    with (tmp_path / module).open("a") as file:
        file.write(f"\nimport {imported}\n")
    linted = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path / "src")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert linted.returncode == 1, linted.stdout + linted.stderr
    assert f"{imported} (l." in linted.stdout
    (broken,) = (line for line in linted.stdout.splitlines() if " BROKEN" in line)
    assert contract in broken


def test_no_module_lies_outside_the_rooms(root: Path) -> None:
    assert [path.name for path in (root / "src/refract").glob("*.py")] == ["__init__.py"]


def test_no_room_is_crowded(root: Path) -> None:
    crowded = {
        str(package.relative_to(root)): count
        for package in _packages(root)
        if (count := len([path for path in package.glob("*.py") if path.name != "__init__.py"]))
        > _MOST_MODULES
    }
    assert not crowded


def test_each_room_says_what_lives_there_and_imports_nothing(root: Path) -> None:
    for package in _packages(root)[1:]:
        tree = ast.parse((package / "__init__.py").read_text())
        assert ast.get_docstring(tree), f"{package.name} has no docstring"
        assert len(tree.body) == 1, f"{package.name}/__init__.py holds more than its docstring"
