import logging
from pathlib import Path

import refract.models.torchvision_compat  # noqa: F401  (must come before torchvision)

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torchvision.models import alexnet

from refract.base.errors import InputError
from refract.evaluation.measures.perceptual import (
    ClipFeatureDistance,
    Lpips,
    choose_perceptual,
    load_lpips,
)
from refract.models.clip import ClipModel, load_clip
from tests.tiny.clip import write_tiny_clip

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> ClipModel:
    return load_clip(str(write_tiny_clip(tmp_path_factory.mktemp("clip"))), None, CPU)


@pytest.fixture(scope="module")
def trunk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights under the names torchvision gives AlexNet's."""
    torch.manual_seed(0)
    features = alexnet(weights=None).features.state_dict()
    path = tmp_path_factory.mktemp("alexnet") / "alexnet.safetensors"
    save_file({f"features.{name}": value for name, value in features.items()}, path)
    return path


@pytest.fixture(autouse=True)
def _empty_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test shall depend on what the machine's torchvision cache holds."""
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))


def _images(count: int = 3, px: int = 64) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return list(rng.integers(0, 256, (count, px, px, 3), dtype=np.uint8))


def _noisy(images: list[np.ndarray], amount: float) -> list[np.ndarray]:
    rng = np.random.default_rng(1)
    return [np.clip(x + rng.normal(0, amount, x.shape), 0, 255).astype(np.uint8) for x in images]


def test_lpips_is_zero_for_identical_images_and_grows_with_noise(trunk: Path) -> None:
    distance, images = load_lpips(trunk, CPU), _images()
    assert distance(images, images) == [0.0] * 3
    near, far = (np.mean(distance(_noisy(images, x), images)) for x in (5, 60))
    assert 0 < near < far


def test_lpips_is_the_packages_own_value(trunk: Path) -> None:
    ours = load_lpips(trunk, CPU)
    one, other = _images(2)
    tensors = [torch.from_numpy(x).permute(2, 0, 1)[None].float() / 255 for x in (one, other)]
    with torch.no_grad():
        expected = ours.network(*tensors, normalize=True).item()
    assert ours([one], [other])[0] == pytest.approx(expected, rel=1e-5)


def test_the_configured_trunk_is_what_the_network_holds(trunk: Path) -> None:
    from safetensors.torch import load_file

    loaded = load_lpips(trunk, CPU).network.get_parameter("net.slice5.10.weight")
    torch.testing.assert_close(loaded, load_file(trunk)["features.10.weight"])


def test_pth_weights_are_read_as_tensors_only(trunk: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file

    path = tmp_path / "alexnet.pth"
    torch.save(load_file(trunk), path)
    images = _images(2)
    assert load_lpips(path, CPU)(images, images[::-1]) == load_lpips(trunk, CPU)(
        images, images[::-1]
    )


def test_without_weights_the_other_distance_has_a_name_of_its_own(
    clip: ClipModel, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        chosen = choose_perceptual(None, clip, "clip-tiny")
    assert isinstance(chosen, ClipFeatureDistance)
    assert chosen.key == "perceptual_micro"
    assert "not LPIPS" in chosen.about
    assert "perceptual_micro" in caplog.text


def test_configured_weights_give_lpips(clip: ClipModel, trunk: Path) -> None:
    chosen = choose_perceptual(str(trunk), clip, "clip-tiny")
    assert isinstance(chosen, Lpips)
    assert chosen.key == "lpips"
    assert "alexnet.safetensors" in chosen.about


def test_a_cached_file_with_the_wrong_digest_is_not_taken(clip: ClipModel, tmp_path: Path) -> None:
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    (folder / "alexnet-owt-7be5be79.pth").write_bytes(b"not the published weights")
    assert choose_perceptual(None, clip, "clip-tiny").key == "perceptual_micro"


def test_missing_and_foreign_weights_are_input_errors(clip: ClipModel, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        choose_perceptual(str(tmp_path / "none.safetensors"), clip, "clip-tiny")
    foreign = tmp_path / "foreign.safetensors"
    save_file({"weight": torch.zeros(2)}, foreign)
    with pytest.raises(InputError, match="not torchvision's AlexNet"):
        choose_perceptual(str(foreign), clip, "clip-tiny")
    damaged = tmp_path / "damaged.safetensors"
    damaged.write_bytes(b"nothing")
    with pytest.raises(InputError, match="damaged"):
        choose_perceptual(str(damaged), clip, "clip-tiny")


def test_feature_distance_is_zero_on_identity_symmetric_and_grows(clip: ClipModel) -> None:
    distance, images = ClipFeatureDistance(clip, ""), _images()
    assert distance(images, images) == [0.0] * 3
    near, far = (_noisy(images, x) for x in (5, 60))
    assert 0 < np.mean(distance(near, images)) < np.mean(distance(far, images))
    assert distance(far, images) == pytest.approx(distance(images, far), rel=1e-6)
