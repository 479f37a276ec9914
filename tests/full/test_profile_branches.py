"""A profile is values in params.yaml: no code asks which one it is."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# A name of a profile, or the word itself, as a part of an identifier or of a text.
_WORD = re.compile(r"(?:^|[\W_\d])(profiles?|micro|full)(?=$|[\W_\d])", re.IGNORECASE)

# What may hold such a word, and why. A file's name alone allows all of it.
ALLOWED: dict[str, set[str]] = {
    "src/refract/pipeline/profile.py": set(),  # applies the overlays
    # The name of the project's own CLIP in metrics, told by the network's architecture alone.
    "src/refract/models/clip.py": {"clip_micro"},
    "src/refract/evaluation/judge.py": {"clip_micro"},
    "src/refract/evaluation/edits/definitions.py": {"clip_micro"},
    "src/refract/evaluation/infrared/definitions.py": {"frechet_clip_micro"},
    "src/refract/report/metric_facts.py": {
        "product.clip_micro_i", "product.clip_micro_i_crop", "product.clip_micro_t",
    },
    # Colour profiles of pictures, and pictures at the size that they have
    "src/refract/media/colour_profiles.py": set(),
    "src/refract/media/given_pictures.py": {"refract.media.colour_profiles"},
    "src/refract/media/image_reading.py": {"refract.media.colour_profiles", "full_size", "full"},
    "src/refract/media/product_image.py": {"full_size"},
    # Flags of ffmpeg's scaler
    "src/refract/editing/deliver/composing.py": {"Interpolation.FULL_CHR_H_INP"},
    "src/refract/media/ffmpeg.py": {"lanczos+accurate_rnd+full_chroma_int+bitexact"},
}  # fmt: skip
# Functions and keywords of libraries.
_LIBRARY = {"torch.full", "np.full", "keyword full", "torch.full_like", "np.full_like"}


def words(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Line and text of every identifier and text of the code with one of the words.

    Sentences, such as docstrings, messages and descriptions, are left out: they hold a space.
    """
    for node in ast.walk(tree):
        found: list[str] = []
        if isinstance(node, ast.Name):
            found = [node.id]
        elif isinstance(node, ast.Attribute):
            owner = node.value.id if isinstance(node.value, ast.Name) else ""
            found = [f"{owner}.{node.attr}"]
        elif isinstance(node, ast.keyword):
            found = [f"keyword {node.arg}"]
        elif isinstance(node, ast.arg):
            found = [node.arg]
        elif isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            found = [node.name]
        elif isinstance(node, ast.ImportFrom):
            found = [node.module or "", *(alias.name for alias in node.names)]
        elif isinstance(node, ast.Import):
            found = [alias.name for alias in node.names]
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            found = [] if " " in node.value.strip() else [node.value]
        for text in found:
            if _WORD.search(text) and text not in _LIBRARY:
                yield getattr(node, "lineno", 0), text


def test_no_code_asks_for_the_profile() -> None:
    asked = []
    for folder in ("src/refract", "stages"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            name = path.relative_to(ROOT).as_posix()
            allowed = ALLOWED.get(name)
            if allowed is not None and not allowed:
                continue
            tree = ast.parse(path.read_text(encoding="utf-8"))
            asked += [
                f"{name}:{line}: {text}"
                for line, text in words(tree)
                if text not in (allowed or ())
            ]
    assert not asked, "\n".join(asked)


def test_what_is_allowed_is_there() -> None:
    """A list that outlives its reasons would hide a branch."""
    for name, allowed in ALLOWED.items():
        tree = ast.parse((ROOT / name).read_text(encoding="utf-8"))
        found = {text for _, text in words(tree)}
        assert allowed <= found, name
        assert found, name


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("if profile == 1: pass", ["profile"]),
        ("if params.profile: pass", ["params.profile"]),
        ("x = 'micro' in path", ["micro"]),
        ("x = path.endswith('wan-micro')", ["wan-micro"]),
        ("def is_full_model(): ...", ["is_full_model"]),
        ("f(micro=1)", ["keyword micro"]),
        ("x = np.full(3, 1)", []),
        ("x = 'at full scale'", []),
        ("fully = fullmatch('microscope')", []),
    ],
)
def test_branches_would_be_found(code: str, told: list[str]) -> None:
    assert [text for _, text in words(ast.parse(code))] == told
