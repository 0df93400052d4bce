"""One iteration of helical refinement, as a pure function from state to state.

`step` aligns the images, reconstructs both halves, measures their FSC, prepares the
next references and updates the symmetry; `initial.initial_state` makes the state it
begins from. Nothing here remembers anything: the session keeps the states.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from helixnb.backend import Backend
from helixnb.backend.arrays import to_host
from helixnb.core.poses import Poses
from helixnb.core.priors import Priors, from_neighbours, seen_from_first_polarity
from helixnb.core.reconstruction import join_low_resolution
from helixnb.core.search import PoseSpread
from helixnb.core.shift_pattern import shift_pattern, without_pattern
from helixnb.iteration import schedule
from helixnb.iteration.alignment import align, polarity_by_the_other_half
from helixnb.iteration.claim import claim
from helixnb.iteration.flags import flags_of
from helixnb.iteration.job import Job
from helixnb.iteration.maps import (
    blind_half_maps,
    check_symmetry,
    raw_half_maps,
    references,
)
from helixnb.iteration.state import State
from helixnb.iteration.twist_rise import refine_symmetry
from helixnb.parameters import Parameters
from helixnb.particles import ParticleSet
from helixnb.progress import Progress, Stopwatch

__all__ = ["step"]

AVERAGED_BOXES = 2.0
"""Distance along a filament over which priors are averaged, in distances of boxes."""


def step(
    state: State,
    particles: ParticleSet,
    parameters: Parameters,
    backend: Backend,
    progress: Progress,
    static_mask: NDArray[np.float32] | None = None,
    clock: Stopwatch | None = None,
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
    clock : Stopwatch, optional
        Collects the time of each stage; the state tells the wall time in any case.

    Returns
    -------
    State
    """
    clock = clock or Stopwatch(backend.synchronise)
    job = Job(particles, parameters, backend, progress, clock, static_mask)
    with backend.active():
        return _next_state(job, state)


def _next_state(job: Job, state: State) -> State:
    """One iteration on the device that is active."""
    particles, parameters = job.particles, job.parameters
    iteration = state.iteration + 1
    plan = schedule.plan(job, state)
    priors = _priors(job, state, plan.bootstrapping)
    state = replace(state, spread=_edited_spread(job, state))
    sums, poses, noise, cells = align(job, state, plan, priors)
    with job.clock("reconstruct"):
        shared = join_low_resolution(sums, job.box_A / parameters.split_resolution_A)
        raw = raw_half_maps(job, sums)
    rng = np.random.default_rng([state.seed, iteration])
    fsc = job.fsc(raw, state.survey, rng)
    claimed = claim(job, state.survey, fsc, sums[0].grid.k_max)
    reached = claimed.resolution_A
    with job.clock("references"):
        nonuniform = parameters.nonuniform and not plan.bootstrapping
        local = raw if nonuniform and reached <= parameters.nonuniform_start_A else None
        new_references = references(
            job, state.survey, shared, fsc, plan.bootstrapping, local
        )
        if plan.bootstrapping and iteration == parameters.bootstrap_iterations:
            new_references = _without_pattern(job, new_references, poses, plan.used)
    edited = parameters.symmetry != state.symmetry
    estimate = parameters.symmetry if edited else state.estimate
    mature = not plan.bootstrapping or 2 * iteration > parameters.bootstrap_iterations
    blind, check = None, None
    if parameters.symmetry is not None and mature:
        with job.clock("reconstruct"):
            blind = blind_half_maps(job, state.survey, sums)
        check = check_symmetry(job, state.survey, sums, blind, raw)
    scores, symmetry = refine_symmetry(job, state.survey, blind, estimate, reached)
    if schedule.releases_symmetry(job, state, iteration):
        symmetry = None
    evidence = poses.mean_log_evidence(plan.used)
    ending = schedule.ending(job, state, plan, reached, evidence)
    crossed = None
    if ending.passes_left == 0 and not parameters.dihedral:
        crossed = polarity_by_the_other_half(job, state, plan, priors)
    made = State(
        iteration=iteration,
        seed=state.seed,
        parameters=parameters,
        estimate=estimate,
        symmetry=symmetry,
        symmetry_order=job.order(),
        bootstrapping=plan.bootstrapping,
        regrown=plan.regrown,
        structured_start=state.structured_start,
        used=plan.used,
        survey=state.survey,
        half_maps=to_host(raw),
        references=new_references,
        fsc=fsc,
        resolution_A=reached,
        align_resolution_A=job.box_A / plan.align_k,
        # Alignment may look where it is not yet sure: independent halves tell.
        next_align_resolution_A=schedule.next_resolution(
            job, plan.align_k, claimed.crossing_A
        ),
        noise_power=noise,
        spread=_updated_spread(job, poses, priors, plan.used),
        poses=poses,
        scores=scores,
        blind_maps=to_host(blind),
        check=check,
        **ending._asdict(),
        seconds=job.clock.seconds,
        cells_per_image=cells,
        device=job.backend.name,
    )
    said = flags_of(made, particles, claimed, sums[0].grid.k_max, crossed)
    return replace(made, flags=tuple(said))


def _without_pattern(
    job: Job,
    references: NDArray[np.float32],
    poses: Poses,
    used: NDArray[np.bool_],
) -> NDArray[np.float32]:
    """Rid the references of shifts that the draw of azimuths left in them.

    Only once, at the end of the bootstrap: what is a fault in a structure that grew
    from nothing may later be how a picker saw an uneven filament.
    """
    pattern = shift_pattern(
        poses.azimuth_deg[used],
        poses.shift_px[used],
        job.particles.filament[used],
        job.parameters.cyclic,
    )
    return without_pattern(references, pattern) if pattern else references


def _priors(job: Job, state: State, bootstrapping: bool) -> Priors:
    """Centres of the pose priors: as given, or from neighbours on the filament.

    In-plane angles that the file does not tell stay open until there is structure to
    find them with.
    """
    particles = job.particles
    found = Poses.empty(len(particles)) if bootstrapping else state.poses
    priors = Priors.given(particles.psi_prior_deg, particles.tilt_prior_deg, found)
    if not priors.psi_known.all():
        return priors
    distance = job.parameters.filament_averaging_A
    if distance is None:
        distance = AVERAGED_BOXES * particles.inter_box_A
    if not distance > 0 or state.iteration == 0:
        return priors
    return from_neighbours(
        priors, state.poses, particles.filament, particles.track_A, distance
    )


def _edited_spread(job: Job, state: State) -> PoseSpread:
    """Spread of the priors; what the user has just set goes before what was found."""
    now, before, found = job.parameters, state.parameters, state.spread

    def chosen(name: str, value: float, unit: float = 1.0) -> float:
        edited = getattr(now, name) != getattr(before, name)
        return getattr(now, name) / unit if edited else value

    return PoseSpread(
        chosen("psi_sd_deg", found.psi_deg),
        chosen("tilt_sd_deg", found.tilt_deg),
        chosen("shift_sd_A", found.shift_px, job.pixel_size_A),
    )


def _updated_spread(
    job: Job, poses: Poses, priors: Priors, used: NDArray[np.bool_]
) -> PoseSpread:
    """Take standard deviations of the poses about their priors, never widening."""
    psi, tilt, shift = seen_from_first_polarity(poses)

    def spread(values: NDArray[np.float64], limit: float) -> float:
        rms = np.sqrt(np.mean(values[used] ** 2))
        return float(np.clip(1.2 * rms, 0.25 * limit, limit))

    parameters = job.parameters
    limit_deg = parameters.psi_sd_deg
    turned = (psi - priors.psi_deg + 180) % 360 - 180
    return PoseSpread(
        spread(turned, limit_deg) if priors.psi_known.all() else limit_deg,
        spread(tilt - priors.tilt_deg, parameters.tilt_sd_deg),
        spread(shift - priors.shift_px, parameters.shift_sd_A / job.pixel_size_A),
    )
