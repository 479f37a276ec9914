from dataclasses import replace

from refract.triptychs.panels.manifest import TriptychRow, content_hash

ROWS = [TriptychRow(name, "train", "v.png", "i.png", "", "c", "day", name) for name in "ab"]
FILES = {name: {"visible": name * 4, "infrared": "1234"} for name in "ab"}


def test_what_names_a_data_set() -> None:
    first = content_hash(ROWS, FILES)
    assert len(first) == 64
    assert content_hash(ROWS[::-1], FILES) == first
    moved = [ROWS[0], replace(ROWS[1], split="test")]
    touched = FILES | {"b": FILES["b"] | {"infrared": "1235"}}
    mapped = FILES | {"b": FILES["b"] | {"semantic": "1235"}}
    others = [content_hash(ROWS[:1], FILES), content_hash(moved, FILES)]
    others += [content_hash(ROWS, files) for files in (touched, mapped)]
    assert len({first, *others}) == 5
