"""Tokenizers of a few hundred entries, in the files the hub's FLUX and Wan repositories hold."""

import json
from pathlib import Path

import sentencepiece
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from tokenizers.pre_tokenizers import ByteLevel
from transformers import PreTrainedTokenizerFast

_CORPUS = (
    "a diptych of the same scene, on the right as infrared thermal photo",
    "a red plain mug sliding left on beige wood",
    "a blue striped ball sliding right on pink silk",
)


def write_clip_tokenizer(folder: Path) -> int:
    """merges.txt, vocab.json and two JSON files, as in FLUX.1; returns the number of tokens.

    The vocabulary is that of CLIP without its merges: bytes, and bytes that end a word.
    """
    folder.mkdir(parents=True)
    letters = sorted(ByteLevel.alphabet())
    tokens = [*letters, *(f"{letter}</w>" for letter in letters)]
    tokens += ["<|startoftext|>", "<|endoftext|>"]  # last: the pooled token is the highest id
    _write(folder / "vocab.json", {token: index for index, token in enumerate(tokens)})
    (folder / "merges.txt").write_text("#version: 0.2\n")
    names = {
        "bos_token": "<|startoftext|>", "eos_token": "<|endoftext|>",
        "pad_token": "<|endoftext|>", "unk_token": "<|endoftext|>",
    }  # fmt: skip
    _write(folder / "special_tokens_map.json", names)
    facts = {"model_max_length": 77, "tokenizer_class": "CLIPTokenizer"}
    _write(folder / "tokenizer_config.json", names | facts)
    return len(tokens)


def write_t5_tokenizer(folder: Path) -> int:
    """spiece.model, tokenizer.json and two JSON files, as in FLUX.1 and Wan2.1."""
    folder.mkdir(parents=True)
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(_CORPUS), model_prefix=str(folder / "spiece"), vocab_size=90,
        model_type="unigram", pad_id=0, eos_id=1, unk_id=2, bos_id=-1, pad_piece="<pad>",
        eos_piece="</s>", unk_piece="<unk>", num_threads=1, minloglevel=2, hard_vocab_limit=False,
    )  # fmt: skip
    (folder / "spiece.vocab").unlink()  # only the trainer writes it
    pieces = sentencepiece.SentencePieceProcessor(model_file=str(folder / "spiece.model"))
    count = pieces.get_piece_size()
    scored = [(pieces.id_to_piece(index), pieces.get_score(index)) for index in range(count)]
    core = Tokenizer(models.Unigram(scored, unk_id=2))
    core.pre_tokenizer = pre_tokenizers.Metaspace()
    core.decoder = decoders.Metaspace()
    core.post_processor = processors.TemplateProcessing("$A </s>", special_tokens=[("</s>", 1)])
    names = {"eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"}
    PreTrainedTokenizerFast(tokenizer_object=core, **names).save_pretrained(folder)
    _write(folder / "special_tokens_map.json", names)
    facts = {"extra_ids": 0, "model_max_length": 512, "tokenizer_class": "T5Tokenizer"}
    _write(folder / "tokenizer_config.json", names | facts)
    return count


def _write(path: Path, content: dict[str, object] | dict[str, str] | dict[str, int]) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n")
