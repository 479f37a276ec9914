"""Do the windows of a long edit show? Seams, and the product at both ends of the clip.

python -m benchmarks.windows --what division --results FILE.jsonl
python -m benchmarks.windows --what length
python -m benchmarks.windows --what sampler

Recolourings by a photo in the tabletop world, whose products swing to and fro, by the functions
of the pipeline and the settings of params.yaml. Every variant edits the same clips with the same
noise.

Seam: how much the edit minus its source changes from frame to frame (mean absolute difference)
where a window begins or ends, over the same elsewhere, divided by that ratio of the edit in one
pass: at 1 the windows do not show. Means over clips and seeds come before ratios.
Fidelity: `product.fidelity` by the true masks, of the first and the last 17 frames. Error: mean
absolute difference to the true clip inside its mask, levels of 255, of the same frames.
"""

import argparse
import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from tqdm import tqdm

from backbones.video.edit_pairs import Pair, draw_recolouring
from backbones.video.edit_runs import Editor, Flow
from backbones.worlds.tabletop import FRAMES, swing
from benchmarks.tables import describe_machine, markdown_table
from benchmarks.window_plans import DIVISIONS
from refract.editing.cases.latent_case import reference_settings
from refract.editing.reference.bank import ReferenceBank
from refract.editing.reference.edit import edit_with_reference
from refract.editing.samplers.latent_edit import FlowSettings
from refract.editing.samplers.noise_levels import edit_sigmas
from refract.evaluation.edits.judged_product import JudgedProduct
from refract.evaluation.edits.product_fidelity import FIDELITY_KEY
from refract.evaluation.measures.product import (
    Frames,
    ProductPhoto,
    background_region,
    finite_mean,
)
from refract.evaluation.measures.source_motion import SourceMotion
from refract.media.product_foreground import separate_product
from refract.models.determinism import make_deterministic
from refract.models.wan import WanModel
from refract.models.wan_latents import decode_frames
from refract.params.edit_stage import EditParams
from refract.params.ref_bank import BankParams
from refract.params.whole import load_stage_params

_WHOLE, _DEFAULT = "one pass", "anchor, overlap 2"
_LONG = 69  # frames: 18 latents, so that windows of the default do not end with the clip
_LENGTHS = (17, 25, 41, _LONG)  # one, two, four and eight windows of the default
_DILATE_PX = 9  # around both masks, as in params.yaml

Figures = dict[str, Any]


class Variant(NamedTuple):
    """One way to edit a clip of so many frames."""

    frames: int
    division: str
    sampler: str = "flowalign"

    @property
    def name(self) -> str:
        return f"{self.sampler}, {self.frames} frames, {self.division}"


TABLES: dict[str, list[Variant]] = {
    "division": [Variant(_LONG, division) for division in (_WHOLE, *DIVISIONS)],
    "length": [Variant(*pair) for pair in product(_LENGTHS, (_WHOLE, _DEFAULT))],
    "sampler": [
        Variant(_LONG, division, sampler)
        for sampler in ("flowalign", "flowedit", "sdedit")
        for division in (_WHOLE, _DEFAULT)
    ],
}


class Clips:
    """Clips of one length, their edits and what is measured in them."""

    def __init__(self, model: WanModel, params: Path, indices: Sequence[int], frames: int) -> None:
        self.model, self.indices = model, indices
        self.params = load_stage_params(EditParams, params)
        self._bank_params = load_stage_params(BankParams, params)
        self.pairs = [draw_recolouring(index, 0, swing(frames)) for index in indices]

    @cached_property
    def _editor(self) -> Editor:
        return Editor(self.model, self.pairs)

    @cached_property
    def _banks(self) -> list[ReferenceBank]:
        return [self._editor.bank(place, self._bank_params) for place in range(len(self.pairs))]

    def edit(self, place: int, variant: Variant, seed: int) -> Frames:
        settings, editor = self._settings(place, variant, seed), self._editor
        latents = edit_with_reference(
            self.model.transformer,
            editor.contexts[place],
            editor.source(place, settings),
            settings,
            self._banks[place],
            reference_settings(self.params, self.params.ref_strength),
        )
        return decode_frames(self.model.vae, latents)

    def _settings(self, place: int, variant: Variant, seed: int) -> FlowSettings:
        flow = self.params.flowalign
        found = flow.region.zeta_outside is not None
        region = flow.region.model_dump(mode="json") if found else None
        plain = Flow(flow.steps, flow.strength, flow.guidance, flow.zeta, flow.shift, region)
        settings = replace(
            self._editor.settings(place, plain, seed),
            sampler=variant.sampler,
            windowed=DIVISIONS.get(variant.division),
        )
        if variant.sampler == "flowalign":
            return settings
        own = flow.baselines.model_dump()[variant.sampler]
        sigmas = edit_sigmas(flow.steps, own.pop("strength"), flow.shift)
        return replace(settings, sigmas=sigmas, **own)


def measure(pair: Pair, edited: Frames) -> Figures:
    """What the table needs of one clip: the change that the edit adds, and both ends."""
    added = edited.astype(np.int16) - pair.video
    first, last = slice(FRAMES), slice(len(edited) - FRAMES, None)
    return {
        "changes": np.abs(np.diff(added, axis=0)).mean((1, 2, 3)).tolist(),
        "fidelity": [_fidelity(pair, edited, part) for part in (first, last)],
        "error": [_error(pair, edited, part) for part in (first, last)],
    }


def borders(variant: Variant) -> list[int]:
    """The pairs of frames, by their first, between which a window begins or ends."""
    length = 1 + (variant.frames - 1) // 4
    windows = DIVISIONS[variant.division].plan(length)
    places = {place for window in windows for place in (window.start, window.stop)}
    return [4 * (place - 1) for place in sorted(places - {0, length})]


def _error(pair: Pair, edited: Frames, part: slice) -> float:
    difference = np.abs(edited[part].astype(int) - pair.truth[part])
    return float(difference[pair.target_mask[part]].mean())


def _fidelity(pair: Pair, edited: Frames, part: slice) -> float:
    region = pair.target_mask[part]
    background = background_region([pair.source_mask[part], region], _DILATE_PX)
    photo = ProductPhoto(pair.photo, separate_product(pair.photo))
    motion = SourceMotion(pair.video[part], torch.empty(0))
    return (
        JudgedProduct(photo, motion, region, background).measures(edited[part]).scores[FIDELITY_KEY]
    )


def at_over_elsewhere(figures: Sequence[Figures], places: Sequence[int]) -> float:
    """Mean change at some pairs of frames over that at the others."""
    changes = np.mean([one["changes"] for one in figures], axis=0)
    at = np.isin(np.arange(len(changes)), places)
    return float(changes[at].mean() / changes[~at].mean())


def table(variants: Sequence[Variant], figures: dict[str, list[Figures]]) -> str:
    """One row a variant; means over clips and seeds."""
    rows: list[list[object]] = []
    for variant in variants:
        found = figures[variant.name]
        seam: object = ""
        whole = figures[variant._replace(division=_WHOLE).name]  # none with another --only
        if whole and variant.division != _WHOLE and (places := borders(variant)):
            seam = at_over_elsewhere(found, places) / at_over_elsewhere(whole, places)
        ends = [
            f"{finite_mean([one[key][end] for one in found]):.{digits}f}"
            for key, digits in (("fidelity", 3), ("error", 1))
            for end in (0, 1)
        ]
        rows.append([variant.sampler, variant.frames, variant.division, len(found), seam, *ends])
    header = ["sampler", "frames", "windows", "edits", "seam", "fidelity, first 17", "last 17"]
    return markdown_table([*header, "error, first 17", "last 17"], rows)


def main() -> None:
    options = _parse()
    make_deterministic(0, threads=options.threads)
    model = WanModel(str(options.model), None, "float32", "cpu")
    known = _read(options.results)
    variants = [v for v in TABLES[options.what] if v.division in (options.only or v.division)]
    figures: dict[str, list[Figures]] = defaultdict(list)
    with torch.inference_mode():
        for frames in sorted({variant.frames for variant in variants}):
            clips = Clips(model, options.params, options.clips, frames)
            wanted = [variant for variant in variants if variant.frames == frames]
            jobs = list(product(wanted, range(len(options.clips)), options.seeds))
            for variant, place, seed in tqdm(jobs, desc=f"{frames} frames"):
                label = f"{variant.name}, clip {options.clips[place]}, seed {seed}"
                if label not in known:
                    edited = clips.edit(place, variant, seed)
                    known[label] = measure(clips.pairs[place], edited)
                    _append(options.results, label, known[label])
                figures[variant.name].append(known[label])
    print(describe_machine("cpu", "float32"))
    print(table(variants, figures))


def _read(results: Path | None) -> dict[str, Figures]:
    if results is None or not results.exists():
        return {}
    return dict(json.loads(line) for line in results.read_text().splitlines())


def _append(results: Path | None, label: str, figures: Figures) -> None:
    if results is not None:
        with results.open("a") as file:
            file.write(json.dumps([label, figures]) + "\n")


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--what", choices=TABLES, required=True)
    parser.add_argument("--only", nargs="+", help="ways of dividing, by their names in the table")
    parser.add_argument("--clips", type=int, nargs="+", default=[1, 2, 3, 4, 6, 7, 8, 9])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--model", type=Path, default=Path("backbones/wan-micro"))
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    parser.add_argument("--results", type=Path, help="figures of edits; those in it are not redone")
    parser.add_argument("--threads", type=int, default=1)
    return parser.parse_args()


if __name__ == "__main__":
    main()
