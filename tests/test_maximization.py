"""The M-step against plain sums, its symmetry against inserted copies, and the map."""

import dataclasses

import numpy as np
import pytest
from numpy.typing import NDArray

from helixnb.backend import get_backend
from helixnb.core.cylinder import CylinderGrid
from helixnb.core.expectation import Posterior
from helixnb.core.fsc import shell_correlation
from helixnb.core.halfplane import HalfPlane
from helixnb.core.maximization import (
    WEIGHT_HARMONICS,
    Accumulator,
    joined,
    symmetrised,
)
from helixnb.core.reconstruction import (
    join_low_resolution,
    shell_mean_weight,
    shell_noise,
    solve,
)
from helixnb.core.scoring import Chunk, Frames, make_frames
from helixnb.core.search import Cells, SearchLevel
from helixnb.symmetry import HelicalSymmetry
from tests.oracles import blobs, helix, rms_error, turned
from tests.scenes import BACKEND, PIXEL_A, chunk, level, optics, simulate

BOX, K_MAX = 32, 14
SPACING = 1 / (BOX * PIXEL_A)
SHARP = 1.0  # so that blobs have signal at every resolution
NOISE = np.full(K_MAX + 1, float(BOX**2))


class _Recorder:
    """Backend that keeps the slices it is asked to scatter."""

    def __init__(self) -> None:
        self.fans: list[tuple[NDArray[np.complex64], float]] = []

    def __getattr__(self, name: str) -> object:
        return getattr(get_backend("cpu"), name)

    def scatter_fan(
        self, accumulator: NDArray, fan: NDArray, cyclic: int, tilt_deg: float
    ) -> None:
        self.fans.append((fan, tilt_deg))


def _noise(rng: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.complex64]:
    parts = rng.standard_normal((2, *shape))
    return (parts[0] + 1j * parts[1]).astype(np.complex64)


@pytest.mark.parametrize("cyclic", [1, 3])
def test_slice_sums_equal_the_sum_over_every_pose(
    cyclic: int, rng: np.random.Generator
) -> None:
    """D_n(v, u) = sum g exp(-i n phi) exp(2 pi i (u t + v s) / D) X C / noise."""
    k_max, n_cells = 7, 9
    search = level(k_max, n_tilt=2, n_shift=3, n_axial=4, n_azimuth=44, n_psi=2)
    cells = Cells(
        *(rng.integers(0, n, n_cells).astype(np.int32) for n in (4, 2, 2)),
        np.sort(rng.integers(0, 2, n_cells)).astype(np.int32),
        rng.integers(0, 3, n_cells).astype(np.int32),
    )
    weights = rng.random((n_cells, 4, 44)).astype(np.float32)
    posterior = Posterior(search, cells, weights, np.ones(9), np.ones(4), 0)
    plane = HalfPlane(k_max)
    shape = (plane.n_rows, 5, plane.n_columns)
    frames = Frames(
        _noise(rng, shape),
        rng.random(shape).astype(np.float32),
        rng.integers(0, 5, n_cells),
    )
    grid = CylinderGrid(BOX, k_max, 20, cyclic, 1)
    recorder = _Recorder()
    sums = Accumulator.empty(grid)
    sums.add(posterior, frames, 4, recorder)  # type: ignore[arg-type]
    assert sums.n_images == 4
    n_w = WEIGHT_HARMONICS
    expected = np.zeros((2, plane.n_rows, plane.n_columns, grid.n_m), complex)
    gain = np.zeros((2, plane.n_rows, plane.n_columns, 2 * n_w + 1), complex)
    phi = 2 * np.pi * np.arange(44) / 44 / cyclic
    for i in range(n_cells):
        frame, t = frames.of_cell[i], search.shift_px[cells.shift[i]]
        x = np.conj(frames.data[:, frame].astype(complex))
        for s in range(4):
            shift = plane.u * t + plane.v[:, None] * search.axial_px[s]
            moved = x * np.exp(2j * np.pi * shift / BOX)
            around = np.exp(-1j * np.outer(grid.orders, phi)) @ weights[i, s]
            few = np.exp(-1j * np.outer(cyclic * np.arange(-n_w, n_w + 1), phi))
            expected[cells.tilt[i]] += moved[..., None] * around
            gain[cells.tilt[i]] += frames.power[:, frame, :, None] * (
                few @ weights[i, s]
            )
    assert len(recorder.fans) == 4
    for tilt in (0, 1):
        (data, d), (weight, _) = recorder.fans[2 * tilt : 2 * tilt + 2]
        assert d == search.tilt_offset_deg[tilt]
        assert rms_error(data, expected[tilt]) < 1e-5
        assert rms_error(weight, gain[tilt]) < 1e-5


def test_sums_are_the_adjoint_of_scoring(rng: np.random.Generator) -> None:
    """<F, D> is the score of F without its penalty, for the same poses."""
    search = level(K_MAX, n_axial=3, n_azimuth=80, m_max=36)
    stack = rng.standard_normal((2, BOX, BOX))
    images = chunk(stack, np.array([20.0, -70.0]), K_MAX)
    cells = Cells(
        *(np.array(a, np.int32) for a in ([0, 1], [0, 1], [0] * 2, [0] * 2, [0] * 2))
    )
    weights = rng.random((2, 3, 80)).astype(np.float32)
    posterior = Posterior(search, cells, weights, np.ones(2), np.ones(2), 0)
    frames = make_frames(images, cells, search, NOISE, SPACING, BACKEND)
    grid = CylinderGrid(BOX, K_MAX, 36, 1, 1)
    sums = Accumulator.empty(grid)
    sums.add(posterior, frames, 2, BACKEND)
    reference = _noise(rng, grid.shape)
    fan = BACKEND.gather_fan(reference, 1, 1, 0.0, K_MAX)
    plane = HalfPlane(K_MAX)
    score = 0.0
    for i in range(2):
        data = frames.data[:, frames.of_cell[i]]
        for s in range(3):
            phase = np.exp(-2j * np.pi * plane.v * search.axial_px[s] / BOX)
            around = np.exp(1j * np.outer(2 * np.pi * np.arange(80) / 80, grid.orders))
            p = np.einsum("vum,am->vua", fan, around) * phase[:, None, None]
            score += (data[..., None] * p * weights[i, s]).real.sum()
    assert np.vdot(reference, sums.data).real == pytest.approx(score, rel=1e-3)


def _insert(
    sim_psi: NDArray[np.float64],
    images: Chunk,
    search: SearchLevel,
    azimuth_deg: NDArray[np.float64],
    axial_px: NDArray[np.float64],
    tilt: NDArray[np.int32],
    grid: CylinderGrid,
) -> Accumulator:
    """Insert every image at one pose, exactly: azimuth and axial shift off the grid."""
    n = len(images)
    order = np.argsort(tilt, kind="stable")
    zero = np.zeros(n, np.int32)
    sums = Accumulator.empty(grid)
    plane = HalfPlane(grid.k_max)
    cells = Cells(order.astype(np.int32), zero, zero, tilt[order], zero)
    frames = make_frames(images, cells, search, NOISE, SPACING, BACKEND)
    n_w = sums.weight.shape[-1] // 2
    few = grid.cyclic * np.arange(-n_w, n_w + 1)
    for i, image in enumerate(cells.image):
        frame = frames.of_cell[i]
        phi = np.deg2rad(azimuth_deg[image])
        phase = np.exp(2j * np.pi * plane.v * axial_px[image] / BOX)
        data = np.conj(frames.data[:, frame]) * phase[:, None]
        fan = data[..., None] * np.exp(-1j * phi * grid.orders)
        weight = frames.power[:, frame][..., None] * np.exp(-1j * phi * few)
        d = search.tilt_offset_deg[cells.tilt[i]]
        BACKEND.scatter_fan(sums.data, fan.astype(np.complex64), grid.cyclic, d)
        BACKEND.scatter_fan(sums.weight, weight.astype(np.complex64), grid.cyclic, d)
    sums.n_images = n
    return sums


@pytest.mark.parametrize("order", [1, 4, 5])
def test_symmetry_equals_inserting_copies_of_every_image(
    order: int, rng: np.random.Generator
) -> None:
    """Copy k of an image: azimuth phi + k twist, axial shift s - k rise cos d.

    This is pose R S^-k, t - k rise (R z); for order 4, k = -2..1.
    """
    symmetry = HelicalSymmetry(52.3, 4.7 * PIXEL_A)
    first = {1: 0, 4: -2, 5: -2}[order]
    search = level(9)
    n = 4
    stack = rng.standard_normal((n, BOX, BOX))
    images = chunk(stack, rng.uniform(-180, 180, n), 9)
    azimuth, axial = rng.uniform(0, 360, n), rng.uniform(-3, 3, n)
    grid = CylinderGrid(BOX, 9, 24, 1, 1)
    flat = np.zeros(n, np.int32)
    insert = (images.psi_prior_deg, images, search)
    once = _insert(*insert, azimuth, axial, flat, grid)
    found = symmetrised(once, symmetry, order, PIXEL_A)
    expected = Accumulator.empty(grid)
    for k in range(first, first + order):
        turned_by, moved_by = k * symmetry.twist_deg, -k * 4.7
        expected += _insert(*insert, azimuth + turned_by, axial + moved_by, flat, grid)
    assert rms_error(found.data, expected.data / order) < 1e-4
    assert rms_error(found.weight, expected.weight / order) < 1e-4
    assert found.n_images == n


def test_dyad_equals_inserting_every_image_upside_down(
    rng: np.random.Generator,
) -> None:
    """With a two-fold along x, an image fits at psi + 180, 180 - tilt, -azimuth."""
    search = level(9, n_tilt=2, tilt_step_deg=10.0)  # -5 and 5 degrees
    n = 3
    psi = rng.uniform(-180, 180, n)
    stack = rng.standard_normal((n, BOX, BOX))
    azimuth, axial = rng.uniform(0, 360, n), rng.uniform(-3, 3, n)
    grid = CylinderGrid(BOX, 9, 24, 1, 1)
    up = chunk(stack, psi, 9)
    down = chunk(stack, psi + 180, 9)
    tilt = np.array([0, 1, 1], np.int32)
    one = _insert(psi, up, search, azimuth, axial, tilt, grid)
    # Seen from the other end, u and v change sign: phi becomes 180 - phi,
    # the shift along the axis its opposite and the tilt too.
    other = _insert(psi, down, search, 180 - azimuth, -axial, 1 - tilt, grid)
    symmetry = HelicalSymmetry(30.0, 10.0, "D1")
    found = symmetrised(one, symmetry, 1, PIXEL_A)
    assert rms_error(found.data, 0.5 * (one.data + other.data)) < 2e-3
    assert rms_error(found.weight, 0.5 * (one.weight + other.weight)) < 2e-3


def test_a_symmetric_map_is_unchanged_by_its_symmetry(
    rng: np.random.Generator,
) -> None:
    """Every copy of F_n(R, Z) is the same, up to the ends of the box."""
    unit = rng.uniform(-4, 4, (6, 3))
    rise_px, box = 4.0, 64
    points = helix(unit, 40.0, rise_px, 50.0)
    grid = CylinderGrid(box, 20, 24, 1, 1)
    harmonics = grid.from_volume(blobs(points, box))
    sums = Accumulator(grid, harmonics, np.ones((21, 21, 33), np.complex64))
    symmetry = HelicalSymmetry(40.0, rise_px * PIXEL_A)
    right = grid.to_volume(symmetrised(sums, symmetry, 5, PIXEL_A).data)
    wrong = grid.to_volume(
        symmetrised(sums, HelicalSymmetry(-40.0, 12.0), 5, PIXEL_A).data
    )
    before = grid.to_volume(harmonics)
    middle = slice(20, 44)
    assert rms_error(right[middle], before[middle]) < 0.02
    assert rms_error(wrong[middle], before[middle]) > 0.3


def test_dihedral_sums_describe_a_map_with_the_dyad(rng: np.random.Generator) -> None:
    grid = CylinderGrid(BOX, 13, 30, 1, 1)
    volume = blobs(rng.uniform(-6, 6, (10, 3)), BOX)
    sums = Accumulator(
        grid, grid.from_volume(volume), np.ones((14, 14, 33), np.complex64)
    )
    both = symmetrised(sums, HelicalSymmetry(0.0, 10.0, "D1"), 1, PIXEL_A)
    density = grid.to_volume(both.data)
    about_x = density[:0:-1, :0:-1, 1:]  # y, z -> -y, -z about voxel n // 2
    assert rms_error(about_x, density[1:, 1:, 1:]) < 1e-3
    plain = grid.to_volume(sums.data)
    expected = 0.5 * (plain[1:, 1:, 1:] + plain[:0:-1, :0:-1, 1:])
    assert rms_error(density[1:, 1:, 1:], expected) < 1e-3


def _reconstruct(
    points: NDArray[np.float64],
    n: int,
    symmetry: HelicalSymmetry,
    order: int,
    rng: np.random.Generator,
) -> NDArray[np.float32]:
    """Raw map from noise-free projections at random known poses."""
    search = level(
        K_MAX, n_tilt=5, n_shift=3, n_axial=4, n_azimuth=120, tilt_step_deg=4.0
    )
    cyclic = symmetry.cyclic
    cells = Cells(
        *(a.astype(np.int32) for a in (
            np.arange(n),
            rng.integers(0, 2, n),
            np.zeros(n),
            np.sort(rng.integers(0, 5, n)),
            rng.integers(0, 3, n),
        ))
    )  # fmt: skip
    axial, azimuth = rng.integers(0, 4, n), rng.integers(0, 120, n)
    psi = rng.uniform(-180, 180, n)
    defoci = 4000 + 20 * (np.arange(n) % 150)
    lens = np.stack([optics(u, 7000 - 0.5 * u, u) for u in defoci])
    sim = simulate(
        points,
        BOX,
        azimuth_deg=azimuth * 3.0 / cyclic,
        psi_deg=psi + 180 * cells.polarity,
        tilt_offset_deg=search.tilt_offset_deg[cells.tilt],
        shift_px=search.shift_px[cells.shift],
        axial_px=search.axial_px[axial],
        contrast=lens,
        sigma_px=SHARP,
    )
    images = chunk(sim.stack, psi, K_MAX, contrast=lens)
    weights = np.zeros((n, 4, 120), np.float32)
    weights[np.arange(n), axial, azimuth] = 1
    posterior = Posterior(search, cells, weights, np.ones(n), np.ones(n), 0)
    frames = make_frames(images, cells, search, NOISE, SPACING, BACKEND)
    grid = CylinderGrid(BOX, K_MAX, 40 // cyclic, cyclic, 1)
    sums = Accumulator.empty(grid)
    sums.add(posterior, frames, n, BACKEND)
    return grid.to_volume(solve(symmetrised(sums, symmetry, order, PIXEL_A)))


def _fsc(first: NDArray, second: NDArray) -> NDArray[np.float64]:
    spectra = [np.fft.rfftn(m.astype(np.float64)) for m in (first, second)]
    return shell_correlation(spectra[0], spectra[1], len(first))


def test_asymmetric_map_is_reconstructed_from_known_poses(
    rng: np.random.Generator,
) -> None:
    points = np.column_stack([rng.uniform(-5, 5, (25, 2)), rng.uniform(-7, 7, 25)])
    found = _reconstruct(points, 500, HelicalSymmetry(0.0, 10.0), 1, rng)
    truth = blobs(points, BOX, SHARP)
    assert _fsc(found, truth)[1 : K_MAX - 1].min() > 0.93
    # The scale of the density is that of the projections.
    near = np.abs(truth) > 0.1
    slope = np.polyfit(truth[near], found[near], 1)[0]
    assert slope == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("seed", [0, 1])
def test_cyclic_map_is_reconstructed_from_few_views(seed: int) -> None:
    """Views lie unevenly about the axis: weights near zero must not blow up."""
    rng = np.random.default_rng(seed)
    unit = np.column_stack([rng.uniform(-5, 5, (9, 2)), rng.uniform(-7, 7, 9)])
    points = np.concatenate([turned(unit, 120.0 * j) for j in range(3)])
    found = _reconstruct(points, 200, HelicalSymmetry(0.0, 10.0, "C3"), 1, rng)
    assert _fsc(found, blobs(points, BOX, SHARP))[1 : K_MAX - 1].min() > 0.93


def test_helical_map_is_reconstructed_from_few_views(rng: np.random.Generator) -> None:
    """Copies fill the azimuths that 40 images leave open."""
    unit = np.column_stack([rng.uniform(2, 6, (4, 2)), rng.uniform(-2, 2, 4)])
    rise_px, twist = 3.0, 77.0
    points = helix(unit, twist, rise_px, 40.0)
    symmetry = HelicalSymmetry(twist, rise_px * PIXEL_A)
    truth = blobs(points, BOX, SHARP)
    axis = np.arange(BOX) - BOX // 2
    mask = (np.exp(-((axis / 7.0) ** 6)))[:, None, None] * (
        np.exp(-((np.hypot(axis[:, None], axis) / 11.0) ** 6))
    )
    seed = int(rng.integers(2**32))
    curves = []
    for order in (1, 5):
        found = _reconstruct(points, 40, symmetry, order, np.random.default_rng(seed))
        curves.append(_fsc(found * mask, truth * mask)[1 : K_MAX - 1])
    assert curves[1].min() > 0.9
    assert 1 - curves[1].mean() < 0.3 * (1 - curves[0].mean())


def _random_sums(rng: np.random.Generator, n_images: int) -> Accumulator:
    grid = CylinderGrid(24, 8, 10)
    sums = Accumulator.empty(grid)
    sums.data += _noise(rng, sums.data.shape)
    sums.weight += 0.1 * _noise(rng, sums.weight.shape)
    middle = sums.weight.shape[-1] // 2
    sums.weight[..., middle] = n_images * rng.uniform(1, 2, sums.weight.shape[:2])
    sums.n_images = n_images
    return sums


def test_joined_sums_are_those_of_all_images(rng: np.random.Generator) -> None:
    first, second = _random_sums(rng, 3), _random_sums(rng, 8)
    both = joined(first, second)
    np.testing.assert_array_equal(both.data, first.data + second.data)
    np.testing.assert_array_equal(both.weight, first.weight + second.weight)
    assert both.n_images == 11
    total = Accumulator.empty(first.grid)
    total += first
    total += second
    np.testing.assert_allclose(total.data, both.data)


def test_low_resolution_is_shared_and_the_rest_untouched(
    rng: np.random.Generator,
) -> None:
    first, second = _random_sums(rng, 3), _random_sums(rng, 8)
    split = 4.5
    shared = join_low_resolution((first, second), split)
    low = np.hypot(first.grid.z[:, None], first.grid.r) < split
    both = joined(first, second)
    for before, after in zip((first, second), shared, strict=True):
        for name in ("data", "weight"):
            old, new = getattr(before, name), getattr(after, name)
            np.testing.assert_array_equal(new[~low], old[~low])
            np.testing.assert_allclose(new[low], getattr(both, name)[low] / 2)
        assert after.n_images == before.n_images
    # Below the split both halves give the same map, that of all images.
    maps = [solve(a)[low] for a in (*shared, both)]
    np.testing.assert_allclose(maps[0], maps[1], rtol=1e-5)
    np.testing.assert_allclose(maps[0], maps[2], rtol=1e-4, atol=1e-6)


def test_quotient_is_taken_at_every_azimuth(rng: np.random.Generator) -> None:
    """D = W F at each theta, with W uneven; the Wiener term adds to W."""
    grid = CylinderGrid(24, 8, 20)
    theta = 2 * np.pi * np.arange(64) / 64
    wave = np.exp(1j * np.outer(grid.orders, theta))
    truth = _noise(rng, grid.shape)
    truth[..., np.abs(grid.orders) > 6] = 0
    truth[grid.radius > grid.k_max] = 0
    truth[0, 0] = 0
    weight = 2 + np.cos(3 * theta + 0.4)
    data = ((truth @ wave) * weight) @ np.conj(wave.T) / 64
    n_w = WEIGHT_HARMONICS
    weights = (weight @ np.exp(-1j * np.outer(theta, np.arange(-n_w, n_w + 1)))) / 64
    sums = Accumulator(
        grid,
        data.astype(np.complex64),
        np.broadcast_to(weights, (9, 9, 2 * n_w + 1)).astype(np.complex64),
        1,
    )
    assert rms_error(solve(sums), truth) < 1e-5
    wiener = rng.uniform(0.5, 3, 9)
    shell = np.minimum(np.rint(grid.radius).astype(int), 8)
    gain = weight / (weight + wiener[shell][..., None])
    expected = ((truth @ wave) * gain) @ np.conj(wave.T) / 64
    assert rms_error(solve(sums, wiener), expected) < 1e-5


def test_empty_sums_give_an_empty_map() -> None:
    sums = Accumulator.empty(CylinderGrid(24, 8, 10))
    sums.weight[..., 10] = 1
    assert not solve(sums).any()


def test_noise_of_the_map_falls_with_the_weight(rng: np.random.Generator) -> None:
    sums = _random_sums(rng, 5)
    sums.weight[..., sums.weight.shape[-1] // 2] = 4.0
    np.testing.assert_allclose(shell_mean_weight(sums), 4, rtol=1e-6)
    np.testing.assert_allclose(shell_noise(sums), 0.25, rtol=1e-6)
    doubled = dataclasses.replace(sums, weight=2 * sums.weight)
    np.testing.assert_allclose(shell_noise(doubled), 0.125, rtol=1e-6)
