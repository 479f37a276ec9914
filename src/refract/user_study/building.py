"""From edits to a study: a folder for the raters and, outside it, the key."""

import hashlib
import logging
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from refract.base.atomic import replace_directory
from refract.base.errors import InputError, shorten
from refract.editing.cases.outputs import PLAIN_CLIP, REFERENCE_CLIP, SOURCE_CLIP
from refract.editing.reference.photo import find_reference_photo
from refract.evaluation.votes.study_key import StudyKey, load_key, write_key
from refract.media.clip_facts import ClipFacts, clip_facts
from refract.media.video_io import read_frames
from refract.media.webm import write_webm
from refract.params.cases import Case
from refract.user_study.page import ShownPair, StudyPage, render_study
from refract.user_study.pairs import ClipId, StudyPlan, Tokens, plan_pairs
from refract.user_study.photo import write_photo

logger = logging.getLogger(__name__)

TITLE = "Which clip is better?"
PAGE, MEDIA = "index.html", "media"
_SMALL_PX = 256  # clips with a shorter side than this are enlarged and shown with hard pixels
_EVERY_FILE_MADE = 946_684_800  # 2000-01-01: the order of making would tell the methods apart


@dataclass(frozen=True)
class StudyRequest:
    """What is compared. methods: see `clip_path`; the one of interest first."""

    edits: Path
    cases: Mapping[str, Case]
    methods: Sequence[str]
    seed: int = 0
    checks: int = 0
    banks: Path | None = None  # of cases with target_image: infer_ir
    title: str = TITLE


def build_study(request: StudyRequest, output: Path, key_path: Path | None = None) -> StudyKey:
    """Write the raters' folder `output` and the key, by default `<output>-key.json` beside it.

    Same request, same clips -> same bytes. A case without a photo is left out, and so are pairs of
    equal clips; the log says which.

    Raises InputError: fewer than two methods, missing or mismatching clips, an `output` that holds
    something else, a key inside `output` or one of another study.
    """
    key_path = key_path or output.with_name(f"{output.name}-key.json")
    _check_places(output, key_path)
    photos = _photos(request)
    files = _files(request, photos)
    tokens = Tokens.of(request.seed, files)
    small, alike = _compare_clips(request, photos)
    plan = plan_pairs(tokens, alike, request.methods, seed=request.seed, checks=request.checks)
    _check_key(key_path, plan.key.study)
    photo_of = {case: tokens("photo", case) for case in photos}
    with replace_directory(output) as folder:
        media = folder / MEDIA
        media.mkdir()
        for case, token in photo_of.items():
            write_photo(photos[case], media / f"{token}.png")
        _write_clips(plan, files, media)
        pairs = list(_shown(plan.key, photo_of, request.cases))
        page = StudyPage(plan.key.study, request.title, pairs, small)
        (folder / PAGE).write_text(render_study(page), encoding="utf-8", errors="replace")
        for path in folder.rglob("*"):
            os.utime(path, (_EVERY_FILE_MADE, _EVERY_FILE_MADE))
    write_key(key_path, plan.key)
    return plan.key


def _check_places(output: Path, key_path: Path) -> None:
    if Path(os.path.realpath(key_path)).is_relative_to(os.path.realpath(output)):
        raise InputError(f"key {key_path}: lies in {output}, which raters get; put it elsewhere")
    if output.exists() and not output.is_dir():
        raise InputError(f"output {output}: is a file; must be a folder")
    held = {path.name for path in output.iterdir()} if output.is_dir() else set()
    if held - {PAGE, MEDIA}:
        name = sorted(held - {PAGE, MEDIA})[0]
        raise InputError(f"output {output}: holds {shorten(name)}; must be new or an older study")


def _check_key(path: Path, study: str) -> None:
    """A lost key makes votes worthless, so that of another study is never written over."""
    if path.exists() and load_key(path).study != study:
        raise InputError(
            f"{path}: is the key of another study (of other clips, methods, checks or seed), whose "
            "votes need it; move it away or give another --output"
        )


def _photos(request: StudyRequest) -> dict[str, Path]:
    """Case -> product photo; InputError where no case has one."""
    photos = {}
    for name, case in request.cases.items():
        photo = find_reference_photo(name, case, request.banks)
        if photo is None:
            logger.warning("case %s: has no product photo; left out of the study", name)
        else:
            photos[name] = photo
    if not photos:
        raise InputError("user study: no case has a product photo; see target_image of the cases")
    return photos


def _files(request: StudyRequest, photos: Mapping[str, Path]) -> dict[ClipId, Path]:
    methods = request.methods
    if len(methods) < 2 or len(set(methods)) < len(methods):
        raise InputError(f"compare {' '.join(methods)}: must be two or more different methods")
    files = {
        (case, method): clip_path(request.edits, case, method)
        for case in photos
        for method in methods
    }
    for (case, method), path in files.items():
        if not path.is_file():
            raise InputError(f"{path}: no such file; case {case} has no clip {shorten(method)}")
    return files


def _compare_clips(
    request: StudyRequest, photos: Mapping[str, Path]
) -> tuple[bool, dict[str, list[tuple[str, ...]]]]:
    """Whether all clips are small, and for each case its methods in groups of equal clips."""
    small, alike = True, {}
    for case in photos:
        paths = {method: clip_path(request.edits, case, method) for method in request.methods}
        clips = {method: clip_facts(path) for method, path in paths.items()}
        _check_shapes(case, clips)
        groups: dict[str, tuple[str, ...]] = {}
        for method, path in paths.items():
            content = _digest(path)
            groups[content] = (*groups.get(content, ()), method)
            small &= _is_small(clips[method])
        alike[case] = list(groups.values())
        for group in alike[case]:
            if len(group) > 1:
                logger.warning("case %s: %s are equal; not compared", case, " and ".join(group))
    return small, alike


def _digest(path: Path) -> str:
    """sha256 of a clip's pixels."""
    digest = hashlib.sha256()
    for frame in read_frames(path):
        digest.update(frame.pixels.tobytes())
    return digest.hexdigest()


def _check_shapes(case: str, clips: Mapping[str, ClipFacts]) -> None:
    """Clips that differ in length or speed could not play in step, and would be told apart."""
    (first, model), *others = clips.items()
    for method, clip in others:
        if _shape(clip) != _shape(model) or clip.fps != model.fps:
            raise InputError(
                f"case {case}: {method} is {_shape(clip)} at {clip.fps:g} fps, but {first} "
                f"is {_shape(model)} at {model.fps:g}; shape [T, H, W] and rate must agree"
            )


def _shape(clip: ClipFacts) -> tuple[int, int, int]:
    return clip.frames, clip.height, clip.width


def _write_clips(plan: StudyPlan, files: Mapping[ClipId, Path], media: Path) -> None:
    for token, clip in plan.shown.items():
        facts = clip_facts(files[clip])
        frames = (frame.pixels for frame in read_frames(files[clip]))
        enlarge = 2 if _is_small(facts) else 1
        write_webm(media / f"{token}.webm", frames, facts.fps, "fine", enlarge=enlarge)


def _is_small(clip: ClipFacts) -> bool:
    return min(clip.height, clip.width) < _SMALL_PX


def _shown(
    key: StudyKey, photos: Mapping[str, str], cases: Mapping[str, Case]
) -> Iterator[ShownPair]:
    for name, pair in key.pairs.items():
        case = key.case_of(name)
        yield ShownPair(name, pair.clips, photos[case], cases[case].target_prompt)


_NAMED = {Path(name).stem: name for name in (REFERENCE_CLIP, PLAIN_CLIP, SOURCE_CLIP)}
_STRENGTH = re.compile(r"s(\d{3})")  # as in the metrics


def clip_path(edits: Path, case: str, method: str) -> Path:
    """The lossless clip of a method: reference, plain, source, or s030 for ref_strength 0.3."""
    if method in _NAMED:
        return edits / case / _NAMED[method]
    strength = _STRENGTH.fullmatch(method)
    if strength is None:
        raise InputError(
            f"method {shorten(method)}: must be {', '.join(_NAMED)} or a strength of the curve, "
            "such as s030 for 0.3"
        )
    return edits / case / "curve" / f"{int(strength[1]) / 100:g}.mkv"
