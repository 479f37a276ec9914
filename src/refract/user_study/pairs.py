"""Which clips of a study meet, and the names under which they may be shown."""

import hashlib
import hmac
import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

from refract.base.errors import InputError
from refract.evaluation.votes.study_key import KeyClip, KeyPair, StudyKey
from refract.pipeline.item_store import hash_file

_DIGITS = 16  # 64 bits: no two of a few thousand names meet

ClipId = tuple[str, str]  # case, method


@dataclass(frozen=True)
class Tokens:
    """Names that say nothing: keyed hashes under a salt.

    The salt is drawn from the seed *and* the contents of the clips as they were made. So the same
    study gets the same names, yet who has only the page cannot try out cases and methods: the
    compressed clips do not give the salt back.
    """

    salt: bytes

    @classmethod
    def of(cls, seed: int, files: Mapping[ClipId, Path]) -> "Tokens":
        facts: list[object] = [seed]
        for clip, path in sorted(files.items()):
            facts.append([*clip, hash_file(path)])
        return cls(hashlib.sha256(json.dumps(facts).encode()).digest())

    def __call__(self, *parts: object) -> str:
        message = json.dumps([str(part) for part in parts]).encode()
        return hmac.new(self.salt, message, hashlib.sha256).hexdigest()[:_DIGITS]


@dataclass(frozen=True)
class StudyPlan:
    """key: all pairs and tokens. shown: token -> clip, the copies made for checks among them."""

    key: StudyKey
    shown: Mapping[str, ClipId]


def plan_pairs(
    tokens: Tokens,
    alike: Mapping[str, Sequence[tuple[str, ...]]],
    methods: Sequence[str],
    *,
    seed: int,
    checks: int,
) -> StudyPlan:
    """Every two methods of every case, and `checks` pairs of one clip shown twice.

    Pairs and clips within a pair stand in the order of their tokens, which is no order.

    Args:
        alike: case -> groups of methods whose clips are equal; these do not meet.
    Raises InputError where nothing is left to compare or there are more checks than clips.
    """
    pairs: dict[str, KeyPair] = {}
    shown: dict[str, ClipId] = {}
    for case, groups in alike.items():
        group_of = {method: place for place, group in enumerate(groups) for method in group}
        for first, second in combinations(methods, 2):
            if group_of[first] != group_of[second]:
                clips = {tokens("clip", case, method): (case, method) for method in (first, second)}
                shown |= clips
                pairs[tokens("pair", case, first, second)] = _pair(clips, check=False)
    if not pairs:
        raise InputError("user study: no two clips differ; there is nothing to compare")
    for clip in _draw(sorted(set(shown.values())), checks, tokens):
        clips = {tokens("check", *clip, side): clip for side in (0, 1)}
        shown |= clips
        pairs[tokens("check", *clip)] = _pair(clips, check=True)
    behind = {token: KeyClip(case=case, method=method) for token, (case, method) in shown.items()}
    key = StudyKey(
        study=tokens("study", *methods, checks),
        seed=seed,
        methods=tuple(methods),
        clips=dict(sorted(behind.items())),
        pairs=dict(sorted(pairs.items())),
    )
    return StudyPlan(key, dict(sorted(shown.items())))


def _pair(clips: Mapping[str, ClipId], *, check: bool) -> KeyPair:
    return KeyPair(clips=tuple(sorted(clips)), check=check)


def _draw(clips: Sequence[ClipId], count: int, tokens: Tokens) -> list[ClipId]:
    if not 0 <= count <= len(clips):
        raise InputError(f"user study: {count} checks; must be 0 to {len(clips)}, one a clip")
    return random.Random(tokens("draw")).sample(clips, count)
