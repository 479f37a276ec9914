"""The tokens of the edited words, with a tokenizer of words and one of pieces of words."""

import string
from functools import cache
from pathlib import Path
from typing import Any

import refract.models.torchvision_compat  # noqa: F401  before diffusers and transformers

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refract.base.errors import InputError
from refract.editing.samplers.edited_words import edited_tokens

WORDS = ("a", "red", "plain", "mug", "ball", "on", "the", "wood", "beige", "sliding")
LIMIT = 64
SOURCE, TARGET = "a red plain mug on beige wood", "a mug on beige wood"


class SlowTokenizer:
    """One without offsets: it alone knows what belongs to a word."""

    is_fast = False

    def __init__(self, fast: Any) -> None:
        self.fast = fast

    def __call__(self, text: str, **options: Any) -> Any:
        assert "return_offsets_mapping" not in options
        return self.fast(text, **options)


@cache
def pieces_tokenizer() -> Any:
    """In the manner of UMT5: a space goes with the piece behind it, long words are split."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    special = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0)]
    pieces = [("▁a", -2.0), ("▁re", -3.0), ("▁mu", -3.0), ("ing", -3.0), ("▁", -2.0)]
    characters = [(character, -9.0) for character in string.ascii_letters + ".,-杯子茶"]
    core = Tokenizer(models.Unigram([*special, *pieces, *characters], unk_id=2))
    core.normalizer = normalizers.NFKC()
    core.pre_tokenizer = pre_tokenizers.Metaspace()
    core.post_processor = processors.TemplateProcessing("$A </s>", special_tokens=[("</s>", 1)])
    return PreTrainedTokenizerFast(
        tokenizer_object=core, pad_token="<pad>", eos_token="</s>", unk_token="<unk>"
    )


@pytest.fixture(scope="module")
def micro() -> Any:
    from transformers import AutoTokenizer

    folder = Path(__file__).parents[2] / "backbones" / "wan-micro" / "tokenizer"
    return AutoTokenizer.from_pretrained(folder)


@pytest.fixture(scope="module")
def pieces() -> Any:
    return pieces_tokenizer()


@pytest.fixture(scope="module", params=["words", "pieces", "slow"])
def tokenizer(request: pytest.FixtureRequest, micro: Any, pieces: Any) -> Any:
    return {"words": micro, "pieces": pieces, "slow": SlowTokenizer(pieces)}[request.param]


def found(
    tokenizer: Any, source: str, target: str, words: list[str] | None = None
) -> tuple[str, str]:
    """The chosen tokens of either prompt as text, run together without spaces."""
    tokens = edited_tokens(tokenizer, source, target, words, LIMIT)
    assert all(list(own) == sorted(set(own)) for own in tokens.values())
    return _text(tokenizer, source, tokens["source"]), _text(tokenizer, target, tokens["target"])


def _text(tokenizer: Any, prompt: str, indices: tuple[int, ...]) -> str:
    fast = getattr(tokenizer, "fast", tokenizer)
    ids = fast(prompt).input_ids
    tokens = fast.convert_ids_to_tokens([ids[index] for index in indices])
    return "".join(tokens).replace("▁", "")


def test_given_words_are_found_in_both_prompts(tokenizer: Any) -> None:
    assert found(tokenizer, SOURCE, TARGET, ["mug"]) == ("mug", "mug")
    assert found(tokenizer, SOURCE, TARGET, ["wood", "plain"]) == ("plainwood", "wood")
    assert found(tokenizer, "a mug on a red mug", TARGET, ["mug"]) == ("mugmug", "mug")


def test_phrases_are_found_whole(tokenizer: Any) -> None:
    assert found(tokenizer, SOURCE, TARGET, ["red plain mug"]) == ("redplainmug", "")
    assert found(tokenizer, SOURCE, TARGET, ["beige  wood"]) == ("beigewood", "beigewood")
    with pytest.raises(InputError, match=r"flowalign\.region\.words: 'plain red'"):
        found(tokenizer, SOURCE, TARGET, ["plain red"])


def test_words_count_whole_and_in_any_case(tokenizer: Any) -> None:
    assert found(tokenizer, SOURCE, TARGET, ["MUG"]) == ("mug", "mug")
    assert found(tokenizer, "a RED mug", TARGET, ["red"])[0].casefold() == "red"
    with pytest.raises(InputError, match=r"flowalign\.region\.words: 're'"):
        found(tokenizer, SOURCE, TARGET, ["mug", "re"])


@pytest.mark.parametrize("word", ["lamp", "", "!", "</s>", "mug wood"])
def test_a_word_in_neither_prompt_is_named(micro: Any, word: str) -> None:
    with pytest.raises(InputError, match=r"flowalign\.region\.words") as caught:
        found(micro, SOURCE, TARGET, [word])
    assert repr(word) in str(caught.value)


def test_no_words_at_all_is_an_error(micro: Any) -> None:
    with pytest.raises(InputError, match=r"flowalign\.region\.words = \[\]"):
        found(micro, SOURCE, TARGET, [])


@pytest.mark.parametrize(
    ("source", "target", "expected"),
    [
        ("a red mug on wood", "a blue ball on wood", ("redmug", "blueball")),
        ("a red plain mug on wood", "a mug on wood", ("redplainmug", "mug")),
        ("a mug on wood", "a red mug on wood", ("mug", "redmug")),
        ("an orange mug on wood", "a mug on wood", ("orangemug", "mug")),
        ("a mug on red wood", "a mug", ("mugonredwood", "mug")),
        ("a mug on wood", "a ball on silk", ("mugwood", "ballsilk")),
        ("red mug", "a ball", ("redmug", "ball")),
        ("red mug", "", ("redmug", "")),
    ],
)
def test_words_in_which_the_prompts_differ(
    pieces: Any, source: str, target: str, expected: tuple[str, str]
) -> None:
    assert found(pieces, source, target) == expected


@pytest.mark.parametrize("target", [SOURCE, SOURCE.upper(), "the red plain mug, on beige wood"])
def test_prompts_that_do_not_differ_ask_for_words(micro: Any, target: str) -> None:
    with pytest.raises(InputError, match=r"flowalign\.region\.words"):
        found(micro, SOURCE, target)


def test_cleaning_of_the_prompt_is_that_of_the_embedding(tokenizer: Any) -> None:
    untidy = "  a   red\nplain&#32;mug on  beige wood "
    tokens = edited_tokens(tokenizer, untidy, TARGET, None, LIMIT)
    assert tokens == edited_tokens(tokenizer, SOURCE, TARGET, None, LIMIT)


def test_punctuation_and_hyphens_end_a_word(pieces: Any) -> None:
    prompt = "a mug-red, ring. a mugring"
    assert found(pieces, prompt, TARGET, ["mug"]) == ("mug", "mug")
    assert found(pieces, prompt, TARGET, ["mug-red"]) == ("mugred", "")


def test_scripts_without_spaces_are_split_into_characters(pieces: Any) -> None:
    assert found(pieces, "茶杯子", "茶子", ["杯子"]) == ("杯子", "")
    assert found(pieces, "茶杯", "茶子") == ("杯", "子")


def test_indices_stay_within_the_embedding(tokenizer: Any) -> None:
    limit = 6
    tokens = edited_tokens(tokenizer, "mug " * 20, "red " * 20, ["mug", "red"], limit)
    assert tokens["source"] and max(tokens["source"]) == limit - 2  # the end token stands behind
    assert max(tokens["target"]) == limit - 2


PROMPTS = st.lists(st.sampled_from(WORDS), min_size=1, max_size=8)


@given(source=PROMPTS, target=PROMPTS, data=st.data(), slow=st.booleans())
def test_exactly_the_asked_words_in_order(
    source: list[str], target: list[str], data: st.DataObject, slow: bool
) -> None:
    asked = data.draw(st.lists(st.sampled_from([*source, *target]), min_size=1, max_size=3))
    fast = pieces_tokenizer()
    tokenizer = SlowTokenizer(fast) if slow else fast
    texts = found(tokenizer, " ".join(source), " ".join(target), asked)
    for text, prompt in zip(texts, (source, target), strict=True):
        assert text == "".join(word for word in prompt if word in asked)


@given(source=PROMPTS, target=PROMPTS)
def test_what_is_not_chosen_is_the_same_in_both_prompts(
    source: list[str], target: list[str]
) -> None:
    kept = [[word for word in prompt if word not in {"a", "the"}] for prompt in (source, target)]
    if kept[0] == kept[1]:
        return
    prompts = {"source": " ".join(kept[0]), "target": " ".join(kept[1])}
    pieces = pieces_tokenizer()
    tokens = edited_tokens(pieces, prompts["source"], prompts["target"], None, LIMIT)
    others = []
    for name, prompt in prompts.items():
        count = len(pieces(prompt).input_ids) - 1
        others.append(_text(pieces, prompt, tuple(sorted(set(range(count)) - set(tokens[name])))))
    assert others[0] == others[1] and any(tokens.values())
