"""One iteration of helical refinement, as a pure function from state to state.

`initial_state` measures the data and builds the first reference; `step` aligns every
image, reconstructs both halves, measures their FSC, prepares the next references and
updates the symmetry. Nothing here remembers anything: the session keeps the states.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from helixnb.alignment import align, sum_at_random_azimuths
from helixnb.backend import Backend
from helixnb.core.fsc import resolution_A
from helixnb.core.halves import split_by_filament
from helixnb.core.poses import Poses
from helixnb.core.reconstruction import join_low_resolution
from helixnb.core.search import PoseSpread
from helixnb.flags import data_flags, fsc_flags, polarity_flags, symmetry_flags
from helixnb.job import Job
from helixnb.maps import raw_half_maps, references
from helixnb.parameters import Parameters
from helixnb.particles import ParticleSet
from helixnb.progress import Progress, Stopwatch
from helixnb.state import State, Survey, SymmetryScores
from helixnb.survey import filament_radius_px, mean_ctf_power, mean_image_power
from helixnb.twist_rise import search_symmetry

__all__ = [
    "State",
    "Survey",
    "SymmetryScores",
    "initial_state",
    "step",
]

BOOTSTRAP_RESOLUTION_A = (16.0, 10.0)
"""Alignment resolution at the start and the end of the bootstrap."""

RESOLUTION_GROWTH = 1.25
"""Most that the alignment band may widen in one iteration."""

_PATIENCE = 3
_GAIN = 0.01


def initial_state(
    particles: ParticleSet,
    parameters: Parameters,
    backend: Backend,
    seed: int,
    progress: Progress,
    static_mask: NDArray[np.float32] | None = None,
) -> State:
    """Survey the images and build the first reference from random azimuths.

    Parameters
    ----------
    particles : ParticleSet
        The images.
    parameters : Parameters
        As they are for this iteration.
    backend : Backend
        Where it runs.
    seed : int
        Draws the half-sets and the azimuths.
    progress : callable
        Told what is being done.
    static_mask : ndarray of float32, shape (box, box, box), or None
        The user's mask for references; used if ``parameters.mask`` is "static".

    Returns
    -------
    State
        Iteration 0.
    """
    job = Job(particles, parameters, backend, progress, Stopwatch(), static_mask)
    rng = np.random.default_rng(seed)
    half = particles.half
    if half is None:
        half = split_by_filament(particles.filament, rng)
    with job.clock("survey"):
        image_power = mean_image_power(particles, rng, progress)
        ctf_power = mean_ctf_power(particles)
    diameter = parameters.outer_diameter_A
    radius = 0.45 * job.box * job.pixel if diameter is None else diameter / 2
    survey = Survey(half, image_power, ctf_power, radius)
    sums = sum_at_random_azimuths(job, survey, rng)
    raw = raw_half_maps(job, sums)
    if diameter is None:
        radius = filament_radius_px(raw.mean(0)) * job.pixel
        survey = replace(survey, outer_radius_A=radius)
    whole = raw.mean(0) * job.mask(survey, 1.0)
    return State(
        iteration=0,
        seed=seed,
        parameters=parameters,
        estimate=parameters.symmetry,
        symmetry=parameters.symmetry,
        symmetry_order=job.order(),
        bootstrapping=parameters.bootstrap_iterations > 0,
        regrown=False,
        survey=survey,
        half_maps=raw,
        references=np.stack([whole, whole]),
        fsc=job.fsc(raw, survey, rng, complete=False),
        resolution_A=parameters.initial_lowpass_A,
        align_resolution_A=parameters.initial_lowpass_A,
        next_align_resolution_A=BOOTSTRAP_RESOLUTION_A[0],
        noise_power=image_power,
        spread=PoseSpread(
            parameters.psi_sd_deg,
            parameters.tilt_sd_deg,
            parameters.shift_sd_A / job.pixel,
        ),
        poses=Poses.empty(len(particles)),
        seconds=job.clock.seconds,
    )


def step(
    state: State,
    particles: ParticleSet,
    parameters: Parameters,
    backend: Backend,
    progress: Progress,
    static_mask: NDArray[np.float32] | None = None,
) -> State:
    """Run one iteration.

    Parameters
    ----------
    state : State
        From `initial_state` or an earlier step.
    particles : ParticleSet
        The images, the same for all iterations.
    parameters : Parameters
        May differ from those of `state`.
    backend : Backend
        Where it runs.
    progress : callable
        Told what is being done.
    static_mask : ndarray of float32, shape (box, box, box), or None
        The user's mask for references; used if ``parameters.mask`` is "static".

    Returns
    -------
    State
    """
    job = Job(particles, parameters, backend, progress, Stopwatch(), static_mask)
    iteration = state.iteration + 1
    bootstrapping = iteration <= parameters.bootstrap_iterations
    align_k = _align_band(job, state, bootstrapping)
    regrown = not bootstrapping and _may_regrow(job, state)
    sums, poses, noise, cells = align(job, state, align_k, bootstrapping, regrown)
    with job.clock("reconstruct"):
        shared = join_low_resolution(
            sums, job.box * job.pixel / parameters.split_resolution_A
        )
        raw = raw_half_maps(job, sums)
    rng = np.random.default_rng([state.seed, iteration])
    fsc = job.fsc(raw, state.survey, rng, complete=True)
    split = int(job.box * job.pixel / parameters.split_resolution_A)
    reached = resolution_A(fsc.frequency_per_A, fsc.reported, from_shell=split)
    with job.clock("references"):
        nonuniform = parameters.nonuniform and not bootstrapping
        local = nonuniform and reached <= parameters.nonuniform_start_A
        new_references = references(
            job, state.survey, shared, fsc, bootstrapping, raw if local else None
        )
    edited = parameters.symmetry != state.symmetry
    estimate = parameters.symmetry if edited else state.estimate
    mature = 2 * iteration > parameters.bootstrap_iterations
    scores, blind, symmetry = search_symmetry(
        job, state.survey, sums, estimate, reached if mature else np.inf
    )
    stalled = 0 if reached < state.resolution_A * (1 - _GAIN) else state.stalled + 1
    return State(
        iteration=iteration,
        seed=state.seed,
        parameters=parameters,
        estimate=estimate,
        symmetry=symmetry,
        symmetry_order=job.order(),
        bootstrapping=bootstrapping,
        regrown=regrown,
        survey=state.survey,
        half_maps=raw,
        references=new_references,
        fsc=fsc,
        resolution_A=reached,
        align_resolution_A=job.box * job.pixel / align_k,
        next_align_resolution_A=_next_resolution(job, align_k, reached),
        noise_power=noise,
        spread=_updated_spread(job, poses, state.spread),
        poses=poses,
        scores=scores,
        blind_maps=blind,
        stalled=0 if bootstrapping else stalled,
        converged=not bootstrapping and stalled >= _PATIENCE,
        flags=tuple(
            data_flags(particles, parameters, state.survey)
            + fsc_flags(fsc, sums[0].grid.k_max)
            + symmetry_flags(scores)
            + polarity_flags(poses, particles.filament)
        ),
        seconds=job.clock.seconds,
        cells_per_image=cells,
    )


def _align_band(job: Job, state: State, bootstrapping: bool) -> int:
    """Fourier radius of this iteration's alignment."""
    if bootstrapping:
        coarse, fine = BOOTSTRAP_RESOLUTION_A
        n = max(job.parameters.bootstrap_iterations - 1, 1)
        wanted = coarse * (fine / coarse) ** (state.iteration / n)
    else:
        wanted = state.next_align_resolution_A
    limit = job.parameters.max_align_resolution_A
    return job.band(wanted if limit is None else max(wanted, limit))


def _may_regrow(job: Job, state: State) -> bool:
    """Whether references may be re-grown by the symmetry over the whole box.

    Re-growing locks the symmetry in, so it waits until an iteration without it has
    left twist and rise where they were, to within what moves density at the box ends
    by a quarter of the resolution.
    """
    parameters = job.parameters
    start = parameters.real_space_symmetry_A
    if start == 0 or state.resolution_A > start:
        return False
    if state.regrown:
        return True
    if not parameters.search_symmetry:
        return True
    used, found = state.parameters, state.symmetry
    copies = job.box * job.pixel / 2 / found.rise_A
    turn = np.deg2rad(found.twist_deg - used.twist_deg) * state.survey.outer_radius_A
    moved = copies * max(abs(turn), abs(found.rise_A - used.rise_A))
    return bool(moved < state.resolution_A / 4)


def _next_resolution(job: Job, align_k: int, reached: float) -> float:
    """Widen the band gradually towards the FSC's crossing."""
    widest = job.box * job.pixel / (align_k * RESOLUTION_GROWTH)
    return max(reached, widest)


def _updated_spread(job: Job, poses: Poses, old: PoseSpread) -> PoseSpread:
    """Take standard deviations of the poses about their priors, never widening."""
    particles = job.particles
    psi = poses.psi_deg - particles.psi_prior_deg - 180.0 * poses.polarity
    psi = (psi + 180) % 360 - 180
    prior = particles.tilt_prior_deg - 90
    tilt = poses.tilt_deg - 90 - np.where(poses.polarity == 1, -prior, prior)

    def spread(values: NDArray[np.float64], limit: float) -> float:
        return float(np.clip(1.2 * np.sqrt(np.mean(values**2)), 0.25 * limit, limit))

    parameters = job.parameters
    return PoseSpread(
        spread(psi, parameters.psi_sd_deg),
        spread(tilt, parameters.tilt_sd_deg),
        spread(poses.shift_px, parameters.shift_sd_A / job.pixel),
    )
