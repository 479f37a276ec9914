"""Which tokens of the two prompts of an edit are the words that it changes."""

import re
from collections.abc import Collection, Sequence
from difflib import SequenceMatcher
from typing import Any, NamedTuple

from refract.base.errors import InputError, shorten

Span = tuple[int, int]  # first character, one past the last

_UNSPACED = "\u3040-\u30ff\u3400-\u9fff"  # kana and Han: no spaces, each character is a word here
_WORD = re.compile(rf"[{_UNSPACED}]|[^\W{_UNSPACED}]+")
_ARTICLES = frozenset({"a", "an", "the"})


class _Word(NamedTuple):
    text: str
    span: Span


def edited_tokens(
    tokenizer: Any,
    source_prompt: str,
    target_prompt: str,
    words: Sequence[str] | None,
    max_sequence_length: int,
) -> dict[str, tuple[int, ...]]:
    """Token indices of the edited words in each prompt as `embed_prompt` embeds it.

    Args:
        tokenizer: of transformers; a word may be one token or several.
        words: the edited words or phrases, found whole and in any case, wherever they stand; one
            that a prompt lacks gives no token there. None: the words in which the prompts differ,
            articles aside. Where words were only dropped or only added, the word behind them is
            taken in both prompts as well (the one before them at the end): "a red mug" and
            "a mug" differ in "red", but it is the mug that is edited.
        max_sequence_length: tokens of an embedding; the end token and padding are never given.
    Returns:
        "source" and "target" -> rising indices; none where a prompt has none of the words.
    Raises:
        InputError for a word in neither prompt, and for None where the prompts do not differ.
    """
    from diffusers.pipelines.wan.pipeline_wan import prompt_clean

    texts = {"source": prompt_clean(source_prompt), "target": prompt_clean(target_prompt)}
    split = {prompt: _split(text) for prompt, text in texts.items()}
    chosen = _changed(split) if words is None else _given(split, words)
    return {
        prompt: _touching(
            _token_spans(tokenizer, text, max_sequence_length),
            [split[prompt][index].span for index in chosen[prompt]],
        )
        for prompt, text in texts.items()
    }


def _split(text: str) -> list[_Word]:
    return [_Word(match.group().casefold(), match.span()) for match in _WORD.finditer(text)]


def _given(split: dict[str, list[_Word]], words: Sequence[str]) -> dict[str, set[int]]:
    """Indices of the given words in each prompt."""
    if not words:
        raise InputError(
            "flowalign.region.words = []: give a word of a prompt, or null for what they differ in"
        )
    chosen: dict[str, set[int]] = {prompt: set() for prompt in split}
    for phrase in words:
        parts = [word.text for word in _split(phrase)]
        occurs = False
        for prompt, prompt_words in split.items():
            hits = _occurrences([word.text for word in prompt_words], parts)
            chosen[prompt] |= hits
            occurs = occurs or bool(hits)
        if not occurs:
            raise InputError(
                f"flowalign.region.words: {shorten(phrase)} is in neither prompt; give whole "
                "words of the source or the target prompt"
            )
    return chosen


def _occurrences(words: Sequence[str], parts: Sequence[str]) -> set[int]:
    """Indices of the words that belong to any occurrence of `parts`."""
    size = len(parts)
    starts = [i for i in range(len(words) - size + 1) if words[i : i + size] == parts]
    return {start + offset for start in starts for offset in range(size)}


def _changed(split: dict[str, list[_Word]]) -> dict[str, set[int]]:
    """Indices of the words in which the prompts differ."""
    # Without articles, "an orange mug" and "a mug" differ in a word dropped, not one replaced.
    compared = {
        prompt: [index for index, word in enumerate(words) if word.text not in _ARTICLES]
        for prompt, words in split.items()
    }
    source, target = (
        [split[prompt][index].text for index in compared[prompt]] for prompt in ("source", "target")
    )
    chosen: dict[str, set[int]] = {prompt: set() for prompt in split}
    for kind, i1, i2, j1, j2 in SequenceMatcher(None, source, target, False).get_opcodes():
        if kind == "equal":
            continue
        chosen["source"] |= set(compared["source"][i1:i2])
        chosen["target"] |= set(compared["target"][j1:j2])
        if kind != "replace":
            chosen["source"] |= _neighbour(compared["source"], i1, i2)
            chosen["target"] |= _neighbour(compared["target"], j1, j2)
    if not any(chosen.values()):
        raise InputError(
            "the source and the target prompt do not differ in a word: say in "
            "flowalign.region.words what is edited"
        )
    return chosen


def _neighbour(indices: Sequence[int], start: int, stop: int) -> set[int]:
    """The word behind a change from start to stop, or before it at the end of the prompt."""
    return set(indices[stop : stop + 1] or indices[max(start - 1, 0) : start])


def _token_spans(tokenizer: Any, text: str, max_sequence_length: int) -> list[Span]:
    """Characters of each token; an empty span for the end token."""
    if getattr(tokenizer, "is_fast", False):
        encoded = tokenizer(
            text,
            truncation=True,
            max_length=max_sequence_length,
            add_special_tokens=True,
            return_offsets_mapping=True,
        )
        return [(start, stop) for start, stop in encoded["offset_mapping"]]
    # A sentencepiece token never reaches across a space: what a piece between spaces adds to the
    # tokens of the text before it are its own.
    spans: list[Span] = []
    for piece in re.finditer(r"\S+", text):
        count = len(tokenizer(text[: piece.end()], add_special_tokens=False)["input_ids"])
        spans += [piece.span()] * (count - len(spans))
    return spans[: max_sequence_length - 1]


def _touching(tokens: Sequence[Span], words: Collection[Span]) -> tuple[int, ...]:
    """Indices of the tokens that share a character with one of the words."""
    return tuple(
        index
        for index, (start, stop) in enumerate(tokens)
        if any(start < last and stop > first for first, last in words)
    )
