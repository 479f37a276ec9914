"""The street world: deterministic, aligned, and infrared that photos alone do not give away."""

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from backbones.image.bank import TRAIN_SEED, base_bank, infrared_bank
from backbones.worlds import street, street_fields
from backbones.worlds.street_layout import CLASSES, SUPERSAMPLING, Layout
from backbones.worlds.write_street import COLUMNS, SPLITS, write_dataset

DRAWERS = (street.visible, street.relit, street.infrared, street.semantic, street.labels)
TERRAIN = CLASSES.index("terrain")
LUMA = np.array([0.299, 0.587, 0.114])


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    return float(-10 * np.log10(np.square((a.astype(float) - b) / 255).mean()))


@pytest.mark.parametrize("draw", DRAWERS)
def test_same_seed_same_image_whatever_was_drawn_before(
    draw: Callable[[Layout], NDArray[np.uint8]],
) -> None:
    layout = street.street(11, night=True)
    for other in DRAWERS:
        other(layout)
    np.testing.assert_array_equal(draw(layout), draw(street.street(11, night=True)))


def test_other_seed_or_daytime_is_another_scene() -> None:
    day = street.visible(street.street(11, night=False))
    assert (day != street.visible(street.street(12, night=False))).mean() > 0.5
    assert day.mean() > 3 * street.visible(street.street(11, night=True)).mean()


def test_shapes_and_types() -> None:
    layout = street.street(3, night=False, panel_px=64)
    for draw in (street.visible, street.relit, street.semantic):
        assert draw(layout).shape == (64, 64, 3)
        assert draw(layout).dtype == np.uint8
    assert street.infrared(layout).shape == (64, 64)
    assert layout.ids.shape == (64 * SUPERSAMPLING, 64 * SUPERSAMPLING)


def test_semantic_colour_is_nearest_to_its_own_class() -> None:
    for seed in range(4):
        layout = street.street(seed, night=False)
        colours = street.semantic(layout).astype(float)
        distance = np.square(colours[:, :, None] - street.PALETTE).sum(-1)  # [H, W, classes]
        np.testing.assert_array_equal(distance.argmin(-1), street.labels(layout))


def test_people_are_warmer_than_what_surrounds_them_at_night() -> None:
    person = CLASSES.index("person")
    for seed in range(1, 13, 2):
        layout = street.street(seed, night=True)
        here = street.labels(layout) == person
        if here.sum() > 30:
            image = street.infrared(layout)
            assert image[here].mean() > image[~here].mean() + 60


def test_no_simple_answer_comes_near_the_infrared() -> None:
    """Grayscale says nothing, the mean image little, and the mean of each class not much more."""
    layouts = [street.street(seed, night=seed % 2 == 1) for seed in range(100)]
    truth = np.stack([street.infrared(layout) for layout in layouts])
    labels = np.stack([street.labels(layout) for layout in layouts])
    train, test = np.arange(100) < 70, np.arange(100) >= 70
    for odd in (0, 1):
        time = np.arange(100) % 2 == odd
        mean_image = truth[train & time].mean(0)
        by_class = [
            truth[train & time][labels[train & time] == label].mean()
            for label in range(len(CLASSES))
        ]
        rows = np.flatnonzero(test & time)
        gray = np.mean([psnr(street.visible(layouts[i]) @ LUMA, truth[i]) for i in rows])
        mean = np.mean([psnr(mean_image, truth[i]) for i in rows])
        lookup = np.mean([psnr(np.array(by_class)[labels[i]], truth[i]) for i in rows])
        assert gray < 13 < mean < lookup < 19.5


def test_infrared_uses_its_range_without_clipping() -> None:
    images = np.stack([street.infrared(street.street(i, night=i % 2 == 1)) for i in range(24)])
    assert ((images == 0) | (images == 255)).mean() < 0.02
    low, high = np.quantile(images, (0.02, 0.98))
    assert high - low > 150


def _in_weather(kind: str, *, night: bool) -> list[Layout]:
    layouts = (street.street(seed, night=night) for seed in range(40))
    return [layout for layout in layouts if layout.weather.kind == kind]


@pytest.mark.parametrize("night", [False, True])
def test_weather_shows_in_the_photo_and_acts_on_the_ground(night: bool) -> None:
    """Snow is bright and cold, in the dark too."""
    means = {}
    for kind in ("clear", "snow", "wet"):
        grounds = [
            (layout, street.labels(layout) == TERRAIN) for layout in _in_weather(kind, night=night)
        ]
        luma = [(street.visible(layout) @ LUMA)[ground].mean() for layout, ground in grounds]
        heat = [street.infrared(layout)[ground].mean() for layout, ground in grounds]
        means[kind] = (np.mean(luma), np.mean(heat))
    assert means["snow"][0] > 1.3 * max(means["clear"][0], means["wet"][0])
    assert means["snow"][1] < min(means["clear"][1], means["wet"][1]) - 20


def test_sunlit_road_is_brighter_and_hotter_than_its_shadow() -> None:
    seen = 0
    for layout in _in_weather("clear", night=False):
        s = SUPERSAMPLING
        shade = street_fields.shade(layout)[::s, ::s]
        road = street.labels(layout) == CLASSES.index("road")
        dark, lit = road & (shade > 0.99), road & (shade < 0.01)
        if min(dark.sum(), lit.sum()) > 300:
            seen += 1
            for image in (street.visible(layout) @ LUMA, street.infrared(layout)):
                assert image[lit].mean() > image[dark].mean() + 10
    assert seen > 1


def test_relit_shows_the_same_weather() -> None:
    """Snow seen at night is snow by day."""
    for layout in _in_weather("snow", night=True)[:3]:
        ground = street.labels(layout) == TERRAIN
        assert street.relit(layout)[ground].mean() > 100


def test_relit_shows_the_same_scene_at_the_other_time_of_day() -> None:
    night = street.street(7, night=True)
    twin = street.relit(night)
    assert twin.mean() > 3 * street.visible(night).mean()
    edges = np.abs(np.diff(street.labels(night).astype(int), axis=1)) > 0
    steps = np.abs(np.diff(twin @ LUMA, axis=1))
    assert steps[edges].mean() > 2 * steps[~edges].mean()


def test_dataset_on_disk(tmp_path: Path) -> None:
    write_dataset(tmp_path / "street", {"train": 2, "val": 1, "test": 1})
    with (tmp_path / "street" / "metadata.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == COLUMNS
    assert [row["split"] for row in rows] == ["train", "train", "val", "test"]
    for number, row in enumerate(rows):
        stem = Path(row["file_name"]).stem
        assert row["daytime"] == {"D": "day", "N": "night"}[stem[-1]]
        layout = street.street(number, night=stem[-1] == "N")
        infrared = np.asarray(Image.open(tmp_path / "street" / "infrared" / f"{stem}.png"))
        np.testing.assert_array_equal(infrared, street.infrared(layout))
        photo = np.asarray(Image.open(tmp_path / "street" / "visible" / row["file_name"]))
        assert psnr(photo, street.visible(layout)) > 33


def test_sample_seeds_never_meet_training_seeds() -> None:
    assert sum(SPLITS.values()) < TRAIN_SEED


def test_the_base_bank_never_draws_infrared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def drawn(layout: object) -> None:
        raise AssertionError("infrared was drawn for the base")

    monkeypatch.setattr(street, "infrared", drawn)
    bank = base_bank(tmp_path, TRAIN_SEED, 2)
    assert set(bank) == {"visible", "relit", "semantic", "labels", "night"}
    with pytest.raises(AssertionError, match="infrared was drawn"):
        infrared_bank(tmp_path, TRAIN_SEED, 2)
