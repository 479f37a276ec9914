from pathlib import Path

import pytest

from refract.evaluation.votes.study_key import StudyKey
from refract.user_study.building import build_study
from tests.tiny.study import HOSTILE, request


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, StudyKey]:
    """A study of two cases and a check, named to break out of the page: its place and its key."""
    folder = tmp_path_factory.mktemp("study")
    asked = request(folder, ("mug", HOSTILE), checks=1, title=f"Mugs {HOSTILE}")
    return folder, build_study(asked, folder / "study")
