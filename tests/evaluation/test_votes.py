import csv
import logging
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refract.base.errors import InputError
from refract.evaluation.votes.folder import measure_votes
from refract.evaluation.votes.study_key import load_key, write_key
from refract.evaluation.votes.votes import COLUMNS, read_votes
from tests.tiny.study import make_key

KEY = make_key()
ROW = {
    "study": "s1",
    "rater": "Ann",
    "pair": "pair0old",
    "question": "product",
    "choice": "left",
    "left": "old0",
    "right": "new0",
    "seconds": "2.50",
    "time": "2025-01-31T12:00:00.000Z",
}


def write_csv(path: Path, *rows: dict[str, str], encoding: str = "utf-8") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding=encoding) as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
    return path


def test_a_vote_is_read_with_the_clip_it_is_for(tmp_path: Path) -> None:
    other = {"question": "motion", "choice": "none"}
    path = write_csv(tmp_path / "a.csv", ROW, ROW | other, encoding="utf-8-sig")
    motion, product = read_votes(path, KEY)
    assert (product.rater, product.chosen, product.seconds) == ("Ann", "old0", 2.5)
    assert motion.chosen is None
    assert read_votes(tmp_path, KEY) == [motion, product]


@pytest.mark.parametrize(
    ("changes", "column", "allowed"),
    [
        ({"study": "s2"}, "study", "s1, the study of the given key"),
        ({"pair": "pair9"}, "pair", "one of the 5 pairs"),
        ({"question": "taste"}, "question", "product or motion"),
        ({"choice": "LEFT"}, "choice", "left, right or none"),
        ({"left": "new1"}, "left", "new0 and old0"),
        ({"right": "old0"}, "right", "new0 and old0"),
        ({"seconds": "nan"}, "seconds", "a number from 0 up"),
        ({"seconds": "-1"}, "seconds", "a number from 0 up"),
        ({"seconds": "2,5"}, "seconds", "a number from 0 up"),
        ({"time": "yesterday"}, "time", "a time such as"),
        ({"time": "2025-01-31T12:00:00"}, "time", "a time such as"),
        ({"rater": "  "}, "rater", "1 to 60 printable"),
        ({"rater": "x" * 61}, "rater", "1 to 60 printable"),
        ({"rater": "a\x1b[31m"}, "rater", "1 to 60 printable"),
    ],
)
def test_errors_name_file_line_column_and_what_is_allowed(
    tmp_path: Path, changes: dict[str, str], column: str, allowed: str
) -> None:
    path = write_csv(tmp_path / "ann.csv", ROW, ROW | {"question": "motion"} | changes)
    with pytest.raises(InputError) as error:
        read_votes(path, KEY)
    message = str(error.value)
    assert f"ann.csv: line 3: column {column}: " in message
    assert allowed in message
    assert "\n" not in message and "\x1b" not in message


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "line 1: columns are nothing"),
        (b"study;rater\r\n", "line 1: columns are 'study;rater'"),
        ((",".join(COLUMNS) + "\ns1,Ann\n").encode(), "line 2: has 2 cells; must be 9"),
        (b"\xff\xfe\x00", "not a UTF-8 CSV file"),
        ((",".join(COLUMNS) + '\n"s1"x').encode(), "not a readable CSV"),
        (bytes(10) + b"\n", "a.csv: "),
        (b'"' + b"x" * 200_000, "not a readable CSV"),
        (b"x" * ((16 << 20) + 1), "at most 16777216 are allowed"),
    ],
)
def test_broken_files_are_refused(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "a.csv").write_bytes(content)
    with pytest.raises(InputError, match=r"a\.csv") as error:
        read_votes(tmp_path, KEY)
    assert message in str(error.value)


def test_an_empty_folder_holds_no_votes_and_a_missing_one_is_an_error(tmp_path: Path) -> None:
    assert read_votes(tmp_path, KEY) == []
    with pytest.raises(InputError, match="no such file or folder"):
        read_votes(tmp_path / "missing", KEY)


def test_the_latest_answer_counts_whatever_the_order_of_files(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    late = ROW | {"choice": "right", "time": "2025-01-31T12:00:05+00:00"}
    write_csv(tmp_path / "1.csv", late)
    write_csv(tmp_path / "2.csv", ROW)
    with caplog.at_level(logging.WARNING):
        (vote,) = read_votes(tmp_path, KEY)
    assert vote.chosen == "new0"
    assert "1.csv: line 2 replaces the answer of" in caplog.text


def test_the_same_answer_handed_in_twice_counts_once_and_silently(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_csv(tmp_path / "1.csv", ROW)
    write_csv(tmp_path / "2.csv", ROW)
    assert len(read_votes(tmp_path, KEY)) == 1
    assert not caplog.records


def test_different_answers_of_one_moment_are_refused(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "a.csv", ROW, ROW | {"choice": "none"})
    with pytest.raises(InputError, match=r"line 3: rater 'Ann' .* line 2 at the same time"):
        read_votes(path, KEY)


@given(st.sampled_from(["=cmd|' /C calc'!A0", "+1", "-1", "@SUM(A1)", "'quoted", 'Zoë; "Z"']))
def test_names_like_formulas_come_back_as_they_were(
    tmp_path_factory: pytest.TempPathFactory, name: str
) -> None:
    path = tmp_path_factory.mktemp("votes") / "a.csv"
    prefix = "'" if name[0] in "=+-@'" else ""  # as the page writes them
    (vote,) = read_votes(write_csv(path, ROW | {"rater": prefix + name}), KEY)
    assert vote.rater == name


def test_a_folder_with_its_key_gives_metrics(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_key(tmp_path / "key.json", KEY)
    assert load_key(tmp_path / "key.json") == KEY
    assert measure_votes(tmp_path) == {}
    check = {"pair": "check0", "left": "twin0a", "right": "twin0b"}
    write_csv(tmp_path / "a.csv", ROW | {"choice": "right"}, ROW | check)
    assert measure_votes(tmp_path)["product"]["rate"] == 1
    assert "'Ann' saw a difference between equal clips" in caplog.text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[]", "must hold an object, found list"),
        ("{", "not valid JSON"),
        ('{"study": "a"}', "key.json"),
        (
            '{"study": "a", "seed": 0, "methods": ["x", "y"], "clips": {}, '
            '"pairs": {"p": {"clips": ["1", "2"], "check": false}}}',
            "pairs.p: clip '1' is not listed",
        ),
        (
            '{"study": "a", "seed": 0, "methods": ["x", "y"], "clips": '
            '{"1": {"case": "c", "method": "x"}, "2": {"case": "d", "method": "y"}}, '
            '"pairs": {"p": {"clips": ["1", "2"], "check": false}}}',
            "pairs.p: must be two clips of one case by two methods",
        ),
    ],
)
def test_broken_keys_are_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "key.json").write_text(text)
    with pytest.raises(InputError) as error:
        load_key(tmp_path / "key.json")
    assert message in str(error.value)
