import json
import logging
from pathlib import Path
from typing import Any

import refract.models.torchvision_compat  # noqa: F401  (must come before open_clip)

import numpy as np
import pytest
import torch
from open_clip import get_model_config

from refract.base.errors import InputError
from refract.models.clip import ClipModel, clip_key, load_clip
from tests.tiny.clip import write_tiny_clip

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_clip(tmp_path_factory.mktemp("clip"))


@pytest.fixture(scope="module")
def clip(folder: Path) -> ClipModel:
    return load_clip(str(folder), None, CPU)


def _images(count: int) -> list[np.ndarray]:
    return list(np.random.default_rng(0).integers(0, 256, (count, 40, 40, 3), dtype=np.uint8))


def test_features_are_unit_vectors_whatever_the_batch(clip: ClipModel) -> None:
    images = _images(5)
    features = clip.image_features(images)
    torch.testing.assert_close(features.norm(dim=1), torch.ones(5))
    apart = torch.cat([clip.image_features([image]) for image in images])
    torch.testing.assert_close(features, apart, atol=1e-5, rtol=1e-4)


def test_weights_on_disk_are_the_ones_used(folder: Path, clip: ClipModel) -> None:
    from safetensors.torch import load_file

    stored = load_file(folder / "open_clip_model.safetensors")
    loaded = clip.network.state_dict()
    assert set(stored) == set(loaded)
    for name, value in stored.items():
        torch.testing.assert_close(loaded[name], value)


def test_similarity_of_a_picture_to_itself_is_one_and_falls_with_change(clip: ClipModel) -> None:
    red, blue = np.zeros((2, 40, 40, 3), np.uint8)
    red[..., 0], blue[..., 2] = 255, 255
    half = red.copy()
    half[20:] = blue[20:]
    features = clip.image_features([red, red.copy(), half, blue])
    same, copy, mixed, other = (features @ features[0]).tolist()
    assert (same, copy) == pytest.approx((1.0, 1.0), abs=1e-5)
    assert other < mixed < 1 - 1e-5  # a random network tells little apart, but not nothing


@pytest.mark.parametrize("name", ["open_clip_config.json", "open_clip_model.safetensors"])
def test_a_missing_file_is_named(tmp_path: Path, name: str) -> None:
    write_tiny_clip(tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(InputError, match=name):
        load_clip(str(tmp_path), None, CPU)


def test_pickled_weights_alone_are_refused(tmp_path: Path) -> None:
    write_tiny_clip(tmp_path)
    (tmp_path / "open_clip_model.safetensors").rename(tmp_path / "open_clip_pytorch_model.bin")
    with pytest.raises(InputError, match=r"open_clip_model\.safetensors is missing"):
        load_clip(str(tmp_path), None, CPU)


def test_weights_that_do_not_fit_the_configuration_are_refused(tmp_path: Path) -> None:
    write_tiny_clip(tmp_path)
    config = tmp_path / "open_clip_config.json"
    config.write_text(config.read_text().replace('"embed_dim": 16', '"embed_dim": 24'))
    with pytest.raises(InputError, match=r"evaluate\.clip_model"):
        load_clip(str(tmp_path), None, CPU)


def test_neither_folder_nor_repository() -> None:
    with pytest.raises(InputError):
        load_clip("/nowhere/at/all", None, CPU)


def test_only_a_registered_architecture_is_called_clip(clip: ClipModel) -> None:
    assert clip.key == "clip_micro"
    config: dict[str, Any] = get_model_config("ViT-B-32")
    assert clip_key(config) == "clip"
    # as the hub has it: defaults written out, and where the weights are from
    full = {**config, "quick_gelu": False, "text_cfg": {**config["text_cfg"], "mlp_ratio": 4.0}}
    full["vision_cfg"] = {**config["vision_cfg"], "timm_model_pretrained": False}
    assert clip_key(full) == "clip"


@pytest.mark.parametrize(
    ("part", "key", "value"), [("vision_cfg", "layers", 11), ("text_cfg", "context_length", 16)]
)
def test_a_changed_architecture_is_none_of_the_published(part: str, key: str, value: int) -> None:
    config: dict[str, Any] = get_model_config("ViT-B-32")
    assert clip_key({**config, part: {**config[part], key: value}}) == "clip_micro"
    assert clip_key({**config, "embed_dim": 256}) == "clip_micro"


def test_the_projects_own_clip_is_no_published_one() -> None:
    path = Path(__file__).parents[2] / "backbones/clip-micro/open_clip_config.json"
    assert clip_key(json.loads(path.read_text())["model_cfg"]) == "clip_micro"


def test_a_prompt_is_a_unit_vector_by_the_models_own_tokenizer(clip: ClipModel) -> None:
    features = clip.prompt_features("a red mug")
    assert features.shape == (1, 16)
    torch.testing.assert_close(features.norm(dim=1), torch.ones(1))
    torch.testing.assert_close(features, clip.prompt_features("A  red mug "))  # cleaned alike
    assert not torch.allclose(features, clip.prompt_features("a blue ball"))


def test_a_prompt_that_is_cut_is_told(clip: ClipModel, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "refract.models.clip"):
        clip.prompt_features("a red mug on a table")  # eight tokens with both marks
        assert not caplog.records
        clip.prompt_features("a red mug on a wooden table")
    assert "cut to its 8 tokens" in caplog.text


def test_a_tokenizer_of_its_own_must_lie_in_the_folder(tmp_path: Path) -> None:
    write_tiny_clip(tmp_path)
    config = json.loads((tmp_path / "open_clip_config.json").read_text())
    config["model_cfg"]["text_cfg"]["hf_tokenizer_name"] = "somewhere/else"
    (tmp_path / "open_clip_config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match=r"evaluate\.clip_model"):
        load_clip(str(tmp_path), None, CPU)
