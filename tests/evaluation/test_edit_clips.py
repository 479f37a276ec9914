from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from refract.base.errors import InputError
from refract.evaluation.edits.case_files import find_case_files
from refract.evaluation.edits.clips import load_edit_case
from refract.evaluation.edits.parts import Part
from refract.evaluation.edits.scores import EditCase
from refract.media.video_io import Clip, write_clip
from refract.params.cases import Case
from tests.tiny.salient import save_tiny_network

T, PX = 3, 16
WHOLE = Part(0, T, 0)
CASE = Case(video="v.mp4", source_prompt="a red mug", target_prompt="a mug", overrides={})


def _write(path: Path, level: int, frames: int = T) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_clip(path, Clip(np.full((frames, PX, PX, 3), level, np.uint8), 8.0), "lossless")


def load(edits: Path, case: Case = CASE, network: Path | None = None) -> EditCase:
    files = find_case_files("cup", case, (WHOLE,), edits, 2, network=network)
    return load_edit_case(files, WHOLE)


@pytest.fixture
def edits(tmp_path: Path) -> Path:
    for level, name in enumerate(("source", "plain", "reference", "curve/0.3")):
        _write(tmp_path / "cup" / f"{name}.mkv", 10 * level)
    return tmp_path


def test_clips_and_prompt_of_a_case(edits: Path) -> None:
    case = load(edits)
    assert set(case.clips) == {"source", "plain", "reference", "s030"}
    assert case.prompt == "a mug"
    assert case.region is None and case.background is None


def test_the_product_is_where_the_banks_network_sees_it(edits: Path) -> None:
    """Red on noise, in which no backdrop is plain."""
    pixels = np.random.default_rng(0).integers(60, 120, (PX, PX, 3)).astype(np.uint8)
    pixels[4:12, 4:12] = (220, 20, 20)
    Image.fromarray(pixels).save(edits / "product.png")
    case = CASE.model_copy(update={"target_image": str(edits / "product.png")})
    network = save_tiny_network(edits / "red.onnx")
    photo = load(edits, case, network).photo
    assert photo is not None and photo.foreground is not None
    assert photo.foreground[5:11, 5:11].all() and photo.foreground.sum() < 100
    without = load(edits, case).photo
    assert without is not None and without.foreground is None


def test_edits_by_other_samplers_are_variants_where_they_are(edits: Path) -> None:
    _write(edits / "cup" / "baselines" / "sdedit.mkv", 70)
    case = load(edits)
    assert set(case.clips) == {"source", "plain", "reference", "s030", "sdedit"}
    assert (case.clips["sdedit"] == 70).all()


def test_a_baseline_of_another_shape_is_refused(edits: Path) -> None:
    _write(edits / "cup" / "baselines" / "flowedit.mkv", 70, frames=T + 1)
    case = load(edits)  # clips are read when they are asked for
    with pytest.raises(InputError, match=r"flowedit\.mkv: has 4 frames .* have 3 there"):
        case.clips["flowedit"]


@pytest.mark.parametrize("name", ["source", "plain", "reference"])
def test_a_missing_clip_is_named(edits: Path, name: str) -> None:
    (edits / "cup" / f"{name}.mkv").unlink()
    with pytest.raises(InputError, match=rf"{name}\.mkv: missing"):
        load(edits)


def test_a_curve_is_named_by_strengths(edits: Path) -> None:
    _write(edits / "cup" / "curve" / "half.mkv", 0)
    with pytest.raises(InputError, match="not named by a reference strength"):
        load(edits)
