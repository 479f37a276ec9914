from pathlib import Path

import pytest

from refract.base.errors import InputError
from refract.params.cases import Case, load_cases, with_overrides
from refract.params.reference import VideoGrid
from refract.params.section import Section
from refract.params.whole import Params, load_stage_params

GOOD = "{video: a.mp4, source_prompt: a cup, target_prompt: a red cup}"


def load(tmp_path: Path, text: str) -> dict[str, Case]:
    file = tmp_path / "cases.yaml"
    file.write_text(text)
    return load_cases(file)


def test_the_real_cases(root: Path) -> None:
    cases = load_cases(root / "data/cases.yaml")
    assert len(cases) >= 16
    for name, case in cases.items():
        assert (root / case.video).is_file(), name


def test_optional_keys_may_be_left_out(tmp_path: Path) -> None:
    case = load(tmp_path, f"cases: {{cup-1: {GOOD}}}")["cup-1"]
    assert case.target_image is None and case.overrides == {}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("cases: {}", "cases = {}: must be a mapping"),
        ("case: {}", "case = {}: unknown key; did you mean cases?"),
        (f"cases: {{1: {GOOD}}}", "key 1: must be a string"),
        (f"cases: {{True: {GOOD}}}", "key True: must be a string"),
        (f"cases: {{Cup: {GOOD}}}", "case id 'Cup': must match [a-z]"),
        (f"cases: {{a.b: {GOOD}}}", "case id 'a.b': must match"),
        (f"cases: {{'a@b': {GOOD}}}", "case id 'a@b': must match"),
        (f"cases: {{'../a': {GOOD}}}", "case id '../a': must match"),
        (f"cases: {{a: {GOOD}, a: {GOOD}}}", "duplicate key"),
        ("cases: {a: 3}", "cases.a = 3: must be a mapping"),
        ("cases: {a: {video: v.mp4, source_prompt: ' ', target_prompt: t}}", "more than blanks"),
        ("cases: {a: {video: v.mp4, source_prompt: s, target_prompt: ''}}", "of 1 to 2000 char"),
        (f"cases: {{a: {{video: {'x' * 256}, source_prompt: s, target_prompt: t}}}}", "255"),
        ("cases: {a: {video: v.mp4, source_prompt: s}}", "cases.a.target_prompt: missing"),
        ("cases: {a: {video: '', source_prompt: s, target_prompt: t}}", "cases.a.video = ''"),
        ("cases: {a: {video: 3, source_prompt: s, target_prompt: t}}", "cases.a.video = 3"),
        (f"cases: {{a: {GOOD[:-1]}, promt: x}}}}", "cases.a.promt = 'x': unknown key"),
        (f"cases: {{a: {GOOD[:-1]}, first_frame_map: m.png}}}}", "only target_image: infer_ir"),
        (f"cases: {{a: {GOOD[:-1]}, overrides: {{zeta: 1}}}}}}", "cases.a.overrides.zeta"),
        (f"cases: {{a: {GOOD[:-1]}, overrides: {{size: 1}}}}}}", "size: this name is banned"),
    ],
)
def test_malformed_cases_are_input_errors(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(InputError) as caught:
        load(tmp_path, text)
    assert told in str(caught.value) and "\n" not in str(caught.value)


def case_with(overrides: dict[str, object]) -> Case:
    return Case(
        video="a.mp4", source_prompt="a", target_prompt="b", target_image=None, overrides=overrides
    )


def test_overrides_reach_into_sections_and_leave_the_rest(root: Path) -> None:
    params = load_stage_params(Params, root / "params.yaml")
    case = case_with({"ref_strength": 0.5, "flowalign": {"guidance": 7.5, "ref_steps": [0, 0.5]}})
    own = with_overrides(params, "cup", case)
    assert own.ref_strength == 0.5 and own.flowalign.guidance == 7.5
    assert own.flowalign.ref_steps == (0.0, 0.5) and own.flowalign.zeta == params.flowalign.zeta
    assert own.ir_adapter == params.ir_adapter
    assert with_overrides(params, "cup", case_with({})) is params


class Grid(Section):
    flowalign: VideoGrid


def test_a_stage_ignores_overrides_of_keys_it_does_not_read(root: Path) -> None:
    params = load_stage_params(Grid, root / "params.yaml")
    case = case_with({"ref_strength": 0.5, "flowalign": {"guidance": 7.5, "width": 128}})
    own = with_overrides(params, "cup", case)
    assert own.flowalign == params.flowalign.model_copy(update={"width": 128})


@pytest.mark.parametrize(
    "overrides",
    [{"flowalign": {"guidance": -1}}, {"flowalign": {"guidnce": 1}}, {"ref_strength": "much"}],
)
def test_bad_overrides_name_the_case(root: Path, overrides: dict[str, object]) -> None:
    params = load_stage_params(Params, root / "params.yaml")
    with pytest.raises(InputError, match=r"cases\.cup\.overrides: "):
        with_overrides(params, "cup", case_with(overrides))
