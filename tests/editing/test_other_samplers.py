"""FlowEdit and SDEdit on velocity fields whose every value is known."""

import itertools
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from refract.editing.samplers.flowedit import sample_flowedit
from refract.editing.samplers.noise_levels import edit_sigmas, noised_sources
from refract.editing.samplers.sdedit import sample_sdedit
from refract.editing.samplers.velocity import guided_velocity
from tests.editing.fields import FIELDS, gaussian, linear

SHAPE = (2, 3, 2, 4)
SIGMAS = edit_sigmas(8, 0.9, 2.0)
W, W_SRC, W_REF = 6.5, 2.0, 1.5


def source(dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(SHAPE, generator=torch.Generator().manual_seed(7), dtype=dtype)


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(3)


def cfg(field: Any, x: Tensor, sigma: float, prompt: str, w: float) -> Tensor:
    return field(x, sigma, "negative") + w * (field(x, sigma, prompt) - field(x, sigma, "negative"))


def flowedit_written_out(field: Any, x_src: Tensor, sigmas: Sequence[float]) -> Tensor:
    """Algorithm 1 of the paper with n_avg = 1 and n_min = 0, in float64."""
    noise, z_fe = generator(), x_src.double()
    for t, t_next in itertools.pairwise(sigmas):
        eps = torch.randn(x_src.shape, generator=noise, dtype=x_src.dtype).double()
        z_src = (1 - t) * x_src + t * eps
        z_tar = z_fe + z_src - x_src
        v_delta = cfg(field, z_tar, t, "target", W) - cfg(field, z_src, t, "source", W_SRC)
        z_fe = z_fe + (t_next - t) * v_delta
    return z_fe


@pytest.mark.parametrize("field", FIELDS)
def test_flowedit_equals_the_paper_written_out(field: Any) -> None:
    x_src = source()
    edited = sample_flowedit(
        field,
        x_src,
        SIGMAS,
        guidance=W,
        generator=generator(),
        source_velocity=lambda _step, q, sigma: cfg(field, q, sigma, "source", W_SRC),
    )
    expected = flowedit_written_out(field, x_src, SIGMAS)
    torch.testing.assert_close(edited, expected, rtol=1e-6, atol=1e-6)


def test_flowedit_with_equal_prompts_and_guidance_leaves_the_source() -> None:
    def one_prompt(x: Tensor, sigma: float, prompt: str) -> Tensor:
        return torch.tanh(3 * x) * (2.0 if prompt == "negative" else 1.0)

    x_src = source(torch.float32)
    edited = sample_flowedit(
        one_prompt,
        x_src,
        SIGMAS,
        guidance=4.0,
        generator=generator(),
        source_velocity=lambda _step, q, sigma: guided_velocity(
            one_prompt, q, sigma, one_prompt(q, sigma, "negative"), 4.0
        ),
    )
    assert torch.equal(edited, x_src)


def test_flowedit_replays_a_stored_source_branch_to_the_bit() -> None:
    x_src = source()
    stored = [
        cfg(gaussian, q, sigma, "source", W_SRC)
        for q, sigma in zip(noised_sources(x_src, SIGMAS, generator()), SIGMAS[:-1], strict=True)
    ]
    edits = [
        sample_flowedit(
            gaussian, x_src, SIGMAS, guidance=W, generator=generator(), source_velocity=velocity
        )
        for velocity in (
            lambda step, _q, _sigma: stored[step],
            lambda _step, q, sigma: cfg(gaussian, q, sigma, "source", W_SRC),
        )
    ]
    assert torch.equal(*edits)


@pytest.mark.parametrize("field", FIELDS)
def test_sdedit_equals_euler_steps_from_the_noised_source(field: Any) -> None:
    x_src = source()
    eps = torch.randn(SHAPE, generator=generator(), dtype=x_src.dtype)
    x = (1 - SIGMAS[0]) * x_src + SIGMAS[0] * eps
    for sigma, sigma_next in itertools.pairwise(SIGMAS):
        x = x + (sigma_next - sigma) * cfg(field, x, sigma, "target", W)
    edited = sample_sdedit(field, x_src, SIGMAS, guidance=W, generator=generator())
    torch.testing.assert_close(edited, x, rtol=1e-6, atol=1e-6)


def test_sdedit_reaches_the_target_distribution_from_full_noise() -> None:
    """With one prompt at guidance 1 the flow ends in the field's own normal distribution."""
    x_src = torch.zeros(20_000, dtype=torch.float64)
    edited = sample_sdedit(
        gaussian, x_src, edit_sigmas(200, 1.0, 1.0), guidance=1.0, generator=generator()
    )
    assert abs(edited.mean() + 2.0) < 0.03 and abs(edited.std() - 0.8) < 0.03


@pytest.mark.parametrize("sampler", [sample_flowedit, sample_sdedit])
def test_reference_guidance_adds_its_own_term(sampler: Any) -> None:
    """As if the target velocity were v + (w_ref / w) (v_ref - v)."""
    own: dict[str, Any] = {}
    if sampler is sample_flowedit:
        own["source_velocity"] = lambda _step, q, sigma: linear(q, sigma, "source")

    def combined(x: Tensor, sigma: float, prompt: str) -> Tensor:
        v = linear(x, sigma, prompt)
        if prompt != "target":
            return v
        return v + W_REF / W * (linear(x, sigma, "reference") - v)

    common = {"guidance": W, **own}
    apart = sampler(linear, source(), SIGMAS, ref_guidance=W_REF, generator=generator(), **common)
    together = sampler(combined, source(), SIGMAS, generator=generator(), **common)
    torch.testing.assert_close(apart, together, rtol=1e-9, atol=1e-9)
    plain = sampler(linear, source(), SIGMAS, generator=generator(), **common)
    assert (apart - plain).abs().max() > 0.1


@pytest.mark.parametrize("sampler", [sample_flowedit, sample_sdedit])
def test_bad_settings_are_named(sampler: Any) -> None:
    own = {"source_velocity": None} if sampler is sample_flowedit else {}
    with pytest.raises(ValueError, match="finite guidance, got nan"):
        sampler(linear, source(), SIGMAS, guidance=float("nan"), generator=generator(), **own)
    with pytest.raises(ValueError, match="strictly descending"):
        sampler(linear, source(), [0.5, 0.7, 0], guidance=1.0, generator=generator(), **own)


@pytest.mark.parametrize("sampler", [sample_flowedit, sample_sdedit])
def test_reports_each_step(sampler: Any) -> None:
    own: dict[str, Any] = {}
    if sampler is sample_flowedit:
        own["source_velocity"] = lambda _step, q, sigma: linear(q, sigma, "source")
    steps: list[tuple[int, float]] = []
    sampler(
        linear, source(), SIGMAS, guidance=1.0, generator=generator(),
        on_step=lambda step, sigma: steps.append((step, sigma)), **own,
    )  # fmt: skip
    assert steps == list(enumerate(SIGMAS[:-1]))
