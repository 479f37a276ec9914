import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks import infrared_ablations
from benchmarks.ablation_runs import Site
from benchmarks.ablation_variants import VARIANTS
from benchmarks.infrared_ablations import report
from refract.base.yaml_files import read_yaml
from refract.params.whole import load_stage_params
from stages.train_ir_adapter import StageParams

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", VARIANTS)
def test_every_variant_is_a_setting_of_the_training(name: str, tmp_path: Path) -> None:
    """So `dvc exp run -S` reaches it, and DVC reruns train_ir_adapter for it."""
    changes = VARIANTS[name]
    tracked = read_yaml(ROOT / "dvc.yaml")["stages"]["train_ir_adapter"]["params"]
    assert "ir_adapter" in tracked
    path = Site(ROOT, tmp_path).write_params(name, 3, changes)
    changed = load_stage_params(StageParams, path)
    usual = load_stage_params(StageParams, ROOT / "params.yaml")
    assert changed.seed == 3
    assert (changed.ir_adapter != usual.ir_adapter) == bool(changes)


def test_an_unknown_setting_is_refused(tmp_path: Path) -> None:
    with pytest.raises(KeyError, match=r"ir_adapter\.semantic\.hue"):
        Site(ROOT, tmp_path).write_params("hue", 0, {"semantic.hue": 1})


def result(folder: Path, variant: str, seed: int, shift: float, train_s: float) -> None:
    """Day scenes at 20, 22, 24 dB and a night scene at 10, all off by `shift`; controls at 5."""

    def scores(levels: list[float]) -> list[dict[str, Any]]:
        times = ["day", "day", "day", "night"]
        return [{"psnr": x, "daytime": t} for x, t in zip(levels, times, strict=True)]

    own = [x + shift for x in (20.0, 22.0, 24.0, 10.0)]
    kinds = {"adapter": own, "shuffled_map": [5.0] * 4, "zero_map": [5.0] * 4}
    document = {
        "variant": variant,
        "seed": seed,
        "train_cpu_s": train_s,
        "infer_cpu_s": 10.0,
        "scores": {kind: scores(levels) for kind, levels in kinds.items()},
    }
    (folder / f"{variant}_{seed}.result.json").write_text(json.dumps(document))


def test_differences_are_paired_and_intervals_are_over_scenes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(infrared_ablations, "baseline_scores", lambda site: {})
    result(tmp_path, "default", 0, 0.0, 100.0)
    result(tmp_path, "default", 1, 1.0, 100.0)
    result(tmp_path, "panel", 0, -2.0, 150.0)
    result(tmp_path, "panel", 1, -1.0, 150.0)
    lines = report(Site(ROOT, tmp_path)).splitlines()
    default, panel = (
        next(x for x in lines if x.startswith(f"| {n} ")) for n in ("default", "panel")
    )
    assert "| 22.50 [20.50, 24.50] | 22.00 to 23.00 |" in default
    # Scenes differ by 4 dB, yet the difference of two variants is the same for each of them.
    assert "| -2.00 [-2.00, -2.00] |" in panel
    assert panel.endswith("| 1.5 | 1 |")
    assert "| shuffled_map | -17.50 [-19.50, -15.50] | -5.50 [-5.50, -5.50] |" in lines
