import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refract.evaluation.infrared.class_error import ClassErrors, class_errors
from refract.evaluation.infrared.semantic_classes import find_classes
from refract.evaluation.measures.bootstrap import Resampling

RED, BLUE, GREEN = (200, 0, 0), (0, 0, 200), (0, 200, 0)
DRAWN = Resampling(resamples=200)


def _errors(seed: int, scenes: int = 5) -> tuple[ClassErrors, np.ndarray, np.ndarray, np.ndarray]:
    """Errors of random pictures, and the pictures, truths and maps `[scenes, 6, 6]`."""
    rng = np.random.default_rng(seed)
    pictures, truths = rng.integers(0, 256, (2, scenes, 6, 6), np.uint8)
    maps = np.array([RED, BLUE, GREEN], np.uint8)[rng.integers(0, 3, (scenes, 6, 6))]
    classes = find_classes(list(maps))
    return (
        class_errors({"run": list(pictures)}, truths, list(maps), classes),
        pictures,
        truths,
        maps,
    )


def by_class(errors: ClassErrors) -> np.ndarray:
    """Mean absolute error of the run `[classes]`; nan for a class not there."""
    with np.errstate(invalid="ignore"):
        return errors.absolute["run"].sum(0) / errors.pixels.sum(0)


@settings(max_examples=15)
@given(st.integers(0, 10_000))
def test_each_class_is_the_plain_mean_over_its_pixels_of_all_scenes(seed: int) -> None:
    errors, pictures, truths, maps = _errors(seed)
    off = np.abs(pictures.astype(float) - truths) / 255
    for name, value in zip(errors.names, by_class(errors), strict=True):
        colour = [int(name[i : i + 2], 16) for i in (1, 3, 5)]
        assert value == pytest.approx(off[(maps == colour).all(-1)].mean())
    weights = errors.pixels.sum(0) / errors.pixels.sum()
    assert by_class(errors) @ weights == pytest.approx(off.mean()), "together they are l1"


def test_intervals_hold_their_mean_and_repeat() -> None:
    errors, *_ = _errors(3)
    for place in range(3):
        found = errors.class_interval("run", place, DRAWN)
        assert found is not None and found.low < found.mean < found.high
        assert found.mean == pytest.approx(by_class(errors)[place])
        assert found == errors.class_interval("run", place, DRAWN)
    macro = errors.macro_interval("run", DRAWN)
    assert macro is not None and macro.low < macro.mean < macro.high
    assert macro.mean == pytest.approx(by_class(errors).mean())
    assert macro != errors.macro_interval("run", Resampling(200, seed=1))


def test_a_small_class_that_is_wrong_weighs_as_much_as_a_large_one() -> None:
    colours = np.full((20, 20, 3), RED, np.uint8)
    colours[0, :4] = BLUE  # four pedestrian pixels of 400
    truth = np.full((20, 20), 100, np.uint8)
    truth[0, :4] = 200
    plain = np.full((20, 20), 100, np.uint8)  # the pedestrian is missing
    errors = class_errors({"run": [plain]}, [truth], [colours], find_classes([colours]))
    assert np.abs(plain.astype(float) - truth).mean() / 255 < 0.005
    macro = errors.macro_interval("run", DRAWN)
    assert macro is not None and macro.mean == pytest.approx(100 / 255 / 2)
    assert (macro.low, macro.high) == (macro.mean, macro.mean), "one scene has no spread"


def test_a_class_of_few_scenes_has_no_say_in_a_draw_without_it() -> None:
    pixels = np.array([[10.0, 5.0], [10.0, 0.0], [10.0, 0.0]])
    absolute = {"run": np.array([[1.0, 2.5], [1.0, 0.0], [1.0, 0.0]])}
    errors = ClassErrors(("a", "b"), "", pixels, absolute)
    assert by_class(errors).tolist() == pytest.approx([0.1, 0.5])
    macro = errors.macro_interval("run", DRAWN)
    assert macro is not None
    assert (macro.low, macro.mean, macro.high) == pytest.approx((0.1, 0.3, 0.3))
    rare = errors.class_interval("run", 1, DRAWN)
    assert rare is not None and rare.count == 1


def test_some_scenes_only() -> None:
    errors, pictures, truths, _ = _errors(4)
    part = errors.of_scenes([1, 3])
    off = np.abs(pictures.astype(float) - truths)[[1, 3]] / 255
    assert part.absolute["run"].sum() == pytest.approx(off.sum())
    none = errors.of_scenes([])
    assert none.macro_interval("run", DRAWN) is None
    assert np.isnan(by_class(none)).all()
