"""The selection rule against the transform of a helix of points, summed directly."""

import numpy as np
import pytest
from scipy.special import jv

from helixnb.backend import get_backend
from helixnb.core.cylinder import CylinderGrid
from helixnb.core.filament_frame import FrameImages, upright
from helixnb.core.images import padded_transforms
from helixnb.core.layer_lines import power_spectra, selection_rule
from tests.oracles import helix
from tests.scenes import FLAT


def _coefficient(
    points: np.ndarray, order: int, r_per_A: float, z_per_A: float
) -> float:
    """|F_n(R, Z)| of unit points: sum J_n(2 pi R r) exp(-i n phi - 2 pi i Z z)."""
    x, y, z = points.T
    phase = -order * np.arctan2(y, x) - 2 * np.pi * z_per_A * z
    bessel = jv(order, 2 * np.pi * r_per_A * np.hypot(x, y))
    return float(np.abs(np.sum(bessel * np.exp(1j * phase))))


@pytest.mark.parametrize("cyclic", [1, 3])
@pytest.mark.parametrize("twist_deg", [-166.65, 22.03, 54.0])
def test_helices_have_power_where_the_rule_allows(
    twist_deg: float, cyclic: int
) -> None:
    rise_A, radius_A = 11.3, 31.0
    points = helix(np.array([[radius_A, 0, 0]]), twist_deg, rise_A, 1500, cyclic)
    rule = selection_rule(
        twist_deg,
        rise_A,
        cyclic,
        radius_A=radius_A,
        max_order=12,
        max_frequency_per_A=0.15,
    )
    assert len(rule.order) > 10
    for order, z, r in zip(
        rule.order, rule.z_per_A, rule.first_maximum_per_A, strict=True
    ):
        peak = abs(jv(order, 2 * np.pi * r * radius_A)) * len(points)
        assert _coefficient(points, order, r, z) == pytest.approx(peak, rel=1e-6)
        # Between lines of the same order there is next to nothing.
        between = _coefficient(points, order, r, z + 0.4 / rise_A)
        assert between < 0.02 * peak


def test_orders_between_those_of_the_cyclic_group_vanish() -> None:
    points = helix(np.array([[20.0, 0, 0]]), 30.0, 9.0, 500, cyclic=3)
    rule = selection_rule(
        30.0, 9.0, 3, radius_A=20.0, max_order=10, max_frequency_per_A=0.3
    )
    assert set(rule.order) == {-9, -6, -3, 0, 3, 6, 9}
    for z in np.linspace(0, 0.2, 41):
        assert _coefficient(points, 1, 0.02, z) < 1e-6 * len(points)


def test_first_maxima_are_where_the_bessel_function_is_largest() -> None:
    rule = selection_rule(
        20.0, 5.0, 1, radius_A=50.0, max_order=8, max_frequency_per_A=0.5
    )
    r = np.linspace(0, 0.2, 20001)
    for order in range(9):
        found = rule.first_maximum_per_A[np.abs(rule.order) == order]
        best = r[np.abs(jv(order, 2 * np.pi * r * 50.0)).argmax()]
        np.testing.assert_allclose(found, best, atol=2e-5)


def test_lines_are_sorted_and_complete() -> None:
    rule = selection_rule(
        -166.65, 28.1, 1, radius_A=30.0, max_order=6, max_frequency_per_A=0.1
    )
    assert np.all(np.diff(rule.z_per_A) >= 0)
    assert np.all(np.hypot(rule.z_per_A, rule.first_maximum_per_A) <= 0.1)
    # F-actin's strongest lines: n = 2 near 1/370, n = -1 near 1/59, n = 1 near 1/51 A.
    spacing = {
        int(n): 1 / z
        for n, z in zip(rule.order[::-1], rule.z_per_A[::-1], strict=True)
        if z > 0
    }
    assert abs(spacing[2] - 379) < 10 or abs(spacing[-2] - 379) < 10
    pair = sorted([spacing[1], spacing[-1]])
    np.testing.assert_allclose(pair, [52.3, 60.7], atol=0.5)


def test_white_noise_has_power_one_and_no_model(rng: np.random.Generator) -> None:
    n, box, k_max = 80, 32, 10
    backend = get_backend("cpu")
    stack = rng.standard_normal((n, box, box)).astype(np.float32)
    psi = rng.uniform(-180, 180, n)
    transforms = padded_transforms(stack, k_max)
    data, contrast = upright(
        transforms, np.tile(FLAT, (n, 1)), psi, k_max, 0.01, backend
    )
    zero = np.zeros(n)
    frames = FrameImages(data, contrast, zero + 90, zero, zero, zero, box)
    grid = CylinderGrid(box, k_max + 3, 4, 1, 2)
    spectra = power_spectra(
        frames,
        np.zeros(grid.shape, np.complex64),
        grid,
        np.full(box // 2 + 1, float(box**2)),
        backend,
    )
    inside = frames.plane.multiplicity > 0
    assert spectra.images[inside].mean() == pytest.approx(1.0, abs=0.02)
    assert spectra.images[inside].std() < 2 / np.sqrt(n)
    assert not spectra.images[~inside].any()
    assert not spectra.model.any()
