"""Long clips in parts: which they are, what is read of each, and how their measures are joined."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from refract.base.errors import InputError
from refract.evaluation.edits.case_files import CaseFiles, find_case_files
from refract.evaluation.edits.clips import load_edit_case
from refract.evaluation.edits.parts import LONGEST_PART, Part, join, read_parts
from refract.evaluation.measures.motion import temporal_flickering
from refract.evaluation.measures.product import Measured, background_measures
from refract.media.video_io import Clip, write_clip
from refract.params.cases import Case

PX = 16
FRAMES = (5, 3)  # of the two shots
FIRST = (2, 9)  # where they are in the template
LEVELS = (60, 200)  # of the source in each shot
CHANGES = (0, 5)  # what the edit adds to it


def write_info(edits: Path, shots: object) -> None:
    edits.mkdir(exist_ok=True)
    (edits / "info.json").write_text(json.dumps({"cases": {"cup": {"shots": shots}}}))


@given(st.lists(st.tuples(st.integers(0, 999), st.integers(1, 400)), min_size=1, max_size=4))
def test_parts_fill_the_shots_evenly_and_none_crosses_a_cut(
    tmp_path_factory: pytest.TempPathFactory, shots: list[tuple[int, int]]
) -> None:
    edits = tmp_path_factory.getbasetemp() / "edits"
    write_info(edits, [{"first": first, "frames": frames} for first, frames in shots])
    parts, start = list(read_parts(edits, ["cup"])["cup"]), 0
    for first, frames in shots:
        of_shot = [part for part in parts if start <= part.start < start + frames]
        places = [
            place for part in of_shot for place in range(part.start, part.start + part.frames)
        ]
        assert places == list(range(start, start + frames))
        assert all(part.first - first == part.start - start for part in of_shot)
        sizes = {part.frames for part in of_shot}
        assert max(sizes) <= LONGEST_PART and max(sizes) - min(sizes) <= 1
        assert len(of_shot) == math.ceil(frames / LONGEST_PART)
        start += frames
    assert sum(part.frames for part in parts) == start


@pytest.mark.parametrize(
    "shots",
    [None, [], {"first": 0}, [{"first": 0}], [{"first": -1, "frames": 5}], [{"frames": True}]],
)
def test_shots_that_are_none_are_refused_in_one_line(shots: object, tmp_path: Path) -> None:
    write_info(tmp_path / "edits", shots)
    with pytest.raises(InputError, match=r"info\.json: cases\.cup\.shots = .*: must be a list of"):
        read_parts(tmp_path / "edits", ["cup"])


@pytest.fixture
def files(tmp_path: Path) -> CaseFiles:
    """A case of two gray shots; frame k of the template has k white columns in its mask."""
    edits = tmp_path / "edits"
    (edits / "cup").mkdir(parents=True)
    source = np.concatenate([gray(*shot) for shot in zip(FRAMES, LEVELS, strict=True)])
    edit = source + np.repeat(np.array(CHANGES, np.uint8), FRAMES)[:, None, None, None]
    for name, frames in (("source", source), ("plain", source), ("reference", edit)):
        write_clip(edits / "cup" / f"{name}.mkv", Clip(frames, 8.0), "lossless")
    (tmp_path / "masks").mkdir()
    for frame in range(FIRST[1] + FRAMES[1]):
        mask = np.arange(PX) < np.full((PX, 1), frame)
        Image.fromarray(mask).save(tmp_path / "masks" / f"{frame:05d}.png")
    write_info(edits, [{"first": a, "frames": b} for a, b in zip(FIRST, FRAMES, strict=True)])
    case = Case(video="v.mp4", source_prompt="a red mug", target_prompt="a mug",
                target_mask=str(tmp_path / "masks"), overrides={})  # fmt: skip
    return find_case_files("cup", case, read_parts(edits, ["cup"])["cup"], edits, 1)


def gray(frames: int, level: int) -> np.ndarray:
    return np.full((frames, PX, PX, 3), level, np.uint8)


def measured(files: CaseFiles, part: Part) -> Measured:
    case = load_edit_case(files, part)
    edit, everywhere = case.clips["reference"], np.ones((part.frames, PX, PX), bool)
    flickering = Measured({"flickering": temporal_flickering(edit)}, {})
    of_background = background_measures(edit, case.source, everywhere)
    return Measured(of_background.scores | flickering.scores, of_background.series)


def test_two_shots_give_the_mean_of_each_by_its_frames_and_the_cut_is_no_flicker(
    files: CaseFiles,
) -> None:
    joined = join(files.parts, [measured(files, part) for part in files.parts])
    known = 20 * math.log10(255 / CHANGES[1])
    expected = (FRAMES[0] * 100 + FRAMES[1] * known) / sum(FRAMES)
    assert joined.scores["background.psnr"] == pytest.approx(expected)
    assert joined.scores["flickering"] == 1.0
    series = [100.0] * FRAMES[0] + [known] * FRAMES[1]
    assert joined.series["background.psnr"] == pytest.approx(series)


def test_a_part_has_the_masks_of_its_frames_in_the_template(files: CaseFiles) -> None:
    for part, first in zip(files.parts, FIRST, strict=True):
        region = load_edit_case(files, part).region
        assert region is not None
        assert region.sum((1, 2)).tolist() == [PX * k for k in range(first, first + part.frames)]


def test_a_product_may_be_absent_from_a_shot_but_not_from_all(files: CaseFiles) -> None:
    masks = sorted(files.masks["target"].iterdir())
    for path in masks[: FIRST[1]]:
        Image.new("1", (PX, PX)).save(path)
    absent = load_edit_case(files, files.parts[0]).region
    assert absent is not None and not absent.any()
    for path in masks[FIRST[1] :]:
        Image.new("1", (PX, PX)).save(path)
    with pytest.raises(InputError, match="black everywhere"):
        load_edit_case(files, files.parts[0])


def test_a_clip_longer_than_its_shots_is_refused(files: CaseFiles) -> None:
    write_clip(files.clips["source"], Clip(gray(sum(FRAMES) + 1, 9), 8.0), "lossless")
    load_edit_case(files, files.parts[0])
    with pytest.raises(InputError, match=r"source\.mkv: has 4 frames from number 5 on, .* 3 there"):
        load_edit_case(files, files.parts[1])


def test_what_a_part_has_no_value_of_is_left_out_and_pairs_across_parts_have_none() -> None:
    parts = (Part(0, 3, 0), Part(3, 2, 50))
    first = Measured({"a": 1 / 3, "b": math.nan}, {"frames": [1.0, 2.0, 3.0], "pairs": [1.0, 2.0]})
    second = Measured({"a": 7.0, "b": 5.0}, {"frames": [4.0, 5.0], "pairs": [4.0]})
    joined = join(parts, [first, second])
    assert joined.scores == pytest.approx({"a": (3 / 3 + 2 * 7) / 5, "b": 5.0})
    assert joined.series["frames"] == [1.0, 2.0, 3.0, 4.0, 5.0]
    assert joined.series["pairs"] == pytest.approx([1.0, 2.0, math.nan, 4.0], nan_ok=True)
    alone = join(parts[:1], [first])
    assert alone.scores["a"] == 1 / 3 and alone.series == first.series
    assert math.isnan(alone.scores["b"])
