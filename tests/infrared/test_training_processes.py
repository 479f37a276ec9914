"""Training in two processes of a real launch, on the CPU (gloo), against training in one."""

import csv
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from safetensors.torch import load

from refract.base.errors import InputError
from refract.pipeline.device import pick_device
from tests.stage_process import run_module
from tests.tiny.training import LEARNABLE, Inputs, train, wait_for_checkpoint

ROOT = Path(__file__).parents[2]

# `accelerate launch`; with --cpu it would start one process, whatever --num_processes says.
LAUNCH = (
    *(sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2"),
    *("--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no"),
    *("--main_process_port", "0"),  # a free one
)
OPTIONS: dict[str, Any] = {"batch": 4, "accumulation": 2, "ema": 0.9, "steps": 12}

# For sums in another order: 1.3e-7 of the curve was the most in 12 steps, 5e-6 of a tensor's norm.
CURVE_TOLERANCE = 1e-5
WEIGHT_TOLERANCE = 1e-4
# Softmax is blind to the bias of the keys: its gradient is rounding, which Adam makes steps of.
NOISE = ("to_k.bias",)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


class Finished(NamedTuple):
    output: Path
    state: Path
    said: str


@pytest.fixture(scope="module")
def two(inputs: Inputs, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """The training of OPTIONS in two processes, which accelerate launches."""
    folder = tmp_path_factory.mktemp("two")
    done = subprocess.run(
        [*LAUNCH, "-m", *inputs.stage(folder / "two", OPTIONS)],
        cwd=ROOT,
        env=os.environ | {"REFRACT_DEVICE": "cpu", "REFRACT_STATE": str(folder / "state")},
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, done.stderr
    return Finished(folder / "two", folder / "state", done.stderr)


def assert_equal_training(one: dict[str, bytes], two: dict[str, bytes]) -> None:
    """Curves and weights within the tolerances."""
    rows = [list(csv.DictReader(files["curve.csv"].decode().splitlines())) for files in (one, two)]
    for own, other in zip(*rows, strict=True):
        assert own.pop("phase") == other.pop("phase")
        own, other = ({k: float(v) for k, v in row.items() if v} for row in (own, other))
        assert other == pytest.approx(own, rel=CURVE_TOLERANCE)
    for name in (name for name in one if name.endswith(".safetensors")):
        first, second = load(one[name]), load(two[name])
        assert first.keys() == second.keys()
        for key in first:
            difference = torch.linalg.norm(first[key] - second[key])
            small = difference <= WEIGHT_TOLERANCE * torch.linalg.norm(first[key])
            assert small or key.endswith(NOISE), f"{key}: {difference}"


def test_two_processes_train_as_one_with_the_same_batch(
    inputs: Inputs, two: Finished, tmp_path: Path
) -> None:
    one = train(inputs.model, inputs.triptychs, tmp_path / "one", **OPTIONS)
    assert_equal_training(one, contents(two.output))
    for line in ("2 processes, each 2 of a batch", "0 cached, 12 to encode", "step 12/12 100%"):
        assert two.said.count(line) == 1, "the main process alone speaks"
    assert len(list(two.state.glob("ir_latents/*"))) == 12
    assert not list(two.state.glob("checkpoints/*/step_*"))


def test_an_alpha_outside_of_the_wrapped_forward_pass_gets_the_mean_gradient(
    inputs: Inputs, tmp_path: Path
) -> None:
    """The data use it, but the gradient passes DDP's hook on the parameter all the same."""
    options = LEARNABLE | {"batch": 2, "accumulation": 2}
    one = train(inputs.model, inputs.triptychs, tmp_path / "one", **options)
    inputs.run(tmp_path / "two", tmp_path / "state", options)
    two = contents(tmp_path / "two")
    assert_equal_training(one, two)
    alphas = [json.loads(files["config.json"])["fusion_alpha"] for files in (one, two)]
    assert alphas[1] == pytest.approx(alphas[0], rel=1e-6)
    assert abs(alphas[0] - 0.5) > 1e-3


def test_a_second_launch_takes_the_result_of_the_first(
    inputs: Inputs, two: Finished, tmp_path: Path
) -> None:
    said = inputs.run(tmp_path / "again", two.state, OPTIONS)
    assert said.count("in the item store already") == 1
    assert "training on" not in said
    assert contents(tmp_path / "again") == contents(two.output)


@pytest.mark.long
def test_a_killed_launch_goes_on_bit_for_bit(inputs: Inputs, two: Finished, tmp_path: Path) -> None:
    state = tmp_path / "state"
    started = inputs.start(tmp_path / "killed", state, OPTIONS)
    wait_for_checkpoint(started[0], state)
    for process in started:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert not (tmp_path / "killed").exists()
    assert list(state.glob("checkpoints/*/step_*")), "it ended before it could be killed"

    assert "resuming after step" in inputs.run(tmp_path / "resumed", state, OPTIONS)
    assert contents(tmp_path / "resumed") == contents(two.output)


def test_all_end_at_the_same_step_when_one_is_told_to(
    inputs: Inputs, two: Finished, tmp_path: Path
) -> None:
    state = tmp_path / "state"
    first, second = inputs.start(tmp_path / "told", state, OPTIONS | {"checkpoint_every": 1})
    wait_for_checkpoint(first, state)
    second.send_signal(signal.SIGTERM)
    ended = [process.wait() for process in (first, second)]
    assert [done.returncode for done in ended] == [143, 143]
    said = "".join(done.stderr for done in ended)
    (saved,) = re.findall(r"step (\d+) of 12 is saved", said)
    assert [path.name for path in state.glob("checkpoints/*/step_*")] == [f"step_{saved:0>8}"]
    assert f"resuming after step {saved} of" in inputs.run(tmp_path / "resumed", state, OPTIONS)
    assert contents(tmp_path / "resumed") == contents(two.output)


def test_an_uneven_batch_is_refused_before_the_processes_meet(
    inputs: Inputs, tmp_path: Path
) -> None:
    """One of two processes; it does not wait for the other, which would say the same."""
    one_of_two = {"WORLD_SIZE": "2", "RANK": "0", "LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "2"}
    done = run_module(*inputs.stage(tmp_path / "out", {"batch": 3}), env=one_of_two)
    assert done.returncode == 2
    assert done.stderr.endswith(
        "refract train_ir_adapter: error: ir_adapter.batch = 3: must be a multiple of the number "
        "of processes, 2, which divide each forward pass evenly\n"
    )
    assert "Traceback" not in done.stderr


def test_each_process_takes_a_gpu_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.delenv("REFRACT_DEVICE", raising=False)
    monkeypatch.setenv("LOCAL_RANK", "1")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    assert pick_device() == "cuda:1"
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "3")
    with pytest.raises(InputError, match=r"3 processes, but this machine has 2 GPU"):
        pick_device()
    monkeypatch.setenv("REFRACT_DEVICE", "cuda:1")
    with pytest.raises(InputError, match=r"REFRACT_DEVICE = 'cuda:1': must be cuda for 3"):
        pick_device()
    monkeypatch.setenv("REFRACT_DEVICE", "cpu")
    assert pick_device() == "cpu"
