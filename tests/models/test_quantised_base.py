"""A base in four bits: what is stored, what trains on it, and what is refused."""

import csv
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load
from torch import Tensor, nn

from refract.base.errors import InputError
from refract.infrared.adapter.adapter_files import build_model, load_adapter, read_config
from refract.infrared.inference.generator import InfraredGenerator, PictureSettings
from refract.infrared.training.job import train_adapter
from refract.models.flux_fill import load_transformer
from refract.models.quantised_base import quantise_base, stored_bytes
from refract.params.models import InfraredModelParams
from tests.infrared.test_adapter_files import config
from tests.infrared.test_generator import TEXTS, scene
from tests.models.test_memory_options import BASE, flux_inputs
from tests.tiny.fill import reference, tiny_transformer
from tests.tiny.training import section, settings
from tests.tiny.wan import run

bitsandbytes = pytest.importorskip("bitsandbytes", reason="the optional extra [quantised]")


def quantised(model: Path, **values: Any) -> SimpleNamespace:
    """A model section with the option on."""
    return SimpleNamespace(**vars(reference(model)), quantization="nf4", **values)


def blocks(transformer: Any) -> list[nn.Module]:
    return [*transformer.transformer_blocks, *transformer.single_transformer_blocks]


def four_bit_layers(transformer: Any) -> list[Any]:
    kind = bitsandbytes.nn.Linear4bit
    return [part for part in transformer.modules() if isinstance(part, kind)]


def test_the_blocks_are_stored_in_four_bits_and_the_rest_as_it_was(tiny_model: Path) -> None:
    plain, stored = (load_transformer(x(tiny_model), "cpu") for x in (reference, quantised))
    weights = dict(plain.named_parameters())
    in_blocks = {id(part) for block in blocks(stored) for part in block.modules()}
    names = set()
    for name, part in stored.named_modules():
        if isinstance(part, nn.Linear):
            weight = weights[f"{name}.weight"]
            held = part.weight.nbytes * 8 / weight.numel()
            assert held == (4 if id(part) in in_blocks else 32), name
            names.add(name)
    assert names == {name for name, part in plain.named_modules() if isinstance(part, nn.Linear)}
    assert stored.dtype == torch.float32, "the type of the computation"
    for name, parameter in stored.named_parameters():
        assert not parameter.requires_grad
        if parameter.dtype != torch.uint8:
            assert torch.equal(parameter, weights[name]), name


def test_scales_are_counted_and_small() -> None:
    """4 bits, 8 of a scale a block of 64, 32 of a scale of scales a block of 256 of them."""
    wide = tiny_transformer(heads=24)
    before = stored_bytes(wide)
    share = sum(part.weight.numel() for b in blocks(wide) for part in b.modules()
                if isinstance(part, nn.Linear)) * 4 / before  # fmt: skip
    assert before == sum(p.numel() * 4 for p in wide.parameters())
    quantise_base(wide, "nf4", "infrared_model", "cpu")
    bits = 32 * (stored_bytes(wide) / before - (1 - share)) / share
    assert 4.127 < bits < 4.4  # tables of values, of one size for a layer, are what is above


def test_the_velocity_is_that_of_weights_rounded_once(tiny_model: Path) -> None:
    plain, stored = (load_transformer(x(tiny_model), "cpu") for x in (reference, quantised))
    before, after = run(plain, flux_inputs()), run(stored, flux_inputs())
    assert 0 < (after - before).norm() < 0.2 * before.norm()
    assert torch.equal(run(stored, flux_inputs()), after)
    for name, part in stored.named_modules():
        if isinstance(part, bitsandbytes.nn.Linear4bit):
            weight = part.weight
            rounded = bitsandbytes.functional.dequantize_4bit(weight.data, weight.quant_state)
            plain.get_submodule(name).weight.data = rounded
    torch.testing.assert_close(run(plain, flux_inputs()), after, atol=1e-5, rtol=1e-5)


def gradients(model: Path, checkpointing: bool = False) -> dict[str, Tensor | None]:
    """Of every weight, after a validation, by a model with LoRA on all kinds of layers."""
    base = load_transformer(quantised(model), "cpu")
    if checkpointing:
        base.enable_gradient_checkpointing()
    torch.manual_seed(0)
    own = build_model(base, config(lora_targets=("to_q", "proj_mlp", "x_embedder")))
    for name, parameter in own.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.1)
    run(own.transformer.eval(), flux_inputs())
    own.train()
    own.transformer(**flux_inputs(), return_dict=False)[0].square().mean().backward()
    return {name: parameter.grad for name, parameter in own.transformer.named_parameters()}


def test_gradients_reach_the_lora_alone(tiny_model: Path) -> None:
    made = gradients(tiny_model)
    trained = {name for name, gradient in made.items() if gradient is not None}
    assert trained == {name for name in made if "lora_" in name}
    assert len([name for name in trained if "transformer_blocks.0.attn.to_q" in name]) == 4
    assert all(made[name].abs().max() > 0 for name in trained)  # type: ignore[union-attr]
    again = gradients(tiny_model, checkpointing=True)
    for name in trained:
        torch.testing.assert_close(made[name], again[name], atol=1e-6, rtol=1e-5)


def test_no_cpu_repacks_the_weights_in_an_inference(tiny_model: Path) -> None:
    """The kernel for that layout has no gradient, and a training validates on its way."""
    base = load_transformer(quantised(tiny_model), "cpu")
    layers = four_bit_layers(base)
    assert layers and not any(layer.support_avx512bf16_for_cpu for layer in layers)


def test_peft_takes_its_own_kind_of_layer(tiny_model: Path) -> None:
    own = build_model(load_transformer(quantised(tiny_model), "cpu"), config())
    queries = [part for n, part in own.transformer.named_modules() if n.endswith("attn.to_q")]
    assert queries and {type(part).__module__ for part in queries} == {"peft.tuners.lora.bnb"}


def train_on(
    model: Path, triptychs: Path, output: Path, quantization: Any = "nf4", **changes: Any
) -> dict[str, bytes]:
    chosen = section(model).model_copy(update={"quantization": quantization})
    train_adapter(settings(**changes), chosen, 0, triptychs, output)
    return {path.name: path.read_bytes() for path in sorted(output.iterdir())}


def losses(files: dict[str, bytes]) -> list[float]:
    rows = csv.DictReader(files["curve.csv"].decode().splitlines())
    return [float(row["validation_loss"]) for row in rows if row["validation_loss"]]


def test_a_training_on_it_repeats_learns_and_serves_a_plain_base(
    tiny_model: Path, tiny_triptychs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {"steps": 40, "validate_every": 10, "checkpoint_every": 0}
    made = {}
    for name, quantization in (("first", "nf4"), ("second", "nf4"), ("plain", None)):
        if name == "second":
            monkeypatch.setenv("REFRACT_STATE", str(tmp_path / "another_state"))
        made[name] = train_on(tiny_model, tiny_triptychs, tmp_path / name, quantization, **options)
    assert made["first"] == made["second"] and made["first"].keys() == made["plain"].keys()
    weights = [load(made[name]["pytorch_lora_weights.safetensors"]) for name in ("first", "plain")]
    assert weights[0].keys() == weights[1].keys(), "the option is part of the training's key"
    assert any(not torch.equal(weights[0][key], weights[1][key]) for key in weights[0])
    curve = losses(made["first"])
    assert curve[-1] < 0.97 * curve[0]
    folder, pictures = tmp_path / "first", []
    for chosen in (reference(tiny_model), quantised(tiny_model)):
        settings = PictureSettings(steps=2, seed=0, batch=2, bits=16)
        own = InfraredGenerator(folder, chosen, settings, "cpu")
        pictures.append(dict(own.generate([scene(0)], TEXTS))["scene0"].astype(float))
        assert bool(four_bit_layers(own.model.transformer)) == hasattr(chosen, "quantization")
    assert 0 < np.abs(pictures[0] - pictures[1]).mean() < 0.1 * np.ptp(pictures[0])


def test_an_adapter_of_a_plain_base_serves_a_quantised_one(
    tiny_model: Path, tiny_triptychs: Path, tmp_path: Path
) -> None:
    train_on(tiny_model, tiny_triptychs, tmp_path / "plain", None)
    folder = tmp_path / "plain"
    own = load_adapter(
        folder, lambda: load_transformer(quantised(tiny_model), "cpu"), read_config(folder)
    )
    trained = load((folder / "pytorch_lora_weights.safetensors").read_bytes())
    held = dict(own.transformer.named_parameters())
    for name, weight in trained.items():
        key = name.removeprefix("transformer.").replace(".weight", ".default.weight")
        assert torch.equal(held[key], weight)


def test_without_the_package_the_extra_is_named(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    told = r"infrared_model\.quantization = nf4: needs bitsandbytes .*pip install -e '\.\[quant"
    with pytest.raises(InputError, match=told) as caught:
        load_transformer(quantised(tiny_model), "cpu")
    assert "\n" not in str(caught.value)


def test_a_device_without_kernels_is_told(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise NotImplementedError("no kernel\nand a stack of dispatch keys")

    monkeypatch.setattr(bitsandbytes.functional, "quantize_4bit", refuse)
    with pytest.raises(InputError, match=r"nf4: does not run on cpu: no kernel$"):
        load_transformer(quantised(tiny_model), "cpu")


def test_sharded_weights_are_refused(tiny_model: Path) -> None:
    with pytest.raises(InputError, match=r"infrared_model\.quantization = nf4: .*FSDP"):
        load_transformer(quantised(tiny_model), "cpu", on_cpu=True)


@pytest.mark.parametrize(
    "other", [{"offload": "block"}, {"storage_dtype": "float8_e4m3fn"}, {"compile": True}]
)
def test_options_that_would_touch_quantised_weights_are_refused(other: dict[str, Any]) -> None:
    (name,) = other
    with pytest.raises(ValueError, match=f"quantization: nf4 does not go with {name}"):
        InfraredModelParams(**BASE, quantization="nf4", **other)


def test_trainings_and_pictures_know_it() -> None:
    own = InfraredModelParams(**BASE, quantization="nf4")
    assert own.result_settings()["quantization"] == "nf4"
    assert own.training_settings() == own.result_settings()
