"""The infrared translation of a clip's first frame, as the reference of its own edit."""

import logging
from pathlib import Path

import numpy as np
import torch
from einops import rearrange
from PIL import Image

from refract.adapter_files import read_config
from refract.errors import InputError
from refract.infrared_generator import InfraredGenerator, Scene
from refract.model_identity import model_identity
from refract.panel_pixels import square_panel
from refract.params.models import InfraredModel
from refract.text_cache import embed_prompts
from refract.video_io import read_clip

logger = logging.getLogger(__name__)

_PROMPT = "a diptych of the same scene, on the right as infrared thermal photo"


def write_infrared_reference(
    video: Path,
    output: Path,
    *,
    adapter: Path,
    model: InfraredModel,
    steps: int,
    seed: int,
    device: str,
    state: Path,
) -> None:
    """Translate the first frame of `video` with the trained adapter and write it as a PNG.

    The frame is cropped to a square of the adapter's panel; there is no semantic map, so an
    all-zero one stands in, as in training's `semantic.source: none`. The prompt is the one of the
    training, or the project's general one where each training picture had its own.
    """
    config = read_config(adapter)
    identity = model_identity(model.path, model.revision)
    if config.model_identity != identity:
        raise InputError(
            f"{adapter}: trained on infrared model {config.model_identity}, but "
            f"infrared_model.path = {model.path} is {identity}: train the adapter again"
        )
    frame = read_clip(video, 1).frames[0]
    panel = torch.tensor(square_panel(frame, config.panel_px))
    visible = rearrange(panel, "h w c -> c h w").float() / 127.5 - 1
    prompt = config.prompt or _PROMPT
    scene = Scene("first_frame", visible, torch.full_like(visible, -1.0), prompt)
    logger.info("infrared reference of %s: adapter %s, %d steps", video, adapter, steps)
    generator = InfraredGenerator(
        adapter, config, model, device=device, steps=steps, batch=1, seed=seed
    )
    texts = embed_prompts(
        [prompt],
        model,
        root=state,
        model_identity=identity,
        device=device,
    )
    ((_, picture),) = generator.generate([scene], texts)
    Image.fromarray(np.repeat(picture[..., None], 3, axis=-1)).save(output)
