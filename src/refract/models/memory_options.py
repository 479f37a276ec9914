"""Settings that trade memory for time, applied to a model's parts right after they are loaded.

The only place that acts on them; `refract.params.models` says which there are. All of it is
diffusers' own: layerwise casting, group offload, attention backends, regional compilation, and
tiling and slicing of VAEs.
"""

import dataclasses
import logging
from dataclasses import dataclass
from typing import Any

import refract.models.torchvision_compat  # noqa: F401  before diffusers

import torch

from refract.base.errors import InputError

logger = logging.getLogger(__name__)

_OFFLOAD: dict[str, dict[str, Any]] = {
    "block": {"offload_type": "block_level", "num_blocks_per_group": 1},
    "leaf": {"offload_type": "leaf_level"},
}
# Attention backends that need a GPU, and those that need bfloat16 or float16 there.
_GPU_ALONE = {"_native_efficient", "_native_cudnn", "flash", "_flash_3", "sage", "xformers"}
_HALF_ALONE = {"_native_flash", "_native_cudnn", "flash", "_flash_3", "sage"}


@dataclass(frozen=True)
class MemoryOptions:
    """The options of section `infrared_model` or `video_model`; the defaults change nothing.

    section: how errors name it.
    """

    section: str
    offload: str = "none"
    storage_dtype: str | None = None
    vae_tiling: bool = False
    vae_slicing: bool = False
    attention_backend: str | None = None
    compile: bool = False
    quantization: str | None = None
    step_cache: str | None = None
    step_cache_threshold: float = 0.1

    @property
    def cache_threshold(self) -> float | None:
        """See `step_cache`; None where every step is computed whole."""
        return None if self.step_cache is None else self.step_cache_threshold

    @property
    def loads_on_cpu(self) -> bool:
        """Whether the whole transformer may be too large for the device it computes on."""
        return self.offload != "none" or self.storage_dtype is not None


def memory_options(settings: object, section: str) -> MemoryOptions:
    """The options among validated `settings`, where what knows none of them has none on."""
    names = {field.name for field in dataclasses.fields(MemoryOptions)} - {"section"}
    chosen = {name: getattr(settings, name) for name in sorted(names) if hasattr(settings, name)}
    return MemoryOptions(section, **chosen)


def fit_vae(vae: Any, options: MemoryOptions) -> None:
    """Switch on tiles and slices. A picture no larger than a tile is coded as before."""
    if options.vae_tiling:
        vae.enable_tiling()
    if options.vae_slicing:
        vae.enable_slicing()


def choose_attention(transformer: Any, options: MemoryOptions, device: str) -> None:
    """Set the attention backend, of this transformer alone.

    Raises InputError where it is not installed or does not run on the device or in the type.
    """
    name = options.attention_backend
    if name is None:
        return
    from diffusers.models.attention_dispatch import _AttentionBackendRegistry

    where = f"{options.section}.attention_backend = {name}"
    on_gpu = device.startswith("cuda")
    if name in _GPU_ALONE and not on_gpu:
        raise InputError(f"{where}: needs a CUDA GPU, this run is on {device}; set it to null")
    if name in _HALF_ALONE and on_gpu and transformer.dtype not in (torch.bfloat16, torch.float16):
        raise InputError(f"{where}: needs {options.section}.dtype bfloat16 or float16")
    active, _ = _AttentionBackendRegistry.get_active_backend()
    try:
        transformer.set_attention_backend(name)
    except (RuntimeError, ValueError) as error:  # of a package that is missing or too old
        raise InputError(f"{where}: {str(error).partition(chr(10))[0]}") from error
    finally:
        # diffusers makes it the default of every other model too; each shall have its own setting
        _AttentionBackendRegistry.set_active_backend(active)


def fit_transformer(transformer: Any, options: MemoryOptions, device: str) -> None:
    """Move a frozen transformer to `device`, stored, offloaded and compiled as the options say.

    For inference: a backward pass finds the weights neither in their type nor on their device. To
    be called behind a LoRA's loading, whose own weights keep their type; diffusers would cast what
    a LoRA reads to the storage type otherwise.
    """
    if options.storage_dtype is not None:
        storage = getattr(torch, options.storage_dtype)
        transformer.enable_layerwise_casting(storage, compute_dtype=transformer.dtype)
    if options.offload == "none":
        transformer.to(device)
    else:
        # Without streams: they overlap copies with computation, but which order is right is
        # learnt from the first pass, and no machine with a GPU was at hand to prove it.
        transformer.enable_group_offload(torch.device(device), **_OFFLOAD[options.offload])
    if options.compile:
        # By default a compiled block is not looked at again for hooks that came later, and would
        # leave out those that record reference banks and edited regions.
        torch._dynamo.config.skip_nnmodule_hook_guards = False
        transformer.compile_repeated_blocks()
    logger.info("transformer on %s: %s", device, _words(options))


def _words(options: MemoryOptions) -> str:
    values = dataclasses.asdict(options)
    return ", ".join(f"{name} {values[name]}" for name in values if name != "section")
