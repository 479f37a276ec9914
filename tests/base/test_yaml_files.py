from pathlib import Path

import pytest

from refract.base.errors import InputError
from refract.base.yaml_files import read_yaml


def read(tmp_path: Path, text: str | bytes) -> dict[str, object]:
    file = tmp_path / "params.yaml"
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    return read_yaml(file)


def test_numbers_and_words_as_dvc_reads_them(tmp_path: Path) -> None:
    read_values = read(tmp_path, "a: 1e-3\nb: no\nc: 1.0e-3\nd: null\ne: [1, 2]\n")
    assert read_values == {"a": 0.001, "b": "no", "c": 0.001, "d": None, "e": [1, 2]}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "empty"),
        ("- a\n- b\n", "a list"),
        ("just words", "must be a mapping"),
        ("a: 1\na: 2\n", "duplicate key"),
        ("a: {b: 1, b: 2}\n", "duplicate key"),
        ("a: [1, 2\n", "params.yaml:2"),
        ("a: 'open\n", "params.yaml:"),
        ("a: !!python/object/apply:os.system ['true']\n", "only plain values are allowed"),
        ("1: a\n", "key 1: must be a string"),
        ("true: a\n", "key true: must be a string"),
        ("a: {2: b}\n", "key 2: must be a string"),
        ("a: &a [*a]\n", "levels"),
        ("a: " + "[" * 40 + "]" * 40, "levels"),
        ("a: " + "[" * 5000, "not valid YAML"),
        (b"a: \xff\xfe", "not UTF-8"),
        (b"a: 1\x00", "params.yaml"),
        ("a: " + "x" * (1 << 20), "at most 524288"),
        ("a: !!bool perhaps\n", "params.yaml: not valid YAML"),
        ("a: !!int ''\n", "params.yaml: not valid YAML"),
        ("a: !!timestamp today\n", "timestamp"),
        ("a: !mine {b: 1}\n", "tag '!mine'"),
        ("? {a: b}\n: 1\n", "key of several values: must be a string"),
        ("? \n: 1\n", "key null: must be a string"),
        ('a: ["x\\0"]\n', "must not hold NUL"),
        ('"a\\ud800": 1\n', "halves of surrogate pairs"),
    ],
)
def test_malformed_files_are_one_line_input_errors(
    tmp_path: Path, text: str | bytes, told: str
) -> None:
    with pytest.raises(InputError) as caught:
        read(tmp_path, text)
    assert told in str(caught.value) and "\n" not in str(caught.value)


def test_aliases_cannot_expand_without_bound(tmp_path: Path) -> None:
    levels = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    levels += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 9)]
    with pytest.raises(InputError, match="at most 100000 values"):
        read(tmp_path, "\n".join(levels))


def test_merge_keys_work_but_cannot_expand_without_bound(tmp_path: Path) -> None:
    assert read(tmp_path, "a: &a {x: 1}\nb: {<<: *a, y: 2}\n")["b"] == {"x": 1, "y": 2}
    levels = ["m0: &m0 {k: 1}"]
    levels += [f"m{i}: &m{i} {{<<: [{', '.join([f'*m{i - 1}'] * 9)}]}}" for i in range(1, 9)]
    with pytest.raises(InputError, match="at most 100000 values"):
        read(tmp_path, "\n".join(levels))


def test_unreadable_paths(tmp_path: Path) -> None:
    for path in (tmp_path / "missing.yaml", tmp_path):
        with pytest.raises(InputError, match="cannot be read"):
            read_yaml(path)
