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
from helixnb.core.filament_sums import BELIEVED, sums_over_chance

LAST_ORDER = 9
"""Highest harmonic looked at."""


def shift_pattern(
    azimuth_deg: NDArray[np.float64],
    shift_px: NDArray[np.float64],
    filament: NDArray[np.int32],
    cyclic: int,
) -> dict[int, complex]:
    """Find how shifts across the filament follow the azimuth.

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
    odd = np.arange(3, LAST_ORDER + 1, 2)
    orders = odd[odd % cyclic == 0]
    turned = np.exp(-1j * np.deg2rad(azimuth_deg)[:, None] * orders)
    total, power = sums_over_chance(shift_px[:, None] * turned, filament)
    amplitude = 2 * total / len(shift_px)
    return {
        int(orders[i]): complex(amplitude[i]) for i in np.flatnonzero(power > BELIEVED)
    }


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
    y, x = fourier.fftfreq(box)[:, None], fourier.rfftfreq(box)
    theta, radius = np.arctan2(y, x), np.hypot(x, y)
    shift_px = np.zeros_like(radius)
    for order, amplitude in pattern.items():
        shift_px += (amplitude * np.exp(1j * order * theta)).real
    ramp = np.exp(-2j * np.pi * radius * shift_px).astype(np.complex64)
    # Each plane across the axis is moved alike, so two dimensions are enough.
    planes = fourier.rfft2(fourier.ifftshift(maps, axes=(-2, -1)))
    planes *= ramp
    back = fourier.irfft2(planes, (box, box))
    return np.asarray(fourier.fftshift(back, axes=(-2, -1)), dtype=np.float32)
