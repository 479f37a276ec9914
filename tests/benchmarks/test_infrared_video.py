"""The parts of the benchmark of infrared videos that need no model."""

import numpy as np
import pytest

from benchmarks.infrared_video import (
    changed,
    choose_pictures,
    look,
    measure,
    parse_setting,
    plan_pan,
    report,
    shared_change,
)
from refract.base.errors import InputError


def test_a_pan_moves_steadily_and_stays_in_the_picture() -> None:
    directions = set()
    for seed in range(60):
        windows = np.array(plan_pan((32, 40), 17, np.random.default_rng(seed)))
        assert windows.min() >= 0 and (windows.max(0) <= (32, 40)).all()
        (step,) = np.unique(np.diff(windows, axis=0), axis=0)
        assert set(np.abs(step)) <= {0, 2} and step.any()
        directions.add(tuple(step))
    assert len(directions) == 8
    with pytest.raises(ValueError, match="18 frames at 2 px need 34 px of room, there are"):
        plan_pan((33, 40), 18, np.random.default_rng(0))


def test_a_clip_is_what_the_window_sees() -> None:
    picture = np.arange(48).reshape(6, 8).astype(np.uint8)
    windows = plan_pan((2, 4), 2, np.random.default_rng(1))
    frames = look(picture, windows, 4, 4)
    assert frames.shape == (2, 4, 4)
    for frame, (top, left) in zip(frames, windows, strict=True):
        assert frame[0, 0] == picture[top, left] and frame[-1, -1] == picture[top + 3, left + 3]


def test_pictures_are_of_the_test_split_by_day_and_by_night() -> None:
    stems = choose_pictures(8, 0)
    assert len(set(stems)) == 8 and sum(stem.endswith("N") for stem in stems) == 4
    assert choose_pictures(8, 0) == stems != choose_pictures(8, 1)
    assert len(choose_pictures(1000, 0)) == 48


def test_settings_are_read_as_yaml_and_must_exist() -> None:
    params = {"ref_layers": "all", "flowalign": {"zeta": 0.1}}
    found = changed(params, ["ref_layers=4-8", "flowalign.zeta=1e-3"])
    assert found == {"ref_layers": "4-8", "flowalign": {"zeta": 1e-3}}
    assert parse_setting("x=[0, 1]") == ("x", [0, 1])
    for key in ("zeta", "flowalign.zet", "flow.zeta", "ref_layers.a"):
        with pytest.raises(InputError, match=r"--set: params.yaml has no"):
            changed(params, [f"{key}=0"])
    with pytest.raises(ValueError, match="KEY=VALUE"):
        parse_setting("flowalign.zeta")


def test_the_truth_scores_highest_and_gray_has_no_chroma() -> None:
    random = np.random.default_rng(0)
    gray = random.integers(0, 256, (2, 16, 16, 1), np.uint8).repeat(3, -1)
    colour = random.integers(0, 256, (2, 16, 16, 3), np.uint8)
    level, likeness, motion, chroma, overlap = measure(gray, gray, gray[0])
    assert (level, likeness, motion) == (100, pytest.approx(1), pytest.approx(1))
    assert chroma < 0.01 and overlap > 0.8
    other = measure(colour, gray, gray[0])
    assert other[0] < 20 and other[1] < 0.5 and abs(other[2]) < 0.3
    assert other[3] > 20 and other[4] < overlap


def test_what_does_not_move_shares_no_change() -> None:
    truth = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 3), np.uint8)
    assert shared_change(truth[[0, 0, 0]], truth) == 0
    assert shared_change(255 - truth, truth) == pytest.approx(-1)


def test_a_report_has_a_row_for_every_variant() -> None:
    truth = np.full((2, 16, 16, 3), 90, np.uint8)
    result = {"source": truth + np.uint8(60), "reference, held still": truth}
    lines = report([result, result], [truth, truth]).splitlines()
    assert [line.split("|")[1].strip() for line in lines[2:5]] == [*result, "true infrared"]
    assert "12.6 [12.6, 12.6]" in lines[2] and lines[-1].endswith(
        "PSNR 100 [100, 100] dB, SSIM 1 [1, 1]"
    )
