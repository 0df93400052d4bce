"""References re-grown from their centre, against copies averaged in real space."""

import numpy as np
import pytest
from numpy.typing import NDArray

from helixnb.core.cylinder import CylinderGrid
from helixnb.core.references import (
    CENTRAL_FRACTION,
    end_window,
    reference_harmonics,
    regrow,
)
from helixnb.symmetry import HelicalSymmetry
from tests.oracles import blobs, helix, rms_error, turned

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
    window = end_window(BOX)
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
    found = reference_harmonics(damaged, GRID, SYMMETRY, PIXEL_A)
    expected = GRID.from_volume(volume * end_window(BOX)[:, None, None])
    assert rms_error(found, expected) < 1e-2
