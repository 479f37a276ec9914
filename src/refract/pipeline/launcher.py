"""`$REFRACT_PROCESSES`: a stage starts itself in several processes on this machine.

Started by DVC or by hand, the stage's own process becomes the launcher and stays DVC's direct
child. The work is done by the elastic agent of torch, as in `torchrun --standalone`: one way for
CPUs and GPUs, a free port, and the end of all when one has failed. Unlike torchrun it exits with
the code of the process that failed, whose one line is then the last word.
"""

import logging
import os
import signal
import sys
import tempfile
from uuid import uuid4

from refract.base.errors import InputError, shorten
from refract.pipeline.device import core_count, device_kind
from refract.pipeline.gpu_claim import claim_gpus, visible_gpus, wants_own_gpu
from refract.pipeline.stage_runner import LAUNCHER_PID

logger = logging.getLogger(__name__)

_MOST = 1024


def launch_processes() -> None:
    """Where `$REFRACT_PROCESSES` is above 1, run this very command in so many processes and exit.

    Returns where it is not, and in every process that a launcher has started. Raises InputError
    for a value that is no number of processes.
    """
    count = wanted_processes()
    if count > 1 and "RANK" not in os.environ:
        sys.exit(_launch(count))


def wanted_processes() -> int:
    """`$REFRACT_PROCESSES`, 1 where it is unset or empty."""
    asked = os.environ.get("REFRACT_PROCESSES", "") or "1"
    if not (asked.isascii() and asked.isdigit() and 1 <= int(asked) <= _MOST):
        raise InputError(f"$REFRACT_PROCESSES = {shorten(asked)}: must be 1 to {_MOST}")
    return int(asked)


def _launch(count: int) -> int:
    """The exit code: of the first process that failed, else 0."""
    # Slow to import, and a stage in one process needs none of it.
    from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    # Its reports of which process got which signal would hide the line of the one that failed.
    elastic = logging.getLogger("torch.distributed.elastic")
    elastic.propagate = False
    elastic.addHandler(logging.NullHandler())
    _set_environment(count)
    with tempfile.TemporaryDirectory() as folder:
        config = LaunchConfig(
            min_nodes=1,
            max_nodes=1,
            nproc_per_node=count,
            run_id=uuid4().hex,
            rdzv_backend="c10d",
            rdzv_endpoint="localhost:0",  # a free port
            local_addr="localhost",  # the machine's own name may not resolve
            max_restarts=0,
            logs_specs=DefaultLogsSpecs(log_dir=folder),  # else it leaves a folder behind
            # Without SIGINT: Ctrl-C comes as KeyboardInterrupt, after which the agent ends all.
            signals_to_handle="SIGTERM,SIGHUP,SIGQUIT",
        )
        try:
            elastic_launch(config, sys.executable)(*sys.orig_argv[1:])
        except ChildFailedError as error:
            _, failure = error.get_first_failure()
            return _exit_code(failure.local_rank, failure.exitcode)
        except SignalException as error:
            return 128 + error.sigval
    return 0


def _set_environment(count: int) -> None:
    """What the processes inherit: their share of the machine, and whom to die with."""
    os.environ[LAUNCHER_PID] = str(os.getpid())
    if "OMP_NUM_THREADS" not in os.environ:  # else accelerate overrides $REFRACT_THREADS
        threads = str(max(1, core_count() // count))
        os.environ["OMP_NUM_THREADS"] = os.environ.get("REFRACT_THREADS") or threads
    if device_kind() == "cuda" and wants_own_gpu():
        names = visible_gpus()
        claimed = claim_gpus(count)  # by this process, which lives as long as they do
        os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(names[index] for index in claimed)


def _exit_code(local_rank: int, code: int) -> int:
    """As a shell has it; what a signal has ended could not say so itself."""
    if code >= 0:
        return code
    logger.error("process %d was ended by %s", local_rank + 1, signal.Signals(-code).name)
    return 128 - code
