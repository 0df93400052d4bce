"""How time and memory of an iteration grow with images, box and resolution.

    python benchmarks/growth.py [images|box|resolution|asymmetric|large ...]

Segments of a toy filament are simulated once for each box; larger sets repeat them with
fresh noise, as filaments of their own. Every row is one iteration from the true map in
a process of its own, so that its peak memory (resident, in units of 2**20 bytes) is its
own as well. CPU time over the number of cores is what the iteration takes at best;
"busy" is the share of all cores that the E- and M-step used while they ran, which other
work on the machine lowers. `large` makes 20,000 segments of 256 px (5 GB, removed
afterwards) in the folder for temporary files and takes some minutes.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import mrcfile
import numpy as np
import pandas as pd
import starfile

from helixnb.backend.cpu import CPU
from helixnb.benchmark import measured_step, processor_name
from helixnb.iteration.initial import initial_state
from helixnb.memory import peak_memory_MB
from helixnb.parameters import Parameters
from helixnb.particles import ParticleSet
from helixnb.simulate import Filaments, Microscope, simulate_segments

TWIST_DEG, RISE_A = -27.0, 12.0
BOX_A = 320.0
BASE_IMAGES = 400
PER_FILAMENT = 20
BLOCK = 500


def simulate(folder: Path, box: int) -> None:
    """Write the segments that all sets of one box repeat."""
    if (folder / "particles.star").exists():
        return
    simulate_segments(
        folder,
        twist_deg=TWIST_DEG,
        rise_A=RISE_A,
        box_px=box,
        pixel_size_A=BOX_A / box,
        filaments=Filaments(
            n_filaments=BASE_IMAGES // PER_FILAMENT,
            segments_per_filament=PER_FILAMENT,
            inter_box_A=40.0,
        ),
        microscope=Microscope(snr=0.2),
    )


def repeated(base: Path, folder: Path, n_images: int) -> None:
    """Write a set that repeats another with fresh noise, block by block."""
    folder.mkdir(parents=True)
    blocks = starfile.read(base / "particles.star")
    table = blocks["particles"]
    stack = mrcfile.read(base / "particles.mrcs").astype(np.float32)
    rng, n = np.random.default_rng(1), len(table)
    copies = -(-n_images // n)
    shape = (n_images, *stack.shape[1:])
    out = mrcfile.new_mmap(folder / "particles.mrcs", shape, mrc_mode=2)
    for first in range(0, n_images, BLOCK):
        index = np.arange(first, min(first + BLOCK, n_images))
        part = stack[index % n]
        part += rng.standard_normal(part.shape, np.float32)
        out.data[index[0] : index[-1] + 1] = part
    out.set_image_stack()
    out.close()
    whole = pd.concat([table] * copies, ignore_index=True)[:n_images]
    number = np.arange(n_images) // n
    whole["rlnMicrographName"] = [
        f"{number[i]:03d}_{name}" for i, name in enumerate(whole["rlnMicrographName"])
    ]
    whole["rlnImageName"] = [f"{i + 1:06d}@particles.mrcs" for i in range(n_images)]
    starfile.write(blocks | {"particles": whole}, folder / "particles.star")


class _Watched(CPU):
    """The CPU backend, counting the time of its parallel loops."""

    wall = cpu = 0.0

    def map(
        self, function: Callable[[Any], Any], items: Iterable[Any], *others: Any
    ) -> Iterator[Any]:
        """Apply a function to items in order."""
        wall, cpu = time.perf_counter(), time.process_time()
        yield from super().map(function, items, *others)
        self.wall += time.perf_counter() - wall
        self.cpu += time.process_time() - cpu


def one(star: Path, truth: Path, resolution_A: float, symmetric: bool) -> None:
    """Measure one iteration from the true map and print it as JSON."""
    particles, backend = ParticleSet.from_file(star), _Watched()
    parameters = Parameters(
        twist_deg=TWIST_DEG if symmetric else None,
        rise_A=RISE_A if symmetric else None,
        initial_lowpass_A=resolution_A,
        batch_images=len(particles),
    )
    volume = mrcfile.read(truth).astype(np.float32)
    state = initial_state(particles, parameters, backend, 0, _silent, volume)
    backend.wall = backend.cpu = 0.0
    _, cost = measured_step(state, particles, parameters, backend)
    row = {
        "cpu_s": cost.cpu_s,
        "wall_s": cost.wall_s,
        "e_step_s": cost.stages["E-step"],
        "poses": cost.poses,
        "memory_MB": peak_memory_MB(),
        "busy": backend.cpu / (backend.wall * backend.workers),
    }
    print(json.dumps(row))


def _silent(stage: str, done: int, total: int) -> None:
    """Take no notice of progress."""


def measure(
    folder: Path, truth: Path, resolution_A: float, symmetric: bool = True
) -> dict[str, float]:
    """Measure one iteration in a process of its own."""
    command = [sys.executable, __file__, "--one", str(folder / "particles.star")]
    command += [str(truth), str(resolution_A), str(int(symmetric))]
    run = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(run.stdout.splitlines()[-1])


def show(label: str, n: int, row: dict[str, float]) -> None:
    print(
        f"{label:<28} {n:>7} {row['cpu_s']:>8.1f} {row['wall_s']:>8.1f} "
        f"{1000 * row['cpu_s'] / n:>9.2f} {row['poses'] / row['e_step_s'] / 1e6:>8.0f} "
        f"{row['memory_MB']:>8.0f} {row['busy']:>6.0%}",
        flush=True,
    )


def series(name: str, work: Path) -> None:
    """Print one table."""
    print(f"\n{name:<28}  images    CPU s   wall s  CPU ms/im Mposes/s       MB   busy")
    if name == "images":
        base = _base(work, 96)
        for n in (1000, 4000, 16000):
            folder = work / f"repeated-{n}"
            repeated(base, folder, n)
            show("96 px, 10 A", n, measure(folder, base / "truth_map.mrc", 10.0))
            (folder / "particles.mrcs").unlink()
    elif name == "box":
        for box in (96, 128, 192, 256, 320):
            # A start cannot be sharper than 5 A.
            base, finest = _base(work, box), max(3 * BOX_A / box, 5.0)
            row = measure(base, base / "truth_map.mrc", finest)
            show(f"{box} px, {finest:.2f} A", BASE_IMAGES, row)
    elif name == "resolution":
        base = _base(work, 128)
        for resolution_A in (20.0, 14.0, 10.0, 7.0, 5.5):
            row = measure(base, base / "truth_map.mrc", resolution_A)
            show(f"128 px, {resolution_A:g} A", BASE_IMAGES, row)
    elif name == "asymmetric":
        base, spent = _base(work, 128), {}
        for symmetric in (True, False):
            row = measure(base, base / "truth_map.mrc", 7.0, symmetric)
            label = "symmetric" if symmetric else "asymmetric"
            show(f"{label}, 128 px, 7 A", BASE_IMAGES, row)
            spent[symmetric] = row["cpu_s"]
        print(f"ratio {spent[False] / spent[True]:.1f}")
    else:
        base, n = _base(work, 256), 20000
        folder = work / "large"
        repeated(base, folder, n)
        size = (folder / "particles.mrcs").stat().st_size / 1e9
        row = measure(folder, base / "truth_map.mrc", 10.0)
        show(f"256 px, 10 A, {size:.1f} GB", n, row)
        (folder / "particles.mrcs").unlink()


def _base(work: Path, box: int) -> Path:
    folder = work / f"box-{box}"
    simulate(folder, box)
    return folder


def main() -> None:
    """Print the tables."""
    if sys.argv[1:2] == ["--one"]:
        star, truth, resolution_A, symmetric = sys.argv[2:]
        one(Path(star), Path(truth), float(resolution_A), symmetric == "1")
        return
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    names = ("images", "box", "resolution", "asymmetric", "large")
    parser.add_argument("series", nargs="*", choices=[[], *names], default=[])
    args = parser.parse_args()
    print(f"{processor_name()}, {CPU().workers} cores")
    with tempfile.TemporaryDirectory() as work:
        for name in args.series or names:
            series(name, Path(work))


if __name__ == "__main__":
    main()
