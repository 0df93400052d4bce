"""Atoms to density: projected micrographs and the truth map, exact to Nyquist.

Atoms are spread with cubic B-splines on a grid twice as fine as the pixels; dividing
by the spline's transfer function and cropping in Fourier space leaves point atoms
band-limited at the coarse Nyquist frequency (aliasing about 1 % there and falling
fast below). The atoms' common shape is then a multiplication.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numba
import numpy as np
import scipy.fft

from helixnb.simulate.lattice import Lattice, rotation_about_z

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from helixnb.simulate.models import Subunit

OVERSAMPLING = 2

# Bulk solvent by Babinet's principle: ice has about 0.6 of protein's mean potential
# and follows its envelope blurred by B = 200 A^2, so only low frequencies lose.
_SOLVENT_FRACTION, _SOLVENT_B_A2 = 0.6, 200.0
# The truth map is drawn longer than the box and cut, so the helix has no ends in it.
_END_PADDING_PX = 16


def frequency_grid(
    shape: tuple[int, ...], pixel_size_A: float
) -> tuple[NDArray[np.float64], ...]:
    """Spatial frequencies of a real FFT, one broadcastable array an axis (1/A)."""
    axes = [scipy.fft.fftfreq(n, pixel_size_A) for n in shape[:-1]]
    axes.append(scipy.fft.rfftfreq(shape[-1], pixel_size_A))
    return tuple(np.meshgrid(*axes, indexing="ij", sparse=True))


def atom_transfer(
    squared_frequency: NDArray[np.float64], b_factor_A2: float
) -> NDArray[np.float64]:
    """Fourier transform of every atom: Gaussian less the solvent it displaces.

    Parameters
    ----------
    squared_frequency : float64 array
        k^2 in 1/A^2.
    b_factor_A2 : float
        exp(-B k^2 / 4) falls on both terms.

    Returns
    -------
    float64 array
        Of the same shape; 1 - solvent fraction at k = 0.
    """
    solvent = _SOLVENT_FRACTION * np.exp(-_SOLVENT_B_A2 * squared_frequency / 4)
    return np.exp(-b_factor_A2 * squared_frequency / 4) * (1 - solvent)


def project_atoms(
    fine: NDArray[np.float32],
    subunit: Subunit,
    rotations: NDArray[np.float64],
    centres_px: NDArray[np.float64],
    pixel_size_A: float,
) -> None:
    """Add the projection along z of many copies of a subunit to a fine grid.

    Parameters
    ----------
    fine : (OVERSAMPLING * ny, OVERSAMPLING * nx) float32 array
        Changed in place.
    subunit : Subunit
        Atoms of one level of the helix.
    rotations : (s, 3, 3) float64 array
        From the subunit's frame to the image's, one a copy.
    centres_px : (s, 2) float64 array
        Where each copy's origin falls, (x, y) in coarse pixels.
    pixel_size_A : float
        Size of a coarse pixel in Angstrom.
    """
    scale = OVERSAMPLING / pixel_size_A
    _splat_projection(
        fine,
        subunit.coordinates_A * scale,
        subunit.weights,
        rotations,
        np.ascontiguousarray(centres_px) * OVERSAMPLING,
    )


def spline_to_pixels(fine: NDArray[np.float32]) -> NDArray[np.complex64]:
    """Real FFT at the coarse sampling of what was spread on the fine grid.

    Parameters
    ----------
    fine : float32 array
        Sides are even multiples of OVERSAMPLING.

    Returns
    -------
    complex64 array
        Spectrum of point atoms; frequencies at the coarse Nyquist are zero, because
        they have no unambiguous sign.
    """
    shape = tuple(n // OVERSAMPLING for n in fine.shape)
    spectrum = scipy.fft.rfftn(fine, workers=-1)
    rows = [
        np.r_[0 : n // 2, m - n // 2 : m]
        for n, m in zip(shape[:-1], fine.shape[:-1], strict=True)
    ]
    spectrum = spectrum[np.ix_(*rows, np.arange(shape[-1] // 2 + 1))]
    for frequency in frequency_grid(shape, 1.0):
        weight = np.sinc(frequency / OVERSAMPLING) ** -4
        weight[np.abs(frequency) == 0.5] = 0.0
        spectrum *= weight.astype(np.float32)
    return np.asarray(spectrum, dtype=np.complex64)


def render_map(
    level: Subunit,
    lattice: Lattice,
    *,
    box_px: int,
    pixel_size_A: float,
    b_factor_A2: float,
) -> NDArray[np.float32]:
    """Density of an ideal straight helix, level 0 at the centre.

    Parameters
    ----------
    level : Subunit
        Atoms of one level of the helix.
    lattice : Lattice
        Twist and rise.
    box_px : int
        Side of the map, even.
    pixel_size_A : float
        Size of a voxel in Angstrom.
    b_factor_A2 : float
        See `atom_transfer`.

    Returns
    -------
    (box_px, box_px, box_px) float32 array
        (z, y, x), centre box_px // 2. The sum over any axis is a projection in the
        units of `project_atoms`.
    """
    shape = (box_px + 2 * _END_PADDING_PX, box_px, box_px)
    fine = np.zeros([OVERSAMPLING * n for n in shape], dtype=np.float32)
    scale = OVERSAMPLING / pixel_size_A
    reach_A = np.abs(level.coordinates_A[:, 2]).max()
    levels = lattice.levels_within(shape[0] / 2 * pixel_size_A + reach_A)
    shifts = np.zeros((len(levels), 3))
    shifts[:, 2] = levels * lattice.rise_A * scale
    _splat_volume(
        fine,
        level.coordinates_A * scale,
        level.weights,
        rotation_about_z(levels * lattice.twist_deg),
        shifts + np.array(fine.shape)[::-1] / 2,
    )
    spectrum = spline_to_pixels(fine)
    squared = sum(k**2 for k in frequency_grid(shape, pixel_size_A))
    spectrum *= atom_transfer(np.asarray(squared), b_factor_A2).astype(np.float32)
    volume = scipy.fft.irfftn(spectrum, shape, workers=-1)
    return np.ascontiguousarray(volume[_END_PADDING_PX:-_END_PADDING_PX])


@numba.njit(cache=True)
def _spline_weights(fraction, out):  # type: ignore[no-untyped-def]
    """Cubic B-spline at the two grid points on each side of a position."""
    rest = 1.0 - fraction
    out[0] = rest**3 / 6.0
    out[1] = (4.0 - 6.0 * fraction**2 + 3.0 * fraction**3) / 6.0
    out[2] = (4.0 - 6.0 * rest**2 + 3.0 * rest**3) / 6.0
    out[3] = fraction**3 / 6.0


@numba.njit(cache=True)
def _splat_projection(fine, atoms, weights, rotations, centres):  # type: ignore[no-untyped-def]
    """Spread rotated, shifted atoms on a plane; those outside it are dropped."""
    ny, nx = fine.shape
    wx, wy = np.empty(4), np.empty(4)
    for s in range(len(rotations)):
        r = rotations[s]
        for a in range(len(atoms)):
            p = atoms[a]
            x = r[0, 0] * p[0] + r[0, 1] * p[1] + r[0, 2] * p[2] + centres[s, 0]
            y = r[1, 0] * p[0] + r[1, 1] * p[1] + r[1, 2] * p[2] + centres[s, 1]
            ix, iy = int(np.floor(x)), int(np.floor(y))
            if ix < 1 or iy < 1 or ix >= nx - 2 or iy >= ny - 2:
                continue
            _spline_weights(x - ix, wx)
            _spline_weights(y - iy, wy)
            for j in range(4):
                for i in range(4):
                    fine[iy + j - 1, ix + i - 1] += weights[a] * wy[j] * wx[i]


@numba.njit(cache=True)
def _splat_volume(fine, atoms, weights, rotations, centres):  # type: ignore[no-untyped-def]
    """Spread rotated, shifted atoms in a volume; those outside it are dropped."""
    nz, ny, nx = fine.shape
    wx, wy, wz = np.empty(4), np.empty(4), np.empty(4)
    for s in range(len(rotations)):
        r = rotations[s]
        for a in range(len(atoms)):
            p = atoms[a]
            x = r[0, 0] * p[0] + r[0, 1] * p[1] + r[0, 2] * p[2] + centres[s, 0]
            y = r[1, 0] * p[0] + r[1, 1] * p[1] + r[1, 2] * p[2] + centres[s, 1]
            z = r[2, 0] * p[0] + r[2, 1] * p[1] + r[2, 2] * p[2] + centres[s, 2]
            ix, iy, iz = int(np.floor(x)), int(np.floor(y)), int(np.floor(z))
            if ix < 1 or iy < 1 or iz < 1:
                continue
            if ix >= nx - 2 or iy >= ny - 2 or iz >= nz - 2:
                continue
            _spline_weights(x - ix, wx)
            _spline_weights(y - iy, wy)
            _spline_weights(z - iz, wz)
            for k in range(4):
                for j in range(4):
                    wzy = weights[a] * wz[k] * wy[j]
                    for i in range(4):
                        fine[iz + k - 1, iy + j - 1, ix + i - 1] += wzy * wx[i]
