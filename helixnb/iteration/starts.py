"""The best of several first densities, told by how well structure grows from each.

Which structure grows out of a featureless density depends on the draw of azimuths, and
with few images, or with a dyad, it may be one in which filaments point the wrong way.
The log evidence of the images tells such a map from the right one by far. A bootstrap
on a few hundred images from each draw is cheap, and the refinement goes on from the
best.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from helixnb.backend.arrays import to_host
from helixnb.iteration.job import Job
from helixnb.iteration.refinement import step
from helixnb.iteration.state import State
from helixnb.parameters import Parameters
from helixnb.progress import Progress

TRIAL_IMAGES = 400
"""Images of a trial."""

FEW_IMAGES = 2 * TRIAL_IMAGES
"""Sets smaller than this are tried several times where the user does not say. Of four
sets of 600 images one start put 30 and 43 % of the filaments of two upside down."""

TRIALS = 3
"""Starts that are tried then."""


def number_of_starts(
    parameters: Parameters, n_images: int, *, given_map: bool = False
) -> int:
    """First densities to try: as given, or several where one is not safe.

    Parameters
    ----------
    parameters : Parameters
        Of the first iteration.
    n_images : int
        Images of the set.
    given_map : bool
        Whether the user gives a density to start from.

    Returns
    -------
    int
    """
    if given_map or parameters.cylindrical_model:
        return 1  # they would all be alike
    if parameters.bootstrap_iterations == 0:
        return 1  # nothing would grow that could tell them apart
    if parameters.starts is not None:
        return parameters.starts
    unsafe = parameters.dihedral or n_images < FEW_IMAGES
    return TRIALS if unsafe else 1


def best_start(
    job: Job, state: State, densities: Iterator[NDArray[np.float32]], n: int
) -> State:
    """Bootstrap from each density on some of the images, and take the best.

    Parameters
    ----------
    job : Job
        Fixed inputs of the refinement.
    state : State
        Of iteration 0.
    densities : iterator of ndarray of float32, shape (2, box, box, box)
        First densities; `n` are taken.
    n : int
        Number of trials.

    Returns
    -------
    State
        Of iteration 0, with the maps that the best trial grew.
    """
    parameters = job.parameters.changed(
        batch_images=min(TRIAL_IMAGES, len(job.particles)),
        search_symmetry=False,
        nonuniform=False,
        mask="cylinder",
    )
    mask = to_host(job.mask(state.survey, 1.0))
    best, most = state, -np.inf
    for number in range(n):
        raw = next(densities)
        whole = raw.mean(0) * mask
        trial = replace(state, half_maps=raw, references=np.stack([whole, whole]))
        last = parameters.bootstrap_iterations
        for i in range(last):
            title = f"start {number + 1} of {n}, iteration {i + 1} of {last}"
            report = _titled(job.progress, title)
            trial = step(trial, job.particles, parameters, job.backend, report)
        evidence = trial.mean_log_evidence
        if evidence > most:
            best, most = trial, evidence
    return replace(state, half_maps=best.half_maps, references=best.references)


def _titled(progress: Progress, title: str) -> Callable[..., None]:
    """Report every stage under a title."""
    return lambda stage, done, total: progress(f"{title}: {stage}", done, total)
