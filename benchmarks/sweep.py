"""A first edit with a reference against a further point of a sweep, on the stored source branch.

python -m benchmarks.sweep --case red-mug-to-dotted-blue

The first edit encodes the clip, evaluates the source branch, edits and decodes; a new point,
another strength, loads the branch, edits and decodes. Both go through the class that the stage
uses, with the model loaded and the prompts embedded; a hook counts the passes of the transformer.
"""

import argparse
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from benchmarks.tables import describe_machine, markdown_table
from benchmarks.timing import CLOCKS, Timings, add_measuring_options, time_interleaved
from refract.base.errors import InputError
from refract.editing.cases.latent_case import LatentCaseEdit, reference_settings
from refract.editing.cases.models import EditModels
from refract.editing.cases.plan import cut_into_shots
from refract.editing.cases.request import EditRequest
from refract.editing.cases.source_clip import read_source_clip
from refract.editing.reference.attention import reference_attention
from refract.editing.reference.job import BankJob
from refract.editing.reference.photo import find_reference_photo
from refract.editing.samplers.latent_edit import edit_latents
from refract.editing.samplers.source_branch import SourceBranch
from refract.models.determinism import make_deterministic
from refract.models.wan_latents import encode_frames
from refract.params.cases import Case, load_cases, with_overrides
from refract.params.edit_stage import EditParams
from refract.params.ref_bank import BankParams
from refract.params.whole import load_stage_params
from refract.pipeline.device import pick_device

FIRST, POINT = "first edit", "new point"
_STRENGTHS = {FIRST: 1.0, POINT: 0.7}


class Sweep:
    """The first shot of a case with its bank; `folder` holds a folder for each edit's items."""

    def __init__(self, request: EditRequest, folder: Path) -> None:
        self.request, self.folder = cut_into_shots(request)[1][0], folder
        self.models = EditModels(request.params.video_model)
        self.models.embed([request])
        self._edits = 0

    @property
    def transformer(self) -> nn.Module:
        module: nn.Module = self.models.of(self.request).model.transformer
        return module

    def open(self, slot: Path) -> LatentCaseEdit:
        """The case as a new run meets it: nothing of it is in memory."""
        edit = self.models.of(self.request).case_edit(self.request, slot)
        assert isinstance(edit, LatentCaseEdit)
        return edit

    def first_edit(self) -> Path:
        """Returns the slot of its source branch."""
        slot, edited = self._new_folder(), self._new_folder()
        edit = self.open(slot)
        edit.write_source(slot)
        edit.write_variant(_STRENGTHS[FIRST], edited)
        return slot

    def new_point(self, slot: Path) -> None:
        self.open(slot).write_variant(_STRENGTHS[POINT], self._new_folder())

    def _new_folder(self) -> Path:
        self._edits += 1
        folder = self.folder / str(self._edits)
        folder.mkdir()
        return folder


def count_passes(module: nn.Module, call: Callable[[], object]) -> int:
    """How often `module` runs forward during `call`."""
    passes = 0

    def count(*_: object) -> None:
        nonlocal passes
        passes += 1

    hook = module.register_forward_hook(count)
    try:
        call()
    finally:
        hook.remove()
    return passes


def latents_without_store(edit: LatentCaseEdit, strength: float) -> Tensor:
    """`LatentCaseEdit.latents` from the clip, each source velocity evaluated at its step."""
    reference = reference_settings(edit.request.params, strength)
    x_src = encode_frames(edit.model.vae, read_source_clip(edit.model, edit.request, edit.slot))
    with reference_attention(
        edit.model.transformer,
        edit.bank,
        strength=strength,
        mode=reference.mode,
        layers=reference.layers,
        branches=reference.branches,
        rope=reference.rope,
        frame_schedule=reference.frame_schedule,
    ) as active:
        return edit_latents(
            edit.model.transformer,
            edit.contexts,
            SourceBranch(x_src, x_src.new_empty(0, *x_src.shape)),
            edit.settings,
            listeners=[active.at],
            live_source=True,
        )


def table(timings: Timings, passes: dict[str, int]) -> str:
    """One row each of the first edit and the new point."""
    rows: list[list[object]] = []
    for name in (FIRST, POINT):
        rows.append(
            [
                name,
                passes[name],
                passes[name] / passes[FIRST],
                timings.median(name),
                timings.ratio(name, FIRST),
                timings.ratio_range(name, FIRST),
            ]
        )
    header = ["", "forward passes", "passes, x", "s", "time, x", "lowest to highest"]
    return markdown_table(header, rows)


def main() -> None:
    options = _parse()
    with tempfile.TemporaryDirectory() as folder, torch.inference_mode():
        os.environ["REFRACT_STATE"] = str(Path(folder, "state"))  # leave the real store alone
        sweep = Sweep(_request(options, Path(folder)), Path(folder))
        device, slot = pick_device(), sweep.first_edit()
        calls: dict[str, Callable[[], object]] = {
            FIRST: sweep.first_edit,
            POINT: lambda: sweep.new_point(slot),
        }
        passes = {name: count_passes(sweep.transformer, call) for name, call in calls.items()}
        timings = time_interleaved(
            calls,
            repeats=options.repeats,
            warmup=0,  # the counted calls have been that
            device=device,
            clock=CLOCKS[options.clock],
        )
        stored = sweep.open(slot).latents(_STRENGTHS[POINT])
        afresh = latents_without_store(sweep.open(slot), _STRENGTHS[POINT])
    shot, dtype = sweep.request, sweep.request.params.video_model.dtype
    print(
        f"{describe_machine(device, dtype)}; case {options.case}, {shot.shot.frames} "
        f"frames of {shot.frame[0]}x{shot.frame[1]}, {options.repeats} interleaved rounds, "
        f"{options.clock} clock"
    )
    print(table(timings, passes))
    equal = "equal to the bit" if torch.equal(stored, afresh) else "NOT equal"
    print(f"latents of the new point with and without the stored branch: {equal}")


def _request(options: argparse.Namespace, folder: Path) -> EditRequest:
    """The case as the stage takes it, its bank made on the way."""
    params = load_stage_params(EditParams, options.params)
    case = _case(options)
    own = with_overrides(params, options.case, case)
    if own.flowalign.sampler != "flowalign" or own.ref_branches != "target":
        raise InputError("flowalign.sampler and ref_branches: must be flowalign and target here")
    if own.flowalign.ref_steps != (0.0, 1.0):
        raise InputError(f"flowalign.ref_steps = {own.flowalign.ref_steps}: must be all here")
    make_deterministic(own.seed, threads=options.threads)
    bank_params = with_overrides(load_stage_params(BankParams, options.params), options.case, case)
    BankJob(bank_params).run({options.case: (case, bank_params)}, folder / "banks")
    photo = find_reference_photo(options.case, case)
    return EditRequest(
        options.case, case, own, folder / "banks" / f"{options.case}.safetensors", photo
    )


def _case(options: argparse.Namespace) -> Case:
    cases = load_cases(options.cases)
    if options.case not in cases:
        raise InputError(f"--case {options.case}: must be one of {', '.join(cases)}")
    return cases[options.case]


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--case", default="red-mug-to-dotted-blue")
    parser.add_argument("--cases", type=Path, default=Path("data/cases.yaml"))
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    add_measuring_options(parser, repeats=5)
    return parser.parse_args()


if __name__ == "__main__":
    main()
