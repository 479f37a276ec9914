"""A model folder as the hub has it, at the true shapes of FLUX.1 Fill or Wan2.1, of random weights.

python -m benchmarks.hub_folder wan-1.3B /tmp/wan                 (17 GB)
python -m benchmarks.hub_folder fill /tmp/fill --depth 2 --no-text

With such folders the pipeline runs at true size, and no weights have to be at hand. `--depth` keeps
so many layers of the transformer, of FLUX so many of each kind. No part is ever whole in memory.
"""

import argparse
import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import refract.models.torchvision_compat  # noqa: F401  before diffusers

import numpy as np
import torch
from diffusers import (
    AutoencoderKL,
    AutoencoderKLWan,
    FlowMatchEulerDiscreteScheduler,
    FluxTransformer2DModel,
    UniPCMultistepScheduler,
    WanTransformer3DModel,
)
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from torch import Tensor
from tqdm import tqdm
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    PreTrainedTokenizerFast,
    T5Config,
    T5EncoderModel,
    UMT5Config,
    UMT5EncoderModel,
)

from benchmarks import true_shapes as shapes
from refract.base.atomic import replace_directory

MODELS = ("fill", "wan-1.3B", "wan-14B")
_SHARD = 2 << 30  # bytes
_DEPTHS = ("num_layers", "num_single_layers")
_WORDS = ("<pad>", "</s>", "<unk>", "a", "red", "blue", "mug", "ball", "on", "wood", "street")


class Part(NamedTuple):
    """A network of a model. config_class: transformers' kind of configuration; None of diffusers.

    float32: it is kept so, whatever the others are.
    """

    kind: Any
    config: Mapping[str, Any]
    config_class: Any = None
    float32: bool = False

    def empty(self) -> Any:
        """The network on the `meta` device, without values."""
        with torch.device("meta"):
            if self.config_class is not None:
                return self.kind(self.config_class(**self.config))
            return self.kind.from_config(dict(self.config))


def parts_of(model: str, depth: int | None = None) -> dict[str, Part]:
    """Subfolder -> network of one of `MODELS`."""
    if model == "fill":
        return {
            "transformer": Part(FluxTransformer2DModel, _cut(shapes.FILL, depth)),
            "vae": Part(AutoencoderKL, shapes.FILL_VAE),
            "text_encoder": Part(CLIPTextModel, shapes.CLIP_TEXT, CLIPTextConfig),
            "text_encoder_2": Part(T5EncoderModel, shapes.T5, T5Config),
        }
    config = {"wan-1.3B": shapes.WAN_SMALL, "wan-14B": shapes.WAN_LARGE}[model]
    return {
        "transformer": Part(WanTransformer3DModel, _cut(config, depth)),
        "vae": Part(AutoencoderKLWan, shapes.WAN_VAE, float32=True),
        "text_encoder": Part(UMT5EncoderModel, shapes.UMT5, UMT5Config),
    }


def write_hub_folder(
    folder: Path,
    model: str,
    *,
    depth: int | None = None,
    text: bool = True,
    dtype: torch.dtype = torch.bfloat16,
) -> None:
    """Write a model into `folder`, which is replaced; the same bytes every time.

    text: with text encoders and tokenizers.
    """
    with replace_directory(folder) as place:
        for name, part in parts_of(model, depth).items():
            if name.startswith("text") and not text:
                continue
            _write_part(place / name, part, torch.float32 if part.float32 else dtype)
            if name.startswith("text"):
                _tokenizer(part.config).save_pretrained(
                    place / name.replace("text_encoder", "tokenizer")
                )
        pipeline = "FluxFillPipeline" if model == "fill" else "WanPipeline"
        (place / "model_index.json").write_text(json.dumps({"_class_name": pipeline}))
        if model == "fill":
            scheduler = FlowMatchEulerDiscreteScheduler(**shapes.FILL_SCHEDULER)
        else:
            scheduler = UniPCMultistepScheduler(**shapes.WAN_SCHEDULER)
        scheduler.save_pretrained(place / "scheduler")


def _cut(config: Mapping[str, Any], depth: int | None) -> dict[str, Any]:
    if depth is None:
        return dict(config)
    return {**config, **{key: min(depth, config[key]) for key in _DEPTHS if key in config}}


def _write_part(folder: Path, part: Part, dtype: torch.dtype) -> None:
    """config.json, and the weights in shards with their index."""
    folder.mkdir(parents=True)
    network = part.empty()
    if part.config_class is None:
        network.save_config(folder)
        stem = "diffusion_pytorch_model"
    else:
        network.config.save_pretrained(folder)
        stem = "model"
    weights = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    weights.pop("encoder.embed_tokens.weight", None)  # of T5: `shared.weight`, once more
    places: dict[str, str] = {}
    total = 0
    for index, shard in enumerate(_shards(weights, dtype), 1):
        file = f"{stem}-{index:05}.safetensors"
        save_file(shard, folder / file, {"format": "pt"})
        places |= dict.fromkeys(shard, file)
        total += sum(value.nbytes for value in shard.values())
    index_file = {"metadata": {"total_size": total}, "weight_map": places}
    (folder / f"{stem}.safetensors.index.json").write_text(json.dumps(index_file, indent=1))


def _shards(
    weights: Mapping[str, tuple[int, ...]], dtype: torch.dtype
) -> Iterator[dict[str, Tensor]]:
    random = np.random.default_rng(0)
    shard: dict[str, Tensor] = {}
    for name, shape in tqdm(weights.items(), unit="weight", leave=False):
        shard[name] = draw(name, shape, random).to(dtype)
        if sum(value.nbytes for value in shard.values()) > _SHARD:
            yield shard
            shard = {}
    if shard:
        yield shard


def draw(name: str, shape: tuple[int, ...], random: np.random.Generator) -> Tensor:
    """Values by which activations neither grow nor vanish over any number of layers."""
    leaf = name.rpartition(".")[2]
    if leaf == "bias":
        return torch.zeros(shape)
    if leaf == "gamma" or len(shape) == 1:  # of a norm
        return torch.ones(shape)
    value = torch.from_numpy(random.standard_normal(shape, np.float32))
    return value / math.sqrt(value[0].numel())


def _tokenizer(encoder: Mapping[str, Any]) -> PreTrainedTokenizerFast:
    """Of a few words, for an encoder of that configuration; other words are one token each."""
    core = Tokenizer(models.WordLevel({w: i for i, w in enumerate(_WORDS)}, unk_token="<unk>"))
    core.pre_tokenizer = pre_tokenizers.Whitespace()
    core.post_processor = processors.TemplateProcessing("$A </s>", special_tokens=[("</s>", 1)])
    return PreTrainedTokenizerFast(
        tokenizer_object=core, pad_token="<pad>", eos_token="</s>", unk_token="<unk>",
        model_max_length=encoder.get("max_position_embeddings", 512),
    )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", choices=MODELS)
    parser.add_argument("folder", type=Path, help="must be new")
    parser.add_argument("--depth", type=int, help="layers kept; all by default")
    parser.add_argument("--no-text", action="store_true", help="no text encoders and tokenizers")
    parser.add_argument("--dtype", choices=("bfloat16", "float16", "float32"), default="bfloat16")
    options = parser.parse_args()
    if options.depth is not None and options.depth < 1:
        parser.error(f"--depth {options.depth}: must be 1 or more")
    if options.folder.exists():
        parser.error(f"{options.folder}: is there already; must be a new folder")
    write_hub_folder(
        options.folder,
        options.model,
        depth=options.depth,
        text=not options.no_text,
        dtype=getattr(torch, options.dtype),
    )
    held = sum(path.stat().st_size for path in options.folder.rglob("*.safetensors"))
    print(f"{options.folder}: {held / 2**30:.1f} GiB of {options.dtype} weights")


if __name__ == "__main__":
    main()
