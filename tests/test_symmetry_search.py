"""Twist and rise from maps of known symmetry, and the score against plain loops."""

import time

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates

from helixnb.core.map_harmonics import MapHarmonics, map_harmonics
from helixnb.core.masks import FILAMENT_EDGE_A, axial_window
from helixnb.core.self_correlation import (
    MAX_LAGS,
    MIN_OVERLAP,
    LayerPower,
    SelfCorrelation,
    layer_power,
    score_grid,
    self_correlation,
    usable_lags,
)
from helixnb.core.symmetry_search import (
    MAX_EXTENSIONS,
    SearchRange,
    search,
    search_extending,
)
from tests.oracles import Float, blobs, helix, transform, turned

BOX, PIXEL_A, RADIUS_A = 64, 3.0, 54.0
WINDOW = axial_window(BOX, 0.8, 0.1 * BOX)


def _harmonics(
    volume: NDArray[np.float32],
    cyclic: int = 1,
    resolution_A: float = 8.7,
    outer_radius_A: float = RADIUS_A,
    inner_radius_A: float = 0.0,
) -> MapHarmonics:
    return map_harmonics(
        volume,
        WINDOW,
        pixel_size_A=PIXEL_A,
        resolution_A=resolution_A,
        outer_radius_A=outer_radius_A,
        inner_radius_A=inner_radius_A,
        cyclic=cyclic,
    )


def _prepared(volume: NDArray[np.float32], cyclic: int = 1) -> SelfCorrelation:
    return self_correlation(layer_power(_harmonics(volume, cyclic)))


def _unit(rng: np.random.Generator) -> Float:
    return np.column_stack([rng.uniform(-9, 9, (4, 2)), rng.uniform(-2, 2, 4)])


def _helix(
    rng: np.random.Generator, twist: float, rise_A: float, cyclic: int = 1
) -> NDArray[np.float32]:
    return blobs(helix(_unit(rng), twist, rise_A / PIXEL_A, 60.0, cyclic), BOX)


def _masked(volume: NDArray[np.floating], outer_A: float, inner_A: float) -> Float:
    """Map under a soft ring and the axial window."""
    axis = (np.arange(BOX) - BOX // 2) * PIXEL_A
    radius = np.hypot(axis[:, None], axis)
    outside = np.clip((radius - outer_A) / FILAMENT_EDGE_A, 0, 1)
    ring = 0.5 + 0.5 * np.cos(np.pi * outside)
    if inner_A:
        inside = np.clip((inner_A - radius) / FILAMENT_EDGE_A, 0, 1)
        ring = ring * (0.5 + 0.5 * np.cos(np.pi * inside))
    return np.asarray(volume, float) * ring * WINDOW[:, None, None]


def test_harmonics_equal_the_direct_transform(rng: np.random.Generator) -> None:
    """F_n(R, Z) = mean over theta of the 3-D transform times exp(-i n theta)."""
    volume = rng.standard_normal((BOX, BOX, BOX)).astype(np.float32)
    found = _harmonics(volume, outer_radius_A=36.0, inner_radius_A=9.0)
    masked = _masked(volume, 36.0, 9.0)
    theta = 2 * np.pi / 128 * np.arange(128)
    scale = np.abs(found.values).max()
    for i, j in ((2, 0), (5, 3), (9, 16), (7, 9)):
        r, z = (found.r_per_A[i] * BOX * PIXEL_A, found.z_per_A[j] * BOX * PIXEL_A)
        k = np.column_stack([r * np.cos(theta), r * np.sin(theta), np.full(128, z)])
        ring = transform(masked, k)
        # Its featureless tube: n = 0 at Z = 0, spread by the window.
        flat = transform(masked, k * [1, 1, 0]).mean()
        place = np.arange(BOX) - BOX // 2
        along = (WINDOW * np.exp(-2j * np.pi * place * z / BOX)).sum() / WINDOW.sum()
        for n in (0, 1, -4, 9):
            expected = (ring * np.exp(-1j * n * theta)).mean()
            if n == 0:
                expected -= flat * along
            column = int(np.flatnonzero(found.orders == n)[0])
            assert abs(found.values[i, column, j] - expected) < 2e-3 * scale


def test_harmonics_of_a_sum_are_the_sum(rng: np.random.Generator) -> None:
    first, second = rng.standard_normal((2, BOX, BOX, BOX)).astype(np.float32)
    both = _harmonics(first) + _harmonics(second)
    np.testing.assert_allclose(
        both.values,
        _harmonics(first + second).values,
        atol=1e-5 * np.abs(both.values).max(),
    )


def test_nothing_is_kept_beyond_the_resolution(rng: np.random.Generator) -> None:
    volume = rng.standard_normal((BOX, BOX, BOX)).astype(np.float32)
    found = _harmonics(volume, resolution_A=12.0)
    k = np.hypot(found.r_per_A[:, None], found.z_per_A)
    shell = np.abs(found.values).max(axis=1)
    assert (shell[k > 1 / 12] == 0).all()
    assert (shell[k < 0.9 / 12] > 0).all()
    assert found.z_per_A[-1] > 0.95 / 12


def _layers(rng: np.random.Generator) -> LayerPower:
    return LayerPower(
        power=rng.random((7, 9)),
        orders=np.arange(-3, 4) * 2,
        z_per_A=np.arange(9) / (1.5 * BOX * PIXEL_A),
        overlap=np.array([_plain_overlap(PIXEL_A * lag) for lag in range(BOX)]),
        pixel_size_A=PIXEL_A,
        cyclic=2,
    )


def _plain_overlap(shift_A: float) -> float:
    whole = int(shift_A / PIXEL_A)
    part = shift_A / PIXEL_A - whole
    window = WINDOW.astype(float)
    product = [
        sum(window[i] * window[i + lag] for i in range(BOX - lag)) if lag < BOX else 0.0
        for lag in (whole, whole + 1)
    ]
    return ((1 - part) * product[0] + part * product[1]) / float((window**2).sum())


def _plain_lags(widest_A: float) -> list[int]:
    shifts = [PIXEL_A * lag for lag in range(1, BOX)]
    reach = max(s for s in shifts if _plain_overlap(s) >= MIN_OVERLAP)
    most = int(reach / widest_A)
    return sorted(
        {round(x) for x in np.linspace(1, most, min(most, MAX_LAGS)).tolist()}
    )


def _plain_score(
    layers: LayerPower, twist_deg: float, rise_A: float, widest_A: float
) -> float:
    """Mean over lags of sum E cos(k (n twist + 2 pi Z rise)) / overlap, over c_0."""
    total, lags = 0.0, _plain_lags(widest_A)
    for lag in lags:
        c = 0.0
        for i, order in enumerate(layers.orders):
            for j, z in enumerate(layers.z_per_A):
                x = order * np.deg2rad(twist_deg) + 2 * np.pi * z * rise_A
                c += layers.power[i, j] * np.cos(lag * x)
        total += c / _plain_overlap(lag * rise_A)
    return total / len(lags) / float(layers.power.sum())


def test_grid_of_scores_equals_plain_loops(rng: np.random.Generator) -> None:
    """To the accuracy of the spline, at its worst on a white spectrum."""
    layers = _layers(rng)
    twist, rise = np.array([-100.0, 13.0, 77.5]), np.array([11.0, 17.3])
    found = score_grid(self_correlation(layers), twist, rise)
    expected = [[_plain_score(layers, t, r, 17.3) for r in rise] for t in twist]
    np.testing.assert_allclose(found, expected, atol=3e-4)
    assert np.abs(expected).max() > 0.02


def test_lags_may_be_chosen(rng: np.random.Generator) -> None:
    correlation = self_correlation(_layers(rng))
    twist, rise = np.array([31.0]), np.array([9.0])
    each = [score_grid(correlation, twist, rise, np.array([k])) for k in (1, 2, 5)]
    together = score_grid(correlation, twist, rise, np.array([1, 2, 5]))
    np.testing.assert_allclose(together, np.mean(each, axis=0), rtol=1e-5)


def _direct_correlation(
    points_px: Float, twist_deg: float, rise_A: float, lags: NDArray[np.int64]
) -> float:
    """Sum voxel by voxel in real space: the density of blobs is known anywhere.

    P(x) = mask(x) (rho(x) - mean over azimuth and height) and its copy P(S^k x), both
    windowed, over the mean power of both where the windows overlap.
    """
    axis = (np.arange(BOX) - BOX // 2).astype(float)
    z, y, x = np.meshgrid(axis, axis, axis, indexing="ij")
    reach = 15
    inside = np.hypot(x, y) <= reach
    voxels = np.column_stack([x[inside], y[inside], z[inside]])
    radii = np.linspace(0, reach + 1, 69)
    ring = 2 * np.pi / 90 * np.arange(90)
    heights = axis[WINDOW > 0]
    circle = np.stack(
        np.broadcast_arrays(
            radii[:, None, None] * np.cos(ring)[:, None],
            radii[:, None, None] * np.sin(ring)[:, None],
            heights,
        ),
        axis=-1,
    )
    shade = _density(points_px, circle.reshape(-1, 3)).reshape(circle.shape[:-1])
    profile = shade.mean(axis=1) @ WINDOW[WINDOW > 0] / WINDOW.sum()

    def masked(at: Float) -> tuple[Float, Float]:
        radius = np.hypot(at[:, 0], at[:, 1])
        outside = np.clip((PIXEL_A * radius - 30.0) / FILAMENT_EDGE_A, 0, 1)
        window = np.interp(at[:, 2], axis, WINDOW, left=0, right=0)
        lifted = _density(points_px, at) - np.interp(radius, radii, profile)
        return lifted * (0.5 + 0.5 * np.cos(np.pi * outside)), window

    here, window = masked(voxels)
    total = 0.0
    for lag in lags:
        there, moved = masked(turned(voxels, lag * twist_deg, lag * rise_A / PIXEL_A))
        both = window * moved
        total += (both * here) @ there / (both @ (here**2 + there**2) / 2)
    return float(total / len(lags))


def _density(points_px: Float, at: Float, sigma_px: float = 2.0) -> Float:
    total = np.zeros(len(at))
    for point in points_px:
        total += np.exp(-((at - point) ** 2).sum(axis=1) / (2 * sigma_px**2))
    return total


def test_score_equals_a_sum_over_voxels(rng: np.random.Generator) -> None:
    """The whole chain against real space, on a random map and on a helix."""
    random = np.column_stack([rng.uniform(-9, 9, (20, 2)), rng.uniform(-24, 24, 20)])
    unit = np.column_stack([rng.uniform(-9, 9, (2, 2)), rng.uniform(-2, 2, 2)])
    for points in (random, helix(unit, 54.0, 5.5, 36.0)):
        volume = blobs(points, BOX, sigma_px=2.0)
        harmonics = _harmonics(volume, resolution_A=6.3, outer_radius_A=30.0)
        correlation = self_correlation(layer_power(harmonics))
        for twist, rise_A in ((54.0, 16.5), (51.0, 17.1)):
            lags = usable_lags(correlation.layers, rise_A)
            expected = _direct_correlation(points, twist, rise_A, lags)
            found = score_grid(correlation, np.array([twist]), np.array([rise_A]))[0, 0]
            assert found == pytest.approx(expected, abs=0.01)


@pytest.mark.parametrize(
    ("twist", "rise_A", "cyclic"),
    [
        (-166.65, 28.11, 1),
        (22.03, 7.2, 1),
        (54.0, 16.5, 1),
        (35.0, 15.0, 3),
        (-101.1, 5.13, 1),
    ],
)
def test_known_symmetry_is_found(
    twist: float, rise_A: float, cyclic: int, rng: np.random.Generator
) -> None:
    prepared = _prepared(_helix(rng, twist, rise_A, cyclic), cyclic)
    # The grid is off the truth and not centred on it.
    where = SearchRange.between(
        (twist - 2.7, twist + 3.3), (0.93 * rise_A, 1.09 * rise_A), (64, 48)
    )
    found = search(prepared, where)
    assert found.best_twist_deg == pytest.approx(twist, abs=0.1)
    assert found.best_rise_A == pytest.approx(rise_A, rel=3e-3)
    assert 0.97 < found.best_score < 1.03
    assert not found.on_edge
    assert found.score.shape == (64, 48)
    assert found.best_score >= found.score.max() - 1e-6


def test_the_other_hand_scores_lower(rng: np.random.Generator) -> None:
    prepared = _prepared(_helix(rng, 54.0, 16.5))
    left, right = score_grid(prepared, np.array([-54.0, 54.0]), np.array([16.5]))[:, 0]
    assert right > left + 0.3


def test_a_dyad_in_the_map_changes_nothing_and_noise_less(
    rng: np.random.Generator,
) -> None:
    """Averaging over the dyad keeps what obeys it and halves what does not."""
    unit = _unit(rng)
    dihedral = np.concatenate([unit, unit * [1, -1, -1]])
    volume = blobs(helix(dihedral, 30.0, 20.0 / PIXEL_A, 60.0), BOX)
    harmonics = _harmonics(volume)
    plain, averaged = (layer_power(harmonics, dihedral=d) for d in (False, True))
    np.testing.assert_allclose(
        averaged.power, plain.power, atol=2e-3 * plain.power.max()
    )
    noise = _harmonics(rng.standard_normal((BOX, BOX, BOX)).astype(np.float32))
    plain, averaged = (layer_power(noise, dihedral=d) for d in (False, True))
    ratio = averaged.power.sum() / plain.power.sum()
    assert ratio == pytest.approx(0.5, abs=0.03)


def test_noise_has_no_symmetry(rng: np.random.Generator) -> None:
    noise = rng.standard_normal((BOX, BOX, BOX)).astype(np.float32)
    where = SearchRange.between((20.0, 30.0), (12.0, 18.0), (32, 32))
    found = search(_prepared(noise), where)
    assert abs(found.score.mean()) < 0.02
    assert np.abs(found.score).max() < 0.15


def test_a_featureless_tube_scores_nothing() -> None:
    """Smooth rods agree with every symmetry; that agreement must not count."""
    axis = np.arange(BOX) - BOX // 2
    rod = np.exp(-(np.hypot(axis[:, None], axis) ** 2) / 60)
    volume = np.broadcast_to(rod, (BOX, BOX, BOX)).astype(np.float32)
    structure = np.random.default_rng(1).standard_normal((BOX,) * 3) * rod
    volume = (volume + 0.05 * structure).astype(np.float32)
    found = score_grid(_prepared(volume), np.array([25.0]), np.array([15.0]))
    assert abs(found[0, 0]) < 0.2


@pytest.mark.parametrize(
    ("twists", "rises"), [((54.5, 60.0), (15.0, 18.0)), ((50.0, 58.0), (16.9, 18.0))]
)
def test_an_optimum_beyond_the_edge_is_found_by_extending(
    twists: tuple[float, float], rises: tuple[float, float], rng: np.random.Generator
) -> None:
    prepared = _prepared(_helix(rng, 54.0, 16.5))
    where = SearchRange.between(twists, rises, (64, 64))
    assert search(prepared, where).on_edge
    found, extensions = search_extending(prepared, where)
    assert 1 <= extensions <= MAX_EXTENSIONS
    assert not found.on_edge
    assert found.best_twist_deg == pytest.approx(54.0, abs=0.2)
    assert found.best_rise_A == pytest.approx(16.5, rel=5e-3)


def test_extending_ends(rng: np.random.Generator) -> None:
    prepared = _prepared(_helix(rng, 54.0, 16.5))
    far = SearchRange((44.0, 0.5), (16.5, 0.1), (16, 16))
    found, extensions = search_extending(prepared, far)
    assert found.on_edge
    assert extensions == MAX_EXTENSIONS
    assert np.ptp(found.twist_deg) == pytest.approx(2 * 0.5 * 2**MAX_EXTENSIONS)


def test_a_point_of_the_map_costs_far_less_than_a_loop(
    rng: np.random.Generator,
) -> None:
    """Guard on the ratio alone: what a point costs in real space, and here."""
    volume = _helix(rng, 54.0, 16.5)

    def naive() -> float:
        axis = np.arange(BOX) - BOX // 2
        z, y, x = np.meshgrid(axis, axis, axis, indexing="ij")
        inside = np.hypot(x, y) * PIXEL_A < RADIUS_A
        points = np.stack([x[inside], y[inside], z[inside]], axis=-1)
        total = 0.0
        for lag in (1, 2):
            x1, y1, z1 = turned(points, lag * 54.0, lag * 16.5 / PIXEL_A).T + BOX // 2
            copy = map_coordinates(volume, [z1, y1, x1], order=1)
            total += float(np.corrcoef(copy, volume[inside])[0, 1])
        return total

    where = SearchRange((54.0, 3.0), (16.5, 1.6))
    search(_prepared(volume), where)  # compiles

    def fast() -> None:
        search(_prepared(volume), where)

    once, grid = (min(_seconds(f) for _ in range(3)) for f in (naive, fast))
    # 128 x 128 points, preparation included, against as many loops: about 1e5 times.
    assert 128 * 128 * once > 20_000 * grid


def _seconds(function: object) -> float:
    start = time.process_time()  # other processes may be at work
    function()  # type: ignore[operator]
    return time.process_time() - start
