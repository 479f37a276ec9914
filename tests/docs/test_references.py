"""Every path, module and setting that the documents name is there."""

import fnmatch
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from refract.base.yaml_files import read_yaml
from tests.docs.markdown import DOCUMENTS, ROOT

_ROOMS = "|".join(path.parent.name for path in (ROOT / "src/refract").glob("*/__init__.py"))
_FOLDERS = "src|stages|tests|docs|benchmarks|backbones|launch|profiles|data|metrics|refract"
_PATH = re.compile(
    rf"(?<![\w./$<-])(?:(?:{_FOLDERS}|{_ROOMS})/[\w./-]*\w|\w+\.py)(?![\w*-])(?::\w+)?"
)
_DOTTED = re.compile(r"(?<![\w./-])(?:refract|stages|backbones|benchmarks)(?:\.[a-z_]\w*)+")
_LINK = re.compile(r"\]\(([^)#:]+)(?:#[\w-]*)?\)")
_NOT_YET = re.compile(
    r"backbones/runs|data/votes|data/products/spring-mug|models/(flux-fill|wan)$"
)  # the user will have


@pytest.fixture(scope="module")
def files() -> frozenset[str]:
    """Tracked and new files, and the folders they lie in."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout.splitlines()  # fmt: skip
    there = [Path(name) for name in listed if (ROOT / name).is_file()]
    return frozenset(str(part) for path in there for part in (path, *path.parents))


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_paths_are_there(document: Path, files: frozenset[str]) -> None:
    names = {Path(name).name for name in files}
    text = document.read_text()
    lost = []
    for match in _PATH.finditer(text):
        name, _, member = match[0].partition(":")
        if _NOT_YET.match(name) or text.startswith("` of commit", match.end()):
            continue
        near = str(document.parent.relative_to(ROOT) / name)
        found = [
            path for path in (name, f"src/{name}", f"src/refract/{name}", near) if path in files
        ]
        if "/" not in name:
            found = [name] if name in names else []
        if not found or (member and not _defines(ROOT / found[0], member)):
            lost.append(match[0])
    assert lost == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document: Path) -> None:
    links = [match[1] for match in _LINK.finditer(document.read_text())]
    assert [link for link in links if not (document.parent / link).exists()] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_modules_are_there(document: Path) -> None:
    named = {match[0] for match in _DOTTED.finditer(document.read_text())}
    assert sorted(name for name in named if not _is_module_or_member(name)) == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_settings_are_there(document: Path) -> None:
    """Dotted keys in code that begin with a section; `flowalign.ref_*` stands for several."""
    params = read_yaml(ROOT / "params.yaml")
    keys = set(_keys(params))
    sections = "|".join(key for key, value in params.items() if isinstance(value, dict))
    pattern = re.compile(rf"`((?:{sections})\.[\w.*]+)(?=[`:= ])")
    named = {match[1] for match in pattern.finditer(document.read_text())}
    assert sorted(name for name in named if not fnmatch.filter(keys, name)) == []


def test_the_file_tree_of_the_readme_is_whole(files: frozenset[str]) -> None:
    [tree] = re.findall(
        r"^## Files\n+```text\n(.*?)^```", (ROOT / "README.md").read_text(), re.M | re.S
    )
    shown = {name.rstrip("/") for line in tree.splitlines() for name in line.split("  ")[0].split()}
    shown |= {name.rstrip("/") for name in tree.splitlines()[-1].split()}
    assert sorted(name for name in shown if name not in files) == []
    folders = {name for name in files if (ROOT / name).is_dir() and "/" not in name}
    assert {name for name in folders if not name.startswith(".")} - shown == {"src"}


def _defines(file: Path, member: str) -> bool:
    return (
        re.search(rf"^(?:def|class) {member}\b|^{member}\b.*=", file.read_text(), re.M) is not None
    )


def _is_module_or_member(name: str) -> bool:
    """A module or package of the repository, or a name that one defines."""
    top = ROOT / "src" if name.startswith("refract") else ROOT
    path = top.joinpath(*name.split("."))
    if path.is_dir() or path.with_suffix(".py").is_file():
        return True
    module = path.parent.with_suffix(".py")
    return module.is_file() and _defines(module, path.name)


def _keys(tree: dict[str, object], above: str = "") -> Iterator[str]:
    for key, value in tree.items():
        yield above + key
        if isinstance(value, dict):
            yield from _keys(value, f"{above}{key}.")
