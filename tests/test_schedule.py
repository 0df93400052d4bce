"""When a refinement does what, and when it ends."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from helixnb.backend import get_backend
from helixnb.core.poses import Poses
from helixnb.iteration.job import Job
from helixnb.iteration.schedule import (
    PATIENCE,
    Ending,
    Plan,
    ending,
    plan,
    releases_symmetry,
)
from helixnb.iteration.state import State
from helixnb.parameters import Parameters
from helixnb.progress import Stopwatch
from helixnb.symmetry import HelicalSymmetry
from tests.standins import standin_state

FILAMENTS, PER_FILAMENT = 20, 10
N = FILAMENTS * PER_FILAMENT


def _job(**values: Any) -> Job:
    particles = SimpleNamespace(
        box_px=64,
        pixel_size_A=2.0,
        inter_box_A=57.0,
        filament=np.repeat(np.arange(FILAMENTS), PER_FILAMENT).astype(np.int32),
    )
    settings = {"twist_deg": -60.0, "rise_A": 14.0} | values
    return Job(
        particles,  # type: ignore[arg-type]
        Parameters(**settings),
        get_backend("cpu"),
        lambda *_: None,
        Stopwatch(),
    )


def _state(**values: Any) -> State:
    half = (np.repeat(np.arange(FILAMENTS), PER_FILAMENT) % 2).astype(np.int8)
    state = standin_state(8)
    base = {
        "survey": replace(state.survey, half=half),
        "used": np.ones(N, bool),
        "poses": replace(Poses.empty(N), log_evidence=np.full(N, 50.0)),
        "passes_left": None,
        "resolution_A": 5.0,
        "next_align_resolution_A": 5.0,
        "best_resolution_A": values.get("resolution_A", 5.0),
        "stalled": 0,
    }
    return replace(state, **(base | values))


def _after(job: Job, **values: Any) -> State:
    """State of an iteration with the parameters of a job, none edited since."""
    given = {"parameters": job.parameters, "symmetry": job.parameters.symmetry}
    return _state(**(given | values))


def _plan(**values: Any) -> Plan:
    made = plan(_job(), _state())
    return replace(made, **({"used": np.ones(N, bool)} | values))


def _ending(job: Job, state: State, made: Plan, reached_A: float) -> Ending:
    """How far an iteration is from the end whose evidence is that of the one before."""
    return ending(job, state, made, reached_A, state.mean_log_evidence)


def test_shifts_are_limited_when_they_should_be() -> None:
    wide_A = 14.0 * round(57.0 / 14.0)
    for choice, final, expected_A in (
        ("always", None, 14.0),
        ("final", None, wide_A),
        ("final", 1, 14.0),
        ("never", 1, wide_A),
    ):
        job = _job(limit_shifts=choice)
        made = plan(job, _after(job, passes_left=final))
        assert made.axial_range_A == pytest.approx(expected_A)
        assert made.final == (final is not None)


def test_without_symmetry_shifts_reach_half_the_distance_of_boxes() -> None:
    job = _job(twist_deg=None, rise_A=None)
    assert plan(job, _state(symmetry=None)).axial_range_A == pytest.approx(57.0)
    given = _job(twist_deg=None, rise_A=None, axial_range_A=20.0)
    assert plan(given, _state(symmetry=None)).axial_range_A == pytest.approx(40.0)


def test_poses_are_told_apart_more_finely_once_the_band_settles() -> None:
    state = _state(next_align_resolution_A=5.0)
    # Bands in whole Fourier pixels of 1/128 A.
    for before_A, settled in ((6.4, False), (5.5, True), (5.0, True), (4.6, True)):
        made = plan(_job(), replace(state, align_resolution_A=before_A))
        assert made.settled == settled
    young = replace(state, align_resolution_A=5.0, structured_start=False, iteration=1)
    assert not plan(_job(), young).settled


def test_a_given_map_needs_no_bootstrap() -> None:
    early = {"iteration": 0}
    assert plan(_job(), _state(**early)).bootstrapping
    assert not plan(_job(), _state(structured_start=True, **early)).bootstrapping
    assert not plan(_job(bootstrap_iterations=0), _state(**early)).bootstrapping


def test_batches_are_whole_filaments_of_both_halves_and_grow() -> None:
    job = _job(batch_images=40, bootstrap_iterations=2)
    filament = job.particles.filament
    state = _state(iteration=0, used=np.zeros(N, bool))
    sizes, before = [], np.zeros(N, bool)
    for iteration in range(7):
        state = replace(state, iteration=iteration)
        used = plan(job, state).used
        for number in range(FILAMENTS):
            assert len(set(used[filament == number])) == 1
        half = state.survey.half[used]
        assert abs((half == 0).sum() - (half == 1).sum()) <= PER_FILAMENT
        assert (used | ~before).all(), "a batch contains the one before it"
        sizes.append(int(used.sum()))
        state, before = replace(state, used=used), used
    assert sizes[:2] == [40, 40]
    assert sizes[2:] == [80, 160, 200, 200, 200]


def test_it_ends_when_nothing_improves() -> None:
    job, waiting = _job(), PATIENCE - 1
    stands = _ending(job, _state(stalled=waiting), _plan(), 5.0)
    assert stands == (5.0, PATIENCE, 0, False)
    improves = _ending(job, _state(stalled=waiting), _plan(), 4.9)
    assert improves == (4.9, 0, None, False)
    early = _ending(job, _state(stalled=waiting - 1), _plan(), 5.0)
    assert early == (5.0, waiting, None, False)


def test_going_up_and_down_is_no_improvement() -> None:
    """Each recovery from a chance setback used to count as one."""
    job, state = _job(), _state()
    for reached_A in (5.3, 5.0, 5.4):
        end = _ending(job, state, _plan(), reached_A)
        state = replace(state, resolution_A=reached_A, **end._asdict())
    assert state.converged


def test_slow_improvement_adds_up() -> None:
    job, state = _job(), _state()
    for reached_A in (4.97, 4.94):
        end = _ending(job, state, _plan(), reached_A)
        state = replace(state, resolution_A=reached_A, **end._asdict())
    assert state.stalled == 0
    assert state.best_resolution_A == 4.94


@pytest.mark.parametrize(
    ("grown", "stalled"), [(1.01, PATIENCE), (1.03, 0), (0.9, PATIENCE)]
)
def test_it_goes_on_while_the_evidence_grows(grown: float, stalled: int) -> None:
    state = _state(stalled=PATIENCE - 1)
    reached = grown * state.mean_log_evidence
    end = ending(_job(), state, _plan(), 5.0, reached)
    assert end.stalled == stalled
    assert (end.passes_left == 0) == (stalled == PATIENCE)
    young = replace(state, bootstrapping=True)
    assert ending(_job(), young, _plan(), 5.0, reached).stalled == PATIENCE


def test_halves_that_share_a_reference_set_no_mark() -> None:
    end = _ending(_job(), _state(), _plan(bootstrapping=True), 4.0)
    assert end == (np.inf, 0, None, False)


def test_it_does_not_end_before_all_images_are_used() -> None:
    some = _plan(used=np.arange(N) < 100)
    assert _ending(_job(), _state(stalled=9), some, 5.0).passes_left is None


def test_extra_passes_and_limited_shifts_come_last() -> None:
    stalled = _state(stalled=PATIENCE)
    job = _job(extra_passes=2, limit_shifts="final")
    assert _ending(job, stalled, _plan(), 5.0).passes_left == 3
    for left in (3, 2, 1):
        state = _state(stalled=9, passes_left=left)
        assert _ending(job, state, _plan(final=True), 4.0).passes_left == left - 1


def test_low_resolution_is_given_time_but_not_for_ever() -> None:
    state = _state(stalled=PATIENCE, resolution_A=8.0)
    early, late = replace(state, iteration=9), replace(state, iteration=11)
    assert _ending(_job(), early, _plan(), 8.0).passes_left is None
    assert _ending(_job(), late, _plan(), 8.0).passes_left == 0
    assert _ending(_job(), late, _plan(), 8.0).given_up
    longer = _job(max_low_resolution_iterations=30)
    assert _ending(longer, late, _plan(), 8.0).passes_left is None


def test_what_was_given_up_goes_on_once_the_limit_is_raised() -> None:
    """And not by one more final pass each time it is asked to."""
    job = _job()
    over = {"iteration": 12, "passes_left": 0, "given_up": True, "resolution_A": 8.0}
    ended = _after(job, **over)
    assert plan(job, ended).final
    longer = _job(max_low_resolution_iterations=24)
    made = plan(longer, ended)
    assert not made.final
    assert _ending(longer, ended, made, 7.0) == (7.0, 0, None, False)


def test_symmetry_is_released_once_structure_has_grown() -> None:
    job = _job(impose_symmetry=False, bootstrap_iterations=6)
    assert not releases_symmetry(job, _state(), 5)
    assert releases_symmetry(job, _state(), 6)
    assert releases_symmetry(job, _state(structured_start=True), 1)
    assert not releases_symmetry(_job(), _state(), 6)


def test_an_edit_after_the_end_is_followed_until_it_stands_still_again() -> None:
    job = _job()
    ended = _after(job, passes_left=0, stalled=PATIENCE)
    assert plan(job, ended).final
    # What the search found is no edit.
    moved = HelicalSymmetry(-60.1, 14.02)
    found = job.parameters.changed(twist_deg=-60.1, rise_A=14.02)
    assert plan(replace(job, parameters=found), replace(ended, symmetry=moved)).final
    edited = _job(mask="dynamic")
    made = plan(edited, ended)
    assert not made.final
    assert _ending(edited, ended, made, 4.5) == (4.5, 0, None, False)
    assert _ending(edited, ended, made, 5.0) == (5.0, PATIENCE + 1, 0, False)


def test_what_the_pixels_can_hold_is_no_low_resolution() -> None:
    job = _job()
    coarse = replace(
        job, particles=SimpleNamespace(**(vars(job.particles) | {"pixel_size_A": 4.0}))
    )
    nyquist = _state(stalled=PATIENCE, resolution_A=8.5)
    assert _ending(coarse, nyquist, _plan(), 8.5).passes_left == 0


def test_regrowing_waits_until_the_symmetry_has_settled() -> None:
    symmetry = HelicalSymmetry(-60.0, 14.0)
    used = Parameters(twist_deg=-60.0, rise_A=14.0)
    settled = _state(parameters=used, symmetry=symmetry, regrown=False)
    assert plan(_job(), settled).regrown
    moved = replace(settled, symmetry=HelicalSymmetry(-58.0, 14.0))
    assert not plan(_job(), moved).regrown
    assert plan(_job(search_symmetry=False), moved).regrown
    assert not plan(_job(real_space_symmetry_A=0), settled).regrown
    assert not plan(_job(), replace(settled, resolution_A=9.0)).regrown
