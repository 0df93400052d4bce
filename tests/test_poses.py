"""Poses from posteriors, and their way into RELION's angles and origins."""

import dataclasses

import numpy as np
import pytest
from numpy.typing import NDArray

from helixnb.core.expectation import Posterior
from helixnb.core.initial_model import random_posterior
from helixnb.core.poses import Poses, summarise
from helixnb.core.scoring import Chunk
from helixnb.core.search import Cells, SearchLevel
from tests.oracles import projection
from tests.scenes import BACKEND, chunk, level, simulate, unit_scales

LEVEL = level(
    8, n_psi=3, n_tilt=3, n_shift=4, n_axial=6, n_azimuth=60, axial_range_px=9.0
)


def _chunk(n: int, psi_deg: float = 30.0) -> Chunk:
    return chunk(np.zeros((n, 24, 24)), np.full(n, psi_deg), 8)


def _cells(rows: list[tuple[int, int, int, int, int]]) -> Cells:
    """Cells from (image, polarity, psi, tilt, shift)."""
    return Cells(*np.array(rows, np.int32).T)


def _posterior(cells: Cells, weights: NDArray, n: int) -> Posterior:
    weights = np.asarray(weights, np.float32)
    mass = weights.sum((1, 2)).astype(float)
    return Posterior(LEVEL, cells, weights, mass, np.arange(n, dtype=float), 0)


def _bump(axial: float, azimuth: float, search: SearchLevel = LEVEL) -> NDArray:
    """Gaussian posterior about fractional indices, periodic in azimuth."""
    s = np.arange(search.n_axial) - axial
    n = search.n_azimuth
    a = (np.arange(n) - azimuth + n / 2) % n - n / 2
    table = np.exp(-0.5 * np.add.outer((s / 0.9) ** 2, (a / 1.3) ** 2))
    return table / table.sum()


def test_a_single_pose_is_returned_as_it_is() -> None:
    weights = np.zeros((1, 6, 60))
    weights[0, 4, 17] = 1
    poses = summarise(
        _chunk(1),
        _posterior(_cells([(0, 0, 2, 0, 3)]), weights, 1),
        unit_scales(1),
        1,
        BACKEND,
    )
    assert poses.polarity[0] == 0
    assert poses.polarity_probability[0] == 1
    assert poses.psi_deg[0] == pytest.approx(30 + 4)
    assert poses.tilt_deg[0] == pytest.approx(90 - 6)
    assert poses.shift_px[0] == pytest.approx(1.5)
    assert poses.azimuth_deg[0] == pytest.approx(17 * 6.0)
    assert poses.axial_px[0] == pytest.approx(9 * (4 / 6 - 0.5))
    assert poses.effective_poses[0] == pytest.approx(1)


@pytest.mark.parametrize("azimuth", [17.3, 0.2, 59.6])
@pytest.mark.parametrize("cyclic", [1, 3])
def test_modes_are_found_between_grid_points(azimuth: float, cyclic: int) -> None:
    cells = _cells([(0, 0, 1, 1, 1)])
    posterior = _posterior(cells, _bump(2.7, azimuth)[None], 1)
    poses = summarise(_chunk(1), posterior, unit_scales(1), cyclic, BACKEND)
    expected = azimuth * 360 / 60 / cyclic
    off = (poses.azimuth_deg[0] - expected) % (360 / cyclic)
    assert min(off, 360 / cyclic - off) < 0.01
    assert poses.axial_px[0] == pytest.approx(9 * (2.7 / 6 - 0.5), abs=0.01)


def test_means_are_weighted_within_the_likelier_polarity() -> None:
    cells = _cells([(0, 1, 0, 0, 0), (0, 1, 1, 0, 3), (0, 0, 2, 2, 0)])
    share = np.array([0.5, 0.25, 0.25])
    weights = share[:, None, None] * np.stack(
        [_bump(3, 20), _bump(3, 20), _bump(1, 50)]
    )
    poses = summarise(
        _chunk(1), _posterior(cells, weights, 1), unit_scales(1), 1, BACKEND
    )
    assert poses.polarity[0] == 1
    assert poses.polarity_probability[0] == pytest.approx(0.75)
    psi = 30 + (2 / 3) * -4.0 + (1 / 3) * 0.0 + 180
    assert poses.psi_deg[0] == pytest.approx(psi - 360)
    assert poses.tilt_deg[0] == pytest.approx(84)
    assert poses.shift_px[0] == pytest.approx((2 / 3) * -1.5 + (1 / 3) * 1.5)
    assert poses.azimuth_deg[0] == pytest.approx(120, abs=0.01)


def test_tables_of_all_cells_decide_the_azimuth_together() -> None:
    """Two cells that agree outweigh one that is a little stronger."""
    cells = _cells([(0, 0, 0, 0, 0), (0, 0, 1, 0, 0), (0, 0, 2, 0, 0)])
    share = np.array([0.4, 0.3, 0.3])
    weights = share[:, None, None] * np.stack(
        [_bump(3, 10), _bump(3, 40), _bump(3, 40)]
    )
    poses = summarise(
        _chunk(1), _posterior(cells, weights, 1), unit_scales(1), 1, BACKEND
    )
    assert poses.azimuth_deg[0] == pytest.approx(240, abs=0.5)


def test_effective_poses_count_equally_likely_ones() -> None:
    cells = _cells([(0, 0, 0, 0, 0), (1, 0, 0, 0, 0), (1, 1, 0, 0, 0)])
    weights = np.zeros((3, 6, 60))
    weights[0, :2, :5] = 1 / 10
    weights[1:, 0, :4] = 1 / 8
    poses = summarise(
        _chunk(2), _posterior(cells, weights, 2), unit_scales(2), 1, BACKEND
    )
    np.testing.assert_allclose(poses.effective_poses, [10, 8], rtol=1e-5)
    np.testing.assert_allclose(poses.log_evidence, [0, 1])


def _poses(n: int, **values: NDArray) -> Poses:
    return dataclasses.replace(Poses.empty(n), **values)


@pytest.mark.parametrize("psi_deg", [90.0, 12.0, -130.0])
def test_origins_and_rot_project_the_map_where_the_particle_is(psi_deg: float) -> None:
    """RELION's angles and origins of a pose draw the image it came from."""
    points = np.array([[4.0, 1.0, -3.0], [0.0, -5.0, 2.0], [2.0, 2.0, 6.0]])
    poses = _poses(
        1,
        azimuth_deg=np.array([200.0]),
        psi_deg=np.array([psi_deg]),
        tilt_deg=np.array([97.0]),
        shift_px=np.array([1.6]),
        axial_px=np.array([-2.3]),
    )
    euler = poses.euler(2.0)
    x, y = euler.origin_x_A / 2, euler.origin_y_A / 2
    angles = (poses.rot_deg[0], poses.tilt_deg[0], poses.psi_deg[0])
    found = projection(points, 32, angles, (x[0], y[0]))
    # At psi 90 the filament runs up the rows and across is x.
    upright = projection(points, 64, (110.0, 97.0, 90.0))
    row, column = np.mgrid[:64, :64] - 32
    centre = [(upright * a).sum() / upright.sum() for a in (column, row)]
    a = np.deg2rad(psi_deg)
    across, along = centre[0] + 1.6, centre[1] - 2.3
    row, column = np.mgrid[:32, :32] - 16
    mass = [(found * b).sum() / found.sum() for b in (column, row)]
    assert mass[0] == pytest.approx(np.sin(a) * across - np.cos(a) * along, abs=0.02)
    assert mass[1] == pytest.approx(np.cos(a) * across + np.sin(a) * along, abs=0.02)
    sim = simulate(
        points,
        32,
        azimuth_deg=poses.azimuth_deg,
        psi_deg=poses.psi_deg,
        tilt_offset_deg=7.0,
        shift_px=1.6,
        axial_px=-2.3,
    )
    np.testing.assert_allclose(sim.stack[0], found, atol=1e-4)


def test_angles_stay_in_their_range(rng: np.random.Generator) -> None:
    azimuth = rng.uniform(-400, 800, 200)
    rot = _poses(200, azimuth_deg=azimuth).rot_deg
    assert (rot > -180).all()
    assert (rot <= 180).all()
    turns = (azimuth - 90 - rot) / 360
    np.testing.assert_allclose(turns, np.rint(turns), atol=1e-9)


def test_poses_are_put_where_they_belong() -> None:
    all_poses = Poses.empty(5)
    assert np.isnan(all_poses.psi_deg).all()
    some = _poses(2, psi_deg=np.array([1.0, 2.0]), polarity=np.array([1, 0], np.int8))
    all_poses.put(np.array([3, 1]), some)
    np.testing.assert_array_equal(all_poses.psi_deg, [np.nan, 2.0, np.nan, 1.0, np.nan])
    np.testing.assert_array_equal(all_poses.polarity, [0, 0, 0, 1, 0])
    assert all_poses.polarity.dtype == np.int8


def test_start_has_random_azimuths_and_the_prior_polarities() -> None:
    n = 600
    images = chunk(np.zeros((n, 24, 24)), np.zeros(n), 8, polarity_prior=(0.75, 0.25))
    search = level(8, n_azimuth=36, axial_range_px=0.0)
    posterior = random_posterior(images, search, np.random.default_rng(5))
    np.testing.assert_array_equal(posterior.weights.sum((1, 2)), 1)
    np.testing.assert_array_equal(posterior.cells.image, np.arange(n))
    azimuth = posterior.weights[:, 0].argmax(1)
    counts = np.bincount(azimuth, minlength=36)
    assert counts.min() > 0
    assert (counts - n / 36).std() < 2 * np.sqrt(n / 36)
    assert posterior.cells.polarity.mean() == pytest.approx(0.25, abs=0.06)
    again = random_posterior(images, search, np.random.default_rng(5))
    np.testing.assert_array_equal(posterior.weights, again.weights)
