"""The infrared translation of a clip's first frame, as the reference of its own edit."""

import logging
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from refract.base.errors import InputError
from refract.infrared.adapter.adapter_files import AdapterConfig, read_config
from refract.infrared.inference.first_frame_map import FirstFrameMap
from refract.infrared.inference.generator import InfraredGenerator, PictureSettings, Scene
from refract.infrared.inference.scenes import USER_VARIANT, SceneSource, read_scene
from refract.media.clip_facts import clip_facts
from refract.media.video_io import read_frames
from refract.models.flux_fill import TextEmbedding
from refract.models.flux_text_cache import embed_flux_prompts
from refract.models.identity import model_identity
from refract.params.models import InfraredModelParams
from refract.params.ref_bank import BankParams
from refract.pipeline.device import pick_device
from refract.pipeline.item_store import state_root

logger = logging.getLogger(__name__)

_PROMPT = "a diptych of the same scene, on the right as infrared thermal photo"


def write_infrared_reference(
    video: Path,
    output: Path,
    *,
    start: float = 0.0,
    semantic: FirstFrameMap,
    adapter: Path,
    params: BankParams,
) -> None:
    """Translate the first frame of `video` with a trained adapter and write it as a PNG.

    The picture is the square in the middle of the frame as the edit sees it, at the side of the
    adapter's panel. Of a frame that is no square the two ends have no part in the reference.

    Args:
        start: second of the clip from which on the first frame is taken.
        semantic: where the frame's semantic map comes from; it is cropped as the frame is.
        adapter: what train_ir_adapter wrote.
    Raises InputError for an adapter of another model, and for a map that does not fit the frame.
    """
    config, section = read_config(adapter), params.infrared_model
    identity = model_identity(section.path, section.revision)
    if config.model_identity != identity:
        raise InputError(
            f"{adapter}: trained on infrared model {config.model_identity}, but "
            f"infrared_model.path = {section.path} is {identity}: train the adapter again"
        )
    frame = edit_frame(video, params)
    scene = _first_frame(_pixels_at(video, start), frame, semantic, config)
    settings = PictureSettings(steps=params.ref_bank.infrared_steps, seed=params.seed)
    logger.info("infrared reference of %s: adapter %s, %d steps", video, adapter, settings.steps)
    generator = InfraredGenerator(adapter, section, settings, pick_device())
    ((_, picture),) = generator.generate([scene], embed_reference_prompt(config, section))
    Image.fromarray(np.repeat(picture[..., None], 3, axis=-1)).save(output)


def edit_frame(video: Path, params: BankParams) -> tuple[int, int]:
    """Width and height of the edit's frame; the clip is cropped to their ratio."""
    shown = clip_facts(video)
    return params.flowalign.frame_of(shown.width, shown.height)


def embed_reference_prompt(
    config: AdapterConfig, section: InfraredModelParams, refresh: bool | None = None
) -> dict[str, TextEmbedding]:
    """The embedding of the one prompt of all references; refresh: as `embed_flux_prompts`."""
    return embed_flux_prompts(
        [reference_prompt(config)],
        section,
        root=state_root(),
        model_identity=model_identity(section.path, section.revision),
        device=pick_device(),
        refresh=refresh,
    )


def reference_prompt(config: AdapterConfig) -> str:
    """The adapter's, or the project's general one where each training picture had its own."""
    return config.prompt or _PROMPT


def _pixels_at(video: Path, start: float) -> NDArray[np.uint8]:
    """The first frame [H, W, 3] that begins at `start` seconds or behind."""
    for frame in read_frames(video):
        if frame.time >= start - 1e-3:  # a time read off a player is rounded
            return frame.pixels
    raise InputError(f"video {video}: no frame begins at clip.start = {start:g} s or behind")


def _first_frame(
    pixels: NDArray[np.uint8],
    frame: tuple[int, int],
    semantic: FirstFrameMap,
    config: AdapterConfig,
) -> Scene:
    """Through files, as the segmenter and infer_ir take a user's photo and its map."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        colours = semantic.colours(pixels, _save(pixels, folder / "uncropped.png"))
        cropped = None if colours is None else crop_to_ratio(colours, *frame)
        source = SceneSource(
            "first_frame",
            USER_VARIANT,
            _save(crop_to_ratio(pixels, *frame), folder / "frame.png"),
            None if cropped is None else _save(cropped, folder / "map.png"),
            reference_prompt(config),
            is_user=True,
        )
        return read_scene(source, config.panel_px)


def crop_to_ratio(pixels: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    """The largest part of [H, W, C] in the ratio width : height around the middle.

    It is the field of view that `video_io.fit_frame` keeps, at the resolution it has.
    """
    rows, columns = pixels.shape[:2]
    scale = min(columns / width, rows / height)
    inner_rows, inner_columns = round(height * scale), round(width * scale)
    top, left = (rows - inner_rows) // 2, (columns - inner_columns) // 2
    return pixels[top : top + inner_rows, left : left + inner_columns]


def _save(pixels: NDArray[np.uint8], path: Path) -> Path:
    Image.fromarray(pixels).save(path)
    return path
