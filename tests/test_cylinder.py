"""Cylindrical harmonics against the direct transform, and the physics of a helix."""

import numpy as np
import pytest
from numpy.typing import NDArray

from helixnb.core.cylinder import CylinderGrid
from tests.oracles import blobs, relative_error, rms_error, transform, turned

TOLERANCE = 3e-4  # the NUFFT is asked for 1e-4


def _random_map(
    box: int, radius_px: float, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Noise inside a cylinder, which bounds the azimuthal orders in the band."""
    axis = np.arange(box) - box // 2
    inside = np.hypot(axis[:, None], axis[None, :]) <= radius_px
    return (rng.standard_normal((box, box, box)) * inside).astype(np.float32)


def _direct_harmonics(
    volume: NDArray[np.float32], grid: CylinderGrid
) -> NDArray[np.complex128]:
    """F_n(R, Z) = mean over theta of F(R cos theta, R sin theta, Z) exp(-i n theta)."""
    theta = 2 * np.pi * np.arange(96) / 96
    r, z, t = np.meshgrid(grid.r, grid.z, theta, indexing="xy")  # (z, r, theta)
    k = np.stack([r * np.cos(t), r * np.sin(t), z], axis=-1)
    wave = np.exp(-1j * np.outer(theta, grid.orders)) / len(theta)
    found = transform(volume, k) @ wave
    found[np.hypot(grid.z[:, None], grid.r[None, :]) > grid.k_max] = 0
    return found


@pytest.mark.parametrize(
    ("box", "cyclic", "oversampling"),
    [(24, 1, 1), (25, 1, 1), (24, 3, 1), (24, 1, 2), (25, 2, 2)],
)
def test_harmonics_equal_the_direct_transform(
    box: int, cyclic: int, oversampling: int, rng: np.random.Generator
) -> None:
    volume = _random_map(box, 7.0, rng)
    grid = CylinderGrid(box, 9, 24 // cyclic, cyclic, oversampling)
    found = grid.from_volume(volume)
    expected = _direct_harmonics(volume, grid)
    assert found.shape == grid.shape
    assert relative_error(found, expected) < TOLERANCE


@pytest.mark.parametrize("box", [32, 33])
@pytest.mark.parametrize(("oversampling", "tolerance"), [(1, 1e-2), (2, 6e-4)])
def test_round_trip(
    box: int, oversampling: int, tolerance: float, rng: np.random.Generator
) -> None:
    """Exact up to the ghosts of sampling R, which fade with finer sampling."""
    points = np.column_stack([rng.uniform(-4, 4, (30, 2)), rng.uniform(-9, 9, 30)])
    volume = blobs(points, box, sigma_px=1.7)
    grid = CylinderGrid(box, box // 2 - 1, 48, 1, oversampling)
    back = grid.to_volume(grid.from_volume(volume))
    axis = np.arange(box) - box // 2
    near = np.hypot(axis[:, None], axis[None, :]) < 10
    assert rms_error(back[:, near], volume[:, near]) < tolerance
    assert np.vdot(back, volume) == pytest.approx(np.vdot(volume, volume), rel=3e-3)


@pytest.mark.parametrize("cyclic", [2, 3, 5])
def test_a_rotation_axis_leaves_only_its_multiples(
    cyclic: int, rng: np.random.Generator
) -> None:
    unit = rng.uniform(-6, 6, (12, 3))
    points = np.concatenate([turned(unit, 360 * j / cyclic) for j in range(cyclic)])
    grid = CylinderGrid(28, 11, 30)
    power = (np.abs(grid.from_volume(blobs(points, 28))) ** 2).sum((0, 1))
    allowed = grid.orders % cyclic == 0
    assert power[~allowed].sum() < 1e-6 * power.sum()
    # Not only the mean: the axis has structure of its own.
    assert power[allowed & (grid.orders != 0)].sum() > 1e-3 * power.sum()
    lowest = power[grid.orders == cyclic]
    assert lowest > 1e3 * power[~allowed].max()


def test_symmetric_grid_rebuilds_a_symmetric_map(rng: np.random.Generator) -> None:
    unit = rng.uniform(-4, 4, (12, 3))
    points = np.concatenate([turned(unit, 120.0 * j) for j in range(3)])
    volume = blobs(points, 32, sigma_px=1.7)
    grid = CylinderGrid(32, 15, 14, cyclic=3)
    back = grid.to_volume(grid.from_volume(volume))
    axis = np.arange(32) - 16
    near = np.hypot(axis[:, None], axis[None, :]) < 10
    assert rms_error(back[:, near], volume[:, near]) < 1e-2


@pytest.mark.parametrize("box", [24, 25])
def test_a_point_at_the_centre_is_flat_and_stays_there(box: int) -> None:
    volume = np.zeros((box, box, box), np.float32)
    centre = (box // 2,) * 3
    volume[centre] = 1
    grid = CylinderGrid(box, 9, 8)
    harmonics = grid.from_volume(volume)
    inside = grid.radius <= grid.k_max
    flat = harmonics[inside][:, grid.orders == 0]
    np.testing.assert_allclose(flat, 1, atol=TOLERANCE)
    assert np.abs(harmonics[..., grid.orders != 0]).max() < TOLERANCE
    back = grid.to_volume(harmonics)
    assert np.unravel_index(back.argmax(), back.shape) == centre


def test_turning_and_moving_a_map_is_a_phase(rng: np.random.Generator) -> None:
    """Copy by (angle, climb): F_n(R, Z) exp(-i (n angle + 2 pi Z climb / D))."""
    box, angle, climb = 32, 37.0, 2.3
    points = rng.uniform(-6, 6, (15, 3))
    grid = CylinderGrid(box, 13, 40)
    before = grid.from_volume(blobs(points, box))
    after = grid.from_volume(blobs(turned(points, angle, climb), box))
    phase = (
        np.deg2rad(angle) * grid.orders
        + 2 * np.pi * climb / box * grid.z[:, None, None]
    )
    assert relative_error(after, before * np.exp(-1j * phase)) < TOLERANCE
    # The other direction of turn or climb would be noticed.
    assert relative_error(after, before * np.exp(1j * phase)) > 0.1


def test_planes_hold_the_orders_of_each_real_plane(rng: np.random.Generator) -> None:
    """Two planes share one transform; an odd box leaves one plane on its own."""
    box = 21
    volume = _random_map(box, 6.0, rng)
    grid = CylinderGrid(box, 8, 30)
    planes = grid.planes_from_volume(volume)
    theta = 2 * np.pi * np.arange(64) / 64
    r, t = np.meshgrid(grid.r, theta, indexing="ij")
    k = np.stack([r * np.cos(t), r * np.sin(t), 0 * r], axis=-1)
    wave = np.exp(-1j * np.outer(theta, np.arange(31))) / 64
    for z in (0, 3, 10, 13, 20):
        alone = np.zeros_like(volume)
        alone[z] = volume[z]
        expected = transform(alone, k) @ wave
        assert relative_error(planes[z], expected) < TOLERANCE
