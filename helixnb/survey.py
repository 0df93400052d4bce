"""What is measured from the images once, before the first iteration."""

from __future__ import annotations

import numpy as np
import scipy.fft as sfft
from numpy.typing import NDArray

from helixnb.core import ctf, images
from helixnb.core.noise import ring_means, ring_power
from helixnb.particles import ParticleSet
from helixnb.progress import Progress

_POWER_IMAGES = 1000
_BATCH = 256
_PROFILE_THRESHOLD = 0.1
_PROFILE_MARGIN_PX = 3.0


def mean_image_power(
    particles: ParticleSet, rng: np.random.Generator, progress: Progress
) -> NDArray[np.float64]:
    """Mean ring power of up to 1,000 normalised images.

    Parameters
    ----------
    particles : ParticleSet
        The images.
    rng : numpy.random.Generator
        Chooses the images.
    progress : callable
        Told how many images are measured.

    Returns
    -------
    ndarray of float64, shape (box // 2 + 1,)
    """
    n = min(len(particles), _POWER_IMAGES)
    chosen = np.sort(rng.choice(len(particles), n, replace=False))
    total = np.zeros(particles.box_px // 2 + 1)
    for first in range(0, n, _BATCH):
        progress("noise spectrum", first, n)
        batch = chosen[first : first + _BATCH]
        total += ring_power(images.normalise(particles.read(batch))) * len(batch)
    return total / n


def mean_ctf_power(particles: ParticleSet) -> NDArray[np.float64]:
    """Mean squared CTF over particles and directions of each ring.

    Parameters
    ----------
    particles : ParticleSet
        Carries the optics and defocus of each image.

    Returns
    -------
    ndarray of float64, shape (box // 2 + 1,)
    """
    box = particles.box_px
    ring = np.arange(box // 2 + 1) / (box * particles.pixel_size_A)
    distinct = np.unique(ctf.coefficients(particles), axis=0)
    some = distinct[:: max(1, len(distinct) // 500)]
    angles = np.pi * np.arange(4) / 4
    kx, ky = (
        np.multiply.outer(ring, np.cos(angles)),
        np.multiply.outer(ring, np.sin(angles)),
    )
    power: NDArray[np.float64] = np.mean(
        [(ctf.evaluate(c, kx, ky) ** 2).mean(1) for c in some], axis=0
    )
    return power


def mean_filtered_image(
    particles: ParticleSet, rng: np.random.Generator, progress: Progress
) -> NDArray[np.float64]:
    """Mean over images and rings of CTF times transform, of up to 1,000 images.

    Parameters
    ----------
    particles : ParticleSet
        The images.
    rng : numpy.random.Generator
        Chooses the images.
    progress : callable
        Told how many images are measured.

    Returns
    -------
    ndarray of float64, shape (2, box // 2 + 1)
        Real part, about the image centre; of every other image, and of those between.
    """
    box, n = particles.box_px, min(len(particles), _POWER_IMAGES)
    chosen = np.sort(rng.choice(len(particles), n, replace=False))
    contrast = ctf.coefficients(particles)[chosen]
    kx = sfft.rfftfreq(box, particles.pixel_size_A)[None, :]
    ky = sfft.fftfreq(box, particles.pixel_size_A)[:, None]
    total = np.zeros((2, box, box // 2 + 1))
    for first in range(0, n, _BATCH):
        progress("contrast", first, n)
        batch = slice(first, first + _BATCH)
        normalised = images.normalise(particles.read(chosen[batch]))
        spectra = sfft.rfft2(sfft.ifftshift(normalised, axes=(1, 2)), workers=-1)
        for i, spectrum in enumerate(spectra):
            factor = ctf.evaluate(contrast[first + i], kx, ky)
            total[(first + i) % 2] += spectrum.real * factor
    counts = np.array([(n + 1) // 2, n // 2])
    return ring_means(total / np.maximum(counts, 1)[:, None, None], box)


def filament_radius_px(density: NDArray[np.float32]) -> float:
    """Outer radius of a filament from its mean radial profile.

    The outermost radius at which the profile is a tenth of its maximum above the
    surroundings, plus a margin.

    Parameters
    ----------
    density : ndarray of float32, shape (length, box, box)
        Density of a filament along z.

    Returns
    -------
    float
        Pixels; at most 0.45 of the box.
    """
    box, quarter = density.shape[-1], len(density) // 4
    central = density[quarter:-quarter].mean(0, dtype=np.float64)
    axis = np.arange(box) - box // 2
    radius = np.rint(np.hypot(axis[:, None], axis[None, :])).astype(int)
    limit = int(0.45 * box)
    inside = radius <= limit
    counts = np.bincount(radius[inside])
    profile = np.bincount(radius[inside], central[inside]) / counts
    background = np.median(profile[int(0.8 * limit) :])
    raised = profile - background
    above = np.flatnonzero(raised > _PROFILE_THRESHOLD * raised.max())
    return float(min(above.max() + _PROFILE_MARGIN_PX, limit))
