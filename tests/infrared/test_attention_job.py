import logging
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from refract.base.errors import InputError
from refract.infrared.adapter.semantic_attention import KeyValue
from refract.infrared.adapter.semantic_conditioning import SemanticConditioning
from refract.infrared.inference.attention_job import states_at
from tests.infrared.test_adapter_files import config
from tests.infrared.test_generator import STEPS, TEXTS, generator, scene, write_adapter
from tests.infrared.test_inference_job import infer, trained_on
from tests.tiny.fill import write_triptychs

REGIONS = [[0, 0, 0.5, 1], [0.5, 0.5, 1, 1]]
MAPS = {"regions": REGIONS, "steps": [0, 1], "scenes": 2}


@pytest.fixture(scope="module")
def adapter(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_adapter(model, tmp_path_factory.mktemp("adapter"), trained_on(model))


@pytest.fixture
def triptychs(tmp_path: Path) -> Path:
    return write_triptychs(tmp_path / "triptychs", {"test": 3})


def overlays(output: Path) -> dict[str, np.ndarray]:
    folder = output / "attention_maps"
    return {
        path.relative_to(folder).as_posix(): np.asarray(Image.open(path))
        for path in sorted(folder.rglob("*.png"))
    }


def test_one_overlay_a_layer_head_step_and_region_of_the_first_scenes(
    model: Path, adapter: Path, triptychs: Path, tmp_path: Path
) -> None:
    plain = infer(model, adapter, triptychs, tmp_path / "plain")
    assert not (tmp_path / "plain" / "attention_maps").exists()
    made = infer(model, adapter, triptychs, tmp_path / "out", attention_maps=MAPS)
    assert all(np.array_equal(made[name], plain[name]) for name in plain)
    drawn = overlays(tmp_path / "out")
    assert set(drawn) == {
        f"{name}/layer{layer}_head{head}_step{step}_region{region}.png"
        for name in ("test0", "test1")
        for layer in range(2)
        for head in range(8)
        for step in (0, 1)
        for region in (0, 1)
    }
    assert all(picture.shape == (32, 32, 3) for picture in drawn.values())
    differing = [
        drawn["test0/layer0_head0_step0_region0.png"],
        drawn["test0/layer0_head0_step0_region1.png"],
        drawn["test0/layer0_head7_step0_region0.png"],
        drawn["test1/layer0_head0_step0_region0.png"],
    ]
    assert len({picture.tobytes() for picture in differing}) == len(differing)


def test_at_x_cond_every_step_looks_alike_at_x_t_it_does_not(
    model: Path, triptychs: Path, tmp_path: Path
) -> None:
    for site in ("x_cond", "x_t"):
        folder = tmp_path / site
        folder.mkdir()
        write_adapter(model, folder, trained_on(model, site=site))
        infer(model, folder, triptychs, tmp_path / "out" / site, attention_maps=MAPS)
        drawn = overlays(tmp_path / "out" / site)
        first = {name: x for name, x in drawn.items() if "step0" in name}
        alike = [
            np.array_equal(x, drawn[name.replace("step0", "step1")]) for name, x in first.items()
        ]
        assert all(alike) is (site == "x_cond")


def test_finished_overlays_come_from_the_store(
    model: Path, adapter: Path, triptychs: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    infer(model, adapter, triptychs, tmp_path / "a", attention_maps=MAPS)
    with caplog.at_level(logging.INFO):
        infer(model, adapter, triptychs, tmp_path / "b", attention_maps=MAPS)
        assert "9 pictures, 0 computed" in caplog.text
        assert "attention maps: 2 scenes, 0 computed" in caplog.text
        caplog.clear()
        infer(model, adapter, triptychs, tmp_path / "c", attention_maps=MAPS | {"scenes": 3})
        assert "attention maps: 3 scenes, 1 computed" in caplog.text
        caplog.clear()
        changed = MAPS | {"regions": REGIONS[:1]}
        infer(model, adapter, triptychs, tmp_path / "d", attention_maps=changed)
        assert "9 pictures, 0 computed" in caplog.text, "the pictures do not depend on the maps"
        assert "attention maps: 2 scenes, 2 computed" in caplog.text
    first, second = overlays(tmp_path / "a"), overlays(tmp_path / "b")
    assert all(np.array_equal(first[name], second[name]) for name in first)


def test_overlays_of_a_data_set_without_maps(model: Path, adapter: Path, tmp_path: Path) -> None:
    """Its three variants are one item of the store; the scene's own still counts."""
    triptychs = write_triptychs(tmp_path / "triptychs", {"test": 2})
    for path in (triptychs / "test").iterdir():
        pixels = np.array(Image.open(path))
        pixels[:, 64:] = 0
        Image.fromarray(pixels).save(path)
    infer(model, adapter, triptychs, tmp_path / "out", attention_maps=MAPS)
    assert {name.split("/")[0] for name in overlays(tmp_path / "out")} == {"test0", "test1"}


@pytest.mark.parametrize("mode", ["panel", "none", "pixel_fusion"])
def test_an_adapter_without_attention_is_refused(
    model: Path, triptychs: Path, tmp_path: Path, mode: str
) -> None:
    folder = tmp_path / mode
    folder.mkdir()
    alpha = 0.5 if mode == "pixel_fusion" else None
    write_adapter(model, folder, trained_on(model, mode=mode, fusion_alpha=alpha))
    with pytest.raises(InputError, match=rf"ir_adapter\.semantic\.mode = {mode}"):
        infer(model, folder, triptychs, tmp_path / "out", attention_maps=MAPS)
    assert not (tmp_path / "out").exists()


def test_states_are_those_of_the_run(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """x_t before each step, as the adapter of a whole run gets it; later steps are not run."""
    made = generator(model, write_adapter(model, tmp_path, config(gate="one", site="x_t")))
    apply = SemanticConditioning.__call__
    seen: list[Tensor] = []

    def spied(
        self: SemanticConditioning,
        x_t: Tensor,
        x_cond: Tensor,
        semantic: Tensor,
        projected: list[KeyValue] | None = None,
    ) -> tuple[Tensor, Tensor]:
        seen.append(x_t)
        return apply(self, x_t, x_cond, semantic, projected)

    monkeypatch.setattr(SemanticConditioning, "__call__", spied)
    scenes = [scene(index) for index in range(4)]
    made._pictures(scenes, TEXTS)
    run, seen = seen, []
    tokens = made.encode(scenes, TEXTS)
    states = states_at(made, scenes, tokens, [STEPS - 1, 0])
    assert len(seen) == STEPS - 1
    assert list(states) == [0, STEPS - 1]
    assert all(torch.equal(states[step], run[step]) for step in states)
