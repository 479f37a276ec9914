"""Published shapes of FLUX.1 Fill and Wan2.1, by mirrors of their repositories' config.json."""

from typing import Any

# huggingface.co/black-forest-labs/FLUX.1-Fill-dev, transformer/config.json
FILL: dict[str, Any] = {
    "attention_head_dim": 128, "axes_dims_rope": [16, 56, 56], "guidance_embeds": True,
    "in_channels": 384, "joint_attention_dim": 4096, "num_attention_heads": 24, "num_layers": 19,
    "num_single_layers": 38, "out_channels": 64, "patch_size": 1, "pooled_projection_dim": 768,
}  # fmt: skip
# vae/config.json of the same
FILL_VAE: dict[str, Any] = {
    "block_out_channels": [128, 256, 512, 512], "down_block_types": ["DownEncoderBlock2D"] * 4,
    "in_channels": 3, "latent_channels": 16, "layers_per_block": 2, "norm_num_groups": 32,
    "out_channels": 3, "sample_size": 1024, "scaling_factor": 0.3611, "shift_factor": 0.1159,
    "up_block_types": ["UpDecoderBlock2D"] * 4, "use_post_quant_conv": False,
    "use_quant_conv": False,
}  # fmt: skip
# huggingface.co/Wan-AI/Wan2.1-T2V-1.3B-Diffusers, transformer/config.json
WAN_SMALL: dict[str, Any] = {
    "added_kv_proj_dim": None, "attention_head_dim": 128, "cross_attn_norm": True, "eps": 1e-06,
    "ffn_dim": 8960, "freq_dim": 256, "image_dim": None, "in_channels": 16,
    "num_attention_heads": 12, "num_layers": 30, "out_channels": 16, "patch_size": [1, 2, 2],
    "qk_norm": "rms_norm_across_heads", "rope_max_seq_len": 1024, "text_dim": 4096,
}  # fmt: skip
# huggingface.co/Wan-AI/Wan2.1-T2V-14B-Diffusers, likewise: these three are all that differs
WAN_LARGE: dict[str, Any] = {
    **WAN_SMALL, "ffn_dim": 13824, "num_attention_heads": 40, "num_layers": 40
}  # fmt: skip
# vae/config.json of both; the moments of the latents are the defaults of `AutoencoderKLWan`
WAN_VAE: dict[str, Any] = {
    "attn_scales": [], "base_dim": 96, "dim_mult": [1, 2, 4, 4], "dropout": 0.0,
    "num_res_blocks": 2, "temperal_downsample": [False, True, True], "z_dim": 16,
}  # fmt: skip
# text_encoder_2/config.json of FLUX.1 Fill, and text_encoder/config.json of Wan2.1
T5: dict[str, Any] = {
    "d_ff": 10240, "d_kv": 64, "d_model": 4096, "feed_forward_proj": "gated-gelu",
    "num_heads": 64, "num_layers": 24, "tie_word_embeddings": False, "vocab_size": 32128,
}  # fmt: skip
UMT5: dict[str, Any] = {**T5, "vocab_size": 256384}
# text_encoder/config.json of FLUX.1 Fill
CLIP_TEXT: dict[str, Any] = {
    "hidden_size": 768, "intermediate_size": 3072, "max_position_embeddings": 77,
    "num_attention_heads": 12, "num_hidden_layers": 12, "projection_dim": 768, "vocab_size": 49408,
}  # fmt: skip
# scheduler/scheduler_config.json of both
FILL_SCHEDULER: dict[str, Any] = {
    "base_image_seq_len": 256, "base_shift": 0.5, "max_image_seq_len": 4096, "max_shift": 1.15,
    "shift": 3.0, "use_dynamic_shifting": True,
}  # fmt: skip
WAN_SCHEDULER: dict[str, Any] = {
    "flow_shift": 3.0, "prediction_type": "flow_prediction", "use_flow_sigmas": True
}  # fmt: skip
