"""Masks of a refinement: each parameter moves what it says, and nothing tight decides.

The density is a helix of blobs at a known radius, with noise that is independent in
the halves.
"""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from helixnb.core.density_mask import density_distance, soft_mask
from helixnb.errors import InputError
from helixnb.iteration.masking import Masking
from helixnb.parameters import Parameters
from tests.oracles import blobs, helix

BOX, PIXEL_A = 48, 3.0
TWIST, RISE_PX, RADIUS_PX = 50.0, 4.0, 8.0
UNIT = np.array([[RADIUS_PX, 0.0, 0.0]])
OUTER_RADIUS_A = 45.0
AXIS = np.arange(BOX) - BOX // 2


def _parameters(**values: Any) -> Parameters:
    start = {"twist_deg": TWIST, "rise_A": RISE_PX * PIXEL_A, "mask": "dynamic"}
    return Parameters(**(start | values))


def _masking(**values: Any) -> Masking:
    return Masking(BOX, PIXEL_A, _parameters(**values), OUTER_RADIUS_A)


@pytest.fixture(scope="module")
def halves() -> NDArray[np.float32]:
    rng = np.random.default_rng(4)
    signal = blobs(helix(UNIT, TWIST, RISE_PX, 40.0), BOX, sigma_px=1.6)
    noise = 0.05 * rng.standard_normal((2, BOX, BOX, BOX), np.float32)
    return (signal + noise).astype(np.float32)


def _dynamic(halves: NDArray[np.float32], **values: Any) -> NDArray[np.float32]:
    found = _masking(**values).of_density(halves, 8.0, None)
    assert found is not None
    return found


# --- drawing a mask ---------------------------------------------------------------


@pytest.mark.parametrize("pixel_A", [1.3, 4.5])
def test_distance_is_that_to_the_nearest_dense_voxel(pixel_A: float) -> None:
    """A slab: distances along x are known, also where the grid was thinned."""
    box = 40
    density = np.zeros((box,) * 3, np.float32)
    density[:, :, 12:21] = 1.0
    inside = np.ones(density.shape, bool)
    found = density_distance(density, inside, 0.5, pixel_A)
    x = np.arange(box)
    expected = np.maximum(np.maximum(12 - x, x - 20), 0) * pixel_A
    assert found.shape == density.shape
    # Thinned grids end inside the slab, by less than the 5 A that they may have.
    np.testing.assert_allclose(found[5, 7, :38], expected[:38], atol=5.0)
    mask = soft_mask(found, 5.0, 15.0)
    assert (mask[found <= 5] == 1).all()
    assert (mask[found >= 15] == 0).all()
    soft = (found > 5.5) & (found < 14.5)
    assert ((mask[soft] > 0) & (mask[soft] < 1)).all()


def test_threshold_is_not_moved_by_one_bright_voxel(
    halves: NDArray[np.float32],
) -> None:
    density = halves.mean(0)
    inside = _masking().cylinder(1.0) > 0.5
    hot = density.copy()
    hot[24, 24, 24] = 50 * density.max()
    plain = density_distance(density, inside, 0.4, PIXEL_A)
    moved = density_distance(hot, inside, 0.4, PIXEL_A) != plain
    near = np.zeros_like(moved)
    near[18:31, 18:31, 18:31] = True
    assert not (moved & ~near).any()


def test_specks_are_left_out_and_equal_parts_are_kept() -> None:
    parts = blobs(np.array([[-9.0, 0, 0], [9.0, 0, 0]]), BOX, sigma_px=3.0)
    speck = parts.copy()
    speck[40, 40, 40] = 1.0
    inside = np.ones(parts.shape, bool)
    solid = density_distance(speck, inside, 0.3, 4.5) == 0
    assert solid[24, 24, 15]
    assert solid[24, 24, 33]
    assert not solid[40, 40, 40]


def test_enclosed_holes_are_filled_and_an_open_channel_is_not() -> None:
    radius = np.hypot(AXIS[:, None], AXIS)
    tube = np.broadcast_to((radius > 5) & (radius < 12), (BOX,) * 3)
    shell = tube & (np.abs(AXIS) < 15)[:, None, None]
    caps = (radius < 12) & (np.abs(np.abs(AXIS) - 15) < 2)[:, None, None]
    everywhere = np.ones((BOX,) * 3, bool)

    def hole(solid: NDArray[np.bool_]) -> float:
        distance = density_distance(solid.astype("f4"), everywhere, 0.5, 4.5)
        return float(distance[24, 24, 24])

    assert hole(np.asarray(tube)) > 0
    assert hole(shell | caps) == 0


def test_no_density_at_all_leaves_nothing() -> None:
    empty = np.zeros((BOX,) * 3, np.float32)
    distance = density_distance(empty, np.ones(empty.shape, bool), 0.3, PIXEL_A)
    assert not soft_mask(distance, 6.0, 14.0).any()


# --- dynamic masks ----------------------------------------------------------------


def test_dynamic_mask_keeps_the_density_and_drops_the_axis(
    halves: NDArray[np.float32],
) -> None:
    mask = _dynamic(halves, mask_near_A=3, mask_far_A=9)
    points = helix(UNIT, TWIST, RISE_PX, 22.0)
    places = np.rint(points + BOX // 2).astype(int)
    inside = (places[:, 2] >= 0) & (places[:, 2] < BOX)
    x, y, z = places[inside].T
    assert (mask[z, y, x] > 0.99).all()
    assert mask[BOX // 2 - 10 : BOX // 2 + 10, BOX // 2, BOX // 2].max() < 0.5
    assert not mask[:, :3].any()


def test_damaged_box_ends_do_not_shorten_the_mask(
    halves: NDArray[np.float32],
) -> None:
    fading = halves * np.clip(1.4 - np.abs(AXIS) / 17, 0, 1)[:, None, None]
    whole, repaired = _dynamic(halves), _dynamic(fading.astype(np.float32))
    ends = np.abs(AXIS) > 18
    assert repaired[ends].sum() > 0.9 * whole[ends].sum()


def test_each_parameter_of_the_dynamic_mask_moves_it(
    halves: NDArray[np.float32],
) -> None:
    usual = _dynamic(halves).sum()
    assert _dynamic(halves, mask_threshold=0.7).sum() < 0.97 * usual
    assert _dynamic(halves, mask_near_A=10.0).sum() > 1.1 * usual
    assert _dynamic(halves, mask_far_A=8.0).sum() < 0.9 * usual
    # A smoother copy makes for a wider mask.
    wide = {"mask_threshold": 0.2}
    assert (
        _dynamic(halves, **wide, mask_start_A=20.0).sum()
        > 1.02 * _dynamic(halves, **wide, mask_start_A=9.0).sum()
    )


def test_dynamic_mask_waits_for_its_resolution(halves: NDArray[np.float32]) -> None:
    def mask(resolution_A: float) -> NDArray[np.float32] | None:
        return _masking(mask_start_A=12.0).of_density(halves, resolution_A, None)

    assert mask(12.1) is None
    assert mask(11.9) is not None


def test_near_must_be_nearer_than_far() -> None:
    with pytest.raises(InputError, match=r"mask_near_A \(14 A\) must be smaller"):
        _parameters(mask_near_A=14.0)


# --- what references are masked with -----------------------------------------------


@pytest.mark.parametrize("kind", ["cylinder", "dynamic", "static"])
def test_refinement_mask_is_chosen_by_its_parameter(
    kind: str, halves: NDArray[np.float32]
) -> None:
    static = np.full((BOX,) * 3, 0.25, np.float32)
    found = _masking(mask=kind).of_references(halves, 8.0, static)
    plain = _masking(mask="cylinder").of_references(halves, 8.0, None)
    factor = {"cylinder": 1.0, "dynamic": _dynamic(halves), "static": 0.25}[kind]
    np.testing.assert_allclose(found, plain * factor, atol=1e-6)


def test_z_fraction_clips_the_refinement_mask(halves: NDArray[np.float32]) -> None:
    for fraction in (0.5, 0.9):
        chosen = _masking(mask="cylinder", mask_z_fraction=fraction)
        mask = chosen.of_references(halves, 8.0, None)
        assert mask[:, BOX // 2, BOX // 2].sum() == pytest.approx(fraction * BOX, abs=1)


# --- masks of the FSC ---------------------------------------------------------------


def test_fsc_masks_stay_in_the_central_part(halves: NDArray[np.float32]) -> None:
    for fraction in (0.4, 0.7):
        masks = _masking(fsc_z_fraction=fraction).of_fsc(halves)
        outside = np.abs(AXIS) > fraction * BOX / 2 + 0.05 * BOX + 1
        for mask in (masks.cylinder, masks.loose, masks.tight):
            assert not mask[outside].any()
            assert mask[BOX // 2].max() == 1


def test_tight_lies_in_loose_and_the_cylinder_ignores_the_density(
    halves: NDArray[np.float32],
) -> None:
    masks = _masking().of_fsc(halves)
    assert (masks.tight <= masks.loose + 1e-6).all()
    assert masks.tight.sum() < 0.8 * masks.loose.sum()
    other = _masking().of_fsc(halves[:, ::-1] ** 2)
    np.testing.assert_array_equal(masks.cylinder, other.cylinder)
    assert not np.array_equal(masks.tight, other.tight)
