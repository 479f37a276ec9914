"""The item-store key of a prompt's embedding, the same for every text encoder."""

from typing import Protocol

from refract.pipeline.import_closure import closure
from refract.pipeline.item_store import ItemStore


class TextSettings(Protocol):
    """What an embedding depends on besides the prompt and the weights."""

    @property
    def max_sequence_length(self) -> int: ...

    @property
    def dtype(self) -> str: ...


def text_key(
    store: ItemStore, prompt: str, settings: TextSettings, *, module: str, identity: str
) -> str:
    """`module` computes the embedding; `identity` is the `model_identity` of the encoder."""
    params = {
        "prompt": prompt,
        "max_sequence_length": settings.max_sequence_length,
        "dtype": settings.dtype,
    }
    return store.key(params=params, inputs={}, code=closure(module), model=identity)
