"""Which clips are measured again, with a scorer that only counts."""

import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar, cast

import numpy as np
import pytest
from PIL import Image

from refract.evaluation.edits import clips, scores
from refract.evaluation.edits.case_files import find_case_files
from refract.evaluation.edits.parts import Part
from refract.evaluation.edits.score_store import PartMeasures
from refract.evaluation.edits.scores import EditCase
from refract.evaluation.judge import Judge
from refract.evaluation.measures.product import Measured
from refract.media.video_io import Clip, write_clip
from refract.params.cases import Case
from refract.pipeline.item_store import ItemStore

T, PX = 2, 16
WHOLE = Part(0, T, 0)
CLIPS = ["source", "plain", "reference", "s050", "sdedit"]
CHEATS = ["frozen", "pasted_frame", "pasted", "pasted_tracked"]


class Counting:
    """Stands in for `CaseScorer`: a mean of the pixels, and who was asked for."""

    asked: ClassVar[list[str]] = []

    def __init__(self, case: EditCase, *_models: object) -> None:
        self.case = case

    def measured(self, variant: str) -> Measured:
        self.asked.append(variant)
        value = float(self.case.clips[variant].mean())
        return Measured({"a": value, "b": math.nan}, {"a": [value, math.nan]})


class NoModels:
    """Stands in for `Judge`: names of models that nobody loads."""

    clip = lpips = dino = None

    def __init__(self, **names: str) -> None:
        self.of_edits = names


def draw(path: Path, level: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = np.full((PX, PX), 255 - level, np.uint8)
    picture[4:12, 4:12] = level
    Image.fromarray(picture).save(path)


class Bench:
    """A case on disk that has been measured, and what measuring it anew asks for."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.target = folder, folder / "target"
        self.case = Case(
            video="v.mp4",
            source_prompt="a red mug",
            target_prompt="a mug",
            target_image=str(folder / "photo.png"),
            target_mask=str(self.target),
            overrides={},
        )
        self.dilate_px, self.judged_by = 1, "one"

    def make(self) -> list[str]:
        """Returns what was measured."""
        for level, name in enumerate([*CLIPS[:3], "curve/0.5", "baselines/sdedit"]):
            self.write(name, 10 * level)
        for frame in range(T):
            draw(self.target / f"{frame}.png", 255)
        draw(self.folder / "photo.png", 60)
        return self.measure()[1]

    def write(self, name: str, level: int) -> None:
        path = self.folder / "edits/cup" / f"{name}.mkv"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_clip(path, Clip(np.full((T, PX, PX, 3), level, np.uint8), 8.0), "lossless")

    def set(self, **fields: object) -> None:
        texts = {name: str(value) for name, value in fields.items()}
        self.case = self.case.model_copy(update=texts)

    def measure(self, name: str = "cup") -> tuple[dict[str, Measured], list[str]]:
        """By a store of its own, as the next run has; and what had to be measured."""
        Counting.asked = []
        edits = self.folder / "edits"
        files = find_case_files(name, self.case, (WHOLE,), edits, self.dilate_px)
        judge = cast(Judge, NoModels(clip=self.judged_by))
        store = ItemStore(self.folder / "state", "evaluate")
        return PartMeasures(files, WHOLE, judge, store).all(), Counting.asked


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bench") / "made"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scores, "CaseScorer", Counting)
        assert Bench(folder).make() == CLIPS + CHEATS
    return folder


@pytest.fixture
def bench(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    monkeypatch.setattr(scores, "CaseScorer", Counting)
    return Bench(Path(shutil.copytree(made, tmp_path / "case")))


def test_a_case_is_measured_once_and_comes_back_as_it_was_without_being_read(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(clips, "load_edit_case")
    found, asked = bench.measure()
    assert not asked and list(found) == CLIPS + CHEATS
    assert found["plain"].scores["a"] == found["plain"].series["a"][0] == 10.0
    assert math.isnan(found["plain"].scores["b"]) and math.isnan(found["plain"].series["a"][1])


def test_the_same_clip_under_another_name_and_in_another_case_is_known(bench: Bench) -> None:
    folder = bench.folder / "edits/cup"
    shutil.copy(folder / "plain.mkv", folder / "curve/0.3.mkv")
    folder.rename(bench.folder / "edits/mug")
    found, asked = bench.measure("mug")
    assert not asked and found["s030"].scores["a"] == 10.0


EVERYTHING = {*CLIPS, *CHEATS}
# what changes -> what is measured again
CHANGES: dict[str, tuple[Callable[[Bench], object], set[str]]] = {
    "plain": (lambda bench: bench.write("plain", 99), {"plain"}),
    "reference": (lambda bench: bench.write("reference", 99), {"reference"}),
    "curve": (lambda bench: bench.write("curve/0.5", 99), {"s050", "frozen"}),
    "source": (lambda bench: bench.write("source", 99), EVERYTHING),
    "mask": (lambda bench: draw(bench.folder / "target/1.png", 254), EVERYTHING),
    "photo": (lambda bench: draw(bench.folder / "photo.png", 61), EVERYTHING),
    "photo mask": (lambda bench: bench.set(target_image_mask=bench.target / "0.png"), EVERYTHING),
    "prompt": (lambda bench: bench.set(target_prompt="a cup"), EVERYTHING),
    "dilate_px": (lambda bench: setattr(bench, "dilate_px", 2), EVERYTHING),
    "judge": (lambda bench: setattr(bench, "judged_by", "two"), EVERYTHING),
    "nothing": (lambda bench: bench.set(source_prompt="a blue mug"), set()),
}


@pytest.mark.parametrize("what", CHANGES)
def test_what_depends_on_a_change_is_measured_again(bench: Bench, what: str) -> None:
    change, again = CHANGES[what]
    change(bench)
    assert set(bench.measure()[1]) == again
    assert not bench.measure()[1]


def test_a_photo_without_a_plain_backdrop_has_no_pasted_clips(bench: Bench) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (PX, PX, 3), np.uint8)
    Image.fromarray(noise).save(bench.folder / "photo.png")
    for asked in (set(CLIPS + CHEATS[:2]), set()):
        found, measured = bench.measure()
        assert list(found) == CLIPS + CHEATS[:2] and set(measured) == asked


def test_a_damaged_slot_is_measured_again(bench: Bench) -> None:
    slot = next((bench.folder / "state/evaluate").glob("*/measured.json"))
    slot.chmod(0o644)
    slot.write_text("{")
    assert len(bench.measure()[1]) == 1
    assert not bench.measure()[1]
