from typing import Any

import pytest

from refract.base.errors import InputError
from refract.params.infer_ir import InferIr
from refract.params.section import validate

REGION = [0.0, 0.25, 0.5, 1]
GOOD: dict[str, Any] = {
    "steps": 4, "guidance": None, "prompt": None, "match_training": True, "batch": 2,
    "input": None, "samples": 1, "bits": 8,
    "attention_maps": {"regions": None, "steps": [0], "scenes": 4},
}  # fmt: skip


def with_maps(**changes: Any) -> dict[str, Any]:
    return {"attention_maps": GOOD["attention_maps"] | {"regions": [REGION]} | changes}


def message(changes: dict[str, Any]) -> str:
    with pytest.raises(InputError) as caught:
        validate(InferIr, GOOD | changes, "params.yaml")
    return str(caught.value)


def test_lists_become_tuples() -> None:
    maps = validate(InferIr, GOOD | with_maps(steps=[3, 0]), "x").attention_maps
    assert maps.regions == ((0.0, 0.25, 0.5, 1.0),) and maps.steps == (3, 0)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"samples": 0}, "samples = 0: must be a whole number >= 1 and <= 64"),
        ({"samples": 65}, "samples = 65: must be"),
        ({"bits": 12}, "bits = 12: must be one of 8, 16"),
        ({"attention_maps": None}, "attention_maps = None: must be a mapping"),
        (with_maps(regions=[]), "attention_maps.regions = []: must be a list of 1 to 16"),
        (with_maps(regions=[[0, 0, 1]]), "attention_maps.regions[0] = [0, 0, 1]: must be a list"),
        (
            with_maps(regions=[REGION, [0, 0, 2, 1]]),
            "attention_maps.regions[1][2] = 2: must be a finite number >= 0 and <= 1",
        ),
        (
            with_maps(regions=[[0.5, 0, 0.5, 1]]),
            "attention_maps.regions[0] = [0.5, 0, 0.5, 1]: must be [x0, y0, x1, y1] with x0 < x1",
        ),
        (with_maps(steps=[-1]), "attention_maps.steps[0] = -1: must be a whole number >= 0"),
        (with_maps(steps=[0, 4]), "attention_maps.steps holds 4: with steps = 4 the last one is 3"),
        (with_maps(scenes=0), "attention_maps.scenes = 0: must be a whole number >= 1"),
        (with_maps(layers=[0]), "attention_maps.layers = [0]: unknown key"),
    ],
)
def test_what_is_wrong_is_named(changes: dict[str, Any], told: str) -> None:
    assert told in message(changes)


def test_steps_of_maps_that_are_not_made_may_be_any() -> None:
    validate(InferIr, GOOD | with_maps(regions=None, steps=[9]), "x")
