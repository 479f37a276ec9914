import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from refract.base.errors import InputError
from refract.models.identity import model_identity
from refract.params.prepare_triptychs import PrepareTriptychs
from refract.triptychs.panels.manifest import read_manifest
from refract.triptychs.panels.triptych import split_triptych
from refract.triptychs.preparing.building import prepare_triptychs
from tests.tiny.segmenter import write_mask2former

SHARES = {"train": 0.6, "val": 0.2, "test": 0.2}


def settings(
    source: Path, semantic: str = "provided", model: Path | None = None, **changes: object
) -> PrepareTriptychs:
    values = {
        "source": str(source),
        "layout": "generic",
        "semantic": {"source": semantic, "model": model and str(model), "revision": None},
        "panel_px": 32,
        "split": SHARES,
        "prompt": "infrared",
    }
    return PrepareTriptychs.model_validate(values | changes)


def write_raw(root: Path, count: int = 10, side: tuple[int, int] = (40, 48)) -> Path:
    random = np.random.default_rng(0)
    for folder, channels in (("vis", (3,)), ("ir", ()), ("seg", (3,))):
        (root / folder).mkdir(parents=True)
        for index in range(count):
            pixels = random.integers(0, 256, (*side, *channels), np.uint8)
            Image.fromarray(pixels).save(root / folder / f"{index:03d}.png")
    return root


def panels(path: Path) -> tuple[np.ndarray, ...]:
    return split_triptych(np.asarray(Image.open(path)), name=str(path), panel_px=32)


def test_triptychs_manifest_and_info(tmp_path: Path) -> None:
    out = tmp_path / "out"
    prepare_triptychs(settings(write_raw(tmp_path / "raw")), 0, out)
    rows = read_manifest(out)
    assert len(rows) == 10
    assert sorted(row.split for row in rows) == ["test"] * 2 + ["train"] * 6 + ["val"] * 2
    assert rows[0].caption == "infrared"
    info = json.loads((out / "info.json").read_text())
    assert info["semantic_source"] == "provided"
    assert info["counts"] == {"train": 6, "val": 2, "test": 2}
    assert info["infrared_files"] == {"8-bit": 10}
    for row in rows:
        _, infrared, _ = panels(row.path(out))
        assert np.array_equal(infrared[..., 0], infrared[..., 2])


def test_the_same_settings_give_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = write_raw(tmp_path / "raw")
    for name in ("a", "b"):
        monkeypatch.setenv("REFRACT_STATE", str(tmp_path / name / "state"))  # nothing is reused
        prepare_triptychs(settings(raw), 0, tmp_path / name / "out")
    first, second = (
        {
            path.relative_to(tmp_path / name): path.read_bytes()
            for path in (tmp_path / name / "out").rglob("*")
            if path.is_file()
        }
        for name in ("a", "b")
    )
    assert first == second


def test_maps_keep_their_colours_and_other_panels_are_resampled(tmp_path: Path) -> None:
    raw = write_raw(tmp_path / "raw")
    prepare_triptychs(settings(raw), 0, tmp_path / "out")
    row = read_manifest(tmp_path / "out")[0]
    source = np.asarray(Image.open(raw / "seg" / row.semantic)).reshape(-1, 3)
    colours = panels(row.path(tmp_path / "out"))[2].reshape(-1, 3)
    assert {tuple(c) for c in colours} <= {tuple(c) for c in source}


def test_without_maps_the_third_panel_is_black(tmp_path: Path) -> None:
    raw = write_raw(tmp_path / "raw")
    prepare_triptychs(settings(raw, "none"), 0, tmp_path / "out")
    for row in read_manifest(tmp_path / "out"):
        assert not panels(row.path(tmp_path / "out"))[2].any()
        assert row.semantic == ""
    info = json.loads((tmp_path / "out" / "info.json").read_text())
    assert info["semantic_source"] == "none"


def test_a_segmenter_makes_the_maps(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    raw, out = write_raw(tmp_path / "raw"), tmp_path / "out"
    model = write_mask2former(tmp_path / "model")
    with caplog.at_level("INFO"):
        prepare_triptychs(settings(raw, "model", model), 0, out)
        first = {row.id: row.path(out).read_bytes() for row in read_manifest(out)}
        shares = {"train": 0.4, "val": 0.3, "test": 0.3}
        prepare_triptychs(settings(raw, "model", model, split=shares), 0, out)
    assert caplog.text.count("10 photos, 10 computed") == 1
    assert caplog.text.count("10 photos, 0 computed") == 1
    assert caplog.text.count("segmenting 10 photos") == 1  # loaded once
    rows = read_manifest(out)
    assert {row.id: row.path(out).read_bytes() for row in rows} == first
    assert any(panels(row.path(out))[2].any() for row in rows)
    assert all(row.semantic == "" for row in rows)
    info = json.loads((out / "info.json").read_text())
    identity = model_identity(str(model), None)
    assert info["semantic_source"] == f"model {model} ({identity})"
    assert info["semantic_model"]["identity"] == identity


def test_a_segmenter_takes_the_place_of_maps_and_borders(tmp_path: Path) -> None:
    model = write_mask2former(tmp_path / "model")
    for layout, raw in (
        ("msrs", write_msrs(tmp_path / "msrs")),
        ("dronevehicle", write_dronevehicle(tmp_path / "drone", 100)),
    ):
        out = tmp_path / f"{layout}_out"
        prepare_triptychs(settings(raw, "model", model, layout=layout), 0, out)
        info = json.loads((out / "info.json").read_text())
        assert "semantic_palette" not in info
        assert info.get("white_border", {}).keys() <= {"cropped"}
        assert any(panels(row.path(out))[2].any() for row in read_manifest(out))


def test_sixteen_bit_infrared_shares_one_range(tmp_path: Path) -> None:
    raw = write_raw(tmp_path / "raw", side=(32, 32))
    for index in range(10):
        values = np.full((32, 32), 10_000 + 100 * index, np.uint16)
        Image.fromarray(values).save(raw / "ir" / f"{index:03d}.png")
    prepare_triptychs(settings(raw), 0, tmp_path / "out")
    levels = {
        row.id: int(panels(row.path(tmp_path / "out"))[1][0, 0, 0])
        for row in read_manifest(tmp_path / "out")
    }
    assert levels["000"] == 0 and levels["009"] == 255
    assert [levels[f"{i:03d}"] for i in range(10)] == sorted(levels.values())
    info = json.loads((tmp_path / "out" / "info.json").read_text())
    assert info["infrared_16_bit_range"] == [10_000, 10_900]


def test_one_more_scene_builds_one_more(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    raw = write_raw(tmp_path / "raw")
    with caplog.at_level("INFO"):
        prepare_triptychs(settings(raw), 0, tmp_path / "out")
        for folder in ("vis", "ir", "seg"):
            path = raw / folder / "000.png"
            (raw / folder / "999.png").write_bytes(path.read_bytes())
        prepare_triptychs(settings(raw), 0, tmp_path / "out")
    assert "10 from the store, 1 built" in caplog.text
    assert len(read_manifest(tmp_path / "out")) == 11


def test_a_given_split_is_kept(tmp_path: Path) -> None:
    raw = write_raw(tmp_path / "raw", count=3)
    with (raw / "metadata.csv").open("w", newline="") as file:
        csv.writer(file).writerows(
            [
                ["file_name", "split", "sequence"],
                ["000.png", "test", "a"],
                ["001.png", "train", "b"],
                ["002.png", "val", "c"],
            ]
        )
    prepare_triptychs(settings(raw), 0, tmp_path / "out")
    assert [row.split for row in read_manifest(tmp_path / "out")] == ["test", "train", "val"]


def test_bad_raw_data_is_named_and_leaves_no_output(tmp_path: Path) -> None:
    out = tmp_path / "out"

    def message(raw: Path, **changes: object) -> str:
        with pytest.raises(InputError) as error:
            prepare_triptychs(settings(raw, **changes), 0, out)  # type: ignore[arg-type]
        assert not out.exists()
        return str(error.value)

    corrupt = write_raw(tmp_path / "corrupt")
    (corrupt / "vis" / "003.png").write_bytes(b"\x89PNG broken")
    assert f"{corrupt}/vis/003.png: not a readable picture" in message(corrupt)

    cut = write_raw(tmp_path / "cut")
    path = cut / "ir" / "004.png"
    path.write_bytes(path.read_bytes()[:500])
    assert str(path) in message(cut)

    other = write_raw(tmp_path / "other")
    Image.new("L", (48, 96)).save(other / "ir" / "002.png")
    assert "48 x 96 pixels, its visible picture has 48 x 40" in message(other)

    bare = write_raw(tmp_path / "bare")
    for path in (bare / "seg").iterdir():
        path.unlink()
    (bare / "seg").rmdir()
    assert "prepare_triptychs.semantic.source: none" in message(bare)

    leak = write_raw(tmp_path / "leak", count=2)
    (leak / "metadata.csv").write_text(
        "file_name,split,sequence\n000.png,train,a\n001.png,test,a\n"
    )
    assert "sequence a straddles splits" in message(leak)

    few = write_raw(tmp_path / "few", count=1)
    assert "stays empty" in message(few)


def test_the_content_hash_names_data_and_split(tmp_path: Path) -> None:
    raw = write_raw(tmp_path / "raw")

    def content(seed: int = 0, **changes: object) -> str:
        prepare_triptychs(settings(raw, **changes), seed, tmp_path / "out")  # type: ignore[arg-type]
        return str(json.loads((tmp_path / "out" / "info.json").read_text())["content_hash"])

    first = content()
    assert content() == first
    assert content(panel_px=64) == first  # of the data set, not of what it was made into
    assert content(semantic="none") != first
    assert content(seed=1) != first
    path = raw / "ir" / "003.png"
    Image.fromarray(255 - np.asarray(Image.open(path))).save(path)
    assert content() != first


def write_msrs(root: Path) -> Path:
    """Three-channel infrared in train, one channel in test; labels are class ids."""
    random = np.random.default_rng(0)
    stems = {"train": ["00001D", "00002D", "00400N", "00800N"], "test": ["00003D"]}
    for split, names in stems.items():
        for folder in ("vi", "ir", "Segmentation_labels"):
            (root / split / folder).mkdir(parents=True)
            (root / split / folder / "Thumbs").touch()
        for name in names:
            thermal = random.integers(0, 256, (32, 32), np.uint8)
            channels = (3,) if split == "train" else ()
            pictures = {
                "vi": random.integers(0, 256, (32, 32, 3), np.uint8),
                "ir": np.broadcast_to(thermal[..., None], (32, 32, 3)) if channels else thermal,
                "Segmentation_labels": random.integers(0, 9, (32, 32), np.uint8),
            }
            for folder, pixels in pictures.items():
                Image.fromarray(np.ascontiguousarray(pixels)).save(
                    root / split / folder / f"{name}.png"
                )
    return root


def test_msrs_from_folder_to_triptychs(tmp_path: Path) -> None:
    raw, out = write_msrs(tmp_path / "raw"), tmp_path / "out"
    prepare_triptychs(settings(raw, layout="msrs"), 0, out)
    rows = read_manifest(out)
    assert {row.split for row in rows} == {"train", "val", "test"}
    home = {row.id: row.split for row in rows}
    assert home["00001D"] == home["00002D"]  # one drive
    assert home["00003D"] == "test"
    for row in rows:
        visible, infrared, semantic = panels(row.path(out))
        folder = raw / ("test" if row.split == "test" else "train")
        assert np.array_equal(visible, np.asarray(Image.open(folder / "vi" / row.visible)))
        thermal = Image.open(folder / "ir" / row.infrared).convert("L")
        assert np.array_equal(infrared[..., 0], np.asarray(thermal))
        ids = np.asarray(Image.open(folder / "Segmentation_labels" / row.semantic))
        assert semantic[ids == 1].tolist() == [[128, 0, 0]] * int((ids == 1).sum())
        assert not semantic[ids == 0].any() and semantic[ids > 0].any(axis=-1).all()
    info = json.loads((out / "info.json").read_text())
    assert info["infrared_files"] == {"three equal channels": 4, "8-bit": 1}
    assert info["semantic_palette"]["person"] == [0, 128, 0]
    assert info["infrared_scaling"].startswith("8 bit: as stored")


def test_msrs_labels_that_are_no_ids_are_named(tmp_path: Path) -> None:
    raw = write_msrs(tmp_path / "raw")
    path = raw / "train" / "Segmentation_labels" / "00002D.png"
    Image.new("L", (32, 32), 9).save(path)
    with pytest.raises(InputError, match=rf"{path}: found ids 9 to 9, expected class ids 0"):
        prepare_triptychs(settings(raw, layout="msrs"), 0, tmp_path / "out")


def write_dronevehicle(root: Path, border: int) -> Path:
    random = np.random.default_rng(0)
    for split in ("train", "val", "test"):
        for folder, level in ((f"{split}img", 80), (f"{split}imgr", 40)):
            (root / split / folder).mkdir(parents=True)
            pixels = random.integers(0, level, (64, 80, 3), np.uint8)
            margin = ((border, border), (border, border), (0, 0))
            framed = np.pad(pixels, margin, constant_values=255)
            Image.fromarray(framed).save(root / split / folder / "00001.png")
    return root


@pytest.mark.parametrize(("border", "found"), [(100, "cropped"), (0, "not there")])
def test_dronevehicle_loses_its_white_border(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, border: int, found: str
) -> None:
    raw, out = write_dronevehicle(tmp_path / "raw", border), tmp_path / "out"
    prepare_triptychs(settings(raw, "none", layout="dronevehicle"), 0, out)
    rows = read_manifest(out)
    assert [(row.id, row.split) for row in rows] == [
        ("test_00001", "test"), ("train_00001", "train"), ("val_00001", "val")
    ]  # fmt: skip
    for row in rows:
        assert max(panel.max() for panel in panels(row.path(out))) < 100  # nothing is white
    assert json.loads((out / "info.json").read_text())["white_border"] == {found: 3}
    assert ("not all here do" in caplog.text) is (border == 0)


def test_a_table_from_file_to_triptychs(tmp_path: Path) -> None:
    raw = write_raw(tmp_path / "raw")
    lines = [f"vis/{i:03d}.png,ir/{i:03d}.png,seg/{i:03d}.png" for i in range(10)]
    (raw / "pairs.csv").write_text("\n".join(["src_img,edited_img,panoptic_img", *lines]))
    prepare_triptychs(settings(raw), 0, tmp_path / "folders")
    prepare_triptychs(settings(raw / "pairs.csv", layout="table"), 0, tmp_path / "table")
    for row in read_manifest(tmp_path / "folders"):
        assert (
            row.path(tmp_path / "folders").read_bytes() == row.path(tmp_path / "table").read_bytes()
        )


def test_roadscene_folder_of_real_pictures(shared: Path, tmp_path: Path) -> None:
    source = shared / "roadscene"
    if not source.is_dir():
        pytest.skip(f"no RoadScene pictures at {source}")
    out = tmp_path / "out"
    prepare_triptychs(settings(source, "none", layout="roadscene"), 0, out)
    rows = read_manifest(out)
    assert len(rows) == len(list((source / "visible").glob("*.jpg")))
    home: dict[str, str] = {}
    for row in rows:
        assert home.setdefault(row.sequence, row.split) == row.split
        panels(row.path(out))
    assert {"train", "val", "test"} == {row.split for row in rows}
