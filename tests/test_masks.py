"""Masks: 1 inside, 0 outside, soft between, and away from the box ends."""

import numpy as np
import pytest

from helixnb.core.masks import axial_window, cylinder, soft_step


def test_soft_step_falls_from_one_to_zero_over_its_edge() -> None:
    distance = np.array([-5.0, 0.0, 1.0, 2.0, 3.0, 4.0, 9.0])
    found = soft_step(distance, 4.0)
    np.testing.assert_allclose(found[[0, 1, 3, 5, 6]], [1, 1, 0.5, 0, 0], atol=1e-12)
    assert (np.diff(found) <= 0).all()


@pytest.mark.parametrize("box", [40, 41])
@pytest.mark.parametrize("fraction", [0.3, 0.7])
def test_axial_window_keeps_its_fraction_at_half_height(
    box: int, fraction: float
) -> None:
    window = axial_window(box, fraction, 6.0)
    assert window.sum() == pytest.approx(fraction * box, abs=0.5)
    assert window[box // 2] == 1
    height = np.abs(np.arange(box) - box // 2)
    np.testing.assert_allclose(window[height <= fraction * box / 2 - 3], 1)
    np.testing.assert_allclose(window[height >= fraction * box / 2 + 3], 0, atol=1e-6)


def test_cylinder_follows_its_radii() -> None:
    box, outer, inner, edge = 48, 14.0, 5.0, 3.0
    mask = cylinder(box, outer_radius_px=outer, inner_radius_px=inner, edge_px=edge)
    axis = np.arange(box) - box // 2
    radius = np.hypot(axis[:, None], axis)
    wall = (radius >= inner) & (radius <= outer)
    assert (mask[:, wall] == 1).all()
    assert (mask[:, radius >= outer + edge] == 0).all()
    assert (mask[:, radius <= inner - edge] == 0).all()
    soft = (radius > outer) & (radius < outer + edge)
    assert ((mask[:, soft] > 0) & (mask[:, soft] < 1)).all()
    # Open at the ends, and the same at every height.
    np.testing.assert_array_equal(mask, mask[:1].repeat(box, 0))


def test_solid_cylinder_has_no_hole() -> None:
    assert cylinder(32, outer_radius_px=8)[16, 16, 16] == 1


def test_clipped_cylinder_stays_away_from_the_ends() -> None:
    box = 48
    mask = cylinder(box, outer_radius_px=12, axial_fraction=0.7, axial_edge_px=4.8)
    profile = mask[:, box // 2, box // 2]
    np.testing.assert_array_equal(profile, axial_window(box, 0.7, 4.8))
    assert not mask[:3].any()
    assert not mask[-3:].any()
