"""Train the transformer of the micro FLUX Fill base: fill the right panel as the prompt says.

python -m backbones.image.train_fill --work WORK --vae WORK/vae --output WORK/fill

The base never sees an infrared image nor the words for it: that is what the adapter is for.
A killed run continues from WORK/fill_run.safetensors.
"""

import refract.torchvision_compat  # noqa: F401  (must come before diffusers)

# isort: split
import argparse
import math
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL, FluxFillPipeline, FluxTransformer2DModel
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor

from backbones.image.assemble import build_pipeline
from backbones.image.bank import HELD_OUT_SEED, TRAIN_SEED, Bank, base_bank
from backbones.image.checkpoint import load_run, save_run
from backbones.image.diptychs import (
    HIDDEN_HALF,
    Encoded,
    Pair,
    draw_pairs,
    encode_pairs,
    mask_table,
    panels,
)
from backbones.image.progress import Progress
from backbones.image.prompts import task_prompt
from backbones.image.tasks import PHRASES
from backbones.muon import Muon

CONFIG = {
    "patch_size": 1,
    "in_channels": 384,
    "out_channels": 64,
    "num_layers": 2,
    "num_single_layers": 4,
    "attention_head_dim": 32,
    "num_attention_heads": 6,
    "joint_attention_dim": 64,
    "pooled_projection_dim": 64,
    "guidance_embeds": True,
    "axes_dims_rope": (4, 14, 14),
}
PANEL_PX = 128
GUIDANCE = 1.0  # constant: the micro base is not guidance-distilled
LEFT_WEIGHT = 0.1  # the left panel is given; reproducing it is worth little
TEXT_TOKENS = 16
MASKS = 65
SHOWN = (
    "exact copy",
    "grayscale photo",
    "gray negative",
    "edges drawing",
    "class map",
    "recolour alpha",
    "shades three",
    "day photo",
)


def refuse_infrared(bank: Bank, phrases: list[str]) -> None:
    """Raise if the base could see an infrared image or read about one."""
    if "infrared" in bank or any(w in p for p in phrases for w in ("infrared", "thermal")):
        raise ValueError("the image base must not be trained on infrared panels or prompts")


@torch.no_grad()
def encode_prompts(pipeline: FluxFillPipeline, phrases: list[str]) -> tuple[Tensor, Tensor]:
    """(T5 tokens [prompts, TEXT_TOKENS, 64], pooled CLIP [prompts, 64])."""
    prompts = [task_prompt(phrase) for phrase in phrases]
    tokens, pooled, _ = pipeline.encode_prompt(prompts, max_sequence_length=TEXT_TOKENS)
    return tokens, pooled


def flow_loss(
    pipeline: FluxFillPipeline, x_0: Tensor, x_cond: Tensor, tokens: Tensor, pooled: Tensor
) -> Tensor:
    """Flow-matching loss to x_1 - x_0 at t = sigmoid(normal), as FLUX was trained."""
    batch = len(x_0)
    t = torch.sigmoid(torch.randn(batch))
    x_1 = torch.randn_like(x_0)
    x_t = torch.lerp(x_0, x_1, t[:, None, None])
    height, width = PANEL_PX // 16, PANEL_PX // 8  # tokens of the diptych
    velocity = pipeline.transformer(
        hidden_states=torch.cat([x_t, x_cond], dim=-1),
        timestep=t,
        guidance=torch.full((batch,), GUIDANCE),
        encoder_hidden_states=tokens,
        pooled_projections=pooled,
        img_ids=pipeline._prepare_latent_image_ids(batch, height, width, "cpu", x_t.dtype),
        txt_ids=torch.zeros(tokens.shape[1], 3),
        return_dict=False,
    )[0]
    right = torch.arange(height * width) % width >= width // 2
    weight = torch.where(right, 1.0, LEFT_WEIGHT)
    error = (velocity - (x_1 - x_0)).square().mean(-1)  # [B, N]
    return (error * weight).mean() / right.float().mean()


def learning_rate(step: int, steps: int) -> float:
    """Share of the peak: warm-up over 100 steps, constant to 40%, then a cosine to 3%."""
    done = max(0.0, (step / steps - 0.4) / 0.6)
    return min(1.0, (step + 1) / 100) * (0.03 + 0.97 * 0.5 * (1 + math.cos(math.pi * done)))


def make_optimisers(net: FluxTransformer2DModel, peak: float) -> list[torch.optim.Optimizer]:
    """Muon for the matrices inside the blocks, AdamW at half its rate for the rest."""
    inside = {
        name
        for name, p in net.named_parameters()
        if "transformer_blocks" in name and p.ndim == 2 and ".norm" not in name
    }
    matrices = [p for name, p in net.named_parameters() if name in inside]
    rest = [p for name, p in net.named_parameters() if name not in inside]
    adamw = torch.optim.AdamW(rest, peak / 2, betas=(0.9, 0.98), weight_decay=0.01)
    return [Muon(matrices, lr=peak, decay=0.01), adamw]


def train(
    pipeline: FluxFillPipeline, data: Encoded, held_out: Bank, steps: int, batch: int, peak: float,
    work: Path, output: Path, save_every: int = 250,
) -> None:  # fmt: skip
    """Train in place; the moving average is written to `output` every `save_every` steps."""
    net = pipeline.transformer
    tokens, pooled = encode_prompts(pipeline, PHRASES)
    optimisers = make_optimisers(net, peak)
    average = {name: p.detach().clone() for name, p in net.named_parameters()}
    resume = work / "fill_run.safetensors"
    first = load_run(resume, net, average, optimisers) if resume.exists() else 0
    groups = [(group, group["lr"]) for o in optimisers for group in o.param_groups]
    progress = Progress("fill", steps, first, 25, work / "fill_curve.csv")
    for step in range(first, steps):
        for group, highest in groups:
            group["lr"] = highest * learning_rate(step, steps)
        x_0, x_cond, prompt = data.batch(torch.randint(0, len(data.x_0), (batch,)))
        loss = flow_loss(pipeline, x_0, x_cond, tokens[prompt], pooled[prompt])
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        for optimiser in optimisers:
            optimiser.step()
            optimiser.zero_grad()
        decay = min(0.998, (1 + step) / (10 + step))
        with torch.no_grad():
            torch._foreach_lerp_([*average.values()], [*net.parameters()], 1 - decay)
        progress.update(step + 1, loss.item())
        if (step + 1) % save_every == 0 or step + 1 == steps:
            save_run(resume, step + 1, net, average, optimisers)
            snapshot = FluxTransformer2DModel(**CONFIG)
            snapshot.load_state_dict(average)
            snapshot.save_pretrained(output)
            if (step + 1) % (4 * save_every) == 0 or step + 1 == steps:
                show(pipeline, snapshot, held_out, output / "samples.png")


def show(
    pipeline: FluxFillPipeline, snapshot: FluxTransformer2DModel, bank: Bank, path: Path
) -> None:
    """Print the PSNR of some tasks on held-out scenes and write a sheet: photo, made, true."""
    trained, pipeline.transformer = pipeline.transformer, snapshot.eval()
    mask = mask_table(PANEL_PX, 1, np.random.default_rng(0))
    rows, figures = [], {}
    for phrase in SHOWN:
        pairs = [Pair(i, phrase == "day photo", phrase, HIDDEN_HALF) for i in range(6)]
        left, right = (np.stack(side) for side in zip(*(panels(bank, p) for p in pairs)))  # noqa: B905
        diptych = torch.from_numpy(np.concatenate([left, right], axis=2)).permute(0, 3, 1, 2) / 255
        made = pipeline(
            prompt=[task_prompt(phrase)] * len(pairs), image=diptych,
            mask_image=mask.expand(len(pairs), -1, -1, -1), height=PANEL_PX, width=2 * PANEL_PX,
            num_inference_steps=20, guidance_scale=GUIDANCE, max_sequence_length=TEXT_TOKENS,
            generator=torch.Generator().manual_seed(0), output_type="np",
        ).images[:, :, PANEL_PX:]  # fmt: skip
        error = np.square(made - right / 255).mean((1, 2, 3))
        figures[phrase] = round(float(-10 * np.log10(error).mean()), 1)
        sheet = np.stack([left, (made * 255).astype(np.uint8), right], axis=1)
        rows.append(np.concatenate([*sheet.reshape(-1, *sheet.shape[2:])], axis=1))
    pipeline.transformer = trained
    Image.fromarray(np.concatenate(rows)).save(path)
    print(f"held-out PSNR {figures}", flush=True)


def load_encoded(path: Path) -> Encoded | None:
    return Encoded(**load_file(path)) if path.exists() else None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True, help="caches, resume file, curves")
    parser.add_argument("--vae", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True, help="folder of the transformer")
    parser.add_argument("--scenes", type=int, default=900)
    parser.add_argument("--pairs", type=int, default=4800)
    parser.add_argument("--steps", type=int, default=2200)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    vae = AutoencoderKL.from_pretrained(arguments.vae).eval().requires_grad_(False)
    vae.to(memory_format=torch.channels_last)  # a quarter faster on CPU
    pipeline = build_pipeline(vae, FluxTransformer2DModel(**CONFIG))
    pipeline.set_progress_bar_config(disable=True)
    bank = base_bank(arguments.work, TRAIN_SEED, arguments.scenes)
    refuse_infrared(bank, PHRASES)
    cache = arguments.work / f"encoded_{arguments.scenes}_{arguments.pairs}.safetensors"
    data = load_encoded(cache)
    if data is None:
        random = np.random.default_rng(1)
        pairs = draw_pairs(bank, arguments.pairs, MASKS, random)
        data = encode_pairs(pipeline, bank, pairs, mask_table(PANEL_PX, MASKS, random), PHRASES)
        save_file(vars(data), cache)
    held_out = base_bank(arguments.work, HELD_OUT_SEED, 24)
    train(
        pipeline, data, held_out, arguments.steps, arguments.batch, arguments.lr,
        arguments.work, arguments.output,
    )  # fmt: skip


if __name__ == "__main__":
    main()
