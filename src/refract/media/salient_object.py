"""The product in a photo as a salient-object network sees it, run by OpenCV from an ONNX file.

U2-Net and U2-Net-p (Qin et al., arXiv 2005.09007) as they are distributed: 1 x 3 x 320 x 320 in,
RGB divided by its maximum and normalised as ImageNet is; the first output is the saliency,
1 x 1 x 320 x 320, of which the range is stretched to 0..1.
"""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from refract.base.errors import InputError
from refract.base.files import refuse_special
from refract.pipeline.item_store import hash_file

_SIDE_PX = 320
_MEAN, _DEVIATION = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
_SALIENT = 0.5
_LEAST_RANGE = 1e-6  # of the saliency: a map without one says nothing


def salient_object(pixels: NDArray[np.uint8], network: Path) -> NDArray[np.bool_]:
    """Mask [H, W] of what the network sees in a photo [H, W, 3]; all false where it sees nothing.

    Raises InputError, naming ref_bank.foreground_model, for a file that is missing, is no network
    or does not take and give pictures of that size.
    """
    height, width = pixels.shape[:2]
    saliency = _saliency(_input_of(pixels), network)
    span = float(np.ptp(saliency))
    if span < _LEAST_RANGE:
        return np.zeros((height, width), bool)
    stretched = Image.fromarray(((saliency - saliency.min()) / span).astype(np.float32))
    return np.asarray(stretched.resize((width, height), Image.Resampling.BILINEAR)) >= _SALIENT


def network_digest(network: Path) -> str:
    """sha256 of a network's file; InputError, naming its setting, where it cannot be read."""
    try:
        return hash_file(network)
    except InputError as error:
        raise InputError(f"ref_bank.foreground_model {error}") from error


def _input_of(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    side = (_SIDE_PX, _SIDE_PX)
    resized = np.asarray(Image.fromarray(pixels).resize(side, Image.Resampling.LANCZOS))
    scaled = resized / max(1, int(resized.max()))
    normal = (scaled - _MEAN) / _DEVIATION
    return np.ascontiguousarray(normal.transpose(2, 0, 1)[None], np.float32)


def _saliency(blob: NDArray[np.float32], network: Path) -> NDArray[np.float32]:
    """[320, 320]"""
    import cv2  # where a case wants it

    refuse_special(network)
    named = f"ref_bank.foreground_model {network}"
    level = cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    try:
        # The newer engine runs a network on pictures of the wrong number of channels.
        net: Any = cv2.dnn.readNetFromONNX(str(network), cv2.dnn.ENGINE_CLASSIC)
        net.setInput(blob)
        first = net.forward(net.getUnconnectedOutLayersNames()[0])
    except cv2.error as error:
        raise InputError(
            f"{named}: not a network in ONNX format that takes a picture of 1 x 3 x {_SIDE_PX} x "
            f"{_SIDE_PX} ({' '.join(error.err.split())})"
        ) from error
    finally:
        cv2.utils.logging.setLogLevel(level)
    if first.shape != (1, 1, _SIDE_PX, _SIDE_PX):
        raise InputError(
            f"{named}: its first output is {list(first.shape)}, expected the saliency, "
            f"[1, 1, {_SIDE_PX}, {_SIDE_PX}]"
        )
    return np.asarray(first[0, 0], np.float32)
