"""The judges of the video model: the reader, the prompts and pairs it reads, the measures."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import refract.models.torchvision_compat  # noqa: F401  (must come before diffusers)

import numpy as np
import pytest
import torch

from backbones.video import assess_samples, clips, edit_pairs, reader
from backbones.video.assess_samples import accuracies, draw_prompt
from backbones.video.clip_codec import decode_clips, encode_clips
from backbones.video.edit_figures import centroid_error, mask_iou, recolour_scores, summary
from backbones.video.edit_pairs import draw_recolouring, draw_swap
from backbones.video.edit_runs import Editor, Flow
from backbones.video.reader import draw_pool, loss_of, soften, to_input
from backbones.video.reader_model import Reader, crop_product, product_box, read_clips
from backbones.video.text import TEXT_DIM, build_text_encoder, build_tokenizer
from backbones.worlds import product_cases
from backbones.worlds.tabletop import COLOURS, MOTIONS, PATTERNS, draw_product, draw_scene
from backbones.worlds.tabletop_captions import vocabulary
from refract.editing.samplers.latent_edit import RegionSettings
from refract.params.edit_stage import EditParams
from refract.params.ref_bank import BankParams
from refract.params.whole import load_stage_params
from tests.tiny.wan import tiny_transformer, tiny_vae


@pytest.fixture(scope="module")
def untrained() -> Reader:
    torch.manual_seed(0)
    return Reader().eval().requires_grad_(False)


# ------------------------------------------------------------------------------ what is judged


def test_judges_see_streams_of_their_own() -> None:
    streams = [
        clips.TRAINING_STREAM, clips.VALIDATION_STREAM, clips.STILLS_STREAM,
        reader._STREAM, reader._HELD_OUT_STREAM, assess_samples.STREAM, assess_samples._VAE_STREAM,
        edit_pairs._SWAP_STREAM, edit_pairs._RECOLOUR_STREAM, product_cases._STREAM,
    ]  # fmt: skip
    assert len(set(streams)) == len(streams)


def test_prompts_hold_every_class_under_every_motion_and_every_colour_eight_times() -> None:
    subjects = [draw_prompt(index, 0) for index in range(64)]
    assert len({(product.category, scene.motion) for product, scene in subjects}) == 64
    colours = [product.colour for product, _ in subjects]
    assert all(colours.count(colour) == 8 for colour in COLOURS)
    assert {product.pattern for product, _ in subjects} == set(PATTERNS)
    turning = [p.pattern for p, scene in subjects if p.category == "ball" and "g s" in scene.motion]
    assert "plain" not in turning
    assert draw_prompt(5, 0) == draw_prompt(5, 0) != draw_prompt(5, 1)


def test_swaps_change_the_class_alone() -> None:
    pairs = [draw_swap(index, 0) for index in range(32)]
    swaps = set()
    for pair in pairs:
        before, after = pair.source_prompt.split(), pair.target_prompt.split()
        assert before[:3] + before[4:] == after[:3] + after[4:]
        swaps.add((before[3], after[3]))
        assert before[3] != after[3]
    assert len(swaps) == 32
    overlap = np.mean([mask_iou(pair.source_mask, pair.target_mask) for pair in pairs])
    assert 0.3 < overlap < 0.8  # an edit that does nothing must not look done


def test_recolourings_keep_the_shape_and_leave_the_looks_to_the_photo() -> None:
    for index in range(0, 32, 5):
        pair = draw_recolouring(index, 0)
        np.testing.assert_array_equal(pair.source_mask, pair.target_mask)
        assert not {*COLOURS, *PATTERNS}.intersection(pair.target_prompt.split())
        inside = pair.source_mask
        change = np.abs(pair.video[inside].astype(int) - pair.truth[inside]).mean()
        assert change > 25
        np.testing.assert_allclose(pair.video[0, :4, :4], pair.truth[0, :4, :4], atol=1)


# ---------------------------------------------------------------------------------- the reader


def test_a_crop_is_centred_on_the_product_and_grows_with_it() -> None:
    mask = torch.zeros(2, 96, 96)
    mask[0, 40:60, 10:30] = 1
    mask[1, 30:70, 40:80] = 1
    box = product_box(mask)
    expected = 2 / 95 * torch.tensor([[19.5, 49.5], [59.5, 49.5]]) - 1
    torch.testing.assert_close(box[:, :2], expected, atol=0.03, rtol=0)
    assert 1.7 < box[1, 2] / box[0, 2] < 2.1
    crops = crop_product(mask[:, None], box)[:, 0]
    for crop in crops:
        assert crop[20, 20] == 1 and crop[0].sum() == 0 and crop[:, -1].sum() == 0
    assert abs(float(crops[0].mean() - crops[1].mean())) < 0.06


def test_softening_keeps_the_range_and_repeats_with_the_generator() -> None:
    frames = to_input(draw_pool(2, 0, 99).frames)
    one, again = (soften(frames, torch.Generator().manual_seed(3)) for _ in range(2))
    assert one.abs().max() <= 1
    assert torch.equal(one, again)
    assert 0.005 < (one - frames).abs().mean() < 0.2


def test_a_few_steps_on_a_few_clips_lower_the_readers_loss() -> None:
    torch.manual_seed(0)
    pool, learner = draw_pool(4, 0, 99), Reader().train()
    frames, masks = to_input(pool.frames), torch.from_numpy(pool.masks).float() / 255
    optimiser = torch.optim.AdamW(learner.parameters(), lr=3e-3)
    losses = []
    for _ in range(5):
        loss = loss_of(learner, frames, masks, pool.truth)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] - 1


def test_reading_gives_a_word_of_every_kind_and_masks_of_all_frames(untrained: Reader) -> None:
    reading = read_clips(untrained, np.zeros((3, 17, 96, 96, 3), np.uint8), batch=2)
    assert reading.masks.shape == (3, 17, 96, 96)
    assert {kind: len(found) for kind, found in reading.words.items()} == dict.fromkeys(
        ("class", "colour", "pattern", "motion"), 3
    )


def test_accuracy_counts_true_words(monkeypatch: pytest.MonkeyPatch, untrained: Reader) -> None:
    rng = np.random.default_rng(0)
    subjects = [(draw_product(rng, "mug", "red", "plain"), draw_scene(rng, motion=MOTIONS[0]))] * 2
    words = {
        "class": np.array([3, 3]), "colour": np.array([0, 1]),
        "pattern": np.array([1, 1]), "motion": np.array([0, 0]),
    }  # fmt: skip
    monkeypatch.setattr(assess_samples, "read_clips", lambda *_: SimpleNamespace(words=words))
    found = accuracies(untrained, np.zeros((2, 1), np.uint8), subjects)
    assert found == {"class": 1.0, "colour": 0.5, "pattern": 0.0, "motion": 1.0}


# ------------------------------------------------------------------------------- the measures


def test_iou_and_centroid_error_of_a_shifted_square() -> None:
    one, other = np.zeros((2, 20, 20), bool), np.zeros((2, 20, 20), bool)
    one[:, 5:10, 5:10] = True
    other[:, 5:10, 8:13] = True
    assert mask_iou(one, other) == pytest.approx(10 / 40)
    assert centroid_error(one, other) == pytest.approx(3)
    assert mask_iou(one, one) == 1
    assert np.isnan(centroid_error(np.zeros_like(one), one))


def test_summary_averages_seeds_before_pairs_and_leaves_out_what_is_not_there() -> None:
    table = summary([{"x": [1.0, 2.0, float("nan")]}, {"x": [3.0, 4.0, 5.0]}])["x"]
    assert table["mean"] == pytest.approx(2.5)
    assert table["count"] == 2
    assert table["by_seed"] == pytest.approx([1.5, 4.0])
    assert table["low"] <= table["mean"] <= table["high"]


def test_the_true_clip_is_the_best_recolouring(untrained: Reader) -> None:
    pairs = [draw_recolouring(index, 0) for index in (0, 3)]
    scores = recolour_scores(untrained, np.stack([pair.truth for pair in pairs]), pairs)
    unchanged = recolour_scores(untrained, np.stack([pair.video for pair in pairs]), pairs)
    for index in range(2):
        best, worst = (part["product.histogram_overlap"][index] for part in (scores, unchanged))
        assert best > worst + 0.2
        assert scores["product.delta_e"][index] < 15 < unchanged["product.delta_e"][index]
        assert unchanged["background.psnr"][index] == 100


# ------------------------------------------------------------------------------------ the edits


@pytest.fixture(scope="module")
def tiny_model() -> Any:
    torch.manual_seed(0)
    tokenizer = build_tokenizer(vocabulary())
    return SimpleNamespace(
        vae=tiny_vae(),
        transformer=tiny_transformer(text_dim=TEXT_DIM),
        tokenizer=tokenizer,
        text=(tokenizer, build_text_encoder(tokenizer).eval().requires_grad_(False)),
    )


def test_edits_are_the_pipelines(tiny_model: Any, root: Path) -> None:
    """An edit moves the source; with equal prompts, it does not move a bit of it."""
    swap = draw_swap(0, 0)
    same = edit_pairs.replace(swap, target_prompt=swap.source_prompt)
    editor = Editor(tiny_model, [swap, same])
    settings = Flow(steps=3, strength=1.0, guidance=2.0, zeta=0.01, shift=1.0).at(0)
    moved, kept = (editor.plain(i, editor.source(i, settings), settings) for i in range(2))
    assert torch.equal(kept, editor.latents[1:])
    assert not torch.allclose(moved, editor.latents[:1], atol=1e-3)
    region = load_stage_params(EditParams, root / "params.yaml").flowalign.region
    own = region.model_copy(update={"zeta_outside": 0.5, "layers": "all"}).model_dump(mode="json")
    held = Flow(steps=3, strength=1.0, guidance=2.0, zeta=0.01, shift=1.0, region=own)
    settings = editor.settings(0, held, 0)
    assert isinstance(settings.region, RegionSettings) and settings.region.tokens["target"]
    regional = editor.plain(0, editor.source(0, settings), settings)
    assert (regional - editor.latents[:1]).norm() < (moved - editor.latents[:1]).norm()
    params = load_stage_params(BankParams, root / "params.yaml")
    bank = editor.bank(0, params)
    assert 1 <= bank.tokens < 36


def test_clips_pass_the_codec_in_batches_as_they_do_alone(tiny_model: Any) -> None:
    videos = np.stack([draw_swap(index, 0).video[:5] for index in range(3)])
    latents = encode_clips(tiny_model.vae, videos)
    assert latents.shape == (3, 4, 2, 12, 12)
    decoded = decode_clips(tiny_model.vae, latents)
    assert decoded.shape == videos.shape and decoded.dtype == np.uint8
    alone = decode_clips(tiny_model.vae, encode_clips(tiny_model.vae, videos[1:2]))
    assert np.abs(alone[0].astype(int) - decoded[1]).max() <= 1
