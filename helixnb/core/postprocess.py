"""The maps that leave a refinement: averaged, sharpened and symmetrised.

The average of the raw half-maps is what the data gave and is kept as it is. The
sharpened map weights its shells by sqrt(2 FSC / (1 + FSC)), the correlation expected
with a perfect map (Rosenthal and Henderson 2003, doi:10.1016/j.jmb.2003.07.013, eq.
13), stops at the resolution, and undoes the fall-off exp(-B k^2 / 4) found by a Guinier
fit, as RELION's post-processing does. The symmetrised map is grown along the whole box
from its centre by the helical operator, in harmonics, so without interpolation.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from helixnb.backend import fourier
from helixnb.backend.arrays import array_module
from helixnb.core.cylinder import CylinderGrid
from helixnb.core.fsc import THRESHOLD, first_below, shell_sums, shells_like
from helixnb.core.masks import cylinder
from helixnb.core.references import regrow
from helixnb.core.search import harmonic_limit
from helixnb.symmetry import HelicalSymmetry

GUINIER_START_A = 10.0
"""The Guinier fit begins here: lower frequencies show the shape, not the fall-off."""

_MIN_FIT_SHELLS = 4
_EDGE_PX = 5.0


@dataclass(frozen=True)
class Guinier:
    """Amplitudes of a map against 1 / d^2, and the straight line through them.

    Parameters
    ----------
    frequency_per_A : ndarray of float64, shape (n_shells,)
        1 / d of each shell.
    ln_amplitude : ndarray of float64, shape (n_shells,)
        Logarithm of the root mean square amplitude of each shell.
    ln_weighted : ndarray of float64, shape (n_shells,)
        The same after the FSC weight; nan where that is 0.
    ln_fit : ndarray of float64, shape (n_shells,)
        The line through `ln_weighted`; nan outside the fit, or without one.
    b_factor_A2 : float
        Fall-off exp(-B k^2 / 4) of the line, 0 or more; nan if the band has fewer
        than four shells.
    """

    frequency_per_A: NDArray[np.float64]
    ln_amplitude: NDArray[np.float64]
    ln_weighted: NDArray[np.float64]
    ln_fit: NDArray[np.float64]
    b_factor_A2: float


@dataclass(frozen=True)
class FinalMaps:
    """Maps of a finished (or interrupted) refinement.

    Parameters
    ----------
    average : ndarray of float32, shape (box, box, box)
        Mean of the raw half-maps, unfiltered and unmasked.
    sharpened : ndarray of float32, shape (box, box, box)
        FSC-weighted, cut at the resolution, B factor undone; unmasked.
    symmetrised, symmetrised_sharpened : ndarray of float32, same shape, or None
        Both of these under the helical and point-group symmetry in real space, cut to
        the filament's outer radius; None without helical symmetry.
    b_factor_A2 : float
        Fall-off that was undone: as given, or as fitted, or 0 if none could be fitted.
    """

    average: NDArray[np.float32]
    sharpened: NDArray[np.float32]
    symmetrised: NDArray[np.float32] | None
    symmetrised_sharpened: NDArray[np.float32] | None
    b_factor_A2: float


def average_map(half_maps: NDArray[np.float32]) -> NDArray[np.float32]:
    """Average both half-maps.

    Parameters
    ----------
    half_maps : ndarray of float32, shape (2, box, box, box)
        Raw or filtered.

    Returns
    -------
    ndarray of float32, shape (box, box, box)
    """
    mean = half_maps.mean(axis=0, dtype=np.float64)
    return array_module(half_maps).asarray(mean, np.float32)


def final_maps(
    half_maps: NDArray[np.float32],
    fsc: NDArray[np.float64],
    mask: NDArray[np.float32],
    symmetry: HelicalSymmetry | None,
    *,
    pixel_size_A: float,
    outer_radius_A: float,
    b_factor_A2: float | None = None,
) -> FinalMaps:
    """Make all final maps from a pair of raw half-maps.

    Parameters
    ----------
    half_maps : ndarray of float32, shape (2, box, box, box)
        Raw: neither filtered nor masked.
    fsc : ndarray of float64, shape (box // 2 + 1,)
        Their FSC, the one that is reported.
    mask : ndarray of float32, shape (box, box, box)
        Where the B factor is measured; the maps are not masked with it.
    symmetry : HelicalSymmetry or None
        Imposed on the symmetrised map; None makes none.
    pixel_size_A : float
        Voxel size.
    outer_radius_A : float
        Radius of the filament.
    b_factor_A2 : float or None
        Fall-off to undo; None takes the fitted one.

    Returns
    -------
    FinalMaps
    """
    average = average_map(half_maps)
    if b_factor_A2 is None:
        b_factor_A2 = guinier(average * mask, fsc, pixel_size_A).b_factor_A2
    undone_A2 = 0.0 if np.isnan(b_factor_A2) else b_factor_A2
    factor = sharpening_factor(fsc, undone_A2, len(average) * pixel_size_A)
    sharpened = scale_shells(average, factor)
    if symmetry is None:
        return FinalMaps(average, sharpened, None, None, undone_A2)
    grown = symmetrise(
        average, symmetry, pixel_size_A=pixel_size_A, outer_radius_A=outer_radius_A
    )
    return FinalMaps(average, sharpened, grown, scale_shells(grown, factor), undone_A2)


def sharpening_factor(
    fsc: NDArray[np.float64], b_factor_A2: float, box_A: float
) -> NDArray[np.float64]:
    """FSC weight times exp(B k^2 / 4) of each shell.

    Parameters
    ----------
    fsc : ndarray of float64, shape (n_shells,)
        FSC between half-maps.
    b_factor_A2 : float
        Fall-off to undo.
    box_A : float
        Edge of the map, Angstrom.

    Returns
    -------
    ndarray of float64, shape (n_shells,)
    """
    k_per_A = np.arange(len(fsc)) / box_A
    return fsc_weight(fsc) * np.exp(b_factor_A2 * k_per_A**2 / 4)


def fsc_weight(fsc: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weight of each shell, 0 from the first crossing with 0.143.

    Parameters
    ----------
    fsc : ndarray of float64, shape (n_shells,)
        FSC between half-maps.

    Returns
    -------
    ndarray of float64, shape (n_shells,)
    """
    positive = np.clip(fsc, 0.0, 1.0)
    weight = np.sqrt(2 * positive / (1 + positive))
    weight[first_below(fsc, THRESHOLD) :] = 0.0
    return weight


def scale_shells(
    volume: NDArray[np.float32], factor: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Multiply the Fourier shells of a map; components beyond the last become 0.

    Parameters
    ----------
    volume : ndarray of float32, shape (box, box, box)
        Map.
    factor : ndarray of float64, shape (box // 2 + 1,)
        One number for each shell.

    Returns
    -------
    ndarray of float32, shape (box, box, box)
    """
    xp, box = array_module(volume), len(volume)
    padded = np.zeros(int(np.sqrt(3) * (box // 2)) + 2, np.float32)
    padded[: len(factor)] = factor
    gain = xp.asarray(padded)[shells_like(volume, box)]
    spectrum = fourier.rfftn(volume, workers=-1) * gain
    return xp.asarray(fourier.irfftn(spectrum, volume.shape, workers=-1), np.float32)


def guinier(
    volume: NDArray[np.float32], fsc: NDArray[np.float64], pixel_size_A: float
) -> Guinier:
    """Guinier plot with the line fitted from 10 A to the resolution.

    Parameters
    ----------
    volume : ndarray of float32, shape (box, box, box)
        Masked average.
    fsc : ndarray of float64, shape (box // 2 + 1,)
        FSC between half-maps; the fit ends where its weight becomes 0.
    pixel_size_A : float
        Voxel size.

    Returns
    -------
    Guinier
    """
    box = len(volume)
    k_per_A = np.arange(box // 2 + 1) / (box * pixel_size_A)
    spectrum = fourier.rfftn(volume, workers=-1)
    total = shell_sums(spectrum.real**2 + spectrum.imag**2, box)
    counts = shell_sums(np.ones(spectrum.shape, np.float32), box)
    ln_amplitude = 0.5 * np.log(np.maximum(total / counts, 1e-300))
    weight = fsc_weight(fsc)
    with np.errstate(divide="ignore"):
        ln_weighted = ln_amplitude + np.log(weight)
    ln_weighted[weight == 0] = np.nan
    used = (k_per_A >= 1 / GUINIER_START_A) & (weight > 0)
    ln_fit = np.full_like(k_per_A, np.nan)
    b_factor_A2 = float("nan")
    if used.sum() >= _MIN_FIT_SHELLS:
        slope, start = np.polyfit(k_per_A[used] ** 2, ln_weighted[used], 1)
        ln_fit[used] = start + slope * k_per_A[used] ** 2
        b_factor_A2 = max(0.0, float(-4 * slope))
    return Guinier(k_per_A, ln_amplitude, ln_weighted, ln_fit, b_factor_A2)


def symmetrise(
    volume: NDArray[np.float32],
    symmetry: HelicalSymmetry,
    *,
    pixel_size_A: float,
    outer_radius_A: float,
) -> NDArray[np.float32]:
    """Impose helical and point-group symmetry in real space.

    Parameters
    ----------
    volume : ndarray of float32, shape (box, box, box)
        Map; only its central part is used.
    symmetry : HelicalSymmetry
        Operator and point group.
    pixel_size_A : float
        Voxel size.
    outer_radius_A : float
        Density beyond is left out, over a soft edge.

    Returns
    -------
    ndarray of float32, shape (box, box, box)
        Filled along the whole box from the central part.
    """
    box = len(volume)
    # One voxel and the edge must still fit beside the filament.
    radius_px = min(outer_radius_A / pixel_size_A, box / 2 - 1 - _EDGE_PX)
    section = cylinder(box, outer_radius_px=radius_px, edge_px=_EDGE_PX)
    k_max = box // 2
    m_max = harmonic_limit(k_max, box, radius_px + _EDGE_PX, symmetry.cyclic)
    grid = CylinderGrid(box, k_max, m_max, symmetry.cyclic, oversampling=2)
    planes = grid.planes_from_volume((volume * section).astype(np.float32))
    planes = regrow(planes, symmetry, grid.orders[m_max:], pixel_size_A)
    grown = grid.to_volume(grid.harmonics_from_planes(planes))
    return _with_dyad(grown) if symmetry.dihedral else grown


def _with_dyad(volume: NDArray[np.float32]) -> NDArray[np.float32]:
    """Average with the copy turned half way round x, through voxel n // 2."""
    turned = volume[::-1, ::-1, :]
    if len(volume) % 2 == 0:
        # Reversing an even axis moves its centre by one voxel.
        turned = np.roll(turned, (1, 1), axis=(0, 1))
    return np.asarray(0.5 * (volume + turned), dtype=np.float32)
