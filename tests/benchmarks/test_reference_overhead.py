"""What the benchmarks of reference attention and of a sweep compute and compare, at tiny shapes."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.concat_attention import MASKS, ConcatProcessor, Mask, rotate_like_diffusers
from benchmarks.memory import live_peak_bytes
from benchmarks.reference_overhead import (
    BARE,
    KERNEL,
    OURS,
    STOCK,
    beyond_share,
    calls_of,
    concat_name,
    furthest_apart,
)
from benchmarks.sweep import (
    FIRST,
    POINT,
    Sweep,
    count_passes,
    latents_without_store,
    table,
)
from benchmarks.timing import Timings
from benchmarks.wan_step import Shape, Step, reference_flops, step_flops
from refract.editing.cases.request import EditRequest
from refract.models.wan_rope import rotate
from refract.params.edit_stage import EditParams
from tests.tiny.edit import Workshop, tiny_model

# Several heads, and a head that splits into frame, row and column parts
SHAPE = Shape(frames=2, rows=3, columns=4, heads=2, head_dim=12, ffn=32, words=8, text_dim=16)


@pytest.fixture
def step() -> Step:
    return Step(SHAPE, batch=2, reference=5, dtype=torch.float32, device="cpu")


def test_flops_are_those_that_torch_counts(step: Step) -> None:
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        step.run("step")
    counted = counter.get_flop_counts()["WanTransformer3DModel.blocks.0"]
    assert step_flops(SHAPE, batch=2) == sum(counted.values())


def test_flops_of_the_reference_are_those_of_its_kernel(step: Step) -> None:
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        step.kernel()()
    assert reference_flops(SHAPE, batch=2, reference=5) == counter.get_total_flops()


def test_the_share_at_the_shapes_of_wan() -> None:
    share = reference_flops(Shape(), 1, 500) / step_flops(Shape(), 1)
    assert share == pytest.approx(0.027, abs=0.001)
    assert reference_flops(Shape(), 2, 500) / step_flops(Shape(), 2) == share


@pytest.mark.parametrize("mask", MASKS)
def test_ours_and_the_concatenated_form_are_one_function(step: Step, mask: Mask) -> None:
    assert furthest_apart(step, mask) < 1e-5


def test_only_strength_one_needs_no_mask() -> None:
    x = torch.zeros(1, 2, 12)
    with pytest.raises(ValueError, match=r"strength 0\.5 needs a mask"):
        ConcatProcessor(x, x, (x, x), strength=0.5, mask="none")


def test_both_rotations_are_one_function() -> None:
    x, angle = torch.randn(2, 5, 3, 8), torch.rand(1, 5, 1, 4)
    cos, sin = angle.cos(), angle.sin()
    expected = rotate_like_diffusers(x, cos, sin)
    torch.testing.assert_close(rotate(x, cos, sin), expected)
    by_heads = rotate(*(y.transpose(1, 2) for y in (x, cos, sin)))
    assert by_heads.is_contiguous()
    torch.testing.assert_close(by_heads, expected.transpose(1, 2))


@pytest.mark.parametrize("what", ["step", "layer"])
def test_calls_do_not_meet(step: Step, what: str) -> None:
    stock = step.run(what)
    calls = calls_of(step, what)
    bare = [BARE] if what == "layer" else []
    assert list(calls) == [STOCK, OURS, *map(concat_name, MASKS), KERNEL, *bare]
    outputs = {name: call() for name, call in reversed(calls.items())}
    assert torch.equal(outputs[STOCK], stock)
    row, full = outputs[concat_name("row")], outputs[concat_name("full")]
    torch.testing.assert_close(outputs[OURS], row, rtol=0, atol=1e-5)
    torch.testing.assert_close(row, full, rtol=0, atol=1e-5)
    assert (outputs[OURS] - stock).abs().max() > 1e-3


def test_a_layer_is_its_bare_products_and_what_is_small_beside_them(step: Step) -> None:
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as bare:
        step.bare()()
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as whole:
        calls_of(step, "layer")[concat_name("none")]()
    assert bare.get_total_flops() == whole.get_total_flops()


def test_a_reference_larger_than_a_frame_is_refused() -> None:
    with pytest.raises(ValueError, match="13 reference tokens: a frame has 12"):
        Step(SHAPE, batch=1, reference=13, dtype=torch.float32, device="cpu")


def test_live_memory_is_the_peak_and_not_the_sum() -> None:
    def one() -> Tensor:
        return torch.ones(1 << 10)  # 4 KiB

    calls = (one, lambda: (one(), one()), lambda: [one() is None for _ in range(3)])
    assert [live_peak_bytes(call) for call in calls] == [4096, 8192, 4096]


def test_the_layer_needs_less_memory_than_the_concatenated_forms(step: Step) -> None:
    calls = calls_of(step, "layer")
    for call in calls.values():
        call()  # the first places the bank
    peaks = {name: live_peak_bytes(call) for name, call in calls.items()}
    assert all(peaks[OURS] < peaks[concat_name(mask)] for mask in MASKS)


def test_beyond_the_share_is_taken_round_by_round() -> None:
    timings = Timings({OURS: [11.0, 24.0, 3.3], KERNEL: [1.0, 2.0, 0.2], STOCK: [10.0, 20.0, 3.0]})
    assert beyond_share(timings) == pytest.approx(3.1 / 3)


def test_passes_are_counted_and_the_hook_is_gone() -> None:
    module = nn.Identity()

    def call() -> Tensor:
        return module(module(torch.zeros(1)))

    assert count_passes(module, call) == count_passes(module, call) == 2
    assert not module._forward_hooks


@pytest.fixture
def sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Sweep:
    monkeypatch.setenv("REFRACT_STATE", str(tmp_path / "state"))
    workshop = Workshop(tmp_path, tiny_model(tmp_path))
    case = workshop.case("mug", seed=0)
    case = case.model_copy(update={"target_image": str(Path(case.video).parent / "product.png")})
    workshop.extract({"mug": case})
    fields = {name: workshop.params[name] for name in EditParams.model_fields}
    request = EditRequest(
        "mug", case, EditParams.model_validate(fields), workshop.banks / "mug.safetensors"
    )
    (tmp_path / "sweep").mkdir()
    return Sweep(request, tmp_path / "sweep")


@torch.inference_mode()
def test_a_new_point_runs_two_passes_a_step_and_gives_the_same_bits(sweep: Sweep) -> None:
    slot = sweep.first_edit()
    # 3 steps of 3 passes, but at the first the source branch serves the edited one too
    assert count_passes(sweep.transformer, sweep.first_edit) == 3 * 3 - 1
    assert count_passes(sweep.transformer, lambda: sweep.new_point(slot)) == 3 * 2 - 1
    stored = sweep.open(slot).latents(0.7)
    assert torch.equal(stored, latents_without_store(sweep.open(slot), 0.7))


def test_the_table_of_a_sweep_divides_by_the_first_edit() -> None:
    text = table(Timings({FIRST: [2.0, 4.0], POINT: [1.0, 2.0]}), {FIRST: 8, POINT: 5})
    assert text.splitlines()[-1] == "| new point | 5 | 0.625 | 1.5 | 0.5 | 0.50 to 0.50 |"
