"""The full models at their true shapes with random weights: seconds and peak memory.

python -m benchmarks.full_scale                                    (on a GPU: all layers)
python -m benchmarks.full_scale --half video --model 1.3B --whole  (all steps of an edit)
python -m benchmarks.full_scale --options offload=block --options quantization=nf4
python -m benchmarks.full_scale --options storage_dtype=float8_e4m3fn,vae_tiling=true
python -m benchmarks.full_scale --profile                          (and where the time goes)
python -m benchmarks.full_scale --flops                            (counted, without weights)

An edit plain, with a bank and as a further point of a sweep; a training step, and an infrared
picture. Without a GPU the same runs with fewer layers on small clips, as a check of this module.
"""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks.full_scale_flops import TRUE_SCALE, infrared_flops, video_flops
from benchmarks.full_scale_inference import inference_rows
from benchmarks.full_scale_measure import profile_table
from benchmarks.full_scale_models import FILL_NAME, WAN_NAMES, Cut
from benchmarks.full_scale_options import OptionSet, parse_options
from benchmarks.full_scale_report import (
    facts,
    facts_line,
    measured_table,
    parts_table,
    video_flops_table,
    write_json,
)
from benchmarks.full_scale_run import Row, Scale
from benchmarks.full_scale_targets import target_lines, targets
from benchmarks.full_scale_training import training_profile, training_rows
from benchmarks.full_scale_video import edit_setting, loading, video_edit, video_rows
from benchmarks.timing import CLOCKS
from refract.base.errors import InputError
from refract.models.determinism import make_deterministic
from refract.params.models import InfraredModel, VideoModel
from refract.pipeline.device import free_memory, pick_device

QUANTISED = "quantization"
_TRUE: dict[str, Any] = {
    "depth": None, "frames": 49, "width": 832, "height": 480, "panel_px": 512, "words": 512,
    "steps": 4, "dtype": "bfloat16",
}  # fmt: skip
# What a CPU gets through in a few minutes
_REDUCED: dict[str, Any] = {
    "depth": 2, "frames": 5, "width": 48, "height": 32, "panel_px": 32, "words": 16,
    "steps": 2, "dtype": "float32",
}  # fmt: skip
_BANKS = (500, 1560)  # tokens of a product, and of a photo that fills the frame


def main(arguments: Sequence[str] | None = None) -> None:
    options = parse(arguments)
    if options.flops:
        count(options)
        return
    make_deterministic(0, threads=options.threads)
    scale = scale_of(options, pick_device())
    sets = [OptionSet(), *map(parse_options, options.options)]
    for each in sets:
        check(each, options.half, scale)
    rows = measured(options, scale, sets)
    found = facts(scale, options.half, options.model)
    reached = targets(rows, shortfall(scale), QUANTISED)
    print(facts_line(found))
    print(measured_table(rows, scale.device))
    print(target_lines(reached))
    if options.json:
        write_json(options.json, found, rows, {"targets": [t._asdict() for t in reached]})
    if options.profile:
        profiles(options, scale)


def scale_of(options: argparse.Namespace, device: str) -> Scale:
    """What is run: as asked, else all of it on a GPU and little of it elsewhere.

    Raises InputError for sides or frames that the models cannot take.
    """
    given = _TRUE if device.startswith("cuda") else _REDUCED
    own = {
        name: given[name] if getattr(options, name) is None else getattr(options, name)
        for name in given
    }
    for name, step in (("width", 16), ("height", 16), ("panel_px", 16)):
        if own[name] < step or own[name] % step:
            raise InputError(
                f"--{name.replace('_', '-')} {own[name]}: must be a multiple of {step}"
            )
    if own["frames"] < 1 or (own["frames"] - 1) % 4:
        raise InputError(f"--frames {own['frames']}: must be 4k + 1")
    most = edit_setting(None).all_steps
    for name, least, highest in (("steps", 1, most), ("words", 1, 512), ("depth", 1, 40)):
        if own[name] is not None and not least <= own[name] <= highest:
            raise InputError(f"--{name} {own[name]}: must be {least} to {highest}")
    if options.repeats < 1:
        raise InputError(f"--repeats {options.repeats}: must be 1 or more")
    steps = None if options.whole else own.pop("steps")
    own.pop("steps", None)
    return Scale(
        device=device,
        cut=Cut(own.pop("depth")),
        steps=steps,
        repeats=options.repeats,
        clock=CLOCKS[options.clock],
        **own,
    )


def check(options: OptionSet, halves: Sequence[str], scale: Scale) -> None:
    """InputError now, not after an hour, for what neither half, or the one it is for, offers."""
    video = "video" in halves and options.known_to(VideoModel)
    infrared = "infrared" in halves and options.known_to(InfraredModel)
    if not video and not infrared:
        raise InputError(f"--options {options.text}: not known to {' and '.join(halves)}")
    if video:
        options.video(WAN_NAMES["1.3B"], scale.dtype, scale.words)
    if infrared:
        options.infrared(scale.dtype, scale.words)
    if options.values.get("step_cache") is not None and scale.cut.depth == 1:
        raise InputError("--depth 1: must be 2 or more with step_cache, which skips all but one")


def shortfall(scale: Scale) -> str:
    """Why figures of this scale say nothing of the full one; empty where they do."""
    reasons = [] if scale.device.startswith("cuda") else [f"no GPU, device {scale.device}"]
    if any(not scale.cut.keeps_all(name) for name in (FILL_NAME, *WAN_NAMES.values())):
        reasons.append(f"depth {scale.cut.depth} for all layers")
    shapes = {name: getattr(scale, name) for name in _TRUE if hasattr(scale, name)}
    reasons += [
        f"{name} {value} for {_TRUE[name]}"
        for name, value in shapes.items()
        if name != "steps" and value != _TRUE[name]
    ]
    return ", ".join(reasons)


def measured(options: argparse.Namespace, scale: Scale, sets: Sequence[OptionSet]) -> list[Row]:
    """Rows of both halves, options by options; each model is gone before the next is there."""
    rows = []
    for each in sets:
        with tempfile.TemporaryDirectory(prefix="refract-benchmark-") as folder:
            if "video" in options.half and each.known_to(VideoModel):
                for name in options.model:
                    rows += video_rows(name, each, scale, Path(folder))
                    free_memory()
            if "infrared" in options.half and each.known_to(InfraredModel):
                rows += training_rows(each, scale)
                free_memory()
                if not each.of_training_alone:
                    rows += inference_rows(each, scale, Path(folder))
                free_memory()
    return rows


def profiles(options: argparse.Namespace, scale: Scale) -> None:
    """Print where the time goes, without options."""
    if "video" in options.half:
        for name in options.model:
            for what, table in _video_profiles(name, scale).items():
                print(f"\n{WAN_NAMES[name]}, {what}\n{table}")
            free_memory()
    if "infrared" in options.half:
        print(f"\n{FILL_NAME}, training steps\n{training_profile(OptionSet(), scale)}")


@torch.inference_mode()
def _video_profiles(name: str, scale: Scale) -> dict[str, str]:
    """Of every part of an edit, after a call of each to warm up."""
    with tempfile.TemporaryDirectory(prefix="refract-benchmark-") as folder:
        none = OptionSet()
        with loading(none, scale):
            edit = video_edit(name, none, scale, edit_setting(scale.steps), Path(folder))
            calls = edit.calls()
            for call in calls.values():
                call()
        return {what: profile_table(call, scale.device) for what, call in calls.items()}


def count(options: argparse.Namespace) -> None:
    """Print the operations at true shapes, whatever device there is."""
    video: dict[str, dict[str, int]] = {}
    both: dict[str, dict[str, int]] = {}
    if "video" in options.half:
        for name in options.model:
            for tokens in _BANKS:
                video[f"{name}, {tokens} tokens"] = video_flops(name, TRUE_SCALE, tokens)
        print(video_flops_table(video))
        both |= video
    if "infrared" in options.half:
        both["FLUX.1 Fill"] = infrared_flops(TRUE_SCALE)
    print(parts_table(both))
    if options.json:
        write_json(
            options.json, facts(TRUE_SCALE, options.half, options.model), [], {"flops": both}
        )


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--half", type=_list, default=["infrared", "video"], help="or one of them")
    parser.add_argument("--model", nargs="+", choices=list(WAN_NAMES), default=["1.3B"])
    parser.add_argument("--depth", type=int, help="layers kept; all on a GPU, else 2 of each kind")
    parser.add_argument("--frames", type=int, help="49 on a GPU, else 5")
    parser.add_argument("--width", type=int, help="832 on a GPU, else 48")
    parser.add_argument("--height", type=int, help="480 on a GPU, else 32")
    parser.add_argument("--panel-px", type=int, help="512 on a GPU, else 32")
    parser.add_argument("--words", type=int, help="of a prompt; 512 on a GPU, else 16")
    parser.add_argument("--steps", type=int, help="run of a schedule; 4 on a GPU, else 2")
    parser.add_argument("--whole", action="store_true", help="run all steps of every schedule")
    parser.add_argument("--dtype", choices=["float32", "bfloat16", "float16"])
    parser.add_argument(
        "--options", action="append", default=[], metavar="NAME=VALUE,...",
        help="further rows with these settings of the models; may be repeated",
    )  # fmt: skip
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--profile", action="store_true", help="tables of torch.profiler too")
    parser.add_argument("--flops", action="store_true", help="count operations instead")
    parser.add_argument("--json", type=Path, help="write all of it there too")
    parser.add_argument("--clock", choices=CLOCKS, default="wall", help="cpu: of this process")
    parser.add_argument("--threads", type=int, default=None)
    return parser.parse_args(arguments)


def _refuse(error: InputError) -> int:
    """The exit code of bad input, told in one line."""
    print(f"full_scale: {error}", file=sys.stderr)
    return 2


def _list(text: str) -> list[str]:
    halves = text.split(",")
    if not set(halves) <= {"infrared", "video"}:
        raise argparse.ArgumentTypeError(f"{text!r}: must be infrared, video or both, by a comma")
    return halves


if __name__ == "__main__":
    try:
        main()
    except InputError as error:
        sys.exit(_refuse(error))
