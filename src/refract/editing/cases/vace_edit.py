"""The baseline for product swaps: a masked, reference-guided edit by a Wan VACE model.

VACE (Jiang et al., arXiv 2503.07598) makes a clip from noise, guided by a prompt, by a video whose
masked part is to be made anew, and by pictures of what shall appear in it. The source prompt is
not used: what the source shows outside the mask is seen, not described.
"""

import logging
from dataclasses import dataclass
from math import inf
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps
from torch import Tensor

from refract.base.errors import InputError
from refract.editing.cases.request import Shot
from refract.media.image_reading import open_upright
from refract.media.mask_folder import mask_files, read_masks
from refract.media.regions import BoolArray, grow
from refract.models.vace import VaceModel
from refract.models.wan_latents import decode_frames

logger = logging.getLogger(__name__)

Embeddings = tuple[Tensor, Tensor | None]  # of the prompt and the negative one, (1, words, dim)

_GRAY = 0.5  # of [0, 1]: zero once the pipeline maps pixels to [-1, 1], as in VACE's training


@dataclass(frozen=True)
class VaceSettings:
    """How VACE samples.

    Attributes:
        steps: number of sampling steps, >= 1.
        guidance: classifier-free guidance, see `reads_negative`.
        shift: of the noise schedule, > 0; above 1 spends more steps at high noise.
        conditioning_scale: >= 0, weight of what is read of video, mask and photo; 1 as trained.
        seed: of the noise.
    """

    steps: int
    guidance: float
    shift: float
    conditioning_scale: float
    seed: int

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise InputError(f"flowalign.steps = {self.steps}: must be at least 1")
        for key in ("flowalign.guidance", "flowalign.vace.conditioning_scale"):
            if not 0 <= self._value(key) < inf:
                raise InputError(f"{key} = {self._value(key):g}: must be finite and at least 0")
        if not 0 < self.shift < inf:
            raise InputError(f"flowalign.shift = {self.shift:g}: must be finite and above 0")

    def _value(self, key: str) -> float:
        """The value of the setting that a user knows by `key`."""
        value: float = getattr(self, key.rpartition(".")[2])
        return value


def reads_negative(guidance: float) -> bool:
    """Whether a negative prompt is used; the pipeline samples without guidance at 1 or less."""
    return guidance > 1


def load_source_masks(
    folder: Path, shot: Shot, height: int, width: int, dilate_px: int
) -> BoolArray:
    """Where the source's product is in the frames of a shot, [F, H, W].

    Masks are read as the evaluation reads them: in order of name, one a frame of the template,
    scaled and cropped like the clip's frames, white (above 127) where the product is.

    Args:
        dilate_px: the masks are grown by so many pixels, so that no rim of the old product stays.
    Raises InputError for too few pictures, unequal or unreadable ones, and masks without white.
    """
    masks = read_masks(folder, shot.frames, height, width, shot.first)
    files = mask_files(folder, shot.frames, shot.first)
    sizes = {open_upright(path).size: path.name for path in files}
    if len(sizes) > 1:
        listed = ", ".join(f"{name} {size[0]} x {size[1]}" for size, name in sizes.items())
        raise InputError(f"{folder}: masks of unequal sizes ({listed}); one size is needed")
    if not masks.any():
        raise InputError(f"{folder}: its masks are black everywhere; the product must be white")
    return grow(masks, dilate_px)


def edit_with_vace(
    model: VaceModel,
    frames: NDArray[np.uint8],
    mask: BoolArray | None,
    photo: NDArray[np.uint8] | None,
    embeddings: Embeddings,
    settings: VaceSettings,
) -> NDArray[np.uint8]:
    """A clip [F, H, W, 3] in which the masked part of `frames` is made anew.

    All pixels are made by the model and its VAE; those outside the mask come out close to the
    source, not equal to it. The noise is drawn on the CPU, so it is the same on every device, and
    the same with and without a photo.

    Args:
        frames: source clip [F, H, W, 3]; F = 4k + 1, H and W multiples of 16.
        mask: [F, H, W], true where the model shall paint; pixels there are hidden from it. None
            hides the whole clip, so that only prompt and photo steer the result.
        photo: the product [h, w, 3] of any size; it is fitted whole into the frame, on white. None
            edits without reference.
        embeddings: of what the edited clip shows and, where guidance reads it, of what to lead
            away from; both by this model's text encoder.
    Raises InputError for arrays that do not fit together or to the model's grid, a model that
    cannot be loaded, and an edit that is not finite.
    """
    _check_arrays(frames, mask, photo)
    count, height, width, _ = frames.shape
    model.check_frame(width, height, count)
    if mask is None:
        logger.warning(
            "VACE edit without source_mask: the whole frame is made anew, "
            "so only the prompt and the photo steer it"
        )
        mask = np.ones(frames.shape[:3], bool)
    references = [] if photo is None else [_fit_photo(photo, height, width)]
    latents = _sample(model, _hide(frames, mask), mask, references, embeddings, settings)
    if not latents.isfinite().all():
        raise InputError(
            "the VACE edit diverged to values that are not finite: lower flowalign.guidance "
            "or flowalign.vace.conditioning_scale"
        )
    return decode_frames(model.vae, latents)


def _sample(
    model: VaceModel,
    video: NDArray[np.float32],
    mask: BoolArray,
    references: list[Image.Image],
    embeddings: Embeddings,
    settings: VaceSettings,
) -> Tensor:
    """Normalised latents (1, channels, f, h, w) of the edited clip.

    Args:
        video: [F, H, W, 3] in [0, 1] with the masked pixels hidden. references: as large.
    """
    positive, negative = embeddings
    if negative is None and reads_negative(settings.guidance):
        raise ValueError(f"guidance {settings.guidance:g} needs the embedding of a negative prompt")
    count, height, width, _ = video.shape
    pipeline = model.pipeline(settings.shift)
    pipeline.set_progress_bar_config(desc="VACE", unit="step", mininterval=1, leave=False)
    latents: Tensor = pipeline(
        video=video[None],  # without an axis for the batch, width and channels are mistaken
        mask=mask[None, ..., None].astype(np.float32),
        reference_images=references or None,
        prompt_embeds=positive.to(model.device),
        negative_prompt_embeds=None if negative is None else negative.to(model.device),
        height=height,
        width=width,
        num_frames=count,
        num_inference_steps=settings.steps,
        guidance_scale=settings.guidance,
        conditioning_scale=settings.conditioning_scale,
        latents=_draw_noise(model, video.shape, len(references), settings.seed),
        output_type="latent",
        return_dict=False,
    )[0]
    return latents[:, :, len(references) :]  # the references lie in front of the clip


def _check_arrays(
    frames: NDArray[np.uint8], mask: BoolArray | None, photo: NDArray[np.uint8] | None
) -> None:
    for name, pixels, layout in (("frames", frames, "F, H, W, 3"), ("photo", photo, "h, w, 3")):
        if pixels is None:
            continue
        axes = layout.count(",") + 1
        fits = pixels.ndim == axes and pixels.shape[-1] == 3 and pixels.size > 0
        if not fits or pixels.dtype != np.uint8:
            raise InputError(
                f"VACE edit: {name} are {pixels.dtype} {pixels.shape}, expected uint8 [{layout}]"
            )
    if mask is not None and (mask.shape != frames.shape[:3] or mask.dtype != np.bool_):
        raise InputError(
            f"VACE edit: masks are {mask.dtype} {mask.shape}, expected bool {frames.shape[:3]}, "
            "one a frame"
        )


def _hide(frames: NDArray[np.uint8], mask: BoolArray) -> NDArray[np.float32]:
    """Frames [F, H, W, 3] in [0, 1] with the masked pixels gray."""
    video = frames.astype(np.float32)
    video /= 255
    video[mask] = _GRAY
    return video


def _fit_photo(photo: NDArray[np.uint8], height: int, width: int) -> Image.Image:
    """The whole photo at the middle of a white frame.

    The pipeline would do the same, but it shrinks by bilinear sampling without a low-pass, which
    drops thin strokes of a large photo. What has the frame's size already passes through both.
    """
    picture = Image.fromarray(photo)
    return ImageOps.pad(picture, (width, height), Image.Resampling.LANCZOS, color="white")


def _draw_noise(model: VaceModel, shape: tuple[int, ...], references: int, seed: int) -> Tensor:
    """Noise (1, channels, references + f, h, w), on the CPU.

    The clip's part is drawn first and does not depend on the references, so that an edit with a
    photo and its plain twin differ in the photo alone; the pipeline would draw all at once.
    """
    vae, generator = model.vae.config, torch.Generator("cpu").manual_seed(seed)
    count, height, width, _ = shape
    frames = (count - 1) // vae.scale_factor_temporal + 1
    grid = (height // vae.scale_factor_spatial, width // vae.scale_factor_spatial)
    drawn = [
        torch.randn(1, model.channels, length, *grid, generator=generator)
        for length in (frames, references)
    ]
    return torch.cat(drawn[::-1], dim=2)
