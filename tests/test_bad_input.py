"""Malformed settings and cases through the real stage commands: exit 2, one line, no output."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ARGUMENTS = {
    "prepare_triptychs": "--output",
    "train_ir_adapter": "--triptychs --output",
    "infer_ir": "--triptychs --adapter --output",
    "extract_ref_banks": "--cases --adapter --output",
    "flowalign_edit": "--cases --banks --output",
    "evaluate": "--cases --triptychs --infrared --banks --edits --metrics --plots",
}
OUTPUTS = ("--output", "--metrics", "--plots")

# (stage, text in params.yaml, what takes its place, what the error must say)
PARAMS = [
    ("prepare_triptychs", "panel_px: 128", "panel_px: 100", "prepare_triptychs.panel_px = 100: "),
    ("prepare_triptychs", "train: 0.7", "train: 0.9", "train + val + test = 1.2: must be 1"),
    ("prepare_triptychs", "layout: generic", "layout: msrs", "one of generic, roadscene"),
    ("prepare_triptychs", "seed: 0", "seed: -1", "seed = -1: must be a whole number >= 0"),
    ("prepare_triptychs", "seed: 0", "seed: 0\nsize: 3", "size: this name is banned"),
    ("prepare_triptychs", "seed: 0", "seed: 0\nref_strenght: 3", "did you mean ref_strength?"),
    ("prepare_triptychs", "seed: 0", "seed: 0\nseed: 1", "duplicate key"),
    ("prepare_triptychs", "seed: 0", "seed: [0", "params.yaml:"),
    ("train_ir_adapter", "rank: 16", "rank: 0", "ir_adapter.rank = 0: must be"),
    ("train_ir_adapter", "rank: 16", "rank: 16.0", "ir_adapter.rank = 16.0: must be a whole"),
    ("train_ir_adapter", " lr: 5.0e-3", " lr: .nan", "ir_adapter.lr = nan: must be a finite"),
    ("train_ir_adapter", " lr: 5.0e-3", " lr: -.inf", "ir_adapter.lr = -inf: must be a finite"),
    ("train_ir_adapter", "heads: 8", "heads: true", "ir_adapter.heads = True: must be"),
    ("train_ir_adapter", "gate: zero_projection", "gate: zero", "semantic.gate = 'zero': must"),
    ("train_ir_adapter", "grad_clip: 1.0 ", "clip: 1.0 ", "ir_adapter.clip = 1.0: unknown key"),
    ("infer_ir", "steps: 20 ", "steps: 20s ", "infer_ir.steps = '20s': must be a whole number"),
    ("infer_ir", "dtype: float32 ", "dtype: float8 ", "infrared_model.dtype = 'float8'"),
    ("extract_ref_banks", "[0.3]", "[1.3]", "ref_timesteps[0] = 1.3: must be"),
    ("extract_ref_banks", "[0.3]", "[]", "ref_timesteps = []: must be a list of 1 to 16"),
    ("extract_ref_banks", "pool: 1", "pool: 3", "ref_bank.pool = 3: must be one of 1, 2, 4"),
    ("flowalign_edit", "frames: 17", "frames: 18", "flowalign.frames = 18: must be 4k + 1"),
    ("flowalign_edit", "ref_mode: joint", "ref_mode: paste", "ref_mode = 'paste': must be"),
    ("flowalign_edit", "ref_layers: all", "ref_layers: 3", "ref_layers = 3: must be all, middle"),
    ("flowalign_edit", "[0.0, 1.0]", "[1.0, 0.0]", "flowalign.ref_steps = [1.0, 0.0]: must be"),
    ("flowalign_edit", "guidance: 5.0", "guidance: '5'", "flowalign.guidance = '5': must be"),
    ("flowalign_edit", "  zeta: 0.01 ", "  # ", "flowalign.zeta: missing; must be"),
    ("evaluate", "bootstrap: 1000", "bootstrap: null", "evaluate.bootstrap = None: must be"),
]  # fmt: skip

# (stage, cases.yaml, what the error must say)
GOOD = "video: v.mp4, source_prompt: a cup, target_prompt: a red cup"
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


def refuse(root: Path, tmp_path: Path, stage: str, params: str, cases: str) -> str:
    """The one line with which a stage refuses its input; asserts that it wrote nothing."""
    (tmp_path / "params.yaml").write_text(params)
    (tmp_path / "cases.yaml").write_text(cases)
    command = [sys.executable, "-m", f"stages.{stage}", "--params", str(tmp_path / "params.yaml")]
    for option in ARGUMENTS[stage].split():
        name = "cases.yaml" if option == "--cases" else option.removeprefix("--")
        command += [option, str(tmp_path / name)]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr
    assert re.fullmatch(rf"refract {stage}: error: [^\n]+\n", done.stderr), done.stderr
    assert done.stdout == ""
    for option in OUTPUTS:
        assert not (tmp_path / option.removeprefix("--")).exists()
    return done.stderr


@pytest.mark.parametrize(("stage", "old", "new", "told"), PARAMS)
def test_malformed_params(
    root: Path, tmp_path: Path, stage: str, old: str, new: str, told: str
) -> None:
    text = (root / "params.yaml").read_text()
    assert old in text
    section = f"\n{stage}:" if f"\n{stage}:\n" in text else "\n"
    start = text.index(section) if old in text[text.index(section) :] else 0
    changed = text[:start] + text[start:].replace(old, new, 1)
    cases = (root / "data/cases.yaml").read_text()
    assert told in refuse(root, tmp_path, stage, changed, cases)


@pytest.mark.parametrize(("stage", "cases", "told"), CASES)
def test_malformed_cases(root: Path, tmp_path: Path, stage: str, cases: str, told: str) -> None:
    assert told in refuse(root, tmp_path, stage, (root / "params.yaml").read_text(), cases)


@pytest.mark.parametrize("stage", ARGUMENTS)
def test_missing_settings_file(root: Path, tmp_path: Path, stage: str) -> None:
    command = [sys.executable, "-m", f"stages.{stage}", "--params", str(tmp_path / "none.yaml")]
    for option in ARGUMENTS[stage].split():
        command += [option, str(tmp_path / option.removeprefix("--"))]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 2 and "none.yaml: cannot be read" in done.stderr


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
