"""From simulated particles without poses to the map, the poses and the symmetry.

The data come from `helixnb.simulate`, which shares no code with the refinement, and
start from what a user has: polarity unknown, twist and rise off by a little.
"""

from __future__ import annotations

import copy
import dataclasses
from typing import NamedTuple

import mrcfile
import numpy as np
import pytest
import starfile
from numpy.typing import NDArray

from helixnb.backend import get_backend
from helixnb.core.cylinder import CylinderGrid
from helixnb.core.fsc import resolution_A, shell_correlation
from helixnb.core.masks import cylinder
from helixnb.core.shift_pattern import without_pattern
from helixnb.iteration import refinement
from helixnb.iteration.initial import initial_state
from helixnb.iteration.job import Job
from helixnb.iteration.refinement import step
from helixnb.iteration.schedule import _may_regrow, reference_reach
from helixnb.iteration.state import State
from helixnb.parameters import Parameters
from helixnb.particles import ParticleSet
from helixnb.progress import Stopwatch
from helixnb.simulate import Filaments, Microscope, simulate_segments

BACKEND = get_backend("cpu")
TWIST_DEG, RISE_A = 54.0, 16.5
BOX_PX, PIXEL_A = 64, 3.0
# One start, so that the first density is as featureless as in a large set.
PARAMETERS = Parameters(twist_deg=54.5, rise_A=16.665, bootstrap_iterations=5, starts=1)
ITERATIONS = 8


def _silent(stage: str, done: int, total: int) -> None:
    """Progress that nobody watches."""


class _Case(NamedTuple):
    """A simulated data set with its answer."""

    particles: ParticleSet
    psi_deg: NDArray[np.float64]
    tilt_deg: NDArray[np.float64]
    truth: NDArray[np.float32]


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> _Case:
    data = simulate_segments(
        tmp_path_factory.mktemp("helix"),
        twist_deg=TWIST_DEG,
        rise_A=RISE_A,
        box_px=BOX_PX,
        pixel_size_A=PIXEL_A,
        filaments=Filaments(n_filaments=10, segments_per_filament=16),
        microscope=Microscope(snr=0.4),
        seed=5,
    )
    table = starfile.read(data.truth_star)["particles"]
    with mrcfile.open(data.truth_map) as file:
        truth = file.data.copy()
    return _Case(
        ParticleSet.from_star(data.particles_star),
        table["rlnAnglePsi"].to_numpy(),
        table["rlnAngleTilt"].to_numpy(),
        truth,
    )


def _next(state: State, particles: ParticleSet) -> State:
    """One iteration that uses the symmetry found by the one before."""
    used = state.parameters.changed(
        twist_deg=state.symmetry.twist_deg, rise_A=state.symmetry.rise_A
    )
    return step(state, particles, used, BACKEND, _silent)


@pytest.fixture(scope="module")
def states(case: _Case) -> list[State]:
    """Run all iterations, 0 included."""
    run = [initial_state(case.particles, PARAMETERS, BACKEND, 1, _silent)]
    for _ in range(ITERATIONS):
        run.append(_next(run[-1], case.particles))
    return run


def _upside_down(case: _Case, state: State) -> NDArray[np.bool_]:
    """Segments found at psi + 180 of the truth."""
    return np.cos(np.deg2rad(state.poses.psi_deg - case.psi_deg)) < 0


def test_every_filament_gets_its_direction(case: _Case, states: list[State]) -> None:
    """All agree with the truth, or all are opposite: which is up is not known."""
    flipped = _upside_down(case, states[-1])
    share = np.bincount(case.particles.filament, flipped) / 16
    assert set(share) in ({0.0}, {1.0})
    assert states[-1].poses.polarity_probability.mean() > 0.99


def test_the_last_iteration_asks_the_other_half_for_polarities(
    case: _Case, states: list[State]
) -> None:
    ending = dataclasses.replace(states[-1], passes_left=1)
    settled = _next(ending, case.particles)
    assert settled.ended
    assert not [flag for flag in settled.flags if "upside down" in flag]
    references = ending.references.copy()
    # Half a turn about x, with the centre at box // 2.
    references[1] = np.roll(references[1, ::-1, ::-1], 1, (0, 1))
    contested = _next(
        dataclasses.replace(ending, references=references), case.particles
    )
    assert any("turn 10 of 10 filaments" in flag for flag in contested.flags)


def test_angles_come_out(case: _Case, states: list[State]) -> None:
    flipped = _upside_down(case, states[-1])
    poses = states[-1].poses
    off = (poses.psi_deg - case.psi_deg + 180 * flipped + 180) % 360 - 180
    assert np.median(np.abs(off)) < 0.5
    prior = case.particles.psi_prior_deg - case.psi_deg
    prior = (prior + 90) % 180 - 90
    assert np.median(np.abs(off)) < 0.5 * np.median(np.abs(prior))
    tilt = np.where(flipped, 180 - poses.tilt_deg, poses.tilt_deg)
    assert np.corrcoef(tilt, case.tilt_deg)[0, 1] > 0.9


def test_twist_and_rise_come_out(states: list[State]) -> None:
    found = states[-1].symmetry
    assert found.twist_deg == pytest.approx(TWIST_DEG, abs=0.12)
    assert found.rise_A == pytest.approx(RISE_A, abs=0.06)
    scores = states[-1].scores
    assert scores is not None
    assert not scores.joint.on_edge
    assert 0.5 < scores.joint.best_score < 1.1


def _best_agreement(
    volume: NDArray[np.float32], truth: NDArray[np.float32]
) -> NDArray[np.float64]:
    """FSC with the truth at the best turn, height and direction along the axis."""
    grid = CylinderGrid(BOX_PX, 24, 60, 1, 2)
    axis = np.arange(BOX_PX) - BOX_PX // 2
    mask = cylinder(BOX_PX, outer_radius_px=16, axial_fraction=0.5, axial_edge_px=10)
    target = grid.from_volume(truth * mask)
    best: tuple[float, NDArray[np.float64]] = (-1.0, np.zeros(BOX_PX // 2 + 1))
    for flip in (False, True):
        turned = np.roll(volume[::-1, :, ::-1], 1, (0, 2)) if flip else volume
        harmonics = grid.from_volume(np.ascontiguousarray(turned))
        cross = np.einsum("zrm,zrm,r->zm", harmonics.conj(), target, grid.r)
        angle = np.deg2rad(np.arange(0, 360, 1.5))
        height = np.arange(-6, 6, 0.25)
        score = (
            np.exp(2j * np.pi * np.outer(height, grid.z) / BOX_PX)
            @ cross
            @ np.exp(1j * np.outer(grid.orders, angle))
        ).real
        i, j = np.unravel_index(score.argmax(), score.shape)
        phase = (
            grid.orders * angle[j]
            + 2 * np.pi * height[i] / BOX_PX * (grid.z[:, None, None])
        )
        moved = grid.to_volume((harmonics * np.exp(-1j * phase)).astype(np.complex64))
        spectra = [np.fft.rfftn(m * mask) for m in (moved, truth)]
        curve = shell_correlation(spectra[0], spectra[1], len(axis))
        if score.max() > best[0]:
            best = float(score.max()), curve
    return best[1]


def test_map_agrees_with_the_truth(case: _Case, states: list[State]) -> None:
    state = states[-1]
    curve = _best_agreement(state.half_maps.mean(0), case.truth)
    reached = resolution_A(state.fsc.frequency_per_A, curve, threshold=0.5)
    assert reached < 9.5
    # What is reported between halves is not better than what is true.
    assert state.resolution_A > 0.75 * reached
    # The start had none of it.
    start = _best_agreement(states[0].half_maps.mean(0), case.truth)
    assert start[8:14].mean() < 0.5 * curve[8:14].mean()


def test_resolution_and_alignment_band_grow_gradually(states: list[State]) -> None:
    assert states[-1].resolution_A < 9
    bands = np.array([1 / s.align_resolution_A for s in states[1:]])
    assert (bands[1:] / bands[:-1] < 1.5).all()
    assert bands[-1] > 1.5 * bands[0]


def test_history_says_what_was_used(case: _Case, states: list[State]) -> None:
    for number, state in enumerate(states):
        assert state.iteration == number
        assert state.bootstrapping == (number <= 5)
        assert state.half_maps.shape == state.references.shape == (2, *(BOX_PX,) * 3)
        assert state.half_maps.dtype == np.float32
        assert np.isfinite(state.half_maps).all()
        # Boxes lie two rises apart, also while the rise is 1 % off.
        assert state.symmetry_order == 2
        assert state.seconds
    assert np.isnan(states[0].poses.psi_deg).all()
    for state in states[1:]:
        for field in dataclasses.fields(state.poses):
            assert np.isfinite(getattr(state.poses, field.name)).all(), field.name
        assert state.cells_per_image > 0


def test_halves_hold_whole_filaments(case: _Case, states: list[State]) -> None:
    half = states[0].survey.half
    for filament in range(case.particles.n_filaments):
        assert len(set(half[case.particles.filament == filament])) == 1
    assert set(half) == {0, 1}


def test_halves_share_a_reference_only_while_bootstrapping(states: list[State]) -> None:
    for state in states:
        first, second = state.references
        assert np.array_equal(first, second) == state.bootstrapping
        assert not np.array_equal(*state.half_maps)


def _arrays(state: State) -> dict[str, NDArray]:
    found = {}
    for owner in (state, state.survey, state.poses, state.fsc):
        for field in dataclasses.fields(owner):
            value = getattr(owner, field.name)
            if isinstance(value, np.ndarray | float | int):
                found[f"{type(owner).__name__}.{field.name}"] = np.asarray(value)
    return found


def _same(first: State, second: State) -> list[str]:
    """Names of the arrays that differ."""
    a, b = _arrays(first), _arrays(second)
    return [name for name in a if not np.array_equal(a[name], b[name], equal_nan=True)]


def test_the_same_seed_gives_the_same_result(case: _Case, states: list[State]) -> None:
    again = initial_state(case.particles, PARAMETERS, BACKEND, 1, _silent)
    assert not _same(again, states[0])
    assert not _same(_next(again, case.particles), states[1])
    other = initial_state(case.particles, PARAMETERS, BACKEND, 2, _silent)
    assert "State.half_maps" in _same(other, states[0])


def test_a_step_changes_nothing_it_was_given(case: _Case, states: list[State]) -> None:
    before = copy.deepcopy(states[6])
    frozen = copy.deepcopy(states[6])
    for value in _arrays(frozen).values():
        value.setflags(write=False)
    for owner in (frozen, frozen.survey, frozen.poses, frozen.fsc):
        for field in dataclasses.fields(owner):
            value = getattr(owner, field.name)
            if isinstance(value, np.ndarray):
                value.setflags(write=False)
    after = _next(frozen, case.particles)
    assert not _same(frozen, before)
    # Resuming from a copy is the same as going on.
    assert not _same(after, states[7])


def test_progress_is_told_and_may_interrupt(case: _Case, states: list[State]) -> None:
    told: list[tuple[str, int, int]] = []
    step(
        states[0],
        case.particles,
        PARAMETERS,
        BACKEND,
        lambda *event: told.append(event),
    )
    aligned = [done for stage, done, _ in told if stage == "align"]
    assert aligned
    assert all(0 <= done <= total for _, done, total in told)

    def stop(stage: str, done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        step(states[0], case.particles, PARAMETERS, BACKEND, stop)


def test_parameters_of_the_step_are_obeyed(case: _Case, states: list[State]) -> None:
    state = states[6]
    changed = PARAMETERS.changed(
        search_symmetry=False,
        symmetry_order=1,
        max_align_resolution_A=14.0,
        coherence=False,
    )
    after = step(state, case.particles, changed, BACKEND, _silent)
    assert after.scores is None
    assert after.symmetry == changed.symmetry
    assert after.symmetry_order == 1
    # To the whole Fourier pixel.
    assert 1 / after.align_resolution_A <= 1 / 14.0 + 1 / (BOX_PX * PIXEL_A)
    assert after.parameters == changed


# --- regularisation and masks -------------------------------------------------------


@pytest.fixture(scope="module")
def plain(case: _Case, states: list[State]) -> State:
    """One iteration after the bootstrap, without anything optional."""
    return step(states[6], case.particles, PARAMETERS, BACKEND, _silent)


def test_local_filter_changes_references_and_nothing_that_is_measured(
    case: _Case, states: list[State], plain: State
) -> None:
    changed = PARAMETERS.changed(nonuniform=True, nonuniform_start_A=20.0)
    after = step(states[6], case.particles, changed, BACKEND, _silent)
    assert _same(after, plain) == ["State.references"]
    first, second = after.references
    assert not np.array_equal(first, second)
    # A low-pass filter only takes away.
    power = [float((s.references**2).sum()) for s in (after, plain)]
    assert 0.5 * power[1] < power[0] < power[1]


def test_local_filter_waits_for_its_resolution(
    case: _Case, states: list[State], plain: State
) -> None:
    start = 0.9 * plain.resolution_A
    changed = PARAMETERS.changed(nonuniform=True, nonuniform_start_A=start)
    after = step(states[6], case.particles, changed, BACKEND, _silent)
    assert not _same(after, plain)


def test_without_noise_substitution_the_unmasked_curve_decides(
    case: _Case, states: list[State], plain: State
) -> None:
    assert plain.fsc.substitution is not None
    changed = PARAMETERS.changed(noise_substitution=False, split_resolution_A=12.0)
    after = step(states[6], case.particles, changed, BACKEND, _silent)
    assert after.fsc.substitution is None
    np.testing.assert_array_equal(after.fsc.unmasked, plain.fsc.unmasked)
    split = int(BOX_PX * PIXEL_A / changed.split_resolution_A)
    frequency = after.fsc.frequency_per_A
    expected = resolution_A(frequency, after.fsc.unmasked, from_shell=split)
    assert after.resolution_A == expected != plain.resolution_A
    # References share what lies below the split, here moved from 20 A to 12 A.
    between = slice(int(BOX_PX * PIXEL_A / 18), int(BOX_PX * PIXEL_A / 12.5))
    agreement = [
        shell_correlation(*(np.fft.rfftn(m) for m in s.references), BOX_PX)[between]
        for s in (plain, after)
    ]
    assert agreement[0].max() < agreement[1].min()
    assert agreement[1].min() > 0.99


def test_density_outside_a_static_mask_is_not_aligned_to(
    case: _Case, states: list[State]
) -> None:
    """From the first iteration on; a mask of ones leaves everything as it is."""
    changed = PARAMETERS.changed(mask="static")
    ones = np.ones((BOX_PX,) * 3, np.float32)
    half = cylinder(BOX_PX, outer_radius_px=4, axial_fraction=0.5)
    used = (states[0], case.particles)
    whole = step(*used, changed, BACKEND, _silent, ones)
    cut = step(*used, changed, BACKEND, _silent, half)
    turn = (whole.poses.azimuth_deg - states[1].poses.azimuth_deg + 180) % 360 - 180
    assert np.median(np.abs(turn)) < 2
    assert cut.poses.log_evidence.mean() < whole.poses.log_evidence.mean()


def test_clipped_references_explain_less(case: _Case, states: list[State]) -> None:
    changed = PARAMETERS.changed(mask_z_fraction=0.4)
    short = step(states[6], case.particles, changed, BACKEND, _silent)
    evidence = states[7].poses.log_evidence
    assert short.poses.log_evidence.mean() < evidence.mean()


def test_real_space_symmetry_can_be_left_out_once_structure_has_grown() -> None:
    on, off = (PARAMETERS.changed(real_space_symmetry_A=x) for x in (8.0, 0.0))
    assert reference_reach(on, 30, bootstrapping=False, regrown=True) is None
    assert reference_reach(on, 30, bootstrapping=False, regrown=False) == 15
    assert reference_reach(off, 30, bootstrapping=False, regrown=False) == 0
    assert reference_reach(off, 2, bootstrapping=True, regrown=False) == 10


@pytest.mark.parametrize(
    ("start_A", "resolution_A", "search", "moved_deg", "expected"),
    [
        (8.0, 7.0, True, 0.0, True),
        (0.0, 7.0, True, 0.0, False),  # never
        (6.0, 7.0, True, 0.0, False),  # not yet
        (8.0, 7.0, True, 2.0, False),  # the twist is still moving
        (8.0, 7.0, False, 2.0, True),  # nobody moves it
    ],
)
def test_references_are_regrown_from_a_resolution_on(
    case: _Case,
    states: list[State],
    start_A: float,
    resolution_A: float,
    search: bool,
    moved_deg: float,
    expected: bool,
) -> None:
    found = states[7].symmetry
    used = states[7].parameters.changed(
        twist_deg=found.twist_deg - moved_deg, rise_A=found.rise_A
    )
    before = dataclasses.replace(
        states[7], resolution_A=resolution_A, parameters=used, regrown=False
    )
    now = used.changed(real_space_symmetry_A=start_A, search_symmetry=search)
    job = Job(case.particles, now, BACKEND, _silent, Stopwatch())
    assert _may_regrow(job, before) is expected


def test_shifts_that_go_with_azimuth_are_undone_once(
    case: _Case, states: list[State], monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the end of the bootstrap, in the references: later it may be the picker's."""
    pattern = {3: 0.8 + 0.5j}
    monkeypatch.setattr(refinement, "shift_pattern", lambda *_: pattern)
    last = PARAMETERS.bootstrap_iterations
    for before in (last - 2, last - 1, last):
        again = _next(states[before], case.particles)
        expected = states[before + 1].references
        if before == last - 1:
            expected = without_pattern(expected, pattern)
        np.testing.assert_allclose(again.references, expected, atol=1e-6)
        np.testing.assert_array_equal(again.half_maps, states[before + 1].half_maps)
