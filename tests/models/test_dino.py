import json
from pathlib import Path

import refract.models.torchvision_compat  # noqa: F401  (must come before transformers)

import numpy as np
import pytest
import torch
from transformers import BertConfig, BitImageProcessor, Dinov2Config, Dinov2Model

from refract.base.errors import InputError
from refract.models.dino import DinoModel, load_dino

CPU = torch.device("cpu")


def write_tiny_dino(folder: Path) -> Path:
    """A random Dinov2 of a few kilobytes, as transformers saves it."""
    torch.manual_seed(0)
    config = Dinov2Config(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, image_size=28, patch_size=14
    )
    Dinov2Model(config).save_pretrained(folder, safe_serialization=True)
    side = {"height": 28, "width": 28}
    BitImageProcessor(size={"shortest_edge": 28}, crop_size=side).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_dino(tmp_path_factory.mktemp("dino"))


@pytest.fixture(scope="module")
def dino(folder: Path) -> DinoModel:
    return load_dino(str(folder), None, CPU)


def _images(count: int) -> list[np.ndarray]:
    return list(np.random.default_rng(0).integers(0, 256, (count, 40, 36, 3), dtype=np.uint8))


def test_features_are_unit_vectors_whatever_the_batch(dino: DinoModel) -> None:
    images = _images(5)
    features = dino.image_features(images)
    assert features.shape == (5, 16) and dino.key == "dino"
    torch.testing.assert_close(features.norm(dim=1), torch.ones(5))
    apart = torch.cat([dino.image_features([image]) for image in images])
    torch.testing.assert_close(features, apart, atol=1e-5, rtol=1e-4)
    small = DinoModel(dino.network, dino.processor, CPU, batch=2)
    torch.testing.assert_close(small.image_features(images), features, atol=1e-5, rtol=1e-4)


def test_the_feature_is_the_normalised_class_token(dino: DinoModel) -> None:
    image = _images(1)[0]
    pixels = dino.processor([image], return_tensors="pt")["pixel_values"]
    with torch.inference_mode():
        pooled = dino.network(pixel_values=pixels).pooler_output  # DINOv2's own pooling
    expected = torch.nn.functional.normalize(pooled, dim=1)
    torch.testing.assert_close(dino.image_features([image]), expected)


def test_images_of_several_shapes_go_together(dino: DinoModel) -> None:
    square, wide = _images(1)[0][:36], _images(1)[0][:28]
    both = dino.image_features([square, wide])
    torch.testing.assert_close(both[1:], dino.image_features([wide]), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "preprocessor_config.json"])
def test_a_missing_file_is_an_input_error(tmp_path: Path, name: str) -> None:
    (write_tiny_dino(tmp_path) / name).unlink()
    with pytest.raises(InputError, match=r"evaluate\.dino_model"):
        load_dino(str(tmp_path), None, CPU)


def test_pickled_weights_alone_are_refused(tmp_path: Path) -> None:
    write_tiny_dino(tmp_path)
    torch.save(torch.load, tmp_path / "pytorch_model.bin")
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(InputError, match=r"evaluate\.dino_model"):
        load_dino(str(tmp_path), None, CPU)


def test_another_kind_of_model_is_named(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(BertConfig().to_dict()))
    with pytest.raises(InputError, match="a model of type bert; allowed are dinov2"):
        load_dino(str(tmp_path), None, CPU)


def test_neither_folder_nor_repository() -> None:
    with pytest.raises(InputError):
        load_dino("/nowhere/at/all", None, CPU)
