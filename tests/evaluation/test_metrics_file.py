import json
from pathlib import Path

import pytest

from refract.evaluation.measures.bootstrap import MeanInterval
from refract.evaluation.measures.metrics_file import (
    Tree,
    put,
    put_interval,
    significant,
    write_metrics,
    write_table,
)


def test_dotted_keys_nest_and_numbers_are_rounded() -> None:
    tree: Tree = {}
    put(tree, "day.psnr", 20.123456789)
    put(tree, "day.count", 24)
    put_interval(tree, "ssim", MeanInterval(0.5123456, 0.41, 0.62, 3))
    put_interval(tree, "absent", None)
    assert tree == {
        "day": {"psnr": 20.123, "count": 24},
        "ssim": 0.51235,
        "ssim_low": 0.41,
        "ssim_high": 0.62,
    }


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_json_cannot_hold_is_an_error(value: float) -> None:
    with pytest.raises(ValueError, match="not finite"):
        significant(value)


def test_bytes_are_stable_and_plain(tmp_path: Path) -> None:
    tree = {"psnr": 20.5, "about": {"model": "m"}}
    write_metrics(tree, tmp_path / "a.json")
    write_metrics(dict(tree), tmp_path / "b.json")
    content = (tmp_path / "a.json").read_bytes()
    assert content == (tmp_path / "b.json").read_bytes()
    assert json.loads(content) == tree
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.json", "b.json"]


def test_tables_leave_out_what_has_no_value(tmp_path: Path) -> None:
    rows = [("a", "psnr", 1 / 3), ("b", "psnr", float("nan"))]
    write_table(tmp_path / "t.csv", ("item", "metric", "value"), rows)
    assert (tmp_path / "t.csv").read_text() == "item,metric,value\na,psnr,0.33333\n"
