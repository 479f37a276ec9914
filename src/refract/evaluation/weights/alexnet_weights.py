"""Where the weights of LPIPS's AlexNet lie, and what they are called; none of them is read."""

import os
from pathlib import Path

from refract.base.errors import InputError
from refract.evaluation.weights.installed_alexnet import installed_alexnet
from refract.pipeline.item_store import hash_file

NO_LPIPS = "none: AlexNet's weights were not at hand"
# torchvision's file name holds the first digits of its SHA-256; both must agree.
HUB_NAME = "alexnet-owt-7be5be79.pth"
HUB_DIGEST = "7be5be79"


def find_trunk(lpips_weights: str | None) -> Path | None:
    """The configured AlexNet file, else torchvision's cached one, else the installed package's."""
    if lpips_weights is not None:
        path = Path(lpips_weights)
        if not path.is_file():
            raise InputError(
                f"evaluate.lpips_weights = {lpips_weights}: no such file; give torchvision's "
                "AlexNet weights as .safetensors or .pth, or null"
            )
        return path
    cached = _torch_cache() / "hub" / "checkpoints" / HUB_NAME
    if cached.is_file() and hash_file(cached).startswith(HUB_DIGEST):
        return cached
    return installed_alexnet()


def _torch_cache() -> Path:
    """As `torch.hub.get_dir` has it, which takes seconds to import."""
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(os.environ.get("TORCH_HOME") or Path(cache, "torch")).expanduser()


def about_lpips(trunk: Path) -> str:
    """LPIPS by these weights, in words that change with them."""
    return f"LPIPS 0.1 (AlexNet), lpips package, trunk {trunk.name} sha256 {hash_file(trunk)[:8]}"
