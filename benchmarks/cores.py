"""How busy the cores are while images are aligned, and over whole iterations.

    python benchmarks/cores.py PARTICLES --twist DEG --rise A [--iterations 13]

Printed for each iteration: CPU time over wall time and number of cores, of the pass
over the particles (reading, E- and M-step of both halves) and of all of it. Only a
machine that does nothing else gives figures that mean something; its load is printed.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any
from unittest.mock import patch

from helixnb import benchmark
from helixnb.backend import get_backend
from helixnb.iteration import alignment
from helixnb.parameters import Parameters
from helixnb.particles import ParticleSet


class Timed:
    """A function with the wall and CPU time of its last call."""

    def __init__(self, function: Any) -> None:
        """Wrap it."""
        self.function = function
        self.wall_s = self.cpu_s = 0.0

    def __call__(self, *args: Any, **options: Any) -> Any:
        """Call it."""
        wall, cpu = time.perf_counter(), time.process_time()
        result = self.function(*args, **options)
        self.wall_s = time.perf_counter() - wall
        self.cpu_s = time.process_time() - cpu
        return result


def main() -> None:
    """Refine and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("particles", type=Path)
    parser.add_argument("--twist", type=float, required=True, help="degrees")
    parser.add_argument("--rise", type=float, required=True, help="A")
    parser.add_argument("--iterations", type=int, default=13)
    args = parser.parse_args()
    particles = ParticleSet.from_file(args.particles)
    parameters = Parameters(twist_deg=args.twist, rise_A=args.rise)
    backend, cores = get_backend("cpu"), benchmark.n_cores()
    print(f"{cores} cores, load {benchmark.load_average():.1f}")
    print("  #   to A  pass s  busy  all s  busy")
    state = benchmark.start(particles, parameters, backend)
    for _ in range(args.iterations):
        aligned = Timed(alignment.align_halves)
        with patch.object(alignment, "align_halves", aligned):
            state, cost = benchmark.measured_step(state, particles, parameters, backend)
        print(
            f"{cost.iteration:>3} {cost.align_resolution_A:>6.2f} "
            f"{aligned.wall_s:>7.2f} {aligned.cpu_s / aligned.wall_s / cores:>5.0%} "
            f"{cost.wall_s:>6.2f} {cost.cpu_s / cost.wall_s / cores:>5.0%}",
            flush=True,
        )


if __name__ == "__main__":
    main()
