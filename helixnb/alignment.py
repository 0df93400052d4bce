"""One pass over the particles: E-step and M-step, chunk by chunk of filaments.

Images are read, turned and scored in chunks of whole filaments, so that memory is
bounded and segments of a filament can inform each other; sums and poses are what
comes out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from helixnb.backend import Backend
from helixnb.core import ctf, images
from helixnb.core.coherence import CoherenceModel
from helixnb.core.cylinder import CylinderGrid
from helixnb.core.expectation import Posterior, SearchSettings, expectation
from helixnb.core.fan import Fan, build_fan
from helixnb.core.halfplane import HalfPlane
from helixnb.core.initial_model import random_posterior
from helixnb.core.maximization import Accumulator
from helixnb.core.noise import residual_power
from helixnb.core.poses import Poses, summarise
from helixnb.core.references import reference_harmonics
from helixnb.core.scoring import Chunk, make_frames
from helixnb.core.search import SearchLevel, plan_levels
from helixnb.job import Job
from helixnb.particles import ParticleSet
from helixnb.progress import Progress, Stopwatch, part_of
from helixnb.state import State, Survey

PRUNED_MASS = 1e-3
"""Posterior mass that each search level may drop, per image."""

BOOTSTRAP_POWER = 25.0
"""Likelihood exponent while structure grows: nearly hard assignments. With soft
posteriors the cylindrical average is a saddle point that is never left."""

SHORT_REACH = 10
"""Subunits, at least, over which references are symmetric before twist and rise have
settled; with fewer, structure does not grow out of the first density reliably."""

INTERPOLATION_MARGIN = 3
"""Fourier pixels that references reach beyond the alignment band."""

RECONSTRUCTION_MARGIN = 1.4
"""Band of the reconstruction over that of the alignment."""

CHUNK_IMAGES = 96
"""Images held at once; a longer filament is still kept whole."""


def align(
    job: Job, state: State, align_k: int, bootstrapping: bool, regrown: bool
) -> tuple[tuple[Accumulator, Accumulator], Poses, NDArray[np.float64], float]:
    """E-step and M-step over both halves.

    Parameters
    ----------
    job : Job
        Fixed inputs of the iteration.
    state : State
        Holds the references, the noise and the priors.
    align_k : int
        Band limit of the alignment, Fourier pixels.
    bootstrapping : bool
        Whether assignments are nearly hard.
    regrown : bool
        Whether references are re-grown over the whole box by the symmetry.

    Returns
    -------
    sums : tuple of Accumulator
        Of both halves, before symmetrisation.
    poses : Poses
        Of all particles.
    noise : ndarray of float64, shape (box // 2 + 1,)
        Re-estimated noise power.
    cells_per_image : float
        Pose cells scored.
    """
    parameters, survey = job.parameters, state.survey
    finest = job.box // 2 - 2
    wide_k = min(int(np.ceil(RECONSTRUCTION_MARGIN * align_k)) + 2, finest)
    grid = job.grid(wide_k, survey.outer_radius_A, 1)
    levels = plan_levels(
        align_k,
        box_px=job.box,
        pixel_size_A=job.pixel,
        radius_px=survey.outer_radius_A / job.pixel,
        rise_px=parameters.rise_A / job.pixel,
        cyclic=grid.cyclic,
        spread=state.spread,
        tilt_limit_deg=parameters.max_tilt_deg,
        fine_m_max=grid.m_max,
        prior_tilt_deg=float(np.abs(job.particles.tilt_prior_deg - 90).max()),
    )
    reach = None if regrown else max(job.order() // 2, SHORT_REACH)
    settings = _settings(job, state, bootstrapping)
    weight = survey.ctf_power / state.noise_power
    # Slices are interpolated, so the reference reaches beyond their rim.
    fine_k = min(align_k + INTERPOLATION_MARGIN, job.box // 2)
    fine = job.grid(fine_k, survey.outer_radius_A, 2)
    run = _new_pass(job.particles, state.noise_power, grid, job.backend, job.clock)
    poses = Poses.empty(len(job.particles))
    sums, references, scored = [], [], 0
    fans: list[Fan] = []
    mask = job.density_mask(state)
    for h in (0, 1):
        if h == 0 or not np.array_equal(state.references[0], state.references[1]):
            with job.clock("fan"):
                harmonics = reference_harmonics(
                    state.references[h],
                    fine,
                    parameters.symmetry,
                    job.pixel,
                    z_fraction=parameters.mask_z_fraction,
                    reach=reach,
                    mask=mask,
                )
                fans = [
                    build_fan(
                        harmonics,
                        fine,
                        level,
                        weight,
                        settings.likelihood_power,
                        job.backend,
                    )
                    for level in levels
                ]
        members = np.flatnonzero(survey.half == h)
        n = len(job.particles)
        progress = part_of(job.progress, n - len(members) if h else 0, n)
        total, cells = _align_half(run, members, fans, settings, poses, progress)
        sums.append(total)
        references.append(_on_sum_grid(harmonics, fine, grid))
        scored += cells
    rings = HalfPlane(wide_k).ring_counts
    noise = state.noise_power.copy()
    noise[: wide_k + 1] = residual_power(
        survey.image_power, state.noise_power, sums, references, rings
    )
    return (sums[0], sums[1]), poses, noise, scored / len(job.particles)


def _on_sum_grid(
    harmonics: NDArray[np.complex64], fine: CylinderGrid, grid: CylinderGrid
) -> NDArray[np.complex64]:
    """Put a reference on the (wider, coarser) grid of the sums."""
    out = np.zeros(grid.shape, np.complex64)
    coarse = harmonics[:: fine.oversampling, :: fine.oversampling]
    n_z, n_r = min(grid.n_z, len(coarse)), min(grid.n_r, coarse.shape[1])
    m_max = min(grid.m_max, fine.m_max)
    to, of = grid.m_max - m_max, fine.m_max - m_max
    out[:n_z, :n_r, to : grid.n_m - to] = coarse[:n_z, :n_r, of : fine.n_m - of]
    return out


def _settings(job: Job, state: State, bootstrapping: bool) -> SearchSettings:
    parameters = job.parameters
    coherence = CoherenceModel(
        twist_deg=parameters.twist_deg,
        rise_px=parameters.rise_A / job.pixel,
        cyclic=parameters.symmetry.cyclic,
        picking_sd_px=parameters.picking_sd_A / job.pixel,
        drift_deg=parameters.drift_deg,
    )
    return SearchSettings(
        spread=state.spread,
        likelihood_power=BOOTSTRAP_POWER if bootstrapping else 1.0,
        pruned_mass=PRUNED_MASS,
        coherence=coherence if parameters.coherence else None,
    )


def sum_at_random_azimuths(
    job: Job, survey: Survey, rng: np.random.Generator
) -> tuple[Accumulator, Accumulator]:
    """Sum both halves at the given in-plane angles and random azimuths.

    Parameters
    ----------
    job : Job
        Fixed inputs of the iteration.
    survey : Survey
        Tells the halves, the noise and the radius.
    rng : numpy.random.Generator
        Draws the images and their azimuths.
    """
    k_max = job.band(job.parameters.initial_lowpass_A)
    grid = job.grid(k_max, survey.outer_radius_A, 1)
    m_max = grid.m_max
    level = SearchLevel(k_max, 1, 1, 1, 1.0, 1.0, 1.0, 1, 2 * m_max + 2, 0.0, m_max)
    run = _new_pass(job.particles, survey.image_power, grid, job.backend, job.clock)
    chosen = rng.permutation(len(job.particles))[: job.parameters.initial_images]
    first, second = (
        _sum_half_at_random(
            run, np.sort(chosen[survey.half[chosen] == h]), level, rng, job.progress
        )
        for h in (0, 1)
    )
    return first, second


@dataclass(frozen=True)
class _Pass:
    """What stays the same for all chunks of one pass.

    Parameters
    ----------
    particles : ParticleSet
    contrast : ndarray of float64, shape (n, 6)
        CTF coefficients of all particles.
    noise_power : ndarray of float64, shape (box // 2 + 1,)
    grid : CylinderGrid
        Of the sums.
    backend : Backend
    clock : Stopwatch
    """

    particles: ParticleSet
    contrast: NDArray[np.float64]
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
        particles = self.particles
        with self.clock("read"):
            stack = images.normalise(particles.read(index))
        with self.clock("transform"):
            transforms = images.padded_transforms(stack, self.grid.k_max)
        flip = particles.flip_ratio[index]
        return Chunk(
            transforms=transforms,
            contrast=self.contrast[index],
            psi_prior_deg=particles.psi_prior_deg[index],
            tilt_prior_deg=particles.tilt_prior_deg[index],
            polarity_prior=np.stack([1 - flip, flip], axis=1),
            filament=particles.filament[index],
            axial_px=particles.axial_A[index] / particles.pixel_size_A,
        )

    def accumulate(self, sums: Accumulator, chunk: Chunk, posterior: Posterior) -> None:
        """Add the images of a chunk to the sums with their posterior weights.

        Parameters
        ----------
        sums : Accumulator
            Changed in place.
        chunk : Chunk
            Images that `posterior` belongs to.
        posterior : Posterior
            Weights of their poses.
        """
        wide = replace(posterior.level, k_max=self.grid.k_max)
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


def chunks_of_filaments(
    index: NDArray[np.integer], filament: NDArray[np.int32]
) -> Iterator[NDArray[np.integer]]:
    """Group particles into chunks that keep filaments whole.

    Parameters
    ----------
    index : ndarray of int
        Particles to go through.
    filament : ndarray of int32
        Filament of every particle of the set.

    Yields
    ------
    ndarray of int
    """
    ordered = index[np.argsort(filament[index], kind="stable")]
    breaks = np.flatnonzero(np.diff(filament[ordered])) + 1
    chunk: list[NDArray[np.integer]] = []
    size = 0
    for members in np.split(ordered, breaks):
        if size and size + len(members) > CHUNK_IMAGES:
            yield np.concatenate(chunk)
            chunk, size = [], 0
        chunk.append(members)
        size += len(members)
    if chunk:
        yield np.concatenate(chunk)


def _align_half(
    run: _Pass,
    index: NDArray[np.integer],
    fans: list[Fan],
    settings: SearchSettings,
    poses: Poses,
    progress: Progress,
) -> tuple[Accumulator, int]:
    """Score the particles of one half against its reference and sum them.

    Parameters
    ----------
    run : _Pass
        What all chunks share.
    index : ndarray of int
        Particles of the half.
    fans : list of Fan
        Its reference at each search level.
    settings : SearchSettings
        How the posterior is formed.
    poses : Poses
        Of all particles; those of `index` are written in place.
    progress : callable
        Told how many images are aligned.

    Returns
    -------
    sums : Accumulator
    cells_scored : int
    """

    def align(
        members: NDArray[np.integer],
    ) -> tuple[NDArray[np.integer], Accumulator, Poses, int]:
        chunk = run.load(members)
        with run.clock("E-step"):
            posterior = expectation(
                chunk,
                fans,
                run.noise_power,
                settings,
                spacing_per_A=run.spacing_per_A,
                backend=run.backend,
            )
            found = summarise(chunk, posterior, run.grid.cyclic)
        sums = Accumulator.empty(run.grid)
        run.accumulate(sums, chunk, posterior)
        return members, sums, found, posterior.cells_scored

    total = Accumulator.empty(run.grid)
    scored = done = 0
    chunks = chunks_of_filaments(index, run.particles.filament)
    for members, sums, found, cells in run.backend.map(align, chunks):
        total += sums
        poses.put(members, found)
        scored += cells
        done += len(members)
        progress("align", done, len(index))
    return total, scored


def _sum_half_at_random(
    run: _Pass,
    index: NDArray[np.integer],
    level: SearchLevel,
    rng: np.random.Generator,
    progress: Progress,
) -> Accumulator:
    """Sum particles at their given in-plane angles and random azimuths.

    Parameters
    ----------
    run : _Pass
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
    chunks = list(chunks_of_filaments(index, run.particles.filament))

    def add(
        job: tuple[NDArray[np.integer], np.random.Generator],
    ) -> Accumulator:
        members, own_rng = job
        chunk = run.load(members)
        sums = Accumulator.empty(run.grid)
        run.accumulate(sums, chunk, random_posterior(chunk, level, own_rng))
        return sums

    total = Accumulator.empty(run.grid)
    jobs = zip(chunks, rng.spawn(len(chunks)), strict=True)
    for sums in run.backend.map(add, jobs):
        total += sums
        progress("initial density", total.n_images, len(index))
    return total


def _new_pass(
    particles: ParticleSet,
    noise_power: NDArray[np.float64],
    grid: CylinderGrid,
    backend: Backend,
    clock: Stopwatch,
) -> _Pass:
    """Prepare a pass over a particle set.

    Parameters
    ----------
    particles : ParticleSet
        The images.
    noise_power : ndarray of float64
        Noise power of each ring.
    grid : CylinderGrid
        Of the sums.
    backend : Backend
        Where it runs.
    clock : Stopwatch
        Collects the time of each stage.
    """
    return _Pass(
        particles, ctf.coefficients(particles), noise_power, grid, backend, clock
    )
