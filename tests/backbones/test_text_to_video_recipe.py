"""What the text-to-video recipe trains on, and how it goes on from trained weights."""

from pathlib import Path

import refract.models.torchvision_compat  # noqa: F401  (must come before diffusers)

import numpy as np
import pytest
import torch
from torch import Tensor

from backbones.video.cache_latents import encode_stills, load_latents, load_stills
from backbones.video.clips import STILLS_STREAM, draw_sample, to_tensor
from backbones.video.latent_batches import LatentSet, StillSet, draw_batch
from backbones.video.train_t2v import build_networks, parse_options, start_from
from backbones.worlds.tabletop import CLASSES, COLOURS, FRAMES
from tests.tiny.wan import tiny_vae


def random_sets() -> tuple[LatentSet, StillSet]:
    """Six clips and eight stills whose latents hold their own index."""

    def numbered(count: int, frames: int) -> Tensor:
        return torch.arange(count).view(-1, 1, 1, 1, 1).expand(count, 16, frames, 12, 12).half()

    clips = {"clips": numbered(6, 5), "photos": numbered(6, 1), "photo_tokens": torch.ones(6, 36)}
    stills = {"stills": numbered(8, 1), "photos": 100 + numbered(8, 1)}
    return LatentSet(clips, 0), StillSet(stills, 0)


def test_every_kind_of_batch_comes_and_repeats_with_its_seed() -> None:
    sets = random_sets()
    batches = [draw_batch(*sets, np.random.default_rng(seed)) for seed in range(40)]
    assert {batch.kind for batch in batches} == {"clip", "image", "photo"}
    again = draw_batch(*sets, np.random.default_rng(3))
    assert again.captions == batches[3].captions
    assert torch.equal(again.eps, batches[3].eps)
    assert all((batch.photo is not None) == (batch.kind == "photo") for batch in batches)


def test_captions_of_images_speak_of_what_the_latents_show() -> None:
    latents, stills = random_sets()
    batch = next(
        batch
        for seed in range(100)
        if (batch := draw_batch(latents, stills, np.random.default_rng(seed))).kind == "image"
    )
    named = 0
    for x_0, caption in zip(batch.x_0, batch.captions, strict=True):
        product, scene = stills.subjects[int(x_0.flatten()[0]) % 100]
        words = set(caption.split())
        assert words & set(CLASSES) <= {product.category}
        assert words & set(COLOURS) <= {product.colour}
        is_photo = x_0.flatten()[0] >= 100
        assert "backdrop" not in words or is_photo
        assert scene.surface in words or is_photo or "on" not in words
        named += product.category in words
    assert named > len(batch.captions) / 2


def test_noise_levels_are_mostly_high_and_reach_both_ends() -> None:
    sets = random_sets()
    levels = torch.cat([draw_batch(*sets, np.random.default_rng(i)).sigma for i in range(100)])
    assert 0 <= levels.min() < 0.1 and 0.97 < levels.max() <= 1
    assert 0.6 < levels.median() < 0.8


def test_stills_are_frames_of_all_times_with_the_photo_of_their_product() -> None:
    vae = tiny_vae()
    found = encode_stills(vae, 0, 2, 3)
    assert found["stills"].shape == found["photos"].shape
    assert len(found["stills"]) == 3
    sample = draw_sample(0, 4, stream=STILLS_STREAM, frames=[4 % FRAMES])
    alone = encode_stills(vae, 0, 4, 1)["stills"]
    torch.testing.assert_close(found["stills"][2:], alone, atol=2e-2, rtol=0)
    latent = vae.encode(to_tensor(sample.clip.video)[None]).latent_dist.mode()
    mean, std = (
        torch.tensor(values).view(1, -1, 1, 1, 1)
        for values in (vae.config.latents_mean, vae.config.latents_std)
    )
    torch.testing.assert_close(alone.float(), (latent - mean) / std, atol=2e-2, rtol=0)


@pytest.mark.parametrize("load", [load_latents, load_stills])
def test_a_missing_cache_says_what_to_run(tmp_path: Path, load: object) -> None:
    with pytest.raises(FileNotFoundError, match="run cache_latents first"):
        load(tmp_path)  # type: ignore[operator]


@pytest.mark.parametrize("text_anew", [False, True])
def test_going_on_keeps_or_leaves_what_was_learnt_of_text(tmp_path: Path, text_anew: bool) -> None:
    torch.manual_seed(0)
    trained = build_networks(layers=1, heads=2, ffn_dim=32)
    trained.transformer.save_pretrained(tmp_path / "transformer")
    trained.text_encoder.save_pretrained(tmp_path / "text_encoder")
    torch.manual_seed(1)
    fresh = build_networks(layers=1, heads=2, ffn_dim=32)
    start_from(tmp_path, fresh, text_anew=text_anew)
    ours, theirs = fresh.transformer.state_dict(), trained.transformer.state_dict()
    assert torch.equal(ours["blocks.0.attn1.to_q.weight"], theirs["blocks.0.attn1.to_q.weight"])
    same_text = torch.equal(
        ours["blocks.0.attn2.to_k.weight"], theirs["blocks.0.attn2.to_k.weight"]
    )
    assert same_text is not text_anew
    words, other_words = (n.text_encoder.shared.weight for n in (fresh, trained))
    assert torch.equal(words, other_words) is not text_anew


def test_weights_of_another_size_are_refused(tmp_path: Path) -> None:
    networks = build_networks(layers=2, heads=2, ffn_dim=32)
    networks.transformer.save_pretrained(tmp_path / "transformer")
    networks.text_encoder.save_pretrained(tmp_path / "text_encoder")
    with pytest.raises(ValueError, match="another transformer"):
        start_from(tmp_path, build_networks(layers=1, heads=2, ffn_dim=32), text_anew=False)


def test_leaving_text_behind_needs_a_start(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folders = [
        word for name in ("vae", "latents", "output", "state") for word in (f"--{name}", "x")
    ]
    monkeypatch.setattr("sys.argv", ["train_t2v", *folders, "--text-anew"])
    with pytest.raises(SystemExit):
        parse_options()
    assert "--start" in capsys.readouterr().err
