"""Same seed, same machine, same bytes."""

import os
import random

from refract.errors import InputError, shorten

_CUBLAS_WORKSPACE = "CUBLAS_WORKSPACE_CONFIG"


def make_deterministic(seed: int) -> None:
    """Seed every generator, ask for deterministic kernels and fix the number of CPU threads.

    To be called before the first tensor operation. `$REFRACT_THREADS` sets the threads (all cores
    where unset); sums depend on their number, so bytes are equal for equal numbers only.
    Operations without a deterministic kernel warn instead of failing.
    """
    os.environ.setdefault(_CUBLAS_WORKSPACE, ":4096:8")  # read once, at the first cuBLAS call
    import numpy as np
    import torch

    threads = os.environ.get("REFRACT_THREADS", "")
    if threads:
        if not (threads.isascii() and threads.isdigit() and 1 <= int(threads) <= 1024):
            raise InputError(f"$REFRACT_THREADS = {shorten(threads)}: must be 1 to 1024")
        torch.set_num_threads(int(threads))
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.backends.cudnn.benchmark = False
