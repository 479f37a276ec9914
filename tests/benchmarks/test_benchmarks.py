import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from benchmarks.memory import extra_peak_bytes
from benchmarks.tables import describe_machine, markdown_table
from benchmarks.timing import Timings, time_interleaved
from benchmarks.training_parts import TrainingParts, build_parts
from benchmarks.training_step import alternatives, table
from benchmarks.workspace import Workspace, street_settings
from refract.params.models import InfraredModelParams
from refract.params.whole import load_stage_params
from stages.prepare_triptychs import StageParams as PrepareParams
from stages.train_ir_adapter import StageParams
from tests.tiny.fill import write_tiny_fill, write_triptychs

ROOT = Path(__file__).parents[2]


class Clock:
    """Time that passes only by the calls that are timed."""

    def __init__(self) -> None:
        self.now = 0.0
        self.calls: list[str] = []

    def work(self, name: str, seconds: float) -> Callable[[], None]:
        def call() -> None:
            self.calls.append(name)
            self.now += seconds

        return call


def test_interleaved_timing_measures_each_alternative_in_every_round() -> None:
    clock = Clock()
    timings = time_interleaved(
        {"one": clock.work("one", 1.0), "three": clock.work("three", 3.0)},
        repeats=3,
        warmup=1,
        clock=lambda: clock.now,
    )
    assert timings.seconds == {"one": [1.0] * 3, "three": [3.0] * 3}
    assert timings.ratio("three", "one") == 3
    assert clock.calls[2:] == ["one", "three", "three", "one", "one", "three"]  # after the warm-up


def test_a_ratio_holds_while_the_machine_slows_down() -> None:
    timings = Timings({"a": [1.0, 2.0, 8.0], "b": [2.0, 4.0, 16.4]})
    assert timings.ratio("b", "a") == 2
    assert timings.ratio_range("b", "a") == "2.00 to 2.05"
    assert timings.median("b") == 4


@pytest.mark.parametrize("count, repeats", [(0, 3), (1, 0)])
def test_nothing_to_time_is_refused(count: int, repeats: int) -> None:
    with pytest.raises(ValueError, match=f"{count} alternatives, {repeats} repeats"):
        time_interleaved(dict.fromkeys("ab"[:count], int), repeats=repeats)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_extra_memory_is_the_peak_and_not_the_sum() -> None:
    def once() -> None:
        torch.ones(16 << 20)  # 64 MiB

    def twice() -> None:
        once()
        once()

    once()
    mib = [extra_peak_bytes(call) / 2**20 for call in (once, twice, int)]
    assert mib[:2] == pytest.approx([64, 64], abs=4)
    assert mib[2] < 4


def test_a_table_has_short_numbers_and_whole_rows() -> None:
    text = markdown_table(["a", "b"], [["x|y", 0.123456], [12, 123456.7]])
    assert text.splitlines() == [
        "| a | b |",
        "| --- | --- |",
        r"| x\|y | 0.123 |",
        "| 12 | 123457 |",
    ]
    with pytest.raises(ValueError, match="has 1 cells, the header 2"):
        markdown_table(["a", "b"], [["x"]])


def test_the_machine_is_described_with_what_figures_depend_on() -> None:
    text = describe_machine("cpu", "bfloat16")
    for part in ("device cpu", "dtype bfloat16", f"torch {torch.__version__}", "threads"):
        assert part in text


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> TrainingParts:
    folder = tmp_path_factory.mktemp("parts")
    params = load_stage_params(StageParams, ROOT / "params.yaml")
    model = InfraredModelParams(
        path=str(write_tiny_fill(folder / "base")),
        revision=None,
        dtype="float32",
        max_sequence_length=16,
    )
    triptychs = write_triptychs(folder / "triptychs", {"train": 3})
    settings = params.ir_adapter.model_copy(update={"batch": 2})
    return build_parts(settings, model, 0, triptychs, folder / "state", "cpu")


def test_encoding_anew_gives_the_batch_of_the_cache(parts: TrainingParts) -> None:
    cached, anew = parts.load(parts.cached), parts.load(parts.anew)
    assert cached.x_0.shape == (2, 8, 64)
    for one, other in zip(cached[:3], anew[:3], strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-4)
    assert torch.equal(cached.text.tokens, anew.text.tokens)


def test_both_kinds_of_step_train_and_have_a_row(parts: TrainingParts) -> None:
    before = [p.detach().clone() for p in parts.trainable.values()]
    header, lines = table(time_interleaved(alternatives(parts), repeats=1, warmup=0), {})
    assert any(
        not torch.equal(one, other)
        for one, other in zip(before, parts.trainable.values(), strict=True)
    )
    assert len(lines) == 6 and all(len(line) == len(header) for line in lines)
    assert [line[2] for line in lines if "cached latents" in str(line[0])] == [1]


def test_a_workspace_holds_its_own_settings_and_scenes(tmp_path: Path) -> None:
    changes = {"prepare_triptychs": street_settings(tmp_path, 32), "ir_adapter": {"steps": 7}}
    workspace = Workspace.create(tmp_path, changes)
    assert load_stage_params(StageParams, workspace.params).ir_adapter.steps == 7
    assert load_stage_params(PrepareParams, workspace.params).prepare_triptychs.panel_px == 32
    workspace.prepare_street({"train": 2, "val": 1})
    names = {path.parent.name for path in workspace.triptychs.glob("*/*.png")}
    assert names == {"train", "val"} and len(list(workspace.triptychs.glob("train/*.png"))) == 2
    with pytest.raises(ValueError, match="scenes of val wanted"):
        Workspace(tmp_path / "b").prepare_street({"val": 10_000})
    with pytest.raises(RuntimeError, match=r"refract train_ir_adapter: error: .*nowhere"):
        workspace.run("train_ir_adapter", {"triptychs": tmp_path / "nowhere", "output": tmp_path})
