"""Rotary positions of Wan tokens at any frame, row and column, also negative or fractional.

Wan splits a head's dimensions into frame, row and column parts (`WanRotaryPosEmbed`) and rotates
each pair (2i, 2i+1) by position times frequency. The model's own table holds whole positions from
0 up; a reference may stand outside it, e.g. one frame before the clip.
"""

from typing import NamedTuple, Protocol

import torch
from torch import Tensor


class RotaryTable(Protocol):
    """The part of diffusers' `WanRotaryPosEmbed` that is read here."""

    t_dim: int
    h_dim: int
    w_dim: int
    freqs_cos: Tensor  # (positions, t_dim + h_dim + w_dim)
    freqs_sin: Tensor


class TokenGrid(NamedTuple):
    """Tokens of a latent video along frames, rows and columns."""

    frames: int
    rows: int
    columns: int


def rotary_frequencies(table: RotaryTable) -> Tensor:
    """The model's frequencies (head_dim / 2,), float64, read off row 1 of its own table.

    All of them lie in (0, 1], so the angle at position 1 is the frequency itself.
    """
    cos, sin = table.freqs_cos[1, 0::2].double(), table.freqs_sin[1, 0::2].double()
    return torch.atan2(sin, cos)


def rotary_at(table: RotaryTable, positions: Tensor) -> tuple[Tensor, Tensor]:
    """Cosine and sine for `rotate` at given positions.

    Args:
        positions: (tokens, 3) frame, row and column; any real numbers. A negated position gives
            the same cosine and the flipped sine.
    Returns:
        Two float32 tensors (1, tokens, 1, head_dim / 2) on the device of the table.
    """
    frequencies = rotary_frequencies(table)
    pairs = torch.tensor([table.t_dim // 2, table.h_dim // 2, table.w_dim // 2])
    axis = torch.repeat_interleave(torch.arange(3), pairs).to(frequencies.device)  # (head_dim / 2,)
    angles = positions.to(frequencies)[:, axis] * frequencies
    return angles.cos().float()[None, :, None], angles.sin().float()[None, :, None]


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotate pairs (2i, 2i+1) of the last axis of x; a new, contiguous tensor typed like x.

    cos, sin: (..., head_dim / 2), spread over x; as `rotary_at` has them for x (batch, tokens,
    heads, head_dim).

    As complex numbers the pairs of the copy turn in place, in one pass and without half-sized
    products on the way.
    """
    copy = x.to(torch.float32, copy=True, memory_format=torch.contiguous_format)
    pairs = torch.view_as_complex(copy.unflatten(-1, (-1, 2)))
    pairs *= torch.complex(cos.float(), sin.float())
    return copy.type_as(x)
