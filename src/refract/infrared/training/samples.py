"""Pictures of what the adapter does during training: visible | infrared | map | output."""

import logging
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from refract.base.atomic import write_atomic
from refract.infrared.adapter.model import InfraredModel
from refract.infrared.adapter.sampling import decode_infrared, generate_tokens, item_noise
from refract.infrared.adapter.triptych_latents import read_triptych
from refract.infrared.training.data import TrainingData
from refract.media.gray_levels import quantise
from refract.models.flux_fill import ModelReference, load_sigmas, load_vae
from refract.pipeline.device import free_memory

logger = logging.getLogger(__name__)

_ROWS = 3
_STEPS = 10  # enough to judge by eye


def write_samples(
    model: InfraredModel,
    data: TrainingData,
    reference: ModelReference,
    seed: int,
    path: Path | None,
) -> None:
    """Sample the first triptychs of `data` and write one picture.

    path: None for a process that only takes part in the forward passes, which a sharded model
    needs. The VAE is loaded for the purpose and freed again, since training needs the memory.
    """
    count = min(_ROWS, len(data.samples))
    batch = data.at(range(count))
    tokens, channels = batch.x_0.shape[1:]
    noise = torch.stack([item_noise(seed, str(row), tokens, channels) for row in range(count)])
    sigmas = load_sigmas(reference, _STEPS, tokens)
    was_training = model.training
    model.eval()
    result = generate_tokens(
        model, sigmas, noise.to(data.device), batch.x_cond, batch.semantic, batch.text
    )
    model.train(was_training)
    if path is None:
        return
    vae = load_vae(reference, data.device)
    gray = quantise(decode_infrared(vae, result, model.grid.rows, model.grid.columns), bits=8)
    del vae
    free_memory()
    rows = []
    for index in range(count):
        panels = read_triptych(data.samples[index][0].path)
        shown = [((x + 1) * 127.5).byte().permute(1, 2, 0).numpy() for x in panels]
        rows.append(np.concatenate([*shown, np.repeat(gray[index][..., None], 3, -1)], 1))
    sheet = Image.fromarray(np.concatenate(rows))
    write_atomic(path, sheet.save)
    logger.info("sample panels [visible | infrared | map | output]: %s", path)
