import numpy as np
import pytest
import torch

from refract.media.gray_levels import quantise, scaling
from refract.media.panel_pixels import to_eight_bits


@pytest.mark.parametrize(("bits", "dtype", "top"), [(8, np.uint8, 255), (16, np.uint16, 65535)])
def test_the_range_of_the_model_spans_all_levels(bits: int, dtype: type, top: int) -> None:
    levels = quantise(torch.tensor([-2.0, -1.0, 0.0, 1.0, 2.0]), bits)
    assert levels.dtype == dtype
    assert levels.tolist() == [0, 0, round(top / 2), top, top]
    assert str(top) in scaling(bits)


@pytest.mark.parametrize("bits", [8, 16])
def test_every_level_comes_back(bits: int) -> None:
    every = torch.arange(2**bits)
    gray = every.double() / (2**bits - 1) * 2 - 1
    assert np.array_equal(quantise(gray.float(), bits), every.numpy())


def test_sixteen_bits_are_the_same_picture_on_the_scale_of_eight() -> None:
    gray = torch.rand(64, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1
    fine = quantise(gray, 16).astype(np.uint16)
    back = to_eight_bits(fine, 0, 65535).astype(int)
    assert np.abs(back - quantise(gray, 8).astype(int)).max() <= 1  # both round, at a tie apart
    assert (back != quantise(gray, 8)).mean() < 0.01
    assert len(np.unique(fine)) > 1000
