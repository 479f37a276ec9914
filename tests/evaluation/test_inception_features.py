from pathlib import Path
from unittest.mock import patch

import refract.models.torchvision_compat  # noqa: F401  (must precede cleanfid and torch_fidelity)

import numpy as np
import pytest
import torch
from cleanfid.resize import build_resizer
from safetensors.torch import save_file
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

from refract.base.errors import InputError
from refract.evaluation.measures.inception_features import clean_resize, load_inception

CPU = torch.device("cpu")


def _random_state() -> dict[str, torch.Tensor]:
    """Random weights that keep the size of the activations, under the names of a weights file."""
    torch.manual_seed(0)
    with patch("torch.load"), patch.object(FeatureExtractorInceptionV3, "load_state_dict"):
        wanted = FeatureExtractorInceptionV3("inception", ["2048"], "none").state_dict()
    state = {}
    for name, value in wanted.items():
        if name.endswith("conv.weight"):
            spread = (2 / value[0].numel()) ** 0.5
            state[name] = torch.randn(value.shape) * spread
        elif name.endswith(("running_var", "bn.weight")):
            state[name] = torch.rand(value.shape) * 0.2 + 0.9
        elif not name.endswith("num_batches_tracked"):
            state[name] = torch.randn(value.shape) * 0.1
    return state


@pytest.fixture(scope="module")
def state() -> dict[str, torch.Tensor]:
    return _random_state()


@pytest.fixture(scope="module")
def weights(state: dict[str, torch.Tensor], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("inception") / "random.safetensors"
    save_file(state, path)
    return path


def _picture(seed: int, side: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (side, side, 3), np.uint8)


@pytest.mark.parametrize("side", [40, 128, 299, 512])
def test_the_resize_is_clean_fids(side: int) -> None:
    picture = _picture(side, side)
    np.testing.assert_array_equal(clean_resize(picture), build_resizer("clean")(picture))


def test_the_network_is_torch_fidelitys(
    state: dict[str, torch.Tensor], weights: Path, tmp_path: Path
) -> None:
    features = load_inception(weights, CPU)
    torch.save(state, tmp_path / "random.pth")
    theirs = FeatureExtractorInceptionV3("inception", ["2048"], str(tmp_path / "random.pth"))
    picture = _picture(0, 299)  # already of the network's size: nothing is resized
    ours = features([picture])
    with torch.inference_mode():
        (expected,) = theirs(torch.from_numpy(picture.transpose(2, 0, 1)[None]))
    assert ours.shape == (1, features.dimension) and float(np.ptp(ours)) > 0.01
    np.testing.assert_allclose(ours, expected.numpy(), rtol=1e-4, atol=1e-6)


def test_what_was_loaded_is_named(weights: Path) -> None:
    features = load_inception(weights, CPU)
    assert features.key == "fid"
    assert "random.safetensors sha256" in features.about
    assert "not the original file" in features.about


def test_images_net_inception_is_no_network_of_the_fid(
    state: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    save_file(state | {"fc.weight": torch.zeros(1000, 2048)}, tmp_path / "usual.safetensors")
    with pytest.raises(InputError, match=r"do not fit .*not ImageNet's usual Inception"):
        load_inception(tmp_path / "usual.safetensors", CPU)


def test_a_missing_layer_is_one_error(state: dict[str, torch.Tensor], tmp_path: Path) -> None:
    lacking = {name: x for name, x in state.items() if not name.startswith("Mixed_7c")}
    save_file(lacking, tmp_path / "part.safetensors")
    with pytest.raises(InputError, match=r"do not fit .*Mixed_7c"):
        load_inception(tmp_path / "part.safetensors", CPU)


@pytest.mark.parametrize("name", ["damaged.safetensors", "damaged.pth"])
def test_an_unreadable_file_is_one_error(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"no weights at all")
    with pytest.raises(InputError, match=r"damaged.*not readable"):
        load_inception(tmp_path / name, CPU)
    with pytest.raises(InputError, match="no such file"):
        load_inception(tmp_path / "absent.pth", CPU)


class _Code:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (pytest.fail, ("the file's code was run",))


def test_no_code_of_a_file_is_run(tmp_path: Path) -> None:
    torch.save({"fc.weight": _Code()}, tmp_path / "evil.pth")
    with pytest.raises(InputError, match="not readable"):
        load_inception(tmp_path / "evil.pth", CPU)
