"""Slices of a reference against the direct transform, and what a fan may leave out."""

import numpy as np
import pytest
from numpy.typing import NDArray

from helixnb.backend import get_backend
from helixnb.core import fan as fan_module
from helixnb.core.cylinder import CylinderGrid
from helixnb.core.fan import PAIR_TOLERANCE_NATS, Fan, build_fan, keep_pairs
from helixnb.core.halfplane import HalfPlane
from helixnb.core.search import SearchLevel
from tests.oracles import blobs, relative_error, slice_points, transform, turned

BACKEND = get_backend("cpu")
BOX, K_MAX = 32, 11
TILTS = (-12.0, 0.0, 7.5)


def _points(rng: np.random.Generator) -> NDArray[np.float64]:
    return np.column_stack([rng.uniform(-6, 6, (25, 2)), rng.uniform(-9, 9, 25)])


def _direct_slice(
    volume: NDArray[np.float32], azimuth_deg: float, tilt_deg: float, k_max: int
) -> NDArray[np.complex128]:
    """Slice on the half plane, 0 outside the resolution circle."""
    plane = HalfPlane(k_max)
    v, u = np.meshgrid(plane.v, plane.u, indexing="ij")
    value = transform(volume, slice_points(azimuth_deg, tilt_deg, v, u))
    return np.where(plane.radius <= k_max, value, 0)


def _level(
    *, k_max: int, n_tilt: int, m_max: int, n_azimuth: int, n_axial: int = 3
) -> SearchLevel:
    return SearchLevel(
        k_max=k_max,
        n_psi=1,
        n_tilt=n_tilt,
        n_shift=1,
        psi_step_deg=1.0,
        tilt_step_deg=6.0,
        shift_step_px=1.0,
        n_axial=n_axial,
        n_azimuth=n_azimuth,
        axial_range_px=5.0,
        m_max=m_max,
    )


@pytest.mark.parametrize("tilt_deg", TILTS)
@pytest.mark.parametrize("cyclic", [1, 3])
def test_slices_equal_the_direct_transform(
    tilt_deg: float, cyclic: int, rng: np.random.Generator
) -> None:
    unit = _points(rng)
    points = np.concatenate([turned(unit, 360 * j / cyclic) for j in range(cyclic)])
    volume = blobs(points, BOX)
    # The reference reaches beyond the slice, so that its rim is interpolated too.
    grid = CylinderGrid(BOX, K_MAX + 3, 36 // cyclic, cyclic, 2)
    fan = BACKEND.gather_fan(grid.from_volume(volume), 2, cyclic, tilt_deg, K_MAX)
    for azimuth in (0.0, 28.0, 143.0, -95.0):
        wave = np.exp(1j * np.deg2rad(azimuth) * grid.orders)
        expected = _direct_slice(volume, azimuth, tilt_deg, K_MAX)
        error = relative_error(fan @ wave, expected)
        assert error < 5e-3
        mirrored = _direct_slice(volume, azimuth, -tilt_deg - 4, K_MAX)
        assert relative_error(fan @ wave, mirrored) > 10 * error


def test_untilted_slices_need_no_interpolation(rng: np.random.Generator) -> None:
    volume = blobs(_points(rng), BOX)
    grid = CylinderGrid(BOX, K_MAX, 36, 1, 1)
    harmonics = grid.from_volume(volume)
    fan = BACKEND.gather_fan(harmonics, 1, 1, 0.0, K_MAX)
    wave = np.exp(1j * np.deg2rad(61.0) * grid.orders)
    expected = _direct_slice(volume, 61.0, 0.0, K_MAX)
    assert relative_error(fan @ wave, expected) < 3e-4


def test_slices_at_opposite_tilts_are_mirrored(rng: np.random.Generator) -> None:
    """P(phi, d; u, v) = P(phi + 180, -d; -u, v): the same plane of k."""
    grid = CylinderGrid(BOX, K_MAX, 36, 1, 2)
    harmonics = grid.from_volume(blobs(_points(rng), BOX))
    up = BACKEND.gather_fan(harmonics, 2, 1, 9.0, K_MAX)
    down = BACKEND.gather_fan(harmonics, 2, 1, -9.0, K_MAX)
    wave = np.exp(1j * np.deg2rad(40.0) * grid.orders)
    opposite = np.exp(1j * np.deg2rad(220.0) * grid.orders)
    assert relative_error(up @ wave, (down @ opposite)[:, ::-1]) < 1e-4


@pytest.mark.parametrize("cyclic", [1, 2, 3])
@pytest.mark.parametrize("tilt_deg", TILTS)
def test_scatter_is_the_adjoint_of_gather(
    cyclic: int, tilt_deg: float, rng: np.random.Generator
) -> None:
    """<gather F, P> = <F, scatter P> in the real inner product."""
    k_max, n_m = 9, 11
    fan_shape = (k_max + 1, 2 * k_max + 1, n_m)
    cylinder_shape = (k_max + 1, k_max + 1, n_m)

    def noise(shape: tuple[int, ...]) -> NDArray[np.complex64]:
        parts = rng.standard_normal((2, *shape))
        return (parts[0] + 1j * parts[1]).astype(np.complex64)

    harmonics, slices = noise(cylinder_shape), noise(fan_shape)
    gathered = BACKEND.gather_fan(harmonics, 1, cyclic, tilt_deg, k_max)
    start = noise(cylinder_shape)
    sums = start.copy()
    BACKEND.scatter_fan(sums, slices, cyclic, tilt_deg)
    left = np.vdot(gathered.astype(complex), slices).real
    right = np.vdot(harmonics.astype(complex), sums - start).real
    scale = float(np.linalg.norm(gathered) * np.linalg.norm(slices))
    assert left == pytest.approx(right, abs=1e-5 * scale)
    assert abs(left) > 1e-4 * scale


def test_scatter_ignores_components_outside_the_circle() -> None:
    slices = np.zeros((7, 13, 3), np.complex64)
    slices[HalfPlane(6).radius > 6] = 1
    sums = np.zeros((7, 7, 3), np.complex64)
    BACKEND.scatter_fan(sums, slices, 1, 5.0)
    assert not sums.any()


def test_kept_pairs_are_the_largest_and_lose_no_more_than_allowed(
    rng: np.random.Generator,
) -> None:
    nats = rng.exponential(size=(40, 17)) ** 4 / 200
    kept = keep_pairs(nats)
    assert kept.any()
    assert not kept.all()
    assert nats[~kept].sum() <= PAIR_TOLERANCE_NATS
    assert nats[~kept].max() <= nats[kept].min()
    assert nats[~kept].sum() + nats[kept].min() > PAIR_TOLERANCE_NATS


def _fan(
    rng: np.random.Generator, cyclic: int, level: SearchLevel
) -> tuple[Fan, NDArray[np.complex64], CylinderGrid, NDArray[np.float64]]:
    grid = CylinderGrid(BOX, K_MAX, 30 // cyclic, cyclic, 2)
    harmonics = grid.from_volume(blobs(_points(rng), BOX))
    weight = rng.uniform(0.5, 2.0, level.k_max + 1) * 1e-3
    fan = build_fan(harmonics, grid, level, weight, 1.0, BACKEND)
    return fan, harmonics, grid, weight


@pytest.mark.parametrize("cyclic", [1, 3])
def test_ring_power_is_the_sum_over_each_slice(
    cyclic: int, rng: np.random.Generator
) -> None:
    m_max = 30 // cyclic
    level = _level(k_max=9, n_tilt=3, m_max=m_max, n_azimuth=2 * m_max + 4)
    fan, harmonics, grid, _ = _fan(rng, cyclic, level)
    plane = HalfPlane(9)
    for tilt in (0, 1, 2):
        slices = BACKEND.gather_fan(
            harmonics, 2, cyclic, level.tilt_offset_deg[tilt], 9
        ).astype(complex)
        for a in (0, 5, level.n_azimuth - 1):
            phi = 2 * np.pi * a / level.n_azimuth / cyclic
            p = slices @ np.exp(1j * phi * grid.orders)
            expected = np.zeros(10)
            for i, v in enumerate(plane.v):
                for j, u in enumerate(plane.u):
                    ring = int(np.rint(np.hypot(u, v)))
                    if 0 < np.hypot(u, v) <= 9:
                        expected[ring] += (1.0 if v > 0 else 0.5) * abs(p[i, j]) ** 2
            np.testing.assert_allclose(
                fan.ring_power[tilt, :, a], expected, rtol=2e-4, atol=1e-3
            )


def test_shift_error_is_the_curvature_of_the_likelihood(
    rng: np.random.Generator,
) -> None:
    """1/2 sum <C^2 / noise> |P - moved P|^2 is 1/2 (t / sd)^2 for small shifts t."""
    level = _level(k_max=9, n_tilt=3, m_max=30, n_azimuth=64)
    fan, harmonics, grid, weight = _fan(rng, 1, level)
    plane, shift_px = HalfPlane(9), 0.01
    slices = BACKEND.gather_fan(harmonics, 2, 1, 0.0, 9).astype(complex)
    moved = 1 - np.exp(-2j * np.pi * plane.u * shift_px / BOX)
    lost = []
    for phi in np.linspace(0, 2 * np.pi, 40, endpoint=False):
        p = slices @ np.exp(1j * phi * grid.orders)
        terms = plane.multiplicity * weight[plane.ring] * np.abs(p * moved) ** 2
        lost.append(0.5 * terms.sum())
    expected = shift_px / np.sqrt(2 * np.mean(lost))
    assert fan.shift_sd_px == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("cyclic", [1, 2])
def test_kept_pairs_rebuild_every_slice(
    cyclic: int, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fan values, row ranges and harmonic indices belong together."""
    m_max = 30 // cyclic
    level = _level(k_max=9, n_tilt=2, m_max=m_max, n_azimuth=2 * m_max + 2)
    monkeypatch.setattr(fan_module, "PAIR_TOLERANCE_NATS", 1e-4)
    fan, harmonics, grid, weight = _fan(rng, cyclic, level)
    plane = HalfPlane(9)
    assert 0.05 < len(fan.harmonic) / (plane.n_rows * grid.n_m) < 0.95
    phi = np.deg2rad(33.0)
    for tilt in (0, 1):
        offset = level.tilt_offset_deg[tilt]
        slices = BACKEND.gather_fan(harmonics, 2, cyclic, offset, 9)
        wave = np.exp(1j * phi * grid.orders)
        expected = slices @ wave
        found = np.zeros_like(expected)
        for v in range(plane.n_rows):
            pairs = slice(*fan.rows.row_start[v : v + 2])
            gain = np.exp(1j * phi * cyclic * fan.harmonic[pairs])
            values = fan.values[tilt][slice(*fan.rows.value_start[v : v + 2])]
            columns = plane.columns_of_row(v)
            shape = (columns.stop - columns.start, len(gain))
            found[v, columns] = values.reshape(shape) @ gain
        nats = 0.5 * plane.multiplicity * weight[plane.ring]
        missing = np.abs(np.where(plane.radius > 0, found - expected, 0)) ** 2
        # At one azimuth the dropped pairs may add up in phase, not only in power.
        assert (nats * missing).sum() < 100 * 1e-4
        assert (nats * np.abs(expected) ** 2).sum() > 1


def test_hard_assignments_keep_weaker_pairs(rng: np.random.Generator) -> None:
    """A likelihood raised to a power must be right to a fraction of a nat itself."""
    level = _level(k_max=9, n_tilt=1, m_max=30, n_azimuth=64)
    grid = CylinderGrid(BOX, K_MAX, 30, 1, 2)
    harmonics = grid.from_volume(blobs(_points(rng), BOX))
    weight = np.full(10, 1e-3)
    soft = build_fan(harmonics, grid, level, weight, 1.0, BACKEND)
    hard = build_fan(harmonics, grid, level, weight, 25.0, BACKEND)
    assert len(hard.harmonic) > len(soft.harmonic)
