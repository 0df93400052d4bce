"""Noise spectra: by direct sums, and the true level from images with a known map."""

import numpy as np
import pytest
from numpy.typing import NDArray

from helixnb.core.cylinder import CylinderGrid
from helixnb.core.expectation import Posterior
from helixnb.core.halfplane import HalfPlane
from helixnb.core.maximization import Accumulator
from helixnb.core.noise import residual_power, ring_means, summed_power
from helixnb.core.scoring import make_frames
from helixnb.core.search import Cells
from tests.oracles import blobs, image_transform
from tests.scenes import BACKEND, PIXEL_A, chunk, level, optics, simulate


def _ring_power(stack: NDArray[np.float32]) -> NDArray[np.float64]:
    return ring_means(summed_power(stack) / len(stack), stack.shape[-1])


@pytest.mark.parametrize("box", [16, 17])
def test_ring_power_equals_the_sum_over_the_whole_transform(
    box: int, rng: np.random.Generator
) -> None:
    stack = rng.standard_normal((3, box, box)).astype(np.float32)
    axis = np.fft.fftfreq(box, 1 / box)
    ky, kx = np.meshgrid(axis, axis, indexing="ij")
    power = np.mean([np.abs(image_transform(x, kx, ky)) ** 2 for x in stack], axis=0)
    ring = np.rint(np.hypot(kx, ky)).astype(int)
    expected = [power[ring == k].mean() for k in range(box // 2 + 1)]
    np.testing.assert_allclose(_ring_power(stack), expected, rtol=1e-4)


def test_white_noise_has_a_flat_spectrum(rng: np.random.Generator) -> None:
    stack = 2 * rng.standard_normal((200, 24, 24)).astype(np.float32)
    np.testing.assert_allclose(_ring_power(stack)[1:], 4 * 24**2, rtol=0.15)


@pytest.mark.parametrize("tilt_step_deg", [0.0, 5.0])
def test_residual_is_the_noise_that_was_added(
    tilt_step_deg: float, rng: np.random.Generator
) -> None:
    """|X - C P|^2 from the sums of the M-step, at the true poses."""
    box, k_max, n, noise_sd = 32, 12, 240, 1.5
    points = np.column_stack([rng.uniform(-5, 5, (20, 2)), rng.uniform(-7, 7, 20)])
    search = level(
        k_max, n_tilt=3, n_shift=2, n_axial=3, n_azimuth=90, tilt_step_deg=tilt_step_deg
    )
    cells = Cells(
        *(a.astype(np.int32) for a in (
            np.arange(n), rng.integers(0, 2, n), np.zeros(n),
            np.sort(rng.integers(0, 3, n)), rng.integers(0, 2, n),
        ))
    )  # fmt: skip
    axial, azimuth = rng.integers(0, 3, n), rng.permutation(np.arange(n) % 90)
    psi = rng.uniform(-180, 180, n)
    lens = np.stack([optics(5000 + 10 * i, 5300 + 9 * i, i) for i in range(n)])
    sim = simulate(
        points,
        box,
        azimuth_deg=4.0 * azimuth,
        psi_deg=psi + 180 * cells.polarity,
        tilt_offset_deg=search.tilt_offset_deg[cells.tilt],
        shift_px=search.shift_px[cells.shift],
        axial_px=search.axial_px[axial],
        contrast=lens,
        noise_sd=noise_sd,
        rng=rng,
    )
    images = chunk(sim.stack, psi, k_max, contrast=lens)
    weights = np.zeros((n, 3, 90), np.float32)
    weights[np.arange(n), axial, azimuth] = 1
    posterior = Posterior(search, cells, weights, np.ones(n), np.ones(n), 0)
    # The E-step's own guess of the noise must not matter.
    guess = rng.uniform(0.5, 3, box // 2 + 1) * box**2
    spacing = 1 / (box * PIXEL_A)
    frames = make_frames(images, cells, search, guess, spacing, BACKEND)
    grid = CylinderGrid(box, k_max, 40, 1, 1)
    sums = Accumulator.empty(grid)
    sums.add(posterior, frames, n, BACKEND)
    reference = grid.from_volume(blobs(points, box))
    power = _ring_power(sim.stack)
    rings = HalfPlane(k_max).ring_counts
    found = residual_power(power, guess, [sums], [reference], rings)
    truth = (noise_sd * box) ** 2
    signal = power[1 : k_max - 1] - truth
    assert signal.max() > 5 * truth
    # To a few per cent of the noise, and of the signal that was taken away.
    error = found[1 : k_max - 1] - truth
    assert (np.abs(error) < 0.12 * truth + 0.05 * signal).all()
    # Two halves against their own references are one mean over all images.
    again = residual_power(power, guess, [sums, sums], [reference, reference], rings)
    np.testing.assert_allclose(again, found, rtol=1e-6)
    # A reference of nothing explains nothing.
    blind = residual_power(power, guess, [sums], [0 * reference], rings)
    np.testing.assert_allclose(blind, power[: k_max + 1])


def test_residual_stays_between_a_tenth_and_all_of_the_power(
    rng: np.random.Generator,
) -> None:
    grid = CylinderGrid(24, 8, 4)
    sums = Accumulator.empty(grid)
    sums.n_images = 1
    parts = rng.standard_normal((2, *grid.shape))
    reference = (parts[0] + 1j * parts[1]).astype(np.complex64)
    power = np.full(13, 2.0)
    rings = HalfPlane(8).ring_counts
    for gain, expected in ((1e6, 0.2), (-1e6, 2.0)):
        sums.data[:] = gain * reference
        found = residual_power(power, np.ones(13), [sums], [reference], rings)
        np.testing.assert_allclose(found[1:], expected)
