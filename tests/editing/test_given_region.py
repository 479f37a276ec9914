"""A mask of the user's as FlowAlign's region."""

import numpy as np
import pytest
import torch

from refract.base.errors import InputError
from refract.editing.samplers.flowalign import sample_flowalign
from refract.editing.samplers.given_region import given_region, latent_mask
from refract.editing.samplers.latent_edit import FlowSettings, GivenRegion, edit_latents
from refract.editing.samplers.source_branch import compute_source_branch
from refract.editing.samplers.wan_velocity import WanVelocity
from refract.editing.samplers.windows import Windowed, WindowedVelocity
from tests.editing.fields import linear
from tests.tiny.latents import draw, tiny_contexts
from tests.tiny.wan import tiny_transformer


def test_a_latent_has_the_area_of_its_frames_largest_mask() -> None:
    masks = np.zeros((9, 8, 16), bool)
    masks[0, :4, :8] = True  # latent 0 shows frame 0 alone
    masks[3, :, 8:12] = True  # latent 1 shows frames 1 to 4, latent 2 the others
    masks[4, :2, :8] = True
    masks[5] = True
    found = latent_mask(iter(masks), 2, 2)
    assert found.tolist() == [[[1, 0], [0, 0]], [[0.5, 0.5], [0, 0.5]], [[1, 1], [1, 1]]]
    assert torch.equal(latent_mask(masks[:1].astype(float), 2, 2), found[:1])
    with pytest.raises(ValueError, match=r"8 masks: must be 4k \+ 1"):
        latent_mask(masks[:8], 2, 2)


def test_zeta_runs_from_outside_to_inside_with_the_mask() -> None:
    mask = torch.tensor([[[0.0, 0.25, 1.0]]])
    zeta = given_region(mask, 0.1, 0.5)(3, 0.7)
    torch.testing.assert_close(zeta, torch.tensor([[[[[0.5, 0.4, 0.1]]]]]))
    with pytest.raises(InputError, match=r"flowalign\.region\.zeta_outside, which is null"):
        given_region(mask, 0.1, None)


def test_each_place_is_edited_by_its_own_zeta() -> None:
    """Of a field that works on each value alone: as the edits with one zeta everywhere."""
    x_src, mask = draw(1, 2, 3, 4, 4, seed=1), torch.ones(3, 4, 4)
    mask[:, :2] = 0
    inside, outside, mixed = (
        sample_flowalign(
            linear, x_src, [0.9, 0.5, 0.0], guidance=3.0, zeta=zeta,
            generator=torch.Generator().manual_seed(0),
        )
        for zeta in (0.0, 0.4, given_region(mask, 0.0, 0.4))
    )  # fmt: skip
    torch.testing.assert_close(mixed, torch.where(mask > 0, inside, outside))
    assert (inside - outside).abs().max() > 0.1


def test_an_edit_in_windows_takes_the_mask_of_the_whole_clip() -> None:
    transformer, contexts = tiny_transformer(), tiny_contexts()
    windowed, x_src = Windowed(4, 1), draw(1, 4, 7, 4, 6, seed=9)

    def edit(zeta: float, region: GivenRegion | None) -> torch.Tensor:
        settings = FlowSettings((0.9, 0.4, 0.0), 4.0, zeta, 3, region=region, windowed=windowed)
        velocity = WindowedVelocity(WanVelocity(transformer, contexts), windowed)
        source = compute_source_branch(
            velocity.at_source, x_src, settings.sigmas, settings.seed, torch.float32
        )
        return edit_latents(transformer, contexts, source, settings)

    everywhere = GivenRegion(torch.ones(7, 4, 6), 0.5)
    assert torch.equal(edit(0.02, everywhere), edit(0.02, None))
    assert torch.equal(edit(0.02, GivenRegion(torch.zeros(7, 4, 6), 0.5)), edit(0.5, None))
    with pytest.raises(ValueError, match=r"a mask of \(5, 4, 6\)"):
        edit(0.02, GivenRegion(torch.ones(5, 4, 6), 0.5))
