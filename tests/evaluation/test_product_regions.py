import logging
from pathlib import Path
from typing import Any

import pytest

from refract.evaluation.edits.case_files import CaseFiles
from refract.evaluation.edits.product_regions import count_regions, product_region
from refract.params.cases import Case

NAN = float("nan")


def _files(photo: bool = True, **masks: Any) -> CaseFiles:
    case = Case(video="v.mp4", source_prompt="a red mug", target_prompt="a mug", **masks)
    return CaseFiles("mug", case, (), {}, Path("mug.png") if photo else None, 9)


@pytest.mark.parametrize(
    ("files", "scores", "region"),
    [
        (_files(target_mask="t", source_mask="s"), {"product.fidelity": NAN}, "target_mask"),
        (_files(source_mask="s"), {"product.fidelity": 0.4}, "source_mask in its place"),
        (_files(), {"product.fidelity_found": 0.4}, "no masks, found by the plain edit"),
        (_files(), {"product.fidelity_found": NAN}, "no masks, the plain edit tells none"),
        (_files(), {}, "no plain backdrop in the photo"),
        (_files(target_mask="t"), {}, "no plain backdrop in the photo"),
        (_files(photo=False, target_mask="t"), {}, "no product photo"),
    ],
)
def test_what_gave_a_case_its_region(
    files: CaseFiles, scores: dict[str, float], region: str
) -> None:
    assert product_region(files, scores) == region


def test_cases_are_counted_and_those_without_a_target_mask_named(
    caplog: pytest.LogCaptureFixture,
) -> None:
    regions = {"a": "target_mask", "b": "no product photo", "c": "target_mask"}
    with caplog.at_level(logging.WARNING):
        assert count_regions(regions) == {"no product photo": 1, "target_mask": 2}
    assert caplog.messages == ["product region: no product photo: left out, of b"]
    caplog.clear()
    assert count_regions({"a": "target_mask"}) == {"target_mask": 1} and not caplog.messages
