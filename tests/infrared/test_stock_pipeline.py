"""The adapter in a stock pipeline, against the training's model and against `infer_ir`'s path."""

import refract.models.torchvision_compat  # noqa: F401  (before diffusers)

# isort: split
import json
from pathlib import Path
from typing import Any

import accelerate
import numpy as np
import pytest
import torch
from diffusers import FluxFillPipeline, FluxTransformer2DModel
from numpy.typing import NDArray
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor

from backbones.image.assemble import build_pipeline
from refract.base.errors import InputError
from refract.infrared.adapter.adapter_files import (
    SEMANTIC_NAME,
    AdapterConfig,
    build_model,
    save_adapter,
)
from refract.infrared.adapter.fill_conditioning import encode_images_fill, fuse_pixels
from refract.infrared.adapter.sampling import generate_tokens
from refract.infrared.adapter.semantic_attention import KeyValue, SemanticCrossAttention
from refract.infrared.adapter.stock_pipeline import (
    SCENE_KEY,
    PipelineAdapter,
    SceneConditioning,
    infrared_half,
    load_into_pipeline,
)
from refract.infrared.inference.generator import InfraredGenerator, PictureSettings, Scene
from refract.media.image_reading import class_colours
from refract.models.flux_fill import FillVae, TextEmbedding, encode_prompts
from refract.models.flux_tokens import image_ids, pack_latents
from refract.models.identity import model_identity
from tests.infrared.test_adapter_files import base, config, trained
from tests.tiny.fill import PROMPT, reference, tiny_vae

STEPS = 3
PROMPT_TOKENS = 16
PHOTO, MAP, OTHER_MAP = np.random.default_rng(5).integers(0, 256, (3, 32, 32, 3), np.uint8)

MODES: list[dict[str, object]] = [
    {},
    {"layout": "target", "position": "none", "gate": "zero_scale"},
    {"site": "x_t", "position": "rope2d", "gate": "small"},
    {"site": "x_t", "layout": "target", "layers": 1},
    {"mode": "panel"},
    {"mode": "pixel_fusion", "fusion_alpha": 0.3},
    {"mode": "none"},
    {"precision": "bfloat16"},
    {"precision": "float16"},
    {"mode": "panel", "precision": "bfloat16"},
]


@pytest.fixture(scope="module")
def trained_adapter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_trained(tmp_path_factory.mktemp("adapter"), config(prompt=PROMPT))


def write_trained(folder: Path, settings: AdapterConfig) -> Path:
    """An adapter after a few optimiser steps; any base of the same shapes takes it."""
    save_adapter(trained(settings), settings, folder)
    return folder


def stock(model: Path) -> FluxFillPipeline:
    pipeline = FluxFillPipeline.from_pretrained(model)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def load(pipeline: Any, folder: Path, **options: bool) -> PipelineAdapter:
    return load_into_pipeline(pipeline, folder, **options)


def around(transformer: FluxTransformer2DModel) -> FluxFillPipeline:
    """A pipeline with a VAE and text encoders of its own."""
    torch.manual_seed(7)
    return build_pipeline(tiny_vae().eval(), transformer)


def run(pipeline: FluxFillPipeline, inputs: dict[str, Any], **options: Any) -> Any:
    """The pipeline's pictures, from the same noise each time."""
    generator = torch.Generator().manual_seed(1)
    settings = {"num_inference_steps": STEPS, "generator": generator}
    return pipeline(**settings | inputs | options).images


def pixels(picture: NDArray[np.uint8]) -> Tensor:
    """[1, 3, H, W] in [-1, 1]."""
    return torch.tensor(picture).permute(2, 0, 1)[None].float() / 127.5 - 1


def drawn(batch: int = 2) -> tuple[Tensor, Tensor, TextEmbedding]:
    """x_t, t and text."""
    source = torch.Generator().manual_seed(9)
    x_t, tokens, pooled = (
        torch.randn(batch, *shape, generator=source) for shape in ((8, 64), (4, 64), (64,))
    )
    return x_t, torch.linspace(0.3, 0.8, batch), TextEmbedding(tokens, pooled)


def call(transformer: FluxTransformer2DModel, extra: object, **options: object) -> Any:
    """The transformer called as the pipeline does, which samples conditioning of its own."""
    x_t, t, text = drawn()
    return transformer(
        hidden_states=torch.cat([x_t, torch.rand(2, 8, 320)], 2),
        timestep=t,
        guidance=torch.full([1], 1.0).expand(2),
        pooled_projections=text.pooled,
        encoder_hidden_states=text.tokens,
        txt_ids=torch.zeros(4, 3),
        img_ids=image_ids(2, 4),
        joint_attention_kwargs=extra,
        **{"return_dict": False} | options,
    )


def training_tokens(vae: FillVae, settings: AdapterConfig) -> tuple[Tensor, Tensor]:
    """x_cond and semantic, both twice, by the functions the training has."""
    visible, semantic = pixels(PHOTO), pixels(MAP)
    if settings.fusion_alpha is not None:
        visible = fuse_pixels(visible, semantic, settings.fusion_alpha)
    x_cond = encode_images_fill(vae.encode, visible)[1]
    return x_cond.repeat(2, 1, 1), pack_latents(vae.encode(semantic)).repeat(2, 1, 1)


@pytest.mark.parametrize("changes", MODES)
@torch.no_grad()
def test_a_forward_is_bit_equal_to_the_training(tmp_path: Path, changes: dict[str, Any]) -> None:
    settings = config(**changes)
    with torch.enable_grad():
        model = trained(settings)
    save_adapter(model, settings, tmp_path)
    pipeline = around(base())
    adapter = load(pipeline, tmp_path)
    x_t, t, text = drawn()
    expected = model(x_t, t, *training_tokens(FillVae(pipeline.vae), settings), text)
    extra = adapter.inputs(PHOTO, MAP)["joint_attention_kwargs"]
    made = call(pipeline.transformer, extra)[0]
    assert made.dtype == torch.float32
    assert torch.equal(made, expected)
    assert torch.equal(call(pipeline.transformer, extra, return_dict=True).sample, expected)


@pytest.mark.parametrize("precision", ["bfloat16", "float32"])
@torch.no_grad()
def test_a_forward_of_a_half_precision_base_is_bit_equal(tmp_path: Path, precision: str) -> None:
    """LoRA and semantic adapter stay in float32, as in the training."""
    settings = config(precision=precision)
    torch.manual_seed(3)
    model = build_model(base().to(torch.bfloat16), settings)
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data.normal_(std=0.1)
    save_adapter(model, settings, tmp_path)
    pipeline = around(base().to(torch.bfloat16))
    adapter = load(pipeline, tmp_path)
    x_t, t, text = drawn()
    expected = model(x_t, t, *training_tokens(FillVae(pipeline.vae), settings), text)
    extra = adapter.inputs(PHOTO, MAP)["joint_attention_kwargs"]
    assert torch.equal(call(pipeline.transformer, extra)[0], expected)


def test_the_scene_goes_no_further_than_the_hook(model: Path, trained_adapter: Path) -> None:
    """Attention processors would warn of an argument unknown to them; a LoRA scale stays."""
    adapter = load(pipeline := stock(model), trained_adapter)
    seen: list[object] = []
    pipeline.transformer.register_forward_pre_hook(
        lambda _, args, kwargs: seen.append(kwargs["joint_attention_kwargs"]), with_kwargs=True
    )
    extra = adapter.inputs(PHOTO, MAP)["joint_attention_kwargs"]
    whole, weaker = (call(pipeline.transformer, extra | scale)[0] for scale in ({}, {"scale": 0.5}))
    assert seen == [None, {"scale": 0.5}]
    assert SCENE_KEY in extra
    assert not torch.equal(whole, weaker)


@pytest.mark.parametrize("changes", [{}, {"mode": "panel"}, {"precision": "bfloat16"}])
def test_a_picture_is_that_of_infer_ir(
    model: Path, tmp_path: Path, changes: dict[str, object]
) -> None:
    """From the same noise: to the byte here, where rounding of t does not reach a gray level.

    The pipeline hands the transformer sigma * 1000 / 1000 for sigma, hence the tolerance of the
    latents. Its own pictures have each channel rounded before the gray mean.
    """
    folder = write_trained(tmp_path, config(prompt=PROMPT, **changes))
    adapter = load(pipeline := stock(model), folder)
    made = InfraredGenerator(folder, reference(model), PictureSettings(steps=STEPS, seed=0), "cpu")
    scene = Scene("scene", pixels(PHOTO)[0], pixels(MAP)[0], PROMPT)
    texts = encode_prompts(reference(model), [PROMPT], "cpu")
    tokens = made.encode([scene], texts)
    noise = made.noise([scene], tokens)
    inputs = adapter.inputs(PHOTO, MAP)
    own = run(pipeline, inputs, latents=noise, output_type="latent")
    expected = generate_tokens(made.model, made.sigmas, noise, *tokens)
    assert (own - expected).abs().max() < 1e-5
    levels = dict(made.generate([scene], texts))["scene"].astype(int)
    for kind, tolerance in (("np", 0), ("pil", 1)):
        gray = infrared_half(run(pipeline, inputs, latents=noise, output_type=kind)[0])
        assert gray.size == (32, 32)
        assert np.abs(np.asarray(gray).astype(int) - levels).max() <= tolerance


def test_the_map_decides_and_lora_alone_is_something_else(
    model: Path, trained_adapter: Path
) -> None:
    """Calls whose arguments were made before either ran do not mix their maps up."""
    pipeline = stock(model)
    with load(pipeline, trained_adapter) as adapter:
        inputs, others = adapter.inputs(PHOTO, MAP), adapter.inputs(PHOTO, OTHER_MAP)
        own = run(pipeline, inputs, output_type="np")
        other = run(pipeline, others, output_type="np")
        again = run(pipeline, inputs, output_type="np")
    assert np.array_equal(own, again)
    assert np.abs(own - other).max() > 1e-3
    pipeline.load_lora_weights(trained_adapter)
    del inputs["joint_attention_kwargs"]
    assert np.abs(run(pipeline, inputs, output_type="np") - own).max() > 1e-3


def test_keys_and_values_are_made_once_a_call(
    model: Path, trained_adapter: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = []
    project = SemanticCrossAttention.project

    def counted(self: SemanticCrossAttention, *arguments: Tensor) -> KeyValue:
        made.append(arguments)
        return project(self, *arguments)

    monkeypatch.setattr(SemanticCrossAttention, "project", counted)
    with load(pipeline := stock(model), trained_adapter) as adapter:
        run(pipeline, adapter.inputs(PHOTO, MAP))
    assert len(made) == adapter.config.layers


@pytest.mark.parametrize("changes", [{}, {"mode": "panel"}, {"mode": "none"}])
def test_one_scene_serves_a_batch(model: Path, tmp_path: Path, changes: dict[str, object]) -> None:
    """Prompts and pictures a prompt, each as if alone from its noise."""
    folder = write_trained(tmp_path, config(prompt=PROMPT, **changes))
    noise = torch.randn(4, 8, 64, generator=torch.Generator().manual_seed(2))
    with load(pipeline := stock(model), folder) as adapter:
        inputs = adapter.inputs(PHOTO, MAP, ["a photo", PROMPT])
        options = {"latents": noise, "num_images_per_prompt": 2, "output_type": "np"}
        batch = run(pipeline, inputs, **options)
        alone = [
            run(pipeline, inputs | {"prompt": prompt}, latents=own[None], output_type="np")[0]
            for prompt, own in zip(["a photo"] * 2 + [PROMPT] * 2, noise, strict=True)
        ]
    np.testing.assert_allclose(batch, np.stack(alone), atol=1e-4)


def test_removed_it_was_never_there(model: Path, trained_adapter: Path) -> None:
    pipeline = stock(model)
    image, mask = Image.fromarray(np.hstack([PHOTO] * 2)), Image.new("L", (64, 32), 255)
    plain = {"prompt": PROMPT, "image": image, "mask_image": mask, "height": 32, "width": 64}
    plain["max_sequence_length"] = PROMPT_TOKENS
    before = run(pipeline, plain, output_type="np")
    parts = [name for name, _ in pipeline.transformer.named_modules()]
    adapter = load(pipeline, trained_adapter)
    during = run(pipeline, plain | adapter.inputs(PHOTO, MAP), output_type="np")
    adapter.remove()
    adapter.remove()
    after = run(pipeline, plain, output_type="np")
    assert not np.array_equal(before, during)
    assert np.array_equal(before, after)
    assert [name for name, _ in pipeline.transformer.named_modules()] == parts
    with load(pipeline, trained_adapter) as adapter:
        again = run(pipeline, plain | adapter.inputs(PHOTO, MAP), output_type="np")
    assert np.array_equal(again, during)


def test_a_failing_forward_leaves_no_autocast(model: Path, tmp_path: Path) -> None:
    folder = write_trained(tmp_path, config(prompt=PROMPT, precision="bfloat16"))
    pipeline = stock(model)
    adapter = load(pipeline, folder)
    extra = adapter.inputs(PHOTO, MAP)["joint_attention_kwargs"]
    with pytest.raises(TypeError):
        call(pipeline.transformer, extra, no_such_argument=1)
    assert not torch.is_autocast_enabled("cpu")
    # An interrupt from the keyboard skips the hook that leaves autocast.
    handle = pipeline.transformer.x_embedder.register_forward_pre_hook(interrupt)
    with pytest.raises(KeyboardInterrupt):
        call(pipeline.transformer, extra)
    handle.remove()
    adapter.inputs(PHOTO, MAP)
    assert not torch.is_autocast_enabled("cpu")


def interrupt(*_: object) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("offloaded_first", [True, False])
def test_with_offloading(model: Path, trained_adapter: Path, offloaded_first: bool) -> None:
    """accelerate wraps each model's forward, and wraps it anew after each call of the pipeline."""
    pipeline = stock(model)
    adapter = load(pipeline, trained_adapter)
    expected = run(pipeline, adapter.inputs(PHOTO, MAP), output_type="np")
    parts = [pipeline.transformer, pipeline.vae]

    def offload() -> None:
        for part in parts:
            accelerate.hooks.remove_hook_from_module(part, recurse=True)
            accelerate.cpu_offload_with_hook(part, "cpu")

    if offloaded_first:
        adapter.remove()
        offload()
        adapter = load(pipeline, trained_adapter)
    for _ in range(2):
        offload()
        assert np.array_equal(run(pipeline, adapter.inputs(PHOTO, MAP), output_type="np"), expected)


def test_a_half_precision_pipeline_runs(model: Path, tmp_path: Path) -> None:
    folder = write_trained(tmp_path, config(prompt=PROMPT, precision="bfloat16"))
    pipeline = stock(model).to(torch.bfloat16)
    with load(pipeline, folder) as adapter:
        made = run(pipeline, adapter.inputs(PHOTO, MAP), output_type="latent")
    assert made.dtype == torch.bfloat16
    assert made.isfinite().all()


def conditioning(adapter: Any, *pictures: Any) -> SceneConditioning:
    return adapter.inputs(*pictures)["joint_attention_kwargs"][SCENE_KEY]


def test_pictures_are_taken_in_any_form_and_size(
    model: Path, trained_adapter: Path, tmp_path: Path
) -> None:
    adapter = load(stock(model), trained_adapter)
    expected = conditioning(adapter, PHOTO, MAP)
    for name, picture in (("photo", PHOTO), ("map", MAP)):
        Image.fromarray(picture).save(tmp_path / f"{name}.png")
    photo, semantic = tmp_path / "photo.png", tmp_path / "map.png"
    larger = np.repeat(np.repeat(MAP, 2, 0), 2, 1)
    pairs = [(photo, str(semantic)), (Image.open(photo), Image.open(semantic)), (PHOTO, larger)]
    for pair in pairs:
        made = conditioning(adapter, *pair)
        assert torch.equal(made.x_cond, expected.x_cond)
        assert torch.equal(made.semantic, expected.semantic)
    ids = MAP[..., 0]
    coloured = conditioning(adapter, PHOTO, class_colours()[ids]).semantic
    assert torch.equal(conditioning(adapter, PHOTO, ids).semantic, coloured)
    assert torch.equal(conditioning(adapter, PHOTO, Image.fromarray(ids)).semantic, coloured)


def test_the_mask_is_the_right_half(model: Path, trained_adapter: Path) -> None:
    inputs = load(stock(model), trained_adapter).inputs(PHOTO, MAP)
    assert (inputs["height"], inputs["width"]) == (32, 64)
    assert inputs["guidance_scale"] == 1.0
    assert inputs["max_sequence_length"] == PROMPT_TOKENS
    assert np.array_equal(np.asarray(inputs["image"])[:, :32], PHOTO)
    mask = np.asarray(inputs["mask_image"])
    assert (mask[:, :32] == 0).all() and (mask[:, 32:] == 255).all()


def test_the_infrared_half() -> None:
    diptych = np.zeros((2, 4, 3), np.uint8)
    diptych[:, 2:] = (10, 20, 31)
    made = infrared_half(Image.fromarray(diptych))
    assert made.mode == "L"
    assert np.array_equal(np.asarray(made), np.full((2, 2), 20))
    assert np.array_equal(np.asarray(infrared_half(diptych / 255)), np.full((2, 2), 20))


def test_what_can_be_wrong_with_a_call(model: Path, trained_adapter: Path, tmp_path: Path) -> None:
    pipeline = stock(model)
    adapter = load(pipeline, trained_adapter)
    inputs = adapter.inputs(PHOTO, MAP)

    def message(*arguments: Any, **changes: Any) -> str:
        with pytest.raises(InputError) as error:
            if arguments:
                adapter.inputs(*arguments)
            else:
                run(pipeline, inputs | changes)
        return str(error.value)

    assert "given no scene" in message(joint_attention_kwargs=None)
    assert "leave height = 32 and width = 64" in message(height=64, width=128)
    assert "semantic_map: needed" in message(PHOTO)
    assert "64 x 32 pixels, the photo has 32 x 32" in message(PHOTO, np.hstack([MAP, MAP]))
    assert "photo: float64 of shape (32, 32, 3)" in message(PHOTO / 255, MAP)
    assert "photo: mode I;16" in message(Image.new("I;16", (32, 32)), MAP)
    assert "not a readable picture" in message(tmp_path / "none.png", MAP)
    adapter.remove()
    adapter = load(pipeline, write_trained(tmp_path, config(prompt=None)))
    assert "prompt: needed" in message(PHOTO, MAP)
    pipeline.text_encoder_2.to(torch.bfloat16)
    assert "its text encoder is torch.bfloat16, its VAE torch.float32" in message(PHOTO, MAP)


def test_what_can_be_wrong_with_a_pipeline(
    model: Path, trained_adapter: Path, tmp_path: Path
) -> None:
    def message(pipeline: Any, folder: Path = trained_adapter) -> str:
        with pytest.raises(InputError) as error:
            load(pipeline, folder)
        return str(error.value)

    pipeline = stock(model)
    assert "has no FLUX transformer" in message(object())
    plain = FluxTransformer2DModel.from_config(dict(base().config) | {"in_channels": 64})
    assert "reads 64 channels and gives 64" in message(around(plain))
    assert "this base model needs" in message(around(base(heads=3)))
    with load(pipeline, trained_adapter):
        assert "already has a LoRA (default)" in message(pipeline)
    assert "an output of train_ir_adapter" in message(pipeline, tmp_path)
    state = load_file(trained_adapter / SEMANTIC_NAME)
    broken = write_trained(tmp_path, config())
    save_file({name: x for name, x in state.items() if "to_k" not in name}, broken / SEMANTIC_NAME)
    assert "is missing" in message(pipeline, broken)
    assert not getattr(pipeline.transformer, "peft_config", {})  # as it was


def test_a_base_other_than_the_trainings_is_refused(model: Path, tmp_path: Path) -> None:
    own = model_identity(str(model), None)
    assert own.startswith("manifest:")
    folder = write_trained(tmp_path, config(model_identity=own))
    load(stock(model), folder)
    document = json.loads((folder / "config.json").read_text())
    other = json.dumps(document | {"model_identity": "manifest:" + "0" * 64})
    (folder / "config.json").write_text(other)
    with pytest.raises(InputError, match="was trained on manifest:000"):
        load(stock(model), folder)
    load(stock(model), folder, match_training=False)
