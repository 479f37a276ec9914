"""Options of memory and speed on tiny models, each held against the same model without it."""

from collections.abc import Callable, Iterator
from functools import partialmethod
from pathlib import Path
from types import SimpleNamespace
from typing import Any, get_args

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from refract.base.errors import InputError
from refract.editing.reference.attention import reference_attention
from refract.editing.reference.bank import ReferenceBank
from refract.editing.reference.extraction import extract_bank
from refract.infrared.adapter.lora import LoraSettings, add_lora
from refract.infrared.adapter.model import InfraredModel
from refract.infrared.adapter.semantic_conditioning import DiptychGrid
from refract.models.flux_fill import load_transformer, load_vae, options_of
from refract.models.memory_options import (
    MemoryOptions,
    choose_attention,
    fit_transformer,
    fit_vae,
    memory_options,
)
from refract.models.wan import WanModel
from refract.params.models import (
    InfraredModelParams,
    StepCache,
    StorageDtype,
    TrainableAttention,
    VideoModelParams,
)
from refract.params.section import validate
from tests.tiny.wan import (
    TEXT_DIM,
    WORDS,
    run,
    tiny_inputs,
    tiny_transformer,
    tiny_vae,
)

BASE: dict[str, Any] = {
    "path": "a/b", "revision": None, "dtype": "float32", "max_sequence_length": 8
}  # fmt: skip


def options(**values: Any) -> MemoryOptions:
    return MemoryOptions("video_model", **values)


def wan(folder: Path, **values: Any) -> WanModel:
    return WanModel(str(folder), None, "float32", "cpu", options(**values))


def bank_of(transformer: Any, seed: int = 3) -> ReferenceBank:
    draw = torch.Generator().manual_seed(seed)
    picture = torch.randn(1, 4, 1, 4, 6, generator=draw)
    words = torch.randn(1, WORDS, TEXT_DIM, generator=draw)
    keep = torch.ones(2, 3, dtype=torch.bool)
    return extract_bank(transformer, picture, words, [0.3], keep, generator=draw)


def with_reference(
    transformer: Any, bank: ReferenceBank, mode: str = "joint", frames: int = 3
) -> Tensor:
    with reference_attention(transformer, bank, strength=0.7, mode=mode):
        return run(transformer, tiny_inputs(frames))


def assert_same_bank(first: ReferenceBank, second: ReferenceBank) -> None:
    for layer, tensors in second.layers.items():
        for kind, tensor in tensors.items():
            assert torch.equal(first.layers[layer][kind], tensor), (layer, kind)


@pytest.mark.parametrize("offload", ["block", "leaf"])
def test_offloading_changes_no_bit(tiny_wan: Path, offload: str) -> None:
    plain, changed = (wan(tiny_wan, **x).transformer for x in ({}, {"offload": offload}))
    hooked = [part for part in changed.modules() if hasattr(part, "_diffusers_hook")]
    assert hooked and changed.device == torch.device("cpu")
    assert torch.equal(run(changed, tiny_inputs()), run(plain, tiny_inputs()))
    bank = bank_of(plain)
    assert_same_bank(bank_of(changed), bank)
    for mode in ("joint", "attn+adain"):
        assert torch.equal(with_reference(changed, bank, mode), with_reference(plain, bank, mode))


@pytest.mark.parametrize("name", get_args(StorageDtype))
def test_storing_in_float8_is_rounding_the_weights_once(tiny_wan: Path, name: str) -> None:
    plain, stored = (wan(tiny_wan, **x).transformer for x in ({}, {"storage_dtype": name}))
    before = run(plain, tiny_inputs())
    assert stored.dtype == torch.float32, "the type of the computation"
    rounded = [n for n, p in stored.named_parameters() if p.dtype == getattr(torch, name)]
    assert "blocks.0.attn1.to_q.weight" in rounded and "blocks.3.ffn.net.2.weight" in rounded
    assert not [n for n in rounded if "norm" in n or "embed" in n or "scale_shift" in n]
    for parameter in map(plain.get_parameter, rounded):
        parameter.data = parameter.data.to(getattr(torch, name)).float()
    after = run(stored, tiny_inputs())
    assert torch.equal(after, run(plain, tiny_inputs()))
    assert 0 < (after - before).norm() < 0.1 * before.norm()
    bank = bank_of(plain)
    assert_same_bank(bank_of(stored), bank)
    assert torch.equal(with_reference(stored, bank), with_reference(plain, bank))


def test_offloading_and_float8_go_together(tiny_wan: Path) -> None:
    stored = wan(tiny_wan, storage_dtype="float8_e4m3fn").transformer
    both = wan(tiny_wan, storage_dtype="float8_e4m3fn", offload="leaf").transformer
    assert torch.equal(run(both, tiny_inputs()), run(stored, tiny_inputs()))


@pytest.mark.parametrize(("backend", "tolerance"), [("native", 0.0), ("_native_math", 1e-5)])
def test_attention_backend_is_this_models_alone(
    tiny_wan: Path, backend: str, tolerance: float
) -> None:
    from diffusers.models.attention_dispatch import _AttentionBackendRegistry

    default = _AttentionBackendRegistry.get_active_backend()
    plain = wan(tiny_wan).transformer
    changed = wan(tiny_wan, attention_backend=backend).transformer
    assert changed.blocks[0].attn1.processor._attention_backend == backend
    assert _AttentionBackendRegistry.get_active_backend() == default
    assert plain.blocks[0].attn1.processor._attention_backend is None
    expected = run(plain, tiny_inputs())
    torch.testing.assert_close(run(changed, tiny_inputs()), expected, atol=tolerance, rtol=0)
    bank = bank_of(plain)
    torch.testing.assert_close(
        with_reference(changed, bank), with_reference(plain, bank), atol=tolerance, rtol=0
    )
    assert changed.blocks[0].attn1.processor._attention_backend == backend


def test_attention_backends_are_diffusers_and_the_settings() -> None:
    from diffusers.models.attention_dispatch import AttentionBackendName, _AttentionBackendRegistry

    names = [*get_args(TrainableAttention), "sage"]
    assert {AttentionBackendName(name) for name in names} <= set(
        _AttentionBackendRegistry.list_backends()
    )
    for name in names:
        assert VideoModelParams(**{**BASE, "attention_backend": name}).attention_backend == name


@pytest.mark.parametrize(
    ("backend", "dtype", "device", "told"),
    [
        ("sage", "bfloat16", "cpu", r"video_model\.attention_backend = sage: needs a CUDA GPU"),
        ("_native_cudnn", "float32", "cuda:1", r"needs video_model\.dtype bfloat16 or float16"),
        ("flash", "bfloat16", "cuda", r"attention_backend = flash: .*install `flash-attn"),
    ],
)
def test_a_backend_that_cannot_run_is_refused(
    backend: str, dtype: str, device: str, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from diffusers.models import attention_dispatch

    monkeypatch.setattr(attention_dispatch, "_CAN_USE_FLASH_ATTN", False)
    transformer = tiny_transformer(num_layers=1).to(getattr(torch, dtype))
    with pytest.raises(InputError, match=told):
        choose_attention(transformer, options(attention_backend=backend), device)


@pytest.fixture
def traced(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Blocks are traced and guarded as for the compiler, but run as traced.

    What code the compiler makes of a trace is its own affair, and making it takes minutes.
    """
    from diffusers import WanTransformer3DModel

    stock: Callable[..., None] = WanTransformer3DModel.compile_repeated_blocks
    monkeypatch.setattr(
        WanTransformer3DModel, "compile_repeated_blocks", partialmethod(stock, backend="eager")
    )
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


@pytest.mark.usefixtures("traced")
def test_compiled_blocks_see_hooks_and_references_that_come_later() -> None:
    from torch._dynamo.utils import counters

    counters.clear()
    plain, compiled = (tiny_transformer(num_layers=1) for _ in range(2))
    fit_transformer(compiled, options(compile=True), "cpu")
    inputs = tiny_inputs(frames=1)
    assert torch.equal(run(compiled, inputs), run(plain, inputs))
    assert counters["frames"]["ok"] > 0, "something was traced"
    bank = bank_of(plain)
    for _ in range(2):  # the hooks of the second recording are others
        assert_same_bank(bank_of(compiled), bank)
    assert torch.equal(
        with_reference(compiled, bank, frames=1), with_reference(plain, bank, frames=1)
    )
    assert torch.equal(run(compiled, inputs), run(plain, inputs))


def test_tiles_of_a_clip_are_close_and_small_clips_the_same() -> None:
    vae, clip = tiny_vae(), torch.rand(1, 3, 5, 32, 320, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        wide, narrow = (vae.encode(x).latent_dist.mode() for x in (clip, clip[..., :96]))
        expected = vae.decode(wide).sample, vae.decode(narrow).sample
        fit_vae(vae, options(vae_tiling=True))
        assert torch.equal(vae.encode(clip[..., :96]).latent_dist.mode(), narrow)
        assert torch.equal(vae.decode(narrow).sample, expected[1])
        tiled = vae.decode(wide).sample
    assert tiled.shape == expected[0].shape
    assert 0 < (tiled - expected[0]).abs().mean() < 0.1 * expected[0].abs().mean()


@pytest.mark.parametrize("option", ["vae_slicing", "vae_tiling"])
def test_slices_and_tiles_of_pictures(tiny_model: Path, option: str) -> None:
    """A tile of this VAE is 32 pixels: the pictures are one tile each."""
    pictures = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
    results = []
    for changes in ({}, {option: True}):
        section = SimpleNamespace(**{**BASE, "path": str(tiny_model), **changes})
        vae = load_vae(section, "cpu")
        assert vae.vae.use_slicing == ("vae_slicing" in changes)
        assert vae.vae.use_tiling == ("vae_tiling" in changes)
        results.append((z := vae.encode(pictures), vae.decode(z)))
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-4)


def flux_inputs() -> dict[str, Tensor]:
    draw = torch.Generator().manual_seed(1)
    shapes = {
        "hidden_states": (1, 8, 384), "encoder_hidden_states": (1, 6, 64),
        "pooled_projections": (1, 64), "img_ids": (8, 3), "txt_ids": (6, 3),
    }  # fmt: skip
    inputs = {name: torch.randn(shape, generator=draw) for name, shape in shapes.items()}
    return inputs | {"timestep": torch.tensor([0.5]), "guidance": torch.ones(1)}


def flux(folder: Path, **values: Any) -> Any:
    """The transformer with a LoRA that does something, as an inference has it."""
    section = SimpleNamespace(**{**BASE, "path": str(folder), **values})
    transformer = load_transformer(section, "cpu", for_inference=True)
    add_lora(transformer, LoraSettings(4, 4.0, ["to_q", "proj_out", "x_embedder"]))
    draw = torch.Generator().manual_seed(5)
    for name, parameter in transformer.named_parameters():
        if "lora_" in name:
            parameter.data = 0.1 * torch.randn(parameter.shape, generator=draw)
    model = InfraredModel(transformer.requires_grad_(False), None, DiptychGrid(2, 2))
    model.fit_memory(options_of(section), "cpu")
    return model.transformer


def test_image_model_with_lora(tiny_model: Path) -> None:
    plain = flux(tiny_model)
    before = run(plain, flux_inputs())
    for offload in ("block", "leaf"):
        assert torch.equal(run(flux(tiny_model, offload=offload), flux_inputs()), before)
    stored = flux(tiny_model, storage_dtype="float8_e4m3fn", attention_backend="native")
    types = {n: p.dtype for n, p in stored.named_parameters()}
    assert {dtype for name, dtype in types.items() if "lora_" in name} == {torch.float32}
    assert types["transformer_blocks.0.attn.to_q.base_layer.weight"] == torch.float8_e4m3fn
    for name, dtype in types.items():
        plain.get_parameter(name).data = plain.get_parameter(name).data.to(dtype).float()
    after = run(stored, flux_inputs())
    assert torch.equal(after, run(plain, flux_inputs()))
    assert 0 < (after - before).norm() < 0.1 * before.norm()


def test_training_holds_the_weights_as_they_are(tiny_model: Path) -> None:
    """A backward pass could not use weights that went back to their storage."""
    section = SimpleNamespace(
        **{**BASE, "path": str(tiny_model), "storage_dtype": "float8_e4m3fn", "offload": "block"}
    )
    transformer = load_transformer(section, "cpu")
    assert {p.dtype for p in transformer.parameters()} == {torch.float32}
    assert not [part for part in transformer.modules() if hasattr(part, "_diffusers_hook")]


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("offload", "disk", "none, block, leaf"),
        ("storage_dtype", "int8", "float8_e4m3fn, float8_e5m2"),
        ("attention_backend", "flash_hub", "native, "),
        ("quantization", "int4", "nf4"),
        ("step_cache", "mag", "first_block"),
    ],
)
def test_unknown_values_are_refused(name: str, value: str, allowed: str) -> None:
    with pytest.raises(
        InputError, match=rf"infrared_model: {name} = '{value}': must be .*{allowed}"
    ):
        validate(InfraredModelParams, {**BASE, name: value}, Path("infrared_model"))


@pytest.mark.parametrize("other", ["offload", "storage_dtype", "step_cache"])
def test_compiled_blocks_get_no_other_hooks(other: str) -> None:
    value = {"offload": "leaf", "storage_dtype": "float8_e5m2", "step_cache": "first_block"}[other]
    values: dict[str, Any] = {other: value}
    VideoModelParams(**BASE, **values)
    with pytest.raises(ValueError, match=r"compile: true goes with none of .*" + other):
        VideoModelParams(**BASE, **values, compile=True)


CHOICES = st.fixed_dictionaries({
    "offload": st.sampled_from(["none", "block", "leaf"]),
    "storage_dtype": st.sampled_from([None, *get_args(StorageDtype)]),
    "vae_tiling": st.booleans(),
    "vae_slicing": st.booleans(),
    "attention_backend": st.sampled_from([None, *get_args(TrainableAttention)]),
    "step_cache": st.sampled_from([None, *get_args(StepCache)]),
    "step_cache_threshold": st.sampled_from([0.1, 0.2]),
})  # fmt: skip


@given(CHOICES, CHOICES)
def test_result_settings_tell_all_but_offloading_apart(
    first: dict[str, Any], second: dict[str, Any]
) -> None:
    own, other = (InfraredModelParams(**BASE, **values) for values in (first, second))

    def read(values: dict[str, Any]) -> dict[str, Any]:
        """What results depend on: no offloading, and a threshold only where it is read."""
        off = {} if values["step_cache"] else {"step_cache_threshold": None}
        return {**values, "offload": None, **off}

    same = read(first) == read(second)
    assert (own.result_settings() == other.result_settings()) == same
    assert memory_options(own, "x") == MemoryOptions("x", **first)
    tiles = [(values["vae_tiling"], values["vae_slicing"]) for values in (first, second)]
    assert (own.vae_settings() == other.vae_settings()) == (tiles[0] == tiles[1])


def test_options_that_are_off_leave_the_keys_of_stored_items() -> None:
    section = InfraredModelParams(**BASE)
    assert section.result_settings() == {"dtype": "float32", "max_sequence_length": 8}
    assert section.training_settings() == section.result_settings()
    assert section.vae_settings() == "float32"


def test_a_training_knows_no_inference_options() -> None:
    inference: dict[str, Any] = {
        "storage_dtype": "float8_e5m2", "offload": "leaf", "step_cache": "first_block"
    }  # fmt: skip
    changed = InfraredModelParams(**BASE, **inference, vae_tiling=True)
    plain = InfraredModelParams(**BASE, vae_tiling=True)
    assert changed.training_settings() == plain.training_settings()
    assert plain.training_settings() != InfraredModelParams(**BASE).training_settings()
