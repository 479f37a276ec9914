import torch

from refract.ir_generation import item_noise
from refract.sample_draws import derived_generator


def test_the_first_sample_is_the_noise_of_an_item_without_samples() -> None:
    expected = torch.randn(6, 64, generator=derived_generator(0, "infer", "a"))
    assert torch.equal(item_noise(0, "a", 6, 64), expected)
    assert torch.equal(item_noise(0, "a", 6, 64, sample=0), expected)


def test_samples_are_independent_and_repeatable() -> None:
    drawn = [item_noise(0, "a", 200, 64, sample) for sample in range(5)]
    drawn.append(item_noise(0, "a/1", 200, 64))  # no other item's either
    correlations = torch.corrcoef(torch.stack([x.flatten() for x in drawn]))
    assert (correlations - torch.eye(len(drawn))).abs().max() < 0.05
    assert torch.equal(item_noise(0, "a", 200, 64, 3), drawn[3])
