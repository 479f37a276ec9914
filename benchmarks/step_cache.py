"""What first-block caching saves and costs, in both halves, at several thresholds.

python -m benchmarks.step_cache --half edit --case red-mug-to-dotted-blue
python -m benchmarks.step_cache --half infrared --adapter out/ir_adapter

Every threshold makes the same clips or pictures as the run without a cache, side by side with it:
blocks skipped, time, and the PSNR of the result against the uncached one. The edit is the plain
one with its source branch; regions are off, since a cache does not go with them.
"""

import argparse
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.tables import describe_machine, markdown_table
from benchmarks.timing import CLOCKS, Timings, add_measuring_options, time_interleaved
from refract.base.errors import InputError
from refract.editing.cases.latent_case import LatentCaseEdit
from refract.editing.cases.models import EditModels
from refract.editing.cases.outputs import SOURCE_CLIP
from refract.editing.cases.plan import cut_into_shots
from refract.editing.cases.request import EditRequest
from refract.editing.cases.source_clip import read_source_clip, write_source_clip
from refract.editing.samplers.latent_edit import FlowSettings, edit_latents
from refract.editing.samplers.source_branch import compute_source_branch, source_velocity_of
from refract.editing.samplers.wan_velocity import WanVelocity
from refract.editing.samplers.windows import WindowedVelocity
from refract.evaluation.measures.image import psnr, to_unit
from refract.infrared.adapter.adapter_files import read_config
from refract.infrared.inference.generator import InfraredGenerator, PictureSettings
from refract.infrared.inference.scenes import OWN_MAP, held_out_scenes, read_scene
from refract.models.determinism import make_deterministic
from refract.models.flux_text_cache import embed_flux_prompts
from refract.models.step_cache import step_cache
from refract.models.wan_latents import decode_frames, encode_frames
from refract.params.cases import load_cases, with_overrides
from refract.params.edit_stage import EditParams
from refract.params.infer_ir import InferIr
from refract.params.models import InfraredModelParams
from refract.params.section import Section, Seed
from refract.params.whole import load_stage_params
from refract.pipeline.device import pick_device

Frames = NDArray[np.uint8]
Make = Callable[[float | None], Frames]  # threshold, None without a cache -> (n, ..., 3 or none)


class InfraredParams(Section):
    seed: Seed
    infrared_model: InfraredModelParams
    infer_ir: InferIr


class CachedEdit:
    """Source branch and plain edit of a case's first shot."""

    def __init__(self, request: EditRequest) -> None:
        models = EditModels(request.params.video_model)
        models.embed([request])
        shot = cut_into_shots(request)[1][0]
        edit = models.of(request).case_edit(shot, Path())
        assert isinstance(edit, LatentCaseEdit)
        self.model, self.contexts = edit.model, edit.contexts
        self.settings: FlowSettings = edit.settings
        with tempfile.TemporaryDirectory() as folder:
            write_source_clip(self.model, shot, Path(folder, SOURCE_CLIP))
            frames = read_source_clip(self.model, shot, Path(folder))
            self.x_src = encode_frames(self.model.vae, frames)

    @property
    def transformer(self) -> Any:
        return self.model.transformer

    def latents(self, threshold: float | None) -> torch.Tensor:
        settings = replace(self.settings, cache_threshold=threshold)
        velocity = WindowedVelocity(WanVelocity(self.transformer, self.contexts), settings.windowed)
        with step_cache(self.transformer, threshold):
            source = compute_source_branch(
                source_velocity_of(velocity, settings.algorithm.source, settings.source_guidance),
                self.x_src,
                settings.sigmas,
                settings.seed,
                torch.float32,
            )
        return edit_latents(self.transformer, self.contexts, source, settings)

    def clip(self, threshold: float | None) -> Frames:
        return decode_frames(self.model.vae, self.latents(threshold))


class CachedPictures:
    """Infrared pictures of some test scenes."""

    def __init__(self, params: InfraredParams, adapter: Path, triptychs: Path, count: int) -> None:
        config, device = read_config(adapter), pick_device()
        held_out = held_out_scenes(triptychs, params.seed, params.infer_ir.prompt)
        sources = [source for source in held_out if source.variant == OWN_MAP][:count]
        self.scenes = [read_scene(source, config.panel_px) for source in sources]
        self.texts = embed_flux_prompts(
            {scene.prompt for scene in self.scenes},
            params.infrared_model,
            root=Path(os.environ["REFRACT_STATE"]),
            model_identity=config.model_identity,
            device=device,
        )
        self.made = InfraredGenerator(
            adapter,
            params.infrared_model,
            PictureSettings(steps=params.infer_ir.steps, seed=params.seed),
            device,
        )

    @property
    def transformer(self) -> Any:
        return self.made.model.transformer

    def pictures(self, threshold: float | None) -> Frames:
        self.made.model.cache_threshold = threshold
        made = self.made.generate(self.scenes, self.texts)
        return np.stack([pixels for _, pixels in made]).astype(np.uint8)


@contextmanager
def count_blocks(transformer: Any) -> Iterator[list[int]]:
    """[computed, passes x blocks] of the passes in the `with` block."""
    stacks = ("blocks", "transformer_blocks", "single_transformer_blocks")
    blocks = [block for name in stacks for block in getattr(transformer, name, ())]
    counts = [0, 0]

    def add(place: int, amount: int) -> Callable[..., None]:
        def hook(*_: object) -> None:
            counts[place] += amount

        return hook

    # A skipped block is called all the same; its first part is not.
    hooks = [next(block.children()).register_forward_hook(add(0, 1)) for block in blocks]
    hooks.append(transformer.register_forward_hook(add(1, len(blocks))))
    try:
        yield counts
    finally:
        for hook in hooks:
            hook.remove()


def table(
    thresholds: Sequence[float],
    timings: Timings,
    skipped: Mapping[float, float],
    made: Mapping[float, Frames],
    exact: Frames,
) -> str:
    """One row a threshold, against the run without a cache; PSNR over all pictures together."""
    rows: list[list[object]] = []
    for threshold in thresholds:
        same = np.array_equal(made[threshold], exact)
        rows.append(
            [
                threshold,
                f"{skipped[threshold]:.0%}",
                timings.ratio(str(threshold), _EXACT),
                timings.ratio_range(str(threshold), _EXACT),
                "the same bytes"
                if same
                else f"{psnr(to_unit(made[threshold]), to_unit(exact)):.1f}",
            ]
        )
    header = ["threshold", "blocks skipped", "time, x", "lowest to highest", "PSNR, dB"]
    return markdown_table(header, rows)


_EXACT = "exact"


def measure(
    make: Make, transformer: Any, thresholds: Sequence[float], repeats: int, clock: str
) -> str:
    """The table of `thresholds`."""
    exact, made, skipped = make(None), {}, {}
    for threshold in thresholds:
        with count_blocks(transformer) as counts:
            made[threshold] = make(threshold)
        skipped[threshold] = 1 - counts[0] / counts[1]
    calls: dict[str, Callable[[], object]] = {_EXACT: lambda: make(None)}
    for threshold in thresholds:
        calls[str(threshold)] = lambda x=threshold: make(x)  # type: ignore[misc]
    timings = time_interleaved(
        calls, repeats=repeats, warmup=0, device=pick_device(), clock=CLOCKS[clock]
    )
    return table(thresholds, timings, skipped, made, exact)


def main() -> None:
    options = _parse()
    make_deterministic(0, threads=options.threads)
    with tempfile.TemporaryDirectory() as state, torch.inference_mode():
        os.environ["REFRACT_STATE"] = state  # leave the real store alone
        made, make, dtype, what = _edit(options) if options.half == "edit" else _infrared(options)
        rows = measure(make, made.transformer, options.thresholds, options.repeats, options.clock)
    print(
        f"{describe_machine(pick_device(), dtype)}; {what}, {options.repeats} interleaved rounds, "
        f"{options.clock} clock"
    )
    print(rows)


def _edit(options: argparse.Namespace) -> tuple[CachedEdit, Make, str, str]:
    cases = load_cases(options.cases)
    if options.case not in cases:
        raise InputError(f"--case {options.case}: must be one of {', '.join(cases)}")
    case = cases[options.case]
    params = with_overrides(load_stage_params(EditParams, options.params), options.case, case)
    flow = params.flowalign
    region = flow.region.model_copy(update={"zeta_outside": None})
    changes = {"region": region, "sampler": options.sampler, "steps": options.steps or flow.steps}
    params = params.model_copy(update={"flowalign": flow.model_copy(update=changes)})
    edit = CachedEdit(EditRequest(options.case, case, params))
    what = f"{options.sampler} of {options.case}, {len(edit.settings.sigmas) - 1} steps"
    return edit, edit.clip, params.video_model.dtype, what


def _infrared(options: argparse.Namespace) -> tuple[CachedPictures, Make, str, str]:
    params = load_stage_params(InfraredParams, options.params)
    if options.steps:
        settings = params.infer_ir.model_copy(update={"steps": options.steps})
        params = params.model_copy(update={"infer_ir": settings})
    made = CachedPictures(params, options.adapter, options.triptychs, options.scenes)
    what = f"{len(made.scenes)} infrared pictures, {params.infer_ir.steps} steps"
    return made, made.pictures, params.infrared_model.dtype, what


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--half", choices=("edit", "infrared"), required=True)
    parser.add_argument("--thresholds", type=float, nargs="+", default=[0.05, 0.1, 0.2, 0.3, 0.4])
    parser.add_argument("--steps", type=int, help="in place of those in params.yaml")
    parser.add_argument(
        "--sampler", choices=("flowalign", "flowedit", "sdedit"), default="flowalign"
    )
    parser.add_argument("--case", default="red-mug-to-dotted-blue")
    parser.add_argument("--cases", type=Path, default=Path("data/cases.yaml"))
    parser.add_argument("--adapter", type=Path, default=Path("out/ir_adapter"))
    parser.add_argument("--triptychs", type=Path, default=Path("out/triptychs"))
    parser.add_argument("--scenes", type=int, default=4)
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    add_measuring_options(parser, repeats=3, clock="cpu", threads=1)
    return parser.parse_args()


if __name__ == "__main__":
    main()
