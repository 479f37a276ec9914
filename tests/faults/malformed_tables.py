"""CSV that a data set comes with, and that stages hand on, as text and in its cells."""

import random
from collections.abc import Callable, Iterator
from functools import partial

from tests.faults.malformed_case import Case, Handled, refused
from tests.faults.malformed_images import encoded, noise
from tests.tiny.world import World

CSV = "CSV: metadata, tables, manifests, lists"
_METADATA, _MANIFEST = "scenes/metadata.csv", "out/triptychs/manifest.csv"

Text = Callable[[str], str | bytes]


def table_cases(_: random.Random) -> Iterator[Case]:
    yield from _metadata_cases()
    yield from _manifest_cases()
    yield from _list_cases()
    yield from _csv_table_cases()


def _changed(world: World, file: str, change: Text) -> None:
    world.put(file, change(world.path(file).read_text()))


def _row(text: str, change: Callable[[list[str]], list[str]], number: int = 1) -> str:
    """`change` applied to the cells of a line that has none in quotes."""
    lines = text.splitlines()
    lines[number] = ",".join(change(lines[number].split(",")))
    return "\n".join(lines) + "\n"


def _cell(column: int, value: str, number: int = 1) -> Text:
    def change(text: str) -> str:
        return _row(text, lambda row: [*row[:column], value, *row[column + 1 :]], number)

    return change


def _without_column(name: str) -> Text:
    def change(text: str) -> str:
        place = text.splitlines()[0].split(",").index(name)
        rows = [line.split(",") for line in text.splitlines()]
        return "\n".join(",".join(row[:place] + row[place + 1 :]) for row in rows) + "\n"

    return change


_DAMAGES: list[tuple[str, Text, str]] = [
    ("empty", lambda _: "", "column"),
    ("a header alone", lambda text: text.splitlines()[0] + "\n", ""),
    ("UTF-16", lambda text: text.encode("utf-16"), "UTF-8"),
    ("Latin-1", lambda text: text.encode().replace(b"diptych", b"d\xefptych"), "UTF-8"),
    ("NUL bytes", lambda text: text.replace(",day,", ",d\0y,"), "NUL"),
    ("a field of 200,000 letters", _cell(4, "x" * 200_000), "CSV"),
    ("an open quote", lambda text: text.replace(",day,", ',"day,', 1), "CSV"),
    ("a cell too many", lambda text: _row(text, lambda row: [*row, "more"]), "cells"),
    ("a cell too few", lambda text: _row(text, lambda row: row[:-1]), "cells"),
    ("a column twice", lambda text: _row(text, lambda row: [*row, row[0]], 0), "twice"),
    ("semicolons for commas", lambda text: text.replace(",", ";"), "column"),
    ("a PNG by name of CSV", lambda _: b"\x89PNG\r\n\x1a\n\0\0", "UTF-8"),
]


def _metadata_cases() -> Iterator[Case]:
    """Columns: file_name, split, daytime, sequence, caption."""
    rows: list[tuple[str, Text, str]] = [
        *_DAMAGES,
        ("no column file_name", _without_column("file_name"), "column file_name"),
        ("a row twice", lambda text: text + text.splitlines()[1] + "\n", "twice"),
        ("a row without a picture", lambda text: text + "x.png,train,day,x,y\n", "has no picture"),
        ("a picture without a row", lambda text: "\n".join(text.splitlines()[:-1]), "has no row"),
        ("a split of no name", _cell(1, "holdout"), "allowed train, val, test"),
        ("a split in some rows only", _cell(1, ""), "all or none"),
        ("a daytime of no name", _cell(2, "dusk"), "allowed day, night, unknown"),
        ("a sequence in two splits", _cell(3, "00002D"), "straddles"),
        ("a file name that leads elsewhere", _cell(0, "../visible/00000D.png"), "has no"),
    ]
    for fault, change, told in rows:
        make = partial(_changed, file=_METADATA, change=change)
        names = ("00002D",) if told == "straddles" else (_METADATA,)
        yield Case(
            CSV, f"metadata.csv: {fault}", "prepare_triptychs", make, refused(*names, allowed=told)
        )
    handled: list[tuple[str, Text]] = [
        ("a byte order mark", lambda text: b"\xef\xbb\xbf" + text.encode()),
        ("Windows line ends", lambda text: text.replace("\n", "\r\n")),
        ("blank lines at the end", lambda text: text + "\n\n"),
        ("quotes and line ends in a caption", _cell(4, '"a ""street"",\nat night"')),
        ("columns in another order, and more of them", _reordered),
    ]
    for fault, change in handled:
        make = partial(_changed, file=_METADATA, change=change)
        yield Case(CSV, f"metadata.csv: {fault}", "prepare_triptychs", make, Handled(_four_rows))


def _reordered(text: str) -> str:
    rows = [line.split(",") for line in text.splitlines()]
    return "\n".join(
        ",".join([*reversed(row), "note" if not i else "x"]) for i, row in enumerate(rows)
    )


def _four_rows(world: World) -> None:
    from refract.triptychs.panels.manifest import read_manifest

    rows = read_manifest(world.out("triptychs"))
    found = [(row.id, row.split) for row in rows]
    wanted = [("00000D", "train"), ("00001N", "val"), ("00002D", "test"), ("00003N", "test")]
    assert found == wanted, f"{found}"


def _manifest_cases() -> Iterator[Case]:
    """Columns: id, split, visible, infrared, semantic, caption, daytime, sequence."""
    damages = [damage for damage in _DAMAGES if "PNG" not in damage[0]]
    rows: list[tuple[str, Text, str]] = [
        *damages,
        ("no column caption", _without_column("caption"), "column caption"),
        ("an id twice", lambda text: text + text.splitlines()[1] + "\n", "twice"),
        ("an id that leads elsewhere", _cell(0, "../../../x"), "slash"),
        ("an absolute id", _cell(0, "/x"), "slash"),
        ("an empty id", _cell(0, ""), "empty"),
        ("a split of no name", _cell(1, "dev"), "allowed"),
        ("a triptych that is not there", _cell(0, "99999D"), "not there"),
        ("a daytime of no name", _cell(6, "dusk"), "allowed day, night, unknown"),
    ]
    stages = ("train_ir_adapter", "infer_ir", "evaluate")
    for number, (fault, change, told) in enumerate(rows):
        make = partial(_changed, file=_MANIFEST, change=change)
        stage = stages[number % 3]
        expected = refused(_MANIFEST, allowed=told)
        yield Case(CSV, f"manifest.csv: {fault}", stage, make, expected)
    make = partial(_changed, file=_MANIFEST, change=_cell(5, ""))
    yield Case(CSV, "manifest.csv: no caption", "train_ir_adapter", make,
               refused(_MANIFEST, "00000D", allowed="caption"))  # fmt: skip
    only_train = lambda text: "\n".join(text.splitlines()[:2]) + "\n"  # noqa: E731
    make = partial(_changed, file=_MANIFEST, change=only_train)
    yield Case(CSV, "manifest.csv: no row of split val", "train_ir_adapter", make,
               refused(_MANIFEST, allowed="no rows of split val"))  # fmt: skip


def _list_cases() -> Iterator[Case]:
    """The two lists of layout flir."""
    for fault, content, told in [
        ("empty", b"", "one picture name"),
        ("UTF-16", "FLIR_00000\n".encode("utf-16"), "text"),
        ("a picture that is not there", b"FLIR_00000\nFLIR_9\n", "no picture FLIR_9_RGB"),
        ("a picture twice", b"FLIR_00000\nFLIR_00000\n", "listed before"),
        ("a path", b"../../FLIR_00000\n../x/y\n", "no picture y_RGB"),
    ]:
        make = partial(_flir, content=content)
        expected = refused("align_train.txt", allowed=told)
        yield Case(CSV, f"align_train.txt: {fault}", "prepare_triptychs", make, expected)


def _flir(world: World, content: bytes) -> None:
    world.set("prepare_triptychs.source", '"flir"')
    world.set("prepare_triptychs.layout", '"flir"')
    world.set("prepare_triptychs.semantic.source", '"none"')
    for number in range(3):
        for ending in ("RGB.jpg", "PreviewData.jpeg"):
            name = f"flir/JPEGImages/FLIR_0000{number}_{ending}"
            world.put(name, encoded(noise(random.Random(number)), "JPEG"))
    world.put("flir/align_train.txt", content)
    world.put("flir/align_validation.txt", "FLIR_00002\n")


HEADER = "src_img,edited_img,panoptic_img,split\n"
LINES = "".join(
    f"visible/{stem}.png,infrared/{stem}.png,semantic/{stem}.png,{split}\n"
    for stem, split in (("00000D", "train"), ("00001N", "val"), ("00002D", "test"))
)


def table(world: World, name: str, content: str | bytes) -> None:
    world.set("prepare_triptychs.source", f'"scenes/{name}"')
    world.set("prepare_triptychs.layout", '"table"')
    world.put(f"scenes/{name}", content)


def _csv_table_cases() -> Iterator[Case]:
    def first(cell: str, column: int = 0) -> str:
        return HEADER + _row(LINES, lambda row: [*row[:column], cell, *row[column + 1 :]], 0)

    rows: list[tuple[str, str | bytes, str]] = [
        ("no column edited_img", HEADER.replace("edited_img", "ir") + LINES, "column edited_img"),
        ("no rows", HEADER, "no rows"),
        ("an empty cell", first("", 1), "edited_img is empty"),
        ("a file that is not there", first("visible/none.png"), "no such file"),
        ("a folder", first("visible"), "no such file"),
        ("a name of 5,000 letters", first("x" * 5000), "no such file"),
        ("a cell with a NUL", first("visible/\0.png"), "NUL"),
        ("an absolute name of no file", first("/none/x.png"), "no such file"),
        ("a name of another user's home", first("~root/x.png"), "no such file"),
        ("a picture without its map", first("", 2), "semantic"),
        ("an address", first("https://example.org/a.png"), "no such file"),
        ("a split of no name", first("dev", 3), "allowed train, val, test"),
        ("JSON", '[{"src_img": "a.png"}]', "column src_img"),
    ]
    for fault, content, told in rows:
        make = partial(table, name="table.csv", content=content)
        names = ("scenes/table.csv",) if "map" not in fault else ("00000D",)
        expected = refused(*names, allowed=told)
        yield Case(CSV, f"table.csv: {fault}", "prepare_triptychs", make, expected)
    for fault, cell in [
        ("a name with ..", "semantic/../visible/00000D.png"),
        ("blanks around a name", "  visible/00000D.png "),
    ]:
        make = partial(table, name="table.csv", content=first(cell))
        yield Case(CSV, f"table.csv: {fault}", "prepare_triptychs", make, Handled(three_scenes))
    make = partial(_changed_table_absolute)
    yield Case(CSV, "table.csv: an absolute name", "prepare_triptychs", make, Handled(three_scenes))


def _changed_table_absolute(world: World) -> None:
    stem = str((world.folder / "scenes/visible/00000D.png").absolute())
    table(world, "table.csv", HEADER + LINES.replace("visible/00000D.png", stem, 1))


def three_scenes(world: World) -> None:
    found = sorted(path.name for path in world.out("triptychs").glob("*/*.png"))
    assert found == ["00000D.png", "00001N.png", "00002D.png"], f"{found}"
