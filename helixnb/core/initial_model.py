"""The first density: images at random azimuths, or a map brought to their scale.

Every image at its in-plane angle and a random azimuth gives the cylindrical average
of the filament with a trace of structure, as CryoSPARC's helical refinement starts.
It is expressed as a posterior, so that the ordinary M-step reconstructs it. A given
density is resampled, turned to the axis and scaled to the contrast of the images.
"""

from __future__ import annotations

import numpy as np
import scipy.fft as sfft
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial.transform import Rotation

from helixnb.backend.arrays import array_module
from helixnb.core import images
from helixnb.core.expectation import Posterior
from helixnb.core.noise import ring_means
from helixnb.core.scoring import Chunk
from helixnb.core.search import Cells, SearchLevel

_FILTER_POWER = 16
"""Steepness of the low-pass filter."""

_DENSE = 0.3
"""Density that counts towards the long axis of a filament, over the maximum."""


def random_posterior(
    chunk: Chunk,
    level: SearchLevel,
    rng: np.random.Generator,
) -> Posterior:
    """Put every image at its priors, with random azimuth and polarity.

    Parameters
    ----------
    chunk : Chunk
        Images to place.
    level : SearchLevel
        With one cell along psi, tilt and transverse shift, and one axial shift.
    rng : numpy.random.Generator
        Draws azimuths and polarities.

    Returns
    -------
    Posterior
    """
    n, xp = len(chunk), array_module(chunk.transforms)
    zero = xp.zeros(n, np.int32)
    flipped = rng.random(n) < chunk.polarity_prior[:, 1]
    flipped = xp.asarray(flipped.astype(np.int32))
    cells = Cells(xp.arange(n, dtype=np.int32), flipped, zero, zero, zero)
    weights = np.zeros((n, level.n_axial, level.n_azimuth), np.float32)
    weights[np.arange(n), 0, rng.integers(level.n_azimuth, size=n)] = 1
    return Posterior(
        level=level,
        cells=cells,
        weights=xp.asarray(weights),
        mass=xp.ones(n),
        log_evidence=xp.zeros(n),
        cells_scored=0,
    )


def lowpass(
    volume: NDArray[np.float32], pixel_size_A: float, resolution_A: float
) -> NDArray[np.float32]:
    """Low-pass a map with a soft edge.

    Parameters
    ----------
    volume : ndarray of float32, shape (n, n, n)
        Any map.
    pixel_size_A : float
        Edge of a voxel.
    resolution_A : float
        Where the filter has fallen to a half.

    Returns
    -------
    ndarray of float32, same shape
    """
    box = len(volume)
    full, half = sfft.fftfreq(box, pixel_size_A), sfft.rfftfreq(box, pixel_size_A)
    squared = full[:, None, None] ** 2 + full[:, None] ** 2 + half**2
    passed = 1 / (1 + (np.sqrt(squared) * resolution_A) ** _FILTER_POWER)
    spectrum = sfft.rfftn(volume, workers=-1) * passed.astype(np.float32)
    return np.asarray(sfft.irfftn(spectrum, volume.shape, workers=-1), np.float32)


def placed(
    volume: NDArray[np.float32],
    voxel_size_A: float,
    *,
    box_px: int,
    pixel_size_A: float,
    resolution_A: float,
    align_axis: bool,
) -> NDArray[np.float32]:
    """Low-pass a map and bring it into another box, centre on centre.

    Parameters
    ----------
    volume : ndarray of float32, shape (n, n, n)
        Any density.
    voxel_size_A : float
        Its voxel size.
    box_px : int
        Edge of the result, pixels.
    pixel_size_A : float
        Voxel size of the result.
    resolution_A : float
        Resolution of the result; at least two voxels of either map.
    align_axis : bool
        Turn the long axis of the density to z and centre it, for a filament that was
        built along another axis.

    Returns
    -------
    ndarray of float32, shape (box_px, box_px, box_px)
    """
    smooth = lowpass(volume, voxel_size_A, resolution_A)
    turn, centre = np.eye(3), np.full(3, float(len(volume) // 2))
    if align_axis:
        turn, centre = _long_axis(smooth)
    # Rows of `turn` are the new axes z, y, x in the old frame.
    matrix = turn.T * (pixel_size_A / voxel_size_A)
    offset = centre - matrix @ np.full(3, float(box_px // 2))
    moved = ndimage.affine_transform(
        smooth, matrix, offset, output_shape=(box_px,) * 3, order=3
    )
    return np.asarray(moved, np.float32)


def _long_axis(
    volume: NDArray[np.float32],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Axes of a filament's density, the long one first, and its centre.

    The density is taken inside a sphere, so that the corners of the box do not draw
    the axis towards them.
    """
    n = len(volume)
    place = np.indices(volume.shape).reshape(3, -1).astype(np.float64)
    inside = np.linalg.norm(place - n // 2, axis=0) < 0.48 * n
    weight = np.maximum(volume.ravel() - _DENSE * volume.max(), 0) * inside
    centre = (place * weight).sum(1) / weight.sum()
    spread = (place - centre[:, None]) * weight @ (place - centre[:, None]).T
    axis = np.linalg.eigh(spread)[1][:, -1]
    axis = axis * np.sign(axis[np.abs(axis).argmax()])
    turn, _ = Rotation.align_vectors([[1.0, 0.0, 0.0]], [axis])
    # Along the axis a filament has no centre of its own.
    centre = centre - axis * ((centre - n // 2) @ axis)
    return turn.as_matrix(), centre


def contrast_scale(
    density: NDArray[np.float32],
    filtered: NDArray[np.float64],
    ctf_power: NDArray[np.float64],
    k_max: int,
    shift_sd_px: float,
) -> float:
    """Scale that brings a density to the contrast of normalised images.

    Over all azimuths and positions along the axis a filament projects to its radial
    profile. Rings of the mean image, multiplied by its CTF, are those of that
    projection times the mean squared CTF; in-plane angles do not matter to them.

    Parameters
    ----------
    density : ndarray of float32, shape (box, box, box)
        Filament along z.
    filtered : ndarray of float64, shape (box // 2 + 1,)
        Mean over images and rings of CTF times transform.
    ctf_power : ndarray of float64, shape (box // 2 + 1,)
        Mean squared CTF of each ring.
    k_max : int
        Last ring used.
    shift_sd_px : float
        Standard deviation of the transverse shifts, which blur the mean.

    Returns
    -------
    float
        By least squares; negative if the contrast is opposite.
    """
    box = len(density)
    soft = images.window(box)
    profile = ndimage.gaussian_filter1d(_mean_profile(density), shift_sd_px)
    view = np.tile(profile, (box, 1))
    mean = (view * soft).sum() / soft.sum()
    spectrum = sfft.rfft2(sfft.ifftshift((view - mean) * soft))
    expected = ring_means(spectrum.real, box)
    rings = slice(1, k_max + 1)
    weight = np.arange(len(filtered))[rings]
    model = (ctf_power * expected)[rings]
    return float((weight * filtered[rings] * model).sum() / (weight * model**2).sum())


def _mean_profile(density: NDArray[np.float32]) -> NDArray[np.float64]:
    """Projection of a filament averaged over azimuth and axis, shape (box,)."""
    box = len(density)
    section = density.mean(0, dtype=np.float64)
    axis = np.arange(box) - box // 2
    radius = np.hypot(axis[:, None], axis[None, :])
    ring = np.rint(radius).astype(int)
    profile = np.bincount(ring.ravel(), section.ravel()) / np.bincount(ring.ravel())
    averaged = np.interp(radius, np.arange(len(profile)), profile)
    projected: NDArray[np.float64] = averaged.sum(0)
    return projected
