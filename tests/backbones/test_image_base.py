"""The recipes of the image base: same conditioning as FluxFillPipeline, no infrared, resumable."""

import refract.models.torchvision_compat  # noqa: F401  (must come before diffusers)

# isort: split
import argparse
import copy
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL, FluxFillPipeline, FluxTransformer2DModel

from backbones.image import fill_flow, train_fill
from backbones.image.assemble import assemble, build_pipeline
from backbones.image.bank import Bank
from backbones.image.diptychs import (
    HIDDEN_HALF,
    Encoded,
    Pair,
    draw_pairs,
    encode_masked,
    encode_pairs,
    encode_whole,
    mask_table,
    panels,
)
from backbones.image.fill_figures import MEASURED, HeldOut, psnr_by_task
from backbones.image.flux_attention import install_explicit_attention
from backbones.image.prompts import INFRARED_PROMPT, task_prompt
from backbones.image.tasks import PHOTOMETRIC, PHRASES, RELIT
from backbones.muon import orthogonalise
from backbones.worlds import street

PANEL_PX = 32  # 2 x 4 tokens: the smallest diptych whose panels have more than one token
SHAPES = ((128, 64), (128, 320), (16, 64))


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
            assert len(ids) <= fill_flow.TEXT_TOKENS
    assert pipeline.tokenizer("zebra").tokens()[1] == "<unk>"


def test_prompts_are_told_apart(pipeline: FluxFillPipeline) -> None:
    tokens, pooled = fill_flow.encode_prompts(pipeline, [*PHRASES, "infrared thermal photo"])
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
    before = torch.linalg.svdvals(matrix)
    after = torch.linalg.svdvals(orthogonalise(matrix[None])[0])
    assert before.quantile(0.25) < 0.5 * before.max()
    assert after.max() < 1.35
    assert after.quantile(0.25) > 0.6


def random_inputs(
    seed: int,
) -> tuple[torch.Tensor, torch.Tensor, tuple[torch.Tensor, torch.Tensor]]:
    """x_0 [2, 128, 64], x_cond [2, 128, 320] and text."""
    random = torch.Generator().manual_seed(seed)
    x_0, x_cond, tokens = (torch.randn(2, n, c, generator=random) for n, c in SHAPES)
    return x_0, x_cond, (tokens, torch.randn(2, 64, generator=random))


def test_explicit_attention_equals_the_stock_processor(pipeline: FluxFillPipeline) -> None:
    stock = copy.deepcopy(pipeline.transformer)
    explicit = copy.deepcopy(stock)
    install_explicit_attention(explicit)
    x_0, x_cond, text = random_inputs(1)
    t = torch.tensor([0.2, 0.9])
    velocities = [fill_flow.velocity(net, x_0, t, x_cond, text) for net in (stock, explicit)]
    torch.testing.assert_close(*velocities, rtol=1e-4, atol=1e-5)
    for velocity in velocities:
        velocity.square().mean().backward()
    for (name, a), b in zip(stock.named_parameters(), explicit.parameters(), strict=True):
        assert (a.grad is None) == (b.grad is None), name
        if a.grad is not None and b.grad is not None:
            torch.testing.assert_close(a.grad, b.grad, rtol=1e-3, atol=1e-6)


def test_the_loss_counts_the_right_panel_and_repeats_by_seed(pipeline: FluxFillPipeline) -> None:
    net = pipeline.transformer
    x_0, x_cond, text = random_inputs(2)

    def loss(target: torch.Tensor, seed: int) -> float:
        random = torch.Generator().manual_seed(seed)
        return fill_flow.flow_loss(net, target, x_cond, text, random).item()

    assert loss(x_0, 0) == loss(x_0, 0) != loss(x_0, 1)
    columns = torch.arange(x_0.shape[1]) % fill_flow.COLUMNS
    half = columns < fill_flow.COLUMNS // 2
    left, right = x_0.clone(), x_0.clone()
    left[:, half] += 3
    right[:, ~half] += 3
    grown = [loss(target, 0) - loss(x_0, 0) for target in (left, right)]
    assert grown[1] == pytest.approx(grown[0] / fill_flow.LEFT_WEIGHT, rel=0.5)


def test_noise_levels_are_shifted_towards_noise_and_reach_both_ends() -> None:
    levels = fill_flow.noise_levels(4000, torch.Generator().manual_seed(0))
    assert 0 <= levels.min() < 0.02 and 0.98 < levels.max() <= 1
    logits = levels.logit()
    assert abs(logits.median() - np.log(fill_flow.NOISE_SHIFT)) < 0.25


def test_the_sampler_follows_a_known_flow(monkeypatch: pytest.MonkeyPatch) -> None:
    goal = torch.ones(1, 4, 64)

    def exact(net: object, x_t: torch.Tensor, t: torch.Tensor, *rest: object) -> torch.Tensor:
        return (x_t - goal) / t[:, None, None]

    monkeypatch.setattr(fill_flow, "velocity", exact)
    made = fill_flow.sample_euler(
        torch.nn.Identity(), torch.zeros(1, 4, 320), (goal, goal), 5, torch.Generator()
    )
    torch.testing.assert_close(made, goal)


def run_options(work: Path, steps: int) -> argparse.Namespace:
    return argparse.Namespace(
        work=work, steps=steps, batch=2, lr=1e-2, seed=0, check_every=100, checkpoint_every=2
    )


def random_pairs() -> Encoded:
    x_0, x_cond, _ = random_inputs(3)
    rows = torch.zeros(2, dtype=torch.long)
    return Encoded(x_0, x_cond[..., :64], rows, x_cond[:1, :, 64:], rows, torch.tensor([0, 1]))


def train_steps(pipeline: FluxFillPipeline, work: Path, steps: int) -> FluxTransformer2DModel:
    """A copy of the network after `steps` steps, going on from what is in `work`."""
    net = copy.deepcopy(pipeline.transformer)
    average = copy.deepcopy(net).requires_grad_(False)
    fresh = build_pipeline(pipeline.vae, net)
    list(train_fill.train(fresh, average, random_pairs(), run_options(work, steps)))
    return average


def test_a_resumed_training_repeats_an_uninterrupted_one(
    pipeline: FluxFillPipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(train_fill, "learning_rate", lambda step, steps: 1.0)
    whole = train_steps(pipeline, tmp_path / "whole", 4)
    first = train_steps(pipeline, tmp_path / "parts", 2)
    parts = train_steps(pipeline, tmp_path / "parts", 4)
    for a, b in zip(whole.parameters(), parts.parameters(), strict=True):
        assert torch.equal(a, b)
    assert any(not torch.equal(a, c) for a, c in zip(whole.parameters(), first.parameters()))  # noqa: B905
    assert (tmp_path / "parts" / "fill_curve.csv").read_text().startswith("step,loss")


def test_figures_know_a_perfect_filling_from_a_wrong_one() -> None:
    scenes = 2
    random = np.random.default_rng(0)
    panels_ = random.integers(0, 256, (len(MEASURED) * scenes, 8, 8, 3), np.uint8)
    held_out = HeldOut(random_pairs(), panels_, panels_, scenes)
    made = panels_.copy()
    made[:scenes] = 255 - made[:scenes]  # the first task is wrong
    wrong, *right = psnr_by_task(made, held_out).values()
    assert len(right) == len(MEASURED) - 1
    assert wrong < 12 < min(right)


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
