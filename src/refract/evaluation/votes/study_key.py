"""The key of a study: which clip behind a token was made how. Raters must never be given it.

The page and the votes know tokens alone. `key.json` joins them with cases and methods again.
"""

import json
from itertools import combinations
from pathlib import Path
from typing import Annotated, NamedTuple

from pydantic import Field

from refract.base.atomic import write_text
from refract.base.errors import InputError, shorten
from refract.base.files import read_json_object
from refract.params.section import Items, Section, validate

QUESTIONS = {
    "product": "Which looks more like the product?",
    "motion": "Whose motion is more natural?",
}  # id in votes and metrics -> as asked
_MOST_BYTES = 1 << 26


class KeyClip(Section):
    """What is behind a token."""

    case: str
    method: str


class KeyPair(Section):
    """clips: two tokens. check: both clips are the same, so that `no difference` is right."""

    clips: Annotated[Items[str], Field(min_length=2, max_length=2)]
    check: bool


class StudyKey(Section):
    """methods: as compared, the one of interest first. clips: token ->, pairs: pair id ->."""

    study: Annotated[str, Field(min_length=1)]
    seed: int
    methods: Annotated[Items[str], Field(min_length=2)]
    clips: dict[str, KeyClip]
    pairs: dict[str, KeyPair]

    def method_of(self, token: str) -> str:
        return self.clips[token].method

    def case_of(self, pair: str) -> str:
        return self.clips[self.pairs[pair].clips[0]].case

    def comparisons(self) -> list["MethodPair"]:
        """Every two methods in the order given, the first ahead of the second."""
        return [MethodPair(*methods) for methods in combinations(self.methods, 2)]

    def comparison_of(self, pair: str) -> "MethodPair":
        """The two methods of a pair, in the order of `methods`."""
        shown = {self.method_of(token) for token in self.pairs[pair].clips}
        return MethodPair(*[method for method in self.methods if method in shown])


class MethodPair(NamedTuple):
    """Two methods; a rate is that of the first."""

    first: str
    second: str


def write_key(path: Path, key: StudyKey) -> None:
    write_text(path, json.dumps(key.model_dump(mode="json"), indent=1, sort_keys=True) + "\n")


def load_key(path: Path) -> StudyKey:
    """Raises InputError for a missing, malformed or inconsistent file."""
    if path.is_file() and path.stat().st_size > _MOST_BYTES:
        raise InputError(f"{path}: holds more than {_MOST_BYTES} bytes; no key of a study")
    key = validate(StudyKey, read_json_object(path), path)
    _check(path, key)
    return key


def _check(path: Path, key: StudyKey) -> None:
    """Every token leads somewhere, and every pair shows one case by two methods (checks: one)."""
    if len(set(key.methods)) < len(key.methods):
        raise InputError(f"{path}: methods: holds a name twice")
    for token, clip in key.clips.items():
        if clip.method not in key.methods:
            raise InputError(f"{path}: clips.{token}: method {shorten(clip.method)} is not listed")
    for name, pair in key.pairs.items():
        unknown = [token for token in pair.clips if token not in key.clips]
        if unknown:
            raise InputError(f"{path}: pairs.{name}: clip {shorten(unknown[0])} is not listed")
        cases = {key.clips[token].case for token in pair.clips}
        methods = {key.method_of(token) for token in pair.clips}
        if len(set(pair.clips)) < 2 or len(cases) > 1 or len(methods) != 2 - pair.check:
            raise InputError(f"{path}: pairs.{name}: must be two clips of one case by two methods")
