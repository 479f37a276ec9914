import json
from pathlib import Path
from typing import Any

import pytest
from dvc.utils.serialize import YAMLFileCorruptedError, parse_yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from refract.base.errors import InputError
from refract.base.yaml_files import read_yaml


def in_braces(pairs: list[tuple[str, str]]) -> str:
    return "{" + ", ".join(f"{key}: {value}" for key, value in pairs) + "}"


NUMBERS = st.from_regex(
    r"[-+]?(0[box]?)?[0-9a-f_]{0,3}\.?[0-9_]{0,2}(e[-+]?[0-9]{1,2})?", fullmatch=True
)
WORDS = (
    "yes no on off y N true True TRUE tRUE false null Null ~ nULL .inf -.Inf +.INF .nan .NaN 0o17 "
    "017 08 0x1F 0b101 1e-3 1_000 1e3 +1 -0 0. .5 .5e3 .5e+3 1e400 1:30 1:30:20.5 2001-1-1 '1' "
    "'no' '<<' << = 2001-12-14 a:b http://x/y a#b"
)
JUNK = st.text(" \n:-{}[],ab<&*!'\"#|>?%1.e", max_size=14)
WORD = st.sampled_from(WORDS.split(" "))
SCALARS = st.one_of(NUMBERS, WORD, JUNK)
KEYS = st.sampled_from(["a", "b", "'<<'", "no", "on", "yes", "1e", '"1"'])
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4).map(lambda items: f"[{', '.join(items)}]"),
        st.lists(st.tuples(KEYS, inner), max_size=4).map(in_braces),
    ),
    max_leaves=8,
)
MAPS = st.lists(st.tuples(KEYS, WORD), max_size=3).map(in_braces)
MERGED = st.sampled_from(["*x", "*y", "[*x, *y]", "[*y, *x]", "{a: 0, c: 0}", "[]", "1"])
MERGING = st.lists(
    st.one_of(st.tuples(KEYS, WORD), st.tuples(st.just("<<"), MERGED)), max_size=4
).map(in_braces)
DOCUMENTS = st.one_of(
    VALUES.map(lambda value: f"a: {value}\n"),
    st.tuples(KEYS, VALUES, KEYS, VALUES).map(lambda x: "{}: {}\nm:\n  {}:\n    - {}\n".format(*x)),
    st.tuples(MAPS, MAPS, MERGING).map(lambda x: "x: &x {}\ny: &y {}\nz: {}\n".format(*x)),
)


def as_dvc_reads(text: str) -> Any:
    """DVC's own reader; without the C parser, which is older, where that one stops at `[a:b]`."""
    try:
        return parse_yaml(text, "params.yaml")
    except YAMLFileCorruptedError:
        return YAML(typ="safe", pure=True).load(text)


def in_order(document: object) -> str:
    """Text that tells 1 from 1.0 and True, and where NaN is NaN."""
    return json.dumps(document, sort_keys=True)


def read(tmp_path: Path, text: str | bytes) -> dict[str, object]:
    file = tmp_path / "params.yaml"
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    return read_yaml(file)


@settings(max_examples=200, deadline=None)
@given(DOCUMENTS)
def test_what_is_read_is_what_dvc_reads(
    tmp_path_factory: pytest.TempPathFactory, text: str
) -> None:
    try:
        found = read(tmp_path_factory.getbasetemp(), text)
    except InputError as error:
        assert "\n" not in str(error)
    else:
        assert in_order(found) == in_order(as_dvc_reads(text))


@settings(max_examples=100, deadline=None)
@given(st.one_of(NUMBERS, WORD.filter(lambda word: word not in ("=", "2001-12-14"))))
def test_a_plain_scalar_that_dvc_reads_is_read(
    tmp_path_factory: pytest.TempPathFactory, scalar: str
) -> None:
    text = f"a: {scalar}\n"
    try:
        expected = parse_yaml(text, "params.yaml")
    except (YAMLFileCorruptedError, ValueError, IndexError):  # `0x_`, `-_`
        with pytest.raises(InputError):
            read(tmp_path_factory.getbasetemp(), text)
    else:
        found = read(tmp_path_factory.getbasetemp(), text)
        assert in_order(found) == in_order(expected)


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
        ('"a\\ud800": 1\n', "invalid Unicode character"),
        ("%YAML 1.1\n---\na: no\n", "another version than 1.2"),
        ("a: 1\nb:\n  <<: {d: 1}\n  <<: {e: 1}\n", "params.yaml:4: not valid YAML: duplicate"),
        ("a: 2001-12-14\n", "a timestamp"),
        ("a: =\n", "only plain values are allowed"),
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
