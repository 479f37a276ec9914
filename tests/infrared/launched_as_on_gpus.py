"""A stage in the mode that accelerate has on several GPUs, on CPUs, where it leaves out FSDP.

accelerate launch ... -m tests.infrared.launched_as_on_gpus stages.NAME OPTIONS
"""

import runpy
import sys
from typing import Any

from accelerate.state import AcceleratorState, DistributedType, PartialState

_as_on_cpus = AcceleratorState.__init__


def _as_on_gpus(state: AcceleratorState, *args: Any, **kwargs: Any) -> None:
    shared = PartialState._shared_state
    own = shared["distributed_type"]
    shared["distributed_type"] = DistributedType.MULTI_GPU
    _as_on_cpus(state, *args, **kwargs)
    shared["distributed_type"] = own
    print(f"accelerate's mode: {state.distributed_type.value}", file=sys.stderr)


if __name__ == "__main__":
    AcceleratorState.__init__ = _as_on_gpus
    sys.argv.pop(0)
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
