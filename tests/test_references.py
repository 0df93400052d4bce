"""References re-grown from their centre, against copies averaged in real space."""

import numpy as np
import pytest
from numpy.typing import NDArray

from helixnb.core.cylinder import CylinderGrid
from helixnb.core.maximization import Accumulator, symmetrised
from helixnb.core.references import (
    CENTRAL_FRACTION,
    _central_window,
    end_window,
    reference_harmonics,
    regrow,
)
from helixnb.symmetry import HelicalSymmetry
from tests.oracles import blobs, helix, relative_error, rms_error, turned

BOX, PIXEL_A = 48, 2.0
RISE_PX, TWIST = 5.3, 47.0
SYMMETRY = HelicalSymmetry(TWIST, RISE_PX * PIXEL_A)
GRID = CylinderGrid(BOX, 16, 30, 1, 2)
ORDERS = GRID.orders[GRID.m_max :]
HEIGHT = np.arange(BOX) - BOX // 2


def _unit(rng: np.random.Generator) -> NDArray[np.float64]:
    return np.column_stack([rng.uniform(2, 7, (5, 2)), rng.uniform(-3, 3, 5)])


def _regrown(
    volume: NDArray[np.float32], symmetry: HelicalSymmetry = SYMMETRY
) -> NDArray[np.complex64]:
    return regrow(GRID.planes_from_volume(volume), symmetry, ORDERS, PIXEL_A)


def _window(height: NDArray[np.float64], fraction: float) -> NDArray[np.float64]:
    """Cosine edges, a fifth of the box wide, about the central fraction."""
    outside = (np.abs(height) / BOX - fraction / 2 + 0.1) / 0.2
    return 0.5 * (1 + np.cos(np.pi * np.clip(outside, 0, 1)))


@pytest.mark.parametrize("reach", [None, 2])
def test_regrowing_averages_symmetry_mates_under_the_window(
    reach: int | None, rng: np.random.Generator
) -> None:
    """Any map at all: sum over k of copies of (window x map), over their windows."""
    points = rng.uniform(-8, 8, (40, 3)) * [1, 1, 2.5]
    expected = np.zeros((BOX, BOX, BOX))
    coverage = np.zeros(BOX)
    fraction = max(CENTRAL_FRACTION, 0 if reach is None else 1 - 4 * RISE_PX / BOX)
    last = 40 if reach is None else reach
    for k in range(-last, last + 1):
        window = _window(HEIGHT - k * RISE_PX, fraction)
        copy = blobs(turned(points, k * TWIST, k * RISE_PX), BOX)
        expected += window[:, None, None] * copy
        coverage += window
    assert coverage.min() > 0.1
    planes = GRID.planes_from_volume(
        (expected / coverage[:, None, None]).astype(np.float32)
    )
    found = regrow(
        GRID.planes_from_volume(blobs(points, BOX)), SYMMETRY, ORDERS, PIXEL_A, reach
    )
    # At the very ends mates are taken from the nearer side only.
    inner = np.abs(HEIGHT) <= 0.4 * BOX
    assert rms_error(found[inner], planes[inner]) < 5e-3


def test_a_helix_is_unchanged_and_its_damaged_ends_are_repaired(
    rng: np.random.Generator,
) -> None:
    points = helix(_unit(rng), TWIST, RISE_PX, 60.0)
    volume = blobs(points, BOX)
    whole = GRID.planes_from_volume(volume)
    assert rms_error(_regrown(volume), whole) < 5e-3
    damaged = volume.copy()
    damaged[np.abs(HEIGHT) > 0.3 * BOX] = 0
    assert rms_error(GRID.planes_from_volume(damaged), whole) > 0.3
    assert rms_error(_regrown(damaged), whole) < 5e-3


@pytest.mark.parametrize(("twist", "rise_px"), [(-TWIST, RISE_PX), (TWIST, 4.6)])
def test_another_symmetry_does_not_fit(
    twist: float, rise_px: float, rng: np.random.Generator
) -> None:
    volume = blobs(helix(_unit(rng), TWIST, RISE_PX, 60.0), BOX)
    whole = GRID.planes_from_volume(volume)
    wrong = HelicalSymmetry(twist, rise_px * PIXEL_A)
    assert rms_error(_regrown(volume, wrong), whole) > 0.2


def test_fine_rise_and_coarse_rise_both_cover_the_box(rng: np.random.Generator) -> None:
    for rise_px in (0.7, 9.0):
        symmetry = HelicalSymmetry(22.0, rise_px * PIXEL_A)
        unit = _unit(rng)[:2]
        volume = blobs(helix(unit, 22.0, rise_px, 60.0), BOX)
        whole = GRID.planes_from_volume(volume)
        assert rms_error(_regrown(volume, symmetry), whole) < 5e-3


def test_ends_are_soft() -> None:
    window = end_window(BOX, 0.9)
    assert window[BOX // 2] == 1
    assert window[0] < 0.05
    assert (np.diff(window[BOX // 2 :]) <= 0).all()
    assert np.abs(np.diff(window)).max() < 0.5
    np.testing.assert_allclose(window[1:], window[:0:-1])


def test_reference_is_the_regrown_map_with_soft_ends(rng: np.random.Generator) -> None:
    points = helix(_unit(rng), TWIST, RISE_PX, 60.0)
    volume = blobs(points, BOX)
    damaged = volume.copy()
    damaged[np.abs(HEIGHT) > 0.3 * BOX] = 0
    found = reference_harmonics(damaged, GRID, SYMMETRY, PIXEL_A, z_fraction=0.9)
    expected = GRID.from_volume(volume * end_window(BOX, 0.9)[:, None, None])
    assert rms_error(found, expected) < 1e-2


def test_reference_fills_the_part_of_the_box_that_was_asked_for(
    rng: np.random.Generator,
) -> None:
    volume = blobs(helix(_unit(rng), TWIST, RISE_PX, 60.0), BOX)
    found = {
        z: GRID.to_volume(
            reference_harmonics(volume, GRID, SYMMETRY, PIXEL_A, z_fraction=z)
        )
        for z in (0.9, 0.5)
    }
    beyond = np.abs(HEIGHT) > 0.32 * BOX
    inside = np.abs(HEIGHT) < 0.18 * BOX
    assert np.abs(found[0.5][beyond]).max() < 0.05 * np.abs(found[0.9][beyond]).max()
    assert rms_error(found[0.5][inside], found[0.9][inside]) < 0.01


def test_no_reach_leaves_the_map_as_it_was(rng: np.random.Generator) -> None:
    volume = rng.standard_normal((BOX,) * 3, np.float32)
    planes = GRID.planes_from_volume(volume)
    found = regrow(planes, SYMMETRY, ORDERS, PIXEL_A, reach=0)
    assert relative_error(found, planes) < 1e-5


def test_mask_is_multiplied_with_the_regrown_map(rng: np.random.Generator) -> None:
    """A mask that clips the box leaves the rest at full height."""
    volume = blobs(helix(_unit(rng), TWIST, RISE_PX, 60.0), BOX)
    mask = blobs(np.array([[4.0, 4.0, 6.0]]), BOX, sigma_px=5.0)
    found = reference_harmonics(
        volume, GRID, SYMMETRY, PIXEL_A, z_fraction=0.9, mask=mask
    )
    grown = GRID.to_volume(
        reference_harmonics(volume, GRID, SYMMETRY, PIXEL_A, z_fraction=0.9)
    )
    assert rms_error(found, GRID.from_volume(grown * mask)) < 5e-3


def test_real_space_and_fourier_symmetry_and_copied_points_agree(
    rng: np.random.Generator,
) -> None:
    """Three ways to put copies of one density, in the middle of the box."""
    box, rise_px = 64, 2.5
    symmetry = HelicalSymmetry(TWIST, rise_px * PIXEL_A)
    grid = CylinderGrid(box, 24, 40, 1, 2)
    points = rng.uniform(-6, 6, (12, 3)) * [1, 1, 0.2]
    volume = blobs(points, box, sigma_px=2.0)
    reach, order = 2, 5
    # Fourier: what the reconstruction does to its sums, of which it takes the mean.
    harmonics = grid.from_volume(volume)
    ones = np.ones((grid.n_z, grid.n_r, 33), np.complex64)
    sums = symmetrised(Accumulator(grid, harmonics, ones), symmetry, order, PIXEL_A)
    fourier = order * sums.data
    # Real space: re-growing divides by the windows of the copies, which are put back.
    planes = grid.planes_from_volume(volume)
    height = np.arange(box) - box // 2
    fraction = max(CENTRAL_FRACTION, 1 - 2 * reach * rise_px / box)
    coverage = sum(
        _central_window(height - k * rise_px, box, fraction) for k in range(-2, 3)
    )
    grown = regrow(planes, symmetry, grid.orders[grid.m_max :], PIXEL_A, reach)
    real = grid.harmonics_from_planes(grown * coverage[:, None, None].astype("f4"))
    # Directly: every point copied.
    copies = [turned(points, k * TWIST, k * rise_px) for k in range(-2, 3)]
    direct = grid.from_volume(blobs(np.concatenate(copies), box, sigma_px=2.0))
    assert relative_error(fourier, direct) < 1e-4
    assert relative_error(real, direct) < 1e-4
    assert relative_error(real, fourier) < 1e-4
