"""Prompt embeddings, each computed once and kept in the item store."""

import logging
from collections.abc import Iterable
from pathlib import Path

from safetensors.torch import load_file, save_file

from refract.models.flux_fill import ModelReference, TextEmbedding, encode_prompts
from refract.models.text_key import text_key
from refract.pipeline.item_store import ItemStore

logger = logging.getLogger(__name__)

_FILE = "text.safetensors"


def embed_flux_prompts(
    prompts: Iterable[str],
    model: ModelReference,
    *,
    root: Path,
    model_identity: str,
    device: str,
    refresh: bool | None = None,
) -> dict[str, TextEmbedding]:
    """Embeddings by prompt, on the CPU; the encoders load only where a prompt is new.

    refresh: as in `ItemStore`.
    """
    store = ItemStore(root, "ir_text", refresh=refresh)
    keys = {
        prompt: text_key(
            store, prompt, model, module="refract.models.flux_text_cache", identity=model_identity
        )
        for prompt in sorted(set(prompts))
    }
    missing = [prompt for prompt, key in keys.items() if store.get(key) is None]
    if missing:
        for prompt, text in encode_prompts(model, missing, device).items():
            with store.create(keys[prompt]) as slot:
                tensors = {name: x.cpu().contiguous() for name, x in text._asdict().items()}
                save_file(tensors, slot / _FILE)
    logger.info("prompts: %d cached, %d embedded", store.hits, store.computed)
    return {
        prompt: TextEmbedding(**load_file(store.folder / key / _FILE))
        for prompt, key in keys.items()
    }
