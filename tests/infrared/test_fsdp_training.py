"""Training with a sharded base: two processes of a real launch, on the CPU (gloo)."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from accelerate.commands.config.config_args import load_config_from_file
from accelerate.commands.launch import _validate_launch_command, launch_command_parser
from accelerate.utils.launch import prepare_multi_gpu_env
from safetensors.torch import load

from refract.base.errors import InputError
from refract.infrared.training.weight_sharding import Sharding, shard_frozen, wanted_sharding
from tests.infrared.sharding_processes import two_machines
from tests.infrared.test_training_processes import (
    ROOT,
    assert_equal_training,
    contents,
)
from tests.stage_process import run_processes, start_processes
from tests.tiny.fill import tiny_transformer
from tests.tiny.training import Inputs, train, wait_for_checkpoint

CONFIGS = ("ddp", "ddp_multi_node", "fsdp", "fsdp_multi_node")
# Checkpoints of the activations, validation, samples and an average are what could go wrong.
OPTIONS: dict[str, Any] = {
    "batch": 4,
    "accumulation": 2,
    "ema": 0.9,
    "steps": 12,
    "sample_every": 6,
    "gradient_checkpointing": True,
}


def config(name: str) -> Path:
    return ROOT / "launch" / f"{name}.yaml"


class Finished(NamedTuple):
    files: dict[str, bytes]
    state: Path
    said: str


@pytest.fixture(scope="module")
def sharded(inputs: Inputs, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """The training of OPTIONS, accelerate being in the mode that it has on GPUs."""
    folder = tmp_path_factory.mktemp("sharded")
    launcher = ("accelerate.commands.launch", "--config_file", str(config("fsdp")))
    stage = inputs.stage(folder / "out", OPTIONS)
    done = subprocess.run(
        [sys.executable, "-m", *launcher, "--num_processes", "2",
         "-m", "tests.infrared.launched_as_on_gpus", *stage],
        cwd=ROOT,
        env=os.environ | {"REFRACT_DEVICE": "cpu", "REFRACT_STATE": str(folder / "state")},
        capture_output=True, text=True, timeout=900,
    )  # fmt: skip
    said = done.stderr
    assert done.returncode == 0, said
    assert said.count("accelerate's mode: FSDP") == 2
    return Finished(contents(folder / "out"), folder / "state", said)


def test_a_sharded_base_trains_as_a_whole_one_in_one_process(
    inputs: Inputs, sharded: Finished, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REFRACT_STATE", str(tmp_path / "state"))
    one = train(inputs.model, inputs.triptychs, tmp_path / "one", **OPTIONS)
    assert one.keys() == sharded.files.keys()
    for name in (name for name in one if name.endswith(".safetensors")):
        shapes = [
            {k: v.shape for k, v in load(files[name]).items()} for files in (one, sharded.files)
        ]
        assert shapes[0] == shapes[1]
    assert_equal_training(one, sharded.files)


def test_each_process_holds_half_of_the_frozen_weights_and_only_one_writes(
    sharded: Finished,
) -> None:
    whole = sum(weight.numel() for weight in tiny_transformer().parameters())
    assert f"each process holds about {whole // 2} of {whole}" in sharded.said
    samples = sorted(path.name for path in sharded.state.glob("ir_samples/*/*"))
    assert samples == ["step_000000.png", "step_000006.png", "step_000012.png"]
    assert sharded.said.count("sample panels") == 3
    assert sharded.said.count("step 12/12 100%") == 1
    assert not list(sharded.state.glob("checkpoints/*/step_*"))


@pytest.mark.long
def test_a_killed_sharded_training_goes_on_bit_for_bit(
    inputs: Inputs, sharded: Finished, tmp_path: Path
) -> None:
    """In accelerate's mode on CPUs, where it has no FSDP of its own."""
    state = tmp_path / "state"
    fsdp = {
        "ACCELERATE_USE_FSDP": "true", "FSDP_VERSION": "2", "REFRACT_STATE": str(state),
        "FSDP_AUTO_WRAP_POLICY": "TRANSFORMER_BASED_WRAP",
    }  # fmt: skip
    started = start_processes(2, *inputs.stage(tmp_path / "killed", OPTIONS), env=fsdp)
    wait_for_checkpoint(started[0], state)
    for process in started:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert not (tmp_path / "killed").exists()
    assert list(state.glob("checkpoints/*/step_*")), "it ended before it could be killed"

    resumed = run_processes(*inputs.stage(tmp_path / "resumed", OPTIONS), env=fsdp)
    assert "resuming after step" in resumed
    assert contents(tmp_path / "resumed") == sharded.files


def test_machines_of_several_processes_shard_over_their_own(tmp_path: Path) -> None:
    torch.multiprocessing.start_processes(
        two_machines, (str(tmp_path),), nprocs=4, start_method="forkserver"
    )


@pytest.mark.parametrize("name", CONFIGS)
def test_the_shipped_configurations_are_what_accelerate_and_the_training_take(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = load_config_from_file(str(config(name)))  # refuses keys that it does not know
    parsed = launch_command_parser().parse_args(
        ["--config_file", str(config(name)), "-m", "stages.train_ir_adapter"]
    )
    assert set(loaded.fsdp_config) <= set(vars(parsed)), "no option of accelerate launch"
    validated, _, _ = _validate_launch_command(parsed)
    assert validated.multi_gpu != validated.use_fsdp
    assert validated.num_processes % validated.num_machines == 0
    assert (validated.num_machines > 1) == name.endswith("multi_node")

    monkeypatch.setattr("accelerate.utils.launch.is_port_in_use", lambda port: False)
    for key, value in prepare_multi_gpu_env(validated).items():
        monkeypatch.setenv(key, value)
    blocks = ("FluxTransformerBlock", "FluxSingleTransformerBlock")
    wanted = Sharding(blocks, reshard=True) if name.startswith("fsdp") else None
    assert wanted_sharding(validated.num_processes) == wanted


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """An environment as `launch/fsdp.yaml` makes it."""
    for key, value in {
        "ACCELERATE_USE_FSDP": "true",
        "FSDP_VERSION": "2",
        "FSDP_AUTO_WRAP_POLICY": "TRANSFORMER_BASED_WRAP",
    }.items():
        monkeypatch.setenv(key, value)
    assert wanted_sharding(2) == Sharding((), reshard=True)
    return monkeypatch


@pytest.mark.parametrize(
    ("variable", "value", "key"),
    [
        ("FSDP_VERSION", "1", "fsdp_version must be 2"),
        ("FSDP_AUTO_WRAP_POLICY", "NO_WRAP", "fsdp_auto_wrap_policy must be TRANSFORMER_BASED"),
        ("FSDP_AUTO_WRAP_POLICY", "BY_SIZE", "Invalid auto wrap policy: BY_SIZE"),
        ("FSDP_OFFLOAD_PARAMS", "true", "fsdp_offload_params must be false"),
        ("FSDP_CPU_RAM_EFFICIENT_LOADING", "true", "fsdp_cpu_ram_efficient_loading must be false"),
        ("FSDP_ACTIVATION_CHECKPOINTING", "true", "fsdp_activation_checkpointing must be false"),
        ("FSDP_IGNORED_MODULES", "x_embedder", "fsdp_ignored_modules must not be set"),
        ("ACCELERATE_USE_PARALLELISM_CONFIG", "true", "use_parallelism_config must be false"),
    ],
)
def test_what_would_be_left_out_of_account_is_refused(
    asked: pytest.MonkeyPatch, variable: str, value: str, key: str
) -> None:
    asked.setenv(variable, value)
    with pytest.raises(InputError, match=key):
        wanted_sharding(2)


def test_one_process_has_nobody_to_shard_with(asked: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="num_processes must be above 1"):
        wanted_sharding(1)
    asked.setenv("ACCELERATE_USE_FSDP", "false")
    assert wanted_sharding(1) is None


def test_an_unknown_class_of_blocks_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("refract.infrared.training.weight_sharding._mesh", lambda kind: None)
    sharding = Sharding(("FluxTransformerBlock", "LlamaDecoderLayer"), reshard=True)
    with pytest.raises(InputError, match=r"no block of the class LlamaDecoderLayer$"):
        shard_frozen(tiny_transformer(), sharding, "cpu")
