"""What every stage process does around its work: signals, logging, errors, exit codes.

Exit codes: 0 done, 2 bad input (one line, no traceback), 1 out of memory or disk space (one line)
or a defect, 130 Ctrl-C.
Of several processes of one launch the first speaks for all, where all have the same to say.
"""

import ctypes
import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from refract.base.disk_errors import DiskFullError, storing
from refract.base.errors import InputError

logger = logging.getLogger(__name__)

LAUNCHER_PID = "REFRACT_LAUNCHER_PID"  # set by refract.pipeline.launcher for those it starts
_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_PRECEDENCE_S = 10.0


def run_stage(name: str, main: Callable[[], None], *, memory_keys: Sequence[str] = ()) -> NoReturn:
    """Run `main` as the whole work of this process and exit.

    memory_keys: dotted params keys to lower when memory runs out, named in that error with their
    present values.
    """
    parent = int(os.environ.pop(LAUNCHER_PID, os.getppid()))
    die_with_parent()
    if os.getppid() != parent or _has_lost_dvc():  # it died before the line above
        sys.exit(1)
    configure_logging()
    try:
        with storing():
            main()
    except InputError as error:
        _fail(name, str(error), 2)
    except DiskFullError as error:
        _fail(name, str(error), 1)
    except KeyboardInterrupt:
        if not is_first_process():
            sys.exit(130)
        _fail(name, "interrupted; finished items are kept", 130)
    except (MemoryError, RuntimeError) as error:
        if not _is_out_of_memory(error):
            raise
        _fail(name, _memory_advice(error, memory_keys), 1)
    sys.exit(0)


def die_with_parent() -> None:
    """Ask Linux to end this process with its parent: a killed DVC otherwise leaves it running."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _has_lost_dvc() -> bool:
    """Whether DVC had died before this process could ask to die with it: while Python started.

    A stage runs in the process group of the DVC that started it; whoever adopts an orphan does not.
    A launched process (RANK) is in a group of its own and watches its launcher instead.
    """
    if sys.platform != "linux" or "DVC_STAGE" not in os.environ or "RANK" in os.environ:
        return False
    try:
        return os.getpgid(os.getppid()) != os.getpgrp()
    except ProcessLookupError:
        return True


def configure_logging() -> None:
    """One line format on stderr; `$REFRACT_LOG` sets the level of our own messages.

    Of several processes only the first says more than warnings. Those of torch's C++ part are left
    out ($TORCH_CPP_LOG_LEVEL, read when torch is imported): DDP says at every start that an option
    may cost time, which `refract.infrared.training.loop` needs.
    """
    if "RANK" in os.environ:
        os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    level = os.environ.get("REFRACT_LOG", "INFO").upper()
    if level not in logging.getLevelNamesMapping():
        level = "INFO"
    if not is_first_process():
        level = "WARNING"
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)-7s %(message)s", "%H:%M:%S"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    for package in ("refract", "stages", "__main__"):
        logging.getLogger(package).setLevel(level)


def is_first_process() -> bool:
    """Whether this one speaks for all processes of its launch; true without a launch."""
    return os.environ.get("RANK", "0") == "0"


def _fail(name: str, message: str, code: int) -> NoReturn:
    """Say so and exit.

    The launcher ends all processes soon after one has failed. So where all fail alike the first
    must be ahead of the others, whose line is then never printed; one that fails alone prints it.
    """
    if not is_first_process():
        time.sleep(_PRECEDENCE_S)
    print(f"refract {name}: error: {message}", file=sys.stderr, flush=True)
    sys.exit(code)


def _is_out_of_memory(error: Exception) -> bool:
    torch = sys.modules.get("torch")  # where torch was never imported it cannot have run out
    return (
        isinstance(error, MemoryError)
        or (torch is not None and isinstance(error, torch.OutOfMemoryError))
        or "can't allocate memory" in str(error)  # torch's CPU allocator raises RuntimeError
    )


def _memory_advice(error: Exception, keys: Sequence[str]) -> str:
    current = ", ".join(f"{key} = {_current_value(key)}" for key in keys)
    advice = f"lower {current}" if current else "lower the batch or the resolution in params.yaml"
    return f"out of memory: {advice} ({str(error).partition('. ')[0] or 'no detail'})"


def _current_value(key: str) -> Any:
    """The value of a dotted key in the file given as `--params`, or `?`."""
    from refract.base.yaml_files import read_yaml

    try:
        value: Any = read_yaml(Path(sys.argv[sys.argv.index("--params") + 1]))
        for part in key.split("."):
            value = value[part]
    except (ValueError, IndexError, KeyError, TypeError):
        return "?"
    return value
