"""Which files of a case DVC does not watch."""

from pathlib import Path

import pytest

from refract.editing.reference.photo import warn_of_unwatched_files
from refract.params.cases import INFRARED_REFERENCE, Case


def test_each_file_outside_the_watched_folder_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    inside, outside = tmp_path / "products" / "night", tmp_path / "elsewhere"
    case = Case(
        video=str(inside / "clip.mkv"),
        source_prompt="a",
        target_prompt="b",
        target_image=INFRARED_REFERENCE,
        first_frame_map=str(outside / "map.png"),
        overrides={},
    )
    warn_of_unwatched_files({"night": case}, tmp_path / "cases.yaml")
    (message,) = caplog.messages
    assert message.startswith(f"case night: {outside / 'map.png'} lies outside")
    caplog.clear()
    watched = case.model_copy(update={"first_frame_map": str(inside / "map.png")})
    warn_of_unwatched_files({"night": watched}, tmp_path / "cases.yaml")
    assert not caplog.messages
