"""The state before the first iteration: what the images say, and a first density.

The density comes from the images at random azimuths, from a plain cylinder, or from
a map that the user gives; the last two are brought to the scale of the images.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from helixnb.backend import Backend
from helixnb.backend.arrays import to_host
from helixnb.core.halves import split_by_filament
from helixnb.core.initial_model import contrast_scale, lowpass
from helixnb.core.masks import FILAMENT_EDGE_A, cylinder
from helixnb.core.poses import Poses
from helixnb.core.search import PoseSpread
from helixnb.errors import InputError
from helixnb.iteration.alignment import sum_at_random_azimuths
from helixnb.iteration.job import Job
from helixnb.iteration.maps import raw_half_maps
from helixnb.iteration.schedule import BOOTSTRAP_RESOLUTION_A
from helixnb.iteration.starts import best_start, number_of_starts
from helixnb.iteration.state import State, Survey
from helixnb.iteration.survey import (
    filament_radius_px,
    mean_ctf_power,
    mean_filtered_image,
    mean_image_power,
)
from helixnb.parameters import Parameters
from helixnb.particles import ParticleSet
from helixnb.progress import Progress, Stopwatch


def initial_state(
    particles: ParticleSet,
    parameters: Parameters,
    backend: Backend,
    seed: int,
    progress: Progress,
    initial_map: NDArray[np.float32] | None = None,
) -> State:
    """Survey the images and make the first reference.

    Parameters
    ----------
    particles : ParticleSet
        The images.
    parameters : Parameters
        As they are for the first iteration.
    backend : Backend
        Where it runs.
    seed : int
        Draws the half-sets and the azimuths.
    progress : callable
        Told what is being done.
    initial_map : ndarray of float32, shape (box, box, box), or None
        A density to start from, with the axis along z, in the box and pixel size of
        the images; its scale does not matter.

    Returns
    -------
    State
        Iteration 0.

    Raises
    ------
    InputError
        If a given density does not resemble the images in the least.
    """
    job = Job(particles, parameters, backend, progress, Stopwatch(backend.synchronise))
    with backend.active():
        return _initial_state(job, seed, initial_map)


def _initial_state(
    job: Job, seed: int, initial_map: NDArray[np.float32] | None
) -> State:
    """Survey and first density on the device that is active."""
    particles, parameters = job.particles, job.parameters
    rng = np.random.default_rng(seed)
    half = particles.half
    if half is None:
        half = split_by_filament(particles.filament, rng)
    with job.clock("survey"):
        image_power = mean_image_power(particles, rng, job.backend, job.progress)
        ctf_power = mean_ctf_power(particles)
    diameter = parameters.outer_diameter_A
    radius = 0.45 * job.box_A if diameter is None else diameter / 2
    survey = Survey(half, image_power, ctf_power, radius)
    if initial_map is not None or parameters.cylindrical_model:
        if diameter is None and initial_map is not None:
            radius = filament_radius_px(initial_map) * job.pixel_size_A
            survey = replace(survey, outer_radius_A=radius)
        raw = _given_density(job, survey, initial_map, rng)
    else:
        raw = to_host(raw_half_maps(job, sum_at_random_azimuths(job, survey, rng)))
        if diameter is None:
            radius = filament_radius_px(raw.mean(0)) * job.pixel_size_A
            survey = replace(survey, outer_radius_A=radius)
    whole = raw.mean(0) * to_host(job.mask(survey, 1.0))
    structured = initial_map is not None
    state = State(
        iteration=0,
        seed=seed,
        parameters=parameters,
        estimate=parameters.symmetry,
        symmetry=parameters.symmetry,
        symmetry_order=job.order(),
        bootstrapping=not structured and parameters.bootstrap_iterations > 0,
        regrown=False,
        structured_start=structured,
        used=np.zeros(len(particles), bool),
        survey=survey,
        half_maps=raw,
        references=np.stack([whole, whole]),
        fsc=job.fsc(raw, survey, rng),
        resolution_A=parameters.initial_lowpass_A,
        align_resolution_A=parameters.initial_lowpass_A,
        next_align_resolution_A=(
            parameters.initial_lowpass_A if structured else BOOTSTRAP_RESOLUTION_A[0]
        ),
        noise_power=image_power,
        spread=PoseSpread(
            parameters.psi_sd_deg,
            parameters.tilt_sd_deg,
            parameters.shift_sd_A / job.pixel_size_A,
        ),
        poses=Poses.empty(len(particles)),
        seconds=job.clock.seconds,
        device=job.backend.name,
    )
    n = number_of_starts(parameters, len(particles), given_map=structured)
    if n == 1:
        return state
    with job.clock("starts"):
        return best_start(job, state, _densities(job, state), n)


def _densities(job: Job, state: State) -> Iterator[NDArray[np.float32]]:
    """Yield the density of a state, then others from azimuths drawn anew."""
    yield state.half_maps
    for number in itertools.count(1):
        rng = np.random.default_rng([state.seed, number])
        sums = sum_at_random_azimuths(job, state.survey, rng)
        yield to_host(raw_half_maps(job, sums))


def _given_density(
    job: Job,
    survey: Survey,
    initial_map: NDArray[np.float32] | None,
    rng: np.random.Generator,
) -> NDArray[np.float32]:
    """Two copies of a map or cylinder, low-passed, on the scale of the images."""
    parameters, particles = job.parameters, job.particles
    if initial_map is None:
        density = cylinder(
            job.box_px,
            outer_radius_px=survey.outer_radius_A / job.pixel_size_A,
            inner_radius_px=parameters.inner_diameter_A / 2 / job.pixel_size_A,
            axial_fraction=1.0,
            edge_px=FILAMENT_EDGE_A / job.pixel_size_A,
        )
    else:
        density = initial_map * to_host(job.mask(survey, 1.0))
    density = lowpass(density, job.pixel_size_A, parameters.initial_lowpass_A)
    with job.clock("survey"):
        filtered = mean_filtered_image(particles, rng, job.backend, job.progress)
    band = job.band(parameters.initial_lowpass_A)
    scales = [
        contrast_scale(
            density,
            part,
            survey.ctf_power,
            band,
            parameters.shift_sd_A / job.pixel_size_A,
        )
        for part in filtered
    ]
    scale, error = np.mean(scales), np.abs(np.diff(scales))[0]
    # Images without signal give no scale, and its sign is chance.
    if scale < 0 and np.max(scales) < -error:
        raise InputError(
            "The initial density is the opposite of the images: where it is dense, "
            "they are dark. Density must be positive; multiply the map by -1, or "
            "check that the images have protein white."
        )
    scale = abs(scale)
    return np.stack([scale * density] * 2).astype(np.float32)
