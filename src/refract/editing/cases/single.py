"""One clip and one product photo from the command line, without a cases file."""

import argparse
import tempfile
from pathlib import Path
from typing import Any

from refract.base.errors import InputError
from refract.editing.cases.job import EditJob
from refract.editing.cases.request import EditRequest
from refract.editing.reference.job import BankJob
from refract.models.determinism import make_deterministic
from refract.params.cases import Case, with_overrides
from refract.params.edit_stage import EditParams
from refract.params.ref_bank import BankParams
from refract.params.section import validate
from refract.params.whole import load_stage_params
from refract.pipeline.forked import item_threads
from refract.pipeline.processes import process_count

_NAME = "edit"


def edit_one(arguments: argparse.Namespace) -> None:
    """Make the bank of --target-image, edit --video with it and write `--output`/edit.

    Everything not given on the command line comes from --params; the curve of strengths and the
    baselines are left out. The item store is the pipeline's own, so a repeated call costs nothing.

    Raises InputError for files that are not there, and in one of several processes.
    """
    if process_count() > 1:
        raise InputError(f"--video edits one clip, in one process; these are {process_count()}")
    photo = arguments.target_image
    for option, path in (("--video", arguments.video), ("--target-image", photo)):
        if path is not None and not path.is_file():
            raise InputError(f"{option} {path}: no such file")
    if (region := arguments.region_mask) is not None and not region.exists():
        raise InputError(f"--region-mask {region}: no such file or folder")
    facts: dict[str, Any] = {
        "video": str(arguments.video),
        "source_prompt": arguments.source_prompt,
        "target_prompt": arguments.target_prompt,
        "clip": {"start": arguments.start, "end": arguments.end},
        "shots": arguments.shots,
        "fps": arguments.fps,
        "region_mask": None if region is None else str(region),
        "overrides": {"flowalign": {"strength_curve": [], "baselines": {"samplers": []}}},
    }
    if photo is not None:
        facts["target_image"] = str(photo)
    if arguments.ref_strength is not None:
        facts["overrides"]["ref_strength"] = arguments.ref_strength
    case = validate(Case, facts, "command line")
    params = with_overrides(load_stage_params(EditParams, arguments.params), _NAME, case)
    make_deterministic(params.seed, threads=item_threads())
    with tempfile.TemporaryDirectory() as folder:
        bank = None
        if photo is not None:
            bank_params = load_stage_params(BankParams, arguments.params)
            BankJob(bank_params).run({_NAME: (case, bank_params)}, Path(folder, "banks"))
            bank = Path(folder, "banks", f"{_NAME}.safetensors")
        EditJob(params).run([EditRequest(_NAME, case, params, bank, photo)], arguments.output)
