"""The editing half of the page: clips, product photo, prompts and scores, a case at a time."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from refract.base.errors import InputError
from refract.base.files import INFO_NAME, read_object
from refract.editing.cases.outputs import BASELINES_FOLDER
from refract.editing.deliver.outputs import FINAL_CLIP, REGION_CLIP
from refract.evaluation.edits.case_files import curve_clips
from refract.evaluation.variants import PLAIN, RESULT, SOURCE, strength_key
from refract.media.image_reading import PHOTO_SUFFIXES
from refract.params.cases import INFRARED_REFERENCE
from refract.report.media import MediaFolder, ShownClip
from refract.report.tables import FrameScores, ItemScores

PHOTO_PX = 384

EditsInfo = Mapping[str, Any]  # info.json of the edits


def edit_cases(
    edits: Path,
    banks: Path,
    cases: Mapping[str, EditsInfo],
    scores: ItemScores,
    frames: FrameScores,
    media: MediaFolder,
) -> list[dict[str, Any]]:
    """Every case folder of `edits`, in the order of the cases file, then by name.

    Raises InputError: a missing or unreadable clip or photo.
    """
    if not edits.is_dir():
        return []
    info = read_object(edits / INFO_NAME)
    present = sorted(path.name for path in edits.iterdir() if path.is_dir())
    ordered = [name for name in cases if name in present]
    ordered += [name for name in present if name not in cases]
    paths = [path for path in edits.glob("*/**/*.mkv") if path.name != REGION_CLIP]
    clips = media.clips(sorted([*paths, *edits.glob(f"*/{FINAL_CLIP}")]))
    cases_shown = []
    for name in ordered:
        facts = {**cases.get(name, {}), **info.get("cases", {}).get(name, {})}
        case = _clips(edits / name, facts.get("result_strength"), clips, media)
        case |= {"final": _final(clips.get(edits / name / FINAL_CLIP))}
        case |= {"name": name, "photo": _photo(name, banks, facts, media)}
        case |= {key: facts.get(key) or "" for key in ("source_prompt", "target_prompt")}
        case |= {"scores": scores.of_item(name)}
        case |= {"frameScores": _of_shown_frames(frames.get(name, {}), case["step"])}
        cases_shown.append(case)
    return cases_shown


def _clips(
    folder: Path,
    result_strength: float | None,
    clips: Mapping[Path, ShownClip],
    media: MediaFolder,
) -> dict[str, Any]:
    paths = {variant: folder / f"{variant}.mkv" for variant in (SOURCE, PLAIN, RESULT)}
    for path in paths.values():
        if path not in clips:
            raise InputError(f"video {path}: no such file")
    source, others = clips[paths[SOURCE]], sorted((folder / BASELINES_FOLDER).glob("*.mkv"))
    curve = [
        {"strength": strength, "variant": strength_key(strength), "clip": clips[path].address}
        for strength, path in curve_clips(folder)
        if strength != 0  # which is the plain edit and shown as that
    ]
    return {
        "count": source.count,
        "fps": source.fps,
        "step": source.step,
        "width": source.width,
        "height": source.height,
        "thumb": media.file(clips[paths[RESULT]].still),
        "clips": {variant: clips[path].address for variant, path in paths.items()},
        "resultStrength": result_strength,
        "curve": curve,
        "baselines": [{"variant": path.stem, "clip": clips[path].address} for path in others],
    }


def _final(clip: ShownClip | None) -> dict[str, str] | None:
    """The deliverable and what to say of it; None where a case has none."""
    if clip is None:
        return None
    sound = "with its sound, which this view leaves out" if clip.has_sound else "without sound"
    facts = f"{clip.width} × {clip.height} pixels, {clip.duration:.2f} s, {sound}"
    return {"clip": clip.address, "about": f"{FINAL_CLIP}: {facts}"}


def _of_shown_frames(
    frames: Mapping[str, Mapping[str, list[float | None]]], step: int
) -> dict[str, dict[str, list[float | None]]]:
    return {
        metric: {variant: values[::step] for variant, values in variants.items()}
        for metric, variants in frames.items()
    }


def _photo(name: str, banks: Path, facts: EditsInfo, media: MediaFolder) -> str | None:
    """The product photo: as the edit's info says, else as the case says, else beside the clip."""
    if facts.get("target_image") == INFRARED_REFERENCE:
        path: Path | None = banks / f"{name}.png"
    elif given := facts.get("product_image") or facts.get("target_image"):
        path = Path(given)
    else:
        path = _beside(name, facts.get("video"))
    return None if path is None else media.picture(path, PHOTO_PX)


def _beside(name: str, video: str | None) -> Path | None:
    if not video:
        return None
    folder = Path(video).parent
    names = (stem + end for stem in (name, "product") for end in PHOTO_SUFFIXES)
    return next((path for path in map(folder.joinpath, names) if path.is_file()), None)
