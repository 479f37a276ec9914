"""Parquet tables, and data sets of which it is not clear what is meant."""

import io
import random
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from tests.faults.malformed_case import Case, Handled, Refused, refused
from tests.faults.malformed_images import encoded, noise
from tests.faults.malformed_tables import HEADER, LINES, table, three_scenes
from tests.tiny.world import World

PARQUET = "parquet: tables"


def _parquet(columns: dict[str, Any], **options: Any) -> bytes:
    import pyarrow
    from pyarrow import parquet

    file = io.BytesIO()
    parquet.write_table(pyarrow.table(columns), file, **options)
    return file.getvalue()


def parquet_cases(random_: random.Random) -> Iterator[Case]:
    import pyarrow

    names = {
        "src_img": [f"visible/{stem}.png" for stem in ("00000D", "00001N", "00002D")],
        "edited_img": [f"infrared/{stem}.png" for stem in ("00000D", "00001N", "00002D")],
        "panoptic_img": [f"semantic/{stem}.png" for stem in ("00000D", "00001N", "00002D")],
        "split": ["train", "val", "test"],
    }
    whole = _parquet(names)
    picture = encoded(noise(random_, side=32))

    def first(column: str, cell: Any) -> bytes:
        return _parquet({**names, column: [cell, *names[column][1:]]})

    def stored(path: Any, data: Any = picture) -> bytes:
        cells = [
            {"bytes": data, "path": path},
            *({"bytes": None, "path": p} for p in names["src_img"][1:]),
        ]
        return _parquet({**names, "src_img": cells})

    invalid = pyarrow.Array.from_buffers(
        pyarrow.string(), 3,
        [None, pyarrow.py_buffer(b"\0\0\0\0\2\0\0\0\4\0\0\0\6\0\0\0"),
        pyarrow.py_buffer(b"\xff\xfeabcd")],
    )  # fmt: skip
    rows: list[tuple[str, bytes, str]] = [
        ("0 bytes", b"", "parquet"),
        ("truncated at the end", whole[:-40], "parquet"),
        ("truncated in the middle", whole[: len(whole) // 2], "parquet"),
        ("without its middle", whole[:60] + whole[-300:], "parquet"),
        ("random bytes between its marks", b"PAR1" + random_.randbytes(400) + b"PAR1", "parquet"),
        ("a footer longer than the file", whole[:-8] + b"\xff\xff\xff\x7fPAR1", "parquet"),
        ("CSV by name of parquet", (HEADER + LINES).encode(), "parquet"),
        ("no column src_img", _parquet({"a": [1]}), "column src_img"),
        ("no rows", _parquet({k: pyarrow.array([], "string") for k in names}), "no rows"),
        ("numbers for file names", _parquet({**names, "src_img": [1, 2, 3]}), "file name"),
        ("lists for file names", _parquet({**names, "src_img": [["a"], ["b"], ["c"]]}),
         "file name"),
        ("days for file names", _parquet({**names, "src_img": pyarrow.array([1, 2, 3], "date32")}),
         "file name"),
        ("text that is not UTF-8", _parquet({**names, "src_img": invalid}), "utf-8"),
        ("a null", first("edited_img", None), "edited_img is empty"),
        ("a file that is not there", first("src_img", "none.png"), "no such file"),
        ("a split that is a number", _parquet({**names, "split": [1.0, 2.0, 3.0]}),
         "allowed train"),
        ("a split in some rows only", first("split", None), "all or none"),
        ("bytes that are no picture", _parquet({**names, "src_img": [b"x", b"y", b"z"]}),
         "picture"),
        ("a stored picture named ..", stored(".."), "dot"),
        ("a stored picture of a long name", stored("x" * 300 + ".png"), "bytes long"),
        ("a stored picture with NUL in its name", stored("a\0b.png"), "printable"),
        ("stored pictures whose names are numbers", _parquet({**names, "src_img": [
            {"bytes": picture, "path": number} for number in range(3)]}), "file name"),
        ("a stored picture whose bytes are text", _parquet({**names, "src_img": [
            {"bytes": "text", "path": p} for p in names["src_img"]]}), "picture"),
        ("structs of other names", _parquet({**names,
         "src_img": [{"uri": p} for p in names["src_img"]]}),
         "src_img"),
    ]  # fmt: skip
    for fault, content, told in rows:
        make = partial(table, name="table.parquet", content=content)
        file = "no readable" if fault == "bytes that are no picture" else "table.parquet"
        file = "" if "bytes that are" in fault else file
        yield Case(PARQUET, f"{fault}", "prepare_triptychs", make, refused(file, allowed=told))
    handled: list[tuple[str, bytes]] = [
        ("a stored picture named by a path that leads out", stored("../../../00000D.png")),
        ("large strings", _parquet({k: pyarrow.array(v, "large_string") for k,
         v in names.items()})),
        ("a dictionary of strings", _parquet(
            {k: pyarrow.array(v).dictionary_encode() for k, v in names.items()})),
        ("compressed with zstd", _parquet(names, compression="zstd")),
        ("more columns than are read", _parquet({**names, "note": [[1], [2], [3]]})),
    ]  # fmt: skip
    for fault, content in handled:
        make = partial(table, name="table.parquet", content=content)
        yield Case(PARQUET, fault, "prepare_triptychs", make, Handled(three_scenes))


def two_tables(world: World) -> None:
    """A folder with two tables: which one counts?"""
    table(world, "table.csv", HEADER + LINES)
    world.put("scenes/other.parquet", b"")
    world.set("prepare_triptychs.source", '"scenes"')


def ambiguous_cases(_: random.Random) -> Iterator[Case]:
    """Data sets of which it is not clear what is meant."""

    def twice(world: World) -> None:
        world.put("scenes/visible/00000D.jpg", encoded(noise(random.Random(0)), "JPEG"))

    def two_folders(world: World) -> None:
        world.put("scenes/rgb/00000D.png", b"")

    def without_infrared(world: World) -> None:
        world.remove("scenes/infrared/00001N.png")

    def empty(world: World) -> None:
        for path in [*world.path("scenes/visible").iterdir()]:
            path.unlink()

    def no_folder(world: World) -> None:
        world.set("prepare_triptychs.source", '"none"')

    def file(world: World) -> None:
        world.set("prepare_triptychs.source", '"cases.yaml"')

    faults: list[tuple[str, Callable[[World], None], Refused]] = [
        ("two tables in the folder", two_tables, refused("scenes", allowed="one .csv or .parquet")),
        ("two pictures of one name", twice, refused("00000D", allowed="which one counts")),
        ("two folders of one kind", two_folders, refused("scenes", allowed="several folders")),
        (
            "a picture without its infrared",
            without_infrared,
            refused("00001N", allowed="same name"),
        ),
        ("a folder without pictures", empty, refused("visible", allowed="no pictures")),
        ("no folder", no_folder, refused("none", allowed="no such folder")),
        ("a file for a folder", file, refused("cases.yaml", allowed="no such folder")),
    ]
    for fault, make, expected in faults:
        yield Case("data sets: what is not clear", fault, "prepare_triptychs", make, expected)
