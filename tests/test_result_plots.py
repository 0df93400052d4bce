"""Plots of noise, of the symmetry-blind check and of the asymmetric unit."""

from dataclasses import replace

import holoviews as hv
import numpy as np
import pytest

from helixnb import results
from helixnb.core.blind_check import BlindCheck
from helixnb.dashboards import asymmetric_unit, noise_spectrum, symmetry_check
from tests.standins import (
    N_SEGMENTS,
    StandinParticles,
    standin_state,
)

hv.extension("bokeh", logo=False)


def test_every_segment_is_in_the_asymmetric_unit() -> None:
    state, particles = standin_state(5), StandinParticles()
    orientations = results.orientations(state, particles)  # type: ignore[arg-type]
    image = asymmetric_unit.plot(orientations)
    assert image.dimension_values("segments").sum() == N_SEGMENTS
    left, bottom, right, top = image.bounds.lbrt()
    assert (left, right) == (-180, 180)
    shift = orientations["axial_shift"].to_numpy()
    assert top == -bottom == pytest.approx(np.abs(shift).max())
    # A segment is drawn where its azimuth and shift are.
    one = orientations.isel(particle=[7])
    place = asymmetric_unit.plot(one).dframe().query("segments > 0").iloc[0]
    assert abs(place["azimuth"] - float(one["rot"][0])) <= 5
    assert np.sign(place["axial_shift"]) == np.sign(float(one["axial_shift"][0]))


def test_noise_is_drawn_ring_by_ring() -> None:
    state = standin_state(5)
    noise = results.noise(replace(state, noise_power=state.noise_power * 3), 2.0)
    curve = noise_spectrum.plot(noise)
    np.testing.assert_allclose(curve.dimension_values("noise"), 3.0)
    assert len(curve) == len(noise) - 1
    hv.render(curve)


def test_the_check_says_what_it_found() -> None:
    state = standin_state(5)
    n = len(state.fsc.frequency_per_A)
    curve = np.linspace(1, 0, n)
    check = BlindCheck(curve, curve, curve, np.full(n, 0.93), 0.93, 2, n)
    labelled = results.symmetry_check(replace(state, check=check))
    assert labelled is not None
    drawn = symmetry_check.plot(labelled)
    assert len(drawn) == len(symmetry_check.CURVES)
    assert "0.93" in drawn.opts.get("plot").kwargs["title"]
    unknown = replace(check, overall=float("nan"))
    labelled = results.symmetry_check(replace(state, check=unknown))
    assert labelled is not None
    title = symmetry_check.plot(labelled).opts.get("plot").kwargs["title"]
    assert "cannot be judged" in title
    assert results.symmetry_check(state) is None
