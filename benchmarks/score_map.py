"""Time score maps and compare with a naive loop, RELION's search and the truth.

    python benchmarks/score_map.py [--boxes 96 128 192 256]

Maps are simulated by `helixnb.simulate`, which shares no code with the search. Printed
are, for each box, milliseconds to prepare a map (mask, transform, self-correlation;
wall and CPU time), to score 128 x 128 and 512 x 512 points, the same for a naive loop
in real space (one point, scaled), and, where `relion_helix_toolbox` is installed, for
its search (timed a point and scaled to 128 x 128), each with the error of its optimum.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates

from helixnb.core.map_harmonics import map_harmonics
from helixnb.core.masks import axial_window
from helixnb.core.self_correlation import (
    SelfCorrelation,
    layer_power,
    score_grid,
    self_correlation,
)
from helixnb.core.symmetry_search import SearchRange, search
from helixnb.io.mrc import write_map
from helixnb.simulate.lattice import Lattice
from helixnb.simulate.models import Subunit, load_subunit
from helixnb.simulate.rendering import render_map

TWIST_DEG, RISE_A = -166.65, 28.11
BOX_A = 250.0
RESOLUTION_A = 6.0
TOOLBOX = "relion_helix_toolbox"
Z_PERCENTAGE = 0.5
REPEATS = 5


class Found(NamedTuple):
    """Optimum and what it took, in milliseconds for 128 x 128 points."""

    twist_deg: float
    rise_A: float
    milliseconds: float


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--boxes", type=int, nargs="+", default=[96, 128, 192, 256])
    args = parser.parse_args()
    print("box   prepare  (CPU)  128x128  512x512  naive 128x128  RELION 128x128 ratio")
    print("  px       ms     ms       ms       ms             ms              ms")
    for box in args.boxes:
        measure(box)


def measure(box: int) -> None:
    """Print the lines of one box."""
    density, radius_A, pixel = simulated(box)

    def prepared() -> SelfCorrelation:
        harmonics = map_harmonics(
            density,
            axial_window(box, 0.8, 0.1 * box),
            pixel_size_A=pixel,
            resolution_A=RESOLUTION_A,
            outer_radius_A=radius_A,
        )
        return self_correlation(layer_power(harmonics))

    # Off the truth, so that no grid point lies on it.
    where = SearchRange((TWIST_DEG + 0.37, 3.0), (RISE_A + 0.21, 0.1 * RISE_A))
    correlation = prepared()
    found = search(correlation, where)  # compiles
    prepare = best_ms(prepared)
    cpu = best_ms(prepared, clock=time.process_time)
    grids = [best_ms(lambda n=n: score_of(correlation, where, n)) for n in (128, 512)]
    loop = 128**2 * best_ms(lambda: naive(density, radius_A / pixel, pixel), 2)
    relion = toolbox_search(density, radius_A, pixel)
    line = f"{box:>4} {prepare:>9.1f} {cpu:>6.1f} {grids[0]:>8.1f} {grids[1]:>8.1f}"
    line += f" {loop:>14.0f}"
    if relion is not None:
        ratio = relion.milliseconds / (prepare + grids[0])
        line += f" {relion.milliseconds:>15.0f} {ratio:.0f}"
    print(line)
    print(f"      error      {error(found.best_twist_deg, found.best_rise_A)}")
    if relion is not None:
        print(f"      RELION's   {error(relion.twist_deg, relion.rise_A)}")


def simulated(box: int) -> tuple[NDArray[np.float32], float, float]:
    """Clean map of a filament like F-actin, its radius and its voxel size."""
    lattice = Lattice(TWIST_DEG, RISE_A)
    subunit = load_subunit(None, lattice)
    level = Subunit(lattice.expand_level(subunit.coordinates_A), subunit.weights)
    pixel = BOX_A / box
    density = render_map(
        level, lattice, box_px=box, pixel_size_A=pixel, b_factor_A2=80.0
    )
    return density, level.outer_radius_A + 3.0, pixel


def score_of(correlation: SelfCorrelation, where: SearchRange, n: int) -> None:
    grid = SearchRange(where.twist_deg, where.rise_A, (n, n))
    score_grid(correlation, grid.twists, grid.rises)


def naive(density: NDArray[np.float32], radius_px: float, pixel: float) -> float:
    """Correlation of the filament with its four copies that fit, by interpolation."""
    box = len(density)
    axis = np.arange(box) - box // 2
    z, y, x = np.meshgrid(axis, axis, axis, indexing="ij")
    inside = (np.hypot(x, y) < radius_px) & (abs(z) < 0.4 * box)
    x, y, z, here = x[inside], y[inside], z[inside], density[inside]
    total = 0.0
    for lag in range(1, 5):
        a = np.deg2rad(lag * TWIST_DEG)
        turned = x * np.cos(a) - y * np.sin(a), x * np.sin(a) + y * np.cos(a)
        place = [z + lag * RISE_A / pixel, turned[1], turned[0]]
        there = map_coordinates(density, [p + box // 2 for p in place], order=1)
        total += float(np.corrcoef(here, there)[0, 1])
    return total / 4


def toolbox_search(
    density: NDArray[np.float32], radius_A: float, pixel: float
) -> Found | None:
    """Search of RELION around the truth; None where it is not installed."""
    if shutil.which(TOOLBOX) is None:
        return None
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "map.mrc"
        write_map(path, density, pixel)
        options = {
            "i": path,
            "angpix": pixel,
            "cyl_outer_diameter": 2 * radius_A,
            "z_percentage": Z_PERCENTAGE,
            "twist_min": TWIST_DEG - 1.1,
            "twist_max": TWIST_DEG + 0.9,
            "twist_inistep": 0.3,
            "rise_min": RISE_A - 0.9,
            "rise_max": RISE_A + 1.1,
            "rise_inistep": 0.3,
        }
        command = [TOOLBOX, "--search", "--verb"]
        command += [text for n, v in options.items() for text in (f"--{n}", str(v))]
        start = time.perf_counter()
        # There, because it writes a log into the folder it is started in.
        run = subprocess.run(
            command, check=True, capture_output=True, text=True, cwd=folder
        )
        seconds = time.perf_counter() - start
    number = r"(-?[\d.]+)"
    last = re.findall(
        rf"rise = {number} Angstroms, twist = {number} degrees", run.stdout
    )[-1]
    points = len(re.findall(r"^\s*NEW", run.stdout, re.MULTILINE))
    per_grid = 1000 * seconds / points * 128**2
    return Found(float(last[1].rstrip(".")), float(last[0]), per_grid)


def error(twist_deg: float, rise_A: float) -> str:
    return f"{twist_deg - TWIST_DEG:+.4f} deg, {rise_A - RISE_A:+.4f} A"


def best_ms(
    function: Callable[[], object],
    repeats: int = REPEATS,
    clock: Callable[[], float] = time.perf_counter,
) -> float:
    """Shortest of several runs, milliseconds."""
    times = []
    for _ in range(repeats):
        start = clock()
        function()
        times.append(clock() - start)
    return 1000 * min(times)


if __name__ == "__main__":
    main()
