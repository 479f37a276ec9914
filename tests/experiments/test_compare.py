"""Paired statistics, directions, tables at a revision and the command's errors."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import bootstrap

from refract.base.errors import InputError
from refract.evaluation.directions import HIGHER, LOWER, NEARER_ONE, direction_of
from refract.evaluation.measures.bootstrap import MeanInterval, Resampling
from refract.experiments.compare.experiments import Comparison, compare
from refract.experiments.compare.item_tables import HALVES, parse_items, wide
from refract.experiments.compare.paired import (
    Difference,
    holm,
    paired_differences,
    sign_flip_p,
)
from refract.experiments.compare.printing import as_csv, as_markdown, as_text, beyond_noise_line
from refract.experiments.compare.revisions import Revision, find_revision, open_repository
from tests.tiny.repository import make_repository, run_git

HOW = Resampling(400, 3)
ITEMS = [f"c{i}" for i in range(8)]
values_of_items = arrays(float, (8, 2), elements=st.floats(-100, 100))


def table(values: np.ndarray, *metrics: str) -> pd.DataFrame:
    columns = list(metrics or ("psnr", "temporal.relative_change"))
    return pd.DataFrame(values, index=ITEMS[: len(values)], columns=columns)


def test_the_interval_is_scipys() -> None:
    rng = np.random.default_rng(1)
    a, b = rng.normal(0, 1, (8, 2)), rng.normal(0.4, 1, (8, 2))
    [found] = paired_differences(table(a[:, :1], "psnr"), table(b[:, :1], "psnr"), HOW)
    expected = bootstrap(
        ((b - a)[:, 0],), np.mean, n_resamples=400, method="percentile",
        rng=np.random.default_rng(3),
    ).confidence_interval  # fmt: skip
    assert (found.difference.low, found.difference.high) == (expected.low, expected.high)
    assert found.difference.mean == pytest.approx((b - a)[:, 0].mean())
    assert (found.mean_a, found.mean_b) == pytest.approx((a[:, 0].mean(), b[:, 0].mean()))


@given(values_of_items)
def test_an_experiment_is_within_the_noise_of_itself(values: np.ndarray) -> None:
    for found in paired_differences(table(values), table(values), HOW):
        assert found.verdict == "within noise"
        assert (found.difference.mean, found.difference.low, found.difference.high) == (0, 0, 0)
        assert found.p == 1


@given(values_of_items, values_of_items)
def test_exchanging_the_two_turns_every_sign(a: np.ndarray, b: np.ndarray) -> None:
    opposite = {"better": "worse", "worse": "better"}
    there = paired_differences(table(a), table(b), HOW)
    back = paired_differences(table(b), table(a), HOW)
    for one, other in zip(there, back, strict=True):
        for left, right in (("mean", "mean"), ("low", "high"), ("high", "low")):
            mirrored = -getattr(other.difference, right)
            assert getattr(one.difference, left) == pytest.approx(mirrored, abs=1e-9)
        assert one.p == pytest.approx(other.p)
        edge = min(abs(one.difference.low), abs(one.difference.high)) < 1e-6
        if one.metric == "psnr" and not edge:
            assert other.verdict == opposite.get(one.verdict, one.verdict)


@pytest.mark.parametrize(
    ("metric", "shift", "verdict"),
    [
        ("psnr", 1.0, "better"),
        ("psnr", -1.0, "worse"),
        ("product.delta_e", -1.0, "better"),
        ("unheard_of", 1.0, "higher"),
        ("unheard_of", -1.0, "lower"),
        ("psnr", 0.0, "within noise"),
    ],
)
def test_verdicts_follow_the_direction(metric: str, shift: float, verdict: str) -> None:
    a = np.random.default_rng(0).normal(0, 1, (8, 1))
    noise = np.random.default_rng(1).normal(0, 0.1, (8, 1))
    noise -= noise.mean()
    [found] = paired_differences(table(a, metric), table(a + noise + shift, metric), HOW)
    assert found.verdict == verdict


def test_nearer_to_one_is_judged_by_distance_but_shown_as_measured() -> None:
    a = np.full((8, 1), 1.4) + np.linspace(0, 0.1, 8)[:, None]
    name = "temporal.relative_change"
    [found] = paired_differences(table(a, name), table(a - 0.6, name), HOW)
    assert found.verdict == "better"  # .8 is nearer than 1.4
    assert found.difference.mean == pytest.approx(-0.6)


def test_few_items_prove_nothing() -> None:
    values = np.arange(5.0)[:, None]
    [found] = paired_differences(table(values, "psnr"), table(values + 3, "psnr"), HOW)
    assert found.verdict == "too few items" and not found.beyond_noise
    assert found.p == pytest.approx(2 / 2**5)


def test_only_items_and_metrics_of_both_count() -> None:
    a = table(np.ones((8, 2)), "psnr", "ssim").drop(index="c0")
    b = table(np.ones((8, 2)), "psnr", "l1")
    b.loc["c1", "psnr"] = np.nan
    [found] = paired_differences(a, b, HOW)
    assert (found.metric, found.difference.count) == ("psnr", 6)
    assert paired_differences(a, b.rename(index=lambda name: f"other {name}"), HOW) == []


def test_chance_alone_moves_about_as_many_as_is_said() -> None:
    rng = np.random.default_rng(5)
    metrics = [f"day{i}.psnr" for i in range(120)]
    a, b = (pd.DataFrame(rng.normal(size=(40, 120)), columns=metrics) for _ in "ab")
    found = paired_differences(a, b, Resampling(300, 0))
    moved = sum(difference.beyond_noise for difference in found)
    assert 1 <= moved <= 15  # 6 expected
    assert sum(p < 0.05 for p in holm(found)) == 0
    assert beyond_noise_line(found).startswith(
        f"{moved} of 120 metrics beyond noise; about 5% (6.0)"
    )


@settings(max_examples=8)  # statsmodels collects garbage at every call
@given(st.lists(st.floats(1e-6, 1), min_size=1, max_size=9))
def test_holm_is_the_step_down_rule(ps: list[float]) -> None:
    none = MeanInterval(0, 0, 0, 8)
    found = holm([Difference("m", None, 0, 0, none, "within noise", p) for p in ps])
    order, running = np.argsort(ps, kind="stable"), 0.0
    for rank, place in enumerate(order):
        running = max(running, min(1, (len(ps) - rank) * ps[place]))
        assert found[place] == pytest.approx(running)


def test_the_sign_flip_test_counts_assignments() -> None:
    assert sign_flip_p(np.array([1.0, 2, 3, 4, 5, 6]), HOW) == pytest.approx(2 / 64)
    assert sign_flip_p(np.zeros(4), HOW) == 1


@pytest.mark.parametrize(
    ("metric", "direction"),
    [
        ("psnr", HIGHER), ("night.psnr", HIGHER), ("l1", LOWER), ("ms_ssim_3", HIGHER),
        ("lpips", LOWER), ("background.lpips", LOWER),
        ("product.clip_micro_i_crop", HIGHER), ("product.clip_i", HIGHER),
        ("product.delta_e", LOWER), ("temporal.relative_change", NEARER_ONE),
        ("temporal.relative_warp_error", NEARER_ONE), ("temporal.motion_fidelity_dis", HIGHER),
        ("unheard_of", None),
    ],
)  # fmt: skip
def test_directions(metric: str, direction: object) -> None:
    assert direction_of(metric) == direction


CSV = b"""item,daytime,variant,metric,value
01,day,adapter,psnr,20
01,day,zero_map,psnr,19
02,night,adapter,psnr,18
"""


def test_infrared_values_come_by_daytime_too() -> None:
    values = wide(parse_items(CSV, HALVES["infrared"], "t"), "adapter")
    assert list(values.index) == ["01", "02"]  # no numbers
    assert values.loc["01", ["psnr", "day.psnr"]].tolist() == [20, 20]
    assert np.isnan(values.loc["01", "night.psnr"]) and values.loc["02", "night.psnr"] == 18


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (CSV.replace(b"metric", b"measure"), "t: column 'metric' is missing; has item"),
        (CSV.replace(b"19", b"inf"), "t:3: value 'inf' is no finite number"),
        (CSV.replace(b"19", b"high"), "t:3: value 'high'"),
        (CSV.replace(b"zero_map", b"adapter"), "two values of 01, adapter, psnr"),
        (b"", "t: not a CSV table"),
        (b"\xff\xfe\x00\x81", "t: not a CSV table"),
    ],
)
def test_a_strange_table_is_told_where(content: bytes, told: str) -> None:
    with pytest.raises(InputError, match=told):
        parse_items(content, HALVES["infrared"], "t")


def test_a_comparison_is_printed_settings_first() -> None:
    a = np.random.default_rng(0).normal(0, 1, (8, 1))
    found = paired_differences(table(a, "psnr"), table(a + 1, "psnr"), HOW)
    sides = Revision("one", "1" * 40), Revision("workspace", None)
    comparison = Comparison(*sides, {"ref_strength": (1.0, 0.5)}, ["src/x.py"], {"edit": found})
    text = as_text(comparison)
    assert text.startswith("A = one (1111111)\nB = workspace\n\nref_strength: 1.0 -> 0.5\n")
    assert text.index("code or data differ: src/x.py") < text.index("psnr") < text.index("1 of 1")
    assert "| psnr" in as_markdown(comparison)
    assert as_csv(comparison).splitlines()[1].startswith("psnr,higher,")
    assert ",better," in as_csv(comparison)


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two commits, in both of which git itself holds the table."""
    base = tmp_path_factory.mktemp("compare")
    folder = make_repository(base / "repository", base / "log")
    (folder / ".gitignore").write_text("")
    (folder / "dvc.yaml").write_text(
        (folder / "dvc.yaml").read_text().replace("out/plots", "other")
    )
    for shift in (0.0, 1.0):
        rows = "".join(f"c{i},reference,background.psnr,{i + shift}\n" for i in range(8))
        (folder / "out/plots").mkdir(parents=True, exist_ok=True)
        (folder / "out/plots/edit_cases.csv").write_text(f"case,variant,metric,value\n{rows}")
        params = (folder / "params.yaml").read_text()
        (folder / "params.yaml").write_text(params.replace("[mug]", "[cup]") if shift else params)
        run_git(folder, "add", "-A")
        run_git(folder, "commit", "-q", "-m", str(shift))
    return folder


def test_revisions_and_the_workspace_compare(repository: Path) -> None:
    with open_repository(repository) as repo:
        first, last, here = (find_revision(repo, name) for name in ("HEAD~1", "HEAD", "workspace"))
        found = compare(repo, first, here, ["edit", "infrared"], HOW)
        assert [d.verdict for d in found.halves["edit"]] == ["better"]
        assert found.settings == {"edit.words": ("['mug']", "['cup']")}
        same = compare(repo, last, here, ["edit"], HOW)
        assert [d.verdict for d in same.halves["edit"]] == ["within noise"]
        assert not same.settings and not same.files
        with pytest.raises(InputError, match=r"neither HEAD .* has out/plots/infrared_items.csv"):
            compare(repo, last, here, ["infrared"], HOW)


def test_other_items_are_no_comparison(repository: Path) -> None:
    file = repository / "out/plots/edit_cases.csv"
    text = file.read_text()
    file.write_text(re.sub("^c(?=[0-9])", "other", text, flags=re.MULTILINE))
    try:
        with open_repository(repository) as repo:
            last, here = find_revision(repo, "HEAD"), find_revision(repo, "workspace")
            with pytest.raises(InputError, match="no item and metric of variant 'reference' in"):
                compare(repo, last, here, ["edit"], HOW)
    finally:
        file.write_text(text)


def test_an_unknown_revision_is_told(repository: Path) -> None:
    with open_repository(repository) as repo:
        with pytest.raises(InputError, match="'nowhere': unknown Git revision 'nowhere'; allowed"):
            find_revision(repo, "nowhere")
        with pytest.raises(
            InputError, match=r"HEAD~2 \(.*\) has no out/plots/edit_cases.csv, in git"
        ):
            compare(repo, find_revision(repo, "HEAD"), find_revision(repo, "HEAD~2"), ["edit"], HOW)


def test_the_command_fails_with_one_line(repository: Path) -> None:
    command = [sys.executable, "-m", "refract.experiments.compare", "HEAD", "nowhere"]
    done = subprocess.run(command, cwd=repository, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("refract compare: error: 'nowhere': unknown Git revision")
    assert done.stderr.count("\n") == 1 and done.stdout == ""
