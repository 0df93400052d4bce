"""Several starts: how many, and that the best by its evidence is taken."""

from __future__ import annotations

from dataclasses import replace
from itertools import count
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from helixnb.backend import get_backend
from helixnb.iteration import starts
from helixnb.iteration.job import Job
from helixnb.iteration.starts import FEW_IMAGES, TRIALS, best_start, number_of_starts
from helixnb.iteration.state import State
from helixnb.parameters import Parameters
from helixnb.progress import Stopwatch
from helixnb.session.foreword import foreword
from tests.standins import standin_state

BOX = standin_state(0).half_maps.shape[-1]


class _Particles(SimpleNamespace):
    box_px = BOX
    pixel_size_A = 3.0

    def __len__(self) -> int:
        return int(self.n)


def _job(n: int, progress: Any = lambda *_: None, **values: Any) -> Job:
    settings = {"twist_deg": -60.0, "rise_A": 14.0, "bootstrap_iterations": 2} | values
    return Job(
        _Particles(n=n),  # type: ignore[arg-type]
        Parameters(**settings),
        get_backend("cpu"),
        progress,
        Stopwatch(),
    )


def test_sets_that_are_not_safe_are_tried_several_times() -> None:
    plain = Parameters(twist_deg=-60.0, rise_A=14.0)
    assert number_of_starts(plain, FEW_IMAGES) == 1
    assert number_of_starts(plain, FEW_IMAGES - 1) == TRIALS
    assert number_of_starts(plain.changed(point_group="D1"), 50_000) == TRIALS
    assert number_of_starts(plain.changed(starts=5), 50_000) == 5
    assert number_of_starts(plain.changed(starts=1), 10) == 1
    assert number_of_starts(plain.changed(bootstrap_iterations=0), 10) == 1
    assert number_of_starts(plain, 10, given_map=True) == 1
    cylinder = plain.changed(cylindrical_model=True, outer_diameter_A=90.0)
    assert number_of_starts(cylinder, 10) == 1


@pytest.mark.parametrize("best", [0, 1, 2])
def test_the_start_with_the_highest_evidence_is_taken(
    best: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[Parameters] = []

    def step(state: State, particles: Any, parameters: Parameters, *rest: Any) -> State:
        steps.append(parameters)
        rest[1]("align", 1, 2)
        number = float(state.half_maps.flat[0]) % 10
        poses = standin_state(3).poses
        evidence = np.where(number == best, 9.0, number) + 0 * poses.log_evidence
        return replace(
            state,
            iteration=state.iteration + 1,
            half_maps=state.half_maps + 10,
            references=state.half_maps + 100,
            poses=replace(poses, log_evidence=evidence),
            used=np.ones(len(evidence), bool),
        )

    monkeypatch.setattr(starts, "step", step)
    told: list[str] = []
    job = _job(300, lambda stage, *_: told.append(stage), search_symmetry=True)
    begun = standin_state(0)
    densities = (np.full_like(begun.half_maps, float(n)) for n in count())
    state = best_start(job, begun, densities, 3)
    assert len(steps) == 3 * 2
    assert not any(parameters.search_symmetry for parameters in steps)
    # Two iterations on, from the density of the best start.
    assert float(state.half_maps.flat[0]) == best + 20
    assert state.iteration == 0
    assert np.isnan(state.poses.log_evidence).all()
    assert [t.split(":")[0] for t in told] == [
        f"start {n} of 3, iteration {i} of 2" for n in (1, 2, 3) for i in (1, 2)
    ]


def test_it_is_said_beforehand_that_the_first_step_takes_longer() -> None:
    plain = Parameters(twist_deg=-60.0, rise_A=14.0)
    [note] = foreword(plain, FEW_IMAGES - 1, given_map=False)
    assert f"tries {TRIALS} starts" in note
    assert foreword(plain, FEW_IMAGES, given_map=False) == []
    assert foreword(plain, 10, given_map=True) == []


def test_an_asymmetric_refinement_from_nothing_is_warned_of() -> None:
    [note] = foreword(Parameters(), FEW_IMAGES, given_map=False)
    assert "impose_symmetry=False" in note
    assert foreword(Parameters(), FEW_IMAGES, given_map=True) == []
