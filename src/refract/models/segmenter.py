"""A panoptic segmenter of `transformers` (Mask2Former, OneFormer): photo in, colour map out."""

import refract.models.torchvision_compat  # noqa: F401  (before transformers)

# isort: split
import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import transformers.utils.logging
from numpy.typing import NDArray
from PIL import Image
from safetensors import SafetensorError
from transformers import (
    AutoConfig,
    AutoImageProcessor,
    AutoModelForUniversalSegmentation,
    AutoTokenizer,
    OneFormerProcessor,
)

from refract.base.errors import InputError
from refract.media.segment_colours import Segment, SegmentPalette, paint_segments, segment_palette
from refract.models.identity import check_shards, local_model_folder
from refract.models.pinned_revisions import revision_of

_KEY = "prepare_triptychs.semantic.model"
_KINDS = ("mask2former", "oneformer")
_LOAD_ERRORS = (
    OSError, ValueError, KeyError, TypeError, RuntimeError, ImportError, SafetensorError,
)  # fmt: skip
_LARGEST_PX = 2048  # short side of a map: no panel is larger, and masks of a phone photo fill GBs


@dataclass(frozen=True)
class PanopticSegmenter:
    """A loaded network; photos go through one by one, so that none depends on its neighbours."""

    network: torch.nn.Module
    processor: Any
    task: dict[str, list[str]]  # what the processor needs beside the photo
    palette: SegmentPalette
    device: str

    @torch.inference_mode()
    def colour_map(self, photo: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The map of a photo [H, W, 3]: same shape, or its short side reduced to 2048 pixels."""
        inputs = self.processor(images=Image.fromarray(photo), return_tensors="pt", **self.task)
        outputs = self.network(**inputs.to(self.device))
        (panoptic,) = self.processor.post_process_panoptic_segmentation(
            outputs,
            threshold=0.5,
            mask_threshold=0.5,
            overlap_mask_area_threshold=0.8,
            # Fusing stuff there can give one id to two classes: the segment after a fused one
            # counts on from its id. Stuff shares a colour without it.
            label_ids_to_fuse=set(),
            target_sizes=[_map_shape(photo.shape)],
        )
        segments = [Segment(part["id"], part["label_id"]) for part in panoptic["segments_info"]]
        return paint_segments(panoptic["segmentation"].cpu().numpy(), segments, self.palette)


def load_segmenter(path: str, revision: str | None, device: str) -> PanopticSegmenter:
    """The network in float32 and evaluation mode on `device`, from safetensors alone.

    Raises InputError where `path` is neither a folder nor a hub repository that can be had, where
    it holds another kind of model, and where weights are missing.
    """
    transformers.utils.logging.disable_progress_bar()  # a stage shows its own progress alone
    # Else a hub repository without safetensors would be answered by what a bot converts it to.
    os.environ.setdefault("DISABLE_SAFETENSORS_CONVERSION", "1")
    config = _load(AutoConfig, path, revision)
    if config.model_type not in _KINDS:
        raise InputError(
            f"{_KEY} = {path}: a model of type {config.model_type}, expected {' or '.join(_KINDS)}"
        )
    network, report = _load(
        AutoModelForUniversalSegmentation,
        path,
        revision,
        config=config,
        dtype=torch.float32,
        use_safetensors=True,
        output_loading_info=True,
    )
    _check_complete(network, report["missing_keys"], path)
    processor, task = _processor(path, revision, config)
    palette = segment_palette([config.id2label[label] for label in range(config.num_labels)])
    # OneFormer holds one number in float64, which not every device has.
    network = network.to(device, torch.float32).eval().requires_grad_(False)
    return PanopticSegmenter(network, processor, task, palette, device)


def _check_complete(network: torch.nn.Module, missing: Iterable[str], path: str) -> None:
    """InputError where a weight that maps depend on would keep its random initial value."""
    needed = {name for name, _ in network.named_parameters() if not name.startswith("criterion.")}
    lacking = sorted(needed.intersection(missing))
    if lacking:
        raise InputError(f"{_KEY} = {path}: {len(lacking)} weights are missing, as {lacking[0]}")


def _processor(path: str, revision: str | None, config: Any) -> tuple[Any, dict[str, list[str]]]:
    """What prepares photos, and the task to give it with each of them."""
    if config.model_type != "oneformer":
        return _load(AutoImageProcessor, path, revision), {}
    # `class_info_file` would be fetched from another hub repository, and only training reads it.
    images = _load(AutoImageProcessor, path, revision, class_info_file=None)
    tokenizer = _load(AutoTokenizer, path, revision)
    processor = OneFormerProcessor(images, tokenizer, task_seq_length=config.task_seq_len)
    return processor, {"task_inputs": ["panoptic"]}


def _load(part: Any, path: str, revision: str | None, **options: Any) -> Any:
    """`part.from_pretrained`, no remote code; InputError where that fails."""
    folder = local_model_folder(path)
    if folder is None:
        options["revision"] = revision_of(path, revision)
    try:
        if folder is not None:
            check_shards(folder)
        return part.from_pretrained(str(folder or path), trust_remote_code=False, **options)
    except torch.OutOfMemoryError:
        raise
    except _LOAD_ERRORS as error:
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        advice = "the folder must hold config.json, model.safetensors and preprocessor_config.json"
        if folder is None:
            advice = (
                f"its page is https://huggingface.co/{path}; without access to it, set {_KEY} to "
                "the path of a local copy"
            )
        raise InputError(
            f"{_KEY} = {path}: cannot load it with {part.__name__} ({reason}); {advice}"
        ) from error


def _map_shape(shape: tuple[int, ...]) -> tuple[int, int]:
    scale = min(1.0, _LARGEST_PX / min(shape[:2]))
    return round(shape[0] * scale), round(shape[1] * scale)
