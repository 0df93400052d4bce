"""Planes of a map sampled on a polar Fourier grid, and the adjoint of that.

On a CPU both are non-uniform FFTs of FINUFFT (doi:10.1137/18M120885X). On a device the
same transform is an FFT at twice the sampling and an interpolation with the
exponential-of-semicircle kernel; the polar points are the same for every plane, so the
interpolation is one sparse matrix for all of them, and its transpose is the adjoint.
No sum depends on the order in which threads arrive.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import finufft
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from helixnb.backend import fourier
from helixnb.backend.arrays import Device, device_of, send_sparse
from helixnb.backend.interpolation import semicircle_kernel, semicircle_transform

_NUFFT: dict[str, Any] = {"eps": 1e-4, "nthreads": 1}
# Its threads wait for each other by spinning, which costs more than they gain.

_TAPS = 6
_FINER = 2
_PLANES_AT_ONCE = 32
"""Planes that a device pads at a time: at a box of 400 they take 160 MB."""


@dataclass(frozen=True)
class PolarPoints:
    """Points of a polar grid in the transform of a square plane.

    Parameters
    ----------
    box_px : int
        Edge of the plane.
    n_r : int
        Radii, from 0.
    oversampling : int
        Radii per Fourier pixel.
    n_turn : int
        Angles over the full turn, from the x axis.
    """

    box_px: int
    n_r: int
    oversampling: int
    n_turn: int

    @cached_property
    def yx(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Radians per pixel along y and x, each of shape (n_r * n_turn,)."""
        theta = np.arange(self.n_turn) * (2 * np.pi / self.n_turn)
        radius = np.arange(self.n_r) / self.oversampling
        scale = 2 * np.pi / self.box_px * radius[:, None]
        return (
            (scale * np.sin(theta)).ravel().astype(np.float32),
            (scale * np.cos(theta)).ravel().astype(np.float32),
        )


def sample(planes: Any, points: PolarPoints) -> Any:
    """Transform planes at polar points: sum of f exp(-i (y j_y + x j_x)).

    Parameters
    ----------
    planes : array of complex64, shape (n, box, box)
        With their centre at box // 2.
    points : PolarPoints
        Where to sample.

    Returns
    -------
    array of complex64, shape (n, n_r * n_turn)
    """
    device = device_of(planes)
    if device is None:
        return finufft.nufft2d2(*points.yx, planes, isign=-1, **_NUFFT).reshape(
            len(planes), -1
        )
    matrix = _uploaded(points, False, device)
    return _in_blocks(
        planes, device, lambda some: _sampled(some, points, matrix, device)
    )


def spread(values: Any, points: PolarPoints) -> Any:
    """Sum the waves of polar points into planes, the adjoint of `sample`.

    Parameters
    ----------
    values : array of complex64, shape (n, n_r * n_turn)
        Amplitudes of the points.
    points : PolarPoints
        Where they lie.

    Returns
    -------
    array of complex64, shape (n, box, box)
    """
    device = device_of(values)
    if device is None:
        box = points.box_px
        return finufft.nufft2d1(*points.yx, values, (box, box), isign=1, **_NUFFT)
    matrix = _uploaded(points, True, device)
    return _in_blocks(
        values, device, lambda some: _spread(some, points, matrix, device)
    )


def _in_blocks(arrays: Any, device: Device, function: Any) -> Any:
    """Apply a function to a few planes at a time."""
    starts = range(0, len(arrays), _PLANES_AT_ONCE)
    return device.xp.concatenate(
        [function(arrays[start : start + _PLANES_AT_ONCE]) for start in starts]
    )


def _sampled(planes: Any, points: PolarPoints, matrix: Any, device: Device) -> Any:
    """Taper, pad, transform, interpolate."""
    xp, box = device.xp, points.box_px
    size, half = _FINER * box, box // 2
    padded = xp.zeros((len(planes), size, size), xp.complex64)
    tapered = planes / xp.asarray(_taper(box))
    near, far = slice(0, box - half), slice(size - half, size)
    padded[:, near, near] = tapered[:, half:, half:]
    padded[:, near, far] = tapered[:, half:, :half]
    padded[:, far, near] = tapered[:, :half, half:]
    padded[:, far, far] = tapered[:, :half, :half]
    spectrum = fourier.fft2(padded).reshape(len(planes), size * size)
    return device.sparse_product(matrix, spectrum)


def _spread(values: Any, points: PolarPoints, matrix: Any, device: Device) -> Any:
    """Transpose of `_sampled`."""
    xp, box = device.xp, points.box_px
    size, half = _FINER * box, box // 2
    spectrum = device.sparse_product(matrix, values).reshape(len(values), size, size)
    padded = fourier.ifft2(spectrum, norm="forward")
    out = xp.empty((len(values), box, box), xp.complex64)
    near, far = slice(0, box - half), slice(size - half, size)
    out[:, half:, half:] = padded[:, near, near]
    out[:, half:, :half] = padded[:, near, far]
    out[:, :half, half:] = padded[:, far, near]
    out[:, :half, :half] = padded[:, far, far]
    out /= xp.asarray(_taper(box))
    return out


@lru_cache(maxsize=4)
def _taper(box_px: int) -> NDArray[np.float32]:
    """Transform of the kernel over a plane, shape (box, box)."""
    position = (np.arange(box_px) - box_px // 2) / (_FINER * box_px)
    taper = semicircle_transform(position, _TAPS)
    return np.multiply.outer(taper, taper).astype(np.float32)


@lru_cache(maxsize=4)
def interpolation(points: PolarPoints) -> csr_array:
    """Weights from the finer grid, rows and columns wrapped, to polar points.

    Parameters
    ----------
    points : PolarPoints
        Where to sample.

    Returns
    -------
    scipy.sparse.csr_array of float32, shape (n_r * n_turn, (2 box)^2)
    """
    size = _FINER * points.box_px
    tap = np.arange(_TAPS) - (_TAPS // 2 - 1)
    index, weight = [], []
    for angle in points.yx:
        place = angle.astype(np.float64) * size / (2 * np.pi)
        nearest = np.floor(place).astype(np.int64)[:, None] + tap
        index.append(nearest % size)
        weight.append(semicircle_kernel(place[:, None] - nearest, _TAPS))
    columns = (index[0][:, :, None] * size + index[1][:, None, :]).reshape(-1)
    weights = (weight[0][:, :, None] * weight[1][:, None, :]).reshape(-1)
    first = np.arange(len(place) + 1) * _TAPS**2
    shape = (len(place), size * size)
    return csr_array((weights.astype(np.float32), columns, first), shape=shape)


@lru_cache(maxsize=8)
def _uploaded(points: PolarPoints, transposed: bool, device: Device) -> Any:
    """Start of each row, columns and weights of the interpolation, on one device."""
    matrix = interpolation(points)
    matrix = csr_array(matrix.T) if transposed else matrix
    return send_sparse(matrix, device)
