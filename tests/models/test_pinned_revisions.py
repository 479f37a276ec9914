"""Which commit of a hub model is taken."""

import logging
from pathlib import Path

import pytest

from refract.base.yaml_files import read_yaml
from refract.models.identity import model_identity
from refract.models.pinned_revisions import PINNED, _warn, revision_of

ROOT = Path(__file__).parents[2]
COMMIT = "0123456789" * 4


def test_every_hub_model_of_a_profile_is_pinned() -> None:
    profile = read_yaml(ROOT / "profiles" / "full.yaml")
    named = {
        profile["infrared_model"]["path"], profile["video_model"]["path"],
        profile["evaluate"]["clip_model"],
    }  # fmt: skip
    assert named <= PINNED.keys()
    assert all(len(commit) == 40 and int(commit, 16) >= 0 for commit in PINNED.values())


def test_the_one_asked_for_wins(caplog: pytest.LogCaptureFixture) -> None:
    name = "Wan-AI/Wan2.1-T2V-14B-Diffusers"
    assert revision_of(name, None) == PINNED[name]
    assert revision_of(name, COMMIT) == COMMIT
    assert model_identity(name, None) == f"{name}@{PINNED[name]}"
    assert not caplog.records, "a commit needs no warning"


@pytest.mark.parametrize("revision", [None, "main", "v1", COMMIT[:7]])
def test_what_may_change_is_said_once(
    revision: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    _warn.cache_clear()
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            assert revision_of("owner/name", revision) == (revision or "main")
    assert [record.getMessage() for record in caplog.records] == [
        f"model owner/name: taken from {revision or 'main'}, which may change; "
        "set its revision to a commit of 40 characters"
    ]
