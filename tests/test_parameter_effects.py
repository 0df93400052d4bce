"""Every parameter does something: changed alone, it changes what it is there for.

A small set is refined for an iteration with and without the change; what is looked at
is the nearest result that the parameter is said to act on. That it acts in the right
way is tested with the module that uses it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest

from helixnb.backend import get_backend
from helixnb.densities import sharpened_map
from helixnb.iteration.initial import initial_state
from helixnb.iteration.refinement import step
from helixnb.iteration.state import State
from helixnb.parameters import Parameters, field_names
from helixnb.particles import ParticleSet
from helixnb.session.iterating import finished
from helixnb.session.timeline import Moment, Timeline
from helixnb.simulate import Filaments, Microscope, simulate_segments
from helixnb.symmetry import HelicalSymmetry

PIXEL_A = 3.5
BASE: dict[str, Any] = {
    "twist_deg": 65.0,
    "rise_A": 9.0,
    "outer_diameter_A": 60.0,
    "bootstrap_iterations": 1,
    "starts": 1,
    "search_start_A": 30.0,
    "search_twist_points": 16,
    "search_rise_points": 16,
}
MATURE_A = 9.0
"""Resolution that a mature state is said to have."""


@dataclass(frozen=True)
class Effect:
    """What a parameter acts on.

    Parameters
    ----------
    value : object
        To change it to.
    look : callable
        Result that must change.
    start : str
        "begin" before the initial density, "first" after it, "mature" two iterations
        later.
    base : dict
        Other parameters that it needs.
    """

    value: Any
    look: Callable[[State], Any]
    start: str = "first"
    base: dict[str, Any] = field(default_factory=dict)


def _poses(state: State) -> Any:
    return state.poses.log_evidence


def _maps(state: State) -> Any:
    return state.half_maps


def _references(state: State) -> Any:
    return state.references


def _grid(state: State) -> Any:
    assert state.scores is not None
    joint = state.scores.joint
    return np.r_[joint.twist_deg[[0, -1]], joint.rise_A[[0, -1]], joint.score.shape]


def _scores(state: State) -> Any:
    assert state.scores is not None
    return state.scores.joint.score


def _searched(state: State) -> Any:
    return state.scores is None


def _ended(state: State) -> Any:
    """Whether a run would stop after this state."""
    now = Moment(state.parameters, states=(state,))
    return finished(Timeline(now, 2), 1, None, again=False)


DYNAMIC = {"mask": "dynamic", "mask_start_A": 15.0}
EFFECTS = {
    "twist_deg": Effect(66.5, _maps),
    "rise_A": Effect(9.3, _maps),
    "point_group": Effect("C2", _maps),
    "impose_symmetry": Effect(
        False, lambda s: s.symmetry is None, base={"bootstrap_iterations": 1}
    ),
    "symmetry_order": Effect(1, _maps),
    "real_space_symmetry_A": Effect(
        20.0, lambda s: s.regrown, "mature", {"search_symmetry": False}
    ),
    "limit_shifts": Effect("never", lambda s: s.poses.axial_px),
    "axial_range_A": Effect(
        30.0, lambda s: s.poses.axial_px, base={"limit_shifts": "never"}
    ),
    "search_symmetry": Effect(False, _searched),
    "search_start_A": Effect(3.0, _searched),
    "twist_extent_deg": Effect(2.0, _grid),
    "rise_extent_percent": Effect(5.0, _grid),
    "search_twist_points": Effect(24, _grid),
    "search_rise_points": Effect(24, _grid),
    "recentre_search": Effect(True, _grid, "mature"),
    "search_resolution_A": Effect(28.0, _scores),
    "search_outer_diameter_A": Effect(40.0, _scores),
    "search_inner_diameter_A": Effect(15.0, _scores),
    "outer_diameter_A": Effect(50.0, _references, "begin"),
    "inner_diameter_A": Effect(15.0, _references, "begin"),
    "initial_lowpass_A": Effect(30.0, _maps, "begin"),
    "initial_images": Effect(12, _maps, "begin"),
    "bootstrap_iterations": Effect(0, lambda s: s.bootstrapping),
    "starts": Effect(2, _references, "begin"),
    "cylindrical_model": Effect(True, _maps, "begin"),
    "max_tilt_deg": Effect(1.0, lambda s: np.abs(s.poses.tilt_deg - 90).max()),
    "tilt_sd_deg": Effect(1.0, _poses),
    "psi_sd_deg": Effect(0.5, _poses),
    "shift_sd_A": Effect(1.0, _poses),
    "max_align_resolution_A": Effect(20.0, lambda s: s.align_resolution_A),
    "coherence": Effect(False, lambda s: s.poses.polarity_probability),
    "picking_sd_A": Effect(12.0, _poses),
    "drift_deg": Effect(60.0, _poses),
    "filament_averaging_A": Effect(0.0, _poses, "mature"),
    "particle_scale": Effect(False, _maps, "mature"),
    "mask": Effect("dynamic", _poses, "mature", {"mask_start_A": 15.0}),
    "mask_threshold": Effect(0.8, _poses, "mature", DYNAMIC),
    "mask_near_A": Effect(1.0, _poses, "mature", DYNAMIC),
    "mask_far_A": Effect(30.0, _poses, "mature", DYNAMIC),
    "mask_start_A": Effect(4.0, _poses, "mature", DYNAMIC),
    "mask_z_fraction": Effect(0.5, _poses),
    "fsc_z_fraction": Effect(0.4, lambda s: s.fsc.cylinder),
    "nonuniform": Effect(
        True,
        _references,
        "mature",
        {"nonuniform_start_A": 20.0, "split_resolution_A": 18.0},
    ),
    "nonuniform_start_A": Effect(
        20.0, _references, "mature", {"nonuniform": True, "split_resolution_A": 18.0}
    ),
    "b_factor_A2": Effect(90.0, lambda s: sharpened_map(s, PIXEL_A).to_numpy()),
    "split_resolution_A": Effect(12.0, _references, "mature"),
    "noise_substitution": Effect(False, lambda s: s.fsc.reported),
    "max_iterations": Effect(1, _ended),
    "max_low_resolution_iterations": Effect(
        2, lambda s: s.ended, "mature", {"max_align_resolution_A": 20.0}
    ),
    "extra_passes": Effect(
        2,
        lambda s: s.passes_left,
        "mature",
        {"max_align_resolution_A": 20.0, "max_low_resolution_iterations": 2},
    ),
    "batch_images": Effect(20, lambda s: s.used.sum()),
}


class Bench:
    """Runs iterations of one small data set, each state only once."""

    def __init__(self, particles: ParticleSet) -> None:
        self.particles = particles
        self.backend = get_backend("cpu")
        self._begun: dict[str, State] = {}

    def begin(self, **values: Any) -> State:
        key = repr(sorted(values.items()))
        if key not in self._begun:
            self._begun[key] = initial_state(
                self.particles, Parameters(**(BASE | values)), self.backend, 1, _silent
            )
        return self._begun[key]

    def step(self, state: State, values: dict[str, Any]) -> State:
        parameters = Parameters(**(BASE | values))
        return step(state, self.particles, parameters, self.backend, _silent)

    def mature(self) -> State:
        """State after which everything that waits for a resolution has begun."""
        if "mature" not in self._begun:
            state = self.step(self.step(self.begin(), {}), {})
            self._begun["mature"] = replace(
                state,
                resolution_A=MATURE_A,
                next_align_resolution_A=MATURE_A,
                symmetry=state.parameters.symmetry,
                estimate=HelicalSymmetry(64.0, 9.0),
                poses=replace(
                    state.poses, scale=np.linspace(0.5, 1.5, len(self.particles))
                ),
            )
        return self._begun["mature"]


def _silent(stage: str, done: int, total: int) -> None:
    """Nothing to tell."""


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    data = simulate_segments(
        tmp_path_factory.mktemp("effects"),
        twist_deg=65.0,
        rise_A=9.0,
        box_px=36,
        pixel_size_A=PIXEL_A,
        filaments=Filaments(n_filaments=6, segments_per_filament=7, inter_box_A=18.0),
        microscope=Microscope(snr=0.5),
        seed=3,
    )
    return Bench(ParticleSet.from_star(data.particles_star))


def _result(bench: Bench, effect: Effect, values: dict[str, Any]) -> Any:
    if effect.start == "begin":
        return effect.look(bench.begin(**values))
    start = bench.begin() if effect.start == "first" else bench.mature()
    return effect.look(bench.step(start, values))


def test_all_parameters_are_here() -> None:
    assert set(EFFECTS) == set(field_names())


@pytest.mark.parametrize("name", EFFECTS)
def test_a_change_has_an_effect(name: str, bench: Bench) -> None:
    effect = EFFECTS[name]
    without = _result(bench, effect, effect.base)
    again = _result(bench, effect, effect.base | {name: effect.value})
    assert not np.array_equal(without, again)
