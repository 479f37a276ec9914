import pytest
from hypothesis import given
from hypothesis import strategies as st

from refract.infrared.training.schedule import Schedule

lengths = st.integers(0, 50)


@given(warmup=lengths, main=lengths, finetune=st.integers(1, 50), floor=st.floats(0.01, 1))
def test_factors_rise_stay_and_fall(warmup: int, main: int, finetune: int, floor: float) -> None:
    schedule = Schedule(warmup, main, finetune, floor)
    factors = [schedule.factor(step) for step in range(warmup + main + finetune)]
    assert factors[:warmup] == sorted(factors[:warmup])
    assert all(factor == 1 for factor in factors[warmup : warmup + main])
    falling = factors[warmup + main :]
    assert falling == sorted(falling, reverse=True)
    assert falling[-1] == pytest.approx(floor)
    assert all(0 < factor <= 1 for factor in factors)


def test_phases() -> None:
    schedule = Schedule(2, 1, 2, 0.1)
    phases = [schedule.phase(step) for step in range(5)]
    assert phases == ["warmup", "warmup", "main", "finetune", "finetune"]
    assert schedule.factor(0) == 0.5
    assert schedule.factor(1) == 1.0
