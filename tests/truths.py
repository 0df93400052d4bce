"""Small simulated data sets with a state that holds their true poses."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import mrcfile
import numpy as np
import starfile

from helixnb.core.poses import Poses
from helixnb.iteration.state import State
from helixnb.parameters import Parameters
from helixnb.particles import ParticleSet
from helixnb.simulate import Filaments, Microscope, simulate_segments
from tests.standins import BOX_PX, PIXEL_SIZE_A, standin_state


@dataclass(frozen=True)
class Truth:
    """Particles on disk, and a state as a perfect refinement would leave it."""

    particles: ParticleSet
    state: State


def true_state(
    folder: Path,
    *,
    twist_deg: float = -60.0,
    rise_A: float = 14.0,
    point_group: str = "C1",
    snr: float | None = None,
    n_filaments: int = 6,
    seed: int = 0,
    **filaments: Any,
) -> Truth:
    """Simulate straight filaments of the stand-ins' box and take their true poses."""
    still = {
        "bend_deg": 0.0,
        "twist_disorder_deg": 0.0,
        "tilt_wander_deg": 0.0,
        "pick_sd_A": 0.0,
        "inter_box_A": 2 * rise_A,
    }
    data = simulate_segments(
        folder,
        twist_deg=twist_deg,
        rise_A=rise_A,
        point_group=point_group,
        box_px=BOX_PX,
        pixel_size_A=PIXEL_SIZE_A,
        filaments=Filaments(
            n_filaments=n_filaments, segments_per_filament=10, **(still | filaments)
        ),
        microscope=Microscope(snr=snr, defocus_A=(4000.0, 7000.0)),
        seed=seed,
    )
    particles = ParticleSet.from_star(data.particles_star)
    with mrcfile.open(data.truth_map) as file:
        density = np.array(file.data, np.float32)
    parameters = Parameters(twist_deg=twist_deg, rise_A=rise_A, point_group=point_group)
    state = replace(
        standin_state(4),
        parameters=parameters,
        symmetry=parameters.symmetry,
        references=np.stack([density, density]),
        regrown=True,
        poses=true_poses(data.truth_star, particles),
    )
    half = (particles.filament % 2).astype(np.int8)
    return Truth(particles, replace(state, survey=replace(state.survey, half=half)))


def true_poses(truth_star: Path, particles: ParticleSet) -> Poses:
    """Poses of a truth file in the filament frame."""
    table = starfile.read(truth_star)["particles"]
    psi = table["rlnAnglePsi"].to_numpy(float)
    x, y = (-table[f"rlnOrigin{a}Angst"].to_numpy(float) for a in "XY")
    s, c = np.sin(np.deg2rad(psi)), np.cos(np.deg2rad(psi))
    from_prior = (psi - particles.psi_prior_deg + 90) % 360 - 90
    n = len(psi)
    return Poses(
        polarity=(from_prior > 90).astype(np.int8),
        polarity_probability=np.ones(n),
        psi_deg=psi,
        tilt_deg=table["rlnAngleTilt"].to_numpy(float),
        azimuth_deg=table["rlnAngleRot"].to_numpy(float) + 90,
        shift_px=(s * x + c * y) / particles.pixel_size_A,
        axial_px=(-c * x + s * y) / particles.pixel_size_A,
        effective_poses=np.ones(n),
        log_evidence=np.arange(n, dtype=float),
        scale=np.ones(n),
        scale_information=np.full(n, 100.0),
    )
