from collections.abc import Sequence
from pathlib import Path

import pytest

from refract.base.errors import InputError
from refract.triptychs.layouts.registry import import_items


def make(root: Path, folders: Sequence[str], names: Sequence[str]) -> Path:
    """Empty files: importers look at names only."""
    for folder in folders:
        (root / folder).mkdir(parents=True)
        for name in names:
            (root / folder / name).touch()
    return root


@pytest.mark.parametrize(
    "folders",
    [("vi", "ir"), ("VIS", "LWIR"), ("rgb", "thermal", "seg"), ("Color", "TIR", "Panoptic")],
)
def test_folder_names_in_any_case(tmp_path: Path, folders: tuple[str, ...]) -> None:
    items = import_items("generic", make(tmp_path, folders, ["b.png", "a.png"]))
    assert [item.id for item in items] == ["a", "b"]
    assert all((item.semantic is not None) == (len(folders) == 3) for item in items)
    assert {item.visible.parent.name for item in items} == {folders[0]}


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        ("visible", "vi vis visible rgb color"),
        ("infrared", "ir infrared lwir thermal tir imgr"),
        ("semantic", "semantic panoptic seg Segmentation_labels labels"),
    ],
)
def test_every_alias_is_known(tmp_path: Path, kind: str, names: str) -> None:
    folders = {"visible": "visible", "infrared": "infrared", "semantic": "semantic"}
    for name in names.split():
        for written in (name.lower(), name.upper(), name.title()):
            root = tmp_path / written
            (item,) = import_items(
                "generic", make(root, [*(folders | {kind: written}).values()], ["a.png"])
            )
            assert {"visible": item.visible, "infrared": item.infrared, "semantic": item.semantic}[
                kind
            ] == root / written / "a.png"


def test_suffixes_may_differ_and_strays_are_passed_over(tmp_path: Path) -> None:
    make(tmp_path, ["visible"], ["a.jpg", "Thumbs", ".DS_Store"])
    make(tmp_path, ["infrared"], ["a.png", "Thumbs.db"])
    assert [item.id for item in import_items("generic", tmp_path)] == ["a"]


def test_metadata_is_applied(tmp_path: Path) -> None:
    make(tmp_path, ["visible", "infrared"], ["a.png", "b.png"])
    (tmp_path / "metadata.csv").write_text(
        "file_name,split,daytime,sequence,caption\na.png,train,day,drive,a road\nb.png,test,,,\n"
    )
    first, second = import_items("generic", tmp_path)
    assert (first.split, first.daytime, first.sequence) == ("train", "day", "drive")
    assert first.caption == "a road"
    assert (second.split, second.daytime, second.sequence) == ("test", "unknown", "b")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name,split\na.png,train\n", "column file_name is missing"),
        ("file_name,split\na.png,training\n", "split 'training', allowed train, val, test"),
        ("file_name,daytime\na.png,dusk\n", "daytime 'dusk'"),
        ("file_name\na.png\na.png\n", "listed twice"),
        ("file_name\na.png\nz.png\n", "z.png has no picture"),
        ("file_name\n", "a.png has no row"),
    ],
)
def test_bad_metadata_is_named(tmp_path: Path, text: str, message: str) -> None:
    make(tmp_path, ["visible", "infrared"], ["a.png"])
    (tmp_path / "metadata.csv").write_text(text)
    with pytest.raises(InputError, match=message):
        import_items("generic", tmp_path)


def test_a_split_for_some_rows_only_is_refused(tmp_path: Path) -> None:
    make(tmp_path, ["visible", "infrared"], ["a.png", "b.png"])
    (tmp_path / "metadata.csv").write_text("file_name,split\na.png,train\nb.png,\n")
    with pytest.raises(InputError, match="fill all or none"):
        import_items("generic", tmp_path)


def test_bad_folders_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such folder"):
        import_items("generic", tmp_path / "absent")
    with pytest.raises(
        InputError, match=r"no visible folder; allowed names: color.*found ir, photos; expected"
    ):
        import_items("generic", make(tmp_path / "a", ["photos", "ir"], ["a.png"]))
    with pytest.raises(InputError, match="no infrared folder"):
        import_items("generic", make(tmp_path / "b", ["vis"], ["a.png"]))
    with pytest.raises(InputError, match="holds no pictures"):
        import_items("generic", make(tmp_path / "c", ["vis", "ir"], []))
    with pytest.raises(InputError, match="several folders could be the visible one: rgb, vis"):
        import_items("generic", make(tmp_path / "d", ["vis", "rgb", "ir"], ["a.png"]))


def test_a_missing_counterpart_is_named_with_the_folder(tmp_path: Path) -> None:
    make(tmp_path, ["vis", "ir", "seg"], ["a.png", "b.png"])
    (tmp_path / "seg" / "b.png").unlink()
    with pytest.raises(InputError, match=r"vis/b\.png: no picture of the same name in .*seg"):
        import_items("generic", tmp_path)
    (tmp_path / "seg" / "b.png").touch()
    (tmp_path / "ir" / "extra.png").touch()
    with pytest.raises(InputError, match=r"ir/extra\.png: no picture of the same name in .*vis"):
        import_items("generic", tmp_path)


def test_two_pictures_of_one_name_are_refused(tmp_path: Path) -> None:
    make(tmp_path, ["vis", "ir"], ["a.png"])
    (tmp_path / "vis" / "a.jpg").touch()
    with pytest.raises(InputError, match="which one counts"):
        import_items("generic", tmp_path)


def test_roadscene_groups_near_frames(tmp_path: Path) -> None:
    names = ["FLIR_00018.jpg", "FLIR_00060.jpg", "FLIR_00306.jpg", "video_00310.jpg"]
    make(tmp_path, ["crop_HR_visible", "crop_LR_visible", "cropinfrared"], names)
    (tmp_path / "crop_LR_visible" / "Thumbs").touch()
    items = import_items("roadscene", tmp_path)
    assert {item.visible.parent.name for item in items} == {"crop_LR_visible"}
    assert [item.sequence for item in items] == [
        "FLIR_00018",
        "FLIR_00018",
        "FLIR_00306",
        "video_00310",
    ]
