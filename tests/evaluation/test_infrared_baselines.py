import numpy as np
import pytest

from refract.evaluation.infrared.baselines import fit_baselines
from refract.evaluation.infrared.scenes import TrueScene

PX = 16


def _scene(name: str, daytime: str, seed: int, gain: float = 0.5, offset: float = 20) -> TrueScene:
    """A scene whose infrared picture is a linear function of its luma."""
    rng = np.random.default_rng(seed)
    gray = rng.integers(0, 256, (PX, PX), dtype=np.uint8)
    infrared = np.rint(gain * gray + offset).astype(np.uint8)
    semantic = np.zeros((PX, PX, 3), np.uint8)
    semantic[:, PX // 2 :] = (0, 0, 142)
    return TrueScene(name, daytime, np.repeat(gray[..., None], 3, -1), infrared, semantic)


def test_grayscale_and_its_inverse() -> None:
    scene = _scene("a", "day", 0)
    baselines = fit_baselines([])
    assert set(baselines) == {"grayscale", "inverted_grayscale"}
    np.testing.assert_array_equal(baselines["grayscale"](scene), scene.visible[..., 0])
    np.testing.assert_array_equal(
        baselines["inverted_grayscale"](scene), 255 - scene.visible[..., 0]
    )


def test_linear_fit_finds_each_time_of_days_own_line() -> None:
    training = [_scene(f"d{i}", "day", i, 0.5, 20) for i in range(3)]
    training += [_scene(f"n{i}", "night", 9 + i, -0.4, 200) for i in range(3)]
    fit = fit_baselines(training)["linear_grayscale"]
    for scene in (_scene("x", "day", 50, 0.5, 20), _scene("y", "night", 51, -0.4, 200)):
        assert np.abs(fit(scene).astype(int) - scene.infrared).max() <= 1


def test_linear_fit_is_numpys_least_squares() -> None:
    rng = np.random.default_rng(3)
    scene = _scene("a", "day", 3)
    noisy = np.clip(scene.infrared + rng.normal(0, 30, (PX, PX)), 0, 255).astype(np.uint8)
    scene = TrueScene("a", "day", scene.visible, noisy, scene.semantic)
    gain, offset = np.polyfit(scene.visible[..., 0].ravel().astype(float), noisy.ravel(), 1)
    expected = np.rint(np.clip(gain * scene.visible[..., 0] + offset, 0, 255))
    assert np.abs(fit_baselines([scene])["linear_grayscale"](scene) - expected).max() <= 1


def test_mean_infrared_is_of_the_same_time_of_day() -> None:
    training = [_scene(f"d{i}", "day", 10 + i) for i in (0, 1)]
    training += [_scene(f"n{i}", "night", i) for i in (0, 1)]
    fit = fit_baselines(training)["mean_infrared"]
    for daytime in ("day", "night"):
        own = [s.infrared for s in training if s.daytime == daytime]
        expected = np.rint(np.mean(own, axis=0))
        np.testing.assert_array_equal(fit(_scene("x", daytime, 99)), expected)


def test_a_time_of_day_training_never_saw_takes_all_of_it() -> None:
    training = [_scene("a", "day", 0), _scene("b", "day", 1)]
    fit = fit_baselines(training)["mean_infrared"]
    expected = np.rint(np.mean([s.infrared for s in training], axis=0))
    np.testing.assert_array_equal(fit(_scene("x", "night", 5)), expected)


def test_class_mean_looks_up_each_colour() -> None:
    scene = _scene("a", "day", 0)
    infrared = np.full((PX, PX), 40, np.uint8)
    infrared[:, PX // 2 :] = 180
    training = TrueScene("a", "day", scene.visible, infrared, scene.semantic)
    answer = fit_baselines([training])["class_mean"]
    mirrored = TrueScene("b", "day", scene.visible, infrared, scene.semantic[:, ::-1])
    np.testing.assert_array_equal(answer(mirrored), infrared[:, ::-1])
    unseen = TrueScene("c", "day", scene.visible, infrared, np.full((PX, PX, 3), 255, np.uint8))
    np.testing.assert_array_equal(answer(unseen), np.full((PX, PX), 110))


def test_without_semantic_maps_there_is_no_class_mean() -> None:
    scene = _scene("a", "day", 0)
    blank = TrueScene("a", "day", scene.visible, scene.infrared, np.zeros((PX, PX, 3), np.uint8))
    assert "class_mean" not in fit_baselines([blank])
    assert "class_mean" in fit_baselines([scene])


def test_baselines_never_see_the_test_truth() -> None:
    training = [_scene(f"d{i}", "day", i) for i in range(2)]
    scene = _scene("x", "day", 7)
    other_truth = TrueScene("x", "day", scene.visible, 255 - scene.infrared, scene.semantic)
    for name, answer in fit_baselines(training).items():
        np.testing.assert_array_equal(answer(scene), answer(other_truth), err_msg=name)


@pytest.mark.parametrize("name", ["grayscale", "linear_grayscale", "mean_infrared", "class_mean"])
def test_answers_are_single_channel_bytes(name: str) -> None:
    answer = fit_baselines([_scene("a", "day", 0)])[name](_scene("x", "day", 1))
    assert answer.dtype == np.uint8
    assert answer.shape == (PX, PX)


def test_one_gray_of_all_training_pictures_tells_no_gain() -> None:
    """A sum of roundings is no spread: the answer is the mean, whatever the luma."""
    scene = _scene("a", "day", 3)
    even = TrueScene("a", "day", np.full((PX, PX, 3), 77, np.uint8), scene.infrared, scene.semantic)
    answer = fit_baselines([even])["linear_grayscale"](_scene("x", "day", 5))
    assert np.ptp(answer) == 0 and abs(float(answer[0, 0]) - scene.infrared.mean()) <= 0.5
