import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refract.errors import InputError
from refract.triptych_split import assign_splits, check_leaks

SHARES = {"train": 0.7, "val": 0.1, "test": 0.2}


@given(lengths=st.lists(st.integers(1, 6), min_size=12, max_size=60), seed=st.integers(0, 1000))
@settings(deadline=None, max_examples=60)
def test_sequences_stay_whole_and_shares_are_met(lengths: list[int], seed: int) -> None:
    sequences = [f"s{i}" for i, length in enumerate(lengths) for _ in range(length)]
    splits = assign_splits(sequences, SHARES, seed)
    assert splits.keys() == set(sequences)  # one split a sequence: nothing can straddle
    for name in ("val", "test"):
        count = sum(splits[sequence] == name for sequence in sequences)
        wanted = round(SHARES[name] * len(sequences))
        assert wanted <= count < wanted + max(lengths)


@given(seed=st.integers(0, 1000))
@settings(deadline=None, max_examples=20)
def test_the_order_of_the_items_does_not_matter(seed: int) -> None:
    sequences = [f"s{i % 17}" for i in range(60)]
    shuffled = random.Random(seed).sample(sequences, len(sequences))
    assert assign_splits(shuffled, SHARES, seed) == assign_splits(sequences, SHARES, seed)


def test_another_seed_splits_otherwise() -> None:
    sequences = [f"s{i}" for i in range(50)]
    assert assign_splits(sequences, SHARES, 0) != assign_splits(sequences, SHARES, 1)


def test_too_few_sequences_are_refused() -> None:
    with pytest.raises(InputError, match="split train stays empty"):
        assign_splits(["one"] * 30, SHARES, 0)


def test_a_given_split_that_leaks_is_refused() -> None:
    with pytest.raises(InputError, match=r"sequence drive straddles splits: a is in train, b"):
        check_leaks({"a": ("drive", "train"), "b": ("drive", "test")})
