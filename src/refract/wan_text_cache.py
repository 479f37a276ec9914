"""Embeddings of video prompts, each computed once and kept in the item store."""

from collections.abc import Mapping
from pathlib import Path

from safetensors.torch import load_file, save_file
from torch import Tensor

from refract.errors import InputError
from refract.item_store import ItemStore
from refract.params.models import VideoModel
from refract.text_key import text_key
from refract.wan_model import WanModel
from refract.wan_text import embed_prompt

_FILE = "embedding.safetensors"


def embed_prompts(
    prompts: Mapping[str, str], model: WanModel, settings: VideoModel, identity: str, root: Path
) -> dict[str, Tensor]:
    """Embedding (1, words, text_dim) by prompt, on the CPU.

    Args:
        prompts: where a prompt stands, for errors -> the prompt.
        identity: `model_identity` of the model.
        root: root of the item store; all video stages share these items.
    The text encoder loads only where a prompt is new, and is freed again.
    """
    store = ItemStore(root, "video_text")
    embeddings: dict[str, Tensor] = {}
    for where, prompt in prompts.items():
        if prompt in embeddings:
            continue
        key = text_key(store, prompt, settings, module="refract.wan_text", identity=identity)
        slot = store.get(key)
        if slot is None:
            try:
                embedding = embed_prompt(*model.text, prompt, settings.max_sequence_length)
            except InputError as error:
                raise InputError(f"{where}: {error}") from error
            with store.create(key) as folder:
                save_file({"embedding": embedding.cpu().contiguous()}, folder / _FILE)
            slot = store.folder / key
        embeddings[prompt] = load_file(slot / _FILE)["embedding"]
    model.drop_text()
    return embeddings
