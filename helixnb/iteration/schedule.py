"""What an iteration does: how far it looks, with how many images, and when it ends.

A refinement goes through three stages. In the bootstrap both halves share a reference
and structure grows out of a featureless density; then the halves part and the band
follows their FSC; last, once nothing improves, come the final passes, with shifts
along the axis limited to half a rise. The decisions are made here, each from the
state before and the parameters, so that an edited parameter takes effect at once.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from helixnb.iteration.job import Job
from helixnb.iteration.state import State
from helixnb.parameters import Parameters

BOOTSTRAP_RESOLUTION_A = (16.0, 10.0)
"""Alignment resolution at the start and the end of the bootstrap."""

RESOLUTION_GROWTH = 1.25
"""Most that the alignment band may widen in one iteration."""

SETTLED_GROWTH = 1.125
"""Widening of the band from which on it counts as still under way."""

LOW_RESOLUTION_A = 6.0
"""Coarser than this a standstill may be a pause, so it does not end a refinement."""

BATCH_IMAGES = 5000
"""Images of the first iterations where the user does not say."""

BATCH_GROWTH = 2.0
"""Growth of the batch in each iteration after the bootstrap."""

SHORT_REACH = 10
"""Subunits, at least, over which references are symmetric before twist and rise have
settled; with fewer, structure does not grow out of the first density reliably."""

PATIENCE = 3
"""Iterations without a gain of either kind after which a refinement stands still."""

GAIN = 0.01
"""Relative improvement of the resolution that counts as one."""

EVIDENCE_GAIN = 0.02
"""Relative growth of the log evidence that counts as one: poses may still find their
places while the resolution, of a fibril for example, stands still."""


@dataclass(frozen=True)
class Plan:
    """What one iteration does.

    Parameters
    ----------
    bootstrapping : bool
        Whether structure still grows from a shared reference.
    final : bool
        Whether this is one of the passes after convergence.
    align_k : int
        Band limit of the alignment, Fourier pixels.
    settled : bool
        Whether the band is about as wide as in the iteration before, so that poses are
        worth telling apart more finely than it takes to follow its growth.
    axial_range_A : float
        Length of the range of axial shifts, centred on zero.
    regrown : bool
        Whether references are re-grown over the whole box by the symmetry.
    reach : int or None
        Subunits over which they are symmetrised, as `reference_reach` has it.
    used : ndarray of bool, shape (n,)
        Images of this iteration.
    """

    bootstrapping: bool
    final: bool
    align_k: int
    settled: bool
    axial_range_A: float
    regrown: bool
    reach: int | None
    used: NDArray[np.bool_]


def plan(job: Job, state: State) -> Plan:
    """Decide what the iteration after a state does.

    Parameters
    ----------
    job : Job
        Fixed inputs of the iteration.
    state : State
        The iteration before.

    Returns
    -------
    Plan
    """
    bootstrapping = (
        not state.structured_start
        and state.iteration + 1 <= job.parameters.bootstrap_iterations
    )
    final = not bootstrapping and state.passes_left is not None
    # What was edited since may move what stood still, or lift a limit.
    final = final and not _edited(job, state)
    regrown = not bootstrapping and _may_regrow(job, state)
    align_k = _align_band(job, state, bootstrapping)
    before = job.band(state.align_resolution_A)
    shifts = job.parameters.limit_shifts
    limited = shifts == "always" or (shifts == "final" and final)
    return Plan(
        bootstrapping=bootstrapping,
        final=final,
        align_k=align_k,
        settled=not bootstrapping and align_k < SETTLED_GROWTH * before,
        axial_range_A=job.axial_range_A(limited),
        regrown=regrown,
        reach=reference_reach(job.parameters, job.order(), bootstrapping, regrown),
        used=_batch(job, state, bootstrapping),
    )


def _edited(job: Job, state: State) -> bool:
    """Whether the user has set a parameter since the iteration before."""
    unchanged = replace(
        state.parameters,
        twist_deg=state.symmetry.twist_deg if state.symmetry else None,
        rise_A=state.symmetry.rise_A if state.symmetry else None,
    )
    return job.parameters != unchanged


def reference_reach(
    parameters: Parameters, order: int, bootstrapping: bool, regrown: bool
) -> int | None:
    """Subunits over which references are symmetrised in real space.

    Parameters
    ----------
    parameters : Parameters
        Tell whether they are symmetrised at all.
    order : int
        Symmetry copies in the reconstruction.
    bootstrapping : bool
        Whether structure still grows, which takes symmetric references.
    regrown : bool
        Whether they are re-grown over the whole box.

    Returns
    -------
    int or None
        Each way from a subunit; None is the whole box, 0 leaves maps as they were
        reconstructed.
    """
    if regrown:
        return None
    if parameters.real_space_symmetry_A == 0 and not bootstrapping:
        return 0
    return max(order // 2, SHORT_REACH)


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
    used, found = state.parameters.symmetry, state.symmetry
    if start == 0 or state.resolution_A > start or used is None or found is None:
        return False
    if state.regrown or not parameters.search_symmetry:
        return True
    copies = job.box_A / 2 / found.rise_A
    turn = np.deg2rad(found.twist_deg - used.twist_deg) * state.survey.outer_radius_A
    moved = copies * max(abs(turn), abs(found.rise_A - used.rise_A))
    return bool(moved < state.resolution_A / 4)


def _batch(job: Job, state: State, bootstrapping: bool) -> NDArray[np.bool_]:
    """Choose the images of this iteration: whole filaments, equally of both halves.

    The order of filaments is fixed by the seed, so every batch contains the one
    before it.
    """
    half, filament = state.survey.half, job.particles.filament
    wanted = job.parameters.batch_images or BATCH_IMAGES
    if not bootstrapping:
        wanted = max(wanted, int(BATCH_GROWTH * state.used.sum()))
    used = np.ones(len(half), bool)
    if wanted >= len(half):
        return used
    rank = np.random.default_rng([state.seed, 1]).permutation(filament.max() + 1)
    order = np.argsort(rank[filament], kind="stable")
    for h in (0, 1):
        members = order[half[order] == h]
        # The filament that the limit falls in is taken whole.
        last = members[min((wanted + 1) // 2, len(members)) - 1]
        used[members] = rank[filament[members]] <= rank[filament[last]]
    return used


def releases_symmetry(job: Job, state: State, iteration: int) -> bool:
    """Tell whether an iteration is the last that the helical symmetry is imposed in.

    Out of a featureless density no asymmetric structure grows: images settle on a few
    azimuths, the front and back of a flat picture. So twist and rise may be imposed
    until there is structure that tells azimuths apart, and be released then.

    Parameters
    ----------
    job : Job
        Fixed inputs of the iteration.
    state : State
        The iteration before.
    iteration : int
        Number of the iteration.

    Returns
    -------
    bool
    """
    grown = state.structured_start or iteration >= job.parameters.bootstrap_iterations
    return grown and not job.parameters.impose_symmetry


def next_resolution(job: Job, align_k: int, reached_A: float) -> float:
    """Widen the band gradually towards the FSC's crossing.

    Parameters
    ----------
    job : Job
        Fixed inputs of the iteration.
    align_k : int
        Band limit that was used, Fourier pixels.
    reached_A : float
        Resolution by the FSC.

    Returns
    -------
    float
        Angstrom.
    """
    widest = job.box_A / (align_k * RESOLUTION_GROWTH)
    return max(reached_A, widest)


class Ending(NamedTuple):
    """How far a refinement is from its end.

    Attributes
    ----------
    best_resolution_A : float
        What the next iteration has to improve on.
    stalled : int
        Iterations since the resolution or the evidence last improved.
    passes_left : int or None
        Final passes still to make, 0 at the end; None while it improves.
    given_up : bool
        Whether ``max_low_resolution_iterations`` began those passes.
    """

    best_resolution_A: float
    stalled: int
    passes_left: int | None
    given_up: bool


def ending(
    job: Job, state: State, made: Plan, reached_A: float, log_evidence: float
) -> Ending:
    """Tell how far a refinement is from its end.

    Parameters
    ----------
    job : Job
        Fixed inputs of the iteration.
    state : State
        The iteration before.
    made : Plan
        What the iteration did.
    reached_A : float
        Resolution it came to.
    log_evidence : float
        Mean over its images.

    Returns
    -------
    Ending
    """
    # The FSC of few images goes up and down: what counts is the best so far, or each
    # recovery would pass for progress.
    better = reached_A < state.best_resolution_A * (1 - GAIN)
    best_A = reached_A if better else state.best_resolution_A
    before = state.mean_log_evidence
    grows = log_evidence > before + EVIDENCE_GAIN * abs(before)
    # In the bootstrap the evidence is of another kind (`likelihood_power`).
    still = not better and (state.bootstrapping or not grows)
    stalled = state.stalled + 1 if still else 0
    if made.bootstrapping:  # the halves are not independent yet
        best_A, stalled = np.inf, 0
    if made.final and state.passes_left is not None:
        left = max(state.passes_left - 1, 0)
        return Ending(best_A, stalled, left, state.given_up)
    parameters = job.parameters
    at_the_limit = reached_A <= job.box_A / (job.box_px // 2 - 2)
    low = reached_A > LOW_RESOLUTION_A and not at_the_limit
    given_up = low and state.iteration + 1 >= parameters.max_low_resolution_iterations
    settled = stalled >= PATIENCE and not low
    if made.bootstrapping or not made.used.all() or not (settled or given_up):
        return Ending(best_A, stalled, None, given_up=False)
    limiting = parameters.limit_shifts == "final" and parameters.symmetry is not None
    passes = parameters.extra_passes + int(limiting)
    return Ending(best_A, stalled, passes, not settled)
