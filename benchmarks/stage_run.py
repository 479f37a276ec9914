"""One process of the stage train_ir_adapter, watched from outside and killed on demand.

Progress shows as it does to a user: in the folder of checkpoints and in the messages.
"""

import os
import re
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.workspace import Workspace
from refract.base.atomic import TEMPORARY_PREFIX
from refract.pipeline.item_store import INDEX_NAME

_POLL_S = 0.001
_BEGUN = re.compile(r"sample panels|resuming after step")  # the loop starts after either
_RESUMED = re.compile(r"resuming after step (\d+) of")
_FINISHED_BEFORE = "this training is in the item store already"


class StageRun:
    """Process `number` of the training whose state and output lie in `folder`."""

    def __init__(self, workspace: Workspace, folder: Path, number: int = 0) -> None:
        self.state = folder / "state"
        self.output = folder / "output"
        self.log = folder / f"log_{number}.txt"
        self._left_before = set(self._half_written())
        self.started = time.monotonic()
        options = {"triptychs": workspace.triptychs, "output": self.output}
        self.process: subprocess.Popen[bytes] = workspace.start(
            "train_ir_adapter", options, state=self.state, log=self.log
        )

    def begun(self) -> bool:
        """Whether the training loop has been reached."""
        return bool(_BEGUN.search(self._messages()))

    def checkpoint(self) -> int:
        """Steps of the newest whole checkpoint, 0 where there is none."""
        return max(map(_step, self.state.glob("checkpoints/*/step_*")), default=0)

    def writing(self) -> set[int]:
        """Steps of the checkpoints that this process has begun and not finished."""
        return {_step(path) for path in set(self._half_written()) - self._left_before}

    def finished(self) -> bool:
        """Whether the result is in the item store."""
        slots = self.state.glob(f"train_ir_adapter/*/{INDEX_NAME}")
        return any(not slot.parent.name.startswith(TEMPORARY_PREFIX) for slot in slots)

    def resumed_from(self) -> int | None:
        """The step it went on from, as it said; None where it found the finished result."""
        messages = self._messages()
        if _FINISHED_BEFORE in messages:
            return None
        found = _RESUMED.search(messages)
        return int(found[1]) if found else 0

    def wait_for(self, condition: Callable[[], bool]) -> bool:
        """Poll until it holds; False where the process ended before."""
        while not condition():
            if not self.sleep(_POLL_S):
                return False
        return True

    def sleep(self, seconds: float) -> bool:
        """False where the process ended within that time."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            if self.process.poll() is not None:
                return False
            time.sleep(min(left, _POLL_S))
        return self.process.poll() is None

    def kill(self) -> bool:
        """SIGKILL to the whole process group; False where the process had ended before."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        return self.process.wait() == -signal.SIGKILL

    def _messages(self) -> str:
        return self.log.read_text(errors="replace")

    def _half_written(self) -> list[Path]:
        return list(self.state.glob(f"checkpoints/*/{TEMPORARY_PREFIX}*-step_*"))


def _step(path: Path) -> int:
    """12 of `step_00000012`, also under a temporary name."""
    return int(path.name.rpartition("_")[2])
