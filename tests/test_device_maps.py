"""What an iteration makes of maps, on a device as on the CPU."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from helixnb.backend import get_backend
from helixnb.backend.arrays import to_host
from helixnb.core.density_mask import density_distance
from helixnb.core.fsc import half_map_fsc
from helixnb.core.postprocess import scale_shells
from helixnb.iteration import twist_rise
from helixnb.iteration.masking import Masking
from helixnb.parameters import Parameters
from tests.oracles import blobs, helix

BOX, PIXEL_A = 40, 2.6
TWIST_DEG, RISE_PX = 50.0, 4.0
PARAMETERS = Parameters(twist_deg=TWIST_DEG, rise_A=RISE_PX * PIXEL_A)
MASKING = Masking(BOX, PIXEL_A, PARAMETERS, 36.0)


@pytest.fixture(scope="module")
def halves() -> NDArray[np.float32]:
    """Make a helix of blobs, with noise of its own in either half."""
    unit = np.array([[8.0, 0.0, 0.0]])
    signal = blobs(helix(unit, TWIST_DEG, RISE_PX, 40.0), BOX, sigma_px=1.6)
    noise = 0.1 * np.random.default_rng(4).standard_normal((2, BOX, BOX, BOX))
    return (signal + noise).astype(np.float32)


def _nearly_all_alike(found: Any, expected: NDArray[np.float32]) -> None:
    """To rounding; a voxel at the threshold may fall on either side of it."""
    apart = np.abs(to_host(found) - expected)
    assert found.dtype == expected.dtype
    assert np.mean(apart > 1e-4) < 1e-3


@pytest.mark.parametrize("pixel_A", [1.6, 2.6])
def test_distances_to_the_density(
    device: Any, halves: NDArray[np.float32], pixel_A: float
) -> None:
    """On a thinned grid and on the whole one, in two parts, one of them hollow."""
    density = np.zeros((BOX,) * 3, np.float32)
    density[5:19, 6:20, 8:22] = 1.0
    density[9:15, 10:16, 12:18] = 0.0
    density[28:36, 20:30, 25:33] = 0.8
    density[2, 37, 37] = 1.0
    inside = np.ones(density.shape, bool)
    inside[:, :, -4:] = False
    expected = density_distance(density, inside, 0.5, pixel_A)
    send = device.xp.asarray
    found = density_distance(send(density), send(inside), 0.5, pixel_A)
    np.testing.assert_allclose(to_host(found), expected, rtol=1e-6)
    assert expected[12, 13, 15] == 0  # the hole
    assert len(np.unique(expected)) > 100


def test_no_density_at_all_is_nowhere_near(device: Any) -> None:
    nothing = -np.ones((9, 9, 9), np.float32)
    inside = np.ones(nothing.shape, bool)
    send = device.xp.asarray
    found = density_distance(send(nothing), send(inside), 0.5, 3.0)
    assert np.isposinf(to_host(found)).all()
    assert np.isposinf(density_distance(nothing, inside, 0.5, 3.0)).all()


def test_masks_of_the_fsc(device: Any, halves: NDArray[np.float32]) -> None:
    expected = MASKING.of_fsc(halves)
    sent = device.xp.asarray(halves)
    found = MASKING.of_fsc(sent)
    for name in ("cylinder", "loose", "tight"):
        _nearly_all_alike(getattr(found, name), getattr(expected, name))
        assert 0.02 < getattr(expected, name).mean() < 0.98


def test_mask_that_follows_the_density(
    device: Any, halves: NDArray[np.float32]
) -> None:
    dynamic = replace(MASKING, parameters=PARAMETERS.changed(mask="dynamic"))
    expected = dynamic.of_density(halves, 8.0, None)
    found = dynamic.of_density(halves, 8.0, None, device.upload)
    assert expected is not None
    _nearly_all_alike(found, expected)
    assert 0.02 < expected.mean() < 0.5


def test_shells_scaled(device: Any, rng: np.random.Generator) -> None:
    for box in (13, 16):
        volume = rng.standard_normal((box, box, box)).astype(np.float32)
        factor = rng.random(box // 2 + 1)
        expected = scale_shells(volume, factor)
        found = to_host(scale_shells(device.xp.asarray(volume), factor))
        np.testing.assert_allclose(found, expected, atol=1e-5)


def test_curves_of_the_fsc(device: Any, halves: NDArray[np.float32]) -> None:
    """All of them, with the same random phases."""
    masks = MASKING.of_fsc(halves)
    cpu, seed = get_backend("cpu"), np.random.default_rng
    expected = half_map_fsc(*halves, masks, PIXEL_A, seed(1), cpu)
    sent = device.xp.asarray(halves)
    found = half_map_fsc(sent[0], sent[1], masks, PIXEL_A, seed(1), device)
    for name in ("unmasked", "cylinder", "loose", "tight", "carriers"):
        curve = getattr(found, name)
        assert isinstance(curve, np.ndarray)
        np.testing.assert_allclose(curve, getattr(expected, name), rtol=1e-4, atol=1e-5)
    assert found.substitution is not None
    assert expected.substitution is not None
    np.testing.assert_allclose(
        found.substitution.corrected, expected.substitution.corrected, atol=1e-4
    )


@pytest.mark.parametrize("point_group", ["C1", "C2", "D1"])
def test_search_of_the_symmetry(
    device: Any, halves: NDArray[np.float32], point_group: str
) -> None:
    """What comes to the host is layer power, and the spectrum of dyads."""
    parameters = PARAMETERS.changed(
        point_group=point_group, search_twist_points=24, search_rise_points=16
    )
    cut = halves[..., 3:-4, 3:-4]
    given = (PIXEL_A, parameters)
    how = {"outer_radius_A": 36.0, "reached_A": 7.0}
    expected = twist_rise.prepare(cut, *given, **how)
    found = twist_rise.prepare(device.xp.asarray(cut), *given, **how)
    for name in ("half_A", "half_B", "joint"):
        a, b = (getattr(p, name).layers for p in (found, expected))
        assert type(a.power) is np.ndarray
        np.testing.assert_allclose(a.power, b.power, atol=1e-5 * b.power.max())
        np.testing.assert_allclose(a.overlap, b.overlap, atol=1e-5)
    spectrum = expected.turned.spectrum
    np.testing.assert_allclose(
        found.turned.spectrum, spectrum, atol=1e-5 * np.abs(spectrum).max()
    )
    assert parameters.symmetry is not None
    where = twist_rise.search_range(parameters, parameters.symmetry)
    a, b = (twist_rise.score(p, where) for p in (found, expected))
    np.testing.assert_allclose(a.joint.score, b.joint.score, atol=1e-4)
    assert a.joint.best_twist_deg == pytest.approx(b.joint.best_twist_deg, abs=0.01)
    assert b.joint.best_score > 0.3
