"""Refine the shared data sets from the command line and compare with the truth.

    python benchmarks/science.py [CASE ...] [--out FOLDER] [--data FOLDER]

Each case runs `helixnb refine` as a user would, then measures the map against
truth_map.mrc, poses against truth.star, and the time and memory of the process. Cases
are listed by `--help`; without names all are run. Rows are printed and kept in
FOLDER/results.json.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import mrcfile
import numpy as np
import starfile
from truth import compare

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Case:
    """One refinement of a data set.

    Parameters
    ----------
    data : str
        Folder of the data set.
    twist_deg, rise_A : float or None
        Estimates; None takes the truth.
    options : tuple of str
        Further command line options.
    """

    data: str
    twist_deg: float | None = None
    rise_A: float | None = None
    options: tuple[str, ...] = field(default=())


CASES = {
    "actin": Case("actin"),
    "actin-off": Case("actin", -165.5, 28.7),
    "tmv": Case("tmv"),
    "tmv-off": Case("tmv", 22.25, 1.42),
    "actin-again": Case("actin"),
    "actin-seed1": Case("actin", options=("--seed", "1")),
    "actin-seed2": Case("actin", options=("--seed", "2")),
    "actin-seed3": Case("actin", options=("--seed", "3")),
    "actin-seed4": Case("actin", options=("--seed", "4")),
    "actin-independent": Case("actin", options=("--no-coherence",)),
    "actin-given-priors": Case("actin", options=("--filament-averaging", "0")),
    "tmv-given-priors": Case("tmv", options=("--filament-averaging", "0")),
    "actin-one-scale": Case("actin", options=("--no-particle-scale",)),
    "tmv-one-scale": Case("tmv", options=("--no-particle-scale",)),
    "actin-limit-final": Case("actin", options=("--limit-shifts", "final")),
    "tmv-limit-final": Case("tmv", options=("--limit-shifts", "final")),
    "actin-batches": Case("actin", options=("--batch-images", "400")),
    "tmv-independent": Case("tmv", options=("--no-coherence",)),
    "actin-nonuniform": Case("actin", options=("--nonuniform",)),
    "tmv-nonuniform": Case("tmv", options=("--nonuniform",)),
    "actin-no-real-space": Case("actin", options=("--real-space-symmetry", "0")),
    "tmv-no-real-space": Case("tmv", options=("--real-space-symmetry", "0")),
    "actin-dynamic": Case("actin", options=("--mask", "dynamic")),
    "tmv-dynamic": Case("tmv", options=("--mask", "dynamic")),
}


def run(name: str, data: Path, out: Path) -> dict[str, Any]:
    """Run one case and measure it."""
    case = CASES[name]
    folder = data / case.data
    truth = json.loads((folder / "truth.json").read_text())
    twist = truth["twist"] if case.twist_deg is None else case.twist_deg
    rise = truth["rise"] if case.rise_A is None else case.rise_A
    command = [sys.executable, "-m", "helixnb", "refine"]
    command += [str(folder / "particles.star"), "-o", str(out / name)]
    command += [f"--twist={twist}", f"--rise={rise}", "--overwrite", *case.options]
    log = out / f"{name}.log"
    with log.open("w") as stream:
        subprocess.run(command, check=True, stderr=stream, stdout=stream, cwd=ROOT)
    summary = json.loads((out / name / "summary.json").read_text())
    row = {
        key: summary[key]
        for key in (
            "twist_deg",
            "rise_A",
            "resolution_A",
            "iterations",
            "symmetry_order",
            "converged",
            "seconds",
            "peak_memory_MB",
        )
    }
    row |= _agreement(out / name, folder, truth["radius_max"])
    return row


def _agreement(result: Path, folder: Path, radius_A: float) -> dict[str, Any]:
    """FSC to the truth, and poses against the true ones."""
    with mrcfile.open(result / "map.mrc") as mrc:
        volume, pixel = mrc.data.copy(), float(mrc.voxel_size.x)
    fsc = compare(volume, mrcfile.read(folder / "truth_map.mrc"), pixel, radius_A)
    found = starfile.read(result / "particles.star")["particles"]
    true = starfile.read(folder / "truth.star")["particles"]
    psi = (found.rlnAnglePsi - true.rlnAnglePsi + 180) % 360 - 180
    flipped = psi.abs() > 90
    tube = true.rlnMicrographName + "/" + true.rlnHelicalTubeID.astype(str)
    share = flipped.groupby(tube.to_numpy()).mean()
    turned = bool((share > 0.5).mean() > 0.5)
    right = (share > 0.5) == turned
    good = flipped == turned
    tilt = np.corrcoef(
        (found.rlnAngleTilt - 90)[good] * (-1 if turned else 1),
        (true.rlnAngleTilt - 90)[good],
    )[0, 1]
    in_plane = (psi[good] + 90) % 180 - 90
    return {
        "truth_fsc_0.5_A": round(fsc.at_half_A, 3),
        "truth_fsc_0.143_A": round(fsc.at_143_A, 3),
        "filament_polarity": round(float(right.mean()), 4),
        "segment_polarity": round(float(good.mean()), 4),
        "tilt_r": round(float(tilt), 3),
        "psi_error_deg": round(float(in_plane.std()), 3),
    }


def main() -> None:
    """Run the chosen cases."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cases", nargs="*", choices=[[], *CASES], default=[])
    parser.add_argument("--out", type=Path, default=ROOT / "benchmark-results")
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    store = args.out / "results.json"
    rows = json.loads(store.read_text()) if store.exists() else {}
    for name in args.cases or CASES:
        rows[name] = run(name, args.data, args.out)
        store.write_text(json.dumps(rows, indent=1))
        print(name, json.dumps(rows[name]), flush=True)
    if {"actin", "actin-again"} <= rows.keys():
        maps = [
            mrcfile.read(args.out / n / "map.mrc") for n in ("actin", "actin-again")
        ]
        print("same seed twice, identical maps:", np.array_equal(*maps))


if __name__ == "__main__":
    main()
