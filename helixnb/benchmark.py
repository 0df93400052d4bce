"""What an iteration costs: time by stage, throughput, and what the machine could do.

CPU time is measured beside wall time, so that figures also mean something on a machine
that does other work: CPU time over the number of cores is what an iteration takes at
best when nothing else runs.
"""

from __future__ import annotations

import cProfile
import os
import platform
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import CodeType
from typing import TypeVar

import numpy as np
from threadpoolctl import threadpool_limits

from helixnb.backend import Backend
from helixnb.backend.cpu import CPU
from helixnb.backend.loops import Loops
from helixnb.core import coherence, images, maximization
from helixnb.core.pooling import Pooling
from helixnb.iteration import refinement
from helixnb.iteration.initial import initial_state
from helixnb.iteration.state import State
from helixnb.parameters import Parameters
from helixnb.particles import ParticleSet
from helixnb.progress import Stopwatch

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")

_MATMUL_SIZE = 1024
_MATMUL_SECONDS = 0.5

STAGES = {
    "read": ("read",),
    "rotate": ("transform", "rotate"),
    "fan": ("fan", "mask"),
    "E-step": ("E-step",),
    "M-step": ("M-step",),
    "symmetrise": ("symmetrise",),
    "reconstruct": ("reconstruct", "references"),
    "FSC": ("FSC",),
    "search": ("symmetry search", "symmetry check"),
}
"""Columns of the table of stages, and the stages of the clock that they add up."""

PARTS: dict[str, tuple[Callable[..., object], ...]] = {
    "read images": (ParticleSet.read,),
    "transform images": (images.normalise, images.padded_transforms),
    "turn images, CTF": (CPU.filament_frames,),
    "products: rows of the reference": (Loops.shifted_products, Loops.real_rows),
    "products: axial shifts, azimuths": (Pooling.waves,),
    "write score tables": (CPU.unfold_azimuths,),
    "exponentials": (CPU.exponentiate,),
    "sums over tables": (CPU.weigh_tables, CPU.group_sums, CPU.weighted_tables),
    "filament coherence": (coherence.filament_messages,),
    "M-step: products": (maximization.fan_sums,),
    "M-step: scatter": (CPU.scatter_fan,),
}
"""Functions, none of which calls another, that share out the time of a step."""


@dataclass(frozen=True)
class StepCost:
    """What one iteration took.

    Parameters
    ----------
    iteration : int
    align_resolution_A, resolution_A : float
        Finest resolution of the alignment, and what the iteration reached.
    n_images : int
        Images of the iteration.
    poses, flops : int
        Poses scored, and floating-point operations of the matrix products in that.
    wall_s, cpu_s : float
        Time of the whole iteration.
    stages : dict of str to float
        CPU seconds of each of `STAGES`, and of "other".
    """

    iteration: int
    align_resolution_A: float
    resolution_A: float
    n_images: int
    poses: int
    flops: int
    wall_s: float
    cpu_s: float
    stages: dict[str, float]


def processor_name() -> str:
    """Model of the processor, as the operating system names it."""
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def n_cores() -> int:
    """Processor cores this process may use."""
    return CPU().workers


def matmul_rate() -> float:
    """Floating-point operations a second of one core in float32 matrix products."""
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((2, _MATMUL_SIZE, _MATMUL_SIZE), np.float32)
    out, best, begun = a @ b, np.inf, time.thread_time()
    with threadpool_limits(1):
        while time.thread_time() < begun + _MATMUL_SECONDS:
            start = time.thread_time()
            np.matmul(a, b, out=out)
            best = min(best, time.thread_time() - start)
    return float(2 * _MATMUL_SIZE**3 / best)


def _silent(stage: str, done: int, total: int) -> None:
    """Take no notice of progress."""


def start(particles: ParticleSet, parameters: Parameters, backend: Backend) -> State:
    """Make the state before the first iteration.

    Parameters
    ----------
    particles : ParticleSet
        The images.
    parameters : Parameters
        Of the refinement.
    backend : Backend
        Where it runs.

    Returns
    -------
    State
    """
    return initial_state(particles, parameters, backend, 0, _silent)


def measured_step(
    state: State, particles: ParticleSet, parameters: Parameters, backend: Backend
) -> tuple[State, StepCost]:
    """Run one iteration and measure it.

    Parameters
    ----------
    state : State
        From `start` or an earlier step.
    particles : ParticleSet
        The images.
    parameters : Parameters
        Of the refinement.
    backend : Backend
        Where it runs.

    Returns
    -------
    State
    StepCost
    """
    clock = Stopwatch()
    wall, cpu = time.perf_counter(), time.process_time()
    after = refinement.step(state, particles, parameters, backend, _silent, clock=clock)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    used = clock.cpu_seconds
    stages = {
        name: sum(used.get(part, 0.0) for part in parts)
        for name, parts in STAGES.items()
    }
    stages["other"] = cpu - sum(stages.values())
    cost = StepCost(
        iteration=after.iteration,
        align_resolution_A=after.align_resolution_A,
        resolution_A=after.resolution_A,
        n_images=int(after.used.sum()),
        poses=clock.counts["poses"],
        flops=clock.counts["flops"],
        wall_s=wall,
        cpu_s=cpu,
        stages=stages,
    )
    return after, cost


class _OneThread(CPU):
    """The CPU backend with everything in the calling thread, for a profiler."""

    def map(
        self,
        function: Callable[[_Item], _Result],
        items: Iterable[_Item],
        halve: Callable[[_Item], list[_Item]] | None = None,
    ) -> Iterator[_Result]:
        """Apply a function to items, one after the other."""
        with threadpool_limits(1):
            for item in items:
                yield function(item)


def parts_of_step(
    state: State, particles: ParticleSet, parameters: Parameters
) -> dict[str, float]:
    """CPU seconds of an iteration by what is computed, from a run in one thread.

    Parameters
    ----------
    state : State
        The state before the iteration.
    particles : ParticleSet
        The images.
    parameters : Parameters
        Of the refinement.

    Returns
    -------
    dict of str to float
        Seconds of each of `PARTS` and of "everything else".
    """
    profile = cProfile.Profile(time.process_time)
    profile.runcall(
        refinement.step, state, particles, parameters, _OneThread(), _silent
    )
    spent: dict[CodeType | str, float] = {}
    total = 0.0
    for entry in profile.getstats():
        spent[entry.code] = entry.totaltime
        total += entry.inlinetime
    parts = {
        name: sum(spent.get(function.__code__, 0.0) for function in functions)
        for name, functions in PARTS.items()
    }
    parts["everything else"] = total - sum(parts.values())
    return parts


def load_average() -> float:
    """Mean number of running processes of the last minute; nan where unknown."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
