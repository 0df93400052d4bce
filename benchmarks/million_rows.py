"""Read and write a STAR file of a million segments: seconds and memory.

    python benchmarks/million_rows.py --rows 1000000

The file has the columns of a RELION 3.1 helical extraction; its stacks are one sparse
file, so that only metadata are measured. Each part runs in a process of its own.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mrcfile
import numpy as np

PER_FILAMENT, BOX_PX = 50, 64

OPTICS = """
data_optics

loop_
_rlnOpticsGroup #1
_rlnOpticsGroupName #2
_rlnVoltage #3
_rlnSphericalAberration #4
_rlnAmplitudeContrast #5
_rlnImagePixelSize #6
_rlnImageSize #7
_rlnImageDimensionality #8
1 opticsGroup1 300.0 2.7 0.1 1.5 64 2

data_particles

loop_
"""
COLUMNS = (
    "rlnCoordinateX rlnCoordinateY rlnHelicalTubeID rlnAngleTiltPrior rlnAnglePsiPrior "
    "rlnHelicalTrackLengthAngst rlnAnglePsiFlipRatio rlnImageName rlnMicrographName "
    "rlnOpticsGroup rlnCtfMaxResolution rlnCtfFigureOfMerit rlnDefocusU rlnDefocusV "
    "rlnDefocusAngle rlnCtfBfactor rlnCtfScalefactor rlnPhaseShift otherHash"
).split()


def write_file(folder: Path, rows: int) -> Path:
    """Write the STAR file, and a stack of as many images that takes no space."""
    path = folder / "particles.star"
    rng = np.random.default_rng(0)
    with path.open("w") as file:
        file.write(OPTICS)
        file.writelines(f"_{name} #{i + 1}\n" for i, name in enumerate(COLUMNS))
        for start in range(0, rows, PER_FILAMENT):
            psi, mic = rng.uniform(-180, 180), start // (20 * PER_FILAMENT)
            step = -np.exp(-1j * np.deg2rad(psi))
            for i in range(min(PER_FILAMENT, rows - start)):
                at = 2000 + 2000j + 20 * i * step
                file.write(
                    f"{at.real:.6f} {at.imag:.6f} {start // PER_FILAMENT % 20 + 1} "
                    f"90.000000 {psi:.6f} {30.0 * i:.6f} 0.500000 "
                    f"{start + i + 1:06d}@Extract/job006/Micrographs/stack.mrcs "
                    f"MotionCorr/job003/Micrographs/mic_{mic:06d}.mrc 1 3.500000 "
                    f"0.123456 {12345.678 + mic:.6f} 12000.000000 45.000000 0.000000 "
                    f"1.000000 0.000000 {start + i:08x}\n"
                )
    stack = folder / "Extract" / "job006" / "Micrographs" / "stack.mrcs"
    stack.parent.mkdir(parents=True)
    with mrcfile.new(stack) as mrc:
        mrc.set_data(np.zeros((1, BOX_PX, BOX_PX), np.float32))
        mrc.voxel_size = 1.5
        mrc.header.nz = mrc.header.mz = rows
    with stack.open("r+b") as file:
        file.truncate(1024 + rows * BOX_PX**2 * 4)
    return path


def read_file(path: Path) -> Any:
    from helixnb.particles import ParticleSet

    return ParticleSet.from_file(path)


def read_and_write(path: Path) -> None:
    from helixnb.euler import EulerPoses

    segments = read_file(path)
    zero = np.zeros(len(segments))
    segments.write_star(path.with_name("out.star"), EulerPoses(*[zero] * 5))


def measured(work: Callable[[Path], Any], path: Path) -> dict[str, float]:
    """Seconds and peak memory of a piece of work in a fresh process."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_measure, args=(work, path, theirs))
    process.start()
    result: dict[str, float] = ours.recv()
    process.join()
    return result


def _measure(work: Callable[[Path], Any], path: Path, pipe: Any) -> None:
    import helixnb.particles  # noqa: F401  (its import is not what is measured)

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start, computing = time.perf_counter(), time.process_time()
    work(path)
    pipe.send(
        {
            "seconds": round(time.perf_counter() - start, 2),
            "computing_s": round(time.process_time() - computing, 2),
            "peak_MB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
            "before_MB": before // 1024,
        }
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = write_file(Path(folder), args.rows)
        result = {
            "rows": args.rows,
            "file_MB": path.stat().st_size // 2**20,
            "read": measured(read_file, path),
            "read and write": measured(read_and_write, path),
        }
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
