from pathlib import Path

import pytest
import torch
from torch import Tensor

from refract.infrared.training.checkpoint import CheckpointFolder

Parameters = dict[str, Tensor]


def problem() -> tuple[Parameters, torch.optim.Optimizer]:
    torch.manual_seed(0)
    parameters: Parameters = {
        "a": torch.nn.Parameter(torch.randn(3)),
        "b": torch.nn.Parameter(torch.randn(2, 2)),
    }
    groups = [{"params": [value], "lr": 0.1, "base_lr": 0.1} for value in parameters.values()]
    return parameters, torch.optim.AdamW(groups, betas=(0.9, 0.99))


def step(parameters: Parameters, optimizer: torch.optim.Optimizer, number: int) -> None:
    optimizer.zero_grad()
    sum((x - number).square().sum() for x in parameters.values()).backward()  # type: ignore[union-attr]
    optimizer.step()


def test_a_restored_run_ends_with_the_same_bits(tmp_path: Path) -> None:
    straight, optimizer = problem()
    for number in range(6):
        step(straight, optimizer, number)

    first, optimizer = problem()
    for number in range(3):
        step(first, optimizer, number)
    CheckpointFolder(tmp_path).save(3, first, optimizer, {"rows": [{"loss": 0.1}]})

    second, optimizer = problem()
    done, log = CheckpointFolder(tmp_path).restore(second, optimizer)
    assert (done, log) == (3, {"rows": [{"loss": 0.1}]})
    for number in range(done, 6):
        step(second, optimizer, number)
    for name, value in straight.items():
        assert torch.equal(value, second[name])


def test_without_a_checkpoint_nothing_changes(tmp_path: Path) -> None:
    parameters, optimizer = problem()
    before = {name: value.clone() for name, value in parameters.items()}
    assert CheckpointFolder(tmp_path / "absent").restore(parameters, optimizer) == (0, {})
    assert all(torch.equal(before[name], value) for name, value in parameters.items())


@pytest.mark.parametrize("damage", ["cut off", "bit flipped", "no index"])
def test_the_newest_undamaged_one_counts(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: str
) -> None:
    parameters, optimizer = problem()
    folder = CheckpointFolder(tmp_path)
    kept = tmp_path / "step_00000001"
    for done in (1, 2):
        step(parameters, optimizer, done)
        folder.save(done, parameters, optimizer, {})
        if done == 1:
            kept.rename(tmp_path / "aside")  # a save drops older ones
    (tmp_path / "aside").rename(kept)
    newest = tmp_path / "step_00000002"
    tensors = newest / "state.safetensors"
    content = bytearray(tensors.read_bytes())
    tensors.chmod(0o644)
    if damage == "cut off":
        tensors.write_bytes(content[:-1])
    elif damage == "bit flipped":
        content[-1] ^= 1
        tensors.write_bytes(content)
    else:
        (newest / ".index.json").unlink()
    assert folder.restore(*problem())[0] == 1
    assert f"{newest} is damaged" in caplog.text


def test_older_ones_go_and_all_can_be_removed(tmp_path: Path) -> None:
    parameters, optimizer = problem()
    folder = CheckpointFolder(tmp_path)
    for done in (1, 2):
        step(parameters, optimizer, done)
        folder.save(done, parameters, optimizer, {})
    assert [path.name for path in tmp_path.iterdir()] == ["step_00000002"]
    folder.remove()
    assert not list(tmp_path.iterdir())


def test_files_are_safetensors_and_json(tmp_path: Path) -> None:
    parameters, optimizer = problem()
    step(parameters, optimizer, 0)
    CheckpointFolder(tmp_path).save(1, parameters, optimizer, {})
    names = sorted(path.name for path in (tmp_path / "step_00000001").iterdir())
    assert names == [".index.json", "state.json", "state.safetensors"]
