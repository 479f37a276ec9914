"""A table of results as Markdown, and what it was measured on, in one line."""

import os
import platform
from collections.abc import Sequence
from pathlib import Path

import torch


def describe_machine(device: str, dtype: str) -> str:
    """Device, dtype, torch and threads: what a figure means nothing without."""
    parts = [
        f"device {_device_name(device)}",
        f"dtype {dtype}",
        f"torch {torch.__version__}",
        f"threads {torch.get_num_threads()}",
    ]
    if device == "cpu":
        parts.append(f"{_usable_cores()} of {os.cpu_count()} cores")
    return ", ".join(parts)


def _device_name(device: str) -> str:
    if device.startswith("cuda"):
        return f"{device} ({torch.cuda.get_device_name(device)})"
    return f"cpu ({_cpu_name()})" if device == "cpu" else device


def _cpu_name() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text().splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name":
                return value.strip()
    return platform.processor() or platform.machine()


def _usable_cores() -> int:
    """The cores this process may run on; `taskset` lowers them."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table; floats with three significant digits, all else as `str` has it.

    Raises:
        ValueError: a row of another length than the header.
    """
    lines = [_line(header), _line(["---"] * len(header))]
    for row in rows:
        if len(row) != len(header):
            raise ValueError(f"row {list(row)} has {len(row)} cells, the header {len(header)}")
        lines.append(_line([_cell(value) for value in row]))
    return "\n".join(lines)


def _cell(value: object) -> str:
    """`%g` with three digits, but never in powers of ten between 0.0001 and a million."""
    if not isinstance(value, float):
        return str(value).replace("|", r"\|")
    if 1e3 <= abs(value) < 1e6:
        return f"{value:.0f}"
    return f"{value:.3g}"


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"
