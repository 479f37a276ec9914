"""The micro CLIP's recipe on a handful of products, and the weights in the repository."""

import csv
import hashlib
import json
from pathlib import Path

import refract.models.torchvision_compat  # noqa: F401  (must come before open_clip)

import numpy as np
import pytest
import torch
from open_clip import CLIP, SimpleTokenizer

from backbones.clip import train
from backbones.clip.architecture import CONTEXT, IMAGE_PX, build, save
from backbones.clip.objective import contrast, is_true_of, true_words
from backbones.clip.pool import POOL_PX, augment, draw_pool, namesake_batch
from backbones.clip.train import learning_rate
from backbones.worlds.tabletop import draw_product, draw_scene
from backbones.worlds.tabletop_captions import describe
from refract.models.clip import load_clip


def test_pool_repeats_with_its_seed_and_shows_other_pictures_for_another() -> None:
    one, again, other = draw_pool(3, 1), draw_pool(3, 1), draw_pool(3, 2)
    assert draw_pool(1, 1, views=3).frames.shape == (1, 3, POOL_PX, POOL_PX, 3)
    assert one.photos.shape == (3, POOL_PX, POOL_PX, 3)
    assert one.frames.shape == (3, 2, POOL_PX, POOL_PX, 3)
    np.testing.assert_array_equal(one.frames, again.frames)
    assert (one.frames != other.frames).any()


def test_half_of_a_batch_shares_its_words_with_the_other_half() -> None:
    pool = draw_pool(600, 3, 0)
    indices = namesake_batch(pool, 16, np.random.default_rng(0))
    products = [pool.products[i] for i in indices]
    assert len(set(indices)) == 16
    names = [(p.category, p.colour, p.pattern) for p in products]
    assert sum(names.count(name) == 2 for name in names) >= 12
    assert all(names.count(name) <= 2 for name in names)


def test_a_caption_is_true_of_every_picture_it_says_nothing_wrong_of() -> None:
    rng = np.random.default_rng(0)
    red, blue = draw_product(rng, "mug", "red", "plain"), draw_product(rng, "mug", "blue", "plain")
    scene = draw_scene(rng, backdrop="gray", surface="silk")
    pictures = [true_words(red, scene), true_words(blue, scene), true_words(red, None)]
    told = ["a mug", "a red product", "a plain mug on gray silk", "a blue mug on backdrop"]
    expected = [[1, 1, 1], [1, 0, 1], [1, 1, 0], [0, 0, 0]]
    assert is_true_of(told, pictures).int().tolist() == expected


def test_a_pair_that_fits_as_well_is_no_mismatch() -> None:
    same, other = torch.eye(4)[:1], torch.eye(4)[1:2]
    embeddings, scale = torch.cat((same, same, other)), torch.tensor(20.0)
    fits = torch.tensor([[1, 1, 0], [1, 1, 0], [0, 0, 1]]).bool()
    assert contrast(embeddings, embeddings, scale, fits) < 1e-6
    assert contrast(embeddings, embeddings, scale) > 0.4
    assert contrast(embeddings, embeddings.roll(1, 0), scale) > 5


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


@pytest.mark.long
def test_a_few_steps_lower_the_loss_and_a_resumed_run_repeats_them(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name, value in {
        "BATCH": 8,
        "WARMUP": 2,
        "_REPORT_EVERY": 1,
        "_CHECKPOINT_EVERY": 3,
    }.items():
        monkeypatch.setattr(train, name, value)
    pool = draw_pool(8, 0)
    whole = train.train(6, 0, pool, tmp_path / "whole")
    assert not whole.training
    with (tmp_path / "whole" / "curve.csv").open() as file:
        losses = [float(row["image"]) for row in csv.DictReader(file)]
    assert losses[-1] < losses[0] - 0.1
    with monkeypatch.context() as patch:
        patch.setattr(train, "learning_rate", lambda step, _: learning_rate(step, 6))
        train.train(3, 0, pool, tmp_path / "killed")
    resumed = train.train(6, 0, pool, tmp_path / "killed")
    for one, other in zip(whole.parameters(), resumed.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-6)


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
