"""The semantic cross-attention layer against the same layer with its attention weights written out.

python -m benchmarks.semantic_attention --position distance_bias

Both have the same weights and inputs; the last column holds how far their outputs are apart.
"""

import argparse
from collections.abc import Callable
from typing import get_args

import torch
from einops import rearrange
from torch import Tensor

from benchmarks.memory import extra_peak_bytes
from benchmarks.tables import describe_machine, markdown_table
from benchmarks.timing import CLOCKS, Timings, add_measuring_options, time_interleaved
from refract.infrared.adapter.attention_maps import attention_weights
from refract.infrared.adapter.semantic_attention import POSITIONS, Position, SemanticCrossAttention
from refract.models.determinism import make_deterministic
from refract.models.flux_tokens import panel_grid
from refract.pipeline.device import pick_device

_OURS, _WRITTEN_OUT = "ours", "written out"
_CHANNELS = 64  # of a FLUX token
_PANELS = 2  # layout tile at the site x_t: image and map tokens of both panels

Layer = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]


def main() -> None:
    options = _parse()
    device = pick_device()
    make_deterministic(0, threads=options.threads)
    rows = [
        row
        for position in options.position
        for backward in (False, True)
        for row in compare(position, backward, options, device)
    ]
    tokens = _PANELS * options.side**2
    print(
        f"{describe_machine(device, 'float32')}; image and map tokens "
        f"[{options.batch}, {tokens}, {_CHANNELS}], {options.heads} heads, "
        f"{options.repeats} interleaved rounds"
    )
    header = ["position", "pass", "layer", "s", "time, x", "lowest to highest", "extra peak MiB"]
    print(markdown_table([*header, "memory, x", "furthest apart"], rows))


def compare(
    position: Position, backward: bool, options: argparse.Namespace, device: str
) -> list[list[object]]:
    """Two rows of the table: the layer and its written-out form."""
    torch.manual_seed(0)
    layer = SemanticCrossAttention(_CHANNELS, options.heads, position, gate="one").to(device)
    grid = panel_grid(options.side, options.side, _PANELS).to(device)
    image, semantic = torch.randn(2, options.batch, len(grid), _CHANNELS, device=device)
    forms: dict[str, Layer] = {_OURS: layer, _WRITTEN_OUT: written_out(layer)}

    def call(form: Layer) -> Callable[[], object]:
        if backward:
            return lambda: form(image, semantic, grid, grid).sum().backward()
        return lambda: torch.no_grad()(form)(image, semantic, grid, grid)

    calls = {name: call(form) for name, form in forms.items()}
    timings = time_interleaved(
        calls, repeats=options.repeats, device=device, clock=CLOCKS[options.clock]
    )
    memory = {name: extra_peak_bytes(each, device) for name, each in calls.items()}
    with torch.no_grad():
        first, second = (form(image, semantic, grid, grid) for form in forms.values())
    apart = float((first - second).abs().max())
    what = "forward and backward" if backward else "forward"
    return [[position, what, *_cells(name, timings, memory), apart] for name in calls]


def written_out(layer: SemanticCrossAttention) -> Layer:
    """The layer's forward with its attention weights as a tensor [B, heads, N, M]."""

    def forward(
        image: Tensor, semantic: Tensor, image_grid: Tensor, semantic_grid: Tensor
    ) -> Tensor:
        weights = attention_weights(layer, image, semantic, image_grid, semantic_grid)
        attended = weights @ layer.project(semantic, semantic_grid).value
        return image + layer.scale * layer.to_out(rearrange(attended, "b h n d -> b n (h d)"))

    return forward


def _cells(name: str, timings: Timings, memory: dict[str, int]) -> list[object]:
    return [
        name,
        timings.median(name),
        timings.ratio(name, _WRITTEN_OUT),
        timings.ratio_range(name, _WRITTEN_OUT),
        f"{memory[name] / 2**20:.0f}",
        memory[name] / memory[_WRITTEN_OUT],
    ]


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--position", nargs="+", choices=get_args(Position), default=POSITIONS)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--side", type=int, default=32, help="tokens a panel side; 512 px: 32")
    parser.add_argument("--heads", type=int, default=8)
    add_measuring_options(parser, repeats=5)
    return parser.parse_args()


if __name__ == "__main__":
    main()
