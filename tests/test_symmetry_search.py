"""Twist and rise from maps of known symmetry, and the score against plain loops."""

import numpy as np
import pytest
from numpy.typing import NDArray

from helixnb.core.cylinder import CylinderGrid
from helixnb.core.masks import axial_window
from helixnb.core.symmetry_search import (
    MAX_LAGS,
    MIN_OVERLAP,
    LayerPower,
    layer_power,
    score_grid,
    search,
)
from tests.oracles import blobs, helix

BOX, PIXEL_A, K_MAX = 64, 3.0, 22
WINDOW = axial_window(BOX, 0.8, 0.1 * BOX)


def _layers(volume: NDArray[np.float32], cyclic: int = 1) -> LayerPower:
    grid = CylinderGrid(BOX, K_MAX, 40 // cyclic, cyclic, 2)
    return layer_power(volume, grid, WINDOW, PIXEL_A)


def _helix(
    rng: np.random.Generator, twist: float, rise_A: float, cyclic: int = 1
) -> NDArray[np.float32]:
    unit = np.column_stack([rng.uniform(-9, 9, (4, 2)), rng.uniform(-2, 2, 4)])
    return blobs(helix(unit, twist, rise_A / PIXEL_A, 60.0, cyclic), BOX)


def _plain_score(
    layers: LayerPower, twist_deg: float, rise_A: float, widest_A: float
) -> float:
    """Mean over lags of sum E cos(k (n twist + 2 pi Z rise)) / overlap, over c_0."""
    window = layers.window
    n = len(window)

    def overlap(shift_A: float) -> float:
        whole = int(shift_A / PIXEL_A)
        part = shift_A / PIXEL_A - whole
        product = [
            sum(window[i] * window[i + lag] for i in range(n - lag)) if lag < n else 0.0
            for lag in (whole, whole + 1)
        ]
        return (1 - part) * product[0] + part * product[1]

    whole_overlap = overlap(0.0)
    reach = max(
        lag * PIXEL_A
        for lag in range(1, n)
        if overlap(lag * PIXEL_A) >= MIN_OVERLAP * whole_overlap
    )
    most = int(reach / widest_A)
    lags = sorted(
        {round(x) for x in np.linspace(1, most, min(most, MAX_LAGS)).tolist()}
    )
    total = 0.0
    for lag in lags:
        c = 0.0
        for i, z in enumerate(layers.z_per_A):
            for j, order in enumerate(layers.orders):
                x = order * np.deg2rad(twist_deg) + 2 * np.pi * z * rise_A
                c += layers.power[i, j] * np.cos(lag * x)
        total += c / overlap(lag * rise_A)
    return total / len(lags) * whole_overlap / layers.power.sum()


def test_grid_of_scores_equals_plain_loops(rng: np.random.Generator) -> None:
    layers = LayerPower(
        power=rng.random((9, 7)),
        z_per_A=np.arange(9) / (2 * BOX * PIXEL_A),
        orders=np.arange(-3, 4) * 2,
        window=WINDOW.astype(np.float64),
        pixel_size_A=PIXEL_A,
    )
    twist, rise = np.array([-100.0, 13.0, 77.5]), np.array([11.0, 17.3])
    found = score_grid(layers, twist, rise)
    expected = [[_plain_score(layers, t, r, 17.3) for r in rise] for t in twist]
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)


def test_layer_power_is_the_power_of_the_windowed_map(
    rng: np.random.Generator,
) -> None:
    """Parseval, without the featureless tube."""
    volume = blobs(rng.uniform(-9, 9, (30, 3)), BOX, sigma_px=2.0)
    layers = _layers(volume)
    # Subtract the mean over azimuth and height by turning the map about the axis.
    axis = np.arange(BOX) - BOX // 2
    ring = np.rint(4 * np.hypot(axis[:, None], axis)).astype(int)
    weights = WINDOW / WINDOW.sum()
    profile = np.tensordot(weights, volume, 1)
    mean = np.bincount(ring.ravel(), profile.ravel()) / np.maximum(
        np.bincount(ring.ravel()), 1
    )
    left = (volume - mean[ring]) * WINDOW[:, None, None]
    # 2 pi integral R |F_n|^2 dR dZ = D^3 sum rho^2, at two samples per pixel.
    expected = (left.astype(float) ** 2).sum() * BOX**3
    found = 2 * np.pi * layers.power.sum() / 2**2
    assert found == pytest.approx(expected, rel=0.05)


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
    layers = _layers(_helix(rng, twist, rise_A, cyclic), cyclic)
    # The grid is off the truth and not centred on it.
    found = search(
        layers, (twist - 2.7, twist + 3.3), (0.93 * rise_A, 1.09 * rise_A), n_grid=64
    )
    assert found.best_twist_deg == pytest.approx(twist, abs=0.1)
    assert found.best_rise_A == pytest.approx(rise_A, rel=3e-3)
    assert 0.97 < found.best_score < 1.03
    assert not found.on_edge
    assert found.score.shape == (64, 64)
    assert found.best_score >= found.score.max() - 1e-9


def test_the_other_hand_scores_lower(rng: np.random.Generator) -> None:
    layers = _layers(_helix(rng, 54.0, 16.5))
    right, left = (
        score_grid(layers, np.array([t]), np.array([16.5]))[0, 0] for t in (54.0, -54.0)
    )
    assert right > left + 0.3


def test_noise_has_no_symmetry(rng: np.random.Generator) -> None:
    axis = np.arange(BOX) - BOX // 2
    inside = np.hypot(axis[:, None], axis) < 14
    noise = (rng.standard_normal((BOX, BOX, BOX)) * inside).astype(np.float32)
    found = search(_layers(noise), (20.0, 30.0), (12.0, 18.0), n_grid=32)
    assert abs(found.score.mean()) < 0.02
    assert np.abs(found.score).max() < 0.15


def test_a_featureless_tube_scores_nothing() -> None:
    """Smooth rods agree with every symmetry; that agreement must not count."""
    axis = np.arange(BOX) - BOX // 2
    rod = np.exp(-(np.hypot(axis[:, None], axis) ** 2) / 60)
    volume = np.broadcast_to(rod, (BOX, BOX, BOX)).astype(np.float32)
    structure = np.random.default_rng(1).standard_normal((BOX,) * 3) * rod
    volume = (volume + 0.05 * structure).astype(np.float32)
    found = score_grid(_layers(volume), np.array([25.0]), np.array([15.0]))
    assert abs(found[0, 0]) < 0.2


@pytest.mark.parametrize(
    ("twists", "rises"), [((54.5, 60.0), (15.0, 18.0)), ((50.0, 58.0), (16.9, 18.0))]
)
def test_an_optimum_on_the_edge_is_flagged(
    twists: tuple[float, float], rises: tuple[float, float], rng: np.random.Generator
) -> None:
    layers = _layers(_helix(rng, 54.0, 16.5))
    assert search(layers, twists, rises, n_grid=32).on_edge
