"""Fourier shell correlation between half-maps, in float64.

FSC(k) = sum F1 conj(F2) / sqrt(sum |F1|^2 sum |F2|^2) over the shell |k| (Harauz and
van Heel 1986). A mask correlates neighbouring frequencies, so masked curves are
corrected by high-resolution phase randomisation (Chen et al. 2013,
doi:10.1016/j.ultramic.2013.06.004): FSC_true = (FSC_m - FSC_r) / (1 - FSC_r).

The curve to report is that of the cylinder, whose shape comes from the filament's
diameters alone. Loose and tight masks follow the density of the very halves that are
compared, so their noise has a say in where the masks lie, and phase randomisation does
not see that: such curves are shown beside it and decide nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from helixnb.backend import Backend, fourier, kernels
from helixnb.backend.arrays import array_module, device_of, to_host
from helixnb.backend.phases import random_phases

THRESHOLD = 0.143
"""FSC at which the resolution is read (Rosenthal and Henderson 2003,
doi:10.1016/j.jmb.2003.07.013)."""

RANDOMISE_BELOW = 0.8
"""Phases are randomised from the shell where the unmasked FSC falls below this."""

RANDOMISED_GRACE = 2
"""Shells from there on that are not corrected, as in RELION: the mask mixes kept and
random phases in them."""


@dataclass(frozen=True)
class FSCMasks:
    """Masks of the curves, all away from the box ends.

    Parameters
    ----------
    cylinder, loose, tight : ndarray of float32, shape (box, box, box)
    """

    cylinder: NDArray[np.float32]
    loose: NDArray[np.float32]
    tight: NDArray[np.float32]


@dataclass(frozen=True)
class NoiseSubstitution:
    """Curves of the same masks with phases randomised, and the corrected curves.

    Parameters
    ----------
    from_shell : int
        First shell with random phases.
    cylinder, tight : ndarray of float64, shape (n_shells,)
        FSC in the mask with random phases: what the mask alone pretends.
    corrected, tight_corrected : ndarray of float64, shape (n_shells,)
        FSC in the cylinder and in the tight mask without that.
    """

    from_shell: int
    cylinder: NDArray[np.float64]
    tight: NDArray[np.float64]
    corrected: NDArray[np.float64]
    tight_corrected: NDArray[np.float64]


@dataclass(frozen=True)
class HalfMapFSC:
    """FSC curves of one pair of half-maps.

    Parameters
    ----------
    frequency_per_A : ndarray of float64, shape (n_shells,)
    unmasked, cylinder, loose, tight : ndarray of float64, shape (n_shells,)
        Without a mask and in each mask, not corrected.
    carriers : ndarray of float64, shape (n_shells,)
        Components that carry the curve in the cylinder, see `carriers`.
    substitution : NoiseSubstitution or None
        None if noise was not substituted.
    """

    frequency_per_A: NDArray[np.float64]
    unmasked: NDArray[np.float64]
    cylinder: NDArray[np.float64]
    loose: NDArray[np.float64]
    tight: NDArray[np.float64]
    carriers: NDArray[np.float64]
    substitution: NoiseSubstitution | None

    @property
    def reported(self) -> NDArray[np.float64]:
        """The curve to report and to filter with.

        That of the cylinder, corrected; without noise substitution no masked curve
        can be trusted, and it is the unmasked one.
        """
        if self.substitution is None:
            return self.unmasked
        return self.substitution.corrected


@lru_cache(maxsize=4)
def shell_index(box_px: int) -> NDArray[np.int32]:
    """Shell of each component of an rfftn, shape (box, box, box // 2 + 1), read-only.

    Parameters
    ----------
    box_px : int
        Edge of the map, pixels.
    """
    shell = _rounded(_squared_radius(np.zeros(0), box_px))
    shell.setflags(write=False)
    return shell


def shells_like(array: NDArray[np.generic], box_px: int) -> NDArray[np.int32]:
    """`shell_index` where an array lies; on a device made anew, for it is large.

    Parameters
    ----------
    array : ndarray
        Tells where the result is to lie.
    box_px : int
        Edge of the map, pixels.
    """
    if device_of(array) is None:
        return shell_index(box_px)
    return _rounded(_squared_radius(array, box_px))


def _rounded(square: NDArray[np.float64]) -> NDArray[np.int32]:
    xp = array_module(square)
    shell: NDArray[np.int32] = xp.rint(xp.sqrt(square)).astype(np.int32)
    return shell


def _squared_radius(like: NDArray[np.generic], box_px: int) -> NDArray[np.float64]:
    """|k|^2 of each component of an rfftn, Fourier pixels, where an array lies."""
    xp = array_module(like)
    full = xp.asarray(fourier.fftfreq(box_px, 1 / box_px) ** 2)
    half = xp.asarray(fourier.rfftfreq(box_px, 1 / box_px) ** 2)
    square: NDArray[np.float64] = (full[:, None] + full)[..., None] + half
    return square


def shell_sums(values: NDArray[np.floating], box_px: int) -> NDArray[np.float64]:
    """Sum over the shells of the full transform, in float64.

    Parameters
    ----------
    values : ndarray of float, shape (box, box, box // 2 + 1)
        One value for each component of an rfftn, the same for its Friedel mate.
    box_px : int
        Edge of the map, pixels.

    Returns
    -------
    ndarray of float64, shape (box_px // 2 + 1,)
    """
    shell, n_shells = shell_index(box_px), box_px // 2 + 1

    def total(columns: slice) -> NDArray[np.float64]:
        part, weight = shell[..., columns].ravel(), values[..., columns].ravel()
        sums = np.bincount(part, weight, minlength=n_shells)
        return np.asarray(sums[:n_shells], np.float64)

    # These planes hold their own mates.
    alone = total(slice(0, 1))
    if box_px % 2 == 0:
        alone = alone + total(slice(-1, None))
    return 2 * total(slice(None)) - alone


def _shell_products(
    first: NDArray[np.complex64], second: NDArray[np.complex64], box_px: int
) -> NDArray[np.float64]:
    """Sum |a|^2, |b|^2, Re a conj(b), |a| |b| and its square over each shell.

    Where the transforms are; several are fetched at once.
    """
    device = device_of(first)
    if device is not None:
        sums: NDArray[np.float64] = device.shell_products(first, second)
        return sums
    sums = np.zeros((5, box_px // 2 + 1))
    width = first.shape[-1]
    a, b, shell = (
        rows.reshape(-1, width) for rows in (first, second, shell_index(box_px))
    )
    kernels.shell_products(a, b, shell, (box_px - 1) // 2, sums)
    return sums


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
    (curve,) = shell_correlations([(first, second)], box_px)
    return curve


def shell_correlations(
    pairs: Iterable[tuple[NDArray[np.complex64], NDArray[np.complex64]]], box_px: int
) -> list[NDArray[np.float64]]:
    """FSC of some pairs of transforms, of which one is held at a time.

    Parameters
    ----------
    pairs : iterable of tuple of ndarray of complex64
        As for `shell_correlation`.
    box_px : int
        Edge of the maps, pixels.

    Returns
    -------
    list of ndarray of float64, shape (box_px // 2 + 1,)
    """
    products = [_shell_products(*pair, box_px) for pair in pairs]
    return [_correlation(p) for p in _fetched(products)]


def _fetched(products: list[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Fetch sums over shells, all at once."""
    return np.asarray(to_host(array_module(products[0]).stack(products)))


def _correlation(products: NDArray[np.float64]) -> NDArray[np.float64]:
    of_first, of_second, cross, *_ = products
    curve = cross / np.sqrt(np.maximum(of_first * of_second, 1e-300))
    curve[0] = 1.0
    return np.asarray(curve)


def carriers(
    first: NDArray[np.complex64], second: NDArray[np.complex64], box_px: int
) -> NDArray[np.float64]:
    """Components of equal weight that would make the FSC fluctuate as much.

    With w = |F1| |F2|, the FSC of unrelated transforms has the variance
    sum w^2 / (sum w)^2 over the shell if its components are independent. A helix
    gathers its power in layer lines, so that few of them count.

    Parameters
    ----------
    first, second : ndarray of complex64, shape (box, box, box // 2 + 1)
        From `scipy.fft.rfftn`.
    box_px : int
        Edge of the maps, pixels.

    Returns
    -------
    ndarray of float64, shape (box_px // 2 + 1,)
    """
    return _carriers(_fetched([_shell_products(first, second, box_px)])[0])


def _carriers(products: NDArray[np.float64]) -> NDArray[np.float64]:
    *_, total, squares = products
    return np.asarray(total**2 / np.maximum(squares, 1e-300))


def half_map_fsc(
    first: NDArray[np.float32],
    second: NDArray[np.float32],
    masks: FSCMasks,
    pixel_size_A: float,
    rng: np.random.Generator | None,
    backend: Backend,
) -> HalfMapFSC:
    """All FSC curves of two raw half-maps.

    Parameters
    ----------
    first, second : ndarray of float32, shape (box, box, box)
        Raw half-maps, unmasked.
    masks : FSCMasks
        Soft masks that stay away from the box ends.
    pixel_size_A : float
        Edge of a voxel, Angstrom.
    rng : numpy.random.Generator or None
        Draws the random phases; None substitutes no noise.
    backend : Backend
        Where it runs.

    Returns
    -------
    HalfMapFSC
    """
    box = len(first)
    spectra = backend.each(fourier.rfftn, (first, second))

    def inside(
        mask: NDArray[np.float32], maps: Sequence[NDArray[np.float32]]
    ) -> NDArray[np.float64]:
        """Sum over the shells of two maps in a mask."""
        sent = array_module(maps[0]).asarray(mask)
        one, other = (fourier.rfftn(volume * sent) for volume in maps)
        return _shell_products(one, other, box)

    products = backend.each(
        lambda mask: inside(mask, (first, second)),
        (masks.cylinder, masks.loose, masks.tight),
    )
    sums = _fetched([_shell_products(spectra[0], spectra[1], box), *products])
    unmasked, *masked = (_correlation(s) for s in sums)
    curves = dict(zip(("cylinder", "loose", "tight"), masked, strict=True))
    substitution = None
    if rng is not None:
        start = first_below(unmasked, RANDOMISE_BELOW)
        seeds = [int(rng.integers(2**63)) for _ in spectra]
        noise = backend.each(
            lambda given: _randomised(given[0], start, given[1]),
            zip(spectra, seeds, strict=True),
        )
        products = backend.each(
            lambda mask: inside(mask, noise), (masks.cylinder, masks.tight)
        )
        cylinder, tight = (_correlation(s) for s in _fetched(products))
        substitution = NoiseSubstitution(
            from_shell=start,
            cylinder=cylinder,
            tight=tight,
            corrected=_corrected(curves["cylinder"], cylinder, start),
            tight_corrected=_corrected(curves["tight"], tight, start),
        )
    frequency_per_A = np.arange(box // 2 + 1) / (box * pixel_size_A)
    return HalfMapFSC(
        frequency_per_A,
        unmasked,
        **curves,
        carriers=_carriers(sums[1]),
        substitution=substitution,
    )


def _corrected(
    masked: NDArray[np.float64], randomised: NDArray[np.float64], start: int
) -> NDArray[np.float64]:
    """Masked curve without what the mask pretends, from `start` and the grace on."""
    curve = masked.copy()
    beyond = slice(start + RANDOMISED_GRACE, None)
    bias = randomised[beyond]
    curve[beyond] = (masked[beyond] - bias) / np.maximum(1 - bias, 1e-3)
    return curve


def _randomised(
    spectrum: NDArray[np.complex64], start: int, seed: int
) -> NDArray[np.float32]:
    """Map with random phases from shell `start` on."""
    noise = random_phases(spectrum, start, seed)
    shape = (len(noise),) * 3
    xp = array_module(noise)
    return xp.asarray(fourier.irfftn(noise, shape), np.float32)


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
    threshold: float = THRESHOLD,
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
        `THRESHOLD` or 0.5.
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
