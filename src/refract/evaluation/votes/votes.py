"""The votes of a study as raters hand them in: CSV files, checked line by line.

A name that begins like a formula carries a leading quote in the file, so that no spreadsheet
computes it; reading takes the quote off again.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from math import isfinite
from pathlib import Path
from typing import NoReturn

from refract.base.csv_rows import csv_reader
from refract.base.errors import InputError, shorten
from refract.evaluation.votes.study_key import QUESTIONS, StudyKey

logger = logging.getLogger(__name__)

COLUMNS = ("study", "rater", "pair", "question", "choice", "left", "right", "seconds", "time")
CHOICES = ("left", "right", "none")
_MOST_BYTES = 16 << 20  # a file; a vote takes some 150 bytes
_MOST_FILES = 1000
_MOST_NAME = 60  # as on the page


@dataclass(frozen=True)
class Vote:
    """One answer. left, right: tokens of the clips as shown. where: file and line."""

    rater: str
    pair: str
    question: str
    choice: str
    left: str
    right: str
    seconds: float
    time: datetime
    where: str

    @property
    def chosen(self) -> str | None:
        """The token of the chosen clip; None for `no difference`."""
        return {"left": self.left, "right": self.right}.get(self.choice)


@dataclass(frozen=True)
class _Line:
    """A row with what an error needs to name its place."""

    where: str
    cells: Mapping[str, str]

    def __getitem__(self, column: str) -> str:
        return self.cells[column]

    def refuse(self, column: str, allowed: str) -> NoReturn:
        value = shorten(self.cells[column])
        raise InputError(f"{self.where}: column {column}: {value}; must be {allowed}")


def read_votes(path: Path, key: StudyKey) -> list[Vote]:
    """The votes in a CSV file, or in every *.csv of a folder (which may hold none).

    Of several answers of one rater to one question the latest by `time` counts: a rater may hand
    in a file, go back and hand in another. Where they differ a warning says so.

    Raises InputError naming file, line and column for whatever the page would not have written,
    for another study's votes, and for differing answers of the same time.
    """
    latest: dict[tuple[str, str, str], Vote] = {}
    for file in _vote_files(Path(path)):
        for line in _read_lines(file):
            vote = _parse(line, key)
            place = (vote.rater, vote.pair, vote.question)
            latest[place] = _later(latest[place], vote) if place in latest else vote
    return [latest[place] for place in sorted(latest)]


def _vote_files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise InputError(f"votes {path}: no such file or folder")
    files = sorted(file for file in path.iterdir() if file.suffix.lower() == ".csv")
    if len(files) > _MOST_FILES:
        raise InputError(f"votes {path}: {len(files)} files; at most {_MOST_FILES} are allowed")
    return files


def _read_lines(path: Path) -> Iterator[_Line]:
    try:
        size = path.stat().st_size
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    if size > _MOST_BYTES:
        raise InputError(f"{path}: holds {size} bytes; at most {_MOST_BYTES} are allowed")
    with csv_reader(path) as reader:
        yield from _rows(path, reader)


def _rows(path: Path, reader: Iterator[list[str]]) -> Iterator[_Line]:
    header = next(reader, None)
    if header is None or sorted(header) != sorted(COLUMNS):
        present = "nothing" if header is None else shorten(",".join(header))
        raise InputError(f"{path}: line 1: columns are {present}; must be {','.join(COLUMNS)}")
    for number, row in enumerate(reader, start=2):
        if row:  # spreadsheets leave empty lines at the end
            where = f"{path}: line {number}"
            if len(row) != len(header):
                raise InputError(f"{where}: has {len(row)} cells; must be {len(header)}")
            yield _Line(where, dict(zip(header, row, strict=True)))


def _parse(line: _Line, key: StudyKey) -> Vote:
    if line["study"] != key.study:
        line.refuse("study", f"{key.study}, the study of the given key")
    if line["pair"] not in key.pairs:
        line.refuse("pair", f"one of the {len(key.pairs)} pairs of study {key.study}")
    _one_of(line, "question", tuple(QUESTIONS))
    _one_of(line, "choice", CHOICES)
    clips = key.pairs[line["pair"]].clips
    if sorted((line["left"], line["right"])) != sorted(clips):
        column = "left" if line["left"] not in clips else "right"
        line.refuse(column, f"one of the pair's two clips {' and '.join(clips)}, each on one side")
    return Vote(
        rater=_rater(line),
        pair=line["pair"],
        question=line["question"],
        choice=line["choice"],
        left=line["left"],
        right=line["right"],
        seconds=_seconds(line),
        time=_time(line),
        where=line.where,
    )


def _one_of(line: _Line, column: str, allowed: Sequence[str]) -> None:
    if line[column] not in allowed:
        line.refuse(column, ", ".join(allowed[:-1]) + f" or {allowed[-1]}")


def _rater(line: _Line) -> str:
    name = line["rater"].removeprefix("'").strip()
    if not (0 < len(name) <= _MOST_NAME and name.isprintable()):
        line.refuse("rater", f"1 to {_MOST_NAME} printable characters")
    return name


def _seconds(line: _Line) -> float:
    try:
        seconds = float(line["seconds"])
    except ValueError:
        seconds = -1.0
    if not (isfinite(seconds) and seconds >= 0):
        line.refuse("seconds", "a number from 0 up, with a decimal point")
    return seconds


def _time(line: _Line) -> datetime:
    try:
        time = datetime.fromisoformat(line["time"])
    except ValueError:
        time = None
    if time is None or time.tzinfo is None:
        line.refuse("time", "a time such as 2025-01-31T12:00:00.000Z")
    return time


def _later(vote: Vote, other: Vote) -> Vote:
    if vote.chosen == other.chosen:
        return max(vote, other, key=lambda cast: cast.time)
    if vote.time == other.time:
        raise InputError(
            f"{other.where}: rater {shorten(other.rater)} answers {other.question} of pair "
            f"{other.pair} unlike {vote.where} at the same time; remove one"
        )
    old, new = sorted((vote, other), key=lambda cast: cast.time)
    logger.warning(
        "rater %s: %s of pair %s: %s replaces the answer of %s; two raters of one name?",
        shorten(new.rater), new.question, new.pair, new.where, old.where,
    )  # fmt: skip
    return new
