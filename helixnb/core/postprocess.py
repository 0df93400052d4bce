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
from typing import TYPE_CHECKING

import numpy as np
import scipy.fft as sfft

from helixnb.core.cylinder import CylinderGrid
from helixnb.core.fsc import first_below, shell_index
from helixnb.core.masks import cylinder
from helixnb.core.references import regrow
from helixnb.core.search import harmonic_limit

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from helixnb.symmetry import HelicalSymmetry

THRESHOLD = 0.143
"""FSC at which the sharpened map ends."""

GUINIER_START_A = 10.0
"""The Guinier fit begins here: lower frequencies show the shape, not the fall-off."""

_MIN_FIT_SHELLS = 4
_EDGE_PX = 5.0


@dataclass(frozen=True)
class FinalMaps:
    """Maps of a finished (or interrupted) refinement.

    Parameters
    ----------
    average : ndarray of float32, shape (box, box, box)
        Mean of the raw half-maps, unfiltered and unmasked.
    sharpened : ndarray of float32, shape (box, box, box)
        FSC-weighted, cut at the resolution, B factor undone; unmasked.
    symmetrised : ndarray of float32, shape (box, box, box)
        `average` under the helical and point-group symmetry in real space, cut to
        the filament's outer radius.
    b_factor_A2 : float
        Fall-off found, 0 or more; nan where the band was too short to fit one.
    """

    average: NDArray[np.float32]
    sharpened: NDArray[np.float32]
    symmetrised: NDArray[np.float32]
    b_factor_A2: float


def final_maps(
    half_maps: NDArray[np.float32],
    corrected_fsc: NDArray[np.float64],
    mask: NDArray[np.float32],
    symmetry: HelicalSymmetry,
    *,
    pixel_size_A: float,
    outer_radius_A: float,
) -> FinalMaps:
    """Make all final maps from a pair of raw half-maps.

    Parameters
    ----------
    half_maps : ndarray of float32, shape (2, box, box, box)
        Raw: neither filtered nor masked.
    corrected_fsc : ndarray of float64, shape (box // 2 + 1,)
        Their FSC, corrected for the mask.
    mask : ndarray of float32, shape (box, box, box)
        Where the B factor is measured; the maps are not masked with it.
    symmetry : HelicalSymmetry
        Imposed on the symmetrised map.
    pixel_size_A : float
        Voxel size.
    outer_radius_A : float
        Radius of the filament.

    Returns
    -------
    FinalMaps
    """
    average = half_maps.mean(axis=0, dtype=np.float64).astype(np.float32)
    weight = fsc_weight(corrected_fsc)
    b_factor_A2 = guinier_b_factor(average * mask, weight, pixel_size_A)
    undo_A2 = 0.0 if np.isnan(b_factor_A2) else b_factor_A2
    k_per_A = np.arange(len(weight)) / (len(average) * pixel_size_A)
    sharpened = scale_shells(average, weight * np.exp(undo_A2 * k_per_A**2 / 4))
    grown = symmetrise(
        average, symmetry, pixel_size_A=pixel_size_A, outer_radius_A=outer_radius_A
    )
    return FinalMaps(average, sharpened, grown, b_factor_A2)


def fsc_weight(corrected_fsc: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weight of each shell, 0 from the first crossing with 0.143.

    Parameters
    ----------
    corrected_fsc : ndarray of float64, shape (n_shells,)
        FSC between half-maps.

    Returns
    -------
    ndarray of float64, shape (n_shells,)
    """
    fsc = np.clip(corrected_fsc, 0.0, 1.0)
    weight = np.sqrt(2 * fsc / (1 + fsc))
    weight[first_below(corrected_fsc, THRESHOLD) :] = 0.0
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
    shell = shell_index(len(volume))
    padded = np.zeros(int(shell.max()) + 1, np.float32)
    padded[: len(factor)] = factor
    spectrum = sfft.rfftn(volume, workers=-1) * padded[shell]
    return np.asarray(sfft.irfftn(spectrum, volume.shape, workers=-1), dtype=np.float32)


def guinier_b_factor(
    volume: NDArray[np.float32], weight: NDArray[np.float64], pixel_size_A: float
) -> float:
    """B factor of the fall-off exp(-B k^2 / 4) from 10 A to the resolution.

    Parameters
    ----------
    volume : ndarray of float32, shape (box, box, box)
        Masked average.
    weight : ndarray of float64, shape (box // 2 + 1,)
        FSC weights; the fit ends where they become 0.
    pixel_size_A : float
        Voxel size.

    Returns
    -------
    float
        In square Angstrom, 0 if amplitudes grow; nan if the band has fewer than
        four shells.
    """
    box = len(volume)
    k_per_A = np.arange(len(weight)) / (box * pixel_size_A)
    used = (k_per_A >= 1 / GUINIER_START_A) & (weight > 0)
    if used.sum() < _MIN_FIT_SHELLS:
        return float("nan")
    shell = shell_index(box).ravel()
    power = np.abs(sfft.rfftn(volume, workers=-1)).astype(np.float64).ravel() ** 2
    counts = np.bincount(shell)[: len(weight)]
    total = np.bincount(shell, power)[: len(weight)]
    amplitude = np.sqrt(np.maximum(total / counts, 1e-300)) * weight
    slope = np.polyfit(k_per_A[used] ** 2, np.log(amplitude[used]), 1)[0]
    return max(0.0, float(-4 * slope))


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
