"""Random phases that are the same on every device, whatever order they are made in.

A component's phase is a hash of the seed and of its place, SplitMix64 (Steele, Lea and
Flood 2014, doi:10.1145/2660193.2660195): nothing is drawn in turn, and nothing has to
be sent. Of two components that are each other's conjugate, the first one decides.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit

from helixnb.backend.arrays import device_of
from helixnb.backend.kernels import inner, sine

GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def random_phases(spectrum: Any, start: int, seed: int) -> Any:
    """Give the components beyond a radius random phases, those of a real map.

    Parameters
    ----------
    spectrum : array of complex64, shape (box, box, box // 2 + 1)
        From `fourier.rfftn`; left as it is.
    start : int
        First shell, of those that `fsc.shell_index` tells, whose phases are random.
    seed : int
        From 0 to 2^63 - 1.

    Returns
    -------
    array of complex64, same shape
        Uniform and independent phases; 0 or half a turn where a component is its own
        conjugate.
    """
    device = device_of(spectrum)
    if device is not None:
        return device.random_phases(spectrum, start, seed)
    out = np.empty_like(spectrum)
    _randomise(spectrum, start, np.uint64(seed), out)
    return out


@inner
def _bits(seed, place):  # type: ignore[no-untyped-def]
    """Sixty-four random bits of a place."""
    z = seed + (np.uint64(place) + np.uint64(1)) * GOLDEN
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


@inner
def _turned(value, turns):  # type: ignore[no-untyped-def]
    """Complex number of the same size and a phase in turns."""
    size = math.sqrt(value.real * value.real + value.imag * value.imag)
    return complex(size * sine(turns + np.float32(0.25)), size * sine(turns))


@njit(nogil=True, fastmath=True, cache=True)
def _randomise(spectrum, start, seed, out):  # type: ignore[no-untyped-def]
    box, width = spectrum.shape[0], spectrum.shape[2]
    step = np.float32(2.0**-24)
    kept = start * start - start  # squares up to here round to a shell before it
    for z in range(box):
        kz = min(z, box - z)
        for y in range(box):
            ky = min(y, box - y)
            row, rest = (z * box + y) * width, kz * kz + ky * ky
            of, to = spectrum[z, y], out[z, y]
            first = 0
            while first < width and rest + first * first <= kept:
                to[first] = of[first]
                first += 1
            for x in range(first, width):
                turns = np.float32(_bits(seed, row + x) >> np.uint64(40)) * step
                to[x] = _turned(of[x], turns)
            # The first plane, and the last one of an even box, hold their own mates.
            mate = ((box - z) % box * box + (box - y) % box) * width
            for x in (0, box // 2 if box % 2 == 0 else 0):
                if x >= first and mate <= row:
                    bits = _bits(seed, mate + x)
                    turns = -np.float32(bits >> np.uint64(40)) * step
                    if mate == row:
                        turns = np.float32(bits >> np.uint64(63)) * np.float32(0.5)
                    to[x] = _turned(of[x], turns)
