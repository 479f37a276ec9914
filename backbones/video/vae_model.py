"""The micro video VAE: Wan2.2's residual layout, small, with an initialisation that trains.

The plain Wan2.1 layout with torch's default initialisation collapses to a grey frame at this
size. Here every convolution starts as a variance-keeping image convolution (its time taps but
the present one are small), time convolutions start as copies, and residual branches start small.
"""

import math

import refract.models.torchvision_compat  # noqa: F401  (must come before diffusers)

import torch
from diffusers import AutoencoderKLWan
from diffusers.models.autoencoders.autoencoder_kl_wan import WanAttentionBlock, WanResidualBlock

LATENT_CHANNELS = 16
_START_LOG_VARIANCE = -6.0


def build_vae(base_dim: int, decoder_base_dim: int) -> AutoencoderKLWan:
    """x8 in space, x4 in time: (3, 1 + 4n, 8h, 8w) -> (16, 1 + n, h, w)."""
    vae = AutoencoderKLWan(
        base_dim=base_dim,
        decoder_base_dim=decoder_base_dim,
        z_dim=LATENT_CHANNELS,
        dim_mult=[1, 2, 2],
        num_res_blocks=1,
        temperal_downsample=[True, True],
        is_residual=True,
        patch_size=2,
        in_channels=12,
        out_channels=12,
        scale_factor_spatial=8,
        scale_factor_temporal=4,
    )
    initialise(vae)
    return vae


def _initialise_kernel(name: str, convolution: torch.nn.Conv2d | torch.nn.Conv3d) -> None:
    weight = convolution.weight
    if isinstance(convolution, torch.nn.Conv2d):
        weight.normal_(0, 1 / math.sqrt(weight[0].numel()))
        return
    out_channels, in_channels, taps, height, width = weight.shape
    if "time_conv" not in name:
        weight.normal_(0, 1 / math.sqrt(in_channels * height * width))
        if taps > 1:
            weight[:, :, :-1] *= 0.1
        return
    weight.normal_(0, 0.02 / math.sqrt(in_channels))
    copy = torch.eye(in_channels)
    if out_channels == in_channels:  # halves the frame rate: mean of two frames
        weight[:, :, -1, 0, 0] += 0.5 * copy
        weight[:, :, -2, 0, 0] += 0.5 * copy
    else:  # doubles it: both frames start as the present one
        weight[:in_channels, :, -1, 0, 0] += copy
        weight[in_channels:, :, -1, 0, 0] += copy


@torch.no_grad()
def initialise(vae: AutoencoderKLWan) -> None:
    """Signal-keeping start; draws from torch's global generator."""
    for name, module in vae.named_modules():
        if isinstance(module, torch.nn.Conv2d | torch.nn.Conv3d):
            _initialise_kernel(name, module)
            if module.bias is not None:
                module.bias.zero_()
                # spread biases, so that flat regions do not all land on the same nonlinearity
                if name.endswith("conv_in") or "resample.1" in name or "conv_shortcut" in name:
                    module.bias.normal_(0, 0.3)
    for module in vae.modules():
        if isinstance(module, WanResidualBlock):
            module.conv1.weight *= 1.4
            module.conv2.weight *= 0.3
        elif isinstance(module, WanAttentionBlock):
            module.proj.weight *= 0.1
    vae.quant_conv.weight[LATENT_CHANNELS:] *= 0.02
    vae.quant_conv.bias[LATENT_CHANNELS:] = _START_LOG_VARIANCE
    vae.encoder.conv_out.weight *= 1.4
    vae.decoder.conv_out.weight *= 0.5
