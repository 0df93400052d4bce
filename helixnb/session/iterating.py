"""One iteration on a timeline: read once, compute, publish once; and when to end."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from helixnb.errors import InputError
from helixnb.iteration import initial, refinement
from helixnb.session.foreword import foreword
from helixnb.session.history import history_row

if TYPE_CHECKING:
    from collections.abc import Callable

    from helixnb.backend import Backend
    from helixnb.iteration.state import State
    from helixnb.particles import ParticleSet
    from helixnb.session.initial_map import InitialMap
    from helixnb.session.progress import ProgressReport
    from helixnb.session.timeline import Timeline

log = logging.getLogger("helixnb")


def iterate_once(
    timeline: Timeline,
    particles: ParticleSet,
    backend: Backend,
    seed: int,
    initial_map: InitialMap | None,
    *,
    progress: ProgressReport,
    notify: Callable[[], None],
) -> None:
    """Compute the next state; before the first, the initial density as well.

    Parameters
    ----------
    timeline : Timeline
        Gains a state, or nothing if this is interrupted.
    particles : ParticleSet
        Segments.
    backend : Backend
        Device that computes.
    seed : int
        Seed of the initial density.
    initial_map : InitialMap or None
        A density to start from instead.
    progress : ProgressReport
        Told what is being done.
    notify : callable
        Called after each new state.
    """
    start = time.perf_counter()
    now = timeline.begin()
    used, previous, mask = now.parameters, now.state, now.static_mask
    if used.mask == "static" and mask is None:
        raise InputError(
            "mask is 'static', but no mask was given. Give one with "
            "session.use_mask('mask.mrc'), or choose 'cylinder' or 'dynamic'."
        )
    # Until an iteration has used it, the initial density follows the parameters.
    stale = previous is not None and previous.iteration == 0
    if previous is None or (stale and previous.parameters != used):
        given_map = initial_map is not None
        for note in foreword(used, len(particles), given_map=given_map):
            log.info("%s", note)
        with progress.of("initial density") as report:
            given = None if initial_map is None else initial_map.volume
            previous = initial.initial_state(
                particles, used, backend, seed, report, given
            )
        timeline.publish_initial(previous)
        notify()
    with progress.of(f"iteration {previous.iteration + 1}") as report:
        state = refinement.step(
            previous,
            particles,
            used,
            backend,
            report,
            mask.volume if mask else None,
        )
    row = history_row(
        state,
        particles.pixel_size_A,
        seconds=time.perf_counter() - start,
        # The stages of the first iteration include those of its initial density.
        stages=state.seconds | (previous.seconds if previous.iteration == 0 else {}),
        previous=previous,
    )
    timeline.publish(state, row)
    _log(state, row["seconds"], seen=previous.flags)
    notify()


def finished(timeline: Timeline, done: int, n: int | None, *, again: bool) -> bool:
    """Whether a run should end.

    Parameters
    ----------
    timeline : Timeline
        As it is now.
    done : int
        Iterations of this run so far.
    n : int or None
        Iterations asked for.
    again : bool
        Whether the refinement had ended before this run.

    Returns
    -------
    bool
    """
    now = timeline.now
    state, parameters = now.state, now.parameters
    if n is not None and done >= n:
        return True
    if state is None:
        return False
    if state.iteration >= parameters.max_iterations:
        return True
    # Who asks for a number of iterations, or has edited a parameter since, wants to
    # go on after the end.
    asked = (again and n is not None) or parameters != now.expected
    return state.ended and not asked


def _log(state: State, seconds: float, seen: tuple[str, ...]) -> None:
    """Write one line for each iteration, and one for each new flag."""
    if state.iteration == 1 and state.symmetry is None:
        log.info("Refining without helical symmetry")
    elif state.iteration == 1:
        log.info(
            "Refining with helical symmetrization degree of %d enforced",
            state.symmetry_order,
        )
    log.info(
        "iteration %d: resolution %.2f A, aligned to %.2f A, %s, order %d, "
        "%d images, %.1f s",
        state.iteration,
        state.resolution_A,
        state.align_resolution_A,
        state.symmetry_text,
        state.symmetry_order,
        state.used.sum(),
        seconds,
    )
    for flag in (flag for flag in state.flags if flag not in seen):
        log.warning("iteration %d: %s", state.iteration, flag)
