"""From a product photo on disk to its reference bank."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from refract.base.errors import InputError
from refract.editing.reference.bank import ReferenceBank
from refract.editing.reference.extraction import extract_bank
from refract.media.product_foreground import PHOTO_COVER, PRODUCT_COVER, product_tokens
from refract.media.product_image import Foreground, load_product_image
from refract.models.wan import WanModel
from refract.models.wan_latents import encode_frames
from refract.pipeline.item_store import hash_file


@dataclass(frozen=True)
class BankSettings:
    """What shapes a bank besides photo, prompt and model; all of it enters the item's key.

    fallbacks: what the making of its photo had to do without, to be told with every result.
    """

    width: int
    height: int
    sigmas: Sequence[float]
    foreground: Foreground
    pool: int
    seed: int
    fallbacks: tuple[str, ...] = ()


def make_bank(
    model: WanModel,
    identity: str,
    photo: Path,
    mask: Path | None,
    network: Path | None,
    prompt: str,
    context: Tensor,
    settings: BankSettings,
) -> ReferenceBank:
    """Fit the photo to the grid, encode it as a clip of one frame and record every layer.

    Only tokens that show the product are kept, and never the bands of the letterbox.

    mask, network: files for the foregrounds of these names.
    context: (1, words, text_dim) embedding of the target prompt.
    Raises InputError for a photo, mask or network that cannot be used.
    """
    rows, columns = _token_grid(model, settings)
    image = load_product_image(
        photo, settings.height, settings.width, settings.foreground, mask, network
    )
    least_cover = PHOTO_COVER if image.keeps_all else PRODUCT_COVER
    return extract_bank(
        model.transformer,
        encode_frames(model.vae, image.pixels[None]),
        context.to(model.device),
        settings.sigmas,
        product_tokens(image.mask, rows, columns, least_cover),
        pool=settings.pool,
        generator=torch.Generator().manual_seed(settings.seed),
        facts={
            "model": identity,
            "image_sha256": hash_file(photo),
            "prompt": prompt,
            "foreground": image.foreground,
            "pixels": [settings.height, settings.width],
            "seed": settings.seed,
            "fallbacks": list(settings.fallbacks),
        },
    )


def _token_grid(model: WanModel, settings: BankSettings) -> tuple[int, int]:
    _, p_h, p_w = model.transformer.config.patch_size
    spatial = model.vae.config.scale_factor_spatial
    if settings.height % (spatial * p_h) or settings.width % (spatial * p_w):
        raise InputError(
            f"the product image gets {settings.width} x {settings.height} pixels: width must be a "
            f"multiple of {spatial * p_w} and height of {spatial * p_h} for this model "
            "(ref_bank.image_px, else flowalign.width and height)"
        )
    return settings.height // (spatial * p_h), settings.width // (spatial * p_w)
