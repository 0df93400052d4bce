"""Shifts across a filament that go with its azimuth: measured, and taken from a map.

What is seen along the axis as a slice of azimuth phi may be shifted by any t(phi) with
t(phi + 180 deg) = -t(phi), and the slices still fit together: multiplied by
exp(-2 pi i R t(theta)), the transform of a map is that of another map, which the
images fit as well once they are shifted alike. Only the filament's finite width and
the helical symmetry tell the two apart, and of a slowly twisting filament they say
little: the pattern that the draw of azimuths left in the first density then outlives a
refinement, the same in both halves. But boxes are not centred by azimuth, so the mean
shift at each azimuth is known to be the same, and what departs from it can be undone.
The first harmonic is left alone: it moves the whole map off its axis.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from helixnb.backend import fourier

LAST_ORDER = 9
"""Highest harmonic looked at."""

BY_CHANCE = 8.0
"""Power of a harmonic, over that of filaments shifted at random, from which on it is
believed; one in 3,000 is as high by chance."""


def shift_pattern(
    azimuth_deg: NDArray[np.float64],
    shift_px: NDArray[np.float64],
    filament: NDArray[np.int32],
    cyclic: int,
) -> dict[int, complex]:
    """Find how shifts across the filament follow the azimuth.

    Segments of a filament are not independent, so chance is that of filaments, each
    with its own sum over its segments.

    Parameters
    ----------
    azimuth_deg, shift_px : ndarray of float64, shape (n,)
        Of each image.
    filament : ndarray of int32, shape (n,)
        Filament of each image.
    cyclic : int
        Order of the cyclic group.

    Returns
    -------
    dict
        Order n (odd, a multiple of `cyclic`) to amplitude a, where the shift has a
        part Re(a exp(i n phi)), in pixels, beyond chance.
    """
    found = {}
    for order in range(3, LAST_ORDER + 1, 2):
        if order % cyclic:
            continue
        terms = shift_px * np.exp(-1j * order * np.deg2rad(azimuth_deg))
        real = np.bincount(filament, terms.real)
        sums = real + 1j * np.bincount(filament, terms.imag)
        total, chance = abs(sums.sum()) ** 2, (np.abs(sums) ** 2).sum()
        if total > BY_CHANCE * chance:
            found[order] = complex(2 * sums.sum() / len(shift_px))
    return found


def without_pattern(
    maps: NDArray[np.float32], pattern: dict[int, complex]
) -> NDArray[np.float32]:
    """Undo a pattern of shifts in the maps that images were found with it against.

    Parameters
    ----------
    maps : ndarray of float32, shape (n, box, box, box)
        Densities (z, y, x) with the axis along z.
    pattern : dict
        From `shift_pattern`.

    Returns
    -------
    ndarray of float32, shape (n, box, box, box)
    """
    box = maps.shape[-1]
    frequency = np.fft.fftfreq(box)
    y, x = frequency[:, None], frequency[None, : box // 2 + 1].copy()
    x = np.abs(x)
    theta, radius = np.arctan2(y, x), np.hypot(x, y)
    shift_px = sum(
        (a * np.exp(1j * n * theta)).real for n, a in pattern.items()
    ) * np.ones_like(radius)
    ramp = np.exp(-2j * np.pi * radius * shift_px).astype(np.complex64)
    # Each plane across the axis is moved alike, so two dimensions are enough.
    planes = fourier.rfft2(fourier.ifftshift(maps, axes=(-2, -1)))
    planes *= ramp
    back = fourier.irfft2(planes, (box, box))
    return np.asarray(fourier.fftshift(back, axes=(-2, -1)), dtype=np.float32)
