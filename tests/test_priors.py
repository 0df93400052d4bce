"""Priors from the neighbours along a filament."""

import numpy as np
import pytest
from numpy.typing import NDArray

from helixnb.core.poses import Poses
from helixnb.core.priors import Priors, from_neighbours, seen_from_first_polarity

N = 12
TRACK = 50.0 * np.arange(N)


def _poses(
    psi: NDArray, tilt: NDArray, shift: NDArray, polarity: NDArray | int = 0
) -> Poses:
    n = len(psi)
    flat = np.zeros(n)
    return Poses(
        polarity=np.broadcast_to(polarity, n).astype(np.int8),
        polarity_probability=flat + 1,
        psi_deg=psi,
        tilt_deg=tilt,
        azimuth_deg=flat,
        shift_px=shift,
        axial_px=flat,
        effective_poses=flat + 1,
        log_evidence=flat,
        scale=flat + 1,
        scale_information=flat + 1,
    )


def _bend(track: NDArray) -> tuple[NDArray, NDArray, NDArray]:
    """In-plane angle through 180, tilt and shift of a gently bent filament."""
    return 176.0 + 0.012 * track, 88.0 + 0.006 * track, 1.0 - 0.002 * track


def _given(n: int) -> Priors:
    return Priors(np.zeros(n), np.full(n, 90.0), np.zeros(n), np.ones(n, bool))


def test_a_straight_change_is_followed() -> None:
    psi, tilt, shift = _bend(TRACK)
    poses = _poses((psi + 180) % 360 - 180, tilt, shift)
    found = from_neighbours(_given(N), poses, np.zeros(N, np.int32), TRACK, 100.0)
    inner = slice(2, -2)
    turned = (found.psi_deg - psi + 180) % 360 - 180
    assert np.abs(turned[inner]).max() < 0.05
    assert np.abs((found.tilt_deg - tilt)[inner]).max() < 0.02
    assert np.abs((found.shift_px - shift)[inner]).max() < 0.02


def test_a_segment_has_no_say_in_its_own_prior() -> None:
    psi, tilt, shift = _bend(TRACK)
    expected = from_neighbours(
        _given(N), _poses(psi, tilt, shift), np.zeros(N, np.int32), TRACK, 100.0
    )
    tilt = tilt.copy()
    tilt[5] += 40
    found = from_neighbours(
        _given(N), _poses(psi, tilt, shift), np.zeros(N, np.int32), TRACK, 100.0
    )
    assert found.tilt_deg[5] == pytest.approx(expected.tilt_deg[5])
    assert found.tilt_deg[4] > expected.tilt_deg[4] + 1


def test_noise_is_averaged_out(rng: np.random.Generator) -> None:
    psi, tilt, shift = _bend(TRACK)
    left, before = [], []
    for _ in range(40):
        noisy = tilt + rng.normal(0, 2, N)
        poses = _poses(psi, noisy, shift)
        found = from_neighbours(_given(N), poses, np.zeros(N, np.int32), TRACK, 150.0)
        left.append(found.tilt_deg - tilt)
        before.append(noisy - tilt)
    assert np.std(left) < 0.6 * np.std(before)


def test_both_polarities_tell_the_same() -> None:
    psi, tilt, shift = _bend(TRACK)
    polarity = np.arange(N) % 2
    sign = 1 - 2 * polarity
    turned = _poses(
        psi + 180 * polarity, 90 + sign * (tilt - 90), sign * shift, polarity
    )
    for found, true in zip(
        seen_from_first_polarity(turned), (psi, tilt, shift), strict=True
    ):
        np.testing.assert_allclose(found, true)


def test_filaments_do_not_mix_and_short_ones_keep_what_was_given() -> None:
    filament = np.array([0] * 6 + [1] * 6 + [2] * 2, np.int32)
    track = np.r_[TRACK[:6], TRACK[:6], TRACK[:2]]
    tilt = np.r_[np.full(6, 85.0), np.full(6, 95.0), np.full(2, 70.0)]
    poses = _poses(np.zeros(14), tilt, np.zeros(14))
    found = from_neighbours(_given(14), poses, filament, track, 100.0)
    np.testing.assert_allclose(found.tilt_deg, [85.0] * 6 + [95.0] * 6 + [90.0] * 2)


def test_unknown_angles_are_as_last_found() -> None:
    given = np.array([10.0, np.nan, np.nan])
    poses = _poses(np.array([99.0, 230.0, np.nan]), np.full(3, 90.0), np.zeros(3), 1)
    priors = Priors.given(given, np.full(3, 90.0), poses)
    np.testing.assert_array_equal(priors.psi_known, [True, True, False])
    np.testing.assert_allclose(priors.psi_deg[:2], [10.0, 50.0])
