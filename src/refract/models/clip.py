"""A CLIP loaded by `open_clip`, from a local folder or a hub repository.

The folder holds `open_clip_config.json` and `open_clip_model.safetensors` (open_clip's own hub
layout); no other weight format is read. Where its configuration names a tokenizer of its own, its
files lie in the folder too; else open_clip's byte-pair encoding serves, which it brings along.

A configuration comes with the weights, from anywhere: one that would have open_clip run code of the
folder, or fetch parts from other repositories, is refused.
"""

import json
import logging
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import refract.models.torchvision_compat  # noqa: F401  (must precede open_clip)

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from safetensors import SafetensorError

from refract.base.errors import InputError, shorten
from refract.base.lean_imports import lean_imports
from refract.models.identity import local_model_folder
from refract.models.pinned_revisions import revision_of

logger = logging.getLogger(__name__)

CLIP_CONFIG_NAME = "open_clip_config.json"
CLIP_WEIGHTS_NAME = "open_clip_model.safetensors"
_TOKENIZER_FILES = ["tokenizer*", "special_tokens_map.json", "vocab.*", "merges.txt", "*.model"]

_MOST_REASON = 200  # characters: torch names every weight that does not fit
_LOAD_ERRORS = (ValueError, RuntimeError, KeyError, TypeError, AttributeError, OSError, ImportError)

# Keys of a configuration that say where weights come from, or how words are cut, not what is built.
_NO_ARCHITECTURE = (
    "timm_model_pretrained", "hf_model_pretrained", "hf_tokenizer_name", "tokenizer_mode",
    "tokenizer_kwargs",
)  # fmt: skip


@dataclass(frozen=True)
class ClipModel:
    """open_clip network with its own image transform (resize, crop, normalisation) and tokenizer.

    key: `clip` for a published architecture, else `clip_micro`: what its measures are called.
    """

    network: torch.nn.Module
    transform: Callable[[Image.Image], torch.Tensor]
    device: torch.device
    batch: int  # images a forward pass
    tokenizer: Callable[..., torch.Tensor]  # prompts -> token ids [N, L]
    key: str

    @property
    def dimension(self) -> int:
        """Of an embedding."""
        return self.image_features([np.zeros((32, 32, 3), np.uint8)]).shape[1]

    def pixels(self, images: Sequence[NDArray[np.uint8]]) -> torch.Tensor:
        """8-bit RGB images `[H, W, 3]` -> network input `[N, 3, S, S]`."""
        return torch.stack([self.transform(Image.fromarray(image)) for image in images])

    @torch.inference_mode()
    def image_features(self, images: Sequence[NDArray[np.uint8]]) -> torch.Tensor:
        """Unit-length image embeddings `[N, D]` of 8-bit RGB images, on the CPU.

        Equal images are encoded once: a frozen clip is a single one.
        """
        encode: Any = self.network.encode_image
        distinct = {(image.shape, image.tobytes()): image for image in images}
        places = {content: place for place, content in enumerate(distinct)}
        once, features = list(distinct.values()), []
        for start in range(0, len(once), self.batch):
            batch = self.pixels(once[start : start + self.batch]).to(self.device)
            features.append(encode(batch, normalize=True).float().cpu())
        return torch.cat(features)[[places[image.shape, image.tobytes()] for image in images]]

    @torch.inference_mode()
    def text_features(self, tokens: torch.Tensor) -> torch.Tensor:
        """Unit-length text embeddings `[N, D]` of token ids `[N, L]`, on the CPU."""
        encode: Any = self.network.encode_text
        return encode(tokens.to(self.device), normalize=True).float().cpu()

    def prompt_features(self, prompt: str) -> torch.Tensor:
        """Unit-length embedding `[1, D]` of a prompt; one that is too long is cut, with a warning.

        A word that the model never saw in training says nothing: the micro CLIP knows some 40.
        """
        tokens = self.tokenizer([prompt])
        length = tokens.shape[1]
        # the end mark of a prompt that fits stays where it is in a longer context
        if not torch.equal(self.tokenizer([prompt], context_length=2 * length)[:, :length], tokens):
            logger.warning("clip: cut to its %d tokens: %s", length, prompt)
        return self.text_features(tokens)


def clip_folder(path_or_id: str, revision: str | None) -> Path:
    """Local folder of the model; a hub id is fetched (no other weights) first."""
    folder = local_model_folder(path_or_id) or _fetch(path_or_id, revision)
    for name in (CLIP_CONFIG_NAME, CLIP_WEIGHTS_NAME):
        if not (folder / name).is_file():
            raise InputError(
                f"evaluate.clip_model = {path_or_id}: {name} is missing; the folder must hold "
                f"{CLIP_CONFIG_NAME} and {CLIP_WEIGHTS_NAME}"
            )
    return folder


def _fetch(repository: str, revision: str | None) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        folder = snapshot_download(
            repository,
            revision=revision_of(repository, revision),
            allow_patterns=[CLIP_CONFIG_NAME, CLIP_WEIGHTS_NAME, *_TOKENIZER_FILES],
        )
    except (HFValidationError, HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise InputError(
            f"evaluate.clip_model = {repository}: neither a folder nor a hub repository that "
            f"can be fetched ({type(error).__name__})"
        ) from error
    return Path(folder)


def load_clip(
    path_or_id: str, revision: str | None, device: torch.device, *, batch: int = 128
) -> ClipModel:
    """Load the configured CLIP in fp32, evaluation mode.

    Raises:
        InputError: no such folder or repository, a missing file, or files open_clip refuses.
    """
    folder = clip_folder(path_or_id, revision)
    try:
        config = _config(folder)
        _refuse_foreign_parts(config)
        open_clip = _import_open_clip(timm=bool(config["vision_cfg"].get("timm_model_name")))
        network, transform = open_clip.create_model_from_pretrained(
            f"local-dir:{folder}", precision="fp32", device=device
        )
        tokenizer = open_clip.get_tokenizer(f"local-dir:{folder}")
    except (*_LOAD_ERRORS, SafetensorError) as error:
        reason = " ".join(str(error).split())[:_MOST_REASON] or type(error).__name__
        raise InputError(f"evaluate.clip_model = {path_or_id}: {reason}") from error
    # a convolution takes a quarter less time on a CPU by this layout, and no more on a GPU
    network = network.eval().requires_grad_(False).to(memory_format=torch.channels_last)
    if not all(value.isfinite().all() for value in network.parameters()):
        raise InputError(f"evaluate.clip_model = {path_or_id}: holds weights that are not finite")
    return ClipModel(network, transform, device, batch, tokenizer, clip_key(config))


def _import_open_clip(*, timm: bool) -> Any:
    """The package, at a third of its time: without towers of transformers, which are refused.

    timm: whether the model has an image tower of it, else that library is left out too.
    """
    towers = sys.modules.get("open_clip.timm_model")
    if timm and towers is not None and towers.timm is None:  # as an earlier model had it
        for name in [name for name in sys.modules if name.partition(".")[0] == "open_clip"]:
            del sys.modules[name]
    with lean_imports("transformers", *([] if timm else ["timm"])):
        return import_module("open_clip")


def _config(folder: Path) -> dict[str, Any]:
    """The part of a configuration that says how the network is built; KeyError if it is absent."""
    document = json.loads((folder / CLIP_CONFIG_NAME).read_text(encoding="utf-8"))
    config: dict[str, Any] = document["model_cfg"]
    return config


def _refuse_foreign_parts(config: Mapping[str, Any]) -> None:
    """ValueError where open_clip would run code of the model's, or take parts from elsewhere."""
    text, vision = config["text_cfg"], config["vision_cfg"]
    if text.get("tokenizer_kwargs", {}).get("trust_remote_code"):
        raise ValueError(
            f"{CLIP_CONFIG_NAME}: tokenizer_kwargs.trust_remote_code: code is never run"
        )
    if name := text.get("hf_model_name"):
        raise ValueError(
            f"{CLIP_CONFIG_NAME}: text_cfg.hf_model_name = {shorten(name)}: would be fetched from "
            "a repository that no revision names; take a CLIP with a text tower of open_clip's own"
        )
    if ":" in (name := vision.get("timm_model_name") or ""):
        raise ValueError(
            f"{CLIP_CONFIG_NAME}: vision_cfg.timm_model_name = {shorten(name)}: would be fetched "
            "from a repository that no revision names; must name an architecture of timm's"
        )


def clip_key(config: Mapping[str, Any]) -> str:
    """`clip` if a configuration builds one of open_clip's registered models, else `clip_micro`.

    Decides what CLIP-I and CLIP-T are called, so that a figure of the project's own small CLIP is
    never taken for a published one's. It tells architectures apart, not weights; which weights
    they were, the metrics' metadata says.
    """
    import open_clip

    architecture = _architecture(config)
    registered = (open_clip.get_model_config(name) for name in open_clip.list_models())
    return (
        "clip"
        if any(architecture == _architecture(other) for other in registered)
        else "clip_micro"
    )


def _architecture(config: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration with its defaults filled in and without what is no part of the network."""
    from open_clip.model import CLIPTextCfg, CLIPVisionCfg

    towers = {"vision_cfg": CLIPVisionCfg, "text_cfg": CLIPTextCfg}
    filled = {"quick_gelu": False, "custom_text": False, **config}
    for name, fields in towers.items():
        tower = asdict(fields(**config[name]))
        filled[name] = {key: tower[key] for key in tower if key not in _NO_ARCHITECTURE}
    return filled
