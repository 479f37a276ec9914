"""FlowAlign on velocity fields whose every value is known."""

import itertools
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from refract.editing.samplers.flowalign import sample_flowalign
from refract.editing.samplers.noise_levels import edit_sigmas, noised_sources
from tests.editing.fields import FIELDS, gaussian, linear

Field = Callable[[Tensor, float, str], Tensor]
SHAPE = (1, 3, 2, 4)
SIGMAS = edit_sigmas(8, 0.9, 2.0)


def transcription(
    field: Field, x_src: Tensor, sigmas: list[float], w: float, zeta: float, seed: int
) -> Tensor:
    """Algorithm 1 of the paper, symbol by symbol and in float64."""
    generator = torch.Generator().manual_seed(seed)
    x_s, x = x_src.double(), x_src.double()
    for sigma, sigma_next in itertools.pairwise(sigmas):
        eps = torch.randn(x_src.shape, generator=generator, dtype=x_src.dtype).double()
        q = (1 - sigma) * x_s + sigma * eps
        p = x + q - x_s
        v_q = field(q, sigma, "source")
        v_p_src, v_p_tgt = field(p, sigma, "source"), field(p, sigma, "target")
        v_p = v_p_src + w * (v_p_tgt - v_p_src)
        x = x + (sigma_next - sigma) * (v_p - v_q) + zeta * ((q - sigma * v_q) - (p - sigma * v_p))
    return x


def source(dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(SHAPE, generator=torch.Generator().manual_seed(7), dtype=dtype)


def sample(field: Field, x_src: Tensor, sigmas: object = SIGMAS, **options: object) -> Tensor:
    settings: dict = {"guidance": 5.0, "zeta": 0.01, "generator": torch.Generator().manual_seed(3)}
    return sample_flowalign(field, x_src, sigmas, **{**settings, **options})  # type: ignore[arg-type]


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize(("w", "zeta"), [(1.0, 0.0), (5.0, 0.01), (13.5, 0.2)])
def test_equals_the_paper_written_out(field: Field, w: float, zeta: float) -> None:
    expected = transcription(field, source(), list(SIGMAS), w, zeta, seed=3)
    edited = sample(field, source(), guidance=w, zeta=zeta)
    torch.testing.assert_close(edited, expected, rtol=1e-6, atol=1e-6)
    assert (edited - source()).abs().max() > 0.1


def test_float32_stays_close_to_float64() -> None:
    expected = transcription(gaussian, source(torch.float32), list(SIGMAS), 5.0, 0.01, seed=3)
    edited = sample(gaussian, source(torch.float32))
    assert edited.dtype == torch.float32
    torch.testing.assert_close(edited.double(), expected, rtol=1e-4, atol=1e-4)


def test_sigmas_may_be_a_tensor() -> None:
    sigmas = torch.tensor(SIGMAS, dtype=torch.float64)
    assert torch.equal(sample(linear, source(), sigmas), sample(linear, source()))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_equal_prompts_leave_every_bit_of_the_source(dtype: torch.dtype) -> None:
    def one_prompt(x: Tensor, sigma: float, prompt: str) -> Tensor:
        return torch.tanh(3 * x) / (0.1 + sigma)

    x_src = source(dtype)
    assert torch.equal(sample(one_prompt, x_src, guidance=13.5, zeta=0.3), x_src)


def test_first_order_convergence_as_steps_double() -> None:
    """dx/dsigma = a (x - x_src) + w sigma c has a closed form; noise cancels out of it."""
    a, c, w = 0.8, -1.5, 2.0

    def field(x: Tensor, sigma: float, prompt: str) -> Tensor:
        return a * x + (c * sigma if prompt == "target" else 0.0)

    # y = x - x_src solves dy/dsigma = a y + w c sigma with y(1) = 0, read at sigma = 0
    exact = w * c * (1 / a + 1 / a**2) * torch.exp(torch.tensor(-a)).item() - w * c / a**2
    errors = []
    for steps in (16, 32, 64, 128):
        edited = sample(field, source(), edit_sigmas(steps, 1.0, 1.0), guidance=w, zeta=0.0)
        errors.append((edited - source() - exact).abs().max().item())
    ratios = [coarse / fine for coarse, fine in itertools.pairwise(errors)]
    assert errors[-1] < 0.02 and all(1.8 < ratio < 2.2 for ratio in ratios), (errors, ratios)


def test_draws_one_noise_a_step_in_order() -> None:
    seen = []

    def record(step: int, q: Tensor, sigma: float) -> Tensor:
        seen.append(((q - (1 - sigma) * source()) / sigma, sigma))
        return linear(q, sigma, "source")

    generator = torch.Generator().manual_seed(5)
    sample(linear, source(), generator=generator, source_velocity=record)
    twin = torch.Generator().manual_seed(5)
    for eps, _ in seen:
        torch.testing.assert_close(eps, torch.randn(SHAPE, generator=twin, dtype=torch.float64))
    assert len(seen) == len(SIGMAS) - 1
    assert torch.equal(generator.get_state(), twin.get_state())


def test_stored_source_branch_replays_to_the_bit_with_two_calls_a_step() -> None:
    calls: list[str] = []

    def counted(x: Tensor, sigma: float, prompt: str) -> Tensor:
        calls.append(prompt)
        return gaussian(x, sigma, prompt)

    direct = sample(counted, source())
    steps = len(SIGMAS) - 1
    assert len(calls) == 3 * steps - 1  # v(p, source) is v_q at the first step
    noised = noised_sources(source(), SIGMAS, torch.Generator().manual_seed(3))
    stored = [gaussian(q, s, "source") for q, s in zip(noised, SIGMAS[:-1], strict=True)]
    calls.clear()
    replayed = sample(counted, source(), source_velocity=lambda step, q, sigma: stored[step])
    assert torch.equal(replayed, direct)
    assert len(calls) == 2 * steps - 1


def test_first_source_velocity_is_not_shared_where_told() -> None:
    calls = []

    def counted(x: Tensor, sigma: float, prompt: str) -> Tensor:
        calls.append(prompt)
        return linear(x, sigma, prompt)

    apart = sample(counted, source(), share_first_source=False)
    assert len(calls) == 3 * (len(SIGMAS) - 1)
    assert torch.equal(apart, sample(linear, source()))


def test_reference_guidance_adds_its_own_term() -> None:
    """As if the target velocity were v + (w_ref / w) (v_ref - v)."""
    w, w_ref = 5.0, 2.0

    def combined(x: Tensor, sigma: float, prompt: str) -> Tensor:
        v = gaussian(x, sigma, prompt)
        if prompt != "target":
            return v
        return v + w_ref / w * (gaussian(x, sigma, "reference") - v)

    apart = sample(gaussian, source(), guidance=w, ref_guidance=w_ref)
    torch.testing.assert_close(apart, sample(combined, source(), guidance=w))
    assert (apart - sample(gaussian, source(), guidance=w)).abs().max() > 0.1


def test_zeta_may_be_a_map_that_is_asked_for_after_the_velocities() -> None:
    order: list[object] = []
    weights = torch.linspace(0, 0.3, SHAPE[-1], dtype=torch.float64)

    def told(x: Tensor, sigma: float, prompt: str) -> Tensor:
        order.append(prompt)
        return gaussian(x, sigma, prompt)

    def zeta(step: int, sigma: float) -> Tensor:
        assert sigma == SIGMAS[step]
        order.append(step)
        return weights

    edited = sample(told, source(), zeta=zeta)
    assert order[:5] == ["source", "target", 0, "source", "source"]
    for column, weight in enumerate(weights.tolist()):
        expected = sample(gaussian, source(), zeta=weight)[..., column]
        torch.testing.assert_close(edited[..., column], expected)


def test_reports_each_step() -> None:
    steps = []
    sample(linear, source(), on_step=lambda step, sigma: steps.append((step, sigma)))
    assert steps == list(enumerate(SIGMAS[:-1]))


@pytest.mark.parametrize(
    "sigmas",
    [[], [0.0], [1, 0.5], [0.5, 0.5, 0], [0.2, 0.8, 0], [1.5, 0], [0.5, -0.1], [float("nan"), 0]],
)
def test_bad_sigmas_are_named(sigmas: list[float]) -> None:
    with pytest.raises(ValueError, match="strictly descending"):
        sample(linear, source(), sigmas)


@pytest.mark.parametrize(("key", "value"), [("guidance", float("nan")), ("zeta", -0.1)])
def test_bad_weights_are_refused(key: str, value: float) -> None:
    with pytest.raises(ValueError, match="finite guidance and zeta"):
        sample(linear, source(), **{key: value})
