import pytest
import torch

from refract.infrared.training.weight_average import WeightAverage


def test_an_average_of_the_weights_after_each_step() -> None:
    weights = {"a": torch.nn.Parameter(torch.zeros(2))}
    average = WeightAverage(0.5, weights)
    expected = 0.0
    for done in range(1, 20):
        weights["a"].data.fill_(done)
        average.update(done)
        decay = min(0.5, (1 + done) / (10 + done))
        expected = decay * expected + (1 - decay) * done
    assert average.decay_at(8) == 0.5 > average.decay_at(7)
    assert average.tensors["a"].tolist() == pytest.approx([expected] * 2)
    assert weights["a"].tolist() == [19.0] * 2


def test_in_place_and_back_after_an_error() -> None:
    weights = {"a": torch.nn.Parameter(torch.zeros(2))}
    average = WeightAverage(0.9, weights)
    weights["a"].data.fill_(3.0)
    with pytest.raises(KeyError), average.in_place():
        assert weights["a"].tolist() == [0.0, 0.0]
        raise KeyError
    assert weights["a"].tolist() == [3.0, 3.0]
    average.keep()
    assert weights["a"].tolist() == [0.0, 0.0]
