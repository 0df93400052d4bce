"""Particle images: normalised, windowed and Fourier transformed for turning.

Images are brought to zero mean and unit variance inside a soft circle, cropped in
Fourier space to the band in use and zero-padded, so that the transform can be
interpolated at any in-plane angle with an error far below the noise.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from helixnb.backend import fourier
from helixnb.backend.arrays import array_module
from helixnb.backend.interpolation import (
    IMAGE_PADDING,
    IMAGE_TAPS,
    semicircle_transform,
)

WINDOW_INNER = 0.85
"""Where the soft window starts to fall, fraction of half the box."""

WINDOW_OUTER = 0.99
"""Where the soft window reaches zero, fraction of half the box."""

_MARGIN = 8
_LEAST_VARIANCE = np.finfo(np.float32).tiny


def window(box_px: int) -> NDArray[np.float32]:
    """Soft circular window with a cosine edge.

    Parameters
    ----------
    box_px : int
        Edge of the images, pixels.

    Returns
    -------
    ndarray of float32, shape (box_px, box_px)
    """
    axis = (np.arange(box_px) - box_px // 2) / (box_px / 2)
    radius = np.hypot(axis[:, None], axis[None, :])
    edge = np.clip((radius - WINDOW_INNER) / (WINDOW_OUTER - WINDOW_INNER), 0, 1)
    return (0.5 * (1 + np.cos(np.pi * edge))).astype(np.float32)


def normalise(images: NDArray[np.float32]) -> NDArray[np.float32]:
    """Bring each image to zero mean and unit variance in the window and apply it.

    Parameters
    ----------
    images : ndarray of float32, shape (n, box, box)
        As read.

    Returns
    -------
    ndarray of float32, same shape
    """
    xp = array_module(images)
    inside = window(images.shape[-1])
    area = float(inside.sum())
    soft = xp.asarray(inside)
    mean = xp.einsum("nyx,yx->n", images, soft) / area
    centred = images - mean[:, None, None].astype(np.float32)
    variance = xp.einsum("nyx,nyx,yx->n", centred, centred, soft, optimize=True) / area
    scale = soft / xp.sqrt(xp.maximum(variance, _LEAST_VARIANCE))[:, None, None]
    scaled: NDArray[np.float32] = xp.multiply(centred, scale, dtype=np.float32)
    return scaled


def padded_transforms(images: NDArray[np.float32], k_max: int) -> NDArray[np.complex64]:
    """Transform normalised images, band-limited and padded for interpolation.

    Parameters
    ----------
    images : ndarray of float32, shape (n, box, box)
        From `normalise`.
    k_max : int
        Resolution radius, Fourier pixels.

    Returns
    -------
    ndarray of complex64, shape (n, M, M // 2 + 1)
        Unnormalised transform about the image centre at `IMAGE_PADDING` samples per
        Fourier pixel, divided by the transform of the interpolation kernel.
    """
    xp = array_module(images)
    box = images.shape[-1]
    cropped = min(2 * (k_max + _MARGIN), box)
    half = cropped // 2
    real = fourier.ifftshift(images, axes=(-2, -1))
    if cropped < box:
        # Columns beyond the crop and, below, rows of zeros are not transformed.
        small = fourier.rfft(real)[..., : cropped // 2 + 1]
        rows = xp.asarray(np.r_[0 : cropped - half, box - half : box])
        small = fourier.fft(small, axis=-2)[:, rows]
        real = fourier.irfft2(small, (cropped, cropped))
    size = IMAGE_PADDING * cropped
    position = fourier.fftfreq(cropped) / IMAGE_PADDING
    taper = semicircle_transform(position, IMAGE_TAPS)
    real /= xp.asarray(np.multiply.outer(taper, taper).astype(np.float32))
    wide = xp.zeros((len(images), cropped, size), np.float32)
    near = slice(0, cropped - half)
    far = slice(size - half, size)
    last = slice(cropped - half, cropped)
    wide[..., near] = real[..., near]
    wide[..., far] = real[..., last]
    spectrum = fourier.rfft(wide)
    padded = xp.zeros((len(images), size, size // 2 + 1), np.complex64)
    padded[:, near] = spectrum[:, near]
    padded[:, far] = spectrum[:, last]
    return xp.asarray(fourier.fft(padded, axis=-2, overwrite_x=True), np.complex64)
