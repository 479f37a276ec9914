"""What is said of a base whose files do not fit; the libraries' own words are kept back."""

import refract.models.torchvision_compat  # noqa: F401  (before transformers)

# isort: split
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from transformers import UMT5EncoderModel

from refract.base.errors import InputError
from refract.models.loading import ModelSource, complete
from tests.tiny.wan import tiny_text


@pytest.mark.parametrize("config", ["[1]", '"owner/name"', ""])
def test_a_config_that_is_no_object_is_not_looked_up(tmp_path: Path, config: str) -> None:
    folder = tmp_path / "model" / "text_encoder"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(config)
    source = ModelSource(str(tmp_path / "model"), None, "video_model.path", "WanPipeline")
    with pytest.raises(InputError, match=r"text_encoder/config\.json: (must hold|not valid)"):
        source.load("text_encoder", complete(UMT5EncoderModel.from_pretrained))


@pytest.mark.parametrize(
    ("shape", "told"),
    [(None, "1 weights are missing"), ((3,), r"has shape \(3,\), must have \(16,\)")],
)
def test_a_weight_that_does_not_fit_is_named_and_nothing_else_said(
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    shape: tuple[int, ...] | None,
    told: str,
) -> None:
    folder = tmp_path / "model" / "text_encoder"
    tiny_text()[1].save_pretrained(folder)
    weights = load_file(folder / "model.safetensors")
    del weights["encoder.final_layer_norm.weight"]
    if shape is not None:
        weights["encoder.final_layer_norm.weight"] = np.zeros(shape, np.float32)
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    capfd.readouterr()
    source = ModelSource(str(tmp_path / "model"), None, "video_model.path", "WanPipeline")
    with pytest.raises(InputError, match=told) as caught:
        source.load("text_encoder", complete(UMT5EncoderModel.from_pretrained))
    assert "final_layer_norm" in str(caught.value)
    assert "newly initialized" not in (said := capfd.readouterr().err) and "MISMATCH" not in said
