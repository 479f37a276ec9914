import logging
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from skimage import data
from skimage.filters import gaussian

from refract.base.errors import InputError
from refract.evaluation import judge
from refract.evaluation.measures import perceptual
from refract.evaluation.measures.perceptual import load_lpips
from refract.evaluation.weights import alexnet_weights
from refract.evaluation.weights.alexnet_weights import find_trunk
from refract.evaluation.weights.installed_alexnet import installed_alexnet
from refract.params.whole import Params, load_stage_params
from tests.tiny.lpips import published_lpips

CPU = torch.device("cpu")
CACHED = "alexnet-owt-7be5be79.pth"


@pytest.fixture(autouse=True)
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No test shall depend on what the machine's torchvision cache holds."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    folder = Path(torch.hub.get_dir(), "checkpoints")
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def trunk() -> Path:
    path = installed_alexnet()
    assert path is not None
    return path


def _images(count: int = 3, px: int = 64) -> list[np.ndarray]:
    return list(np.random.default_rng(0).integers(0, 256, (count, px, px, 3), np.uint8))


def test_known_values() -> None:
    """By the `lpips` package and AlexNet's published weights; the blur is not rounded to levels."""
    face = data.astronaut()[:256, 128:384].astype(np.float64)
    blurred = gaussian(face, 2, channel_axis=-1)
    others = [face, blurred, np.roll(face, 3, 1), data.coffee()[:256, 128:384]]
    lpips = published_lpips()
    found = lpips.distances(others, lpips.features([face]))
    assert found[0] == 0
    assert found[1:] == pytest.approx([0.3588, 0.0655, 0.7401], abs=5e-4)


@pytest.mark.parametrize("most_pixels", [2**20, 64 * 64 * 2, 1])
def test_pairs_and_one_truth_are_the_packages_own_values(
    most_pixels: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many a forward pass takes."""
    monkeypatch.setattr(perceptual, "_MOST_PIXELS", most_pixels)
    lpips, images = published_lpips(), _images(5)
    ours, theirs = (
        torch.from_numpy(np.stack(group)).permute(0, 3, 1, 2).float() / 255
        for group in (images, images[::-1])
    )
    with torch.no_grad():
        pairs = lpips.network(ours, theirs, normalize=True).flatten().tolist()
        first = lpips.network(ours, ours[:1], normalize=True).flatten().tolist()
    found = lpips.distances(images, lpips.features(images[::-1]))
    assert found == pytest.approx(pairs, rel=1e-4)
    assert found[2] == 0
    assert lpips.distances(images, lpips.features(images[:1])) == pytest.approx(first, rel=1e-4)


def test_pth_weights_are_read_too(trunk: Path, tmp_path: Path) -> None:
    path = tmp_path / "alexnet.pth"
    torch.save(load_file(trunk), path)
    loaded = load_lpips(path, CPU).network.get_parameter("net.slice5.10.weight")
    torch.testing.assert_close(loaded, load_file(trunk)["features.10.weight"], rtol=0, atol=0)


def test_configured_weights_go_before_cached_and_cached_before_installed(
    trunk: Path, hub: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert find_trunk(None) == trunk
    (hub / CACHED).write_bytes(b"not the published weights")
    assert find_trunk(None) == trunk, "its digest is another"
    monkeypatch.setattr(alexnet_weights, "hash_file", lambda path: "7be5be79" + "0" * 56)
    assert find_trunk(None) == hub / CACHED
    assert find_trunk(str(trunk)) == trunk


def test_without_weights_there_is_none_and_one_line_says_how_to_get_them(
    root: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(judge, "find_trunk", lambda _: None)
    ours = judge.Judge(load_stage_params(Params, root / "params.yaml").evaluate, seed=0)
    with caplog.at_level(logging.INFO):
        assert ours.lpips is None and ours.lpips is None
    [line] = caplog.messages
    assert "`make install`" in line and "evaluate.lpips_weights" in line
    assert ours.lpips_name == "none: AlexNet's weights were not at hand"


def test_configured_weights_that_do_not_serve_are_input_errors(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        find_trunk(str(tmp_path / "none.safetensors"))
    foreign = tmp_path / "foreign.safetensors"
    save_file({"weight": torch.zeros(2)}, foreign)
    with pytest.raises(InputError, match="not torchvision's AlexNet"):
        load_lpips(foreign, CPU)
    damaged = tmp_path / "damaged.safetensors"
    damaged.write_bytes(b"nothing")
    with pytest.raises(InputError, match="damaged"):
        load_lpips(damaged, CPU)
