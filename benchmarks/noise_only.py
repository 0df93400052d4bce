"""Refine pure noise from a structured initial model: the claim must not follow it.

    python benchmarks/noise_only.py --segments 1000 --iterations 10

Aligned to a model, noise adds up to that model ("Einstein from noise"). Both halves
are aligned to the same start, so they share it where they are not independent. This
reports, for each iteration, the resolution (FSC of independent halves), the FSC of
the average map with the model, and the control: the same model, images with signal.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import mrcfile
import numpy as np
import scipy.fft as sfft

from helixnb import Session
from helixnb.core.fsc import shell_correlation
from helixnb.core.masks import cylinder
from helixnb.simulate import Filaments, Microscope, SimulatedData, simulate_segments

TWIST_DEG, RISE_A, BOX_PX, PIXEL_A = -60.0, 14.0, 40, 4.0


def make_data(folder: Path, segments: int, snr: float, seed: int) -> SimulatedData:
    return simulate_segments(
        folder,
        twist_deg=TWIST_DEG,
        rise_A=RISE_A,
        box_px=BOX_PX,
        pixel_size_A=PIXEL_A,
        filaments=Filaments(n_filaments=segments // 10, segments_per_filament=10),
        microscope=Microscope(snr=snr),
        seed=seed,
    )


def replace_by_noise(data: SimulatedData, seed: int) -> None:
    """Overwrite the images with white noise of the same size."""
    path = data.particles_star.with_name("particles.mrcs")
    shape = mrcfile.read(path).shape
    noise = np.random.default_rng(seed).standard_normal(shape).astype(np.float32)
    with mrcfile.new(path, overwrite=True) as mrc:
        mrc.set_data(noise)
        mrc.voxel_size = PIXEL_A


def refined(
    data: SimulatedData, iterations: int, seed: int, **parameters: Any
) -> list[dict[str, float]]:
    """Refine from the true map; what each iteration claims and has."""
    model = mrcfile.read(data.truth_map).astype(np.float32)
    session = Session.from_file(
        data.particles_star,
        twist_deg=TWIST_DEG,
        rise_A=RISE_A,
        initial_map=data.truth_map,
        seed=seed,
        progress=False,
        **parameters,
    )
    mask = cylinder(BOX_PX, outer_radius_px=0.4 * BOX_PX, axial_fraction=0.6)
    shells = np.arange(1, BOX_PX // 2)
    rows = []
    for state in session.iterate(iterations):
        average = state.half_maps.mean(0)
        to_model = shell_correlation(
            sfft.rfftn(average * mask), sfft.rfftn(model * mask), BOX_PX
        )[shells]
        beyond = shells / (BOX_PX * PIXEL_A) > 1 / 18
        rows.append(
            {
                "iteration": state.iteration,
                "resolution_A": round(float(state.resolution_A), 2),
                "aligned_to_A": round(float(state.align_resolution_A), 2),
                "fsc_with_model_to_18_A": round(float(to_model[~beyond].mean()), 3),
                "fsc_with_model_beyond": round(float(to_model[beyond].mean()), 3),
                "converged": bool(state.converged),
            }
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--segments", type=int, default=400)
    parser.add_argument("--iterations", type=int, default=8)
    parser.add_argument("--seed", type=int, default=2)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        noise = make_data(Path(name) / "noise", args.segments, 0.1, args.seed)
        replace_by_noise(noise, args.seed)
        signal = make_data(Path(name) / "signal", args.segments, 0.1, args.seed)
        result = {
            "noise": refined(noise, args.iterations, args.seed),
            "signal": refined(signal, args.iterations, args.seed),
        }
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
