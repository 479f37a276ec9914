"""A part of the malformed inputs, and that the harness sees what it is there to see."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults import malformed
from tests.faults.malformed_case import Case, Handled, refused
from tests.faults.malformed_verdict import judge
from tests.stage_process import Done
from tests.tiny.world import STAGES, World

KINDS = 14


def test_malformed_inputs_of_every_kind() -> None:
    rows = malformed.run(0, long=False)
    assert len(rows) == KINDS + 1, rows
    assert sum(row.count for row in rows) >= malformed.SHORT
    assert sum(row.losses for row in rows) == 0, rows


def test_the_long_version_reaches_every_stage() -> None:
    cases = malformed.all_cases(0)
    assert len(cases) >= 300 and {case.stage for case in cases} == set(STAGES)
    assert len({case.kind for case in cases}) == KINDS
    faults = [(case.kind, case.fault) for case in cases]
    assert len(set(faults)) > 0.99 * len(faults)  # a few are drawn twice, by another stage
    again = [(case.kind, case.fault) for case in malformed.all_cases(0)]
    assert again == faults


LINE = "refract infer_ir: error: a.png: not a readable picture\n"
LOG = "12:00:00 INFO    loading\n"
BAR = "infrared:   0%|          | 0/6 [00:00<?, ?picture/s]\n"


def _nothing(_: World) -> None:
    """A world that is as sound as before."""


def _run(
    code: int | None, stderr: str, act: Callable[[World], object] = _nothing
) -> Callable[[World, str], Done]:
    def run(world: World, stage: str) -> Done:
        act(world)
        return Done(code, "", stderr, left_running=False)

    return run


REFUSED = Case("k", "f", "infer_ir", _nothing, refused("a.png", allowed="picture"))
HANDLED = Case("k", "f", "infer_ir", _nothing, Handled(_nothing))


@pytest.fixture
def world(tmp_path: Path) -> World:
    (tmp_path / "outside").mkdir()
    world = World(tmp_path / "outside" / "work")
    world.put("a.png", b"x")
    world.put("out/infrared/earlier.png", b"x")
    return world


def test_a_clean_refusal_and_a_clean_result_pass(world: World) -> None:
    assert judge(REFUSED, world, _run(2, LOG + BAR + LINE)) == []
    assert judge(HANDLED, world, _run(0, LOG, lambda w: w.put("out/infrared/new.png", b""))) == []


@pytest.mark.parametrize(
    ("code", "stderr", "act", "told"),
    [
        (1, LINE, _nothing, "exit code 1"),
        (0, "", _nothing, "exit code 0"),
        (None, "", _nothing, "still running"),
        (2, "Traceback (most recent call last):\n" + LINE, _nothing, "traceback"),
        (2, LINE + LINE, _nothing, "not one line"),
        (2, LINE.replace("infer_ir", "evaluate"), _nothing, "not one line"),
        (2, LINE.replace("a.png", "b.png"), _nothing, "does not name a.png"),
        (2, LINE.replace("picture", "thing"), _nothing, "does not say 'picture'"),
        (2, LINE, lambda w: w.put("out/infrared/new.png", b""), "new.png was written"),
        (2, LINE, lambda w: w.remove("out/infrared"), "earlier.png was written or changed"),
        (2, LINE, lambda w: w.put("../x.png", b""), "outside of its folder"),
        (2, LINE, lambda w: w.put("state/infer_ir/.tmp-1/a", b""), "left behind"),
    ],
)
def test_a_fault_of_a_refusal_is_seen(
    world: World, code: int | None, stderr: str, act: Callable[[World], object], told: str
) -> None:
    wrong = judge(REFUSED, world, _run(code, stderr, act))
    assert any(told in line for line in wrong), wrong


def test_a_wrong_result_is_seen(world: World) -> None:
    def black(_: World) -> None:
        raise AssertionError("the picture is black")

    wrong = judge(Case("k", "f", "infer_ir", _nothing, Handled(black)), world, _run(0, ""))
    assert any("the picture is black" in line for line in wrong)
    unsaid = Case("k", "f", "infer_ir", _nothing, Handled(_nothing, "no map"))
    assert any("no map" in line for line in judge(unsaid, world, _run(0, "")))
    elsewhere = _run(0, "", lambda w: w.put("scenes/x.png", b""))
    assert any("no output of the stage" in line for line in judge(HANDLED, world, elsewhere))
