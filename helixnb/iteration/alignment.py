"""Alignment of all images of an iteration: references sliced, both halves summed.

What an iteration is to do comes from `schedule`; here it becomes search levels, slices
of the references and settings of the E-step, and a pass over the particles of each
half.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from helixnb.backend.arrays import array_module
from helixnb.core import ctf
from helixnb.core.coherence import CoherenceModel
from helixnb.core.cylinder import CylinderGrid
from helixnb.core.expectation import SearchSettings
from helixnb.core.fan import Fan, build_fan
from helixnb.core.halfplane import HalfPlane
from helixnb.core.maximization import Accumulator
from helixnb.core.noise import residual_power
from helixnb.core.particle_scale import MOST_LEFT_OUT, left_out, shrunk_scales
from helixnb.core.poses import Poses
from helixnb.core.priors import Priors
from helixnb.core.references import reference_harmonics
from helixnb.core.search import (
    PoseSpread,
    SearchLevel,
    oversampled,
    plan_levels,
)
from helixnb.iteration.job import Job
from helixnb.iteration.particle_pass import (
    Half,
    ParticlePass,
    align_halves,
    sum_half_at_random,
)
from helixnb.iteration.schedule import Plan
from helixnb.iteration.state import State, Survey
from helixnb.progress import Stopwatch

PRUNED_MASS = 1e-3
"""Posterior mass that each search level may drop, per image."""

BOOTSTRAP_POWER = 25.0
"""Likelihood exponent while structure grows: nearly hard assignments. With soft
posteriors the cylindrical average is a saddle point that is never left."""

INTERPOLATION_MARGIN = 3
"""Fourier pixels that references reach beyond the alignment band."""

RECONSTRUCTION_MARGIN = 1.4
"""Band of the reconstruction over that of the alignment."""

COARSE_STEP = 2.0
"""Step of the finest level, over what one image can tell, from which on it is divided
once more: such a step adds a third to the variance of the pose."""

POLARITY_RESOLUTION_A = 8.0
"""Finest resolution at which the half-sets are asked for each other's polarities."""


def align(
    job: Job, state: State, plan: Plan, priors: Priors
) -> tuple[tuple[Accumulator, Accumulator], Poses, NDArray[np.float64], float]:
    """E-step and M-step over both halves.

    Parameters
    ----------
    job : Job
        Fixed inputs of the iteration.
    state : State
        Holds the references, the noise and the spread of the priors.
    plan : Plan
        What the iteration does.
    priors : Priors
        Centres of the pose priors.

    Returns
    -------
    sums : tuple of Accumulator
        Of both halves, before symmetrisation.
    poses : Poses
        Of all particles; those not used keep the poses they had.
    noise : ndarray of float64, shape (box // 2 + 1,)
        Re-estimated noise power.
    cells_per_image : float
        Pose cells scored.
    """
    survey = state.survey
    finest = job.box_px // 2 - 2
    wide_k = min(int(np.ceil(RECONSTRUCTION_MARGIN * plan.align_k)) + 2, finest)
    grid = job.grid(wide_k, survey.outer_radius_A, 1)
    settings = _settings(job, state, plan, priors)
    levels = _levels(job, state, plan, priors, settings.spread, grid)
    run = ParticlePass(
        particles=job.particles,
        contrast=ctf.coefficients(job.particles),
        priors=priors,
        scale=_scales(job, state),
        noise_power=state.noise_power,
        grid=grid,
        backend=job.backend,
        clock=job.clock,
    )
    poses = state.poses.copy()
    mask = job.density_mask(state)
    shared = np.array_equal(state.references[0], state.references[1])
    # Slices are interpolated, so the reference reaches beyond their rim.
    fine_k = min(plan.align_k + INTERPOLATION_MARGIN, job.box_px // 2)
    fine = job.grid(fine_k, survey.outer_radius_A, 2)
    with job.clock("fan"):
        different = state.references[: 1 if shared else 2]
        harmonics = _harmonics(job, plan, different, fine, mask)
        weight = survey.ctf_power / state.noise_power
        power = settings.likelihood_power
        fans = [
            [build_fan(h, fine, level, weight, power, job.backend) for level in levels]
            for h in harmonics
        ]
        on_sums = [_on_sum_grid(h, fine, grid) for h in harmonics]
        references = on_sums[0], on_sums[-1]
    first, second = (
        Half(np.flatnonzero((survey.half == h) & plan.used), of_half)
        for h, of_half in enumerate(_oversampled(plan, (fans[0], fans[-1])))
    )
    sums, scored = align_halves(run, (first, second), settings, poses, job.progress)
    rings = HalfPlane(wide_k).ring_counts
    noise = state.noise_power.copy()
    noise[: wide_k + 1] = residual_power(
        survey.image_power, state.noise_power, sums, references, rings
    )
    return sums, poses, noise, scored / int(plan.used.sum())


def polarity_by_the_other_half(
    job: Job, state: State, plan: Plan, priors: Priors
) -> NDArray[np.int8]:
    """Polarity of all particles by the map of the half-set they do not belong to.

    A filament is part of the map that it is aligned to, and of few filaments each is a
    good part: it may look certain of a wrong polarity that it put into the map itself.

    Parameters
    ----------
    job : Job
        Fixed inputs of the iteration.
    state : State
        Holds the references that the iteration aligned to.
    plan : Plan
        What the iteration did.
    priors : Priors
        Centres of the pose priors.

    Returns
    -------
    ndarray of int8, shape (n,)
        As `Poses.polarity`.
    """
    exchanged = replace(state, references=state.references[::-1])
    band = min(plan.align_k, job.band(POLARITY_RESOLUTION_A))
    coarse = replace(plan, align_k=band, settled=False)
    # Its stages are not those of the iteration.
    aside = replace(job, clock=Stopwatch())
    with job.clock("polarity check"):
        _, poses, _, _ = align(aside, exchanged, coarse, priors)
    return poses.polarity


def _levels(
    job: Job,
    state: State,
    plan: Plan,
    priors: Priors,
    spread: PoseSpread,
    grid: CylinderGrid,
) -> list[SearchLevel]:
    """Pose grids of this iteration, wide enough for all priors."""
    return plan_levels(
        plan.align_k,
        box_px=job.box_px,
        pixel_size_A=job.pixel_size_A,
        radius_px=state.survey.outer_radius_A / job.pixel_size_A,
        axial_range_px=plan.axial_range_A / job.pixel_size_A,
        cyclic=grid.cyclic,
        spread=spread,
        tilt_limit_deg=job.parameters.max_tilt_deg,
        fine_m_max=grid.m_max,
        prior_tilt_deg=float(np.abs(priors.tilt_deg - 90).max()),
        prior_shift_px=float(np.abs(priors.shift_px).max()),
    )


def _harmonics(
    job: Job,
    plan: Plan,
    volumes: NDArray[np.float32],
    fine: CylinderGrid,
    mask: NDArray[np.float32] | None,
) -> list[NDArray[np.complex64]]:
    """Mask references and re-grow them, as images are aligned to them."""
    sent = None if mask is None else job.backend.xp.asarray(mask)
    return job.backend.each(
        lambda volume: reference_harmonics(
            job.backend.upload(volume),
            fine,
            job.parameters.symmetry,
            job.pixel_size_A,
            z_fraction=job.parameters.mask_z_fraction,
            reach=plan.reach,
            mask=sent,
        ),
        volumes,
    )


def _oversampled(plan: Plan, of_halves: tuple[list[Fan], ...]) -> tuple[list[Fan], ...]:
    """Fans of both halves, with a level of finer steps where these are worth it."""
    finest = of_halves[0][-1].level
    told_px = float(np.mean([fans[-1].shift_sd_px for fans in of_halves]))
    if not plan.settled or finest.shift_step_px <= COARSE_STEP * told_px:
        return of_halves
    # The same slices: neither the band nor the tilts are others.
    return tuple(
        [*fans, replace(fans[-1], level=oversampled(finest))] for fans in of_halves
    )


def _on_sum_grid(
    harmonics: NDArray[np.complex64], fine: CylinderGrid, grid: CylinderGrid
) -> NDArray[np.complex64]:
    """Put a reference on the (wider, coarser) grid of the sums."""
    xp = array_module(harmonics)
    out: NDArray[np.complex64] = xp.zeros(grid.shape, np.complex64)
    coarse = harmonics[:: fine.oversampling, :: fine.oversampling]
    n_z, n_r = min(grid.n_z, len(coarse)), min(grid.n_r, coarse.shape[1])
    m_max = min(grid.m_max, fine.m_max)
    to, of = grid.m_max - m_max, fine.m_max - m_max
    out[:n_z, :n_r, to : grid.n_m - to] = coarse[:n_z, :n_r, of : fine.n_m - of]
    return out


def _settings(job: Job, state: State, plan: Plan, priors: Priors) -> SearchSettings:
    parameters, symmetry = job.parameters, job.parameters.symmetry
    spread, ties = state.spread, None
    if not priors.psi_known.all():
        spread = replace(spread, psi_deg=np.inf)
    if symmetry is not None and parameters.coherence:
        rises = round(plan.axial_range_A / symmetry.rise_A)
        ties = CoherenceModel(
            period_px=rises * symmetry.rise_A / job.pixel_size_A,
            period_twist_deg=rises * symmetry.twist_deg,
            cyclic=symmetry.cyclic,
            picking_sd_px=parameters.picking_sd_A / job.pixel_size_A,
            drift_deg=parameters.drift_deg,
        )
    return SearchSettings(
        spread=spread,
        likelihood_power=BOOTSTRAP_POWER if plan.bootstrapping else 1.0,
        pruned_mass=PRUNED_MASS,
        shared_polarity=parameters.coherence,
        coherence=ties,
    )


def _scales(job: Job, state: State) -> NDArray[np.float64]:
    """Contrast of the reference in each image, as the iteration before found it."""
    found = state.poses.scale
    unfit = left_out(found, state.survey.half) > MOST_LEFT_OUT
    if unfit or not job.parameters.particle_scale:
        return np.ones(len(job.particles))
    return shrunk_scales(found, state.poses.scale_information)


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
    particles = job.particles
    priors = Priors.given(
        particles.psi_prior_deg, particles.tilt_prior_deg, Poses.empty(len(particles))
    )
    run = ParticlePass(
        particles=particles,
        contrast=ctf.coefficients(particles),
        priors=priors,
        scale=np.ones(len(particles)),
        noise_power=survey.image_power,
        grid=grid,
        backend=job.backend,
        clock=job.clock,
    )
    chosen = rng.permutation(len(job.particles))[: job.parameters.initial_images]
    first, second = (
        sum_half_at_random(
            run, np.sort(chosen[survey.half[chosen] == h]), level, rng, job.progress
        )
        for h in (0, 1)
    )
    return first, second
