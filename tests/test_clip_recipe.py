"""The micro CLIP's recipe on a handful of products, and the weights in the repository."""

import hashlib
import json
from pathlib import Path

import refract.torchvision_compat  # noqa: F401  (must come before open_clip)

import numpy as np
import pytest
import torch
from open_clip import CLIP, SimpleTokenizer

from backbones.clip import train
from backbones.clip.architecture import CONTEXT, IMAGE_PX, build, save
from backbones.clip.pool import POOL_PX, augment, distinct_batch, draw_pool
from backbones.worlds.tabletop import draw_product, draw_scene
from backbones.worlds.tabletop_captions import describe
from refract.clip_model import load_clip


def test_pool_repeats_with_its_seed_and_shows_other_pictures_for_another() -> None:
    one, again, other = draw_pool(3, 1), draw_pool(3, 1), draw_pool(3, 2)
    assert one.photos.shape == (3, POOL_PX, POOL_PX, 3)
    assert one.frames.shape == (3, 2, POOL_PX, POOL_PX, 3)
    np.testing.assert_array_equal(one.frames, again.frames)
    assert (one.frames != other.frames).any()


def test_no_two_products_of_a_batch_share_their_words() -> None:
    pool = draw_pool(60, 3)
    indices = distinct_batch(pool, 16, np.random.default_rng(0))
    products = [pool.products[i] for i in indices]
    assert len({(p.category, p.colour, p.pattern) for p in products}) == 16


def test_augmented_pictures_fit_the_network_and_repeat_with_the_generator() -> None:
    images = draw_pool(4, 5).photos
    first, again = (augment(images, torch.Generator().manual_seed(0)) for _ in range(2))
    assert first.shape == (4, 3, IMAGE_PX, IMAGE_PX)
    assert first.abs().max() <= 1
    torch.testing.assert_close(first, again, rtol=0, atol=0)


def test_no_caption_is_cut() -> None:
    tokenizer = SimpleTokenizer(context_length=64)
    rng = np.random.default_rng(0)
    longest = max(
        int((tokenizer(describe(draw_product(rng), draw_scene(rng)))[0] != 0).sum())
        for _ in range(200)
    )
    assert longest <= CONTEXT


def test_a_few_steps_lower_the_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train, "BATCH", 8)
    monkeypatch.setattr(train, "WARMUP", 2)
    pool, rng = draw_pool(8, 0), np.random.default_rng(0)
    torch.manual_seed(0)
    network, tokenizer = build().train(), SimpleTokenizer(context_length=CONTEXT)
    optimizer = train.optimiser(network)
    losses = []
    for _ in range(6):
        generator = torch.Generator().manual_seed(0)
        loss = train.batch_loss(network, tokenizer, pool, rng, generator)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0] - 0.1


def test_saved_model_loads_strictly_and_keeps_only_trained_words(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network, used = build().eval(), train.used_tokens()
    save(network, used, tmp_path)
    loaded = load_clip(str(tmp_path), None, torch.device("cpu")).network
    assert isinstance(loaded, CLIP)
    table, before = loaded.token_embedding.weight, network.token_embedding.weight
    torch.testing.assert_close(table[used], before[used], atol=1e-3, rtol=1e-3)
    unused = torch.ones(len(table), dtype=torch.bool)
    unused[used] = False
    assert not table[unused].any()


def test_manifest_in_the_repository_matches_its_files(root: Path) -> None:
    folder = root / "backbones" / "clip-micro"
    digests = json.loads((folder / "manifest.json").read_text())["sha256"]
    assert set(digests) == {"open_clip_config.json", "open_clip_model.safetensors"}
    for name, digest in digests.items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest
    assert (folder / "open_clip_model.safetensors").stat().st_size < 8e6


def test_the_trained_model_tells_products_apart(root: Path) -> None:
    """A photo is nearer to a frame of its own product than to those of 15 others, mostly."""
    clip = load_clip(str(root / "backbones" / "clip-micro"), None, torch.device("cpu"))
    pool = draw_pool(16, 91_500)
    photos = clip.image_features(list(pool.photos))
    frames = clip.image_features(list(pool.frames[:, 0]))
    nearest = (photos @ frames.T).argmax(1)
    assert (nearest == torch.arange(16)).float().mean() >= 0.75
