import json
import sys
from pathlib import Path

import pytest

from refract.base.errors import InputError
from refract.evaluation.votes.study_key import load_key, write_key
from refract.user_study.__main__ import main
from tests.evaluation.test_votes import KEY, ROW, write_csv
from tests.tiny.study import write_edits


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> None:
    monkeypatch.setattr(sys, "argv", ["user_study", *map(str, arguments)])
    main()


def test_build_writes_page_and_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    cases = {name: case.model_dump() for name, case in write_edits(tmp_path, ["mug"]).items()}
    (tmp_path / "cases.yaml").write_text(json.dumps({"cases": cases}))
    places = ["--edits", tmp_path / "edits", "--cases", tmp_path / "cases.yaml"]
    run(monkeypatch, "build", *places, "--output", tmp_path / "out", "--compare", "plain", "source")
    key = load_key(tmp_path / "out-key.json")
    assert key.methods == ("plain", "source")
    assert f"study {key.study}: 1 pairs" in capsys.readouterr().out
    assert (tmp_path / "out/index.html").is_file()


def test_read_prints_rates_and_who_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    votes = tmp_path / "votes"
    check = {"rater": "Bob", "pair": "check0", "left": "twin0a", "right": "twin0b"}
    write_csv(votes / "a.csv", ROW, ROW | {"rater": "Bob", "choice": "right"}, ROW | check)
    with pytest.raises(InputError, match=r"votes/key\.json: cannot be read"):
        run(monkeypatch, "read", "--votes", votes)
    write_key(votes / "key.json", KEY)
    run(monkeypatch, "read", "--votes", votes)
    printed = capsys.readouterr().out
    assert "product: new over old: 50.0%" in printed
    assert "1 for, 1 against, 0 no difference; 2 raters, 1 cases" in printed
    assert "failed the checks: 'Bob'\n" in printed
    figures = tmp_path / "figures.json"
    run(monkeypatch, "read", "--votes", votes, "--exclude-failed", "--output", figures)
    assert "product: new over old: 0.0%" in capsys.readouterr().out
    assert json.loads(figures.read_text())["product"]["losses"] == 1
