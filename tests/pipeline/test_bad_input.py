"""Malformed settings and cases through the real stage commands: exit 2, one line, no output."""

import io
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from refract.pipeline.profile import round_trip_yaml
from tests.stage_process import run_module

ARGUMENTS = {
    "prepare_triptychs": "--output",
    "train_ir_adapter": "--triptychs --output",
    "infer_ir": "--triptychs --adapter --output",
    "extract_ref_banks": "--cases --adapter --triptychs --output",
    "flowalign_edit": "--cases --banks --output",
    "evaluate": "--cases --triptychs --infrared --banks --edits --metrics --plots --report",
}
OUTPUTS = ("--output", "--metrics", "--plots", "--report")

# (stage, key, value it gets, what the error must say)
PARAMS = [
    ("prepare_triptychs", "prepare_triptychs.panel_px", 100, "panel_px = 100: must be a whole"),
    ("prepare_triptychs", "prepare_triptychs.split.train", 0.99, "train + val + test = "),
    ("prepare_triptychs", "prepare_triptychs.layout", "mrss", "layout = 'mrss': must be one of"),
    ("prepare_triptychs", "prepare_triptychs.semantic.source", "model", "= model needs model, the"),
    ("prepare_triptychs", "prepare_triptychs.semantic.model", "", "model = '': must be a string"),
    ("prepare_triptychs", "seed", -1, "seed = -1: must be a whole number >= 0"),
    ("prepare_triptychs", "size", 3, "size: this name is banned"),
    ("prepare_triptychs", "flowalign.nfiles", 3, "flowalign.nfiles: this name is banned"),
    ("prepare_triptychs", "ref_strenght", 3, "ref_strenght = 3: unknown key; did you mean"),
    ("train_ir_adapter", "ir_adapter.rank", 0, "ir_adapter.rank = 0: must be"),
    ("train_ir_adapter", "ir_adapter.rank", 16.0, "ir_adapter.rank = 16.0: must be a whole"),
    ("train_ir_adapter", "ir_adapter.lr", float("nan"), "ir_adapter.lr = nan: must be a finite"),
    ("train_ir_adapter", "ir_adapter.lr", float("-inf"), "ir_adapter.lr = -inf: must be a finite"),
    ("train_ir_adapter", "ir_adapter.heads", True, "ir_adapter.heads = True: must be"),
    ("train_ir_adapter", "ir_adapter.semantic.gate", "zero", "semantic.gate = 'zero': must be"),
    ("train_ir_adapter", "ir_adapter.clip", 1.0, "ir_adapter.clip = 1.0: unknown key"),
    ("infer_ir", "infer_ir.steps", "20s", "infer_ir.steps = '20s': must be a whole number"),
    ("infer_ir", "infrared_model.dtype", "float8", "infrared_model.dtype = 'float8': must be"),
    ("extract_ref_banks", "ref_timesteps", [1.3], "ref_timesteps[0] = 1.3: must be"),
    ("extract_ref_banks", "ref_timesteps", [], "ref_timesteps = []: must be a list of 1 to 16"),
    ("extract_ref_banks", "ref_bank.pool", 3, "ref_bank.pool = 3: must be one of 1, 2, 4"),
    ("flowalign_edit", "flowalign.window.frames", 18, "window.frames = 18: must be 4k + 1"),
    ("flowalign_edit", "ref_mode", "paste", "ref_mode = 'paste': must be"),
    ("flowalign_edit", "ref_layers", 3, "ref_layers = 3: must be all, middle"),
    ("flowalign_edit", "flowalign.ref_steps", [1.0, 0.0], "ref_steps = [1.0, 0.0]: must be"),
    ("flowalign_edit", "flowalign.guidance", "5", "flowalign.guidance = '5': must be"),
    ("flowalign_edit", "video_model", None, "video_model = None: must be a mapping"),
    ("evaluate", "evaluate.bootstrap", None, "evaluate.bootstrap = None: must be"),
]  # fmt: skip

# (stage, change to the text of params.yaml, what the error must say)
TEXTS: list[tuple[str, Callable[[str], str], str]] = [
    ("prepare_triptychs", lambda text: text + "seed: 1\n", "duplicate key"),
    ("prepare_triptychs", lambda text: text + "open: [0\n", "params.yaml:"),
    ("flowalign_edit", lambda text: text.replace("\n  zeta:", "\n  # zeta:"), "zeta: missing"),
    ("evaluate", lambda text: "", "params.yaml: is empty"),
]

# (stage, cases.yaml, what the error must say)
GOOD = "video: v.mp4, source_prompt: a cup, target_prompt: a red cup"
GOOD_CASES = f"cases: {{a: {{{GOOD}}}}}\n"
CASES = [
    ("extract_ref_banks", "", "cases.yaml: is empty"),
    ("extract_ref_banks", f"cases: {{Cup: {{{GOOD}}}}}", "case id 'Cup': must match"),
    ("extract_ref_banks", f"cases: {{1: {{{GOOD}}}}}", "key 1: must be a string"),
    ("flowalign_edit", f"cases: {{a: {{{GOOD}, promt: x}}}}", "cases.a.promt = 'x': unknown key"),
    ("flowalign_edit", "cases: {a: {video: v.mp4}}", "cases.a.source_prompt: missing"),
    (
        "flowalign_edit",
        f"cases: {{a: {{{GOOD}, overrides: {{flowalign: {{zeta: 9}}}}}}}}",
        "cases.a.overrides: flowalign.zeta = 9: must be",
    ),
    (
        "flowalign_edit",
        f"cases: {{a: {{{GOOD}, overrides: {{evaluate: {{}}}}}}}}",
        "cases.a.overrides.evaluate: unknown key",
    ),
    ("evaluate", f"cases: {{a: {{{GOOD}}}, a: {{{GOOD}}}}}", "duplicate key"),
    ("evaluate", "cases: [a, b]", "cases = ['a', 'b']: must be a mapping"),
]


def refuse(tmp_path: Path, stage: str, params: str | None, cases: str) -> str:
    """The one line with which a stage refuses its input; asserts that it wrote nothing."""
    if params is not None:
        (tmp_path / "params.yaml").write_text(params)
    (tmp_path / "cases.yaml").write_text(cases)
    arguments: list[str | Path] = ["--params", tmp_path / "params.yaml"]
    for option in ARGUMENTS[stage].split():
        name = "cases.yaml" if option == "--cases" else option.removeprefix("--")
        arguments += [option, tmp_path / name]
    done = run_module(f"stages.{stage}", *arguments)
    assert done.returncode == 2, done.stderr
    assert re.fullmatch(rf"refract {stage}: error: [^\n]+\n", done.stderr), done.stderr
    assert done.stdout == ""
    for option in OUTPUTS:
        assert not (tmp_path / option.removeprefix("--")).exists()
    return done.stderr


@pytest.mark.parametrize(("stage", "key", "value", "told"), PARAMS)
def test_malformed_params(
    root: Path, tmp_path: Path, stage: str, key: str, value: object, told: str
) -> None:
    yaml = round_trip_yaml()
    document = yaml.load(root / "params.yaml")
    *above, leaf = key.split(".")
    section = document
    for part in above:
        section = section[part]
    section[leaf] = value
    text = io.StringIO()
    yaml.dump(document, text)
    assert told in refuse(tmp_path, stage, text.getvalue(), GOOD_CASES)


@pytest.mark.parametrize(("stage", "change", "told"), TEXTS)
def test_malformed_text(
    root: Path, tmp_path: Path, stage: str, change: Callable[[str], str], told: str
) -> None:
    text = (root / "params.yaml").read_text()
    assert change(text) != text
    assert told in refuse(tmp_path, stage, change(text), GOOD_CASES)


@pytest.mark.parametrize(("stage", "cases", "told"), CASES)
def test_malformed_cases(root: Path, tmp_path: Path, stage: str, cases: str, told: str) -> None:
    assert told in refuse(tmp_path, stage, (root / "params.yaml").read_text(), cases)


@pytest.mark.parametrize("stage", ARGUMENTS)
def test_missing_settings_file(tmp_path: Path, stage: str) -> None:
    assert "params.yaml: cannot be read" in refuse(tmp_path, stage, None, GOOD_CASES)


@pytest.mark.parametrize("stage", ARGUMENTS)
def test_help_needs_no_model_library(root: Path, stage: str) -> None:
    """`--help` answers at once: neither torch nor diffusers is imported for it."""
    code = (
        "import runpy, sys\n"
        f"sys.argv = ['{stage}', '--help']\n"
        "try:\n"
        f"    runpy.run_module('stages.{stage}', run_name='__main__')\n"
        "finally:\n"
        "    print(sorted({'torch', 'diffusers', 'transformers'} & sys.modules.keys()))\n"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "--params" in done.stdout and done.stdout.rstrip().endswith("[]")
