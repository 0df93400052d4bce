"""One pass over the particles of both halves: E-step and M-step, chunk by chunk.

Images are read, turned and scored in chunks of whole filaments, so that memory is
bounded and segments of a filament can inform each other; sums and poses are what
comes out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from helixnb.backend import CHUNK_IMAGES, Backend
from helixnb.core import images
from helixnb.core.cylinder import CylinderGrid
from helixnb.core.expectation import Posterior, SearchSettings, expectation
from helixnb.core.fan import Fan
from helixnb.core.initial_model import random_posterior
from helixnb.core.maximization import Accumulator
from helixnb.core.particle_scale import fit_scales
from helixnb.core.poses import Poses, summarise
from helixnb.core.priors import Priors
from helixnb.core.scoring import Chunk, make_frames
from helixnb.core.search import SearchLevel
from helixnb.particles import ParticleSet
from helixnb.progress import Progress, Stopwatch


@dataclass(frozen=True)
class ParticlePass:
    """What stays the same for all chunks of one pass.

    Parameters
    ----------
    particles : ParticleSet
    contrast : ndarray of float64, shape (n, 6)
        CTF coefficients of all particles.
    priors : Priors
        Centres of the pose priors of all particles.
    scale : ndarray of float64, shape (n,)
        Contrast of the reference in each image; 0 for images not to be used.
    noise_power : ndarray of float64, shape (box // 2 + 1,)
    grid : CylinderGrid
        Of the sums.
    backend : Backend
    clock : Stopwatch
    """

    particles: ParticleSet
    contrast: NDArray[np.float64]
    priors: Priors
    scale: NDArray[np.float64]
    noise_power: NDArray[np.float64]
    grid: CylinderGrid
    backend: Backend
    clock: Stopwatch

    @property
    def spacing_per_A(self) -> float:
        """One Fourier pixel, 1/A."""
        return 1 / (self.particles.box_px * self.particles.pixel_size_A)

    def load(self, index: NDArray[np.integer]) -> Chunk:
        """Read and transform some particles.

        Parameters
        ----------
        index : ndarray of int
            Particles, by their position in the set.
        """
        particles, xp = self.particles, self.backend.xp
        with self.clock("read"):
            stack = self.backend.upload(particles.read(index))
        with self.clock("transform"):
            stack = images.normalise(stack)
            transforms = images.padded_transforms(stack, self.grid.k_max)
        flip = particles.flip_ratio[index]
        priors, scale = self.priors, self.scale[index]
        filament = particles.filament[index]
        if not priors.psi_known.all():
            # Directions found one by one have no polarity to share.
            filament = np.arange(len(index), dtype=np.int32)
        return Chunk(
            transforms=transforms,
            contrast=xp.asarray(self.contrast[index]),
            psi_prior_deg=xp.asarray(priors.psi_deg[index]),
            tilt_prior_deg=xp.asarray(priors.tilt_deg[index]),
            shift_prior_px=xp.asarray(priors.shift_px[index]),
            polarity_prior=np.stack([1 - flip, flip], axis=1),
            filament=filament,
            axial_px=particles.axial_A[index] / particles.pixel_size_A,
            # Images left out of the sums are still aligned.
            scale=np.where(scale > 0, scale, 1.0),
        )

    def accumulate(
        self,
        sums: Accumulator,
        index: NDArray[np.integer],
        chunk: Chunk,
        posterior: Posterior,
    ) -> None:
        """Add the images of a chunk to the sums with their posterior weights.

        Parameters
        ----------
        sums : Accumulator
            Changed in place.
        index : ndarray of int
            Particles of the chunk, by their position in the set.
        chunk : Chunk
            Images that `posterior` belongs to.
        posterior : Posterior
            Weights of their poses.
        """
        wide = replace(posterior.level, k_max=self.grid.k_max)
        chunk = replace(chunk, scale=self.scale[index])
        with self.clock("rotate"):
            frames = make_frames(
                chunk,
                posterior.cells,
                wide,
                self.noise_power,
                self.spacing_per_A,
                self.backend,
            )
        with self.clock("M-step"):
            sums.add(posterior, frames, len(chunk), self.backend)
        flops, moved = sums.cost_of_cell(wide)
        self.clock.count("M-step flops", flops * len(posterior.cells))
        self.clock.count("M-step bytes", moved * len(posterior.cells))


def halved(
    index: NDArray[np.integer], filament: NDArray[np.int32]
) -> list[NDArray[np.integer]]:
    """Split a chunk in two between filaments, if it has more than one.

    Parameters
    ----------
    index : ndarray of int
        Particles of a chunk.
    filament : ndarray of int32
        Filament of every particle of the set.
    """
    breaks = np.flatnonzero(np.diff(filament[index])) + 1
    if not len(breaks):
        return [index]
    middle = breaks[np.abs(breaks - len(index) / 2).argmin()]
    return [index[:middle], index[middle:]]


def working_bytes(levels: list[SearchLevel], grid: CylinderGrid) -> int:
    """Memory that one image takes while it is scored and summed, as an estimate.

    The first level scores its whole grid; later ones keep few cells of theirs, taken
    here to be no more than the first has.

    Parameters
    ----------
    levels : list of SearchLevel
        Grids of the search.
    grid : CylinderGrid
        Of the sums, whose band the images have.
    """
    plane = (grid.k_max + 1) * (2 * grid.k_max + 1)
    transforms = 4 * 8 * plane + 3 * 4 * grid.box_px**2
    tables = max(level.n_axial * level.n_azimuth for level in levels)
    cells = levels[0].cells_per_image
    frames = 2 * max(min(level.n_psi, cells) for level in levels)
    # Logarithms and weights of every cell; data and power of every frame.
    return transforms + cells * tables * (4 + 4) + frames * plane * (8 + 4)


def chunks_of_filaments(
    index: NDArray[np.integer],
    filament: NDArray[np.int32],
    n_images: Callable[[], int],
) -> Iterator[NDArray[np.integer]]:
    """Group particles into chunks that keep filaments whole.

    Parameters
    ----------
    index : ndarray of int
        Particles to go through.
    filament : ndarray of int32
        Filament of every particle of the set.
    n_images : callable
        Particles of a chunk, asked for as chunks are made, for a device may find that
        it holds fewer; a longer filament is still kept whole.

    Yields
    ------
    ndarray of int
    """
    ordered = index[np.argsort(filament[index], kind="stable")]
    breaks = np.flatnonzero(np.diff(filament[ordered])) + 1
    chunk: list[NDArray[np.integer]] = []
    size = 0
    for members in np.split(ordered, breaks):
        if size and size + len(members) > n_images():
            yield np.concatenate(chunk)
            chunk, size = [], 0
        chunk.append(members)
        size += len(members)
    if chunk:
        yield np.concatenate(chunk)


@dataclass(frozen=True)
class Half:
    """Particles of one half with its reference.

    Parameters
    ----------
    index : ndarray of int
        Particles, by their position in the set.
    fans : list of Fan
        The reference at each search level, finest last.
    """

    index: NDArray[np.integer]
    fans: list[Fan]


class _Aligned(NamedTuple):
    """What comes out of one chunk of one half."""

    half: int
    members: NDArray[np.integer]
    sums: Accumulator
    poses: Poses
    cells_scored: int


def align_halves(
    run: ParticlePass,
    halves: tuple[Half, Half],
    settings: SearchSettings,
    poses: Poses,
    progress: Progress,
) -> tuple[tuple[Accumulator, Accumulator], int]:
    """Score the particles of both halves against their references and sum them.

    Chunks of the second half follow those of the first without a pause, so that no
    core waits for the last of them.

    Parameters
    ----------
    run : ParticlePass
        What all chunks share.
    halves : tuple of Half
        Particles and references, with the same search levels.
    settings : SearchSettings
        How the posterior is formed.
    poses : Poses
        Of all particles; those of the halves are written in place.
    progress : callable
        Told how many images are aligned.

    Returns
    -------
    sums : tuple of Accumulator
        Of each half.
    cells_scored : int
    """

    def align(job: tuple[int, NDArray[np.integer]]) -> _Aligned:
        half, members = job
        fans = halves[half].fans
        chunk = run.load(members)
        with run.clock("E-step"):
            posterior, frames = expectation(
                chunk,
                fans,
                run.noise_power,
                settings,
                spacing_per_A=run.spacing_per_A,
                backend=run.backend,
            )
            fit = fit_scales(chunk, posterior, frames, fans[-1], run.backend)
            del frames  # they take as much memory as those of the M-step
            found = summarise(chunk, posterior, fit, run.grid.cyclic, run.backend)
        run.clock.count("poses", posterior.poses_scored)
        run.clock.count("flops", posterior.flops)
        sums = Accumulator.empty(run.grid, run.backend.xp)
        run.accumulate(sums, members, chunk, posterior)
        return _Aligned(half, members, sums, found, posterior.cells_scored)

    filament = run.particles.filament
    levels = [fan.level for fan in halves[0].fans]
    bytes_each = working_bytes(levels, run.grid)
    n = sum(len(one.index) for one in halves)
    chunks = (
        (half, members)
        for half, one in enumerate(halves)
        for members in chunks_of_filaments(
            one.index, filament, lambda: run.backend.chunk_images(bytes_each, n)
        )
    )
    results = run.backend.map(
        align,
        chunks,
        lambda job: [(job[0], part) for part in halved(job[1], filament)],
    )
    first, second = (Accumulator.empty(run.grid, run.backend.xp) for _ in halves)
    scored = done = 0
    for found in results:
        total = second if found.half else first
        total += found.sums
        poses.put(found.members, found.poses)
        scored += found.cells_scored
        done += len(found.members)
        progress("align", done, n)
    return (first, second), scored


def sum_half_at_random(
    run: ParticlePass,
    index: NDArray[np.integer],
    level: SearchLevel,
    rng: np.random.Generator,
    progress: Progress,
) -> Accumulator:
    """Sum particles at their given in-plane angles and random azimuths.

    Parameters
    ----------
    run : ParticlePass
        What all chunks share.
    index : ndarray of int
        Particles to sum.
    level : SearchLevel
        One cell along psi, tilt and transverse shift.
    rng : numpy.random.Generator
        Draws azimuths and polarities.
    progress : callable
        Told how many images are summed.

    Returns
    -------
    Accumulator
    """
    filament = run.particles.filament
    chunks = list(chunks_of_filaments(index, filament, lambda: CHUNK_IMAGES))

    def add(
        job: tuple[NDArray[np.integer], np.random.Generator],
    ) -> Accumulator:
        members, own_rng = job
        chunk = run.load(members)
        sums = Accumulator.empty(run.grid, run.backend.xp)
        run.accumulate(sums, members, chunk, random_posterior(chunk, level, own_rng))
        return sums

    total = Accumulator.empty(run.grid, run.backend.xp)
    jobs = zip(chunks, rng.spawn(len(chunks)), strict=True)
    for sums in run.backend.map(add, jobs):
        total += sums
        progress("initial density", total.n_images, len(index))
    return total
