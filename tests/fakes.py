"""A refinement that costs nothing and does what a test tells it to."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from helixnb.iteration.state import State
from helixnb.parameters import Parameters
from helixnb.symmetry import HelicalSymmetry

TIMEOUT_S = 20


class FakeRefinement:
    """Stands in for the two functions of the refinement; counts, blocks and fails.

    Each step turns the twist it is given by 0.25 degrees, so that states follow from
    their predecessors and parameters.
    """

    def __init__(self, template: State) -> None:
        self.template = template
        self.used: list[Parameters] = []
        self.converge_at = 10_000
        self.flags: tuple[str, ...] = ()
        self.before: Callable[[int], None] = lambda iteration: None

    def initial_state(
        self,
        particles: Any,
        parameters: Parameters,
        backend: Any,
        seed: int,
        progress: Any,
        initial_map: Any,
    ) -> State:
        progress("initial density", 1, 1)
        return replace(
            self.template,
            iteration=0,
            seed=seed,
            parameters=parameters,
            symmetry=parameters.symmetry,
            seconds={"survey": 7.0},
        )

    def step(
        self,
        state: State,
        particles: Any,
        parameters: Parameters,
        backend: Any,
        progress: Any,
        static_mask: Any,
    ) -> State:
        iteration = state.iteration + 1
        progress("alignment", 3, 12)
        self.before(iteration)
        self.used.append(parameters)
        rng = np.random.default_rng([state.seed, iteration])
        return replace(
            state,
            iteration=iteration,
            parameters=parameters,
            symmetry=HelicalSymmetry(parameters.twist_deg + 0.25, parameters.rise_A),
            half_maps=state.half_maps + rng.standard_normal(1, np.float32),
            resolution_A=np.float64(20 / iteration),
            passes_left=0 if iteration >= self.converge_at else None,
            flags=self.flags,
            seconds={"alignment": 1.5},
        )


class Gate:
    """Holds the refinement inside an iteration until opened."""

    def __init__(self) -> None:
        self.reached = threading.Event()
        self._open = threading.Event()

    def __call__(self, iteration: int) -> None:
        self.reached.set()
        assert self._open.wait(TIMEOUT_S)

    def open(self) -> None:
        self._open.set()
