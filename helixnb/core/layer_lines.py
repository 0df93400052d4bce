"""Layer lines: where a helix may have power, and where images and model have it.

A density with rho(phi + twist, z + rise) = rho(phi, z) has, in azimuthal order n, only
the axial frequencies

    Z = (m - n twist / 360) / rise        m any whole number, n a multiple of c for Cn

(Cochran, Crick and Vand 1952, doi:10.1107/S0365110X52001635, in the signs of this
package: F = sum_n F_n exp(i n phi), twist positive for a right hand). Subunits at
radius r put the first maximum of order n at the R where J_n(2 pi R r) has its own.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import jnp_zeros

from helixnb.backend import Backend
from helixnb.core.cylinder import CylinderGrid
from helixnb.core.filament_frame import FrameImages, model_frames


@dataclass(frozen=True)
class SelectionRule:
    """Allowed orders, arrays of shape (n_lines,) sorted by axial frequency.

    Parameters
    ----------
    order : ndarray of int64
        Azimuthal order n.
    branch : ndarray of int64
        m of the selection rule.
    z_per_A : ndarray of float64
        Axial frequency, >= 0.
    first_maximum_per_A : ndarray of float64
        R at which J_n(2 pi R r) is largest.
    """

    order: NDArray[np.int64]
    branch: NDArray[np.int64]
    z_per_A: NDArray[np.float64]
    first_maximum_per_A: NDArray[np.float64]


@dataclass(frozen=True)
class PowerSpectra:
    """Mean power in the filament frame, in units of the noise power.

    Parameters
    ----------
    images : ndarray of float64, shape (k_max + 1, 2 k_max + 1)
        Of the images: rows v along the axis, columns u across; 1 is noise.
    model : ndarray of float64, same shape
        Of the model's projections at the same poses, times the CTF: without noise.
    n_images : int
    """

    images: NDArray[np.float64]
    model: NDArray[np.float64]
    n_images: int


def selection_rule(
    twist_deg: float,
    rise_A: float,
    cyclic: int,
    *,
    radius_A: float,
    max_order: int,
    max_frequency_per_A: float,
) -> SelectionRule:
    """List the allowed orders on layer lines with Z >= 0.

    Parameters
    ----------
    twist_deg, rise_A : float
        Helical symmetry.
    cyclic : int
        Order of the cyclic group.
    radius_A : float
        Radius r of the density, for the Bessel maxima.
    max_order : int
        Largest |n|.
    max_frequency_per_A : float
        Largest distance of the first maximum from the origin.

    Returns
    -------
    SelectionRule
    """
    orders = cyclic * np.arange(-(max_order // cyclic), max_order // cyclic + 1)
    peak = np.array([_first_maximum(abs(int(n))) for n in orders])
    peak = peak / (2 * np.pi * radius_A)
    turns = orders * twist_deg / 360.0
    reach = int(np.ceil(max_frequency_per_A * rise_A + np.abs(turns).max())) + 1
    branches = np.arange(-reach, reach + 1)
    z = (branches[None, :] - turns[:, None]) / rise_A
    z[np.abs(z) < 1e-12] = 0.0
    kept = (z >= 0) & (np.hypot(z, peak[:, None]) <= max_frequency_per_A)
    i, j = np.nonzero(kept)
    by_height = np.lexsort((np.abs(orders[i]), z[i, j]))
    i, j = i[by_height], j[by_height]
    return SelectionRule(orders[i], branches[j], z[i, j], peak[i])


def _first_maximum(order: int) -> float:
    """Argument at which J_n is largest."""
    return 0.0 if order == 0 else float(jnp_zeros(order, 1)[0])


def power_spectra(
    frames: FrameImages,
    harmonics: NDArray[np.complex64],
    grid: CylinderGrid,
    noise_power: NDArray[np.float64],
    backend: Backend,
) -> PowerSpectra:
    """Mean power of images upright, and of the model where the images see it.

    Parameters
    ----------
    frames : FrameImages
        Images with their poses.
    harmonics : ndarray of complex64, shape grid.shape
        F_n(R, Z) of the model.
    grid : CylinderGrid
        Sampling of `harmonics`.
    noise_power : ndarray of float64, shape (>= k_max + 1,)
        Noise power of each ring.
    backend : Backend
        Where it runs.

    Returns
    -------
    PowerSpectra
    """
    plane = frames.plane
    scale = (plane.multiplicity > 0) / (len(frames) * noise_power[plane.ring])
    projected = model_frames(frames, harmonics, grid, backend)
    images, model = (
        scale * np.sum(np.abs(part) ** 2, 1, dtype=np.float64)
        for part in (frames.data, projected)
    )
    return PowerSpectra(images, model, len(frames))
