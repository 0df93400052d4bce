"""Small sets of simulated images, ready for the E- and M-step, with their truth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from helixnb.backend import get_backend
from helixnb.core import ctf, images
from helixnb.core.cylinder import CylinderGrid
from helixnb.core.expectation import SearchSettings
from helixnb.core.fan import Fan, build_fan
from helixnb.core.particle_scale import ScaleFit
from helixnb.core.scoring import Chunk
from helixnb.core.search import PoseSpread, SearchLevel
from tests.oracles import projection

BACKEND = get_backend("cpu")
PIXEL_A = 3.0
FLAT = np.array([0, 0, 0, 0, 0, np.pi / 2])
"""CTF coefficients of a contrast of 1 everywhere."""

WIDE = PoseSpread(psi_deg=50.0, tilt_deg=50.0, shift_px=50.0)


def optics(defocus_u_A: float, defocus_v_A: float, angle_deg: float) -> NDArray:
    """CTF coefficients at 300 kV, Cs 2.7 mm, 10 % amplitude contrast."""
    wavelength = float(ctf.electron_wavelength_A(np.array(300.0)))
    half_A, twice = (defocus_u_A - defocus_v_A) / 2, 2 * np.deg2rad(angle_deg)
    return np.array(
        [
            (defocus_u_A + defocus_v_A) / 2,
            half_A * np.cos(twice),
            half_A * np.sin(twice),
            np.pi * wavelength,
            np.pi / 2 * 2.7e7 * wavelength**3,
            np.arcsin(0.1),
        ]
    )


def level(k_max: int, **values: float) -> SearchLevel:
    """Search level with one cell along every axis unless told otherwise."""
    settings = {
        "n_psi": 1,
        "n_tilt": 1,
        "n_shift": 1,
        "psi_step_deg": 4.0,
        "tilt_step_deg": 6.0,
        "shift_step_px": 1.0,
        "n_axial": 1,
        "n_azimuth": 64,
        "axial_range_px": 6.0,
        "m_max": 30,
    } | values
    return SearchLevel(k_max=k_max, **settings)  # type: ignore[arg-type]


def chunk(
    stack: NDArray[np.floating],
    psi_deg: NDArray[np.float64],
    k_max: int,
    *,
    contrast: NDArray[np.float64] | None = None,
    polarity_prior: tuple[float, float] = (0.5, 0.5),
    filament: NDArray[np.int32] | None = None,
    axial_px: NDArray[np.float64] | None = None,
    tilt_deg: NDArray[np.float64] | None = None,
) -> Chunk:
    """Chunk of images, each a filament of its own unless told otherwise."""
    n = len(stack)
    return Chunk(
        transforms=images.padded_transforms(np.asarray(stack, np.float32), k_max),
        contrast=np.tile(FLAT, (n, 1)) if contrast is None else contrast,
        psi_prior_deg=np.asarray(psi_deg, float),
        tilt_prior_deg=np.full(n, 90.0) if tilt_deg is None else tilt_deg,
        polarity_prior=np.tile(polarity_prior, (n, 1)).astype(float),
        filament=np.arange(n, dtype=np.int32) if filament is None else filament,
        axial_px=np.full(n, np.nan) if axial_px is None else axial_px,
        shift_prior_px=np.zeros(n),
        scale=np.ones(n),
    )


def fan_of(volume: NDArray[np.float32], search: SearchLevel, power: float = 1.0) -> Fan:
    """Fan of a map for flat, unit-power noise."""
    grid = CylinderGrid(len(volume), len(volume) // 2 - 1, search.m_max, 1, 2)
    weight = np.ones(search.k_max + 1)
    return build_fan(grid.from_volume(volume), grid, search, weight, power, BACKEND)


def unit_scales(n: int) -> ScaleFit:
    """Images that all show the reference at its own contrast."""
    return ScaleFit(np.ones(n), np.full(n, 100.0))


def settings(**values: object) -> SearchSettings:
    """Search settings without pruning or coherence unless told otherwise."""
    plain = {
        "spread": WIDE,
        "likelihood_power": 1.0,
        "pruned_mass": 0.0,
        "shared_polarity": False,
        "coherence": None,
    }
    return SearchSettings(**(plain | values))  # type: ignore[arg-type]


@dataclass(frozen=True)
class Simulated:
    """Noisy projections and the poses they were made with (filament frame)."""

    stack: NDArray[np.float32]
    contrast: NDArray[np.float64]
    azimuth_deg: NDArray[np.float64]
    tilt_offset_deg: NDArray[np.float64]
    psi_deg: NDArray[np.float64]
    shift_px: NDArray[np.float64]
    axial_px: NDArray[np.float64]


def simulate(
    points_px: NDArray[np.float64],
    box_px: int,
    *,
    azimuth_deg: NDArray[np.float64],
    psi_deg: NDArray[np.float64],
    tilt_offset_deg: NDArray[np.float64] | float = 0.0,
    shift_px: NDArray[np.float64] | float = 0.0,
    axial_px: NDArray[np.float64] | float = 0.0,
    contrast: NDArray[np.float64] | None = None,
    noise_sd: float = 0.0,
    sigma_px: float = 1.5,
    rng: np.random.Generator | None = None,
) -> Simulated:
    """Project blobs at given poses, apply the CTF and add white noise."""
    n = len(azimuth_deg)
    tilt, across, along = (
        np.broadcast_to(np.asarray(x, float), n)
        for x in (tilt_offset_deg, shift_px, axial_px)
    )
    coefficients = np.tile(FLAT, (n, 1)) if contrast is None else contrast
    frequency = np.fft.fftfreq(box_px) / PIXEL_A
    stack = np.empty((n, box_px, box_px), np.float32)
    for i in range(n):
        a = np.deg2rad(psi_deg[i])
        # Across is (sin, cos) in the image, along is (-cos, sin).
        x = np.sin(a) * across[i] - np.cos(a) * along[i]
        y = np.cos(a) * across[i] + np.sin(a) * along[i]
        angles = (azimuth_deg[i] - 90, 90 + tilt[i], psi_deg[i])
        image = projection(points_px, box_px, angles, (-x, -y), sigma_px)
        c = ctf.evaluate(coefficients[i], frequency[None, :], frequency[:, None])
        # About the centre or about the corner, the CTF is the same factor.
        stack[i] = np.fft.ifft2(np.fft.fft2(image) * c).real
    if noise_sd:
        assert rng is not None
        stack += noise_sd * rng.standard_normal(stack.shape).astype(np.float32)
    return Simulated(
        stack,
        coefficients,
        np.asarray(azimuth_deg, float),
        tilt,
        np.asarray(psi_deg, float),
        across,
        along,
    )
