"""Small text encoders of the kinds FLUX uses: a pooled CLIP vector and a T5 token sequence.

Both are random and frozen. A random one-layer encoder over a word-level vocabulary already maps
every word to its own direction; the transformer learns what the directions mean. The price: the
encoders know no synonyms, and a word outside the vocabulary is `<unk>`.
"""

import refract.models.torchvision_compat  # noqa: F401  (must come before diffusers)

# isort: split
import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    PreTrainedTokenizerFast,
    T5Config,
    T5EncoderModel,
)

CLIP_TOKENS = 32  # CLIP pads to this length; T5 pads to the caller's max_sequence_length
WIDTH = 64
PAD, UNK, BOS, EOS = "<pad>", "<unk>", "<bos>", "<eos>"
# CLIPTextModel reads the pooled vector at the first EOS, but treats the id 2 as a legacy default
# and then pools at the *largest* id instead: EOS must not be 2.
SPECIAL = {PAD: 0, UNK: 1, BOS: 2, EOS: 3}


def build_tokenizer(words: list[str], *, bos: bool, max_tokens: int) -> PreTrainedTokenizerFast:
    """Word-level tokenizer: lower case, punctuation dropped, `[bos] words eos`, padded right."""
    ids = SPECIAL | {word: len(SPECIAL) + i for i, word in enumerate(words)}
    core = Tokenizer(models.WordLevel(ids, unk_token=UNK))
    core.normalizer = normalizers.Sequence(
        [normalizers.Lowercase(), normalizers.Replace(",", " "), normalizers.Replace(".", " ")]
    )
    core.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    template = f"{BOS} $A {EOS}" if bos else f"$A {EOS}"
    core.post_processor = processors.TemplateProcessing(
        single=template, special_tokens=[(token, SPECIAL[token]) for token in (BOS, EOS)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        model_max_length=max_tokens,
        pad_token=PAD,
        unk_token=UNK,
        eos_token=EOS,
        bos_token=BOS if bos else None,
        padding_side="right",
    )


def build_clip(vocabulary: int, seed: int) -> CLIPTextModel:
    """One-layer CLIP text model whose pooled vector (WIDTH) depends on all words.

    With the usual initialisation the residual of the EOS token outweighs what attention brings
    in, and all prompts pool to nearly one vector; so EOS starts at zero and the value path is
    orthogonal with a gain that makes the words dominate.
    """
    torch.manual_seed(seed)
    config = CLIPTextConfig(
        vocab_size=vocabulary,
        hidden_size=WIDTH,
        intermediate_size=2 * WIDTH,
        projection_dim=WIDTH,
        num_hidden_layers=1,
        num_attention_heads=4,
        max_position_embeddings=CLIP_TOKENS,
        pad_token_id=SPECIAL[PAD],
        bos_token_id=SPECIAL[BOS],
        eos_token_id=SPECIAL[EOS],
    )
    model = CLIPTextModel(config)
    parameters = dict(model.named_parameters())
    for name, value in parameters.items():
        if name.endswith("token_embedding.weight"):
            torch.nn.init.normal_(value, std=1.0)
            value.data[SPECIAL[EOS]] = 0
        elif name.endswith("position_embedding.weight"):
            torch.nn.init.normal_(value, std=0.02)
        elif name.endswith(("v_proj.weight", "out_proj.weight")):
            torch.nn.init.orthogonal_(value, gain=3.0)
    return model.eval().requires_grad_(False)


def build_t5(vocabulary: int, seed: int) -> T5EncoderModel:
    """One-layer T5 encoder of width WIDTH with its standard initialisation."""
    torch.manual_seed(seed)
    config = T5Config(
        vocab_size=vocabulary,
        d_model=WIDTH,
        d_kv=16,
        d_ff=2 * WIDTH,
        num_layers=1,
        num_heads=4,
        dropout_rate=0.0,
        pad_token_id=SPECIAL[PAD],
        eos_token_id=SPECIAL[EOS],
        decoder_start_token_id=SPECIAL[PAD],
    )
    return T5EncoderModel(config).eval().requires_grad_(False)
