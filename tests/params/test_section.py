import re
from pathlib import Path
from typing import Annotated

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ConfigDict, Field

from refract.base.errors import InputError
from refract.params.section import Items, Section, Seed, check_banned_names, one_of, validate
from refract.params.whole import Params, load_stage_params


class Inner(Section):
    rate: Annotated[float, Field(gt=0, le=1)]
    levels: Annotated[Items[Annotated[float, Field(ge=0, le=1)]], Field(min_length=1)]


class Outer(Section):
    count: Annotated[int, Field(ge=1, le=9)]
    heads: Annotated[int, one_of(1, 2, 4)]
    name: str | None
    flag: bool
    names: str | Items[str]
    inner: Inner


class Part(Section):
    model_config = ConfigDict(extra="ignore")
    count: int


GOOD = {
    "count": 3, "heads": 2, "name": None, "flag": True, "names": "a",
    "inner": {"rate": 1, "levels": [0, 0.5]},
}  # fmt: skip


def message(changes: dict[str, object], drop: str = "") -> str:
    values = {key: value for key, value in (GOOD | changes).items() if key != drop}
    with pytest.raises(InputError) as caught:
        validate(Outer, values, "params.yaml")
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_whole_numbers_pass_for_fractions_and_lists_become_tuples() -> None:
    outer = validate(Outer, GOOD, "x")
    assert outer.inner.rate == 1.0 and isinstance(outer.inner.rate, float)
    assert outer.inner.levels == (0.0, 0.5)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"count": 0}, "count = 0: must be a whole number >= 1 and <= 9"),
        ({"count": True}, "count = True: must be a whole number"),
        ({"count": 3.0}, "count = 3.0: must be a whole number"),
        ({"count": "3"}, "count = '3': must be a whole number"),
        ({"heads": 3}, "heads = 3: must be one of 1, 2, 4"),
        ({"heads": True}, "heads = True: must be"),
        ({"name": 1}, "name = 1: must be a string or null"),
        ({"flag": 1}, "flag = 1: must be true or false"),
        ({"flag": "yes"}, "flag = 'yes': must be true or false"),
        ({"names": 3}, "names = 3: must be a string or a list of values, each a string"),
        ({"names": [3]}, "names = [3]: must be a string or a list"),
        ({"inner": None}, "inner = None: must be a mapping"),
        ({"coutn": 3}, "coutn = 3: unknown key; did you mean count?"),
        ({"zzz": 3}, "zzz = 3: unknown key; allowed are count, heads"),
        ({"inner": {"rate": 0, "levels": [1]}}, "inner.rate = 0: must be a finite number > 0"),
        ({"inner": {"rate": True, "levels": [1]}}, "inner.rate = True: must be a finite number"),
        ({"inner": {"rate": 1, "levels": []}}, "inner.levels = []: must be a list of at least 1"),
        (
            {"inner": {"rate": 1, "levels": [2]}},
            "inner.levels[0] = 2: must be a finite number >= 0",
        ),
        ({"inner": {"rate": 1, "levels": 0.5}}, "inner.levels = 0.5: must be a list"),
        ({"inner": {"rate": 1}}, "inner.levels: missing; must be a list"),
    ],
)
def test_errors_name_key_value_and_what_is_allowed(changes: dict[str, object], told: str) -> None:
    assert told in message(changes)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_numbers_must_be_finite(value: float) -> None:
    assert "must be a finite number" in message({"inner": {"rate": value, "levels": [0]}})


def test_missing_key_and_count_of_errors() -> None:
    assert "count: missing; must be a whole number" in message({}, drop="count")
    assert message({"heads": 3, "flag": 3}, drop="count").endswith("(and 2 more)")


def test_branches_of_a_union_are_one_error() -> None:
    assert "more" not in message({"names": [3]})


def test_long_values_are_cut() -> None:
    assert len(message({"count": "x" * 10_000})) < 200


def test_sections_are_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        validate(Outer, GOOD, "x").count = 4


@pytest.mark.parametrize("name", ["size", "nfiles"])
def test_banned_names_cannot_be_declared_or_given(name: str) -> None:
    with pytest.raises(TypeError, match="banned"):
        type("Bad", (Section,), {"__annotations__": {name: int}})
    for values in ({name: 1}, {"a": {name: 1}}, {"a": [{"b": {name: 1}}]}):
        with pytest.raises(InputError, match=rf"{name}: this name is banned"):
            check_banned_names("params.yaml", values)


def test_a_part_ignores_the_rest_of_its_section() -> None:
    assert validate(Part, GOOD, "x").count == 3


@given(st.floats(allow_nan=True, allow_infinity=True) | st.integers())
def test_a_bound_holds_for_every_number(value: float) -> None:
    values = GOOD | {"inner": {"rate": value, "levels": [0]}}
    if 0 < value <= 1:
        assert validate(Outer, values, "x").inner.rate == value
    else:
        with pytest.raises(InputError, match=r"inner\.rate = "):
            validate(Outer, values, "x")


class OnlySeed(Section):
    seed: Seed


def test_a_stage_reads_its_own_keys_of_the_real_file(root: Path, tmp_path: Path) -> None:
    seed = load_stage_params(OnlySeed, root / "params.yaml").seed
    text = (root / "params.yaml").read_text()
    broken = tmp_path / "params.yaml"
    broken.write_text(re.sub(r"\n  zeta: \S+", "\n  zeta: 5", text))
    assert load_stage_params(OnlySeed, broken).seed == seed, "another section is not its business"
    with pytest.raises(InputError, match=r"flowalign\.zeta = 5"):
        load_stage_params(Params, broken)
    broken.write_text(text + "\nref_strenght: 0.5\n")
    with pytest.raises(
        InputError, match=r"ref_strenght = 0\.5: unknown key; did you mean ref_strength"
    ):
        load_stage_params(OnlySeed, broken)
