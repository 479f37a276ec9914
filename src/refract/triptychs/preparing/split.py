"""Train/val/test by sequence: frames of one video never straddle splits."""

import hashlib
import logging
from collections import Counter
from collections.abc import Mapping, Sequence

from refract.base.errors import InputError

logger = logging.getLogger(__name__)


def assign_splits(
    sequences: Sequence[str], fractions: Mapping[str, float], seed: int
) -> dict[str, str]:
    """Map each sequence name to "train", "val" or "test".

    `sequences` holds the sequence of every item (names repeat). Sequences are put in an order
    drawn from the seed; test fills up to its share of the items first, then val, the rest is
    train. A split may exceed its share by less than one sequence. The result does not depend on
    the order of `sequences`.

    Raises InputError where a split with a share above 0 stays empty.
    """
    counts = Counter(sequences)
    filled: Counter[str] = Counter()
    splits: dict[str, str] = {}
    for name in sorted(counts, key=lambda name: _draw(seed, name)):
        split = "train"
        for held_out in ("test", "val"):
            if filled[held_out] < round(fractions[held_out] * len(sequences)):
                split = held_out
                break
        splits[name] = split
        filled[split] += counts[name]
    for split, fraction in fractions.items():
        if fraction > 0 and not filled[split]:
            raise InputError(
                f"split {split} stays empty: {len(counts)} sequences of {len(sequences)} items "
                f"are too few for shares {dict(fractions)} (prepare_triptychs.split)"
            )
    return splits


def check_leaks(splits: Mapping[str, tuple[str, str]]) -> None:
    """InputError where a sequence is in two splits. `splits`: id -> (sequence, split)."""
    home: dict[str, tuple[str, str]] = {}
    for item, (sequence, split) in splits.items():
        other, other_split = home.setdefault(sequence, (item, split))
        if other_split != split:
            raise InputError(
                f"sequence {sequence} straddles splits: {other} is in {other_split}, "
                f"{item} in {split}"
            )


def hold_out_val(
    given: Mapping[str, tuple[str, str]], fractions: Mapping[str, float], seed: int
) -> dict[str, str]:
    """A data set's own split by id, with a val part taken from train where it has none.

    `given`: id -> (sequence, split). Whole sequences of train, in an order drawn from the seed,
    become val until it has val / (train + val) of the train items; one sequence at least is taken
    and one stays. Nothing is taken where that share is 0, where train is empty, or, with a
    warning, where train is a single sequence.
    """
    splits = {item: split for item, (_, split) in given.items()}
    train = Counter(sequence for sequence, split in given.values() if split == "train")
    if "val" in splits.values() or not train or fractions["val"] == 0:
        return splits
    if len(train) == 1:
        logger.warning(
            "split val stays empty: the %d items of train are one sequence, %s, which cannot be "
            "divided without a leak",
            train.total(),
            next(iter(train)),
        )
    share = fractions["val"] / (fractions["train"] + fractions["val"])
    wanted = max(1, round(share * train.total()))
    held_out: set[str] = set()
    for name in sorted(train, key=lambda name: _draw(seed, name))[:-1]:  # one stays, at least
        if sum(train[other] for other in held_out) < wanted:
            held_out.add(name)
    return {
        item: "val" if split == "train" and sequence in held_out else split
        for item, (sequence, split) in given.items()
    }


def _draw(seed: int, name: str) -> bytes:
    return hashlib.sha256(f"{seed}/{name}".encode()).digest()
