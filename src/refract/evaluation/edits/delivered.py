"""The deliverable's own measures, against the template: what should be as it was, and is it.

How good the edit is, is measured on the edited clips, before they are put back.
"""

import json
from math import log10
from pathlib import Path

import numpy as np

from refract.editing.deliver.outputs import FINAL_CLIP, REGION_CLIP
from refract.evaluation.measures.metric_definition import MetricDefinition
from refract.evaluation.measures.product import ClipScores
from refract.pipeline.import_closure import closure
from refract.pipeline.item_store import ItemStore, hash_file

MOST_DB = 100.0  # of equal pictures
_FILE = "measured.json"

DELIVERED_METRICS: dict[str, MetricDefinition] = {
    "delivered.background_psnr": MetricDefinition(
        "PSNR of final.mp4 against the template where no edited pixel shows, dB, squared errors of "
        f"all samples of Y, U and V as coded (4:2:0) pooled, at most {MOST_DB:.0f}: the encoder's "
        "own loss",
        "higher",
    ),
    "delivered.replaced_share": MetricDefinition(
        "share of the template's pixels, all its frames together, that show the edit at all, its "
        "soft edge included, 0 to 1",
        None,
    ),
    "delivered.sound_kept": MetricDefinition(
        "share of the template's streams of sound of which every packet is in final.mp4, byte by "
        "byte, 0 to 1; nan for a template without sound",
        "higher",
    ),
    "delivered.duration_error": MetricDefinition(
        "absolute difference of the lengths of final.mp4 and template, start to last frame's end, "
        "seconds",
        "lower",
    ),
    "delivered.frame_error": MetricDefinition(
        "absolute difference of the numbers of frames of final.mp4 and template, this at the "
        "case's fps where it has one",
        "lower",
    ),
}


def delivered_scores(
    folder: Path, template: Path, fps: float | None, store: ItemStore
) -> ClipScores:
    """The measures of the deliverable in a case's folder, from the store where they are known.

    Raises InputError: a clip is missing or cannot be decoded.
    """
    final, region = folder / FINAL_CLIP, folder / REGION_CLIP

    def write(slot: Path) -> None:
        measured = measure_delivered(template, final, region, fps)
        (slot / _FILE).write_text(json.dumps(measured), encoding="utf-8")  # nan and all

    files = {"template": template, "final": final, "region": region}
    key = store.key(
        params={"fps": fps},
        inputs={name: hash_file(path) for name, path in files.items()},
        code=closure(__name__),
    )
    kept: ClipScores = json.loads((store.get_or_make(key, write) / _FILE).read_text("utf-8"))
    return kept


def measure_delivered(template: Path, final: Path, region: Path, fps: float | None) -> ClipScores:
    """Each of `DELIVERED_METRICS`, frame by frame.

    region: the weights that `write_final` wrote. fps: frames a second of the template that the case
    asked for; None for all. Raises InputError: a clip cannot be decoded.
    """
    from refract.editing.deliver.composing import sample_weights
    from refract.editing.deliver.final_clip import read_weights
    from refract.editing.deliver.soundtrack import sound_digests
    from refract.media.clip_facts import clip_facts
    from refract.media.video_io import read_frames

    error = kept = shown = pixels = 0
    wanted, given = 0, read_frames(final, layout="yuv")
    weights = read_weights(region)
    for frame in read_frames(template, fps=fps, layout="yuv"):
        wanted += 1
        made, weight = next(given, None), next(weights, None)
        if made is None or weight is None:
            continue
        untouched = sample_weights(weight).reshape(frame.pixels.shape) == 0
        difference = frame.pixels[untouched].astype(np.int64) - made.pixels[untouched]
        error, kept = error + int((difference**2).sum()), kept + difference.size
        shown, pixels = shown + int(np.count_nonzero(weight)), pixels + weight.size
    facts = clip_facts(final)
    sounds, found = sound_digests(template), sound_digests(final)
    nan = float("nan")
    return {
        "delivered.background_psnr": _psnr(error / kept) if kept else nan,
        "delivered.replaced_share": shown / pixels,
        "delivered.sound_kept": sum(s in found for s in sounds) / len(sounds) if sounds else nan,
        "delivered.duration_error": abs(facts.duration - clip_facts(template).duration),
        "delivered.frame_error": float(abs(facts.frames - wanted)),
    }


def _psnr(squared_error: float) -> float:
    """dB of 8-bit samples."""
    return MOST_DB if squared_error == 0 else min(MOST_DB, 10 * log10(255**2 / squared_error))
