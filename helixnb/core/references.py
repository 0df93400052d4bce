"""References for alignment: masked, and re-grown from the centre by the symmetry.

Symmetry applied to the sums shifts density by half the symmetry order and so damages
the box ends. The reference is therefore rebuilt along the whole box from its central
part: copies of the windowed centre under every power of the operator, divided by the
sum of their windows. In harmonics a copy is a phase, so nothing is interpolated.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from helixnb.backend import fourier
from helixnb.backend.arrays import array_module
from helixnb.core.cylinder import CylinderGrid, centre_to_corner, corner_to_centre
from helixnb.core.masks import axial_window, soft_step
from helixnb.symmetry import HelicalSymmetry

CENTRAL_FRACTION = 0.4
"""Part of the box, at half height, from which the reference is re-grown."""

_EDGE_FRACTION = 0.1


def regrow(
    planes: NDArray[np.complex64],
    symmetry: HelicalSymmetry,
    orders: NDArray[np.int64],
    pixel_size_A: float,
    reach: int | None = None,
) -> NDArray[np.complex64]:
    """Rebuild a map along the box from helical copies of its central part.

    Equal to averaging, at every voxel, the values of its symmetry mates weighted by
    the central window at the mate's height.

    Parameters
    ----------
    planes : ndarray of complex64, shape (box, n_r, n_orders)
        Azimuthal harmonics of each z plane.
    symmetry : HelicalSymmetry
        Twist and rise of the copies.
    orders : ndarray of int64, shape (n_orders,)
        Azimuthal order n of the last axis.
    pixel_size_A : float
        Edge of a voxel, Angstrom.
    reach : int or None
        Use mates at most this many subunits away, from a central part just large
        enough; None uses all. A short reach tolerates error in the symmetry.

    Returns
    -------
    ndarray of complex64, same shape
    """
    xp = array_module(planes)
    box = len(planes)
    rise_px = symmetry.rise_A / pixel_size_A
    height = np.arange(box) - box // 2
    most = int(np.ceil((1 + CENTRAL_FRACTION) / 2 * box / rise_px))
    reach = most if reach is None else min(reach, most)
    fraction = max(CENTRAL_FRACTION, 1 - 2 * reach * rise_px / box)
    copies = np.arange(-reach, reach + 1)
    coverage = _central_window(height[:, None] - copies * rise_px, box, fraction).sum(1)
    length = 2 * box
    window = _central_window(height, box, fraction).astype(np.float32)
    padded = centre_to_corner(planes * xp.asarray(window)[:, None, None], length)
    spectrum = fourier.fft(padded, axis=0, workers=-1)
    z = fourier.fftfreq(length)
    x = 2 * np.pi * z[:, None] * rise_px + orders * np.deg2rad(symmetry.twist_deg)
    phases = _sum_of_phases(x, reach).astype(np.complex64)
    spectrum *= xp.asarray(phases)[:, None, :]
    grown = corner_to_centre(fourier.ifft(spectrum, axis=0, workers=-1), box)
    divisor = np.maximum(coverage, 1e-3).astype(np.float32)
    return xp.asarray(grown / xp.asarray(divisor)[:, None, None], np.complex64)


def _central_window(
    height: NDArray[np.floating | np.integer], box: int, fraction: float
) -> NDArray[np.float64]:
    """Soft window over the central part of the axis, for any real height."""
    edge = _EDGE_FRACTION * box * 2
    inner = fraction * box / 2 - edge / 2
    return soft_step(np.abs(height) - max(inner, 0.0), edge)


def _sum_of_phases(x: NDArray[np.float64], reach: int) -> NDArray[np.float64]:
    """Sum of exp(-i k x) over k = -reach..reach, the Dirichlet kernel."""
    half = 0.5 * x
    denominator = np.sin(half)
    small = np.abs(denominator) < 1e-9
    safe = np.where(small, 1.0, denominator)
    ratio = np.sin((2 * reach + 1) * half) / safe
    return np.where(small, 2 * reach + 1.0, ratio)


def end_window(box_px: int, fraction: float) -> NDArray[np.float32]:
    """Soft axial window of finished references, shape (box_px,).

    Parameters
    ----------
    box_px : int
        Length of the axis, pixels.
    fraction : float
        Part of the box inside, at half height.
    """
    return axial_window(box_px, fraction, _EDGE_FRACTION * box_px)


def reference_harmonics(
    volume: NDArray[np.float32],
    grid: CylinderGrid,
    symmetry: HelicalSymmetry | None,
    pixel_size_A: float,
    *,
    z_fraction: float,
    reach: int | None = None,
    mask: NDArray[np.float32] | None = None,
) -> NDArray[np.complex64]:
    """Harmonics of a masked map after re-growing it along the axis.

    Parameters
    ----------
    volume : ndarray of float32, shape (box, box, box)
        Masked across the axis.
    grid : CylinderGrid
        At oversampling 2.
    symmetry : HelicalSymmetry or None
        Twist and rise of the copies; None leaves the map as it is.
    pixel_size_A : float
        Edge of a voxel, Angstrom.
    z_fraction : float
        Part of the box that the reference fills.
    reach : int or None
        As in `regrow`.
    mask : ndarray of float32, shape (box, box, box), or None
        Multiplied with the re-grown map; it may clip the box as well.

    Returns
    -------
    ndarray of complex64, shape grid.shape
    """
    planes = grid.planes_from_volume(volume)
    orders = grid.orders[grid.m_max :]
    if symmetry is not None:
        planes = regrow(planes, symmetry, orders, pixel_size_A, reach)
    xp = array_module(volume)
    window = xp.asarray(end_window(len(volume), z_fraction))[:, None, None]
    if mask is None:
        return grid.harmonics_from_planes(planes * window)
    # Re-growing first, or what a mask clips would count as empty density.
    grown = grid.to_volume(grid.harmonics_from_planes(planes))
    return grid.from_volume(grown * window * mask)
