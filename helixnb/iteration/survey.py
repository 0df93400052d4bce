"""What is measured from the images once, before the first iteration."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from helixnb.backend import Backend, fourier
from helixnb.backend.arrays import to_host
from helixnb.core import ctf, images
from helixnb.core.noise import ring_means, summed_power
from helixnb.particles import ParticleSet
from helixnb.progress import Progress

_SURVEYED_IMAGES = 1000
_AT_ONCE = 32
_PROFILE_THRESHOLD = 0.1
_PROFILE_MARGIN_PX = 3.0


def mean_image_power(
    particles: ParticleSet,
    rng: np.random.Generator,
    backend: Backend,
    progress: Progress,
) -> NDArray[np.float64]:
    """Mean ring power of up to 1,000 normalised images.

    Parameters
    ----------
    particles : ParticleSet
        The images.
    rng : numpy.random.Generator
        Chooses the images.
    backend : Backend
        Where it runs.
    progress : callable
        Told how many images are measured.

    Returns
    -------
    ndarray of float64, shape (box // 2 + 1,)
    """
    chosen = _chosen(particles, rng)

    def power(places: range) -> Any:
        return summed_power(_normalised(particles, chosen[places], backend))

    total = _summed(power, len(chosen), "noise spectrum", backend, progress)
    return ring_means(total / len(chosen), particles.box_px)


def _chosen(particles: ParticleSet, rng: np.random.Generator) -> NDArray[np.int64]:
    """Images to be measured, in their order in the set."""
    n = min(len(particles), _SURVEYED_IMAGES)
    return np.sort(rng.choice(len(particles), n, replace=False))


def _normalised(
    particles: ParticleSet, index: NDArray[np.integer], backend: Backend
) -> NDArray[np.float32]:
    return images.normalise(backend.upload(particles.read(index)))


def _summed(
    measure: Callable[[range], Any],
    n: int,
    stage: str,
    backend: Backend,
    progress: Progress,
) -> NDArray[np.float64]:
    """Add up what is measured on a few of n images at a time; on the host."""

    def parts() -> Iterator[range]:
        for first in range(0, n, _AT_ONCE):
            progress(stage, first, n)
            yield range(first, min(first + _AT_ONCE, n))

    def halves(places: range) -> list[range]:
        middle = len(places) // 2
        return [places[:middle], places[middle:]] if middle else [places]

    total: Any = 0
    for found in backend.map(measure, parts(), halves):
        total = total + found
    return np.asarray(to_host(total), np.float64)


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
    particles: ParticleSet,
    rng: np.random.Generator,
    backend: Backend,
    progress: Progress,
) -> NDArray[np.float64]:
    """Mean over images and rings of CTF times transform, of up to 1,000 images.

    Parameters
    ----------
    particles : ParticleSet
        The images.
    rng : numpy.random.Generator
        Chooses the images.
    backend : Backend
        Where it runs.
    progress : callable
        Told how many images are measured.

    Returns
    -------
    ndarray of float64, shape (2, box // 2 + 1)
        Real part, about the image centre; of every other image, and of those between.
    """
    box, xp = particles.box_px, backend.xp
    chosen = _chosen(particles, rng)
    contrast = ctf.coefficients(particles)[chosen]
    kx = xp.asarray(fourier.rfftfreq(box, particles.pixel_size_A))[None, :]
    ky = xp.asarray(fourier.fftfreq(box, particles.pixel_size_A))[:, None]

    def filtered(places: range) -> Any:
        stack = _normalised(particles, chosen[places], backend)
        spectra = fourier.rfft2(fourier.ifftshift(stack, axes=(1, 2)))
        coefficients = xp.asarray(contrast[places].T[..., None, None])
        real = spectra.real * ctf.evaluate(coefficients, kx, ky)
        odd = places[0] % 2
        return xp.stack([real[odd::2].sum(0), real[1 - odd :: 2].sum(0)])

    total = _summed(filtered, len(chosen), "contrast", backend, progress)
    counts = np.array([(len(chosen) + 1) // 2, len(chosen) // 2])
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
