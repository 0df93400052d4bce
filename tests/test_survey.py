"""What the images say before anything is aligned: power, CTF and filament width."""

from pathlib import Path

import numpy as np
import pytest

from helixnb.backend import get_backend
from helixnb.core import ctf, images
from helixnb.iteration.survey import (
    filament_radius_px,
    mean_ctf_power,
    mean_filtered_image,
    mean_image_power,
)
from helixnb.particles import ParticleSet
from helixnb.simulate import Filaments, Microscope, simulate_segments
from tests.oracles import contrast

CPU = get_backend("cpu")


def _silent(stage: str, done: int, total: int) -> None:
    """Progress that nobody watches."""


@pytest.fixture(scope="module")
def particles(tmp_path_factory: pytest.TempPathFactory) -> ParticleSet:
    data = simulate_segments(
        tmp_path_factory.mktemp("survey"),
        twist_deg=54.0,
        rise_A=16.5,
        box_px=48,
        filaments=Filaments(n_filaments=4, segments_per_filament=10),
        microscope=Microscope(snr=0.2),
        seed=1,
    )
    return ParticleSet.from_star(data.particles_star)


def test_image_power_is_the_mean_over_normalised_images(
    particles: ParticleSet, rng: np.random.Generator
) -> None:
    found = mean_image_power(particles, rng, CPU, _silent)
    stack = images.normalise(particles.read(np.arange(len(particles)))).astype(float)
    power = (np.abs(np.fft.fft2(stack)) ** 2).mean(0)
    axis = np.fft.fftfreq(48, 1 / 48)
    ring = np.rint(np.hypot(axis[:, None], axis)).astype(int)
    expected = [power[ring == k].mean() for k in range(25)]
    np.testing.assert_allclose(found[1:], expected[1:], rtol=1e-3)


def test_image_power_tells_what_it_does(
    particles: ParticleSet, rng: np.random.Generator
) -> None:
    told = []
    mean_image_power(particles, rng, CPU, lambda *event: told.append(event))
    assert told
    stage, done, total = told[0]
    assert (stage, done, total) == ("noise spectrum", 0, len(particles))


@pytest.mark.parametrize("n", [33, 40])
def test_filtered_image_is_the_mean_over_every_other_image(
    particles: ParticleSet, n: int
) -> None:
    """Against one image at a time; the two parts do not depend on how many are read."""
    some = particles.subset(np.arange(n))
    found = mean_filtered_image(some, np.random.default_rng(0), CPU, _silent)
    stack = images.normalise(some.read(np.arange(n))).astype(float)
    spectra = np.fft.fft2(np.fft.ifftshift(stack, axes=(1, 2))).real
    k = np.fft.fftfreq(48, some.pixel_size_A)
    kx, ky = k[None, :], k[:, None]
    optics = ctf.coefficients(some)
    filtered = [
        s * ctf.evaluate(c, kx, ky) for s, c in zip(spectra, optics, strict=True)
    ]
    ring = np.rint(np.hypot(kx, ky) * 48 * some.pixel_size_A).astype(int)
    for part in (0, 1):
        mean = np.mean(filtered[part::2], axis=0)
        expected = [mean[ring == r].mean() for r in range(25)]
        scale = np.abs(expected).max()
        # Of an even box the last row and column stand for both signs.
        np.testing.assert_allclose(found[part, :24], expected[:24], atol=1e-3 * scale)


def test_ctf_power_is_the_mean_over_images_and_directions(
    particles: ParticleSet,
) -> None:
    found = mean_ctf_power(particles)
    k = np.arange(25) / (48 * particles.pixel_size_A)
    angle = np.deg2rad(np.arange(0, 360, 3))
    kx, ky = np.outer(k, np.cos(angle)), np.outer(k, np.sin(angle))
    expected = np.mean(
        [
            contrast(
                kx,
                ky,
                defocus_u_A=particles.defocus_u_A[i],
                defocus_v_A=particles.defocus_v_A[i],
                angle_deg=particles.defocus_angle_deg[i],
            )
            ** 2
            for i in range(len(particles))
        ],
        axis=(0, 2),
    )
    # Four directions stand for all.
    np.testing.assert_allclose(found, expected, atol=0.06)
    amplitude = ctf.coefficients(particles)[0, -1]
    assert found[0] == pytest.approx(np.sin(amplitude) ** 2, rel=1e-6)


@pytest.mark.parametrize(("radius", "hole"), [(8.0, 0.0), (13.0, 6.0)])
def test_radius_is_that_of_the_density(
    radius: float, hole: float, rng: np.random.Generator
) -> None:
    box = 64
    axis = np.arange(box) - box // 2
    r = np.hypot(axis[:, None], axis)
    tube = 1 / (1 + np.exp((r - radius) / 0.5)) * (r > hole)
    density = tube[None] + 0.05 * rng.standard_normal((box, box, box))
    found = filament_radius_px(density.astype(np.float32))
    # With a few pixels of margin, and never cutting density off.
    assert radius + 1 <= found <= radius + 5


def test_radius_stays_in_the_box(rng: np.random.Generator) -> None:
    axis = np.arange(40) - 20
    r = np.hypot(axis[:, None], axis)
    wide = np.broadcast_to(np.exp(-(r**2) / 400), (40, 40, 40)).astype(np.float32)
    assert filament_radius_px(wide) <= 0.45 * 40


def test_ctf_of_a_subset_follows_the_subset(particles: ParticleSet) -> None:
    first = particles.subset(np.flatnonzero(particles.filament == 0))
    assert not np.allclose(mean_ctf_power(first), mean_ctf_power(particles), atol=1e-3)


def test_survey_writes_nothing(
    particles: ParticleSet, rng: np.random.Generator
) -> None:
    folder = Path(particles.source).parent
    before = {p: p.stat().st_mtime_ns for p in folder.iterdir()}
    mean_image_power(particles, rng, CPU, _silent)
    assert {p: p.stat().st_mtime_ns for p in folder.iterdir()} == before
