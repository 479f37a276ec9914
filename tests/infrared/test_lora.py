import json
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import FluxFillPipeline
from numpy.typing import NDArray
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from refract.base.errors import InputError
from refract.infrared.adapter.lora import (
    WEIGHTS_NAME,
    LoraSettings,
    add_lora,
    lora_state,
    read_weights,
    resolve_targets,
    save_lora,
    set_lora_state,
)
from tests.tiny.fill import PROMPT, tiny_transformer

ATTENTION = r".*\.attn\..*"


def inputs() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {
        "hidden_states": torch.randn(1, 8, 384, generator=generator),
        "timestep": torch.tensor([0.5]),
        "guidance": torch.ones(1),
        "encoder_hidden_states": torch.randn(1, 4, 64, generator=generator),
        "pooled_projections": torch.randn(1, 64, generator=generator),
        "img_ids": torch.zeros(8, 3),
        "txt_ids": torch.zeros(4, 3),
    }


def shake(transformer: torch.nn.Module) -> None:
    """Stand-in for training: LoRA weights that do something."""
    torch.manual_seed(5)
    for parameter in transformer.parameters():
        if parameter.requires_grad:
            parameter.data.normal_(std=0.3)


def seeded(heads: int = 2) -> torch.nn.Module:
    torch.manual_seed(1)
    return tiny_transformer(heads).requires_grad_(False).eval()


def test_a_fresh_lora_is_bit_equal_to_the_base() -> None:
    transformer = seeded()
    with torch.no_grad():
        before = transformer(**inputs(), return_dict=False)[0]
        add_lora(transformer, LoraSettings(4, 4.0, ATTENTION))
        after = transformer(**inputs(), return_dict=False)[0]
    assert torch.equal(before, after)


@pytest.mark.parametrize("alpha", [4.0, 8.0])
def test_diffusers_loads_the_file_to_the_same_forward(
    tiny_model: Path, tmp_path: Path, alpha: float
) -> None:
    settings = LoraSettings(4, alpha, ["x_embedder", "attn.to_q", "ff.net.2", "proj_out"])
    pipeline = FluxFillPipeline.from_pretrained(tiny_model)
    trained = pipeline.transformer.requires_grad_(False).eval()
    add_lora(trained, settings)
    shake(trained)
    save_lora(trained, settings, tmp_path / WEIGHTS_NAME)
    fresh = FluxFillPipeline.from_pretrained(tiny_model)
    fresh.load_lora_weights(tmp_path)
    with torch.no_grad():
        ours = trained(**inputs(), return_dict=False)[0]
        theirs = fresh.transformer.eval()(**inputs(), return_dict=False)[0]
    assert torch.equal(ours, theirs)


def test_a_stock_pipeline_makes_the_picture_of_the_loaded_lora(
    tiny_model: Path, tmp_path: Path
) -> None:
    """The pipeline from end to end: the same picture, and not the base's."""
    settings = LoraSettings(4, 8.0, ["x_embedder", "attn.to_q", "ff.net.2", "proj_out"])
    trained, fresh = (FluxFillPipeline.from_pretrained(tiny_model) for _ in range(2))
    base = picture(fresh)
    add_lora(trained.transformer.requires_grad_(False), settings)
    shake(trained.transformer)
    save_lora(trained.transformer, settings, tmp_path / WEIGHTS_NAME)
    fresh.load_lora_weights(tmp_path)
    assert np.array_equal(picture(fresh), picture(trained))
    assert not np.array_equal(picture(fresh), base)
    fresh.unload_lora_weights()
    assert np.array_equal(picture(fresh), base)


def picture(pipeline: FluxFillPipeline) -> NDArray[np.float32]:
    """A diptych [H, W, 3] in [0, 1] from fixed inputs and noise."""
    made = pipeline(
        prompt=PROMPT,
        image=Image.new("RGB", (64, 32), (200, 90, 30)),
        mask_image=Image.new("L", (64, 32), 255),
        height=32,
        width=64,
        num_inference_steps=2,
        max_sequence_length=16,
        generator=torch.Generator().manual_seed(0),
        output_type="np",
    )
    pixels: NDArray[np.float32] = made.images[0]
    return pixels


def test_one_metadata_key_so_that_bytes_repeat(tmp_path: Path) -> None:
    settings = LoraSettings(4, 4.0, ATTENTION)
    transformer = seeded()
    add_lora(transformer, settings)
    for name in ("a", "b"):
        save_lora(transformer, settings, tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    with safe_open(tmp_path / "a", "pt") as file:
        (text,) = file.metadata().values()
    assert json.loads(text)["transformer.r"] == 4


def test_targets_are_suffixes_or_one_pattern() -> None:
    transformer = seeded()
    suffixes = resolve_targets(transformer, ["to_q", "proj_out"])
    assert "transformer_blocks.0.attn.to_q" in suffixes
    assert "single_transformer_blocks.0.proj_out" in suffixes
    assert "proj_out" in suffixes
    pattern = resolve_targets(transformer, r".*\.proj_out")
    assert pattern == ["single_transformer_blocks.0.proj_out"]
    add_lora(transformer, LoraSettings(2, 2.0, r".*\.proj_out"))
    assert len(lora_state(transformer)) == 2  # the top-level proj_out is not swept in


@pytest.mark.parametrize(
    ("targets", "message"),
    [
        (["to_q", "to_z"], "'to_z' is no linear layer of this transformer; it has"),
        ("nothing_.*", "matches no linear layer"),
        ("(", "pattern"),
    ],
)
def test_unknown_targets_are_named(targets: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        add_lora(seeded(), LoraSettings(4, 4.0, targets))  # type: ignore[arg-type]


def test_a_lora_of_another_width_is_refused() -> None:
    settings = LoraSettings(4, 4.0, ["x_embedder"])
    small, large = seeded(2), seeded(3)
    add_lora(small, settings)
    add_lora(large, settings)
    with pytest.raises(InputError, match=r"file: .*x_embedder.* has shape"):
        set_lora_state(large, lora_state(small), "file")


def test_a_lora_of_other_targets_is_refused() -> None:
    first, second = seeded(), seeded()
    add_lora(first, LoraSettings(4, 4.0, ["to_q"]))
    add_lora(second, LoraSettings(4, 4.0, ["to_k"]))
    with pytest.raises(InputError, match="another base model"):
        set_lora_state(second, lora_state(first), "file")


def test_bad_weight_files_are_named(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    with pytest.raises(InputError, match="missing adapter file"):
        read_weights(path)
    path.write_bytes(b"not safetensors")
    with pytest.raises(InputError, match="not a safetensors file"):
        read_weights(path)
    save_file({"a": torch.ones(2), "b": torch.tensor([1.0, float("nan")])}, path)
    with pytest.raises(InputError, match="b holds NaN"):
        read_weights(path)
    save_file({"a": torch.ones(2)}, path)
    assert torch.equal(read_weights(path)["a"], load_file(path)["a"])
