"""Settings of a training that do not go with where it runs."""

from refract.errors import InputError
from refract.params.ir_adapter import IrAdapter


def check_batch(settings: IrAdapter, processes: int) -> None:
    """InputError where the processes cannot divide a forward pass evenly."""
    if settings.batch % processes:
        raise InputError(
            f"ir_adapter.batch = {settings.batch}: must be a multiple of the number of processes, "
            f"{processes}, which divide each forward pass evenly"
        )


def check_precision(settings: IrAdapter, device: str) -> None:
    """InputError for float16 on a CPU, where accelerate would silently leave out the scaler."""
    if settings.precision == "float16" and device == "cpu":
        raise InputError(
            "ir_adapter.precision = float16: its gradient scaler needs a GPU; on this device (cpu) "
            "it must be float32 or bfloat16"
        )
