"""A visible clip becomes an infrared one: edits with `target_image: infer_ir` against the truth.

    python -m benchmarks.infrared_video --clips 8 --sheet sheet.png --set flowalign.guidance=3

The clips are pans over test pictures of data/street, whose infrared pictures give the true
infrared pans. The real stages make the edits, with the trained adapter and the map of each first
frame, from a copy of the code in a temporary folder. The micro video model has never seen a street.
"""

import argparse
import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.tables import describe_machine, markdown_table
from benchmarks.workspace import Workspace
from refract.base.yaml_files import parse_yaml, read_yaml
from refract.evaluation.measures.bootstrap import Resampling, mean_interval
from refract.evaluation.measures.colour import colour_histogram, histogram_overlap, lab_pixels
from refract.evaluation.measures.image import psnr, ssim, to_unit
from refract.experiments.ablation.grids import check_key, with_dotted_keys
from refract.media.image_reading import read_infrared, read_rgb
from refract.media.image_sheets import draw_sheet
from refract.media.video_io import Clip, read_clip, write_clip
from refract.params.cases import INFRARED_REFERENCE
from refract.pipeline.device import pick_device

STREET = Path(__file__).resolve().parents[1] / "data" / "street"
_STEP_PX = 2  # a frame
_FPS = 8.0
_RESAMPLES = 2000
_FLAT, _STILL = "mean of the reference, flat", "reference, held still"
_TRUTH = "true infrared"
_MEASURES = ("PSNR, dB", "SSIM", "motion", "chroma", "overlap with the reference")

Frames = NDArray[np.uint8]  # [F, H, W, 3]


class Window(NamedTuple):
    """What a clip sees of its picture in one frame."""

    top: int
    left: int


@dataclass(frozen=True)
class PanCase:
    """A clip: its name, and the frames of the visible and of the infrared picture."""

    name: str
    visible: Frames
    infrared: Frames
    first_map: Path


def main() -> None:
    options = parse_arguments()
    with TemporaryDirectory() as folder:
        workspace = Workspace.create(Path(folder), {})
        params = configure(workspace, options.set, options.strengths)
        flow = params["flowalign"]
        shape = (flow["frames"], flow["height"], flow["width"])
        pans = write_pans(workspace.folder / "clips", options.clips, shape, options.seed)
        cases = write_cases(workspace, pans, options)
        state = (options.state or workspace.folder / "state").resolve()
        run_stages(workspace, cases, options.adapter.resolve(), state)
        results = [read_variants(workspace, pan, state) for pan in pans]
        if options.sheet:
            draw(options.sheet, pans, results)
    truths = [pan.infrared for pan in pans]
    print(f"{describe_machine(pick_device(), params['video_model']['dtype'])}\n")
    settings = ", ".join(options.set) or "as in params.yaml"
    print(f"{len(pans)} clips, settings {settings}; '{options.source_prompt}' -> ", end="")
    print(f"'{options.target_prompt}'; means with 95% bootstrap intervals over clips\n")
    print(report(results, truths))


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0, help="of the choice of pictures and pans")
    parser.add_argument("--adapter", type=Path, default=Path("out/ir_adapter"))
    parser.add_argument("--strengths", type=float, nargs="+", default=[0.5, 1.0])
    parser.add_argument("--source-prompt", default="a street")
    parser.add_argument("--target-prompt", default="a gray street")
    parser.add_argument("--no-map", action="store_true", help="translate with a black map")
    parser.add_argument("--set", nargs="+", default=[], metavar="KEY=VALUE", help="of params.yaml")
    parser.add_argument("--state", type=Path, help="item store to keep; else a temporary one")
    parser.add_argument("--sheet", type=Path, help="PNG of the clips' middle frames")
    return parser.parse_args()


def configure(
    workspace: Workspace, settings: Sequence[str], strengths: Sequence[float]
) -> dict[str, Any]:
    """Write the workspace's params.yaml with `KEY=VALUE` settings; returns it.

    Raises:
        InputError: a key that params.yaml lacks.
    """
    params = changed(read_yaml(workspace.params), settings)
    params["flowalign"]["strength_curve"] = sorted({0.0, *strengths})
    params["ref_strength"] = max(strengths)
    workspace.params.write_text(json.dumps(params, indent=1))  # JSON is YAML too
    return params


def changed(params: dict[str, Any], settings: Sequence[str]) -> dict[str, Any]:
    """A copy of `params` with `KEY=VALUE` settings; InputError for a key that it lacks."""
    changes = dict(parse_setting(setting) for setting in settings)
    for key in changes:
        check_key(params, key, "--set", Path("params.yaml"))
    return with_dotted_keys(params, changes)


def parse_setting(text: str) -> tuple[str, Any]:
    """`a.b=3` -> ("a.b", 3); the value is read as YAML.

    Raises:
        ValueError: no `=` in it.
    """
    key, equals, value = text.partition("=")
    if not equals:
        raise ValueError(f"{text!r}: a setting is KEY=VALUE")
    return key, parse_yaml(value)


def choose_pictures(count: int, seed: int) -> list[str]:
    """Stems of `count` different test pictures, as many by day as by night where they suffice."""
    with (STREET / "metadata.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["split"] == "test"]
    order = np.random.default_rng(seed).permutation(len(rows))
    turns: dict[str, int] = {}
    ranked = []
    for index in order:
        daytime = rows[index]["daytime"]
        turns[daytime] = turns.get(daytime, 0) + 1
        ranked.append((turns[daytime], daytime, Path(rows[index]["file_name"]).stem))
    return [stem for _, _, stem in sorted(ranked)[:count]]


def plan_pan(
    room: tuple[int, int], frames: int, random: np.random.Generator, step: int = _STEP_PX
) -> list[Window]:
    """Where a window stands in each frame as it moves `step` pixels a frame, along or across.

    room: how far it can go down and to the right. Direction and start are drawn.
    Raises:
        ValueError: it would leave the picture.
    """
    travel = step * (frames - 1)
    if travel > min(room):
        raise ValueError(f"{frames} frames at {step} px need {travel} px of room, there are {room}")
    down, right = random.choice([(0, 1), (1, 0), (1, 1)])
    starts = []
    for moves, space in ((down, room[0]), (right, room[1])):
        sign = int(random.choice([-1, 1])) * moves
        first = int(random.integers(0, space - travel * moves + 1))
        starts.append((first + (travel if sign < 0 else 0), sign * step))
    (top, dy), (left, dx) = starts
    return [Window(top + dy * frame, left + dx * frame) for frame in range(frames)]


def look(picture: NDArray[np.uint8], windows: Sequence[Window], height: int, width: int) -> Frames:
    """[F, height, width, ...] of a picture [H, W, ...] through each window."""
    return np.stack([picture[y : y + height, x : x + width] for y, x in windows])


def write_pans(folder: Path, count: int, shape: tuple[int, int, int], seed: int) -> list[PanCase]:
    """Write <name>/{clip.mkv,map.png} of `count` pans of (frames, height, width) = `shape`."""
    frames, height, width = shape
    random = np.random.default_rng(seed)
    pans = []
    for stem in choose_pictures(count, seed):
        home = folder / stem
        home.mkdir(parents=True)
        visible = read_rgb(_file("visible", stem))
        infrared = read_infrared(_file("infrared", stem)).pixels.astype(np.uint8)
        room = (visible.shape[0] - height, visible.shape[1] - width)
        windows = plan_pan(room, frames, random)
        seen = look(visible, windows, height, width)
        write_clip(home / "clip.mkv", Clip(seen, _FPS), "lossless")
        with Image.open(_file("semantic", stem)) as semantic:  # class ids stay class ids
            y, x = windows[0]
            semantic.crop((x, y, x + width, y + height)).save(home / "map.png")
        truth = look(infrared, windows, height, width)[..., None].repeat(3, -1)
        pans.append(PanCase(f"pan-{stem.lower()}", seen, truth, home / "map.png"))
    return pans


def _file(kind: str, stem: str) -> Path:
    (path,) = (STREET / kind).glob(f"{stem}.*")
    return path


def write_cases(workspace: Workspace, pans: Sequence[PanCase], options: argparse.Namespace) -> Path:
    """The cases file: each clip's reference is the translation of its own first frame."""
    cases = {}
    for pan in pans:
        case = {
            "video": str(pan.first_map.with_name("clip.mkv")),
            "source_prompt": options.source_prompt,
            "target_prompt": options.target_prompt,
            "target_image": INFRARED_REFERENCE,
        }
        if not options.no_map:
            case["first_frame_map"] = str(pan.first_map)
        cases[pan.name] = case | {"overrides": {}}
    path = workspace.folder / "cases.yaml"
    path.write_text(json.dumps({"cases": cases}, indent=1))
    return path


def run_stages(workspace: Workspace, cases: Path, adapter: Path, state: Path) -> None:
    """extract_ref_banks and flowalign_edit, into `banks` and `edits` of the workspace."""
    banks, edits = workspace.folder / "banks", workspace.folder / "edits"
    stages = {
        "extract_ref_banks": {
            "cases": cases,
            "adapter": adapter,
            "triptychs": adapter.parent / "triptychs",
            "output": banks,
        },
        "flowalign_edit": {"cases": cases, "banks": banks, "output": edits},
    }
    for name, options in stages.items():
        workspace.run(name, options, state=state)


def read_variants(workspace: Workspace, pan: PanCase, state: Path) -> dict[str, Frames]:
    """What is measured of a clip, by name; every one has the frames of the clip."""
    luma = [np.asarray(Image.fromarray(frame).convert("L")) for frame in pan.visible]
    edits = workspace.folder / "edits" / pan.name
    height, width = pan.visible.shape[1:3]
    picture = Image.open(workspace.folder / "banks" / f"{pan.name}.png")
    still = np.asarray(picture.convert("RGB").resize((width, height), Image.Resampling.LANCZOS))
    variants = {
        "source": pan.visible,
        "source in grayscale": np.stack(luma)[..., None].repeat(3, -1),
        _FLAT: np.full_like(pan.visible, round(still.mean())),
        _STILL: np.broadcast_to(still, pan.visible.shape),
        "plain edit": read_clip(edits / "plain.mkv").frames,
    }
    for path in sorted((edits / "curve").glob("*.mkv"), key=lambda path: float(path.stem)):
        if float(path.stem) > 0:
            variants[f"strength {path.stem}"] = read_clip(path).frames
    return variants


def measure(frames: Frames, truth: Frames, still: Frames) -> tuple[float, ...]:
    """`_MEASURES` of a clip, whose reference picture is `still` [H, W, 3].

    PSNR and SSIM to the truth are means over frames. Motion is the correlation of what changes
    from the first frame to the last with what changes in the truth, 0 where nothing does. Chroma
    is the mean of Lab, 0 for gray. The overlap is of colour histograms.
    """
    pairs = [(to_unit(frame), to_unit(true)) for frame, true in zip(frames, truth, strict=True)]
    lab = lab_pixels(frames.reshape(-1, 3))
    reference = lab_pixels(still.reshape(-1, 3))
    return (
        float(np.mean([psnr(frame, true) for frame, true in pairs])),
        float(np.mean([ssim(frame, true) for frame, true in pairs])),
        shared_change(frames, truth),
        float(np.hypot(lab[:, 1], lab[:, 2]).mean()),
        histogram_overlap(colour_histogram(lab), colour_histogram(reference)),
    )


def shared_change(frames: Frames, truth: Frames) -> float:
    """Correlation over pixels of the gray levels' change from the first to the last frame."""
    changes = [clip[[0, -1]].mean(-1) for clip in (frames, truth)]
    own, true = (last - first for first, last in changes)
    if not (own.std() and true.std()):
        return 0.0
    return float(np.corrcoef(own.ravel(), true.ravel())[0, 1])


def report(results: Sequence[Mapping[str, Frames]], truths: Sequence[Frames]) -> str:
    """A row for each variant and one for the truth, and how good the reference pictures are."""
    stills = [result[_STILL][0] for result in results]
    rows = []
    for name in (*results[0], _TRUTH):
        clips = [result.get(name, truth) for result, truth in zip(results, truths, strict=True)]
        values = [measure(*each) for each in zip(clips, truths, stills, strict=True)]
        cells = [_interval(column) for column in zip(*values, strict=True)]
        rows.append([name, *(["", ""] if name == _TRUTH else cells[:2]), *cells[2:]])
    firsts = [
        measure(still[None], truth[:1], still) for still, truth in zip(stills, truths, strict=True)
    ]
    level, likeness, *_ = (_interval(column) for column in zip(*firsts, strict=True))
    table = markdown_table(["", *_MEASURES], rows)
    first = f"PSNR {level} dB, SSIM {likeness}"
    return f"{table}\n\nThe reference picture against the true first frame: {first}"


def _interval(values: Sequence[float]) -> str:
    found = mean_interval(values, Resampling(_RESAMPLES, 0))
    return f"{found.mean:.3g} [{found.low:.3g}, {found.high:.3g}]" if found else ""


def draw(path: Path, pans: Sequence[PanCase], results: Sequence[Mapping[str, Frames]]) -> None:
    """A sheet of the middle frame of every variant of every clip, with the reference picture."""
    titles = [*results[0], _TRUTH]
    rows = []
    for pan, result in zip(pans, results, strict=True):
        middle = len(pan.visible) // 2
        rows.append((pan.name, [*(v[middle] for v in result.values()), pan.infrared[middle]]))
    draw_sheet(titles, rows, cell=(150, 150), path=path)


if __name__ == "__main__":
    main()
