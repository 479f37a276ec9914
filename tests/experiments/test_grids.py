"""ablations.yaml against params.yaml, and what a wrong one is told."""

from pathlib import Path
from typing import Any

import pytest
from dvc.utils.hydra import to_hydra_overrides
from hydra.core.override_parser.types import QuotedString
from hypothesis import example, given
from hypothesis import strategies as st

from refract.base.errors import InputError
from refract.experiments.ablation.grids import (
    Grid,
    check_values,
    find_grid,
    load_grids,
    unreached_cases,
    with_dotted_keys,
)
from refract.experiments.ablation.points import Origin, hydra_override, make_points

GRID = """
grids:
  strength:
    title: t
    about: a
    half: edit
    axis: {{name: x, kind: {kind}}}
    common: {{seed: 1}}
    points:
      '0': {{}}
      {label}: {{{key}: {value}}}
"""

ORIGIN = Origin(commit="c" * 40, changed=(), digest="d")


@pytest.fixture(scope="module")
def ours(request: pytest.FixtureRequest) -> dict[str, Grid]:
    root = Path(request.config.rootpath)
    return load_grids(root / "ablations.yaml", root / "params.yaml")


def test_every_point_of_ours_is_what_the_stages_accept(ours: dict[str, Grid], root: Path) -> None:
    for name, grid in ours.items():
        check_values(grid, root / "params.yaml", root / "data/cases.yaml", name)


@pytest.mark.parametrize(
    ("name", "key", "values"),
    [
        ("ref_strength", "ref_strength", [0, 0.3, 0.5, 0.7, 1, 1.5]),
        ("ref_timesteps", "ref_timesteps", [[0], [0.3], [0.5], [0.7], [1], [0, 0.3, 0.5, 0.7, 1]]),
        ("ir_layers", "ir_adapter.layers", [1, 2, 3]),
        ("ir_heads", "ir_adapter.heads", [4, 8, 16]),
        (
            "semantic_mode",
            "ir_adapter.semantic.mode",
            ["cross_attention", "pixel_fusion", "panel", "none"],
        ),
    ],
)
def test_the_sweeps_that_were_asked_for(
    ours: dict[str, Grid], name: str, key: str, values: list[Any]
) -> None:
    assert [point[key] for point in ours[name].points.values()] == values


def write(tmp_path: Path, **changes: str) -> tuple[Path, Path]:
    parts = {"kind": "numeric", "label": "'1'", "key": "ref_strength", "value": "0.5"} | changes
    (tmp_path / "ablations.yaml").write_text(GRID.format(**parts))
    (tmp_path / "params.yaml").write_text("seed: 0\nref_strength: 1.0\nedit: {zeta: 0}\n")
    return tmp_path / "ablations.yaml", tmp_path / "params.yaml"


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"key": "ref_strenght"}, "point '1': .*has no ref_strenght; .*seed, ref_strength, edit"),
        ({"key": "edit.eta"}, "has no edit.eta; at 'eta' it has zeta"),
        ({"key": "edit"}, "edit is a section"),
        ({"key": "seed.deep"}, "has no seed.deep"),
        (
            {"value": "{a: 1}"},
            "strength.points.1: a setting is {'a': 1}; must be a number",
        ),
        ({"value": "'${oc.env:HOME}'"}, "must hold no"),
        ({"label": "high"}, "point 'high': must be a number"),
        (
            {"kind": "logarithmic"},
            "strength.axis.kind = 'logarithmic': must be one of numeric, categorical",
        ),
        ({"label": "plain", "kind": "categorical"}, "point 'plain': is the name of a baseline"),
        ({"label": "a/b", "kind": "categorical"}, "a/b.*must match"),
    ],
)
def test_a_wrong_grid_is_told_where(tmp_path: Path, changes: dict[str, str], told: str) -> None:
    with pytest.raises(InputError, match=told):
        load_grids(*write(tmp_path, **changes))


def test_an_unknown_grid_is_told_which_exist(ours: dict[str, Grid]) -> None:
    with pytest.raises(InputError, match="'strenght' does not exist; allowed are ref_strength, "):
        find_grid(ours, "strenght")
    with pytest.raises(InputError, match=r"which grid\? allowed are"):
        find_grid(ours, None)


def test_a_value_no_stage_accepts_is_told(ours: dict[str, Grid], root: Path) -> None:
    grid = ours["ir_heads"].model_copy(update={"points": {"5": {"ir_adapter.heads": 5}}})
    with pytest.raises(InputError, match=r"here, point '5': ir_adapter.heads = 5: must be one of"):
        check_values(grid, root / "params.yaml", root / "data/cases.yaml", "here")


def test_a_point_runs_once_a_seed(tmp_path: Path) -> None:
    grids, params = write(tmp_path)
    text = grids.read_text().replace("    common: {seed: 1}\n", "    seeds: [0, 7]\n")
    grids.write_text(text)
    grid = load_grids(grids, params)["strength"]
    points = make_points("strength", grid, ORIGIN, params)
    assert [str(point) for point in points] == [
        "0, seed 0", "1, seed 0", "0, seed 7", "1, seed 7",
    ]  # fmt: skip
    assert [point.overrides for point in points[2:]] == [
        {"seed": 7}, {"ref_strength": 0.5, "seed": 7},
    ]  # fmt: skip
    assert [point.as_present for point in points] == [True, False, True, False]
    assert len({point.experiment for point in points}) == 4


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("seeds: [1, 1]", r"seeds \[1, 1\]: must all differ"),
        ("seeds: [1.5]", "strength.seeds"),
        ("seeds: [0]\n    common: {seed: 1}", "seeds: must be left out where common or a point"),
    ],
)
def test_wrong_seeds_are_told(tmp_path: Path, line: str, told: str) -> None:
    grids, params = write(tmp_path)
    grids.write_text(grids.read_text().replace("common: {seed: 1}", line))
    with pytest.raises(InputError, match=told):
        load_grids(grids, params)


def test_cases_that_set_the_swept_key_are_named(
    ours: dict[str, Grid], tmp_path: Path, root: Path
) -> None:
    text = (root / "data/cases.yaml").read_text()
    cases = tmp_path / "cases.yaml"
    cases.write_text(text.replace("overrides: {}", "overrides: {flowalign: {ref_rope: after}}", 1))
    assert len(unreached_cases(ours["ref_rope"], cases)) == 1
    assert unreached_cases(ours["ref_strength"], cases) == []


def test_overrides_set_dotted_keys_alone() -> None:
    params = {"a": {"b": 1, "c": 2}, "d": [1]}
    assert with_dotted_keys(params, {"a.b": None, "d": [2]}) == {"a": {"b": None, "c": 2}, "d": [2]}
    assert params == {"a": {"b": 1, "c": 2}, "d": [1]}


def test_names_follow_commit_changes_and_settings(tmp_path: Path) -> None:
    grids, params = write(tmp_path)
    grid = load_grids(grids, params)["strength"]
    one = make_points("strength", grid, ORIGIN, params)
    assert one == make_points("strength", grid, ORIGIN, params)
    assert [point.as_present for point in one] == [True, False]  # the common seed is left aside
    assert one[0].overrides == {"seed": 1}
    names = {point.experiment for point in one}
    for origin in (
        Origin(commit="e" * 40, changed=(), digest="d"),
        Origin(commit="c" * 40, changed=("x",), digest="f"),
    ):
        names |= {point.experiment for point in make_points("strength", grid, origin, params)}
    assert len(names) == 6


SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**9), 10**9),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=12),
    st.text("\\'\"a,[]=$ ", max_size=8),
)


@given(value=st.one_of(SCALARS, st.lists(SCALARS, max_size=4)))
@example(value="4-8")
@example(value="attn+adain")
@example(value="null")
def test_any_value_survives_the_grammar_of_dvc(value: Any) -> None:
    [parsed] = to_hydra_overrides([hydra_override("a.b", value)])
    assert not parsed.is_sweep_override()
    assert _plain(parsed.value()) == value


def _plain(value: Any) -> Any:
    if isinstance(value, QuotedString):
        return value.text
    return [_plain(item) for item in value] if isinstance(value, list) else value
