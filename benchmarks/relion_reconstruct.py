"""Give a result's particles.star to RELION and compare its map with ours.

    python benchmarks/relion_reconstruct.py RESULT_FOLDER

`relion_reconstruct` (RELION 3.1) cannot read float16 stacks, so a float32 copy is
made. It back-projects every image at the pose that helixnb wrote, with the same
helical symmetry; the map must agree with `map.mrc` as it stands, with nothing fitted.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
from pathlib import Path

import mrcfile
import numpy as np
import scipy.fft as sfft
import starfile

from helixnb.core.fsc import resolution_A, shell_correlation
from helixnb.core.masks import cylinder
from helixnb.particles import ParticleSet


def reconstruct(result: Path) -> Path:
    """Run relion_reconstruct on a result folder; return the path of its map."""
    if shutil.which("relion_reconstruct") is None:
        raise SystemExit("relion_reconstruct is not installed (Debian: relion).")
    work = result / "relion"
    work.mkdir(exist_ok=True)
    particles = ParticleSet.from_star(result / "particles.star")
    pixel = particles.pixel_size_A
    with mrcfile.new(work / "stack.mrcs", overwrite=True) as mrc:
        mrc.set_data(particles.read(np.arange(len(particles))))
        mrc.set_image_stack()
        mrc.voxel_size = pixel
    blocks = starfile.read(result / "particles.star")
    table = blocks["particles"]
    table["rlnImageName"] = [f"{i + 1:06d}@stack.mrcs" for i in range(len(table))]
    starfile.write(blocks, work / "particles.star", overwrite=True)
    summary = json.loads((result / "summary.json").read_text())
    command = ["relion_reconstruct", "--i", "particles.star", "--o", "map.mrc", "--ctf"]
    command += ["--nr_helical_asu", str(summary["symmetry_order"])]
    command += ["--helical_twist", str(summary["twist_deg"])]
    command += ["--helical_rise", str(summary["rise_A"])]
    subprocess.run(command, check=True, cwd=work, stdout=subprocess.DEVNULL)
    return work / "map.mrc"


def main() -> None:
    """Reconstruct and print the agreement."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("result", type=Path)
    parser.add_argument("--radius", type=float, default=60.0, help="mask radius, A")
    args = parser.parse_args()
    theirs = mrcfile.read(reconstruct(args.result)).astype(np.float32)
    with mrcfile.open(args.result / "map.mrc") as mrc:
        ours, pixel = mrc.data.copy(), float(mrc.voxel_size.x)
    box = len(ours)
    mask = cylinder(
        box,
        outer_radius_px=args.radius / pixel,
        axial_fraction=0.7,
        axial_edge_px=0.1 * box,
    )
    spectra = [sfft.rfftn(volume * mask) for volume in (ours, theirs)]
    curve = shell_correlation(spectra[0], spectra[1], box)
    frequency = np.arange(len(curve)) / (box * pixel)
    for threshold in (0.9, 0.5):
        reached = resolution_A(frequency, curve, threshold)
        print(f"FSC to RELION's map above {threshold:g} to {reached:.2f} A")


if __name__ == "__main__":
    main()
