"""The frozen base of a LoRA in four bits a weight (QLoRA, arXiv 2305.14314), by bitsandbytes.

Not by `BitsAndBytesConfig` in `from_pretrained`: diffusers 0.42.1 refuses it without a GPU ("No GPU
found. A GPU is needed for quantization."), where bitsandbytes itself runs on a CPU.
"""

import logging
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from refract.base.errors import InputError

logger = logging.getLogger(__name__)


def quantise_base(transformer: Any, quantization: str, section: str, device: str) -> None:
    """Store the linear layers of a FLUX transformer's blocks as NF4 with quantised scales.

    Layer by layer: `device` never holds the whole in full precision. Computed in the type that
    the weights had. Embeddings, norms and the last layer stay as they are; they are the smallest
    part and the most sensitive. To be called before a LoRA is added, which peft then puts over
    its own kind of layer. Moves the rest to `device` as well.

    Raises InputError where bitsandbytes is missing or does not run on the device.
    """
    where, before = f"{section}.quantization = {quantization}", stored_bytes(transformer)
    library = _library(where)
    for parent, name, linear in list(_linear_layers(transformer)):
        try:
            setattr(parent, name, _quantised(linear, library, quantization).to(device))
        except (RuntimeError, NotImplementedError) as error:  # no kernels for this device
            if "out of memory" in str(error).lower():
                raise
            reason = str(error).strip().partition("\n")[0]
            raise InputError(f"{where}: does not run on {device}: {reason}") from error
    transformer.is_loaded_in_4bit = True  # what peft asks for
    transformer.to(device)
    held = stored_bytes(transformer)
    logger.info("base in %s: %.1f MB instead of %.1f MB", quantization, held / 1e6, before / 1e6)


def stored_bytes(module: nn.Module) -> int:
    """What the weights take, with the scales of those that are quantised."""
    total = 0
    for weight in module.parameters():
        state = getattr(weight, "quant_state", None)
        parts = [] if state is None else state.as_dict().values()
        total += weight.nbytes + sum(x.nbytes for x in parts if isinstance(x, torch.Tensor))
    return total


def _library(where: str) -> Any:
    try:
        import bitsandbytes
    except (ImportError, OSError, RuntimeError) as error:  # or its binary does not load
        raise InputError(
            f"{where}: needs bitsandbytes ({str(error).partition(chr(10))[0]}): "
            "pip install -e '.[quantised]'"
        ) from error
    return bitsandbytes


def _linear_layers(transformer: Any) -> Iterator[tuple[nn.Module, str, nn.Linear]]:
    """Every linear layer of the blocks, with its parent and its name there."""
    for stack in (transformer.transformer_blocks, transformer.single_transformer_blocks):
        for parent in stack.modules():
            for name, child in parent.named_children():
                if isinstance(child, nn.Linear):
                    yield parent, name, child


def _quantised(linear: nn.Linear, library: Any, kind: str) -> nn.Linear:
    """The same layer, which bitsandbytes quantises as soon as it is moved to a device."""
    with torch.device("meta"):
        layer: Any = library.nn.Linear4bit(
            linear.in_features,
            linear.out_features,
            linear.bias is not None,
            compute_dtype=linear.weight.dtype,
        )
    layer.weight = library.nn.Params4bit(
        linear.weight.data, requires_grad=False, quant_type=kind, module=layer
    )
    layer.bias = linear.bias
    # On some CPUs the first inference would repack the weights for a kernel without a gradient,
    # and a training would go on without one behind its first validation.
    layer.support_avx512bf16_for_cpu = False
    quantised: nn.Linear = layer
    return quantised
