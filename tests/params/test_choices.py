"""What params.yaml lets one choose is what there is: the tables of the rooms above say what."""

from collections.abc import Mapping
from typing import Any, get_args

import pytest

from refract.editing.reference.modes import INJECTIONS
from refract.editing.samplers.registry import SAMPLERS
from refract.params.flowalign import Baselines, BaselineSampler, FlowAlign
from refract.params.reference import RefMode, RefStrength
from refract.params.section import Section


class Knobs(Section):
    ref_strength: RefStrength
    ref_mode: RefMode


@pytest.mark.parametrize(
    ("choices", "table"),
    [
        (FlowAlign.model_fields["sampler"].annotation, {**SAMPLERS, "vace": None}),
        (get_args(RefMode)[0], INJECTIONS),
    ],
    ids=["flowalign.sampler", "ref_mode"],
)
def test_each_choice_has_an_entry_and_each_entry_is_a_choice(
    choices: Any, table: Mapping[str, Any]
) -> None:
    assert set(get_args(choices)) == table.keys()


def test_each_baseline_has_settings_of_its_own() -> None:
    assert Baselines.model_fields.keys() - {"samplers"} == set(get_args(BaselineSampler))


@pytest.mark.parametrize("mode", INJECTIONS)
def test_a_negative_strength_is_of_the_signed_modes_alone(mode: str) -> None:
    facts = {"ref_strength": -1.0, "ref_mode": mode}
    if INJECTIONS[mode].signed:
        assert Knobs.model_validate(facts).ref_mode == mode
    else:
        with pytest.raises(ValueError, match="below 0"):
            Knobs.model_validate(facts)
