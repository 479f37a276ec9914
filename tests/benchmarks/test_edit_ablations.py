"""The ablations of the reference editing: variants, runs on a tiny model, tables and plots."""

import argparse
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

import benchmarks.edit_ablation_scores
from benchmarks.edit_ablation_plots import write_plots
from benchmarks.edit_ablation_report import report
from benchmarks.edit_ablation_results import load_results
from benchmarks.edit_ablation_runs import AblationRuns, result_path
from benchmarks.edit_ablation_scores import AblationScorer
from benchmarks.edit_ablation_variants import DEFAULT, GROUPS, VARIANTS, make_settings
from benchmarks.edit_ablations import Shard, chosen_variants, parse_shard
from refract.base.yaml_files import read_yaml
from refract.evaluation.edits.clips import load_edit_case
from refract.evaluation.edits.evaluation import PLAIN, RESULT
from refract.evaluation.edits.scores import CaseScorer
from refract.media.video_io import read_clip
from refract.params.cases import Case
from refract.params.edit_stage import EditParams
from refract.params.evaluate import Evaluate
from refract.params.ref_bank import BankParams
from refract.params.whole import load_stage_params
from tests.tiny.clip import write_tiny_clip
from tests.tiny.edit import FRAMES, HEIGHT, WIDTH, Workshop, tiny_model

ROOT = Path(__file__).parents[2]
METRICS = (
    "product.histogram_overlap", "product.delta_e", "product.clip_micro_i_crop", "background.psnr",
    "background.ssim", "temporal.relative_consistency", "temporal.relative_change",
)  # fmt: skip


def test_the_default_is_what_the_stages_read() -> None:
    path = ROOT / "params.yaml"
    settings = make_settings(read_yaml(path), VARIANTS[DEFAULT], 3)
    edit, bank = load_stage_params(EditParams, path), load_stage_params(BankParams, path)
    flow = edit.flowalign.model_copy(update={"strength_curve": ()})
    assert settings.edit == edit.model_copy(update={"seed": 3, "flowalign": flow})
    assert settings.bank == bank.model_copy(update={"seed": 3})


def test_every_variant_is_a_setting_of_its_own() -> None:
    """Each names keys that are there and values the stages take, and no two are the same."""
    document = read_yaml(ROOT / "params.yaml")
    seen = {str(make_settings(document, changes, 0)): name for name, changes in VARIANTS.items()}
    assert len(seen) == len(VARIANTS), sorted(VARIANTS.keys() - set(seen.values()))
    assert all(sum(not changes for changes in group.values()) == 1 for group in GROUPS.values())
    paths = {result_path(Path(), name, 0) for name in VARIANTS}
    assert len(paths) == len(VARIANTS)


def test_an_unknown_setting_is_refused() -> None:
    with pytest.raises(KeyError, match=r"flowalign\.hue"):
        make_settings(read_yaml(ROOT / "params.yaml"), {"flowalign.hue": 1}, 0)


def test_variants_are_chosen_by_name_or_group() -> None:
    own = [f"position {place}" for place in ("frame0", "after", "none")]
    assert chosen_variants(["position"]) == [DEFAULT, *own]
    assert chosen_variants(["guidance ?", "steps*"]) == [
        DEFAULT, "steps 0 to 0.5", "steps 0.5 to 1", "guidance 2", "guidance 3",
    ]  # fmt: skip
    assert chosen_variants(["*"]) == list(VARIANTS)


def test_shards() -> None:
    assert parse_shard("1/2") == Shard(1, 2)
    with pytest.raises(argparse.ArgumentTypeError, match="2/2"):
        parse_shard("2/2")
    case = Case(video="v", source_prompt="a", target_prompt="b", overrides={})
    cases = dict.fromkeys("abcd", case)
    assert list(Shard(1, 2).turn(cases)) == ["c", "d", "a", "b"]


class Lab(Workshop):
    """A workshop whose two cases have masks, and ablations of it."""

    def __init__(self, folder: Path, model: Path, clip: Path) -> None:
        super().__init__(folder, model)
        self.set(evaluate={
            "clip_model": str(clip), "clip_revision": None, "lpips_weights": None,
            "dino_model": None, "dino_revision": None, "inception_weights": None, "votes": None,
            "bootstrap": 100, "dilate_px": 2, "sheet_items": 1,
        })  # fmt: skip
        self.cases = {name: self._case(name, seed) for name, seed in (("cup", 0), ("mug", 1))}

    def scorer(self) -> AblationScorer:
        return AblationScorer(Evaluate(**self.params["evaluate"]), None)

    def _case(self, name: str, seed: int) -> Case:
        masks = self.folder / "masks" / name
        masks.mkdir(parents=True)
        for frame in range(FRAMES):
            mask = np.zeros((HEIGHT, WIDTH), np.uint8)
            mask[8:24, 4 + 3 * frame : 20 + 3 * frame] = 255
            Image.fromarray(mask).save(masks / f"{frame:02d}.png")
        return self.case(name, seed, source_mask=str(masks), target_mask=str(masks))

    def runs(self) -> AblationRuns:
        return AblationRuns(self.params, self.cases, self.folder / "work", self.scorer())


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("models")
    return tiny_model(folder), write_tiny_clip(folder / "clip")


@pytest.fixture
def lab(tmp_path: Path, models: tuple[Path, Path]) -> Lab:
    return Lab(tmp_path, *models)


def test_a_run_scores_what_the_stages_make(lab: Lab) -> None:
    result = json.loads(lab.runs().run("half", {"ref_strength": 0.5}, 0).read_text())
    lab.set(ref_strength=0.5)
    lab.extract(lab.cases)
    lab.edit(lab.cases)
    clip = lab.scorer().clip
    for name, case in lab.cases.items():
        judged = load_edit_case(name, case, lab.edits, 2)
        scorer = CaseScorer(judged, clip, None)
        for side, variant in (("edit", RESULT), ("plain", PLAIN)):
            scores, own = result["cases"][name][side], scorer.scores(variant)
            assert scores.keys() >= set(METRICS)
            assert scores == {metric: _finite(own[metric]) for metric in scores}
        assert result["cases"][name]["edit"] != result["cases"][name]["plain"]


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None


def test_what_is_finished_is_not_computed_again(lab: Lab) -> None:
    runs = lab.runs()
    path = runs.run(DEFAULT, {}, 0)
    assert runs.edits == 4  # two cases, each with and without the reference
    before = path.read_bytes()
    runs.run("half", {"ref_strength": 0.5}, 0)
    assert runs.edits == 6  # the plain edits are shared
    runs.run("none", {"ref_strength": 0.0}, 0)
    assert runs.edits == 6

    later = lab.runs()
    assert later.run(DEFAULT, {}, 0) == path
    path.unlink()
    assert later.run(DEFAULT, {}, 0).read_bytes() == before
    assert later.edits == 0 and "transformer" not in later.model.__dict__


def test_another_seed_or_photo_is_computed(lab: Lab) -> None:
    runs = lab.runs()
    first = json.loads(runs.run(DEFAULT, {}, 0).read_text())
    second = json.loads(runs.run(DEFAULT, {}, 1).read_text())
    assert first["cases"] != second["cases"] and runs.edits == 8
    photo = Path(lab.cases["cup"].video).with_name("product.png")
    Image.fromarray(np.asarray(Image.open(photo))[..., ::-1]).save(photo)
    again = lab.runs()
    again.run(DEFAULT, {}, 0)
    assert again.edits == 2  # the case's plain edit is the same, but judged by another photo


def test_a_reader_tells_where_the_product_stands(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = np.zeros((1, FRAMES, HEIGHT, WIDTH), bool)
    for frame in range(FRAMES):
        seen[0, frame, 8:24, 8 + 3 * frame : 24 + 3 * frame] = True  # four pixels off
    module: Any = benchmarks.edit_ablation_scores
    monkeypatch.setattr(module, "read_clips", lambda *_: SimpleNamespace(masks=seen))
    monkeypatch.setattr(module, "load_reader", lambda _: object())
    monkeypatch.setattr(module, "hash_file", lambda _: "")
    scorer = AblationScorer(Evaluate(**lab.params["evaluate"]), lab.folder)
    case = lab.cases["cup"]
    scores = scorer.score("cup", case, Path(case.video), read_clip(Path(case.video)).frames)
    assert scores["centroid_error_px"] == pytest.approx(4)
    assert scores["iou_to_target"] == pytest.approx(12 / 20)
    assert scores["temporal.relative_change"] == pytest.approx(1)


def write_result(work: Path, variant: str, seed: int, overlap: list[float], plain: float) -> None:
    """Made-up scores of cases a, b, ...: the plain edit's overlap is the same in all of them."""
    cases = {
        name: {
            "edit": {"product.histogram_overlap": own, "background.psnr": 40 - 10 * own},
            "plain": {"product.histogram_overlap": plain, "background.psnr": None},
        }
        for name, own in zip("abcd", overlap, strict=False)
    }
    result = {
        "variant": variant, "seed": seed, "key": "", "made_with": "c0de", "machine": "a machine",
        "cases": cases,
    }  # fmt: skip
    path = result_path(work, variant, seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result))


def row(text: str, start: str) -> str:
    return next(line for line in text.splitlines() if line.startswith(f"| {start} |"))


def test_differences_are_paired_by_case_and_seed(tmp_path: Path) -> None:
    write_result(tmp_path, DEFAULT, 0, [0.2, 0.4], 0.1)
    write_result(tmp_path, DEFAULT, 1, [0.3, 0.5], 0.1)
    write_result(tmp_path, "guidance 3", 1, [0.4, 0.6], 0.2)
    text = report(load_results(tmp_path)).partition("### guidance")[2]
    assert "| 2 | 0.350 [0.250, 0.450] |  |  | 36.50 [35.50, 37.50] |  |" in text
    assert row(text, "3: plain").startswith("| 3: plain | 1 | 0.200 [0.200, 0.200] |")
    differences = row(text.partition("| guidance | to plain")[2], "3")
    # To the default at seed 1 alone, where each case is .1 better.
    assert differences.startswith("| 3 | +0.300 [+0.200, +0.400] |")
    assert "+0.100 [+0.100, +0.100]" in differences and "-1.00 [-1.00, -1.00]" in differences


def test_a_report_says_what_is_monotone_and_what_is_amiss(tmp_path: Path) -> None:
    for label, overlap in (("0", 0.1), ("0.3", 0.2), ("0.5", 0.15)):
        write_result(tmp_path, f"strength {label}", 0, [overlap, 2 * overlap], 0.1)
    text = report(load_results(tmp_path))
    assert "- overlap: not monotone, turns from 0.3 to 0.5" in text
    assert "Made without a reader" in text and "of different code" not in text
    assert "### layers" not in text  # of which there is nothing but the default
    write_result(tmp_path, "strength 0.5", 0, [0.5, 0.35], 0.1)
    path = result_path(tmp_path, "strength 0.5", 0)
    path.write_text(path.read_text().replace("c0de", "other"))
    text = report(load_results(tmp_path))
    assert "- overlap: rises (so in 1 of 2 cases)" in text
    assert "of different code, models or measures" in text


def test_equal_results_make_equal_plots(tmp_path: Path) -> None:
    for name in ("strength 0", "strength 0.5", DEFAULT, "layers all", "timesteps 0.5"):
        write_result(tmp_path, name, 0, [0.2, 0.3 + len(name) / 100], 0.1)
    results = load_results(tmp_path)
    for folder in ("one", "two"):
        write_plots(results, tmp_path / folder)
    files = sorted((tmp_path / "one").iterdir())
    assert [path.name for path in files] == [
        "edit_choices.png", "edit_strength.png", "edit_trade.png",
    ]  # fmt: skip
    for path in files:
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()
        assert path.stat().st_size < 150_000
