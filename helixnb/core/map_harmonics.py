"""Azimuthal harmonics of the filament in a map, made in milliseconds.

The symmetry search needs F_n(R, Z), the Fourier transform of the windowed filament in
cylindrical coordinates about the helix axis, once for each map, resolution and pair of
radii. Only the filament is transformed: planes are cropped to its diameter before the
transform across the axis, and polar samples are taken no closer than that diameter
asks for. Polar points are interpolated on the twice finer Cartesian grid with the
Kaiser-Bessel kernel of Beatty et al. 2005 (doi:10.1109/TMI.2005.848376), whose taper
is undone before, together with the mask; the interpolation is a sparse matrix that
all planes share. `cylinder.CylinderGrid` does the same for whole boxes and back; here
one direction at moderate accuracy (1e-3) is enough.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from helixnb.backend import fourier
from helixnb.backend.arrays import (
    Device,
    array_module,
    device_of,
    send_sparse,
    to_host,
)
from helixnb.core.masks import FILAMENT_EDGE_A, soft_step
from helixnb.core.search import harmonic_limit

AXIAL_PADDING = 1.5
"""Length transformed along the axis over that of the map: copies up to half the map
away do not wrap round."""

_TAPS = 5
_FINER = 2.0
_RADIAL_STEPS = 2.5
"""Samples of R for each 1 / radius: the Nyquist step has 2."""


@dataclass(frozen=True)
class MapHarmonics:
    """Harmonics F_n(R, Z) of a windowed filament; sums of maps are sums of these.

    Parameters
    ----------
    values : ndarray of complex64, shape (n_r, n_orders, n_z)
        F_n(R, Z) for Z >= 0, the phase origin in the middle of the map; zero beyond
        the resolution. The featureless tube (mean over azimuth and height) is taken
        out.
    r_per_A : ndarray of float64, shape (n_r,)
        R, equally spaced, starting at half a step.
    orders : ndarray of int64, shape (n_orders,)
        n, symmetric about 0, multiples of `cyclic`.
    z_per_A : ndarray of float64, shape (n_z,)
    overlap : ndarray of float64, shape (length,)
        Power that the windowed map and its copy moved by 0, 1, 2 ... voxels share, as
        a fraction of that at no shift.
    pixel_size_A : float
    cyclic : int
        Order of the point group about the axis.
    """

    values: NDArray[np.complex64]
    r_per_A: NDArray[np.float64]
    orders: NDArray[np.int64]
    z_per_A: NDArray[np.float64]
    overlap: NDArray[np.float64]
    pixel_size_A: float
    cyclic: int

    def __add__(self, other: MapHarmonics) -> MapHarmonics:
        """Harmonics of the sum of two maps prepared alike."""
        return MapHarmonics(
            self.values + other.values,
            self.r_per_A,
            self.orders,
            self.z_per_A,
            (self.overlap + other.overlap) / 2,
            self.pixel_size_A,
            self.cyclic,
        )


def filament_crop(
    volume: NDArray[np.float32], pixel_size_A: float, outer_radius_A: float
) -> NDArray[np.float32]:
    """Cut a map across the axis to what the mask of a radius leaves.

    Parameters
    ----------
    volume : ndarray of float32, shape (..., ny, nx)
        Maps with the helix axis along z, through voxel n // 2.
    pixel_size_A : float
        Edge of a voxel, Angstrom.
    outer_radius_A : float
        Outer radius of the filament; the soft edge is kept beyond it.

    Returns
    -------
    ndarray of float32, shape (..., width, width)
        View with its centre at width // 2.
    """
    ny, nx = volume.shape[-2:]
    reach = int(np.ceil((outer_radius_A + FILAMENT_EDGE_A) / pixel_size_A)) + 1
    reach = min(reach, (ny - 1) // 2, (nx - 1) // 2)
    y, x = ny // 2, nx // 2
    return volume[..., y - reach : y + reach + 1, x - reach : x + reach + 1]


def map_harmonics(
    volume: NDArray[np.float32],
    window: NDArray[np.floating[Any]],
    *,
    pixel_size_A: float,
    resolution_A: float,
    outer_radius_A: float,
    inner_radius_A: float = 0.0,
    cyclic: int = 1,
) -> MapHarmonics:
    """Transform the filament in a map.

    Parameters
    ----------
    volume : ndarray of float32, shape (n_z, n_y, n_x)
        Map with the helix axis along z, through voxel n // 2.
    window : ndarray of float, shape (n_z,)
        Soft axial window.
    pixel_size_A : float
        Edge of a voxel, Angstrom.
    resolution_A : float
        Frequencies beyond are left out; at least 2 voxels.
    outer_radius_A, inner_radius_A : float
        Radii at which the mask is still 1, Angstrom.
    cyclic : int
        Harmonics that are no multiples of it are averaged out.

    Returns
    -------
    MapHarmonics
    """
    xp = array_module(volume)
    section = filament_crop(volume, pixel_size_A, outer_radius_A)
    k_per_px = min(pixel_size_A / resolution_A, 0.5)
    length = fourier.next_fast_len(int(np.ceil(AXIAL_PADDING * len(volume))), real=True)
    n_z = min(int(k_per_px * length), (length - 1) // 2) + 1
    width = section.shape[-1]
    fine = fourier.next_fast_len(int(np.ceil(_FINER * width)))
    mask = _mask(width, pixel_size_A, outer_radius_A, inner_radius_A)
    taper = _kernel_transform((np.arange(width) - width // 2) / fine)
    untapered = mask / (taper[:, None] * taper)
    planes = _along_axis(section, untapered, window, length)[:n_z]

    radius_px = width / 2
    step = 1 / (_RADIAL_STEPS * radius_px)
    r = (np.arange(int(np.ceil(k_per_px / step))) + 0.5) * step
    m_max = harmonic_limit(1, 1, k_per_px * radius_px, cyclic)
    turn = cyclic * fourier.next_fast_len(2 * m_max + 2)
    polar = _polar(planes, _PolarGrid(fine, len(r), step, turn))
    kept = np.arange(-m_max, m_max + 1) * cyclic
    spectrum = fourier.fft(polar, axis=1, workers=-1)
    values = (spectrum / np.float32(turn))[:, xp.asarray(kept)]
    z = np.arange(n_z) / length
    along = _window_transform(window, z)
    along = xp.asarray((along / along[0]).astype(np.complex64))
    values[:, m_max] -= values[:, m_max, :1] * along
    values *= xp.asarray(np.hypot(r[:, None], z) <= k_per_px)[:, None]
    return MapHarmonics(
        values,
        r / pixel_size_A,
        kept,
        z / pixel_size_A,
        _overlap(section, mask, np.asarray(window, np.float64)),
        pixel_size_A,
        cyclic,
    )


def _mask(
    width: int, pixel_size_A: float, outer_A: float, inner_A: float
) -> NDArray[np.float64]:
    """Soft ring across the axis."""
    axis = (np.arange(width) - width // 2) * pixel_size_A
    radius = np.hypot(axis[:, None], axis)
    mask = soft_step(radius - outer_A, FILAMENT_EDGE_A)
    if inner_A > 0:
        mask *= soft_step(inner_A - radius, FILAMENT_EDGE_A)
    return mask


def _overlap(
    section: NDArray[np.float32],
    mask: NDArray[np.float64],
    window: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Overlap of the windowed map with itself by shift, weighted with its power.

    With few subunits in the window their power varies along it, and an overlap of the
    window alone would move the optimum. This one is the mean power of both copies
    where they meet, so that a perfect symmetry correlates to 1 at every lag.
    """
    xp, device = array_module(section), device_of(section)
    axis = np.arange(len(mask)) - len(mask) // 2
    ring = np.rint(2 * np.hypot(axis[:, None], axis)).astype(np.int64)
    share = xp.asarray((window / window.sum()).astype(np.float32))
    mean = xp.tensordot(share, section, 1).ravel()
    count = np.bincount(ring.ravel())
    if device is None:
        sums = np.bincount(ring.ravel(), mean, len(count))
    else:
        sums = device.group_sums(mean, xp.asarray(ring.ravel()), len(count))
    tube = (sums / xp.asarray(np.maximum(count, 1)))[xp.asarray(ring)]
    structure = (section - tube.astype(np.float32)) * xp.asarray(mask, np.float32)
    power = to_host(xp.einsum("zyx,zyx->z", structure, structure, dtype=np.float64))
    both = np.correlate(window * power, window, "full")
    n = len(window)
    shared: NDArray[np.float64] = both[n - 1 :] + both[n - 1 :: -1]
    return shared / shared[0] if shared[0] > 0 else np.zeros(n)


def _along_axis(
    section: NDArray[np.float32],
    mask: NDArray[np.float64],
    window: NDArray[np.floating[Any]],
    length: int,
) -> NDArray[np.complex64]:
    """Mask, window and transform along z, the centre moved to the corner."""
    xp, half = array_module(section), len(section) // 2
    padded = xp.zeros((length, *mask.shape), np.float32)
    thin = xp.asarray(mask, np.float32)
    w = xp.asarray(window, np.float32)[:, None, None]
    above, below = padded[: len(section) - half], padded[length - half :]
    xp.multiply(section[half:], thin, out=above)
    xp.multiply(section[:half], thin, out=below)
    above *= w[half:]
    below *= w[:half]
    return xp.asarray(fourier.rfft(padded, axis=0, workers=-1), np.complex64)


def _window_transform(
    window: NDArray[np.floating[Any]], z: NDArray[np.float64]
) -> NDArray[np.complex128]:
    """Transform of the axial window about the middle of the map."""
    place = np.arange(len(window)) - len(window) // 2
    return np.asarray(np.exp(-2j * np.pi * np.outer(z, place)) @ window)


@dataclass(frozen=True)
class _PolarGrid:
    """Circles on which planes are sampled."""

    fine: int  # samples of the Cartesian grid along either axis
    n_r: int
    step: float  # of R, starting at half a step, cycles per pixel
    turn: int  # samples of a circle

    @property
    def reach(self) -> int:
        """Distance from the origin, in samples of the grid, to the last one needed."""
        return int(np.ceil((self.n_r - 0.5) * self.step * self.fine)) + _TAPS // 2 + 1


def _polar(planes: NDArray[np.complex64], grid: _PolarGrid) -> NDArray[np.complex64]:
    """Transform planes across the axis and sample them on circles.

    Returns
    -------
    ndarray of complex64, shape (n_r, turn, n_z)
    """
    xp, device = array_module(planes), device_of(planes)
    (n_z, width, _), fine = planes.shape, grid.fine
    kept = xp.asarray(np.arange(-grid.reach, grid.reach + 1) % fine)
    corner = xp.asarray((np.arange(width) - width // 2) % fine)
    # Planes last, so that every sum over taps runs over contiguous memory.
    rows = xp.zeros((width, fine, n_z), np.complex64)
    rows[:, corner] = planes.transpose(1, 2, 0)
    columns = xp.zeros((fine, len(kept), n_z), np.complex64)
    columns[corner] = fourier.fft(rows, axis=1, workers=-1)[:, kept]
    square = fourier.fft(columns, axis=0, workers=-1)[kept].reshape(-1, n_z)
    if device is not None:
        sampled = device.sparse_product(_uploaded_taps(grid, device), square.T).T
    else:
        # A real matrix acts on real and imaginary parts alike.
        parts = np.ascontiguousarray(square).view(np.float32)
        sampled = (_interpolation(grid) @ parts).view(np.complex64)
    return sampled.reshape(grid.n_r, grid.turn, n_z)


@lru_cache(maxsize=2)
def _interpolation(grid: _PolarGrid) -> csr_array:
    """Sparse matrix from the Cartesian grid, -reach ... reach squared, to circles."""
    theta = 2 * np.pi / grid.turn * np.arange(grid.turn)
    r = (np.arange(grid.n_r) + 0.5) * grid.step
    y, x = np.outer(r, np.sin(theta)).ravel(), np.outer(r, np.cos(theta)).ravel()
    reach, size = grid.reach, 2 * grid.reach + 1
    (iy, wy), (ix, wx) = _taps(y * grid.fine), _taps(x * grid.fine)
    flat = (iy + reach)[:, :, None] * size + (ix + reach)[:, None, :]
    weights = wy[:, :, None] * wx[:, None, :]
    n = _TAPS * _TAPS
    ends = np.arange(0, n * len(y) + 1, n)
    return csr_array(
        (weights.astype(np.float32).ravel(), flat.ravel(), ends),
        shape=(len(y), size * size),
    )


@lru_cache(maxsize=2)
def _uploaded_taps(grid: _PolarGrid, device: Device) -> tuple[Any, Any, Any]:
    return send_sparse(_interpolation(grid), device)


def _taps(
    place: NDArray[np.float64],
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Nearest grid points of each place and the kernel's weights there."""
    first = np.ceil(place - _TAPS / 2).astype(np.int64)
    index = first[:, None] + np.arange(_TAPS)
    return index, _kernel(place[:, None] - index)


def _beta() -> float:
    """Width of the kernel after Beatty et al. 2005, equation 5."""
    ratio = _TAPS / _FINER
    return float(np.pi * np.sqrt((ratio * (_FINER - 0.5)) ** 2 - 0.8))


def _kernel(distance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Kaiser-Bessel kernel, supported on `_TAPS` grid steps."""
    inside = np.maximum(1 - (2 * distance / _TAPS) ** 2, 0)
    return np.asarray(np.i0(_beta() * np.sqrt(inside)))


def _kernel_transform(place: NDArray[np.float64]) -> NDArray[np.float64]:
    """Fourier transform of the kernel at places given in parts of the fine grid."""
    argument = np.sqrt(_beta() ** 2 - (np.pi * _TAPS * place) ** 2)
    return np.asarray(_TAPS * np.sinh(argument) / argument)
