"""The evaluate stage on a small run's outputs, whole and broken."""

import csv
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from refract.base.errors import InputError
from refract.editing.deliver.final_clip import write_final
from refract.editing.deliver.replaced_region import EditedShot
from refract.evaluation.measures.metrics_summary import flat_numbers
from refract.media.video_io import Clip, write_clip
from refract.params.cases import load_cases
from refract.params.deliver import Deliver
from refract.triptychs.panels.manifest import TriptychRow, write_manifest
from refract.user_study.building import StudyRequest, build_study
from stages import evaluate
from tests.stage_process import run_module
from tests.tiny.clip import write_tiny_clip
from tests.tiny.study import all_votes, write_votes

PX, T = 32, 5  # SSIM's window is 11 px wide; five frames are the shortest clip with motion
SCENES = [("s0", "train", "day"), ("s1", "train", "night"), ("s2", "test", "day"),
          ("s3", "test", "night"), ("s4", "test", "day")]  # fmt: skip


def _triptychs(folder: Path, *, truth: bool = True) -> None:
    rng = np.random.default_rng(0)
    rows = []
    for name, split, daytime in SCENES:
        (folder / split).mkdir(parents=True, exist_ok=True)
        panel = rng.integers(0, 256, (PX, PX, 3), dtype=np.uint8)
        infrared = np.repeat(panel[..., :1] // 2, 3, -1)
        semantic = np.zeros((PX, PX, 3), np.uint8)
        semantic[: PX // 2] = (0, 0, 142)
        picture = np.concatenate([panel, infrared, semantic], axis=1)
        Image.fromarray(picture).save(folder / split / f"{name}.png")
        source = f"{name}.png" if truth else ""
        rows.append(TriptychRow(name, split, f"{name}.png", source, "", "scene", daytime, name))
    write_manifest(rows, folder)


def _infrared(folder: Path) -> None:
    rng = np.random.default_rng(1)
    for variant in ("adapter", "shuffled_map", "zero_map"):
        (folder / variant).mkdir(parents=True)
        for name, split, _ in SCENES:
            if split == "test":
                pixels = rng.integers(0, 128, (PX, PX), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / variant / f"{name}.png")
    info = {"steps": 20, "guidance": 1.0, "model": "m", "semantic_source": "provided"}
    (folder / "info.json").write_text(json.dumps(info))


def _clip(colour: tuple[int, int, int]) -> Clip:
    frames = np.random.default_rng(2).integers(90, 160, (1, PX, PX, 3), dtype=np.uint8)
    frames = np.repeat(frames, T, axis=0)
    for frame in range(T):
        frames[frame, 8:24, 2 + 2 * frame : 18 + 2 * frame] = colour
    return Clip(frames, 8.0)


def _case(root: Path, name: str, *, masks: bool) -> str:
    folder, edits = root / "data" / name, root / "edits" / name
    for kind in ("source_mask", "target_mask"):
        (folder / kind).mkdir(parents=True)
        for frame in range(T):
            mask = np.zeros((PX, PX), bool)
            mask[8:24, 2 + 2 * frame : 18 + 2 * frame] = True
            Image.fromarray(mask).save(folder / kind / f"{frame:05d}.png")
    photo = np.full((2 * PX, 2 * PX, 3), 225, np.uint8)
    photo[16:48, 16:48] = (46, 158, 66)
    Image.fromarray(photo).save(folder / "product.png")
    (edits / "curve").mkdir(parents=True)
    for path, colour in (
        ("source", (205, 38, 42)), ("plain", (190, 60, 50)), ("reference", (60, 150, 70)),
        ("curve/0.5", (120, 110, 60)), ("curve/1.0", (60, 150, 70)),
    ):  # fmt: skip
        write_clip(edits / f"{path}.mkv", _clip(colour), "lossless")
    if masks:
        write_clip(folder / "video.mp4", _clip((205, 38, 42)), "preview")
        settings = Deliver(final=True, composite=True, feather=0.02, quality=12)
        shot = EditedShot(0, edits / "source.mkv", edits / "reference.mkv")
        write_final(edits, folder / "video.mp4", [shot], settings)
    lines = [
        f"  {name}:", f"    video: data/{name}/video.mp4", "    source_prompt: a box",
        "    target_prompt: a box", f"    target_image: data/{name}/product.png",
    ]  # fmt: skip
    if masks:
        lines += [f"    {kind}: data/{name}/{kind}" for kind in ("source_mask", "target_mask")]
    return "\n".join(lines) + "\n"


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory, root: Path) -> Path:
    """What the stages before evaluate leave behind, in a folder of its own."""
    folder = tmp_path_factory.mktemp("evaluation") / "run"
    _triptychs(folder / "triptychs")
    _infrared(folder / "infrared")
    (folder / "banks").mkdir()
    (folder / "data" / "votes").mkdir(parents=True)
    cases = _case(folder, "with-masks", masks=True) + _case(folder, "bare", masks=False)
    (folder / "cases.yaml").write_text("cases:\n" + cases)
    shots = {"shots": [{"first": 0, "frames": T, "start": 0.0, "end": T / 8}]}
    info = {"model": "m", "cases": dict.fromkeys(("with-masks", "bare"), shots)}
    (folder / "edits" / "info.json").write_text(json.dumps(info))
    write_tiny_clip(folder / "clip")
    params = (root / "params.yaml").read_text()
    before = "clip_model: backbones/clip-micro"
    assert before in params
    (folder / "params.yaml").write_text(params.replace(before, "clip_model: clip"))
    return folder


@pytest.fixture
def run(outputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy that a test may break, as the working directory: cases name files relative to it.

    All share an item store, so that what is not broken is measured once.
    """
    monkeypatch.setenv("REFRACT_STATE", str(outputs.with_name("state")))
    folder = Path(shutil.copytree(outputs, tmp_path / "run"))
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "argv", ["evaluate", *ARGUMENTS])
    return folder


ARGUMENTS = [
    *("--params", "params.yaml", "--cases", "cases.yaml", "--triptychs", "triptychs"),
    *("--infrared", "infrared", "--banks", "banks", "--edits", "edits"),
    *("--metrics", "metrics", "--plots", "plots", "--report", "report"),
]


def _metrics(run: Path, half: str) -> dict:
    return json.loads((run / "metrics" / "details" / f"{half}.json").read_text())


def _summary(run: Path, half: str) -> dict:
    return json.loads((run / "metrics" / f"{half}.json").read_text())


def test_metrics_tables_and_sheets_are_written(run: Path) -> None:
    evaluate.main()
    infrared, edit = _metrics(run, "infrared"), _metrics(run, "edit")
    assert infrared["count"] == 3
    assert set(infrared["baseline"]) == {
        "grayscale", "inverted_grayscale", "linear_grayscale", "mean_infrared", "class_mean",
        "shuffled_map", "zero_map",
    }  # fmt: skip
    # the truth is half the red channel: a random answer must lose to a fit of the visible image
    assert infrared["baseline"]["linear_grayscale"]["gain_psnr"] < 0
    assert infrared["about"]["steps"] == 20
    assert "AlexNet" in infrared["about"]["lpips"] and 0 < infrared["lpips"] < 2
    assert edit["count"] == 2
    assert edit["product"]["count"] == edit["background"]["count"] == 1
    assert edit["product"]["histogram_overlap"] > edit["plain"]["product"]["histogram_overlap"]
    assert list(edit["curve"]) == ["s000", "s050", "s100"]
    assert edit["curve"]["s100"]["product"] == {
        key: value
        for key, value in edit["product"].items()
        if not key.endswith(("_low", "_high", "count"))
    }
    assert edit["background"]["psnr"] == 100  # only the product changed colour
    delivered = edit["delivered"]
    assert 45 < delivered["background_psnr"] < 100 and 0 < delivered["replaced_share"] < 1
    assert delivered["frame_error"] == delivered["duration_error"] == 0
    assert "sound_kept" not in delivered  # the template has none
    names = {path.name for path in (run / "plots").iterdir()}
    assert names == {
        "infrared_items.csv", "infrared_classes.csv", "infrared.png", "edit.png",
        "edit_cases.csv", "edit_frames.csv", "strength_curve.csv", "strength_means.csv",
    }  # fmt: skip
    with (run / "plots" / "infrared_items.csv").open() as file:
        rows = list(csv.DictReader(file))
    own = [float(r["value"]) for r in rows if (r["variant"], r["metric"]) == ("adapter", "psnr")]
    assert np.mean(own) == pytest.approx(infrared["psnr"], rel=1e-4)
    assert (run / "report" / "index.html").is_file()


def test_the_files_that_dvc_tracks_are_few_rows_of_the_details_each_of_them_defined(
    run: Path,
) -> None:
    evaluate.main()
    rows = 0
    for half in ("infrared", "edit"):
        details, summary = (
            dict(flat_numbers(_metrics(run, half))),
            dict(flat_numbers(_summary(run, half))),
        )
        rows += len(summary)
        assert summary.items() <= details.items()
        metrics = _metrics(run, half)["about"]["metrics"]
        assert all("better: " in text for text in metrics.values())
        for key in details:
            name = key.removesuffix("_low").removesuffix("_high")
            if name.partition(".")[0] in ("product", "background", "temporal"):
                known = name in metrics or name.endswith("count")
                assert known, f"{half}: {key} has no definition"
    assert 10 < rows <= 30


def test_votes_become_preference_rates(run: Path) -> None:
    evaluate.main()
    assert "preference" not in _metrics(run, "edit")
    votes = run / "data" / "votes"
    request = StudyRequest(run / "edits", load_cases(run / "cases.yaml"), ("reference", "plain"))
    key = build_study(request, run / "study", votes / "key.json")
    rows = all_votes(key, ["ada", "ben"], lambda *_: "reference")
    write_votes(votes / "votes.csv", key.study, rows)
    evaluate.main()
    assert _metrics(run, "edit")["preference"]["product"]["raters"] == 2
    assert _summary(run, "edit")["preference"]["product"]["rate"] == 1.0


# What a process of its own evaluates, and which of the modules it is asked for it has loaded then.
LOADED = """
import sys
from stages import evaluate
asked, sys.argv = sys.argv[1].split(","), ["evaluate", *sys.argv[2:]]
evaluate.main()
print(*sys.modules.keys() & asked)
"""
LIBRARIES = ("torch", "open_clip", "lpips", "cv2", "skimage", "scipy", "statsmodels")
OF_NO_USE = ("transformers", "timm", "torch._dynamo", "scipy.stats")


@pytest.mark.parametrize(
    ("state", "unneeded"), [("state", LIBRARIES), ("empty", OF_NO_USE)], ids=["known", "anew"]
)
def test_known_or_measured_anew_the_bytes_are_the_same_and_imports_few(
    state: str, unneeded: tuple[str, ...], run: Path, outputs: Path
) -> None:
    def written() -> dict[str, bytes]:
        folders = ("metrics", "plots", "report")
        files = [path for folder in folders for path in (run / folder).rglob("*")]
        return {str(path): path.read_bytes() for path in files if path.is_file()}

    evaluate.main()
    first = written()
    one_by_one = ("REFRACT_THREADS", "REFRACT_PROCESSES")  # which the tests are told
    own = {name: text for name, text in os.environ.items() if name not in one_by_one}
    done = subprocess.run(
        [sys.executable, "-c", LOADED, ",".join(unneeded), *ARGUMENTS],
        cwd=run,
        env=own | {"REFRACT_STATE": str(outputs.with_name(state))},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert written() == first
    assert not done.stdout.split()


def test_without_infrared_truth_the_edits_are_still_measured(run: Path) -> None:
    shutil.rmtree(run / "triptychs")
    _triptychs(run / "triptychs", truth=False)
    evaluate.main()
    infrared = _metrics(run, "infrared")
    assert infrared["count"] == 0
    assert "psnr" not in infrared
    assert "no true infrared" in infrared["about"]["note"]
    assert "product" in _metrics(run, "edit")


def test_controls_that_were_not_made_are_left_out(run: Path) -> None:
    shutil.rmtree(run / "infrared" / "zero_map")
    evaluate.main()
    assert "zero_map" not in _metrics(run, "infrared")["baseline"]


def _smaller(path: Path) -> None:
    Image.fromarray(np.zeros((PX // 2, PX // 2), np.uint8)).save(path)


def _blacken(folder: Path) -> None:
    for path in folder.iterdir():
        Image.new("1", (PX, PX)).save(path)


def _shorten(path: Path) -> None:
    write_clip(path, Clip(_clip((9, 9, 9)).frames[:3], 8.0), "lossless")


def _missing(name: str) -> tuple[str, Callable[[Path], object]]:
    return name, Path.unlink


def _damaged(name: str) -> tuple[str, Callable[[Path], object]]:
    return name, lambda path: path.write_text("x")


def _holds(name: str, text: str) -> tuple[str, Callable[[Path], object]]:
    return name, lambda path: path.write_text(text)


# fault -> (file, what is done to it), and what the one line must say
BROKEN: dict[str, tuple[tuple[str, Callable[[Path], object]], str]] = {
    "output missing": (_missing("infrared/adapter/s2.png"), r"adapter/s2\.png: missing"),
    "output of another shape": (("infrared/adapter/s3.png", _smaller), r"16 x 16.*32 x 32"),
    "output no picture": (_damaged("infrared/adapter/s2.png"), r"s2\.png: not a readable"),
    "no manifest": (_missing("triptychs/manifest.csv"), r"manifest\.csv: missing"),
    "no infrared info": (_missing("infrared/info.json"), r"info\.json: missing"),
    "info no json": (_damaged("edits/info.json"), "not valid JSON"),
    "info no object": (_holds("edits/info.json", "[]"), "must hold an object"),
    "edit missing": (_missing("edits/bare/plain.mkv"), r"plain\.mkv: missing"),
    "edit no video": (_damaged("edits/bare/plain.mkv"), "cannot be decoded"),
    "no shots": (_holds("edits/info.json", "{}"), r"cases\.with-masks\.shots = None: must be"),
    "edit of another length": (
        ("edits/bare/plain.mkv", _shorten),
        r"plain\.mkv: has 3 frames from",
    ),
    "curve clip misnamed": (
        ("edits/bare/curve/0.5.mkv", lambda path: path.rename(path.with_name("half.mkv"))),
        "not named by a reference strength",
    ),
    "too few masks": (_missing("data/with-masks/target_mask/00004.png"), "4 masks; 5 are needed"),
    "black masks": (("data/with-masks/target_mask", _blacken), "black everywhere"),
    "photo missing": (_missing("data/bare/product.png"), r"product\.png"),
    "no clip model": (("clip", shutil.rmtree), "no such folder"),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_bad_input_is_one_line_and_leaves_nothing_behind(fault: str, run: Path) -> None:
    (name, break_it), message = BROKEN[fault]
    break_it(run / name)
    with pytest.raises(InputError, match=message) as caught:
        evaluate.main()
    assert "\n" not in str(caught.value)
    assert not (run / "metrics").exists()
    assert not (run / "plots").exists()
    assert not (run / "report").exists()


def test_the_stage_process_ends_with_code_2_and_no_traceback(run: Path) -> None:
    (run / "infrared" / "adapter" / "s2.png").unlink()
    done = run_module("stages.evaluate", *ARGUMENTS, cwd=run)
    assert done.returncode == 2
    assert "s2.png: missing" in done.stderr
    assert "Traceback" not in done.stderr
