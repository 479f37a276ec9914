"""What a change of the code computes again: jobs on tiny models, keyed by a changed copy."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from diffusers import ModelMixin

from refract.pipeline import import_closure
from refract.pipeline.import_closure import closure, hash_code
from tests.tiny.edit import Workshop, tiny_model
from tests.tiny.training import train

CodeChange = Callable[[str, str, str], None]

FLOWALIGN = "editing/samplers/flowalign.py"
WITHOUT_EFFECT = [
    (FLOWALIGN, "    levels = checked", "    # from the noisy end\n    levels = checked"),
    (FLOWALIGN, "so equal prompts leave every bit", "so that equal prompts leave every bit"),
    (FLOWALIGN, "(sigma_next - sigma) * (v_p - v_q)", "( sigma_next-sigma )*(v_p-v_q)"),
    ("infrared/training/loop.py", "import torch\n", "import torch  # for the optimiser\n"),
    ("pipeline/item_store.py", "import errno\n", "# of a rename\nimport errno\n"),
    ("pipeline/item_store.py", "        self.hits = 0\n", "        self.hits = 0 + 0\n"),
    ("params/explain.py", "a whole number", "an integer"),
]
ANOTHER_ZETA = (FLOWALIGN, "+ weight * consistency", "+ 2 * weight * consistency")


@pytest.fixture
def change_code(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[CodeChange]:
    """Call it with file, old and new text: keys then go by a copy of the code with that change."""

    def change(file: str, old: str, new: str) -> None:
        copy = tmp_path / f"code{len(list(tmp_path.glob('code*')))}"
        ignored = shutil.ignore_patterns("__pycache__", "static", "*.egg-info")
        shutil.copytree(root / "src", copy / "src", ignore=ignored)
        path = copy / "src" / "refract" / file
        assert path.read_text().count(old) == 1
        path.write_text(path.read_text().replace(old, new))
        monkeypatch.setattr(import_closure, "_ROOT", copy)
        import_closure._file_of.cache_clear()

    yield change
    import_closure._file_of.cache_clear()


@pytest.fixture
def no_model(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Call it, and from then on loading a model fails the test."""
    from transformers import PreTrainedModel  # not above: our models mend torchvision before

    def refuse(*_args: Any, **_options: Any) -> None:
        pytest.fail("no model must be loaded")

    def forbid() -> None:
        for kind in (ModelMixin, PreTrainedModel):
            monkeypatch.setattr(kind, "from_pretrained", refuse)

    return forbid


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_edits_are_computed_again_for_what_changes_them_alone(
    tmp_path: Path, change_code: CodeChange, no_model: Callable[[], None]
) -> None:
    shop = Workshop(tmp_path, tiny_model(tmp_path))
    cases = {"cup": shop.case("cup", 0)}
    assert shop.extract(cases).store.computed == 1
    items = shop.edit(cases).store.computed
    written = contents(tmp_path / "out")
    change_code(*ANOTHER_ZETA)
    assert shop.extract(cases).store.computed == 0
    assert shop.edit(cases).store.computed == items - 1, "all but the source branch"
    no_model()
    for change in WITHOUT_EFFECT:
        change_code(*change)
        assert shop.extract(cases).store.computed == 0, change
        assert shop.edit(cases).store.computed == 0, change
        assert contents(tmp_path / "out") == written, "what depends on it does not start"


OF_CLIPS, OF_PICTURES = "evaluation.edits.clips", "evaluation.infrared.scores"
MEASURES = [
    ("evaluation/measures/colour.py", "HISTOGRAM_BLUR = 0.7", "HISTOGRAM_BLUR = 0.8", OF_CLIPS),
    ("evaluation/measures/ms_ssim.py", "_LEAST_PX = 12", "_LEAST_PX = 13", OF_PICTURES),
    ("evaluation/measures/perceptual.py", "/ 127.5 - 1.0", "/ 127 - 1.0", OF_CLIPS, OF_PICTURES),
    ("evaluation/edits/definitions.py", "CLIP cosine of adjacent", "CLIP similarity of adjacent"),
]


def test_measures_are_taken_again_for_what_changes_them_alone(change_code: CodeChange) -> None:
    def read() -> dict[str, list[str]]:
        modules = (OF_CLIPS, OF_PICTURES)
        return {name: list(map(hash_code, closure(f"refract.{name}"))) for name in modules}

    before = read()
    for file, old, new, *again in MEASURES:
        change_code(file, old, new)
        after = read()
        assert [name for name in after if after[name] != before[name]] == again, file


def test_no_adapter_is_trained_again_for_what_does_not_change_it(
    tiny_model: Path,
    tiny_triptychs: Path,
    tmp_path: Path,
    change_code: CodeChange,
    no_model: Callable[[], None],
) -> None:
    trained = train(tiny_model, tiny_triptychs, tmp_path / "adapter")
    no_model()
    for change in [*WITHOUT_EFFECT, ANOTHER_ZETA]:
        change_code(*change)
        assert train(tiny_model, tiny_triptychs, tmp_path / "adapter") == trained
    change_code("infrared/training/objective.py", "def flow_matching_loss", "def matching_loss")
    with pytest.raises(pytest.fail.Exception, match="no model must be loaded"):
        train(tiny_model, tiny_triptychs, tmp_path / "adapter")
