import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refract.base.errors import InputError
from refract.editing.samplers.noise_levels import edit_sigmas


def test_whole_schedule_without_shift() -> None:
    assert edit_sigmas(4, 1.0, 1.0) == (1.0, 0.75, 0.5, 0.25, 0.0)


def test_published_wan_settings_run_35_of_50_steps() -> None:
    assert len(edit_sigmas(50, 0.7, 3.0)) == 35 + 1


def test_shift_formula() -> None:
    assert edit_sigmas(2, 1.0, 3.0)[1] == pytest.approx(3 * 0.5 / (1 + 2 * 0.5))


@given(st.integers(1, 200), st.floats(0.3, 1), st.floats(0.1, 20))
def test_descends_from_at_most_one_to_zero(steps: int, strength: float, shift: float) -> None:
    if round(steps * strength) < 1:
        return
    sigmas = edit_sigmas(steps, strength, shift)
    assert len(sigmas) == round(steps * strength) + 1
    assert sigmas[0] <= 1 + 1e-12 and sigmas[-1] == 0
    assert all(high > low for high, low in itertools.pairwise(sigmas))


def test_no_step_left_is_an_error_naming_both_keys() -> None:
    with pytest.raises(InputError, match=r"flowalign\.strength = 0\.01.*flowalign\.steps = 10"):
        edit_sigmas(10, 0.01, 1.0)
