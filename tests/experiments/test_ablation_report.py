"""Tables and plots from collected values, without DVC."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refract.base.errors import InputError
from refract.evaluation.measures.bootstrap import Resampling, mean_interval
from refract.experiments.ablation.collect import BASELINE, POINT, summarise
from refract.experiments.ablation.grids import Axis, Grid
from refract.experiments.ablation.manifest import Sweep, read_sweep, write_sweep
from refract.experiments.ablation.plots import draw_plots
from refract.experiments.ablation.points import Origin, Point
from refract.experiments.ablation.report import (
    against_baseline,
    against_point,
    base_point,
    write_sweep_report,
)
from refract.experiments.ablation.tables import (
    as_latex,
    cells_as_markdown,
    choose_metrics,
    decimals,
    formatted,
)

HOW = Resampling(300, 0)
EDIT_METRICS = ("product.histogram_overlap", "background.psnr", "temporal.relative_change")


def edit_items(labels: Sequence[str], *, plain_varies: bool = False) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    plain = rng.uniform(0.2, 0.8, 9)
    rows = []
    for place, label in enumerate(labels):
        for metric in EDIT_METRICS:
            gain = rng.uniform(0.1, 0.2, 9) * place
            for item, value in enumerate(plain):
                own = value + place * plain_varies
                rows.append((label, f"c{item}", "reference", metric, value + gain[item]))
                rows.append((label, f"c{item}", "plain", metric, own))
    columns = ["point", "item", "variant", "metric", "value"]
    return pd.DataFrame(rows, columns=columns).assign(experiment="x", seed="")


def a_sweep(labels: Sequence[str], failed: Sequence[str] = (), present: str = "") -> Sweep:
    points = [
        Point(
            label=label,
            overrides={"ref_strength": 0.5},
            experiment=f"strength-{label}",
            as_present=label == present,
            error="it broke" if label in failed else "",
        )
        for label in labels
    ]
    return Sweep(
        grid="strength",
        origin=Origin(commit="c" * 40, changed=(), digest="d"),
        points=tuple(points),
    )


def a_grid(labels: Sequence[str], kind: str = "numeric") -> Grid:
    return Grid(
        title="Strength & more",
        about="how strongly",
        half="edit",
        axis=Axis(name="ref_strength", kind=kind),  # type: ignore[arg-type]
        common={},
        points={label: {"ref_strength": 0.5} for label in labels},
    )


def test_means_and_intervals_are_those_of_the_bootstrap() -> None:
    items = edit_items(["0", "1"])
    summary = summarise(items, ["0", "1"], "edit", HOW).set_index(["row", "metric"])
    chosen = items[
        (items["point"] == "1")
        & (items["variant"] == "reference")
        & (items["metric"] == "background.psnr")
    ]
    expected = mean_interval(chosen["value"].tolist(), Resampling(300, 0))
    assert expected is not None
    row = summary.loc[("1", "background.psnr")]
    assert (row["mean"], row["low"], row["high"], row["count"]) == (
        expected.mean, expected.low, expected.high, 9,
    )  # fmt: skip


def test_a_baseline_is_one_row_unless_the_settings_change_it() -> None:
    def rows(varies: bool) -> dict[str, str]:
        items = edit_items(["0", "1"], plain_varies=varies)
        summary = summarise(items, ["0", "1"], "edit", HOW)
        return dict(zip(summary["row"], summary["kind"], strict=True))

    assert rows(False) == {"0": POINT, "1": POINT, "plain": BASELINE}
    assert rows(True) == {
        "0": POINT, "1": POINT, "plain of 0": BASELINE, "plain of 1": BASELINE,
    }  # fmt: skip


def test_infrared_stands_beside_its_mean_and_the_empty_map() -> None:
    rows = [
        ("on", f"i{item}", variant, metric, item + offset)
        for item in range(6)
        for offset, variant in enumerate(("adapter", "mean_infrared", "zero_map", "shuffled_map"))
        for metric in ("psnr", "night.psnr", "l1")
    ]
    items = pd.DataFrame(rows, columns=["point", "item", "variant", "metric", "value"])
    items = items.assign(seed="")
    summary = summarise(items, ["on"], "infrared", HOW)
    assert list(summary["row"].unique()) == ["on", "mean_infrared", "zero_map"]
    assert choose_metrics(summary["metric"], "infrared") == ["psnr", "night.psnr", "l1"]


@pytest.mark.parametrize(
    ("present", "chosen"),
    [
        (
            ["background.psnr", "product.clip_micro_i_crop", "product.delta_e", "other"],
            ["product.delta_e", "product.clip_micro_i_crop", "background.psnr"],
        ),
        (["product.clip_i_crop", "product.clip_i"], ["product.clip_i_crop"]),
        (
            ["temporal.motion_fidelity_dis", "temporal.relative_warp_error"],
            ["temporal.motion_fidelity_dis", "temporal.relative_warp_error"],
        ),
        (["unheard", "of"], ["of", "unheard"]),
    ],
)
def test_metrics_are_chosen_by_what_is_there(present: list[str], chosen: list[str]) -> None:
    assert choose_metrics(present, "edit") == chosen


def test_a_grid_may_choose_its_own_metrics() -> None:
    assert choose_metrics(["a.x", "b.x", "b.y"], "edit", ["b.*", "a.x"]) == ["b.x", "b.y", "a.x"]


@given(st.floats(1e-6, 1e6))
def test_three_digits_are_shown_and_no_needless_ones(largest: float) -> None:
    shown = f"{largest:.{decimals(largest)}f}"
    assert float(shown) == pytest.approx(largest, rel=0.005)
    assert largest >= 100 or len(shown.replace(".", "").lstrip("0")) <= 4


def test_tables_hold_every_row_and_escape_their_names() -> None:
    summary = summarise(edit_items(["0", "1"]), ["0", "1"], "edit", HOW)
    cells = formatted(summary, list(EDIT_METRICS), ["0", "0.5", "1", "plain"])
    assert cells.loc["0.5"].tolist() == ["–"] * 4  # failed, so without values
    assert cells.loc["plain", "n"] == "9"
    assert cells.loc["0", "background.psnr"] == cells.loc["plain", "background.psnr"]
    markdown = cells_as_markdown(cells, "ref_strength")
    assert "background.psnr ↑" in markdown and "temporal.relative_change →1" in markdown
    assert [line.split("|")[1].strip() for line in markdown.splitlines()[2:]] == list(cells.index)
    latex = as_latex(cells, "ref_strength", "50% & more_", "x")
    for part in (r"\toprule", r"\bottomrule", r"product.histogram\_overlap", r"50\% \& more\_"):
        assert part in latex
    assert "–" not in latex and latex.count(r"\\") == 5


@pytest.mark.parametrize("kind", ["numeric", "categorical"])
def test_plots_are_pictures_with_the_same_bytes(tmp_path: Path, kind: str) -> None:
    labels = ["1", "0.5", "0"]
    summary = summarise(edit_items(["1", "0"], plain_varies=True), ["1", "0"], "edit", HOW)
    axis = Axis(name="ref_strength", kind=kind)  # type: ignore[arg-type]
    drawn = []
    for run in "ab":
        paths = [tmp_path / f"{run}.png", tmp_path / f"{run}.svg"]
        draw_plots(summary, list(EDIT_METRICS), labels, axis, "T", paths)
        drawn.append([path.read_bytes() for path in paths])
    assert drawn[0] == drawn[1]
    assert drawn[0][0].startswith(b"\x89PNG") and b"<svg" in drawn[0][1]


def test_differences_are_paired_with_the_present_settings() -> None:
    items, labels = edit_items(["0", "1", "2"]), ["0", "1", "2"]
    assert base_point(a_sweep(labels, present="1")).label == "1"
    assert base_point(a_sweep(labels, failed=["0"])).label == "1"  # the first with a result
    paired = against_point(items, "1", labels, "edit", HOW)
    assert list(paired) == ["0", "2"]
    assert {d.verdict for d in paired["0"] if d.metric.startswith("product")} == {"worse"}
    assert {d.verdict for d in paired["2"] if d.metric.startswith("product")} == {"better"}


def seeded_items(labels: Sequence[str], seeds: Sequence[str]) -> pd.DataFrame:
    """Every seed shifts all points alike; the first point's values are those of `edit_items`."""
    tables = [
        items.assign(seed=seed, value=items["value"] + shift)
        for shift, seed in enumerate(seeds)
        for items in [edit_items(labels)]
    ]
    return pd.concat(tables, ignore_index=True)


def test_means_are_over_seeds_and_items_and_pair_within_a_seed() -> None:
    labels, seeds = ["0", "1"], ["0", "1", "2"]
    items = seeded_items(labels, seeds)
    summary = summarise(items, labels, "edit", HOW)
    cells = formatted(summary, list(EDIT_METRICS), [*labels, "plain"])
    assert cells["n"].tolist() == ["9 x 3"] * 3
    row = summary.set_index(["row", "metric"]).loc[("1", "background.psnr")]
    own = items[(items["point"] == "1") & (items["variant"] == "reference")]
    values = own[own["metric"] == "background.psnr"]["value"]
    assert row["mean"] == pytest.approx(values.mean())
    assert row["seed_high"] - row["seed_low"] == pytest.approx(2)
    assert row["high"] - row["low"] > 0.5  # the seeds are far apart, and the interval holds it
    [gain] = (
        d for d in against_point(items, "0", labels, "edit", HOW)["1"] if d.metric == row.name[1]
    )
    assert 0.1 < gain.difference.low < gain.difference.high < 0.2  # which cancels within a seed
    assert gain.difference.count == 9 and gain.verdict == "better"


def test_a_baseline_is_held_against_by_the_same_settings() -> None:
    items = edit_items(["0", "1"], plain_varies=True)
    found = against_baseline(items, "plain", ["0", "1"], "edit", HOW)
    means = {label: [d.difference.mean for d in found[label]] for label in found}
    assert means["0"] == [0, 0, 0] and all(-1 < mean < -0.8 for mean in means["1"])
    assert against_baseline(items, "flowedit", ["0", "1"], "edit", HOW) == {}


def test_the_report_is_whole_and_replaces_the_last(tmp_path: Path) -> None:
    labels = ["0", "0.5", "1"]
    folder = tmp_path / "report"
    for failed in (["0.5"], []):
        done = [label for label in labels if label not in failed]
        sweep = a_sweep(labels, failed, present="1")
        write_sweep_report(sweep, a_grid(labels), edit_items(done), HOW, folder)
        text = (folder / "report.md").read_text()
        assert ("- 0.5: it broke" in text) == bool(failed)
        assert "## Against `1` (the present settings)" in text
    names = {path.name for path in folder.iterdir()}
    assert names == {
        "report.md", "table.tex", "summary.csv", "paired.csv", "items.csv", "plots.png",
        "plots.svg", "points.json",
    }  # fmt: skip
    assert "\n0.5,0.5" not in (folder / "paired.csv").read_text()


def test_a_sweep_is_read_as_it_was_written(tmp_path: Path) -> None:
    sweep = a_sweep(["0", "1"], failed=["1"])
    write_sweep(sweep, tmp_path)
    assert read_sweep(tmp_path) == sweep


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (None, "run the sweep first"),
        ("{", "not valid JSON"),
        ("[]", "must hold an object"),
        ("{}", "grid: missing"),
    ],
)
def test_a_strange_manifest_is_told(tmp_path: Path, text: str | None, told: str) -> None:
    if text is not None:
        (tmp_path / "points.json").write_text(text)
    with pytest.raises(InputError, match=told):
        read_sweep(tmp_path)
