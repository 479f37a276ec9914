"""The compute device of this run."""

import os
import re

from refract.errors import InputError, shorten


def pick_device() -> str:
    """`$REFRACT_DEVICE` where set, else `cuda`, `mps` or `cpu`, the first that is there.

    Raises InputError where the variable names no device or one this machine lacks.
    """
    import torch  # not at module level: commands that only parse arguments must start fast

    wanted = os.environ.get("REFRACT_DEVICE", "")
    if wanted and not re.fullmatch(r"cpu|mps|cuda(:\d+)?", wanted):
        raise InputError(f"$REFRACT_DEVICE = {shorten(wanted)}: must be cpu, mps, cuda or cuda:N")
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not wanted:
        return next((kind for kind, there in available.items() if there), "cpu")
    kind, _, index = wanted.partition(":")
    present = kind == "cpu" or available[kind]
    if not present or (index and int(index) >= torch.cuda.device_count()):
        raise InputError(f"$REFRACT_DEVICE = {wanted!r}: this machine has no such device")
    return wanted
