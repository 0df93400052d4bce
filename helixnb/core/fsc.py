"""Fourier shell correlation between half-maps, in float64.

FSC(k) = sum F1 conj(F2) / sqrt(sum |F1|^2 sum |F2|^2) over the shell |k| (Harauz and
van Heel 1986). A mask correlates neighbouring frequencies, so the masked curve is
corrected by high-resolution phase randomisation (Chen et al. 2013,
doi:10.1016/j.ultramic.2013.06.004): FSC_true = (FSC_m - FSC_r) / (1 - FSC_r).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.fft as sfft
from numpy.typing import NDArray

RANDOMISE_BELOW = 0.8
"""Phases are randomised from the shell where the unmasked FSC falls below this."""


@dataclass(frozen=True)
class HalfMapFSC:
    """FSC curves of one pair of half-maps.

    Parameters
    ----------
    frequency_per_A : ndarray of float64, shape (n_shells,)
    unmasked, masked, randomised, corrected : ndarray of float64
        Curves; `corrected` is the one to report.
    randomised_from : int
        First shell with randomised phases.
    """

    frequency_per_A: NDArray[np.float64]
    unmasked: NDArray[np.float64]
    masked: NDArray[np.float64]
    randomised: NDArray[np.float64]
    corrected: NDArray[np.float64]
    randomised_from: int


def shell_index(box_px: int) -> NDArray[np.int32]:
    """Shell of each component of an rfftn, shape (box, box, box // 2 + 1)."""
    full = sfft.fftfreq(box_px, 1 / box_px)
    half = sfft.rfftfreq(box_px, 1 / box_px)
    radius = np.sqrt(
        full[:, None, None] ** 2 + full[None, :, None] ** 2 + half[None, None, :] ** 2
    )
    return np.rint(radius).astype(np.int32)


def shell_correlation(
    first: NDArray[np.complex64], second: NDArray[np.complex64], box_px: int
) -> NDArray[np.float64]:
    """FSC of two half-complex transforms.

    Parameters
    ----------
    first, second : ndarray of complex64, shape (box, box, box // 2 + 1)
        From `scipy.fft.rfftn`.
    box_px : int
        Edge of the maps, pixels.

    Returns
    -------
    ndarray of float64, shape (box_px // 2 + 1,)
        1 at the origin by definition.
    """
    n_shells = box_px // 2 + 1
    shell = shell_index(box_px).ravel()
    weight = np.full(first.shape[-1], 2.0)
    weight[0] = 1.0
    if box_px % 2 == 0:
        weight[-1] = 1.0

    def sums(values: NDArray[np.floating]) -> NDArray[np.float64]:
        total = np.bincount(shell, (values * weight).ravel(), minlength=n_shells)
        return np.asarray(total[:n_shells], np.float64)

    cross = sums((first * np.conj(second)).real.astype(np.float64))
    power = sums(np.abs(first).astype(np.float64) ** 2) * sums(
        np.abs(second).astype(np.float64) ** 2
    )
    curve = cross / np.sqrt(np.maximum(power, 1e-300))
    curve[0] = 1.0
    return curve


def half_map_fsc(
    first: NDArray[np.float32],
    second: NDArray[np.float32],
    mask: NDArray[np.float32],
    pixel_size_A: float,
    rng: np.random.Generator,
) -> HalfMapFSC:
    """All FSC curves of two raw half-maps.

    Parameters
    ----------
    first, second : ndarray of float32, shape (box, box, box)
        Raw half-maps, unmasked.
    mask : ndarray of float32, same shape
        Soft mask that stays away from the box ends.
    pixel_size_A : float
        Edge of a voxel, Angstrom.
    rng : numpy.random.Generator
        Draws the random phases.

    Returns
    -------
    HalfMapFSC
    """
    box = len(first)
    raw = [sfft.rfftn(m, workers=-1) for m in (first, second)]
    unmasked = shell_correlation(raw[0], raw[1], box)
    masked_maps = [sfft.rfftn(m * mask, workers=-1) for m in (first, second)]
    masked = shell_correlation(masked_maps[0], masked_maps[1], box)
    start = first_below(unmasked, RANDOMISE_BELOW)
    scrambled = [
        sfft.rfftn(_randomise(spectrum, start, box, rng) * mask, workers=-1)
        for spectrum in raw
    ]
    randomised = shell_correlation(scrambled[0], scrambled[1], box)
    corrected = masked.copy()
    # Two shells of grace, as in RELION: the mask mixes kept and random phases there.
    beyond = slice(start + 2, None)
    bias = randomised[beyond]
    corrected[beyond] = (masked[beyond] - bias) / np.maximum(1 - bias, 1e-3)
    return HalfMapFSC(
        frequency_per_A=np.arange(box // 2 + 1) / (box * pixel_size_A),
        unmasked=unmasked,
        masked=masked,
        randomised=randomised,
        corrected=corrected,
        randomised_from=start,
    )


def _randomise(
    spectrum: NDArray[np.complex64], start: int, box: int, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Map with the phases from shell `start` taken from real white noise."""
    noise = sfft.rfftn(rng.standard_normal((box, box, box), np.float32), workers=-1)
    noise *= np.abs(spectrum) / np.maximum(np.abs(noise), 1e-20)
    mixed = np.where(shell_index(box) < start, spectrum, noise)
    return np.asarray(sfft.irfftn(mixed, (box, box, box), workers=-1), np.float32)


def first_below(curve: NDArray[np.float64], threshold: float) -> int:
    """First shell after the origin whose value is below the threshold.

    Parameters
    ----------
    curve : ndarray of float64
        FSC by shell, from the origin.
    threshold : float
        Value to fall below.

    Returns
    -------
    int
        The number of shells if the curve never falls below.
    """
    below = np.flatnonzero(curve[1:] < threshold)
    return int(below[0]) + 1 if len(below) else len(curve)


def resolution_A(
    frequency_per_A: NDArray[np.float64],
    curve: NDArray[np.float64],
    threshold: float = 0.143,
    from_shell: int = 1,
) -> float:
    """Resolution at the first crossing of a threshold, interpolated between shells.

    Parameters
    ----------
    frequency_per_A : ndarray of float64
        Frequency of each shell, 1/A.
    curve : ndarray of float64
        FSC by shell, from the origin.
    threshold : float
        0.143 (Rosenthal and Henderson 2003, doi:10.1016/j.jmb.2003.07.013) or 0.5.
    from_shell : int
        First shell that counts: below the split the halves are not independent.

    Returns
    -------
    float
        Angstrom; the last shell's resolution if the curve never crosses.
    """
    start = max(from_shell, 1)
    shell = start - 1 + first_below(curve[start - 1 :], threshold)
    if shell >= len(curve):
        return float(1 / frequency_per_A[-1])
    if shell == start:
        return float(1 / frequency_per_A[start])
    above, below = curve[shell - 1], curve[shell]
    fraction = (above - threshold) / max(above - below, 1e-12)
    low, high = frequency_per_A[shell - 1], frequency_per_A[shell]
    return float(1 / max(low + fraction * (high - low), frequency_per_A[1]))
