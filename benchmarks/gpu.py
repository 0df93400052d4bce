"""What a GPU gains: parity with the CPU, and an iteration by stage on both.

    python benchmarks/gpu.py

runs the tests that need a GPU, simulates segments, refines them for some iterations,
and computes the next one on either device from the same state. It prints a table in
Markdown, with the floor that arithmetic and memory set: the matrix products that were
counted at the rate of large products of the device, or what is moved at its rate of
copying, whichever takes longer. In the E-step that are the tables of poses, five times
(written, exponentiated in place, pooled, weighed), in the
M-step weights, their transforms and the frames of the poses kept. For reading it is the
images at the rate of sending them.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from helixnb.backend import Backend, get_backend
from helixnb.benchmark import matmul_rate, n_cores, processor_name
from helixnb.errors import InputError
from helixnb.iteration import refinement
from helixnb.iteration.initial import initial_state
from helixnb.iteration.state import State
from helixnb.parameters import Parameters
from helixnb.particles import ParticleSet
from helixnb.progress import Stopwatch
from helixnb.simulate import Filaments, Microscope, simulate_segments

TWIST_DEG, RISE_A = -27.0, 12.0
SEGMENTS_PER_FILAMENT = 20
TABLE_PASSES = 5
PARITY = (
    "tests/test_cuda_kernels.py",
    "tests/test_device_maps.py",
    "tests/test_gpu.py",
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    add = parser.add_argument
    add("--device", default="cuda", help="compared with the CPU (%(default)s)")
    add("--images", type=int, default=2000, help="simulated (%(default)s)")
    add("--box", type=int, default=128, help="pixels (%(default)s)")
    add("--pixel-size", type=float, default=2.0, help="Angstrom (%(default)s)")
    add("--iterations", type=int, default=5, help="before the one that is timed")
    add("--no-parity", action="store_true", help="time only")
    args = parser.parse_args()
    try:
        device = get_backend(args.device)
    except InputError as error:
        print(error, file=sys.stderr)
        return 1
    failed = 0 if args.no_parity else run_parity()
    with tempfile.TemporaryDirectory() as folder:
        particles = simulated(args, Path(folder))
        compare(particles, device, args.iterations)
    return failed


def run_parity() -> int:
    """Run the tests that need a GPU; what they print is their report."""
    root = Path(__file__).resolve().parent.parent
    command = [sys.executable, "-m", "pytest", "-q", "-m", "gpu", *PARITY]
    return subprocess.run(command, cwd=root, check=False).returncode


def simulated(args: argparse.Namespace, folder: Path) -> ParticleSet:
    data = simulate_segments(
        folder / "data",
        twist_deg=TWIST_DEG,
        rise_A=RISE_A,
        box_px=args.box,
        pixel_size_A=args.pixel_size,
        filaments=Filaments(
            n_filaments=max(2, args.images // SEGMENTS_PER_FILAMENT),
            segments_per_filament=SEGMENTS_PER_FILAMENT,
            inter_box_A=40.0,
        ),
        microscope=Microscope(snr=0.1),
    )
    return ParticleSet.from_file(data.particles_star)


def compare(particles: ParticleSet, device: Backend, iterations: int) -> None:
    """Print the table of one iteration on both devices."""
    # A small set would be begun several times, which is not what is timed.
    parameters = Parameters(twist_deg=TWIST_DEG, rise_A=RISE_A, starts=1)
    host = get_backend("cpu")
    state = initial_state(particles, parameters, device, 0, _silent)
    for _ in range(iterations):
        state = refinement.step(state, particles, parameters, device, _silent)
    for backend in (device, host):  # plans and kernels are made here
        step(state, particles, parameters, backend)
    on_device, clock, wall = step(state, particles, parameters, device)
    on_host, host_clock, host_wall = step(state, particles, parameters, host)
    cores = n_cores()
    print(f"\nCPU: {processor_name()}, {cores} cores. Device: {device.description}.")
    print(
        f"{len(particles):,} segments of {particles.box_px} px, aligned to "
        f"{on_host.align_resolution_A:.1f} A, {clock.counts['poses'] / 1e9:.2f} "
        "thousand million poses.\n"
    )
    with device.active():
        floors = floor_seconds(device, clock, int(on_host.used.sum()), particles.box_px)
    print("| stage | CPU, core s / cores | device, s | floor, s |\n|---|---|---|---|")
    for stage in sorted(clock.seconds, key=lambda name: -clock.seconds[name]):
        before = host_clock.cpu_seconds.get(stage, 0.0) / cores
        floor = f"{floors[stage]:.2g}" if stage in floors else ""
        print(f"| {stage} | {before:.3f} | {clock.seconds[stage]:.3f} | {floor} |")
    print(f"| whole iteration, wall | {host_wall:.3f} | {wall:.3f} | |")
    apart = np.abs(on_device.half_maps - on_host.half_maps).max()
    print(
        "\nStages of chunks run two at a time on the device, so they may add up to "
        f"more than the whole. Largest difference of the half-maps: "
        f"{apart / np.abs(on_host.half_maps).max():.1e} of the maximum."
    )


def step(
    state: State, particles: ParticleSet, parameters: Parameters, backend: Backend
) -> tuple[State, Stopwatch, float]:
    clock = Stopwatch(backend.synchronise)
    start = time.perf_counter()
    after = refinement.step(state, particles, parameters, backend, _silent, clock=clock)
    return after, clock, time.perf_counter() - start


def floor_seconds(
    device: Backend, clock: Stopwatch, n_images: int, box_px: int
) -> dict[str, float]:
    """Least time of the stages that arithmetic or memory bounds."""
    xp = device.xp
    if xp is np:
        rate = matmul_rate() * n_cores()
    else:
        size = 8192
        a = xp.ones((size, size), np.float32)
        rate = 2 * size**3 / seconds_of(lambda: a @ a, device)
    block = np.ones(2**26, np.float32)
    there = xp.asarray(block)
    copied = 2 * block.nbytes / seconds_of(there.copy, device)
    sent = block.nbytes / seconds_of(lambda: device.upload(block).sum(), device)
    print(
        f"Rates of the device: {rate / 1e12:.2f} TFlop/s of float32 products, "
        f"{copied / 1e9:.0f} GB/s copied, {sent / 1e9:.1f} GB/s sent.\n"
    )
    counts = clock.counts
    tables = TABLE_PASSES * 4 * counts["poses"]
    return {
        "E-step": max(counts["flops"] / rate, tables / copied),
        "M-step": max(counts["M-step flops"] / rate, counts["M-step bytes"] / copied),
        "read": n_images * box_px**2 * 4 / sent,
    }


def seconds_of(function: Callable[[], object], device: Backend) -> float:
    """Least time of a function over five calls."""
    best = np.inf
    for _ in range(5):
        device.synchronise()
        start = time.perf_counter()
        function()
        device.synchronise()
        best = min(best, time.perf_counter() - start)
    return float(best)


def _silent(*_: object) -> None:
    pass


if __name__ == "__main__":
    sys.exit(main())
