"""Every printed block runs as printed, or says why not; every command line is one that exists."""

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from refract.base.yaml_files import read_yaml
from refract.params.cases import Case, with_overrides
from refract.params.section import validate
from refract.params.whole import Params
from tests.docs.markdown import ROOT, Block, blocks, inline_code
from tests.docs.workspace import Workspace

_PLACEHOLDER = re.compile(r"\b[A-Z]{2,}\b|<\w+>|\[|\.\.\.")  # make ablation NAME
_PROGRAMS = ("python", "make", "dvc")


def printed_commands() -> list[tuple[str, list[str]]]:
    """Place and words of every command, in blocks and in running text."""
    found = [(block.place, command) for block in blocks("sh") for command in block.commands]
    found += [(place, code) for place, code in inline_code() if code.startswith(_PROGRAMS)]
    return [(place, shlex.split(command)) for place, command in found]


COMMANDS = printed_commands()


def test_every_block_says_what_it_is() -> None:
    known = {"python", "sh", "yaml", "text", "mermaid"}
    assert [block.place for block in blocks() if block.language not in known] == []


@pytest.mark.parametrize("block", blocks(), ids=lambda block: block.place)
def test_what_is_not_run_is_there_and_has_a_reason(block: Block) -> None:
    for beginning, reason in block.exemptions.items():
        assert any(command.startswith(beginning) for command in block.commands), beginning
        assert len(reason.split()) > 2, f"no reason for {beginning}"
        named = re.findall(r"tests/[\w/.]+\.py", reason)
        assert all((ROOT / name).is_file() for name in named), reason


def test_python_blocks_run_and_options_are_known(tmp_path: Path) -> None:
    """In one interpreter that has imported nothing before, from outputs as stages write them."""
    for name in ("backbones", "data"):
        (tmp_path / name).symlink_to(ROOT / name)
    _write_bank(tmp_path / "out/ref_banks/red-mug-to-dotted-blue.safetensors")
    _write_adapter(tmp_path / "out/ir_adapter")
    printed = [(block.place, block.text) for block in blocks("python")]
    assert len(printed) >= 3
    done = subprocess.run(
        [sys.executable, ROOT / "tests/docs/run_printed.py", "failures.json"],
        input=json.dumps({"blocks": printed, "commands": _modules_with_options()}),
        cwd=tmp_path, env=os.environ | {"PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"}, text=True,
        capture_output=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    assert json.loads((tmp_path / "failures.json").read_text()) == []
    assert {path.name for path in tmp_path.glob("*.*")} == {
        "failures.json", "mug.mp4", "infrared.png"
    }  # fmt: skip


def test_shell_lines_run(tmp_path: Path) -> None:
    """One after another, each once; `pytest -s` shows which are not run, and why."""
    workspace = Workspace(tmp_path / "repository")
    ran: set[str] = set()
    for block in blocks("sh"):
        for command in block.commands:
            if (beginning := block.exemption(command)) is not None:
                print(f"not run: {block.place}: {command}: {block.exemptions[beginning]}")
            elif command not in ran:
                workspace.run(command)
                ran.add(command)
        workspace.commit()
    print(f"{len(ran)} run")


@pytest.mark.parametrize(("place", "words"), COMMANDS, ids=lambda value: str(value)[:60])
def test_commands_name_what_exists(place: str, words: list[str]) -> None:
    values = [word for before, word in pairwise(words) if before == "-S"]
    for value in values:
        if not _PLACEHOLDER.search(value):
            _check_setting(value)
    if (module := _module(words)) is not None and not _PLACEHOLDER.search(module):
        assert _module_file(module).is_file(), module
    if words[0] == "make":
        _check_make(words[1:])
    for word in words[1:]:
        if word.startswith(("launch/", "data/")):
            assert (ROOT / word).exists(), word


@pytest.mark.parametrize("block", blocks("yaml"), ids=lambda block: block.place)
def test_printed_settings_are_valid(block: Block, tmp_path: Path) -> None:
    (tmp_path / "printed.yaml").write_text(block.text)
    printed = read_yaml(tmp_path / "printed.yaml")
    if printed.keys() <= Params.model_fields.keys():
        _validated(printed)
        return
    for name, case in printed.items():
        with_overrides(_validated({}), name, Case.model_validate(case))


def _write_bank(path: Path) -> None:
    """Of 5 random tokens in the layers of the shipped video model."""
    import torch

    from refract import ReferenceBank

    config = json.loads((ROOT / "backbones/wan-micro/transformer/config.json").read_text())
    shape = 5, config["num_attention_heads"], config["attention_head_dim"]
    layers = {
        layer: {"key": torch.randn(shape), "value": torch.randn(shape)}
        for layer in range(config["num_layers"])
    }
    path.parent.mkdir(parents=True)
    ReferenceBank(layers, torch.zeros(5, 2)).save(path)


def _write_adapter(folder: Path) -> None:
    """Fresh, of the shipped image model and the shipped settings' shape."""
    import refract.models.torchvision_compat  # noqa: F401  (before diffusers)

    # isort: split
    from diffusers import FluxTransformer2DModel

    from refract.infrared.adapter.adapter_files import build_model, save_adapter
    from refract.models.identity import model_identity
    from tests.infrared.test_adapter_files import config

    base = ROOT / "backbones/flux-fill-micro"
    facts = FluxTransformer2DModel.load_config(base / "transformer")
    settings = config(panel_px=128, model_identity=model_identity(str(base), None))
    folder.mkdir(parents=True)
    save_adapter(build_model(FluxTransformer2DModel.from_config(facts), settings), settings, folder)


def _module(words: list[str]) -> str | None:
    """The module that a command starts with -m."""
    return words[words.index("-m") + 1] if "-m" in words else None


def _module_file(module: str) -> Path:
    top = "src" if module.startswith("refract.") else "."
    stem = ROOT.joinpath(top, *module.split("."))
    file = stem.with_suffix(".py")
    return file if file.is_file() else stem / "__main__.py"


def _modules_with_options() -> list[tuple[str, list[str]]]:
    found = {
        tuple(words[words.index("-m") + 1 :]): place
        for place, words in COMMANDS
        if "-m" in words and not any(map(_PLACEHOLDER.search, words))
    }
    # Running text may name a command without the options that it needs.
    return [
        (place, list(words))
        for words, place in found.items()
        if len(words) > 1 and (":" in place or any(word.startswith("--") for word in words))
    ]


def _check_make(words: list[str]) -> None:
    """Targets and variables are the Makefile's; a sweep's name is one of ablations.yaml."""
    folder = Path()
    if words[0] == "-C":
        folder, words = Path(words[1]), words[2:]
    text = (ROOT / folder / "Makefile").read_text()
    for word in words:
        name, assigned, value = word.partition("=")
        if assigned:
            assert f"$({name})" in text, word
        else:
            assert re.search(rf"^{re.escape(word)}:", text, re.M), f"no target {word}"
        if name == "NAME":
            assert value in read_yaml(ROOT / "ablations.yaml")["grids"], word


def _check_setting(assignment: str) -> None:
    """`key=value`, or several values of a queued sweep."""
    key, _, text = assignment.partition("=")
    for value in re.split(r",(?![^\[]*\])", text):
        tree: Any = json.loads(value) if value[0] in "[0123456789" else value
        for part in reversed(key.split(".")):
            tree = {part: tree}
        _validated(tree)


def _validated(changes: Mapping[str, Any]) -> Params:
    """params.yaml with these changes; InputError where they do not fit."""
    return validate(Params, _merged(read_yaml(ROOT / "params.yaml"), changes), Path("params.yaml"))


def _merged(values: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(values)
    for key, value in changes.items():
        assert key in values, f"no such setting: {key}"
        merged[key] = _merged(values[key], value) if isinstance(value, Mapping) else value
    return merged
