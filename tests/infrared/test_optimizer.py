import pytest
import torch

from refract.infrared.training.optimizer import build_optimizer
from tests.tiny.training import PRODIGY, settings


def parameters() -> dict[str, torch.Tensor]:
    names = (
        "transformer.x.lora_A",
        "adapter.layers.0.to_q.weight",
        "adapter.layers.0.scale",
        "fusion.logit",
    )
    return {name: torch.nn.Parameter(torch.ones(2)) for name in names}


def test_each_kind_of_parameter_has_its_rate() -> None:
    optimizer = build_optimizer(parameters(), settings(lr=0.1, semantic_lr=0.2, scale_lr=0.3))
    assert isinstance(optimizer, torch.optim.AdamW)
    assert [group["base_lr"] for group in optimizer.param_groups] == [0.1, 0.2, 0.3, 0.3]
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.01, 0.01, 0.01, 0.0]
    assert [len(group["params"]) for group in optimizer.param_groups] == [1, 1, 1, 1]
    bare = dict(list(parameters().items())[:1])
    assert len(build_optimizer(bare, settings()).param_groups) == 1


def test_prodigy_finds_its_step_size(capsys: pytest.CaptureFixture[str]) -> None:
    """From its start of 1e-6 to one that reaches a minimum at a distance of 10."""
    weights = parameters()
    optimizer = build_optimizer(weights, settings(**PRODIGY))
    group = optimizer.param_groups[0]
    assert group["use_bias_correction"] and group["safeguard_warmup"]
    for _ in range(200):
        optimizer.zero_grad()
        torch.stack([(x - 11).square().sum() for x in weights.values()]).sum().backward()
        optimizer.step()
    assert all(bool((x - 11).abs().max() < 1) for x in weights.values())
    assert capsys.readouterr().out == ""
