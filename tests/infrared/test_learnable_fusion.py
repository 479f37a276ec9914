import pytest
import torch

from refract.infrared.adapter.fill_conditioning import fuse_pixels
from refract.infrared.adapter.learnable_fusion import LearnableFusion


@pytest.mark.parametrize("start", [1e-6, 0.25, 0.5, 0.999])
def test_it_starts_as_the_fixed_fusion(start: float) -> None:
    visible, semantic = torch.randn(2, 1, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    fusion = LearnableFusion(start)
    assert fusion.alpha.item() == pytest.approx(start, rel=1e-5)
    with torch.no_grad():
        made = fusion(visible, semantic)
    assert torch.equal(made, fuse_pixels(visible, semantic, fusion.alpha.item()))


def test_the_gradient_reaches_alpha() -> None:
    fusion = LearnableFusion(0.25)
    fusion(torch.zeros(1, 3, 2, 2), torch.ones(1, 3, 2, 2)).mean().backward()
    assert fusion.logit.grad is not None
    assert fusion.logit.grad.item() == pytest.approx(0.25 * 0.75)


@pytest.mark.parametrize("start", [0.0, 1.0])
def test_an_end_of_the_sigmoid_is_refused(start: float) -> None:
    with pytest.raises(ValueError, match="above 0 and below 1"):
        LearnableFusion(start)
