"""What all recipes share: their command lines, and the report of their last runs."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image

from backbones.options import begin, recipe_parser
from backbones.report import gather


def test_a_run_begins_with_its_threads_and_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    before = torch.get_num_threads()
    monkeypatch.setattr(sys, "argv", ["recipe", "--seed", "5", "--threads", "1", "--steps", "7"])
    try:
        options = begin(recipe_parser("First line.\n\nThe rest.", steps=3, lr=0.1))
        drawn = torch.rand(3)
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)
    assert (options.seed, options.steps, options.lr) == (5, 7, 0.1)
    assert torch.equal(drawn, torch.rand(3, generator=torch.Generator().manual_seed(5)))


def test_the_makefile_names_recipes_that_are_there(root: Path) -> None:
    make = ["make", "--dry-run", "-C", str(root / "backbones"), "all"]
    said = subprocess.run(make, capture_output=True, text=True, check=True).stdout
    modules = re.findall(r"python -m (\S+)", said)
    assert len(modules) == 17
    assert all(root.joinpath(*name.split(".")).with_suffix(".py").is_file() for name in modules)


def test_what_a_recipe_has_no_use_for_is_no_option(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        recipe_parser("A judge.").parse_args(["--steps", "3"])
    assert "--steps" in capsys.readouterr().err


def test_the_report_takes_what_was_made_and_names_what_was_not(tmp_path: Path) -> None:
    runs, report = tmp_path / "runs", tmp_path / "report"
    (runs / "clip").mkdir(parents=True)
    (runs / "clip" / "curve.csv").write_text("step,text\n50,4.1\n")
    (runs / "video").mkdir()
    Image.new("RGB", (2000, 10), "red").save(runs / "video" / "samples.png")
    (report / "figures").mkdir(parents=True)
    (report / "figures" / "clip.json").write_text("{}")
    missing = gather(runs, report)
    assert (report / "curves" / "clip.csv").read_text() == "step,text\n50,4.1\n"
    with Image.open(report / "sheets" / "samples.jpg") as sheet:
        assert sheet.size == (1400, 7)
    assert (report / "figures" / "clip.json").read_text() == "{}"
    assert "clip/figures.json" in missing and "clip/curve.csv" not in missing
