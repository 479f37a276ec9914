"""Importers on miniature folders of each data set; they look at names only, so files are empty."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import get_args

import pytest

from refract.base.errors import InputError
from refract.media.class_palette import MSRS_PALETTE
from refract.params.prepare_triptychs import Layout
from refract.triptychs.layouts.pairing import RawItem
from refract.triptychs.layouts.registry import LAYOUTS, import_items


def touch(root: Path, folder: str, names: Sequence[str]) -> None:
    (root / folder).mkdir(parents=True, exist_ok=True)
    for name in names:
        (root / folder / name).touch()


def sequences(items: Sequence[RawItem]) -> dict[str, str]:
    return {item.id: item.sequence for item in items}


def splits(items: Sequence[RawItem]) -> dict[str, str | None]:
    return {item.id: item.split for item in items}


def test_every_layout_of_the_settings_has_an_importer() -> None:
    assert list(LAYOUTS) == list(get_args(Layout))


def msrs(root: Path) -> None:
    for kind in ("vi", "ir", "Segmentation_labels"):
        touch(root, f"train/{kind}", ["00001D.png", "00002D.png", "00003N.png", "00300D.png"])
        touch(root, f"test/{kind}", ["00004D.png"])
    touch(root, "train/vi", ["Thumbs"])


def test_msrs(tmp_path: Path) -> None:
    msrs(tmp_path)
    items = import_items("msrs", tmp_path)
    assert splits(items) == {
        "00001D": "train", "00002D": "train", "00003N": "train", "00004D": "test", "00300D": "train"
    }  # fmt: skip
    assert [item.daytime for item in items] == ["day", "day", "night", "day", "day"]
    assert list(sequences(items).values()) == ["00001D", "00001D", "00003N", "00004D", "00300D"]
    assert all(item.palette is MSRS_PALETTE and item.semantic for item in items)


def test_msrs_in_another_case_and_without_labels(tmp_path: Path) -> None:
    for split in ("Train", "TEST"):
        touch(tmp_path, f"{split}/VI", [f"0{len(split)}n.png"])
        touch(tmp_path, f"{split}/Ir", [f"0{len(split)}n.png"])
    items = import_items("msrs", tmp_path)
    assert [item.semantic for item in items] == [None, None]
    assert {item.daytime for item in items} == {"night"}


def llvip(root: Path) -> None:
    for kind in ("visible", "infrared"):
        touch(root, f"{kind}/train", ["010001.jpg", "010900.jpg", "020001.jpg"])
        touch(root, f"{kind}/test", ["190001.jpg", "Thumbs.db"])


def test_llvip(tmp_path: Path) -> None:
    llvip(tmp_path)
    items = import_items("llvip", tmp_path)
    assert [item.split for item in items] == ["train", "train", "train", "test"]
    assert list(sequences(items).values()) == ["train_01", "train_01", "train_02", "test_19"]


@pytest.mark.parametrize("folders", [("Vis", "Ir"), ("vi", "ir")])
def test_m3fd(tmp_path: Path, folders: tuple[str, str]) -> None:
    for folder in folders:
        touch(tmp_path, folder, [f"{number:05d}.png" for number in range(0, 400, 20)])
        touch(tmp_path, folder, ["00999.png", "Thumbs"])
    touch(tmp_path, "Annotation", ["00000.xml"])
    items = import_items("m3fd", tmp_path)
    assert {item.split for item in items} == {None}
    own = sequences(items)
    assert own["00000"] == own["00080"] == "00000"
    assert own["00100"] == own["00180"] == "00100"  # numbered through, so cut every 100 numbers
    assert own["00999"] == "00999"


def test_m3fd_sequences_may_be_told(tmp_path: Path) -> None:
    for folder in ("vi", "ir"):
        touch(tmp_path, folder, ["00000.png", "00001.png"])
    (tmp_path / "metadata.csv").write_text("file_name,sequence\n00000.png,a\n00001.png,b\n")
    assert list(sequences(import_items("m3fd", tmp_path)).values()) == ["a", "b"]


def flir(root: Path, lists: str = "", ending: str = "_PreviewData") -> None:
    names = [f"FLIR_{number:05d}" for number in (2, 3, 700, 900)]
    touch(root, "JPEGImages", [f"{name}_RGB.jpg" for name in names])
    touch(root, "JPEGImages", [f"{name}_PreviewData.jpeg" for name in names])
    touch(root, "JPEGImages", ["Thumbs"])
    (root / lists).mkdir(parents=True, exist_ok=True)
    (root / lists / "align_train.txt").write_text("\n".join(f"{n}{ending}" for n in names[:3]))
    (root / lists / "align_validation.txt").write_text(f"{names[3]}{ending}\n\n")


@pytest.mark.parametrize("lists", ["", "ImageSets/Main"])
@pytest.mark.parametrize("ending", ["", "_PreviewData", "_PreviewData.jpeg"])
def test_flir(tmp_path: Path, lists: str, ending: str) -> None:
    flir(tmp_path, lists, ending)
    touch(tmp_path, "JPEGImages", ["FLIR_09999_RGB.jpg"])  # in no list
    items = import_items("flir", tmp_path)
    assert splits(items) == {
        "FLIR_00002": "train", "FLIR_00003": "train", "FLIR_00700": "train", "FLIR_00900": "test"
    }  # fmt: skip
    assert items[0].visible.name == "FLIR_00002_RGB.jpg"
    assert items[0].infrared.name == "FLIR_00002_PreviewData.jpeg"
    assert len(set(sequences(items).values())) == 3


def kaist(root: Path) -> None:
    for video in ("set00/V000", "set05/V001", "set06/V000", "set11/V002"):
        for kind in ("visible", "lwir"):
            touch(root, f"{video}/{kind}", ["I00000.jpg", "I00001.jpg", "Thumbs"])


def test_kaist_nested(tmp_path: Path) -> None:
    kaist(tmp_path)
    touch(tmp_path, "annotations", [])
    items = import_items("kaist", tmp_path)
    assert len(items) == 8
    first = items[0]
    assert (first.id, first.sequence) == ("set00_V000_I00000", "set00_V000")
    known = {item.sequence: (item.split, item.daytime) for item in items}
    assert known == {
        "set00_V000": ("train", "day"),
        "set05_V001": ("train", "night"),
        "set06_V000": ("test", "day"),
        "set11_V002": ("test", "night"),
    }


def test_kaist_flat_agrees_with_nested(tmp_path: Path) -> None:
    kaist(tmp_path / "nested")
    nested = import_items("kaist", tmp_path / "nested")
    for kind in ("Visible", "LWIR"):
        touch(tmp_path / "flat", kind, [f"{item.id}.png" for item in nested])
    flat = import_items("kaist", tmp_path / "flat")
    assert sequences(flat) == sequences(nested)
    assert splits(flat) == splits(nested)


def dronevehicle(root: Path) -> None:
    for split in ("train", "val", "test"):
        touch(root, f"{split}/{split}img", ["00001.jpg", "00900.jpg"])
        touch(root, f"{split}/{split}imgr", ["00001.jpg", "00900.jpg", "Thumbs"])
        touch(root, f"{split}/{split}label", ["00001.xml"])


def test_dronevehicle(tmp_path: Path) -> None:
    dronevehicle(tmp_path)
    items = import_items("dronevehicle", tmp_path)
    assert [item.id for item in items] == [
        f"{split}_{name}" for split in ("test", "train", "val") for name in ("00001", "00900")
    ]
    assert all(item.split == item.id.partition("_")[0] for item in items)
    assert len(set(sequences(items).values())) == 6
    assert {item.white_border_px for item in items} == {100}


Change = Callable[[Path], object]


def moved(*pairs: str) -> Change:
    """Renames "old new" of each pair."""

    def change(root: Path) -> None:
        for old, new in (pair.split() for pair in pairs):
            (root / new).parent.mkdir(parents=True, exist_ok=True)
            (root / old).rename(root / new)

    return change


def added(folders: Sequence[str], name: str) -> Change:
    def change(root: Path) -> None:
        for folder in folders:
            touch(root, folder, [name])

    return change


def removed(name: str) -> Change:
    return lambda root: (root / name).unlink()


def with_text(name: str, text: str) -> Change:
    return lambda root: (root / name).write_text(text)


MSRS_TEST = ("test/vi", "test/ir", "test/Segmentation_labels")
KAIST_SETS = ("set00", "set05", "set06", "set11")

# what is wrong: the folder in shape, what is done to it, what the error must say
WRONG: dict[str, tuple[Callable[[Path], None], Change, str]] = {
    "msrs without test": (
        msrs, moved("test holdout"),
        r"no test folder.*found holdout, train; expected .*Segmentation_labels",
    ),
    "msrs without infrared": (
        msrs, moved("train/ir train/heat"), r"no infrared folder.*found Segmen.*heat, vi; expected"
    ),
    "msrs without D or N": (
        msrs, added(MSRS_TEST, "00009.png"), r"00009\.png: expected a number and D \(day\) or N"
    ),
    "msrs frame in both splits": (
        msrs, added(MSRS_TEST, "00001D.png"), r"the id 00001D is already that of .*vi/00001D\.png"
    ),
    "msrs label missing": (
        msrs, removed("train/Segmentation_labels/00002D.png"),
        r"00002D\.png: no picture of the same name in .*Segmentation_labels",
    ),
    "llvip the other way round": (
        llvip,
        moved(
            "visible/train train/visible", "infrared/train train/infrared",
            "visible old/visible", "infrared old/infrared",
        ),
        r"no visible folder.*found old, train; expected \{visible,infrared\}/\{train,test\}",
    ),
    "llvip without train": (
        llvip, moved("infrared/train infrared/training"),
        r"infrared: no train folder.*found test, training",
    ),
    "llvip other names": (
        llvip, added(("visible/test", "infrared/test"), "frame1.jpg"),
        r"frame1\.jpg: expected six digits",
    ),
    "flir without lists": (
        flir, removed("align_train.txt"),
        r"no align_train\.txt; found align_validation\.txt; expected JPEGImages",
    ),
    "flir without pictures": (
        flir, moved("JPEGImages images"), r"no picture folder.*found images; expected JPEGImages"
    ),
    "flir list names more": (
        flir, with_text("align_train.txt", "FLIR_00777\n"),
        r"align_train\.txt: FLIR_00777: no picture FLIR_00777_RGB in",
    ),
    "flir in both lists": (
        flir, with_text("align_validation.txt", "FLIR_00002\n"), r"FLIR_00002 is listed before"
    ),
    "flir empty list": (flir, with_text("align_validation.txt", "\n"), r"is empty, expected one"),
    "kaist without test sets": (
        kaist, moved("set06 rest/set06", "set11 rest/set11"),
        r"no pictures of set06 to set11 \(test\); found set00, set05",
    ),
    "kaist unknown set": (kaist, moved("set11 set12"), r"set12, expected set00 to set11"),
    "kaist other folders": (
        kaist, moved("set00/V000/lwir set00/V000/heat"),
        r"V000: no infrared folder.*found heat, visible",
    ),
    "kaist no sets": (
        kaist, moved(*(f"{name} images/{name}" for name in KAIST_SETS)),
        r"found images; expected set00/V000/\{visible,lwir\}",
    ),
    "dronevehicle without val": (
        dronevehicle, moved("val valid"), r"no val folder.*found test, train, valid"
    ),
    "dronevehicle without infrared": (
        dronevehicle, moved("train/trainimgr train/imgr"),
        r"train: no infrared folder; allowed names: trainimgr; found imgr, trainimg, trainlabel",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_layout_is_one_clear_line(tmp_path: Path, case: str) -> None:
    make, change, told = WRONG[case]
    make(tmp_path)
    change(tmp_path)
    with pytest.raises(InputError, match=told) as error:
        import_items(make.__name__, tmp_path)
    assert "\n" not in str(error.value)


def test_kaist_flat_names_are_checked(tmp_path: Path) -> None:
    for kind in ("visible", "lwir"):
        touch(tmp_path, kind, ["I00000.png"])
    with pytest.raises(InputError, match="expected a name as set00_V000_I00003; found I00000"):
        import_items("kaist", tmp_path)
