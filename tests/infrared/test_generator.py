from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from refract.infrared.adapter.adapter_files import (
    AdapterConfig,
    build_model,
    read_config,
    save_adapter,
)
from refract.infrared.adapter.semantic_attention import KeyValue, SemanticCrossAttention
from refract.infrared.adapter.semantic_conditioning import SemanticConditioning
from refract.infrared.inference.generator import InfraredGenerator, PictureSettings, Scene
from refract.models.flux_fill import TextEmbedding, load_transformer
from tests.infrared.test_adapter_files import config
from tests.tiny.fill import reference

STEPS = 3
TEXTS = {"p": TextEmbedding(torch.ones(1, 4, 64), torch.ones(1, 64))}


@pytest.fixture(scope="module")
def adapter(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An adapter whose gate is open, so that it acts without training."""
    return write_adapter(model, tmp_path_factory.mktemp("adapter"), config(gate="one", site="x_t"))


def write_adapter(model: Path, folder: Path, settings: AdapterConfig) -> Path:
    torch.manual_seed(0)
    save_adapter(build_model(load_transformer(reference(model), "cpu"), settings), settings, folder)
    return folder


def generator(model: Path, adapter: Path, batch: int = 4, **options: int) -> InfraredGenerator:
    return InfraredGenerator(
        adapter, reference(model), PictureSettings(STEPS, 0, batch, **options), "cpu"
    )


def scene(index: int) -> Scene:
    source = torch.Generator().manual_seed(index)
    visible, semantic = torch.rand(2, 3, 32, 32, generator=source) * 2 - 1
    return Scene(f"scene{index}", visible, semantic, "p")


def pictures(made: InfraredGenerator, scenes: list[Scene]) -> dict[str, np.ndarray]:
    return dict(made.generate(scenes, TEXTS))


def test_pictures_are_gray_bytes(model: Path, adapter: Path) -> None:
    made = pictures(generator(model, adapter), [scene(0), scene(1)])
    assert list(made) == ["scene0", "scene1"]
    assert made["scene0"].shape == (32, 32)
    assert made["scene0"].dtype == np.uint8


def test_the_adapter_acts_at_every_step(
    model: Path, adapter: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Leave it out at one step at a time: each time the result must change."""
    made = generator(model, adapter)
    apply = SemanticConditioning.__call__
    results = []
    for left_out in (None, *range(STEPS)):
        calls = 0

        def spied(
            self: SemanticConditioning,
            x_t: Tensor,
            x_cond: Tensor,
            semantic: Tensor,
            projected: list[KeyValue] | None = None,
            skip: int | None = left_out,
        ) -> tuple[Tensor, Tensor]:
            nonlocal calls
            calls += 1
            if calls - 1 == skip:
                return x_t, x_cond
            return apply(self, x_t, x_cond, semantic, projected)

        monkeypatch.setattr(SemanticConditioning, "__call__", spied)
        results.append(made._pictures([scene(0)] * 4, TEXTS)[0].float())
        assert calls == STEPS
    for without in results[1:]:
        assert not torch.equal(without, results[0])


def test_keys_and_values_of_the_map_are_made_once(
    model: Path, adapter: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = generator(model, adapter)
    calls = 0
    project = SemanticCrossAttention.project

    def counted(self: SemanticCrossAttention, *arguments: Tensor) -> KeyValue:
        nonlocal calls
        calls += 1
        return project(self, *arguments)

    monkeypatch.setattr(SemanticCrossAttention, "project", counted)
    pictures(made, [scene(0)])
    assert calls == read_config(adapter).layers


def test_a_picture_does_not_depend_on_its_batch(model: Path, adapter: Path) -> None:
    made = generator(model, adapter)
    alone = pictures(made, [scene(3)])["scene3"]
    for before in range(4):
        others = [scene(10 + i) for i in range(before)]
        assert np.array_equal(pictures(made, [*others, scene(3), scene(20)])["scene3"], alone)


def test_a_picture_is_the_mean_of_its_samples(
    model: Path, adapter: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In decoded gray, before rounding: each sample is drawn alone here, then averaged."""
    scenes = [scene(0), scene(1)] * 2
    mean = generator(model, adapter, samples=3)._pictures(scenes, TEXTS)
    made = generator(model, adapter)
    noise = made.noise
    singles = []
    for sample in range(3):
        monkeypatch.setattr(
            made, "noise", lambda chosen, tokens, _=0, own=sample: noise(chosen, tokens, own)
        )
        singles.append(made._pictures(scenes, TEXTS))
    assert torch.allclose(mean, torch.stack(singles).mean(0), atol=1e-6)
    assert (singles[0] - singles[1]).abs().max() > 1e-2


def test_a_mean_of_samples_does_not_depend_on_its_batch(model: Path, adapter: Path) -> None:
    made = generator(model, adapter, samples=2, bits=16)
    alone = pictures(made, [scene(3)])["scene3"]
    assert alone.dtype == np.uint16
    others = [scene(10), scene(11), scene(3)]
    assert np.array_equal(pictures(made, others)["scene3"], alone)


def test_another_map_name_or_seed_gives_another_picture(model: Path, adapter: Path) -> None:
    made = generator(model, adapter)
    own = scene(0)
    result = pictures(made, [own])["scene0"]
    other_map = own._replace(semantic=scene(1).semantic)
    assert not np.array_equal(pictures(made, [other_map])["scene0"], result)
    renamed = own._replace(name="another")
    assert not np.array_equal(pictures(made, [renamed])["another"], result)
    made.settings = replace(made.settings, seed=1)
    assert not np.array_equal(pictures(made, [own])["scene0"], result)


def test_progress_counts_scenes_not_padding(model: Path, adapter: Path) -> None:
    counts: list[int] = []
    made = generator(model, adapter, batch=2)
    list(made.generate([scene(i) for i in range(3)], TEXTS, counts.append))
    assert counts == [2, 1]
