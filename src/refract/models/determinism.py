"""Same seed, same machine, same bytes."""

import os
import random

from refract.base.errors import InputError, shorten

_CUBLAS_WORKSPACE = "CUBLAS_WORKSPACE_CONFIG"
_COMPILER = "TORCHINDUCTOR_DETERMINISTIC"


def make_deterministic(seed: int, *, threads: int | None = None) -> None:
    """Seed every generator, ask for deterministic kernels and fix the number of CPU threads.

    To be called before the first tensor operation. `$REFRACT_THREADS` sets the threads; where it
    is unset, `threads` does (None: all cores). Sums depend on their number, so bytes are equal for
    equal numbers only. Operations without a deterministic kernel warn instead of failing.
    """
    os.environ.setdefault(_CUBLAS_WORKSPACE, ":4096:8")  # read once, at the first cuBLAS call
    os.environ.setdefault(_COMPILER, "1")  # read when it is imported
    import numpy as np
    import torch

    asked = os.environ.get("REFRACT_THREADS", "")
    if asked:
        if not (asked.isascii() and asked.isdigit() and 1 <= int(asked) <= 1024):
            raise InputError(f"$REFRACT_THREADS = {shorten(asked)}: must be 1 to 1024")
        threads = int(asked)
    if threads is not None:
        torch.set_num_threads(threads)
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
    # `use_deterministic_algorithms` would import the compiler to tell it too: two seconds.
    torch.set_deterministic_debug_mode("warn")
    torch.backends.cudnn.benchmark = False
