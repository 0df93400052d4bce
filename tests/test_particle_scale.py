"""The scale of each image: found as simulated, and drawn to 1 as far as it is noise."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from numpy.typing import NDArray

from helixnb.core.expectation import expectation
from helixnb.core.particle_scale import (
    ScaleFit,
    fit_scales,
    left_out,
    shrunk_scales,
)
from helixnb.core.scoring import Chunk
from tests.oracles import blobs, helix
from tests.scenes import BACKEND, PIXEL_A, chunk, fan_of, level, settings, simulate

BOX, K_MAX, N = 28, 10, 16
LEVEL = level(
    K_MAX, n_psi=5, n_tilt=3, n_shift=5, psi_step_deg=4.0, n_axial=12, n_azimuth=96
)
POINTS = helix(np.random.default_rng(5).uniform(-6, 6, (5, 3)), 70.0, 6.0, 30.0)
SPACING = 1 / (BOX * PIXEL_A)


def _scales(chunk_: Chunk, volume: NDArray, noise_sd: float) -> ScaleFit:
    fan = fan_of(volume, LEVEL)
    noise = np.full(K_MAX + 1, noise_sd**2 * BOX**2)
    posterior, frames = expectation(
        chunk_, [fan], noise, settings(), spacing_per_A=SPACING, backend=BACKEND
    )
    return fit_scales(chunk_, posterior, frames, fan, BACKEND)


def _images(
    rng: np.random.Generator, scale: NDArray, noise_sd: float
) -> tuple[NDArray, NDArray]:
    n = len(scale)
    azimuth, psi = rng.uniform(0, 360, n), rng.uniform(0, 360, n)
    scene = simulate(POINTS, BOX, azimuth_deg=azimuth, psi_deg=psi)
    stack = scale[:, None, None] * scene.stack
    return stack + noise_sd * rng.standard_normal(stack.shape), psi


@pytest.fixture(scope="module")
def volume() -> NDArray:
    return blobs(POINTS, BOX)


def test_scales_are_found_as_simulated(
    volume: NDArray, rng: np.random.Generator
) -> None:
    true = rng.uniform(0.5, 1.5, N)
    stack, psi = _images(rng, true, noise_sd=0.3)
    fit = _scales(chunk(stack, psi, K_MAX), volume, 0.3)
    error = fit.scale - true
    # Poses are on a grid, so scales come out a little low.
    assert np.corrcoef(fit.scale, true)[0, 1] > 0.95
    assert abs(np.median(error)) < 0.1


def test_information_is_the_power_of_the_reference_over_that_of_noise(
    volume: NDArray, rng: np.random.Generator
) -> None:
    psi = rng.uniform(0, 360, N)
    azimuth = rng.uniform(0, 360, N)
    clean = simulate(POINTS, BOX, azimuth_deg=azimuth, psi_deg=psi).stack
    noise_sd = 0.5
    noisy = clean + noise_sd * rng.standard_normal(clean.shape)
    fit = _scales(chunk(noisy, psi, K_MAX), volume, noise_sd)
    k = np.fft.fftfreq(BOX, 1 / BOX)
    radius = np.hypot(k[:, None], k)
    inside = (radius > 0) & (radius <= K_MAX)
    power = (np.abs(np.fft.fft2(clean)) ** 2 * inside).sum((1, 2))
    expected = power / (noise_sd * BOX) ** 2
    # Poses are on a grid, which is off for some.
    assert np.median(fit.information / expected) == pytest.approx(1, abs=0.03)


def test_scales_in_use_do_not_change_the_estimate(
    volume: NDArray, rng: np.random.Generator
) -> None:
    stack, psi = _images(rng, np.ones(N), noise_sd=0.5)
    plain = chunk(stack, psi, K_MAX)
    scaled = dataclasses.replace(plain, scale=np.full(N, 0.8))
    first, second = _scales(plain, volume, 0.5), _scales(scaled, volume, 0.5)
    np.testing.assert_allclose(first.scale, second.scale, rtol=0.02)
    np.testing.assert_allclose(first.information, second.information, rtol=0.05)


def test_images_of_opposite_contrast_have_no_positive_scale(
    volume: NDArray, rng: np.random.Generator
) -> None:
    stack, psi = _images(rng, np.full(N, -1.0), noise_sd=0.05)
    fit = _scales(chunk(stack, psi, K_MAX), volume, 0.05)
    assert (fit.scale < 0.2).all()


@pytest.mark.parametrize("mean", [0.7, 1.3])
def test_estimates_that_are_all_noise_become_one(
    mean: float, rng: np.random.Generator
) -> None:
    information = np.full(4000, 100.0)
    scale = mean + rng.normal(0, 0.1, 4000)
    used = shrunk_scales(scale, information)
    assert np.std(used) < 0.05
    assert used.mean() == pytest.approx(1.0, abs=0.02)


def test_true_differences_are_kept(rng: np.random.Generator) -> None:
    true = rng.normal(1.0, 0.25, 4000)
    scale = true + rng.normal(0, 0.1, 4000)
    used = shrunk_scales(scale, np.full(4000, 100.0))
    kept = used > 0
    error, raw = (used - true)[kept], (scale - true)[kept]
    assert np.std(error) < np.std(raw)
    slope = np.polyfit(true[kept], used[kept], 1)[0]
    assert slope == pytest.approx(0.25**2 / (0.25**2 + 0.1**2), abs=0.05)


def test_negative_scales_are_left_out_and_unknown_ones_are_one() -> None:
    scale = np.array([1.0, 1.2, 0.8, -0.3, np.nan])
    used = shrunk_scales(scale, np.full(5, 50.0))
    assert used[3] == 0
    assert used[4] == 1
    assert (used[:3] > 0).all()


def test_the_emptier_half_tells_how_many_are_left_out() -> None:
    scale = np.array([1.0, -0.1, np.nan, -2.0, 0.0, 1.0, -1.0, -1.0])
    half = np.array([0, 0, 0, 0, 1, 1, 1, 1], np.int8)
    assert left_out(scale, half) == 0.75
