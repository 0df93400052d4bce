"""States that look like those of a refinement and cost nothing to make.

The maps hold a left-handed helix of Gaussian blobs that sharpens from iteration to
iteration, with independent noise in the halves; FSC curves are measured on them, and
score maps are bumps about the truth. Used where a test needs results, not science.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from helixnb.backend import get_backend
from helixnb.core.candidates import Candidate
from helixnb.core.fsc import FSCMasks, half_map_fsc, resolution_A
from helixnb.core.optimum import Optimum
from helixnb.core.point_group import Dyad
from helixnb.core.poses import Poses
from helixnb.core.search import PoseSpread
from helixnb.core.symmetry_search import SymmetryScore
from helixnb.io.reading_options import ReadingOptions
from helixnb.iteration.state import State, Survey, SymmetryScores
from helixnb.parameters import Parameters
from helixnb.symmetry import HelicalSymmetry

TWIST_DEG, RISE_A = -60.0, 14.0
BOX_PX, PIXEL_SIZE_A = 40, 3.0
N_SEGMENTS, PER_FILAMENT = 120, 12
CONVERGED_AT = 9


def standin_parameters(**values: Any) -> Parameters:
    """Parameters slightly off the truth."""
    return Parameters(**({"twist_deg": -59.5, "rise_A": 14.2} | values))


class StandinParticles:
    """Particle set of `N_SEGMENTS` segments whose images are noise."""

    def __init__(self) -> None:
        filament = np.repeat(np.arange(N_SEGMENTS // PER_FILAMENT), PER_FILAMENT)
        self.pixel_size_A = PIXEL_SIZE_A
        self.box_px = BOX_PX
        self.n_filaments = N_SEGMENTS // PER_FILAMENT
        self.filament = filament.astype(np.int32)
        self.psi_prior_deg = 10.0 * filament
        self.track_A = 28.0 * (np.arange(N_SEGMENTS) % PER_FILAMENT)
        self.axial_A = self.track_A
        one = np.ones(N_SEGMENTS)
        self.voltage_kV, self.cs_mm, self.amplitude_contrast = (
            300 * one,
            2.7 * one,
            0.1 * one,
        )
        self.defocus_u_A, self.defocus_v_A = 15e3 * one, 15e3 * one
        self.defocus_angle_deg, self.phase_shift_deg = 0 * one, 0 * one
        self.table = pd.DataFrame({"rlnHelicalTubeID": filament + 1})
        self.inter_box_A = 28.0
        self.source = Path("particles.star")
        self.notes: tuple[str, ...] = ()
        self.read_with = ReadingOptions()
        self.rows = None

    def __len__(self) -> int:
        return N_SEGMENTS

    def fingerprint(self) -> str:
        return "no images"

    def read(self, indices: NDArray[np.integer]) -> NDArray[np.float32]:
        """Noise."""
        rng = np.random.default_rng(0)
        noise = rng.standard_normal((N_SEGMENTS, BOX_PX, BOX_PX))
        return noise[indices].astype(np.float32)


def standin_state(
    iteration: int = 3, parameters: Parameters | None = None, seed: int = 0
) -> State:
    """State of an iteration; 0 has neither poses nor scores."""
    parameters = parameters or standin_parameters()
    rng = np.random.default_rng((seed, iteration))
    blob_A = 5.0 + 12.0 * np.exp(-iteration / 3)
    density = helix_of_blobs(blob_A)
    noise = rng.standard_normal((2, *density.shape)).astype(np.float32)
    halves = density + 0.15 * density.max() * noise
    masks = FSCMasks(_window(), _window(), _window() ** 2)
    fsc = half_map_fsc(*halves, masks, PIXEL_SIZE_A, rng, get_backend("cpu"))
    found = HelicalSymmetry(
        TWIST_DEG + (parameters.twist_deg - TWIST_DEG) * 0.5,
        RISE_A + (parameters.rise_A - RISE_A) * 0.5,
        parameters.point_group,
    )
    searched = iteration > 1 and parameters.search_symmetry
    return State(
        iteration=iteration,
        seed=seed,
        parameters=parameters,
        estimate=standin_parameters().symmetry,
        symmetry=found if searched else parameters.symmetry,
        symmetry_order=2,
        bootstrapping=iteration <= 2,
        regrown=iteration > 3,
        structured_start=False,
        used=np.full(N_SEGMENTS, iteration > 0),
        survey=Survey(
            half=(np.repeat(np.arange(10), PER_FILAMENT) % 2).astype(np.int8),
            image_power=np.ones(BOX_PX // 2 + 1),
            ctf_power=np.full(BOX_PX // 2 + 1, 0.5),
            outer_radius_A=45.0,
        ),
        half_maps=halves.astype(np.float32),
        references=halves.astype(np.float32),
        fsc=fsc,
        resolution_A=resolution_A(fsc.frequency_per_A, fsc.reported),
        align_resolution_A=20.0 - iteration,
        next_align_resolution_A=19.0 - iteration,
        noise_power=np.ones(BOX_PX // 2 + 1),
        spread=PoseSpread(3.0, 5.0, 2.0),
        poses=_poses(rng) if iteration else Poses.empty(N_SEGMENTS),
        scores=_scores(parameters, rng) if searched else None,
        blind_maps=halves.astype(np.float32) if searched else None,
        passes_left=0 if iteration >= CONVERGED_AT else None,
        seconds={"alignment": 0.4 + 0.05 * iteration, "reconstruction": 0.1},
        cells_per_image=20.0,
    )


def standin_initial_state(
    particles: Any,
    parameters: Parameters,
    backend: Any,
    seed: int,
    progress: Any,
    initial_map: Any = None,
) -> State:
    """Stands in for `helixnb.iteration.initial.initial_state`."""
    progress("initial density", 1, 1)
    return standin_state(0, parameters, seed)


def standin_step(seconds: float = 0.0) -> Callable[..., State]:
    """Stands in for `helixnb.iteration.refinement.step`; fails for rises above 15 A."""

    def step(
        state: State,
        particles: Any,
        parameters: Parameters,
        backend: Any,
        progress: Any,
        static_mask: Any,
    ) -> State:
        for done in range(4):
            progress("alignment", 30 * done, N_SEGMENTS)
            time.sleep(seconds / 4)
        if parameters.rise_A > 15:
            raise ArithmeticError("no density left, said the stand-in")
        return standin_state(state.iteration + 1, parameters, state.seed)

    return step


def helix_of_blobs(blob_A: float) -> NDArray[np.float32]:
    """Gaussian blobs of a width on a helix of radius 30 A."""
    axis = (np.arange(BOX_PX) - BOX_PX // 2) * PIXEL_SIZE_A
    z, y, x = np.meshgrid(axis, axis, axis, indexing="ij")
    density = np.zeros(z.shape)
    for k in range(-6, 7):
        phi = np.deg2rad(k * TWIST_DEG)
        r2 = (x - 30 * np.cos(phi)) ** 2 + (y - 30 * np.sin(phi)) ** 2
        density += np.exp(-(r2 + (z - k * RISE_A) ** 2) / (2 * blob_A**2))
    return density.astype(np.float32)


def _window() -> NDArray[np.float32]:
    axis = (np.arange(BOX_PX) - BOX_PX // 2) * PIXEL_SIZE_A
    z, y, x = np.meshgrid(axis, axis, axis, indexing="ij")
    return np.exp(-((np.hypot(x, y) / 48) ** 8) - (z / 45) ** 8).astype(np.float32)


def _poses(rng: np.random.Generator) -> Poses:
    n = N_SEGMENTS
    polarity = np.repeat(rng.integers(0, 2, n // PER_FILAMENT), PER_FILAMENT)
    return Poses(
        polarity=polarity.astype(np.int8),
        polarity_probability=rng.uniform(0.9, 1, n),
        psi_deg=StandinParticles().psi_prior_deg
        + 180.0 * polarity
        + rng.normal(0, 1.2, n),
        tilt_deg=90 + rng.normal(0, 4, n),
        azimuth_deg=rng.uniform(-180, 180, n),
        shift_px=rng.normal(0, 1.0, n),
        axial_px=rng.uniform(-2.3, 2.3, n),
        effective_poses=rng.uniform(1, 3, n),
        log_evidence=rng.normal(20, 3, n),
        scale=rng.normal(1, 0.1, n),
        scale_information=np.full(n, 100.0),
    )


def _scores(parameters: Parameters, rng: np.random.Generator) -> SymmetryScores:
    twist = parameters.twist_deg + np.linspace(-3, 3, 48)
    rise = parameters.rise_A * (1 + np.linspace(-0.1, 0.1, 40))

    def bump(at_twist: float, at_rise: float) -> SymmetryScore:
        turn, climb = (twist - at_twist) / 0.6, (rise - at_rise) / 0.35
        score = 0.8 * np.exp(-0.5 * (turn[:, None] ** 2 + climb[None] ** 2))
        best = Optimum(at_twist, at_rise, 0.8, np.diag([-0.8 / 0.36, -0.8 / 0.1225]))
        return SymmetryScore(twist, rise, score, best, False)

    return SymmetryScores(
        half_A=bump(TWIST_DEG + rng.normal(0, 0.1), RISE_A + rng.normal(0, 0.05)),
        half_B=bump(TWIST_DEG + rng.normal(0, 0.1), RISE_A + rng.normal(0, 0.05)),
        joint=bump(TWIST_DEG, RISE_A),
        extensions=0,
        determined=True,
        used=True,
        twist_sd_deg=0.02,
        rise_sd_A=0.01,
        candidates=(
            Candidate(TWIST_DEG, RISE_A, 0.8, 0.01, 6, "best"),
            Candidate(2 * TWIST_DEG, 2 * RISE_A, 0.79, 0.02, 3, "2 x the best"),
            Candidate(TWIST_DEG + 2.5, RISE_A, 0.31, 0.05, 6),
        ),
        dyad=Dyad(0.35, 12.0, 3.0),
        suggested_point_group="C1",
        resolution_A=9.0,
        inner_diameter_A=0.0,
        outer_diameter_A=90.0,
    )
