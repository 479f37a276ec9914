"""The editing stage given what it cannot use, and its stand-alone command."""

import argparse
import json
from pathlib import Path

import numpy as np
import pytest
from ruamel.yaml import YAML

from refract.base.errors import InputError
from refract.editing.cases.single import edit_one
from refract.editing.reference.bank import ReferenceBank
from refract.media.video_io import read_clip
from refract.params.cases import Span
from tests.stage_process import run_module
from tests.tiny.edit import Workshop


def frames(path: Path) -> np.ndarray:
    return read_clip(path).frames


def test_bad_inputs_name_the_case_and_leave_no_output(shop: Workshop) -> None:
    good = shop.case("cup", 0)
    shop.extract({"cup": good})
    text = shop.folder / "text.mp4"
    text.write_text("no video")
    for case, flow, knobs, message in (
        (
            {"video": str(shop.folder / "absent.mp4")},
            {},
            {},
            r"case cup: video .*: cannot be read",
        ),
        ({"video": str(text)}, {}, {}, "case cup: video .*cannot be decoded"),
        ({"clip": Span(start=5.0)}, {}, {}, r"cases\.cup\.clip\.start = 5: .* begins at 0\.50 s"),
        ({"source_prompt": "a mug " * 9}, {}, {}, r"cases\.cup\.source_prompt: .*at most 8"),
        ({"source_prompt": " "}, {}, {}, r"cases\.cup\.source_prompt: prompt is empty"),
        ({}, {}, {"ref_layers": "0-9"}, "case cup: .*this model has 4 layers"),
        ({}, {}, {"ref_layers": [4]}, "case cup: .*this model has 4 layers"),
    ):
        before = json.loads(json.dumps(shop.params))
        shop.set("flowalign", **flow)
        shop.set(**knobs)
        with pytest.raises(InputError, match=message):
            shop.edit({"cup": good.model_copy(update=case)})
        assert not shop.edits.exists()
        shop.params = before


def test_bad_banks(shop: Workshop) -> None:
    cases = {"cup": shop.case("cup", 0)}
    with pytest.raises(InputError, match=r"cup.safetensors"):
        shop.edit(cases)
    shop.extract(cases)
    path = shop.banks / "cup.safetensors"
    bank = ReferenceBank.load(path)
    path.unlink()
    path.write_bytes(b"\x00" * 200)
    with pytest.raises(InputError, match=r"case cup: reference bank .*damaged"):
        shop.edit(cases)
    ReferenceBank(bank.layers, bank.positions, {"depth": 30}).save(path)
    with pytest.raises(InputError, match=r"case cup: .*model of 30 layers"):
        shop.edit(cases)


def test_stand_alone_edit(shop: Workshop) -> None:
    shop.baselines("flowedit", "sdedit")
    case = shop.case("cup", 0)
    params = shop.folder / "params.yaml"
    with params.open("w") as file:
        YAML().dump(shop.params, file)
    arguments = argparse.Namespace(
        params=params, output=shop.folder / "one", video=Path(case.video),
        target_image=Path(case.video).with_name("product.png"), ref_strength=0.8,
        source_prompt="a red mug on wood", target_prompt="a mug on wood", start=0.0, end=None,
        shots="auto", fps=None, region_mask=None,
    )  # fmt: skip
    edit_one(arguments)
    folder = shop.folder / "one" / "edit"
    assert (frames(folder / "reference.mkv") != frames(folder / "plain.mkv")).any()
    assert not (folder / "curve").exists() and not (folder / "baselines").exists()
    for option, value, message in (
        ("video", shop.folder / "absent.mp4", "--video .*no such file"),
        ("target_image", shop.folder / "absent.png", "--target-image .*no such file"),
        ("ref_strength", float("nan"), "ref_strength"),
        ("source_prompt", "", "source_prompt"),
        ("region_mask", shop.folder / "absent.png", "--region-mask .*no such file"),
        ("shots", [[2.0, 1.0]], "command line: shots"),
    ):
        bad = argparse.Namespace(**{**vars(arguments), option: value})
        with pytest.raises(InputError, match=message):
            edit_one(bad)


@pytest.mark.parametrize(
    ("cases", "message"),
    [
        ("{Cup: {video: a.mp4, source_prompt: a, target_prompt: b}}", "case id 'Cup'"),
        ("{cup: {video: a.mp4, source_prompt: '', target_prompt: b}}", "source_prompt = ''"),
        ("{cup: {video: absent.mp4, source_prompt: a, target_prompt: b}}", "absent.mp4"),
        ("{cup: {video: a.mp4, source_prompt: a, target_prompt: b, overrides: {ref_strength: "
         ".nan}}}", "cases.cup.overrides: ref_strength = nan"),
    ],
)  # fmt: skip
def test_stage_exits_with_one_line_and_code_two(
    shop: Workshop, root: Path, cases: str, message: str
) -> None:
    with (shop.folder / "params.yaml").open("w") as file:
        document = YAML(typ="safe").load((root / "params.yaml").read_text())
        YAML().dump({**document, **shop.params}, file)
    (shop.folder / "cases.yaml").write_text(f"cases: {cases}")
    done = run_module(
        "stages.flowalign_edit", "--params", "params.yaml", "--cases", "cases.yaml",
        "--banks", "banks", "--output", "out/edits", cwd=shop.folder,
    )  # fmt: skip
    assert done.returncode == 2, done.stderr
    assert message in done.stderr and "Traceback" not in done.stderr
    assert not (shop.folder / "out" / "edits").exists()
