"""The command `helixnb bench`: what an iteration costs on this machine, and why."""

from __future__ import annotations

import argparse
import json
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from helixnb.commands.options import add_command
from helixnb.errors import InputError
from helixnb.memory import peak_memory_MB

if TYPE_CHECKING:
    from helixnb.benchmark import StepCost
    from helixnb.parameters import Parameters
    from helixnb.particles import ParticleSet

_TWIST_DEG, _RISE_A = -27.0, 12.0
_SEGMENTS_PER_FILAMENT = 20


def add_bench(commands: Any) -> None:
    """Add the command to a parser's subcommands.

    Parameters
    ----------
    commands : argparse subparsers
        Of the program.
    """
    bench = add_command(
        commands,
        "bench",
        "measure what an iteration costs on this machine",
        "Run some iterations of a refinement, of PARTICLES or of simulated "
        "segments, and print their time by stage, poses scored a second, how near that "
        "comes to the machine's rate of matrix products, and what takes the rest.",
        usage="[PARTICLES]",
        example="helixnb bench --images 400",
    )
    add = bench.add_argument
    add("particles", metavar="PARTICLES", type=Path, nargs="?", help="as for refine")
    add("--twist", type=float, metavar="DEG", help="twist of PARTICLES")
    add("--rise", type=float, metavar="A", help="rise of PARTICLES")
    add("--point-group", default="C1", metavar="GROUP", help="Cn or Dn (%(default)s)")
    add("--iterations", type=int, default=3, metavar="N", help="to run (%(default)s)")
    add("--images", type=int, default=400, metavar="N", help="simulated (%(default)s)")
    add("--box", type=int, default=96, metavar="PX", help="simulated (%(default)s)")
    add("--pixel-size", type=float, default=3.0, metavar="A", help="(%(default)s)")
    add("--no-parts", action="store_true", help="do not profile the last iteration")
    add("--json", type=Path, metavar="FILE", help="write the figures here as well")
    bench.set_defaults(command=_bench)


def _bench(args: argparse.Namespace) -> None:
    """Measure and print."""
    if args.iterations < 1:
        raise InputError(f"--iterations must be at least 1, got {args.iterations}.")
    with tempfile.TemporaryDirectory() as folder:
        particles, parameters = _data(args, Path(folder))
        _measure(args, particles, parameters)


def _data(args: argparse.Namespace, folder: Path) -> tuple[ParticleSet, Parameters]:
    """Particles and symmetry as given, or simulated."""
    from helixnb.parameters import Parameters
    from helixnb.particles import ParticleSet
    from helixnb.simulate import Filaments, Microscope, simulate_segments

    if args.particles is not None:
        if args.twist is None or args.rise is None:
            raise InputError("PARTICLES need --twist and --rise.")
        star, twist, rise = args.particles, args.twist, args.rise
    else:
        data = simulate_segments(
            folder,
            twist_deg=_TWIST_DEG,
            rise_A=_RISE_A,
            box_px=args.box,
            pixel_size_A=args.pixel_size,
            filaments=Filaments(
                n_filaments=max(2, args.images // _SEGMENTS_PER_FILAMENT),
                segments_per_filament=_SEGMENTS_PER_FILAMENT,
                inter_box_A=40.0,
            ),
            microscope=Microscope(snr=0.1),
        )
        star, twist, rise = data.particles_star, _TWIST_DEG, _RISE_A
    parameters = Parameters(twist_deg=twist, rise_A=rise, point_group=args.point_group)
    return ParticleSet.from_file(star), parameters


def _measure(
    args: argparse.Namespace, particles: ParticleSet, parameters: Parameters
) -> None:
    from helixnb import benchmark
    from helixnb.backend import get_backend

    backend = get_backend("cpu")
    cores, rate = benchmark.n_cores(), benchmark.matmul_rate()
    print(
        f"machine   {benchmark.processor_name()}, {cores} cores; float32 matrix "
        f"products {rate / 1e9:.0f} GFlop/s a core; load {benchmark.load_average():.1f}"
    )
    print(f"data      {len(particles):,} segments of {particles.box_px} px")
    print("Seconds are CPU seconds of all cores, except wall.\n")
    print(_header(list(benchmark.STAGES)))
    state = benchmark.start(particles, parameters, backend)
    costs = []
    for _ in range(args.iterations):
        before = state
        state, cost = benchmark.measured_step(before, particles, parameters, backend)
        print(_line(cost, rate), flush=True)
        costs.append(cost)
    parts = {}
    if not args.no_parts:
        parts = benchmark.parts_of_step(before, particles, parameters)
        print("\nThe last iteration once more, in one thread under a profiler:")
        total = sum(parts.values())
        for name, seconds in sorted(parts.items(), key=lambda part: -part[1]):
            print(f"  {name:<34} {seconds:>7.2f} s {seconds / total:>6.1%}")
    if (peak := peak_memory_MB()) is not None:
        print(f"\npeak memory {peak:,.0f} MB")
    if args.json:
        row = {
            "machine": benchmark.processor_name(),
            "cores": cores,
            "matmul_flops_per_core": rate,
            "n_images": len(particles),
            "box_px": particles.box_px,
            "steps": [asdict(cost) for cost in costs],
            "parts": parts,
            "peak_memory_MB": peak_memory_MB(),
        }
        args.json.write_text(json.dumps(row, indent=1), encoding="utf-8")


def _header(stages: list[str]) -> str:
    return (
        "  #   to A images    wall     CPU "
        + " ".join(f"{name:>{max(len(name), 6)}}" for name in [*stages, "other"])
        + "  Mposes/s GFlop/s of matmul"
    )


def _line(cost: StepCost, rate: float) -> str:
    """One iteration; rates are a second of the E-step's CPU time, that is, a core."""
    stages = " ".join(
        f"{seconds:>{max(len(name), 6)}.2f}" for name, seconds in cost.stages.items()
    )
    e_step = cost.stages["E-step"]
    return (
        f"{cost.iteration:>3} {cost.align_resolution_A:>6.2f} {cost.n_images:>6} "
        f"{cost.wall_s:>7.2f} {cost.cpu_s:>7.2f} {stages} "
        f"{cost.poses / e_step / 1e6:>9.0f} {cost.flops / e_step / 1e9:>7.1f} "
        f"{cost.flops / e_step / rate:>9.0%}"
    )
