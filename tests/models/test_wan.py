"""Loading, text and latents of a tiny WanPipeline folder, against diffusers' own code."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from refract.base.errors import InputError
from refract.models.wan import WanModel
from refract.models.wan_latents import decode_frames, encode_frames
from refract.models.wan_text import embed_prompt
from tests.tiny.wan import TEXT_DIM, WORDS, tiny_text, tiny_vae


def load(folder: Path, dtype: str = "float32") -> WanModel:
    return WanModel(str(folder), None, dtype, "cpu")


def test_parts_load_in_their_types(tiny_wan: Path) -> None:
    model = load(tiny_wan, "bfloat16")
    assert model.transformer.blocks[0].attn1.to_q.weight.dtype == torch.bfloat16
    assert model.vae.dtype == torch.float32
    assert not any(p.requires_grad for p in model.transformer.parameters())


def test_embedding_is_the_pipelines(tiny_wan: Path) -> None:
    from diffusers import WanPipeline

    pipeline = WanPipeline.from_pretrained(tiny_wan)
    with torch.no_grad():  # the kernel differs where a gradient may be asked for
        expected, _ = pipeline.encode_prompt("a  red mug", None, False, max_sequence_length=WORDS)
    embedding = embed_prompt(*load(tiny_wan).text, "a  red mug", WORDS)
    assert torch.equal(embedding, expected)
    assert embedding.shape == (1, WORDS, TEXT_DIM)
    assert embedding[:, 4:].abs().max() == 0, "padding behind the last token is zero"


@pytest.mark.parametrize(
    ("prompt", "message"),
    [
        ("", "prompt is empty"),
        ("   \n", "prompt is empty"),
        ("a red mug on wood " * 9, r"has 46 tokens; at most 8 .*max_sequence_length"),
    ],
)
def test_bad_prompts(prompt: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        embed_prompt(*tiny_text(), prompt, WORDS)


def test_latents_are_normalised_and_come_back() -> None:
    vae = tiny_vae()
    frames = np.random.default_rng(0).integers(0, 256, (5, 32, 48, 3), np.uint8)
    z = encode_frames(vae, frames)
    assert z.shape == (1, 4, 2, 4, 6) and z.dtype == torch.float32
    x = torch.tensor(frames).permute(3, 0, 1, 2)[None].float() / 127.5 - 1
    raw = vae.encode(x).latent_dist.mode()
    mean, std = (
        torch.tensor(vae.config[f"latents_{kind}"]).view(1, 4, 1, 1, 1) for kind in ("mean", "std")
    )
    torch.testing.assert_close(z, (raw - mean) / std)
    pixels = vae.decode(raw).sample[0].permute(1, 2, 3, 0)
    expected = ((pixels.clamp(-1, 1) + 1) * 127.5).round()
    decoded = decode_frames(vae, z)
    assert decoded.shape == frames.shape and decoded.dtype == np.uint8
    assert np.abs(decoded.astype(int) - expected.numpy()).max() <= 1


def test_frame_grid_is_checked(tiny_wan: Path) -> None:
    model = load(tiny_wan)
    model.check_frame(32, 48, 5)
    for width, height, frames, message in (
        (40, 48, 5, r"flowalign\.width = 40: must be a multiple of 16"),
        (32, 50, 5, r"flowalign\.height = 50"),
        (32, 48, 6, r"flowalign\.frames = 6: must be 4k \+ 1"),
    ):
        with pytest.raises(InputError, match=message):
            model.check_frame(width, height, frames)


def test_missing_and_broken_folders(tiny_wan: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such folder"):
        load(tmp_path / "absent")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="cannot load transformer"):
        _ = load(tmp_path / "empty").transformer
    broken = tmp_path / "broken"
    shutil.copytree(tiny_wan, broken)
    weights = next((broken / "vae").glob("*.safetensors"))
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(InputError, match=r"cannot load vae.* WanPipeline, .*video_model\.path"):
        _ = load(broken).vae
    weights.unlink()
    torch.save({}, weights.with_suffix(".bin"))  # a pickle runs what is in it
    with pytest.raises(InputError, match=r"cannot load vae.*\.safetensors found"):
        _ = load(broken).vae


@pytest.mark.parametrize("part", ["tokenizer", "text", "transformer", "vae"])
def test_unreachable_hub(part: str) -> None:
    page = r"https://huggingface\.co/nobody/absent-wan"
    with pytest.raises(InputError, match=rf"cannot be reached .*{page}.*video_model\.path"):
        getattr(WanModel("nobody/absent-wan", None, "float32", "cpu"), part)


def test_an_image_to_video_model_is_refused(tiny_wan: Path, tmp_path: Path) -> None:
    from tests.tiny.wan import tiny_transformer

    other = tmp_path / "i2v"
    shutil.copytree(tiny_wan, other)
    tiny_transformer(in_channels=9).save_pretrained(other / "transformer")
    assert json.loads((other / "transformer" / "config.json").read_text())["in_channels"] == 9
    with pytest.raises(InputError, match="is an image-to-video transformer"):
        _ = load(other).transformer


def test_text_encoder_can_be_dropped_and_loaded_again(tiny_wan: Path) -> None:
    model = load(tiny_wan)
    first = embed_prompt(*model.text, "a mug", WORDS)
    model.drop_text()
    assert "text" not in model.__dict__
    assert torch.equal(embed_prompt(*model.text, "a mug", WORDS), first)
