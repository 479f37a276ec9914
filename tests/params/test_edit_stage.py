"""Settings of the edit: what is refused, and that settings survive being written out."""

import copy
import warnings
from pathlib import Path
from typing import Any

import pytest

from refract.base.errors import InputError
from refract.params.edit_stage import EditParams
from refract.params.section import validate
from refract.params.whole import Params, load_stage_params


@pytest.fixture(scope="module")
def document(root: Path) -> dict[str, Any]:
    return load_stage_params(Params, root / "params.yaml").model_dump()


def changed(document: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """`document` with other values at dotted keys (`__` for a dot)."""
    result = copy.deepcopy(document)
    for path, value in changes.items():
        *parents, last = path.split("__")
        section = result
        for parent in parents:
            section = section[parent]
        section[last] = value
    return result


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"ref_layers": "early"}, "ref_layers = 'early': must be all, middle, deep, a range"),
        ({"ref_layers": [-1]}, "ref_layers = [-1]: must be all"),
        ({"ref_layers": [1, 1]}, "each once"),
        ({"ref_mode": "blend"}, "ref_mode = 'blend': must be one of joint, concat_scaled"),
        ({"ref_branches": "both"}, "must be one of target, edited, all, guided"),
        ({"ref_strength": -1.0}, "ref_mode = 'joint': knows no ref_strength below 0, but it is -1"),
        ({"ref_strength": 11.0}, "ref_strength = 11.0: must be a finite number"),
        ({"ref_strength": float("nan")}, "ref_strength = nan: must be a finite number"),
        ({"flowalign__sampler": "ddim"}, "must be one of flowalign, flowedit, sdedit, vace"),
        ({"flowalign__ref_rope": "mid"}, "must be one of before, frame0, after, none"),
        ({"flowalign__ref_frame_schedule": "rise"}, "must be constant or a list of 2 to 64"),
        ({"flowalign__ref_frame_schedule": [1.0]}, "must be constant or a list of 2 to 64"),
        ({"flowalign__ref_frame_schedule": [1.0, -1.0]}, "each 0 to 10"),
        ({"flowalign__ref_frame_schedule": [1.0, True]}, "each 0 to 10"),
        ({"flowalign__window__frames": 16}, "flowalign.window.frames = 16: must be 4k + 1"),
        ({"flowalign__window__overlap": 6}, "flowalign.window.overlap = 6: must be"),
        (
            {"flowalign__window__frames": 17, "flowalign__window__overlap": 16},
            "flowalign.window: overlap = 16: must be less than the frames that a window adds, with "
            "frames = 17 at most 12",
        ),
        ({"flowalign__region__words": []}, "flowalign.region.words = []"),
        ({"flowalign__region__words": "mug"}, "flowalign.region.words = 'mug': must be a list"),
        ({"flowalign__region__zeta_outside": 2.0}, "flowalign.region.zeta_outside = 2.0"),
        ({"flowalign__region__layers": "x"}, "flowalign.region.layers = 'x'"),
        ({"flowalign__region__threshold": -0.1}, "flowalign.region.threshold = -0.1"),
        ({"flowalign__vace__path": ""}, "flowalign.vace.path = ''"),
        (
            {"flowalign__baselines__samplers": ["vace"]},
            "flowalign.baselines.samplers[0] = 'vace': must be one of flowedit, sdedit",
        ),
        ({"flowalign__baselines__samplers": "sdedit"}, "flowalign.baselines.samplers = 'sdedit'"),
        (
            {"flowalign__baselines__samplers": ["sdedit", "sdedit"]},
            "flowalign.baselines.samplers = ['sdedit', 'sdedit']: must name each sampler once",
        ),
        (
            {"flowalign__baselines__flowedit__strength": 0.0},
            "flowalign.baselines.flowedit.strength = 0.0: must be a finite number > 0 and <= 1",
        ),
        (
            {"flowalign__baselines__flowedit__source_guidance": 101.0},
            "flowalign.baselines.flowedit.source_guidance = 101.0",
        ),
        (
            {"flowalign__baselines__sdedit__guidance": float("nan")},
            "flowalign.baselines.sdedit.guidance = nan: must be a finite number",
        ),
        (
            {"flowalign__baselines__sdedit__source_guidance": 1.0},
            "flowalign.baselines.sdedit.source_guidance = 1.0: unknown key",
        ),
        (
            {"flowalign__steps": 4, "flowalign__baselines__sdedit__strength": 0.1},
            "flowalign: baselines.sdedit.strength = 0.1 with steps = 4 leaves no step to run",
        ),
        ({"flowalign__ref_guidance": -1.0}, "flowalign.ref_guidance = -1.0"),
        ({"flowalign__negative_prompt": 3}, "flowalign.negative_prompt = 3: must be a string"),
    ],
)
def test_bad_settings_are_one_line(
    document: dict[str, Any], change: dict[str, Any], told: str
) -> None:
    own = changed(document, **change)
    for kind in (Params, EditParams):
        values = {key: value for key, value in own.items() if key in kind.model_fields}
        with pytest.raises(InputError) as caught:
            validate(kind, values, "params.yaml")
        assert told in str(caught.value) and "\n" not in str(caught.value)


def test_settings_survive_being_written_out(document: dict[str, Any]) -> None:
    own = changed(
        document,
        ref_layers=[1, 2],
        ref_mode="refdrop",
        ref_strength=-0.5,
        flowalign__ref_frame_schedule=[1.0, 0.5],
        flowalign__region__words=["red mug"],
    )
    params = validate(Params, own, "params.yaml")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        written = params.model_dump(mode="json")
    assert validate(Params, written, "params.yaml") == params
    assert validate(Params, changed(document, ref_layers=[]), "params.yaml").ref_layers == ()
