"""Loading, text and latents of a tiny WanPipeline folder, against diffusers' own code."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from refract.base.errors import InputError
from refract.models import wan_latents
from refract.models.wan import WanModel
from refract.models.wan_latents import decode_frames, encode_frames, stream_frames
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


@pytest.mark.parametrize("count", [1, 5, 17, 33])
@pytest.mark.parametrize(
    "layout",
    [
        {},
        {"patch_size": None, "in_channels": 3, "out_channels": 3, "is_residual": False},  # Wan 2.1
    ],
)
def test_frames_one_by_one_have_the_bits_of_diffusers_whole_clip(
    count: int, layout: dict[str, Any]
) -> None:
    vae = tiny_vae(**layout)
    frames = np.random.default_rng(0).integers(0, 256, (count, 32, 48, 3), np.uint8)
    mean, std = (
        torch.tensor(vae.config[f"latents_{kind}"]).view(1, 4, 1, 1, 1) for kind in ("mean", "std")
    )
    x = torch.tensor(frames).permute(3, 0, 1, 2)[None].float() / 127.5 - 1
    with torch.no_grad(), wan_latents._fast_convolutions(vae):
        raw = vae.encode(x).latent_dist.mode()
        pixels = vae.decode((raw - mean) / std * std + mean).sample[0].permute(1, 2, 3, 0)
    z = encode_frames(vae, iter(frames))
    assert z.shape == (1, 4, 1 + count // 4, *raw.shape[-2:]) and z.dtype == torch.float32
    assert torch.equal(z, (raw - mean) / std) and torch.equal(z, encode_frames(vae, frames))
    expected = ((pixels.clamp(-1, 1) + 1) * 127.5).round().numpy()
    decoded = decode_frames(vae, z)
    assert decoded.dtype == np.uint8 and np.array_equal(decoded, expected)
    streams = [stream_frames(vae, z) for _ in range(2)]  # side by side, each has a cache of its own
    for frame, *others in zip(expected, *streams, strict=True):
        assert all(np.array_equal(other, frame) for other in others)


def test_frames_are_read_and_written_a_chunk_at_a_time() -> None:
    vae, read = tiny_vae(), 0

    def frames() -> Iterator[np.ndarray]:
        nonlocal read
        for read in range(1, 10):
            yield np.full((32, 48, 3), read, np.uint8)

    held: list[int] = []
    made: list[int] = []
    vae.encoder.register_forward_pre_hook(lambda *_: held.append(read))
    vae.decoder.register_forward_pre_hook(lambda *_: made.append(1))
    z = encode_frames(vae, frames())
    assert held == [1, 5, 9]
    assert [len(made) for _ in stream_frames(vae, z)] == [1, 2, 2, 2, 2, 3, 3, 3, 3]
    with pytest.raises(ValueError, match=r"must be 4k \+ 1"):
        encode_frames(vae, np.zeros((7, 32, 48, 3), np.uint8))


def test_tiles_are_diffusers_own() -> None:
    vae, frames = tiny_vae(), np.random.default_rng(0).integers(0, 256, (5, 64, 64, 3), np.uint8)
    whole = encode_frames(vae, frames)
    vae.enable_tiling(16, 16, 8, 8)
    tiled = encode_frames(vae, frames)
    assert tiled.shape == whole.shape and not torch.equal(tiled, whole)
    assert decode_frames(vae, tiled).shape == frames.shape


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
