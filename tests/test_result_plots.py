"""Plots of noise, of the symmetry-blind check and of the asymmetric unit."""

from dataclasses import replace

import numpy as np

from helixnb import results
from helixnb.core.blind_check import BlindCheck
from helixnb.dashboards.chart import value_at
from helixnb.dashboards.drawing import figure_of
from helixnb.dashboards.views import asymmetric_unit, noise_spectrum, symmetry_check
from tests.standins import (
    N_SEGMENTS,
    StandinParticles,
    standin_state,
)


def test_every_segment_is_in_the_asymmetric_unit() -> None:
    state, particles = standin_state(5), StandinParticles()
    orientations = results.orientations(state, particles)  # type: ignore[arg-type]
    drawn = asymmetric_unit.plot(orientations)
    assert drawn.layers[0].columns["image"][0].sum() == N_SEGMENTS
    assert drawn.x.limits == (-180, 180)
    assert drawn.y.limits
    bottom, top = drawn.y.limits
    shift = orientations["axial_shift"].to_numpy()
    assert bottom <= shift.min() < shift.max() <= top
    assert top - bottom < 1.2 * np.ptp(shift)
    # A segment is drawn where its azimuth and shift are.
    some = orientations.isel(particle=[7, 8, 9])
    (image,) = asymmetric_unit.plot(some).layers
    assert image.columns["image"][0].sum() == 3
    rot, shift = (some[name].to_numpy() for name in ("rot", "axial_shift"))
    inner = shift.mean() + 0.999 * (shift - shift.mean())
    for x, y in zip(rot, inner, strict=True):
        assert value_at(image, float(x), float(y)) >= 1


def test_noise_is_drawn_ring_by_ring() -> None:
    state = standin_state(5)
    noise = results.noise(replace(state, noise_power=state.noise_power * 3), 2.0)
    drawn = noise_spectrum.plot(noise)
    (curve,) = drawn.layers
    np.testing.assert_allclose(curve.columns["y"], 3.0)
    assert len(curve) == len(noise) - 1
    figure_of(drawn)


def test_the_check_says_what_it_found() -> None:
    state = standin_state(5)
    n = len(state.fsc.frequency_per_A)
    curve = np.linspace(1, 0, n)
    check = BlindCheck(curve, curve, curve, np.full(n, 0.93), 0.93, 2, n)
    labelled = results.symmetry_check(replace(state, check=check))
    assert labelled is not None
    drawn = symmetry_check.plot(labelled)
    assert len(drawn.layers) == len(symmetry_check.CURVES)
    assert "0.93" in drawn.title
    unknown = replace(check, overall=float("nan"))
    labelled = results.symmetry_check(replace(state, check=unknown))
    assert labelled is not None
    title = symmetry_check.plot(labelled).title
    assert "cannot be judged" in title
    assert results.symmetry_check(state) is None
