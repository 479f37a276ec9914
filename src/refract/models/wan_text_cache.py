"""Embeddings of video prompts, each computed once and kept in the item store."""

from collections.abc import Collection, Mapping
from pathlib import Path

from safetensors.torch import load_file, save_file
from torch import Tensor

from refract.base.errors import InputError
from refract.models.text_key import text_key
from refract.models.wan import WanModel
from refract.models.wan_text import embed_prompt
from refract.params.models import VideoModelParams
from refract.pipeline.item_store import ItemStore

_FILE = "embedding.safetensors"


def embed_wan_prompts(
    prompts: Mapping[str, str],
    model: WanModel,
    settings: VideoModelParams,
    identity: str,
    root: Path,
    allow_empty: Collection[str] = (),
    refresh: bool | None = None,
) -> dict[str, Tensor]:
    """Embedding (1, words, text_dim) by prompt, on the CPU.

    Args:
        prompts: where a prompt stands, for errors -> the prompt.
        identity: `model_identity` of the model.
        root: root of the item store; all video stages share these items.
        allow_empty: the places where an empty prompt means no guidance by words.
        refresh: as in `ItemStore`.
    The text encoder loads only where a prompt is new, and is freed again.

    Raises InputError for a prompt that is empty or too long, with the place where it stands.
    """
    store = ItemStore(root, "video_text", refresh=refresh)
    embeddings: dict[str, Tensor] = {}
    for where, prompt in prompts.items():
        may_be_empty = where in allow_empty
        if not prompt.strip() and not may_be_empty:  # though it may be cached from another place
            raise InputError(f"{where}: prompt is empty; say what the video shows")
        if prompt in embeddings:
            continue
        key = text_key(store, prompt, settings, module="refract.models.wan_text", identity=identity)
        if store.get(key) is None:
            text = model.text  # not below: that it cannot be loaded is no fault of the prompt
            try:
                embedding = embed_prompt(
                    *text, prompt, settings.max_sequence_length, allow_empty=may_be_empty
                )
            except InputError as error:
                raise InputError(f"{where}: {error}") from error
            with store.create(key) as folder:
                save_file({"embedding": embedding.cpu().contiguous()}, folder / _FILE)
        embeddings[prompt] = load_file(store.folder / key / _FILE)["embedding"]
    model.drop_text()
    return embeddings
