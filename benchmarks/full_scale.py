"""The full profile's edit, training step and picture, part by part: seconds and peak memory.

python -m benchmarks.hub_folder wan-1.3B /tmp/wan --no-text
python -m benchmarks.hub_folder fill /tmp/fill --no-text
python -m benchmarks.full_scale --video /tmp/wan --image /tmp/fill
python -m benchmarks.full_scale --video /tmp/wan --options offload=block --options vae_tiling=true
python -m benchmarks.full_scale --video /tmp/wan --profile          (and where the time goes)

Any folder of the two kinds will do; clip, picture and prompts are noise, so no text encoder is
loaded. `--options` are settings of the models' sections, a run each beside the one without any.
Whole edits are computed from the steps that were run; what runs out of memory is a row.
"""

import argparse
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import diffusers
import torch
from torch.profiler import ProfilerActivity, profile
from yaml import YAMLError

from benchmarks.full_scale_parts import (
    BASES,
    Calls,
    Edit,
    Scale,
    Weights,
    all_steps,
    picture_calls,
    training_calls,
)
from benchmarks.memory import peak_bytes
from benchmarks.tables import describe_machine, markdown_table
from benchmarks.timing import CLOCKS, Timings, add_measuring_options, synchronise, time_interleaved
from refract.base.errors import InputError
from refract.base.yaml_files import parse_yaml
from refract.models.determinism import make_deterministic
from refract.params.models import InfraredModelParams, Model, VideoModelParams
from refract.params.section import SectionType, validate
from refract.pipeline.device import free_memory, pick_device

OUT_OF_MEMORY = "out of memory"
_KERNELS = 15  # of a profile
_FIXED = {"path", "revision", "max_sequence_length"}
_CHECKPOINTING = "gradient_checkpointing"  # of section ir_adapter


@dataclass(frozen=True)
class Options:
    """text: as the user wrote it. values: of the models' sections."""

    text: str
    values: Mapping[str, Any]
    checkpointing: bool = True

    def section(self, kind: type[SectionType], folder: Path, dtype: str, words: int) -> SectionType:
        """The section with them; InputError for a value that it does not take."""
        fixed = {
            "path": str(folder), "revision": None, "dtype": dtype, "max_sequence_length": words
        }  # fmt: skip
        return validate(kind, {**fixed, **self.values}, f"--options {self.text}")

    def known_to(self, kind: type[Model]) -> bool:
        return self.values.keys() <= kind.model_fields.keys()


NONE = Options("none", {})


def parse_options(text: str) -> Options:
    """`name=value,...`, values as in params.yaml; InputError for a name that no section has."""
    known = sorted(
        (VideoModelParams.model_fields.keys() | InfraredModelParams.model_fields.keys()) - _FIXED
    )
    values: dict[str, Any] = {}
    for part in text.split(","):
        name, equals, value = part.partition("=")
        if name not in (*known, _CHECKPOINTING) or not equals:
            allowed = ", ".join((*known, _CHECKPOINTING))
            raise InputError(f"--options {part!r}: must be NAME=VALUE, NAME one of {allowed}")
        try:
            values[name] = parse_yaml(value)
        except (YAMLError, ValueError) as error:
            raise InputError(f"--options {part!r}: the value is not valid YAML") from error
    checkpointing = values.pop(_CHECKPOINTING, True)
    if not isinstance(checkpointing, bool):
        raise InputError(f"--options {_CHECKPOINTING}={checkpointing}: must be true or false")
    return Options(text, values, checkpointing)


@dataclass(frozen=True)
class Parts:
    """timings: of the parts that ran. peaks: bytes of each. lacking: what ran out of memory."""

    timings: Timings
    peaks: Mapping[str, int]
    lacking: frozenset[str] = frozenset()


def measure(calls: Calls, device: str, repeats: int, clock: Callable[[], float]) -> Parts:
    """Time the parts in interleaved rounds, after one call to warm up and one for the memory."""
    peaks: dict[str, int] = {}
    for name, call in calls.items():
        with memory_may_run_out():
            call()
            peaks[name] = peak_bytes(call, device)
    able = {name: call for name, call in calls.items() if name in peaks}
    timings = Timings({})
    if able:
        timings = time_interleaved(able, repeats=repeats, warmup=0, device=device, clock=clock)
    return Parts(timings, peaks, frozenset(calls.keys() - able.keys()))


@contextmanager
def memory_may_run_out() -> Iterator[None]:
    """The body ends where memory runs out, with what it held given back."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not _is_out_of_memory(error):
            raise
    free_memory()  # out here, where the error no longer holds the frames and their tensors


def _is_out_of_memory(error: BaseException) -> bool:
    """CUDA's error has a class of its own; the CPU allocator's is a RuntimeError like any other."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    words = ("can't allocate memory", "out of memory")
    return isinstance(error, RuntimeError) and any(word in str(error) for word in words)


@dataclass(frozen=True)
class Measuring:
    """How everything is measured. clock: a name of `CLOCKS`. profiled: print where time goes."""

    device: str
    dtype: str
    repeats: int
    clock: str
    profiled: bool

    def rows(self, model: str, given: Options, calls: Calls, sums: Weights) -> list[list[str]]:
        parts = measure(calls, self.device, self.repeats, CLOCKS[self.clock])
        if self.profiled and given is NONE:
            for name in parts.peaks:
                print(f"\n{model}, {name}\n{profile_table(calls[name], self.device)}")
        return table_rows(model, given.text, parts, sums, gpu=self.device.startswith("cuda"))


RowsOf = Callable[[Path, Options, Scale, Measuring], list[list[str]]]


def table_rows(model: str, options: str, parts: Parts, sums: Weights, gpu: bool) -> list[list[str]]:
    """Every row whose parts ran: seconds, the ratio to its base with its range, the peak."""
    needed = {name: weights for name, weights in sums.items() if not parts.lacking & weights.keys()}
    own = parts.timings.seconds
    timings = Timings(
        {
            name: [
                sum(weight * own[part][turn] for part, weight in weights.items())
                for turn in range(len(next(iter(own.values()))))
            ]
            for name, weights in needed.items()
        }
    )
    lines = []
    for name, weights in sums.items():
        cells = [OUT_OF_MEMORY, "", "", "", ""]
        if name in needed:
            base = BASES.get(name)
            ratio = ["", "", ""]
            if base in needed:
                ratio = [f"{timings.ratio(name, base):.3f}", base, timings.ratio_range(name, base)]
            peak = max(parts.peaks[part] for part in weights)
            memory = f"{peak / 2**30:.1f}" if gpu else f"{peak / 2**20:.0f}"
            cells = [f"{timings.median(name):.3g}", *ratio, memory]
        lines.append([model, options, name, *cells])
    return lines


@torch.inference_mode()
def video_rows(folder: Path, given: Options, scale: Scale, how: Measuring) -> list[list[str]]:
    """Rows of an edit's steps, of encoding and decoding, and of whole edits."""
    section = given.section(VideoModelParams, folder, how.dtype, scale.words)
    if section.step_cache is not None and scale.steps is not None:
        raise InputError("--options step_cache: needs --whole; what few steps skip tells nothing")
    with tempfile.TemporaryDirectory(prefix="refract-benchmark-") as stored:
        edit = Edit(section, scale, Path(stored))
        return how.rows(f"video {folder.name}", given, edit.calls(), edit.rows())


def image_rows(folder: Path, given: Options, scale: Scale, how: Measuring) -> list[list[str]]:
    """The row of a training step, and those of a picture."""
    section = given.section(InfraredModelParams, folder, how.dtype, scale.words)
    name, rows = f"image {folder.name}", []
    if given.values.keys() <= section.training_settings().keys():
        calls = training_calls(section, scale, checkpointing=given.checkpointing)
        rows += how.rows(name, given, calls, {what: {what: 1} for what in calls})
        del calls
        free_memory()
    if given.checkpointing:
        with torch.inference_mode():
            rows += how.rows(name, given, *picture_calls(section, scale))
    return rows


def profile_table(call: Callable[[], object], device: str) -> str:
    """torch's table of the kernels that take most of the time of one call."""
    gpu = device.startswith("cuda")
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if gpu else [])]
    with profile(activities=activities) as recorded:
        call()
        synchronise(device)
    by = "self_cuda_time_total" if gpu else "self_cpu_time_total"
    table = recorded.key_averages().table(sort_by=by, row_limit=_KERNELS, max_name_column_width=60)
    return str(table)


def main() -> None:
    options = parse()
    device = pick_device()
    make_deterministic(0, threads=options.threads)
    scale = scale_of(options, device)
    how = Measuring(device, options.dtype, options.repeats, options.clock, options.profile)
    halves = [
        (folder, kind, rows_of)
        for folder, kind, rows_of in (
            (options.video, VideoModelParams, video_rows),
            (options.image, InfraredModelParams, image_rows),
        )
        if folder is not None
    ]
    sets = [NONE, *map(parse_options, options.options)]
    for given in sets:
        if not any(given.known_to(kind) for _, kind, _ in halves):
            raise InputError(f"--options {given.text}: none of these models knows all of them")
    rows: list[list[str]] = []
    for given in sets:
        for folder, kind, rows_of in halves:
            if given.known_to(kind):
                rows += attempt(folder, given, rows_of, scale, how)
    print(
        f"{describe_machine(device, options.dtype)}, diffusers {diffusers.__version__}; clip "
        f"{scale.frames} frames of {scale.width}x{scale.height}, diptych {scale.panel_px}x"
        f"{2 * scale.panel_px} (height x width), {scale.words} words, "
        f"{'all' if scale.steps is None else scale.steps} steps run; {options.repeats} rounds, "
        "interleaved within the rows of a model and its options"
    )
    peak = "peak GiB" if device.startswith("cuda") else "extra peak MiB"
    header = ["model", "options", "what", "s", "time, x", "of", "lowest to highest", peak]
    print(markdown_table(header, rows))


def attempt(
    folder: Path, given: Options, rows_of: RowsOf, scale: Scale, how: Measuring
) -> list[list[str]]:
    """The rows of a model; one that says so where it does not even load."""
    rows = [[folder.name, given.text, "loading", OUT_OF_MEMORY, "", "", "", ""]]
    with memory_may_run_out():
        rows = rows_of(folder, given, scale, how)
    return rows


def scale_of(options: argparse.Namespace, device: str) -> Scale:
    """What is run; InputError for sizes that the models cannot take."""
    for name in ("width", "height", "panel_px"):
        value = getattr(options, name)
        if value < 16 or value % 16:
            raise InputError(f"--{name.replace('_', '-')} {value}: must be a multiple of 16")
    if options.frames < 1 or options.frames % 4 != 1:
        raise InputError(f"--frames {options.frames}: must be 4k + 1")
    for name, highest in (("steps", all_steps()), ("words", 512), ("repeats", 1000)):
        value = getattr(options, name)
        if not 1 <= value <= highest:
            raise InputError(f"--{name} {value}: must be 1 to {highest}")
    names = ("frames", "width", "height", "panel_px", "words")
    sizes = {name: getattr(options, name) for name in names}
    return Scale(device, steps=None if options.whole else options.steps, **sizes)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--video", type=Path, help="folder of a Wan model")
    parser.add_argument("--image", type=Path, help="folder of a FLUX Fill model")
    parser.add_argument("--frames", type=int, default=49)
    parser.add_argument("--width", type=int, default=832)
    parser.add_argument("--height", type=int, default=480)
    parser.add_argument("--panel-px", type=int, default=512)
    parser.add_argument("--words", type=int, default=512, help="of a prompt")
    parser.add_argument("--steps", type=int, default=4, help="run of every schedule")
    parser.add_argument("--whole", action="store_true", help="run all steps of every schedule")
    parser.add_argument("--dtype", choices=("float32", "bfloat16", "float16"), default="bfloat16")
    parser.add_argument(
        "--options", action="append", default=[], metavar="NAME=VALUE,...",
        help="further rows with these settings of the models; may be repeated",
    )  # fmt: skip
    parser.add_argument("--profile", action="store_true", help="tables of torch.profiler too")
    add_measuring_options(parser, repeats=5)
    options = parser.parse_args()
    if options.video is None and options.image is None:
        parser.error("--video or --image: one of them at least is needed")
    return options


if __name__ == "__main__":
    try:
        main()
    except InputError as error:
        print(f"full_scale: {error}", file=sys.stderr)
        sys.exit(2)
