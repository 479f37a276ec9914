"""Layout `table` on miniature CSV and parquet files."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from refract.base.errors import InputError
from refract.triptychs.layouts.registry import import_items

HEADER = "src_img,edited_img,panoptic_img\n"


def pictures(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), (200, 40, 0)).save(root / name)


def encoded(level: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.full((8, 8), level, np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def write_parquet(path: Path, **columns: list[Any]) -> Path:
    pq.write_table(pa.table(columns), path)
    return path


def test_csv_with_names_relative_to_it(tmp_path: Path) -> None:
    pictures(tmp_path, "v/a.png", "i/a_ir.png", "s/a.png", "v/b.png", "i/b_ir.png", "s/b.png")
    text = HEADER + "v/b.png,i/b_ir.png,s/b.png\nv/a.png,i/a_ir.png,s/a.png\n"
    (tmp_path / "pairs.csv").write_text(text)
    items = import_items("table", tmp_path)
    assert [item.id for item in items] == ["a", "b"]
    assert items[0].infrared == tmp_path / "i" / "a_ir.png"
    assert items[0].semantic == tmp_path / "s" / "a.png"
    assert import_items("table", tmp_path / "pairs.csv") == items  # the file itself will do


def test_known_columns_and_no_map(tmp_path: Path) -> None:
    pictures(tmp_path, "a.png", "b.png")
    (tmp_path / "t.csv").write_text(
        "src_img,edited_img,panoptic_img,split,daytime,sequence,caption\n"
        "a.png,b.png,,train,night,drive,a road\n"
    )
    (item,) = import_items("table", tmp_path)
    assert item.semantic is None
    assert (item.split, item.daytime, item.sequence) == ("train", "night", "drive")
    assert item.caption == "a road"


def test_repeated_names_are_numbered(tmp_path: Path) -> None:
    pictures(tmp_path, "1/x.png", "2/x.png", "i.png")
    (tmp_path / "t.csv").write_text("src_img,edited_img\n1/x.png,i.png\n2/x.png,i.png\n")
    items = import_items("table", tmp_path)
    assert [item.id for item in items] == ["000000", "000001"]
    assert [item.sequence for item in items] == ["000000", "000001"]


def test_parquet_with_names(tmp_path: Path) -> None:
    pictures(tmp_path, "a.png", "b.png", "c.png")
    write_parquet(
        tmp_path / "t.parquet",
        src_img=["a.png"],
        edited_img=["b.png"],
        panoptic_img=["c.png"],
        other=[1],
    )
    (item,) = import_items("table", tmp_path)
    assert (item.id, item.visible.name, item.infrared.name) == ("a", "a.png", "b.png")
    assert item.semantic == tmp_path / "c.png"


def test_parquet_with_the_pictures_in_it(tmp_path: Path) -> None:
    write_parquet(
        tmp_path / "t.parquet",
        src_img=[{"bytes": encoded(i), "path": f"{i}.png"} for i in range(40)],
        edited_img=[encoded(100 + i) for i in range(40)],
        panoptic_img=[{"bytes": None, "path": None}] * 40,
    )
    items = import_items("table", tmp_path)
    assert len(items) == 40
    assert {item.semantic for item in items} == {None}
    by_id = {item.id: item for item in items}
    assert np.asarray(Image.open(by_id["7"].visible)).mean() == 7
    assert np.asarray(Image.open(by_id["7"].infrared)).mean() == 107
    assert import_items("table", tmp_path) == items  # laid down once, found again


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("src_img,panoptic_img\na.png,a.png\n", "column edited_img is missing, found src_img"),
        (HEADER, "has no rows"),
        (HEADER + "a.png,,\n", "row 0: edited_img is empty"),
        (HEADER + "a.png,a.png,\na.png,gone.png,\n", "row 1: edited_img = 'gone.png': no such"),
        ("src_img,edited_img,split\na.png,a.png,all\n", "split 'all', allowed train, val, test"),
    ],
)
def test_a_wrong_table_is_one_clear_line(tmp_path: Path, text: str, told: str) -> None:
    pictures(tmp_path, "a.png")
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(InputError, match=told):
        import_items("table", tmp_path)


def test_which_table_must_be_clear(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"expected one \.csv or \.parquet.*found nothing"):
        import_items("table", tmp_path)
    (tmp_path / "notes.txt").touch()
    with pytest.raises(InputError, match=r"found notes\.txt"):
        import_items("table", tmp_path)
    (tmp_path / "a.csv").write_text(HEADER)
    (tmp_path / "b.parquet").touch()
    with pytest.raises(InputError, match=r"found a\.csv, b\.parquet"):
        import_items("table", tmp_path)
    with pytest.raises(InputError, match="no such folder"):
        import_items("table", tmp_path / "absent.csv")


def test_a_wrong_parquet_is_one_clear_line(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    path.write_bytes(b"PAR1 and no more")
    with pytest.raises(InputError, match="not a readable parquet file"):
        import_items("table", path)
    write_parquet(path, src_img=["a"], panoptic_img=["a"])
    with pytest.raises(InputError, match="column edited_img is missing"):
        import_items("table", path)
    write_parquet(path, src_img=[3], edited_img=[4])
    with pytest.raises(InputError, match="row 0: src_img = 3: expected a file name or an encoded"):
        import_items("table", path)
