"""Edit each case's clip with FlowAlign and its reference bank, beside the plain edit.

python -m stages.flowalign_edit --params params.yaml --cases data/cases.yaml \
    --banks out/ref_banks --output out/edits

Stand-alone, for one clip and one product photo (settings from --params, bank made on the way):

python -m stages.flowalign_edit --video clip.mp4 --target-image product.png \
    --source-prompt "a red mug on wood" --target-prompt "a mug on wood" --output edit
"""

import argparse
import importlib
from pathlib import Path

from refract.params.cases import load_cases, with_overrides
from refract.params.edit_stage import EditParams
from refract.params.whole import load_stage_params
from refract.pipeline.forked import item_threads
from refract.pipeline.launcher import launch_processes
from refract.pipeline.stage_runner import is_first_process, run_stage


class StageParams(EditParams):
    """The settings of this stage."""


def _shots(text: str) -> str | list[list[float]]:
    """`0-2.5,4-6` as [[0, 2.5], [4, 6]]; words as they are."""
    if text in ("auto", "none"):
        return text
    try:
        return [[float(time) for time in span.split("-")] for span in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r}: must be auto, none or seconds such as 0-2.5,4-6.2"
        ) from None


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    parser.add_argument("--output", type=Path, required=True, help="folder to write")
    batch = parser.add_argument_group("all cases")
    batch.add_argument("--cases", type=Path)
    batch.add_argument("--banks", type=Path, help="what extract_ref_banks wrote")
    alone = parser.add_argument_group("one clip, stand-alone")
    alone.add_argument("--video", type=Path)
    alone.add_argument("--target-image", type=Path, help="product photo; none: a plain edit")
    alone.add_argument("--source-prompt", help="what the clip shows")
    alone.add_argument("--target-prompt", help="what the edit shall show")
    alone.add_argument("--ref-strength", type=float, help="in place of ref_strength in --params")
    alone.add_argument("--start", type=float, default=0.0, help="second the edit begins at")
    alone.add_argument("--end", type=float, help="second the edit ends before; left out: the end")
    alone.add_argument(
        "--shots",
        type=_shots,
        default="auto",
        help="auto (cuts are found), none, or seconds such as 0-2.5,4-6.2: each a clip of its own",
    )
    alone.add_argument("--fps", type=float, help="frames a second; left out: the clip's own")
    alone.add_argument(
        "--region-mask", type=Path, help="where to edit: picture, folder of pictures or clip"
    )
    arguments = parser.parse_args()
    batch_options = (arguments.cases, arguments.banks)
    alone_options = (arguments.video, arguments.source_prompt, arguments.target_prompt)
    if not all(batch_options) and not all(alone_options):
        parser.error("give --cases and --banks, or --video, --source-prompt and --target-prompt")
    if any(batch_options) and arguments.video:
        parser.error("--video edits one clip; it does not go with --cases and --banks")
    return arguments


def main() -> None:
    arguments = parse_arguments()
    if arguments.video is not None:
        # By name: the batch stage does not depend on how a bank is made, so neither shall DVC.
        importlib.import_module("refract.editing.cases.single").edit_one(arguments)
        return
    params = load_stage_params(StageParams, arguments.params)
    cases = load_cases(arguments.cases)
    settings = {name: with_overrides(params, name, case) for name, case in cases.items()}
    launch_processes()

    from refract.editing.cases.job import EditJob
    from refract.editing.cases.request import EditRequest
    from refract.editing.reference.photo import find_reference_photo, warn_of_unwatched_files
    from refract.models.determinism import make_deterministic

    make_deterministic(params.seed, threads=item_threads())
    if is_first_process():
        warn_of_unwatched_files(cases, arguments.cases)
    requests = []
    for name, case in cases.items():
        photo = find_reference_photo(name, case, arguments.banks)
        bank = arguments.banks / f"{name}.safetensors" if photo is not None else None
        requests.append(EditRequest(name, case, settings[name], bank, photo))
    EditJob(params).run(requests, arguments.output)


if __name__ == "__main__":
    run_stage(
        "flowalign_edit",
        main,
        memory_keys=("flowalign.window.frames", "flowalign.width", "flowalign.height"),
    )
