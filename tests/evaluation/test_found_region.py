import numpy as np
import pytest

from refract.evaluation.edits.found_region import changed_region

T, PX = 4, 40
RNG = np.random.default_rng(0)
SOURCE = RNG.integers(60, 190, (T, PX, PX, 3), np.uint8)
MOVING = np.zeros((T, PX, PX), bool)
for _frame in range(T):
    MOVING[_frame, 10:26, 4 + 3 * _frame : 20 + 3 * _frame] = True


def _edited(region: np.ndarray, by: float) -> np.ndarray:
    """The source with `region` lighter, and a little noise everywhere, as of an autoencoder."""
    noise = RNG.normal(0, 2, SOURCE.shape)
    return (SOURCE + noise + by * region[..., None]).clip(0, 255).astype(np.uint8)


def _overlap(found: np.ndarray | None, region: np.ndarray) -> float:
    assert found is not None
    return float((found & region).sum() / (found | region).sum())


@pytest.mark.parametrize("by", [25, 60])
def test_a_moving_change_is_found_frame_by_frame(by: float) -> None:
    assert _overlap(changed_region(_edited(MOVING, by), SOURCE), MOVING) > 0.75


def test_holes_count_and_smaller_changes_elsewhere_do_not() -> None:
    holed, apart = MOVING.copy(), MOVING.copy()
    for frame in range(T):
        holed[frame, 16:20, 10 + 3 * frame : 14 + 3 * frame] = False
    apart[:, 33:37, 3:7] = True
    for changed in (holed, apart):
        assert _overlap(changed_region(_edited(changed, 60), SOURCE), MOVING) > 0.75


def test_an_edit_that_changed_nothing_or_everything_tells_no_place() -> None:
    assert changed_region(SOURCE, SOURCE) is None
    assert changed_region(_edited(MOVING & False, 0), SOURCE) is None
    assert changed_region(np.full_like(SOURCE, 250), SOURCE) is None
