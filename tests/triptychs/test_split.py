import random

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from refract.base.errors import InputError
from refract.triptychs.preparing.split import assign_splits, check_leaks, hold_out_val

SHARES = {"train": 0.7, "val": 0.1, "test": 0.2}


@given(lengths=st.lists(st.integers(1, 6), min_size=12, max_size=60), seed=st.integers(0, 1000))
def test_sequences_stay_whole_and_shares_are_met(lengths: list[int], seed: int) -> None:
    sequences = [f"s{i}" for i, length in enumerate(lengths) for _ in range(length)]
    splits = assign_splits(sequences, SHARES, seed)
    assert splits.keys() == set(sequences)  # one split a sequence: nothing can straddle
    for name in ("val", "test"):
        count = sum(splits[sequence] == name for sequence in sequences)
        wanted = round(SHARES[name] * len(sequences))
        assert wanted <= count < wanted + max(lengths)


@given(seed=st.integers(0, 1000))
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


@given(lengths=st.lists(st.integers(1, 6), min_size=2, max_size=40), seed=st.integers(0, 1000))
@example(lengths=[1, 5, 6, 4, 1, 1, 6, 6, 6], seed=0)  # 4.5 wanted
def test_val_is_taken_from_train_in_whole_sequences(lengths: list[int], seed: int) -> None:
    own = {
        f"{sequence}-{frame}": (f"s{sequence}", "train")
        for sequence, length in enumerate(lengths)
        for frame in range(length)
    } | {"t": ("test", "test")}
    splits = hold_out_val(own, SHARES, seed)
    assert splits.keys() == own.keys() and splits["t"] == "test"
    check_leaks({item: (own[item][0], split) for item, split in splits.items()})
    wanted = 0.125 * sum(lengths)  # 0.1 of 0.7 + 0.1; half an item more where it is rounded up
    count = list(splits.values()).count("val")
    assert 1 <= count < max(1, wanted + 0.5) + max(lengths)
    assert "train" in splits.values()
    assert hold_out_val(dict(reversed(own.items())), SHARES, seed) == splits


def test_another_seed_holds_out_others() -> None:
    own = {f"i{i}": (f"s{i}", "train") for i in range(50)}
    assert hold_out_val(own, SHARES, 0) != hold_out_val(own, SHARES, 1)


def test_where_no_val_is_taken(caplog: pytest.LogCaptureFixture) -> None:
    given_val = {"a": ("a", "train"), "b": ("b", "train"), "c": ("c", "val")}
    assert hold_out_val(given_val, SHARES, 0) == {"a": "train", "b": "train", "c": "val"}
    only_test = {"a": ("a", "test")}
    assert hold_out_val(only_test, SHARES, 0) == {"a": "test"}
    two = {"a": ("a", "train"), "b": ("b", "train")}
    assert "val" not in hold_out_val(two, SHARES | {"val": 0.0}, 0).values()
    assert not caplog.records
    one = {"a": ("drive", "train"), "b": ("drive", "train")}
    assert hold_out_val(one, SHARES, 0) == {"a": "train", "b": "train"}
    assert "split val stays empty: the 2 items of train are one sequence, drive" in caplog.text
