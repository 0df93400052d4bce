"""Non-uniform regularisation: a low-pass filter chosen at every voxel.

Order and disorder differ from place to place, and one filter for the whole map leaves
noise in one part or takes signal from another. Each voxel gets its own cut-off by
cross-validation (Punjani, Zhang and Fleet 2020, doi:10.1038/s41592-020-00990-8): the
one whose filtered half-map best predicts the *other*, unfiltered half in a window about
the voxel. With h a candidate filter, m1 and m2 the halves, the error is the window mean
of

    |h m1 - m2|^2 + |h m2 - m1|^2

The terms |m2|^2 and |m1|^2 are the same for all candidates, yet their means over
windows of different widths are not, and they are mostly noise. Candidates are therefore
compared one step at a time, both over the window of the finer one, and the differences
are added up: the noise terms cancel, and what is minimised is the same.

The two halves share the cut-off, and only that: no density passes from one to the
other. That coupling is the published method's. It cannot raise an FSC directly, for
half-maps are reconstructed from images and never filtered.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from helixnb.backend import fourier
from helixnb.backend.arrays import array_module, to_host

ORDER = 8
"""Order of the Butterworth filters."""

WINDOW_FACTOR = 3.0
"""Diameter of the window over the cut-off."""

MAX_WINDOW_RADIUS_A = 30.0
"""Beyond this a window would span neighbouring structures."""

N_CUTOFFS = 12


@dataclass(frozen=True)
class LocalFilter:
    """The cut-off of every voxel.

    Parameters
    ----------
    cutoffs_A : ndarray of float64, shape (n,)
        Candidates, from coarse to fine.
    chosen : ndarray of int8, shape (box, box, box)
        Index into `cutoffs_A`.
    """

    cutoffs_A: NDArray[np.float64]
    chosen: NDArray[np.int8]

    @property
    def cutoff_A(self) -> NDArray[np.float32]:
        """Cut-off of every voxel, Angstrom."""
        return np.asarray(self.cutoffs_A[self.chosen], np.float32)


def cutoffs_A(
    coarsest_A: float, finest_A: float, n: int = N_CUTOFFS
) -> NDArray[np.float64]:
    """Candidates evenly spaced in frequency, from coarse to fine.

    Parameters
    ----------
    coarsest_A, finest_A : float
        First and last cut-off.
    n : int
        Number of candidates.
    """
    return 1 / np.linspace(1 / coarsest_A, 1 / finest_A, n)


def butterworth(k_per_A: NDArray[np.floating], cutoff_A: float) -> NDArray[np.float32]:
    """Gain 1 / sqrt(1 + (k c)^(2 order)) of a low-pass filter.

    Parameters
    ----------
    k_per_A : ndarray of float
        Spatial frequency.
    cutoff_A : float
        Resolution at which the gain is sqrt(1/2).
    """
    xp = array_module(k_per_A)
    gain = 1 / xp.sqrt(1 + (k_per_A * cutoff_A) ** (2 * ORDER))
    return xp.asarray(gain, np.float32)


def filter_locally(
    candidates: NDArray[np.float32],
    halves: NDArray[np.float32],
    support: NDArray[np.float32],
    candidate_cutoffs_A: NDArray[np.float64],
    pixel_size_A: float,
) -> tuple[NDArray[np.float32], LocalFilter]:
    """Filter both halves by the cut-offs that predict the other half best.

    Parameters
    ----------
    candidates : ndarray of float32, shape (2, box, box, box)
        Maps to be filtered.
    halves : ndarray of float32, shape (2, box, box, box)
        Raw and independent, to be predicted.
    support : ndarray of float32, shape (box, box, box)
        Generous soft region that counts; never a tight mask, which would have been
        drawn after the same density.
    candidate_cutoffs_A : ndarray of float64, shape (n,)
        From coarse to fine.
    pixel_size_A : float
        Edge of a voxel, Angstrom.

    Returns
    -------
    filtered : ndarray of float32, shape (2, box, box, box)
        Zero well outside the support.
    chosen : LocalFilter
    """
    xp = array_module(candidates)
    window = _region(support, candidate_cutoffs_A[0] / pixel_size_A)
    maps, raw = candidates[:, *window], halves[:, *window]
    region = support[window]
    shape = region.shape
    k_per_A = xp.asarray(_frequency(shape, pixel_size_A))
    spectra = [fourier.rfftn(m, workers=-1) for m in maps]
    index = xp.zeros(shape, np.int8)
    total = xp.zeros(shape, np.float32)
    least = xp.zeros(shape, np.float32)
    filtered = xp.empty((2, *shape), np.float32)
    before = xp.zeros(shape, np.float32)
    for i, cutoff_A in enumerate(candidate_cutoffs_A):
        gain = butterworth(k_per_A, float(cutoff_A))
        low = [fourier.irfftn(s * gain, shape, workers=-1) for s in spectra]
        error = low[0] * (low[0] - 2 * raw[1])
        error += low[1] * (low[1] - 2 * raw[0])
        if i == 0:
            filtered[0], filtered[1], before = low[0], low[1], error
            continue
        radius_A = min(0.5 * WINDOW_FACTOR * float(cutoff_A), MAX_WINDOW_RADIUS_A)
        total += _window_mean((error - before) * region, k_per_A, radius_A)
        better = total < least
        least[better] = total[better]
        index[better] = i
        for half in (0, 1):
            filtered[half][better] = low[half][better]
        before = error
    out = xp.zeros_like(candidates)
    out[:, *window] = filtered
    chosen = np.zeros(support.shape, np.int8)
    chosen[window] = to_host(index)
    return out, LocalFilter(candidate_cutoffs_A, chosen)


def _region(support: NDArray[np.float32], margin_px: float) -> tuple[slice, ...]:
    """Block around the support with room for the widest filter, wrapped by no FFT."""
    slices = []
    for axis in range(3):
        others = tuple(a for a in range(3) if a != axis)
        used = np.flatnonzero(to_host(support.max(axis=others)) > 0)
        length = support.shape[axis]
        first = max(int(used[0] - margin_px), 0) if len(used) else 0
        last = min(int(used[-1] + margin_px) + 1, length) if len(used) else length
        # Grow to a length that FFTs like, where the box has room.
        size = min(fourier.next_fast_len(last - first, real=True), length)
        first = min(first, length - size)
        slices.append(slice(first, first + size))
    return tuple(slices)


def _frequency(shape: tuple[int, ...], pixel_size_A: float) -> NDArray[np.float32]:
    """|k| of each component of an rfftn, 1/A."""
    z, y = (fourier.fftfreq(n, pixel_size_A) for n in shape[:2])
    x = fourier.rfftfreq(shape[2], pixel_size_A)
    square = z[:, None, None] ** 2 + y[:, None] ** 2 + x**2
    return np.sqrt(square).astype(np.float32)


def _window_mean(
    values: NDArray[np.float32], k_per_A: NDArray[np.float32], radius_A: float
) -> NDArray[np.float32]:
    """Mean about each voxel under a Gaussian as wide as a ball of a radius.

    A ball has the variance radius^2 / 5 along each axis.
    """
    xp = array_module(k_per_A)
    gain = xp.exp(-2 * (np.pi * radius_A * k_per_A) ** 2 / 5)
    spectrum = fourier.rfftn(values, workers=-1) * gain.astype(np.float32)
    return xp.asarray(fourier.irfftn(spectrum, values.shape, workers=-1), np.float32)
