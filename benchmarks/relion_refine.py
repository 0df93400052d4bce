"""Refine one data set with RELION and with helixnb from the same start, and compare.

    python benchmarks/relion_refine.py FOLDER [--data DATA] [--relion ran|run|none]

DATA is a data set with particles.star, truth_map.mrc and truth.json (default: actin).
Both programs start from the truth map low-passed to 20 A and the true twist and rise,
and search both. RELION (3.1, Debian package `relion`) cannot read float16 stacks, so
FOLDER gets a float32 copy; its command is what its GUI writes for helical
auto-refinement, with as many asymmetric units as helixnb takes. That takes many hours:
with ``--relion ran`` what an earlier or still running ``relion_refine`` left in
FOLDER/out is read instead, as far as it has come.

CPU time is user and system time of all ranks. Memory is the largest sum of resident
memory over all ranks while the program ran; of a run that was not watched it is what
/usr/bin/time reports in FOLDER/relion.log, the largest rank alone.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import mrcfile
import numpy as np
import psutil
import starfile
from truth import compare

from helixnb.core.initial_model import lowpass
from helixnb.io.mrc import write_map
from helixnb.particles import ParticleSet

ROOT = Path(__file__).resolve().parent.parent
START_A = 20.0
TWIST_RANGE_DEG = 3.0
RISE_RANGE = 0.1
MPI_RANKS = 3
_RUNNING = "relion_refine_mpi"


@dataclass(frozen=True)
class Cost:
    """What a program took; nan where it is not known.

    Parameters
    ----------
    wall_s, cpu_s : float
    memory_MB : float
        In units of 2**20 bytes.
    done : bool
        Whether it came to its end.
    """

    wall_s: float
    cpu_s: float
    memory_MB: float
    done: bool


def write_start(data: Path, work: Path) -> float:
    """Write the map that both programs start from; return the pixel size."""
    with mrcfile.open(data / "truth_map.mrc") as mrc:
        volume, pixel = mrc.data.astype(np.float32), float(mrc.voxel_size.x)
    write_map(work / "start.mrc", lowpass(volume, pixel, START_A), pixel)
    return pixel


def write_images(data: Path, work: Path, pixel: float) -> None:
    """Write a float32 stack and its STAR file."""
    particles = ParticleSet.from_file(data / "particles.star")
    with mrcfile.new(work / "stack.mrcs", overwrite=True) as mrc:
        mrc.set_data(particles.read(np.arange(len(particles))))
        mrc.set_image_stack()
        mrc.voxel_size = pixel
    blocks = starfile.read(data / "particles.star")
    table = blocks["particles"]
    table["rlnImageName"] = [f"{i + 1:06d}@stack.mrcs" for i in range(len(table))]
    table["rlnAngleRot"] = 0.0
    starfile.write(blocks, work / "particles.star", overwrite=True)


def relion_command(truth: dict[str, float], box_A: float, copies: int) -> list[str]:
    """Command line of RELION's helical auto-refinement."""
    twist, rise, radius = truth["twist"], truth["rise"], truth["radius_max"]
    options = {
        "o": "out/run",
        "i": "particles.star",
        "ref": "start.mrc",
        "ini_high": START_A,
        "pool": 3,
        "pad": 2,
        "particle_diameter": round(0.9 * box_A),
        "oversampling": 1,
        "healpix_order": 2,
        "auto_local_healpix_order": 4,
        "offset_range": 5,
        "offset_step": 2,
        "sym": "C1",
        "low_resol_join_halves": 40,
        "helical_outer_diameter": round(2 * radius),
        "helical_nr_asu": copies,
        "helical_twist_initial": twist,
        "helical_rise_initial": rise,
        "helical_z_percentage": 0.3,
        "helical_twist_min": twist - TWIST_RANGE_DEG,
        "helical_twist_max": twist + TWIST_RANGE_DEG,
        "helical_rise_min": rise * (1 - RISE_RANGE),
        "helical_rise_max": rise * (1 + RISE_RANGE),
        "sigma_tilt": 5,
        "sigma_psi": 3.33,
        "sigma_rot": 0,
        "j": 1,
        "random_seed": 1,
    }
    switches = (
        "auto_refine split_random_halves dont_combine_weights_via_disc ctf "
        "flatten_solvent zero_mask norm scale helix helical_symmetry_search "
        "helical_keep_tilt_prior_fixed"
    ).split()
    command = ["mpirun", "-n", str(MPI_RANKS), "--oversubscribe", _RUNNING]
    command += [f"--{name}" for name in switches]
    return command + [t for n, v in options.items() for t in (f"--{n}", str(v))]


def run(command: list[str], folder: Path, log: Path) -> Cost:
    """Run a program and watch the memory and CPU time of all its processes."""
    start, used, memory = time.perf_counter(), {}, 0.0
    with log.open("w") as stream:
        process = psutil.Popen(command, cwd=folder, stdout=stream, stderr=stream)
        while process.poll() is None:
            resident = 0.0
            for one in [process, *process.children(recursive=True)]:
                try:
                    times = one.cpu_times()
                    used[one.pid] = times.user + times.system
                    resident += one.memory_info().rss / 2**20
                except psutil.NoSuchProcess:
                    continue
            memory = max(memory, resident)
            time.sleep(0.2)
    if process.returncode:
        raise SystemExit(f"{command[0]} failed; see {log}")
    wall = time.perf_counter() - start
    return Cost(wall, sum(used.values()), memory, True)


def cost_of_earlier_run(work: Path) -> Cost:
    """Tell what a RELION run that is over, or still goes on, took so far."""
    log = (work / "relion.log").read_text(errors="replace")
    user = re.search(r"User time \(seconds\): ([\d.]+)", log)
    if user:
        system = re.search(r"System time \(seconds\): ([\d.]+)", log)
        elapsed = re.search(r"Elapsed .*: (?:(\d+):)?(\d+):([\d.]+)\n", log)
        memory = re.search(r"Maximum resident set size \(kbytes\): (\d+)", log)
        hours, minutes, seconds = (float(part or 0) for part in elapsed.groups())
        return Cost(
            3600 * hours + 60 * minutes + seconds,
            float(user[1]) + float(system[1]),
            int(memory[1]) / 1024,
            (work / "out" / "run_class001.mrc").exists(),
        )
    ranks = [
        p
        for p in psutil.process_iter(["name"])
        if p.info["name"] == _RUNNING and Path(p.cwd()) == work.resolve()
    ]
    if not ranks:
        return Cost(np.nan, np.nan, np.nan, False)
    times = [p.cpu_times() for p in ranks]
    return Cost(
        time.time() - min(p.create_time() for p in ranks),
        sum(t.user + t.system for t in times),
        sum(p.memory_info().rss for p in ranks) / 2**20,
        False,
    )


def relion_map(work: Path) -> tuple[np.ndarray, int]:
    """Read the final map, or else the mean of the last half-maps; and the iteration."""
    last = max((work / "out").glob("run_it*_half1_class001.mrc"))
    iteration = int(re.search(r"run_it(\d+)_", last.name)[1])
    final = work / "out" / "run_class001.mrc"
    if final.exists():
        return mrcfile.read(final), iteration
    other = last.with_name(last.name.replace("half1", "half2"))
    return (mrcfile.read(last) + mrcfile.read(other)) / 2, iteration


def main() -> None:
    """Run or read both and print the comparison."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    shared = ROOT.parent / "shared" / "data" / "actin"
    parser.add_argument("--data", type=Path, default=shared)
    parser.add_argument("--relion", choices=("ran", "run", "none"), default="ran")
    args = parser.parse_args()
    work, data = args.folder, args.data
    work.mkdir(parents=True, exist_ok=True)
    truth = json.loads((data / "truth.json").read_text())
    pixel = write_start(data, work)
    ours = [sys.executable, "-m", "helixnb", "refine", str(data / "particles.star")]
    ours += ["-o", str((work / "helixnb").resolve()), "--overwrite"]
    ours += [f"--twist={truth['twist']}", f"--rise={truth['rise']}"]
    ours += ["--initial-map", str((work / "start.mrc").resolve())]
    costs = {"helixnb": run(ours, ROOT, work / "helixnb.log")}
    summary = json.loads((work / "helixnb" / "summary.json").read_text())
    maps = {"helixnb": mrcfile.read(work / "helixnb" / "map.mrc")}
    steps = {"helixnb": summary["iterations"]}
    if args.relion == "run":
        (work / "out").mkdir(exist_ok=True)
        write_images(data, work, pixel)
        box_A = len(maps["helixnb"]) * pixel
        command = relion_command(truth, box_A, summary["symmetry_order"])
        costs["RELION"] = run(command, work, work / "relion.log")
    elif args.relion == "ran":
        costs["RELION"] = cost_of_earlier_run(work)
    if "RELION" in costs:
        maps["RELION"], steps["RELION"] = relion_map(work)
    print("program   iterations  CPU s    wall s  memory MB  FSC to truth 0.5  0.143")
    for name, cost in costs.items():
        true = mrcfile.read(data / "truth_map.mrc")
        fsc = compare(maps[name], true, pixel, truth["radius_max"])
        note = "" if cost.done else "  (not finished)"
        print(
            f"{name:<10} {steps[name]:>9} {cost.cpu_s:>7.0f} {cost.wall_s:>8.0f} "
            f"{cost.memory_MB:>9.0f} {fsc.at_half_A:>14.2f} A {fsc.at_143_A:>6.2f} A"
            f"{note}"
        )
    if "RELION" in costs:
        ratio = costs["RELION"].cpu_s / costs["helixnb"].cpu_s
        more = "" if costs["RELION"].done else "at least so far, "
        print(f"CPU time of RELION over that of helixnb: {more}{ratio:.0f}")


if __name__ == "__main__":
    main()
