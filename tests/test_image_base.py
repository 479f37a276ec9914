"""The recipes of the image base: same conditioning as FluxFillPipeline, no infrared, resumable."""

import refract.torchvision_compat  # noqa: F401  (must come before diffusers)

# isort: split
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL, FluxFillPipeline, FluxTransformer2DModel

from backbones.image import train_fill
from backbones.image.assemble import assemble, build_pipeline
from backbones.image.bank import Bank
from backbones.image.checkpoint import load_run, save_run
from backbones.image.diptychs import (
    HIDDEN_HALF,
    Pair,
    draw_pairs,
    encode_masked,
    encode_pairs,
    encode_whole,
    mask_table,
    panels,
)
from backbones.image.prompts import INFRARED_PROMPT, task_prompt
from backbones.image.tasks import PHOTOMETRIC, PHRASES, RELIT
from backbones.muon import Muon, orthogonalise
from backbones.worlds import street

PANEL_PX = 32  # 2 x 4 tokens: the smallest diptych whose panels have more than one token


@pytest.fixture(scope="module")
def pipeline() -> FluxFillPipeline:
    torch.manual_seed(0)
    vae = AutoencoderKL(
        block_out_channels=(8, 8, 8, 8),
        down_block_types=["DownEncoderBlock2D"] * 4,
        up_block_types=["UpDecoderBlock2D"] * 4,
        layers_per_block=1,
        latent_channels=16,
        norm_num_groups=4,
        mid_block_add_attention=False,
        use_quant_conv=False,
        use_post_quant_conv=False,
        shift_factor=0.1,
        scaling_factor=0.7,
    )
    tiny = train_fill.CONFIG | {"num_layers": 1, "num_single_layers": 1, "num_attention_heads": 2}
    return build_pipeline(vae.eval(), FluxTransformer2DModel(**tiny))


@pytest.fixture(scope="module")
def bank() -> Bank:
    layouts = [street.street(i, night=i % 2 == 1, panel_px=PANEL_PX) for i in range(2)]
    drawers = (street.visible, street.relit, street.semantic, street.labels)
    images = {draw.__name__: np.stack([draw(layout) for layout in layouts]) for draw in drawers}
    return images | {"night": np.array([0, 1], np.uint8)}


def test_every_prompt_is_inside_the_vocabulary(pipeline: FluxFillPipeline) -> None:
    for prompt in [INFRARED_PROMPT, *map(task_prompt, PHRASES)]:
        for tokenizer in (pipeline.tokenizer, pipeline.tokenizer_2):
            ids = tokenizer(prompt).input_ids
            assert tokenizer.unk_token_id not in ids
            assert ids[-1] == tokenizer.eos_token_id
            assert len(ids) <= train_fill.TEXT_TOKENS
    assert pipeline.tokenizer("zebra").tokens()[1] == "<unk>"


def test_prompts_are_told_apart(pipeline: FluxFillPipeline) -> None:
    tokens, pooled = train_fill.encode_prompts(pipeline, [*PHRASES, "infrared thermal photo"])
    for codes in (tokens.flatten(1), pooled):
        assert 0.5 < codes.std() < 2
        distance = torch.cdist(codes, codes).fill_diagonal_(torch.inf)
        assert distance.min() > 0.05 * codes.norm(dim=-1).mean()


def test_conditioning_equals_the_pipelines_own(pipeline: FluxFillPipeline) -> None:
    torch.manual_seed(1)
    seen: dict[str, torch.Tensor] = {}

    def record(module: torch.nn.Module, args: tuple, kwargs: dict) -> None:
        seen.setdefault("hidden", kwargs["hidden_states"])
        seen.setdefault("ids", kwargs["img_ids"])

    diptych = torch.rand(1, 3, PANEL_PX, 2 * PANEL_PX)
    mask = mask_table(PANEL_PX, 2, np.random.default_rng(0))[1:]
    handle = pipeline.transformer.register_forward_pre_hook(record, with_kwargs=True)
    vae = pipeline.vae
    # The pipeline samples the posterior; without variance its sample is the mode.
    vae.encoder.conv_out.bias.data[16:] = -100
    vae.encoder.conv_out.weight.data[16:] = 0
    pipeline(
        prompt="negative", image=diptych, mask_image=mask, height=PANEL_PX, width=2 * PANEL_PX,
        num_inference_steps=1, max_sequence_length=16, output_type="latent",
    )  # fmt: skip
    handle.remove()
    x_cond = encode_masked(pipeline, diptych * 2 - 1, mask)
    assert x_cond.shape == (1, 8, 320)
    torch.testing.assert_close(seen["hidden"][..., 64:], x_cond, rtol=1e-5, atol=1e-5)


def test_cached_pairs_equal_direct_encoding(pipeline: FluxFillPipeline, bank: Bank) -> None:
    masks = mask_table(PANEL_PX, 4, np.random.default_rng(0))
    pairs = draw_pairs(bank, 12, len(masks), np.random.default_rng(0))
    pairs += [Pair(0, False, "negative", HIDDEN_HALF), Pair(0, False, "photo", 2)]
    data = encode_pairs(pipeline, bank, pairs, masks, PHRASES)
    for i, pair in enumerate(pairs):
        stacked = np.concatenate(panels(bank, pair), axis=1)[None]
        diptych = torch.from_numpy(stacked).permute(0, 3, 1, 2) / 127.5 - 1
        x_0, x_cond, prompt = data.batch(torch.tensor([i]))
        whole = encode_whole(pipeline, diptych)
        expected = encode_masked(pipeline, diptych, masks[pair.mask][None])
        torch.testing.assert_close(x_0, whole, rtol=2e-3, atol=2e-3)
        torch.testing.assert_close(x_cond, expected, rtol=2e-3, atol=2e-3)
        assert PHRASES[prompt] == pair.phrase


def test_hidden_half_holds_no_trace_of_the_right_panel(pipeline: FluxFillPipeline) -> None:
    mask = mask_table(PANEL_PX, 1, np.random.default_rng(0))
    left = torch.rand(1, 3, PANEL_PX, PANEL_PX)
    codes = [
        encode_masked(pipeline, torch.cat([left, right], dim=-1), mask)
        for right in (torch.rand_like(left), torch.rand_like(left))
    ]
    assert torch.equal(*codes)


def test_relit_tasks_ask_for_the_other_time_of_day(bank: Bank) -> None:
    for night in (False, True):
        left, right = panels(bank, Pair(1, night, RELIT[not night], HIDDEN_HALF))
        brighter, darker = (right, left) if night else (left, right)
        assert brighter.mean() > 2 * darker.mean()


def test_photometric_tasks_depend_on_the_left_panel_only(bank: Bank) -> None:
    for phrase in PHOTOMETRIC:
        left, right = panels(bank, Pair(0, False, phrase, HIDDEN_HALF))
        assert left.shape == right.shape
        assert (left is right or not np.array_equal(left, right)) or phrase == "exact copy"


def test_infrared_is_refused(bank: Bank) -> None:
    train_fill.refuse_infrared(bank, PHRASES)
    with pytest.raises(ValueError, match="infrared"):
        train_fill.refuse_infrared(bank | {"infrared": bank["labels"]}, PHRASES)
    with pytest.raises(ValueError, match="infrared"):
        train_fill.refuse_infrared(bank, [*PHRASES, "infrared thermal photo"])


@pytest.mark.parametrize("shape", [(24, 24), (16, 40), (40, 16)])
def test_orthogonalise_flattens_the_spectrum(shape: tuple[int, int]) -> None:
    torch.manual_seed(2)
    matrix = torch.randn(*shape) @ torch.diag(torch.linspace(1, 3, shape[1]))
    before, after = torch.linalg.svdvals(matrix), torch.linalg.svdvals(orthogonalise(matrix))
    assert before.quantile(0.25) < 0.5 * before.max()
    assert after.max() < 1.35
    assert after.quantile(0.25) > 0.6


def make_run() -> tuple[torch.nn.Module, dict, list[torch.optim.Optimizer]]:
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(6, 5), torch.nn.Linear(5, 4))
    matrices = [p for p in net.parameters() if p.ndim == 2]
    vectors = [p for p in net.parameters() if p.ndim == 1]
    average = {name: p.detach().clone() for name, p in net.named_parameters()}
    return net, average, [Muon(matrices, lr=1e-2), torch.optim.AdamW(vectors, 1e-2)]


def take_steps(net: torch.nn.Module, optimisers: list[torch.optim.Optimizer], count: int) -> None:
    for _ in range(count):
        net(torch.randn(3, 6)).square().mean().backward()
        for optimiser in optimisers:
            optimiser.step()
            optimiser.zero_grad()


def test_a_resumed_run_ends_with_the_same_weights(tmp_path: Path) -> None:
    net, average, optimisers = make_run()
    take_steps(net, optimisers, 3)
    save_run(tmp_path / "run.safetensors", 3, net, average, optimisers)
    take_steps(net, optimisers, 4)
    again, average, fresh = make_run()
    torch.manual_seed(99)
    assert load_run(tmp_path / "run.safetensors", again, average, fresh) == 3
    take_steps(again, fresh, 4)
    for a, b in zip(net.parameters(), again.parameters(), strict=True):
        assert torch.equal(a, b)


def test_assembled_folder_loads_as_a_pipeline(pipeline: FluxFillPipeline, tmp_path: Path) -> None:
    pipeline.vae.save_pretrained(tmp_path / "vae")
    pipeline.transformer.save_pretrained(tmp_path / "fill")
    assemble(tmp_path / "vae", tmp_path / "fill", tmp_path / "base")
    loaded = FluxFillPipeline.from_pretrained(tmp_path / "base", dtype=torch.float32)
    assert loaded.vae_scale_factor == 8
    for name, value in pipeline.transformer.state_dict().items():
        expected = value.half().float()
        assert torch.equal(loaded.transformer.state_dict()[name], expected)
    digests = json.loads((tmp_path / "base" / "manifest.json").read_text())["sha256"]
    files = {
        p.relative_to(tmp_path / "base").as_posix()
        for p in (tmp_path / "base").rglob("*")
        if p.is_file()
    }
    assert set(digests) == files - {"manifest.json"}
