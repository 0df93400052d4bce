"""Compare a helical map with a truth map after the free motions are fitted.

A helical refinement leaves rotation about the axis, shift along it and polarity
undetermined. They are found from the cross-correlation of polar transforms, refined
by interpolation, and the FSC is then taken inside a soft cylinder over the central
70 % of the axis. Nothing here uses helixnb, so that the comparison is independent.
"""

from __future__ import annotations

from dataclasses import dataclass

import finufft
import numpy as np
import scipy.fft as sfft
from numpy.typing import NDArray
from scipy.ndimage import affine_transform, spline_filter
from scipy.optimize import minimize

_AXIAL_FRACTION = 0.7
_N_THETA = 360
_COARSE_A = 10.0


@dataclass(frozen=True)
class TruthFSC:
    """Agreement with the truth.

    Parameters
    ----------
    curve : ndarray of float64
        FSC by shell.
    at_half_A, at_143_A : float
        Resolution where the curve first crosses 0.5 and 0.143.
    flipped : bool
        Whether the map had the opposite polarity.
    """

    curve: NDArray[np.float64]
    at_half_A: float
    at_143_A: float
    flipped: bool


def compare(
    volume: NDArray[np.float32],
    truth: NDArray[np.float32],
    pixel_size_A: float,
    radius_A: float,
) -> TruthFSC:
    """Fit the free motions of a map to the truth and take the FSC.

    Parameters
    ----------
    volume, truth : ndarray of float32, shape (box, box, box)
        Maps with the helix axis along z.
    pixel_size_A : float
        Edge of a voxel, Angstrom.
    radius_A : float
        Outer radius of the filament.
    """
    mask = _cylinder(len(truth), radius_A / pixel_size_A, 10 / pixel_size_A)
    target = truth * mask
    best = max(
        (*_coarse(_oriented(volume, flip), target, mask, pixel_size_A), flip)
        for flip in (False, True)
    )
    _, shift_px, angle_deg, flipped = best
    moved = _refined(
        _oriented(volume, flipped), target, mask, pixel_size_A, shift_px, angle_deg
    )
    curve = _fsc(moved * mask, target)
    box_A = len(truth) * pixel_size_A
    return TruthFSC(
        curve, _crossing(curve, 0.5, box_A), _crossing(curve, 0.143, box_A), flipped
    )


def _cylinder(box: int, radius_px: float, edge_px: float) -> NDArray[np.float32]:
    axis = np.arange(box) - box // 2
    radius = np.hypot(axis[:, None], axis[None, :])
    across = 0.5 * (1 + np.cos(np.pi * np.clip((radius - radius_px) / edge_px, 0, 1)))
    edge = 0.1 * box
    start = _AXIAL_FRACTION * box / 2 - edge / 2
    along = 0.5 * (1 + np.cos(np.pi * np.clip((abs(axis) - start) / edge, 0, 1)))
    return (along[:, None, None] * across).astype(np.float32)


def _oriented(volume: NDArray[np.float32], flip: bool) -> NDArray[np.float32]:
    """Return the map, or the map turned by 180 degrees about x."""
    if not flip:
        return volume
    turned = volume[::-1, ::-1]
    # Reversal of an even axis moves its centre by one voxel.
    return np.roll(turned, (1, 1), axis=(0, 1)) if len(volume) % 2 == 0 else turned


def _polar(volume: NDArray[np.float32]) -> NDArray[np.complex128]:
    """Transform over (Z, R, n)."""
    box = len(volume)
    ring = 2 * np.pi / box * np.arange(box // 2)
    theta = np.arange(_N_THETA) * 2 * np.pi / _N_THETA
    x = np.outer(ring, np.cos(theta)).ravel()
    y = np.outer(ring, np.sin(theta)).ravel()
    polar = finufft.nufft2d2(y, x, volume.astype(np.complex128), eps=1e-6, isign=-1)
    polar = polar.reshape(box, box // 2, _N_THETA)
    return sfft.fft(sfft.fft(sfft.ifftshift(polar, axes=0), axis=0), axis=2)


def _coarse(
    volume: NDArray[np.float32],
    target: NDArray[np.float32],
    mask: NDArray[np.float32],
    pixel_size_A: float,
) -> tuple[float, float, float]:
    """Best correlation with its axial shift (pixels) and rotation (degrees)."""
    box = len(volume)
    z = sfft.fftfreq(box, 1 / box)
    ring = np.arange(box // 2)
    low = np.hypot(z[:, None], ring) <= box * pixel_size_A / _COARSE_A
    cross = np.einsum(
        "zrn,zrn,zr->zn",
        np.conj(_polar(target)),
        _polar(volume * mask),
        low * ring,
    )
    fine = np.zeros((4 * box, _N_THETA), complex)
    fine[: box // 2], fine[-(box // 2) :] = cross[: box // 2], cross[-(box // 2) :]
    correlation = sfft.ifft2(fine).real
    i, j = np.unravel_index(int(correlation.argmax()), correlation.shape)
    shift = (i + 2 * box) % (4 * box) - 2 * box
    return float(correlation[i, j]), shift / 4, j * 360 / _N_THETA


def _refined(
    volume: NDArray[np.float32],
    target: NDArray[np.float32],
    mask: NDArray[np.float32],
    pixel_size_A: float,
    shift_px: float,
    angle_deg: float,
) -> NDArray[np.float64]:
    """Move the map on to the target by the best shift and rotation."""
    box = len(volume)
    coefficients = spline_filter(volume.astype(np.float64), order=3)
    centre = np.full(3, box // 2, float)
    spectrum = sfft.rfftn(target)
    shell = _shells(box)
    box_A = box * pixel_size_A
    spectrum[(shell < box_A / 30) | (shell > box_A / 6)] = 0
    band = sfft.irfftn(spectrum, target.shape)

    def moved(parameters: NDArray[np.float64]) -> NDArray[np.float64]:
        shift, angle = parameters
        c, s = np.cos(np.deg2rad(angle)), np.sin(np.deg2rad(angle))
        matrix = np.array([[1, 0, 0], [0, c, s], [0, -s, c]])
        offset = centre - matrix @ centre + np.array([shift, 0, 0])
        return affine_transform(coefficients, matrix, offset, order=3, prefilter=False)

    def loss(parameters: NDArray[np.float64]) -> float:
        shifted = moved(parameters) * mask
        return -float((shifted * band).sum() / np.sqrt((shifted**2).sum()))

    start = np.array([shift_px, angle_deg])
    simplex = start + np.array([[0, 0], [0.4, 0], [0, 0.8]])
    fit = minimize(
        loss,
        start,
        method="Nelder-Mead",
        options={"initial_simplex": simplex, "xatol": 0.02, "fatol": 1e-7},
    )
    return moved(fit.x)


def _shells(box: int) -> NDArray[np.int64]:
    full, half = sfft.fftfreq(box, 1 / box), sfft.rfftfreq(box, 1 / box)
    squares = full[:, None, None] ** 2 + full[None, :, None] ** 2 + half**2
    return np.rint(np.sqrt(squares)).astype(int)


def _fsc(
    first: NDArray[np.floating], second: NDArray[np.floating]
) -> NDArray[np.float64]:
    a, b = sfft.rfftn(first), sfft.rfftn(second)
    box = len(first)
    shell = _shells(box).ravel()
    weight = np.full(a.shape[-1], 2.0)
    weight[[0, -1]] = 1

    def total(values: NDArray[np.floating]) -> NDArray[np.float64]:
        return np.bincount(shell, (values * weight).ravel())[: box // 2 + 1]

    cross = total((a * np.conj(b)).real)
    return cross / np.sqrt(total(abs(a) ** 2) * total(abs(b) ** 2))


def _crossing(curve: NDArray[np.float64], threshold: float, box_A: float) -> float:
    below = np.flatnonzero(curve[1:] < threshold)
    if not len(below):
        return box_A / (len(curve) - 1)
    shell = int(below[0]) + 1
    part = (curve[shell - 1] - threshold) / (curve[shell - 1] - curve[shell])
    return box_A / (shell - 1 + part)
