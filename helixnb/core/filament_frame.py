"""Images and projections side by side in the filament frame, for looking at.

The likelihood never needs them as pictures: here images are turned upright, the model
is projected at their poses and multiplied by their CTF, and both are brought back to
real space on the same grid.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.fft as sfft
from numpy.typing import NDArray

from helixnb.backend import Backend
from helixnb.core import ctf
from helixnb.core.cylinder import CylinderGrid
from helixnb.core.halfplane import HalfPlane

_UNIT_CONTRAST = np.array([0, 0, 0, 0, 0, np.pi / 2])
"""CTF coefficients of 1 everywhere."""

_TILT_STEP_DEG = 1.0


@dataclass(frozen=True)
class FrameImages:
    """Images turned upright, with their poses; arrays of length n.

    Parameters
    ----------
    data : ndarray of complex64, shape (n_rows, n, n_columns)
        Transforms about the image centre, the CTF left in.
    contrast : ndarray of float32, same shape
        CTF of each image in the filament frame.
    tilt_deg, azimuth_deg : ndarray of float64
        As in `poses.Poses`.
    shift_px, axial_px : ndarray of float64
        Displacement of the particle across and along the filament.
    box_px : int
    """

    data: NDArray[np.complex64]
    contrast: NDArray[np.float32]
    tilt_deg: NDArray[np.float64]
    azimuth_deg: NDArray[np.float64]
    shift_px: NDArray[np.float64]
    axial_px: NDArray[np.float64]
    box_px: int

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.tilt_deg)

    def take(self, index: NDArray[np.integer]) -> FrameImages:
        """Return some of the images.

        Parameters
        ----------
        index : ndarray of int
            Which.
        """
        return FrameImages(
            data=self.data[:, index],
            contrast=self.contrast[:, index],
            tilt_deg=self.tilt_deg[index],
            azimuth_deg=self.azimuth_deg[index],
            shift_px=self.shift_px[index],
            axial_px=self.axial_px[index],
            box_px=self.box_px,
        )

    @cached_property
    def plane(self) -> HalfPlane:
        """Components that the images are known at."""
        return HalfPlane(self.data.shape[0] - 1)


def upright(
    transforms: NDArray[np.complex64],
    coefficients: NDArray[np.float64],
    psi_deg: NDArray[np.float64],
    k_max: int,
    spacing_per_A: float,
    backend: Backend,
) -> tuple[NDArray[np.complex64], NDArray[np.float32]]:
    """Turn images so that the filament runs along the rows, and their CTFs with them.

    Parameters
    ----------
    transforms : ndarray of complex64, shape (n, M, M // 2 + 1)
        From `images.padded_transforms`.
    coefficients : ndarray of float64, shape (n, 6)
        CTF of each, from `ctf.coefficients`.
    psi_deg : ndarray of float64, shape (n,)
        RELION's psi.
    k_max : int
        Band limit, Fourier pixels.
    spacing_per_A : float
        One Fourier pixel, 1/A.
    backend : Backend
        Where it runs.

    Returns
    -------
    data : ndarray of complex64, shape (n_rows, n, n_columns)
    contrast : ndarray of float32, same shape
        For `FrameImages`.
    """
    plane, n = HalfPlane(k_max), len(psi_deg)
    inside = (plane.multiplicity > 0).astype(np.float32)
    conjugate, _ = backend.filament_frames(
        transforms,
        np.arange(n, dtype=np.int32),
        psi_deg,
        np.tile(_UNIT_CONTRAST, (n, 1)),
        inside,
        k_max,
        spacing_per_A,
    )
    u, v = plane.u[None, :] * spacing_per_A, plane.v[:, None] * spacing_per_A
    contrast = np.empty(conjugate.shape, np.float32)
    for i, psi in enumerate(np.deg2rad(psi_deg)):
        kx = np.sin(psi) * u - np.cos(psi) * v
        ky = np.cos(psi) * u + np.sin(psi) * v
        contrast[:, i] = ctf.evaluate(coefficients[i], kx, ky)
    return np.conj(conjugate), contrast


def model_frames(
    frames: FrameImages,
    harmonics: NDArray[np.complex64],
    grid: CylinderGrid,
    backend: Backend,
) -> NDArray[np.complex64]:
    """Project a model at the pose of each image and multiply by its CTF.

    Tilts are rounded to a degree, so that one fan of slices serves many images.

    Parameters
    ----------
    frames : FrameImages
        Images with their poses.
    harmonics : ndarray of complex64, shape grid.shape
        F_n(R, Z) of the model.
    grid : CylinderGrid
        Sampling of `harmonics`.
    backend : Backend
        Where it runs.

    Returns
    -------
    ndarray of complex64, shape (n_rows, n, n_columns)
    """
    plane = frames.plane
    tilt = np.rint((frames.tilt_deg - 90) / _TILT_STEP_DEG).astype(int)
    turn = np.exp(1j * np.outer(grid.orders, np.deg2rad(frames.azimuth_deg)))
    out = np.empty((plane.n_rows, len(frames), plane.n_columns), np.complex64)
    for step in np.unique(tilt):
        members = np.flatnonzero(tilt == step)
        fan = backend.gather_fan(
            harmonics,
            grid.oversampling,
            grid.cyclic,
            float(step * _TILT_STEP_DEG),
            plane.k_max,
        )  # (v, u, m)
        slices = fan @ turn[:, members].astype(np.complex64)
        out[:, members] = slices.swapaxes(1, 2)
    out *= frames.contrast
    out *= _displacement(frames, frames.shift_px, frames.axial_px)
    return np.asarray(out, np.complex64)


def _displacement(
    frames: FrameImages, across_px: NDArray[np.float64], along_px: NDArray[np.float64]
) -> NDArray[np.complex64]:
    """Phases that move each picture, shape (n_rows, n, n_columns)."""
    plane = frames.plane
    across = np.exp(-2j * np.pi * np.outer(across_px, plane.u) / frames.box_px)
    along = np.exp(-2j * np.pi * np.outer(plane.v, along_px) / frames.box_px)
    return np.asarray(along[:, :, None] * across[None], np.complex64)


def centred_mean(
    frames: FrameImages, extra_axial_px: NDArray[np.float64]
) -> NDArray[np.complex64]:
    """Average images after centring them, corrected for the CTF like a class average.

    sum C X / (sum C^2 + a tenth of its mean): a Wiener filter with a constant
    signal-to-noise ratio.

    Parameters
    ----------
    frames : FrameImages
        Images with their poses.
    extra_axial_px : ndarray of float64, shape (n,)
        Added to the axial displacement that is taken out of each image.

    Returns
    -------
    ndarray of complex64, shape (n_rows, 1, n_columns)
    """
    back = _displacement(frames, -frames.shift_px, -frames.axial_px - extra_axial_px)
    data = np.sum(frames.data * frames.contrast * back, 1, np.complex128)
    weight = np.sum(frames.contrast**2, 1, dtype=np.float64)
    mean = data / (weight + 0.1 * weight.mean() + 1e-12)
    return np.asarray(mean[:, None], np.complex64)


def pictures(
    half_planes: NDArray[np.complex64], box_px: int, resolution_k: float | None = None
) -> NDArray[np.float32]:
    """Bring half-plane transforms back to real space.

    Parameters
    ----------
    half_planes : ndarray of complex64, shape (n_rows, n, n_columns)
        Transforms about the image centre.
    box_px : int
        Edge of the pictures, pixels.
    resolution_k : float, optional
        Radius in Fourier pixels of a soft low-pass filter; None filters nothing.

    Returns
    -------
    ndarray of float32, shape (n, box, box)
        Rows along +v, columns along +u, centre at box // 2.
    """
    plane = HalfPlane(half_planes.shape[0] - 1)
    kept = plane.radius <= plane.k_max
    weight = kept.astype(np.float32)
    if resolution_k is not None:
        weight *= 1 / (1 + (plane.radius / resolution_k) ** 8)
    n = half_planes.shape[1]
    spectrum = np.zeros((n, box_px, box_px // 2 + 1), np.complex64)
    rows = np.moveaxis(half_planes * weight[:, None], 1, 0)  # (n, v, u)
    spectrum[:, plane.u % box_px, : plane.n_rows] = rows.swapaxes(1, 2)
    real = sfft.irfft2(spectrum, (box_px, box_px), workers=-1)  # (n, u, v)
    centred = sfft.fftshift(real, axes=(-2, -1)).swapaxes(1, 2)
    return np.ascontiguousarray(centred, dtype=np.float32)
