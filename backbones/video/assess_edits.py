"""How well the video model edits: class swaps by prompt, recolouring by a reference photo.

    python -m backbones.video.assess_edits --model backbones/wan-micro \\
        --reader backbones/runs/video/reader --report FILE.json [--sheet FILE.png]

Edits are made by the functions of the pipeline, with the settings of params.yaml unless options
say otherwise. Masks of edited products are the reader's, who was trained on renderings alone; its
masks of the true target clips, and of those through the VAE, say how much IoU can be had.
"""

import argparse
import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from backbones.options import begin, recipe_parser
from backbones.video.clip_codec import decode_clips, encode_clips
from backbones.video.edit_figures import (
    Scores,
    difference,
    recolour_scores,
    summary,
    swap_scores,
)
from backbones.video.edit_pairs import draw_recolouring, draw_swap, stack_videos
from backbones.video.edit_runs import Editor, Flow
from backbones.video.reader_model import Reader, load_reader
from backbones.video.sheet import write_sheet
from refract.editing.cases.latent_case import reference_settings
from refract.editing.reference.edit import edit_with_reference
from refract.evaluation.measures.image import to_unit
from refract.models.wan import WanModel
from refract.params.edit_stage import EditParams
from refract.params.ref_bank import BankParams
from refract.params.whole import load_stage_params

log = logging.getLogger("assess_edits")

_SHEET_ROWS = 8
_SHEET_FRAMES = (0, 8, 16)


def assess_swaps(
    model: WanModel, reader: Reader, flow: Flow, count: int, seeds: Sequence[int]
) -> tuple[dict[str, Any], list[list[NDArray[np.floating]]]]:
    """Figures of `count` class swaps by prompt alone, and sheet rows source | edit | truth."""
    pairs = [draw_swap(index, 0) for index in range(count)]
    truth = np.stack([pair.truth for pair in pairs])
    editor, edits = Editor(model, pairs), []
    for seed in seeds:
        latents = []
        for index in tqdm(range(count), desc=f"swaps, seed {seed}"):
            settings = editor.settings(index, flow, seed)
            latents.append(editor.plain(index, editor.source(index, settings), settings))
        edits.append(decode_clips(model.vae, torch.cat(latents)))
    through_vae = decode_clips(model.vae, encode_clips(model.vae, truth))
    score = partial(swap_scores, reader, pairs=pairs)
    by_seed = [score(clips) for clips in edits]
    gains: list[Scores] = [
        {"target_over_source": np.subtract(s["iou_to_target"], s["iou_to_source"]).tolist()}
        for s in by_seed
    ]
    figures = {
        "pairs": count,
        "settings": asdict(flow),
        "edits": summary(by_seed) | summary(gains),
        "bounds": {
            "true_clip": summary([score(truth)]),
            "true_clip_through_vae": summary([score(through_vae)]),
            "source_clip": summary([score(stack_videos(pairs))]),
        },
    }
    return figures, sheet_rows(stack_videos(pairs), edits[0], truth)


def assess_recolouring(
    model: WanModel, reader: Reader, flow: Flow, count: int, seeds: Sequence[int], params: Path
) -> tuple[dict[str, Any], list[list[NDArray[np.floating]]]]:
    """Figures of `count` recolourings at reference strength 0 and 1, and rows plain | with it."""
    settings_of, bank_of = _load(params)
    reference = reference_settings(settings_of, 1.0)
    pairs = [draw_recolouring(index, 0) for index in range(count)]
    editor = Editor(model, pairs)
    banks = [editor.bank(index, bank_of) for index in range(count)]
    plain, referred, clips = [], [], {}
    for seed in seeds:
        latents = []
        for index in tqdm(range(count), desc=f"recolourings, seed {seed}"):
            settings = editor.settings(index, flow, seed)
            source = editor.source(index, settings)
            with_bank = edit_with_reference(
                model.transformer, editor.contexts[index], source, settings, banks[index], reference
            )
            latents.append((editor.plain(index, source, settings), with_bank))
        clips = {
            name: decode_clips(model.vae, torch.cat(edited))
            for name, edited in zip(("plain", "reference"), zip(*latents, strict=True), strict=True)
        }
        plain.append(recolour_scores(reader, clips["plain"], pairs))
        referred.append(recolour_scores(reader, clips["reference"], pairs))
    gains = [difference(one, other) for one, other in zip(referred, plain, strict=True)]
    figures = {
        "pairs": count,
        "settings": asdict(flow),
        "strength_0": summary(plain),
        "strength_1": summary(referred),
        "gain": summary(gains),
    }
    return figures, sheet_rows(stack_videos(pairs), clips["plain"], clips["reference"])


def _load(params: Path) -> tuple[EditParams, BankParams]:
    return load_stage_params(EditParams, params), load_stage_params(BankParams, params)


def sheet_rows(*clips: NDArray[np.uint8]) -> list[list[NDArray[np.floating]]]:
    """Three frames of each of the given clips (n, f, h, w, 3) side by side, for a few of the n."""
    frames = list(_SHEET_FRAMES)
    return [
        [frame for part in clips for frame in to_unit(part[index][frames])]
        for index in range(min(_SHEET_ROWS, len(clips[0])))
    ]


def flow_options(parser: argparse.ArgumentParser, prefix: str) -> None:
    for name, kind in (("steps", int), ("strength", float), ("guidance", float), ("zeta", float)):
        parser.add_argument(f"--{prefix}-{name}", type=kind, help="default: params.yaml's")


def chosen_flow(options: argparse.Namespace, prefix: str) -> Flow:
    """params.yaml's section flowalign with the options of one experiment over it."""
    section = load_stage_params(EditParams, options.params).flowalign

    def choose(name: str) -> Any:
        given = getattr(options, f"{prefix}_{name}")
        return getattr(section, name) if given is None else given

    region = section.region
    return Flow(
        choose("steps"),
        choose("strength"),
        choose("guidance"),
        choose("zeta"),
        section.shift,
        None if region.zeta_outside is None else region.model_dump(mode="json"),
    )


def parse_options() -> argparse.Namespace:
    parser = recipe_parser(__doc__)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--reader", type=Path, required=True)
    parser.add_argument("--report", type=Path, required=True)
    parser.add_argument("--sheet", type=Path)
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    parser.add_argument("--pairs", type=int, default=32)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--only", choices=("swap", "recolour"), help="one of the two experiments")
    flow_options(parser, "swap")
    flow_options(parser, "recolour")
    return begin(parser)


def main() -> None:
    options = parse_options()
    reader = load_reader(options.reader)
    model = WanModel(str(options.model), None, "float32", "cpu")
    report: dict[str, Any] = {"seeds": options.seeds}
    rows: list[list[NDArray[np.floating]]] = []
    experiments: dict[str, Callable[..., Any]] = {
        "swap": assess_swaps,
        "recolour": partial(assess_recolouring, params=options.params),
    }
    for name, assess in experiments.items():
        if options.only in (None, name):
            flow = chosen_flow(options, name)
            with torch.inference_mode():
                report[name], more = assess(model, reader, flow, options.pairs, options.seeds)
            rows += more
    text = json.dumps(report, indent=2)
    log.info("%s", text)
    options.report.parent.mkdir(parents=True, exist_ok=True)
    options.report.write_text(text + "\n")
    if options.sheet is not None:
        write_sheet(rows, options.sheet)


if __name__ == "__main__":
    main()
