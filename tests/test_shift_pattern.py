"""Shifts that go with the azimuth are found beyond chance, and taken from a map."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from helixnb.core.shift_pattern import shift_pattern, without_pattern
from tests.oracles import blobs

FILAMENTS, EACH = 40, 15
FILAMENT = np.repeat(np.arange(FILAMENTS), EACH).astype(np.int32)
BOX = 48


def _azimuths(rng: np.random.Generator) -> NDArray[np.float64]:
    first = np.repeat(rng.uniform(0, 360, FILAMENTS), EACH)
    return first - 5.0 * np.tile(np.arange(EACH), FILAMENTS)


def test_an_odd_harmonic_of_the_shifts_is_found(rng: np.random.Generator) -> None:
    azimuth = _azimuths(rng)
    amplitude = 0.9 * np.exp(0.7j)
    shift = (amplitude * np.exp(3j * np.deg2rad(azimuth))).real
    noisy = shift + rng.standard_normal(len(shift))
    [(order, found)] = shift_pattern(azimuth, noisy, FILAMENT, 3).items()
    assert order == 3
    assert abs(found - amplitude) < 0.3


@pytest.mark.parametrize(("order", "cyclic"), [(1, 1), (2, 1), (6, 3), (3, 2), (4, 2)])
def test_what_moves_the_map_or_contradicts_itself_is_left(
    rng: np.random.Generator, order: int, cyclic: int
) -> None:
    azimuth = _azimuths(rng)
    shift = 2 * np.cos(order * np.deg2rad(azimuth))
    assert order not in shift_pattern(azimuth, shift, FILAMENT, cyclic)


def test_filaments_that_are_off_centre_are_no_pattern(
    rng: np.random.Generator,
) -> None:
    """All segments of a filament are off by the same, and seen from one side."""
    found = 0
    for _ in range(200):
        azimuth = np.repeat(rng.uniform(0, 360, FILAMENTS), EACH)
        shift = np.repeat(rng.standard_normal(FILAMENTS), EACH)
        found += len(shift_pattern(azimuth, shift, FILAMENT, 1))
    assert found <= 3  # of 800 harmonics


def test_the_map_that_shifted_images_make_is_put_right(
    rng: np.random.Generator,
) -> None:
    """Its slice at every azimuth is the true one, shifted as images were found to be.

    Its transform at (R cos phi, R sin phi) is part of the slice at azimuth phi, in
    which an image found at shift t was moved by -t.
    """
    true = blobs(rng.uniform(-8, 8, (12, 3)), BOX)
    pattern = {3: 0.9 * np.exp(0.7j), 5: -0.4 + 0.2j}
    undone = {order: -amplitude for order, amplitude in pattern.items()}
    [warped] = without_pattern(true[None], undone)
    before, after = (
        np.fft.fft2(np.fft.ifftshift(volume.sum(0))) for volume in (true, warped)
    )
    for x, y in ((4, 0), (0, 5), (3, 3), (-2, 6), (-5, -1), (7, -2)):
        radius, phi = np.hypot(x, y), np.arctan2(y, x)
        shift = sum((a * np.exp(1j * n * phi)).real for n, a in pattern.items())
        expected = before[y, x] * np.exp(2j * np.pi * radius * shift / BOX)
        assert abs(after[y, x] - expected) < 1e-5 * abs(before[0, 0])
    [back] = without_pattern(warped[None], pattern)
    np.testing.assert_allclose(back, true, atol=2e-3 * true.max())


@pytest.mark.parametrize("box", [24, 25])
def test_a_shift_of_the_first_harmonic_moves_the_map(
    rng: np.random.Generator, box: int
) -> None:
    """Re(a exp(i theta)) is a displacement by (Re a, -Im a) along x and y."""
    maps = np.stack([blobs(rng.uniform(-4, 4, (5, 3)), box) for _ in range(2)])
    maps = maps.astype(np.float32)
    moved = without_pattern(maps, {1: 2.0 + 3.0j})
    expected = np.roll(maps, (-3, 2), axis=(-2, -1))
    np.testing.assert_allclose(moved, expected, atol=5e-3 * maps.max())
