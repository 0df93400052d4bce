"""FSC by its formula, and the correction for what a mask pretends."""

from collections.abc import Sequence

import numpy as np
import pytest
import scipy.fft as sfft
from numpy.typing import NDArray

from helixnb.backend import get_backend
from helixnb.backend.phases import random_phases
from helixnb.core.fsc import (
    RANDOMISE_BELOW,
    FSCMasks,
    HalfMapFSC,
    NoiseSubstitution,
    _randomised,
    first_below,
    half_map_fsc,
    resolution_A,
    shell_correlation,
    shell_index,
)
from helixnb.core.masks import cylinder
from tests.oracles import blobs

PIXEL_A = 2.0
CPU = get_backend("cpu")


def _measured(
    halves: Sequence[NDArray], mask: NDArray[np.float32], rng: np.random.Generator
) -> tuple[HalfMapFSC, NoiseSubstitution]:
    """FSC with one mask in all places, and its noise substitution."""
    found = half_map_fsc(*halves, FSCMasks(mask, mask, mask), PIXEL_A, rng, CPU)
    assert found.substitution is not None
    return found, found.substitution


def _noise(rng: np.random.Generator, box: int) -> NDArray[np.float32]:
    return rng.standard_normal((box, box, box), np.float32)


@pytest.mark.parametrize("box", [12, 13])
def test_curve_equals_the_formula_over_the_full_transform(
    box: int, rng: np.random.Generator
) -> None:
    first = _noise(rng, box)
    second = first + 0.7 * _noise(rng, box)
    f, g = np.fft.fftn(first.astype(float)), np.fft.fftn(second.astype(float))
    axis = np.fft.fftfreq(box, 1 / box)
    expected = np.zeros(box // 2 + 1)
    cross = np.zeros(box // 2 + 1)
    power = np.zeros((2, box // 2 + 1))
    for i, z in enumerate(axis):
        for j, y in enumerate(axis):
            for k, x in enumerate(axis):
                shell = round(float(np.sqrt(x * x + y * y + z * z)))
                if shell <= box // 2:
                    a, b = f[i, j, k], g[i, j, k]
                    cross[shell] += (a * np.conj(b)).real
                    power[:, shell] += abs(a) ** 2, abs(b) ** 2
    expected = cross / np.sqrt(power.prod(0))
    found = shell_correlation(sfft.rfftn(first), sfft.rfftn(second), box)
    np.testing.assert_allclose(found[1:], expected[1:], atol=1e-5)


def test_a_map_agrees_with_itself_and_not_with_its_negative(
    rng: np.random.Generator,
) -> None:
    spectrum = sfft.rfftn(_noise(rng, 24))
    np.testing.assert_allclose(shell_correlation(spectrum, spectrum, 24), 1, atol=1e-6)
    opposite = shell_correlation(spectrum, -spectrum, 24)
    np.testing.assert_allclose(opposite[1:], -1, atol=1e-6)
    # A scale is no difference.
    scaled = shell_correlation(spectrum, 7 * spectrum, 24)
    np.testing.assert_allclose(scaled, 1, atol=1e-6)


def test_independent_noise_stays_within_its_statistics(
    rng: np.random.Generator,
) -> None:
    box = 32
    n = np.bincount(
        np.rint(
            np.sqrt(sum(a.astype(float) ** 2 for a in np.mgrid[-16:16, -16:16, -16:16]))
        )
        .astype(int)
        .ravel()
    )[: box // 2 + 1]
    f, g = sfft.rfftn(_noise(rng, box)), sfft.rfftn(_noise(rng, box))
    # Friedel mates are not independent: sd = sqrt(2 / n).
    assert (np.abs(shell_correlation(f, g, box)[2:]) < 3.5 * np.sqrt(2 / n[2:])).all()


def test_known_signal_to_noise_gives_its_fsc(rng: np.random.Generator) -> None:
    box = 40
    signal = _noise(rng, box)
    for snr in (0.3, 2.0):
        noise = [_noise(rng, box) / np.sqrt(snr) for _ in range(2)]
        f, g = (sfft.rfftn(signal + x) for x in noise)
        curve = shell_correlation(f, g, box)
        assert curve[6:].mean() == pytest.approx(snr / (1 + snr), abs=0.03)


def test_randomised_phases_keep_amplitudes_and_the_low_resolution(
    rng: np.random.Generator,
) -> None:
    box, start = 24, 6
    spectrum = sfft.rfftn(_noise(rng, box))
    mixed = sfft.rfftn(_randomised(spectrum, start, 8))
    scale = np.abs(spectrum).max()
    np.testing.assert_allclose(np.abs(mixed), np.abs(spectrum), atol=1e-4 * scale)
    low = shell_index(box) < start
    np.testing.assert_allclose(mixed[low], spectrum[low], atol=1e-4 * scale)
    curve = shell_correlation(mixed, spectrum, box)
    assert np.abs(curve[start + 1 :]).max() < 0.25
    # Drawn anew for each half, or they would agree with each other.
    other = sfft.rfftn(_randomised(spectrum, start, 9))
    assert np.abs(shell_correlation(mixed, other, box)[start + 1 :]).max() < 0.25


@pytest.mark.parametrize("box", [12, 13])
def test_random_phases_are_those_of_a_real_map(
    box: int, rng: np.random.Generator
) -> None:
    """Mates stay conjugate, and phases of all components uniform and independent."""
    spectrum = sfft.rfftn(_noise(rng, box))
    drawn = np.array([random_phases(spectrum, 3, seed) for seed in range(400)])
    shape = (box,) * 3
    for mixed in drawn[:3]:
        again = sfft.rfftn(sfft.irfftn(mixed, shape))
        np.testing.assert_allclose(again, mixed, atol=1e-4)
    beyond = shell_index(box) >= 3
    waves = (drawn / np.abs(spectrum))[:, beyond]
    # The standard deviation of these means is 1 / 20, and of products as well.
    assert np.abs(waves.mean(0)).max() < 0.25
    own = np.abs(waves.imag).max(0) < 1e-6
    assert own.sum() == (7 if box % 2 == 0 else 0)
    assert np.abs((waves**2).mean(0)[~own]).max() < 0.25
    assert np.abs((waves[:, 1:] * waves[:, :-1].conj()).mean(0)).max() < 0.25
    assert np.abs((waves[1:] * waves[:-1].conj()).mean(0)).max() < 0.25


def test_correction_removes_what_a_tight_mask_pretends(
    rng: np.random.Generator,
) -> None:
    """Halves that share only low resolution, seen through a narrow mask."""
    box = 48
    shared = blobs(rng.uniform(-6, 6, (30, 3)), box, sigma_px=3.0)
    halves = [shared + 0.6 * _noise(rng, box) for _ in range(2)]
    mask = cylinder(box, outer_radius_px=4, axial_fraction=0.25, edge_px=1.0)
    found, noise = _measured(halves, mask, rng)
    assert found.unmasked[noise.from_shell] < RANDOMISE_BELOW
    assert (found.unmasked[1 : noise.from_shell] >= RANDOMISE_BELOW).all()
    beyond = slice(noise.from_shell + 2, None)
    np.testing.assert_array_equal(
        noise.corrected[: noise.from_shell + 2],
        found.cylinder[: noise.from_shell + 2],
    )
    m, r, c = (x[beyond] for x in (found.cylinder, noise.cylinder, noise.corrected))
    usual = r < 0.99
    assert (r[usual] > 0.1).any()
    expected = (m - r) / (1 - r)
    np.testing.assert_allclose(c[usual], expected[usual], atol=1e-6)
    # Never more than the mask's own curve, even where that is all but 1.
    assert (c[r > 0] <= m[r > 0] + 1e-6).all()
    assert (c[r >= m] <= 1e-6).all()
    assert found.frequency_per_A[-1] == pytest.approx(1 / (2 * PIXEL_A))
    # Where only noise is left, the corrected curve is about 0.
    tail = slice(16, None)
    assert np.abs(noise.corrected[tail].mean()) < 0.15


def test_correction_stays_finite_where_the_mask_pretends_everything(
    rng: np.random.Generator,
) -> None:
    """Without noise, masked and randomised curves are both all but 1."""
    shared = blobs(rng.uniform(-6, 6, (30, 3)), 48, sigma_px=3.0)
    halves = [shared + 0.02 * _noise(rng, 48) for _ in range(2)]
    mask = cylinder(48, outer_radius_px=4, axial_fraction=0.25, edge_px=1.0)
    found, noise = _measured(halves, mask, rng)
    beyond = slice(noise.from_shell + 2, None)
    m, r, c = (x[beyond] for x in (found.cylinder, noise.cylinder, noise.corrected))
    assert (r > 0.999).any()
    assert (c <= m + 1e-6).all()
    assert (c[r >= m] <= 1e-6).all()


def test_a_mask_that_keeps_shared_noise_is_caught(rng: np.random.Generator) -> None:
    """The sharp edge of one mask on both halves correlates them; phases tell."""
    box = 48
    rod = 8 * cylinder(box, outer_radius_px=9, edge_px=8)
    halves = [rod + _noise(rng, box) for _ in range(2)]
    mask = cylinder(box, outer_radius_px=5, axial_fraction=0.4, edge_px=1.0)
    found, noise = _measured(halves, mask, rng)
    high = slice(noise.from_shell + 3, None)
    assert found.cylinder[high].mean() > 0.1
    assert abs(noise.corrected[high].mean()) < 0.6 * found.cylinder[high].mean()


def test_random_phases_follow_the_generator(rng: np.random.Generator) -> None:
    halves = _noise(rng, 24), _noise(rng, 24)
    mask = cylinder(24, outer_radius_px=6)
    curves = [
        _measured(halves, mask, np.random.default_rng(s))[1].cylinder for s in (1, 1, 2)
    ]
    np.testing.assert_array_equal(curves[0], curves[1])
    assert (curves[0] != curves[2]).any()


def _naive_fsc(first: NDArray, second: NDArray) -> NDArray[np.float64]:
    """FSC over the full transform in double precision."""
    box = len(first)
    f, g = np.fft.fftn(first.astype(float)), np.fft.fftn(second.astype(float))
    k = np.fft.fftfreq(box, 1 / box)
    shell = np.rint(np.sqrt(k[:, None, None] ** 2 + k[:, None] ** 2 + k**2))
    curve = np.ones(box // 2 + 1)
    for r in range(1, box // 2 + 1):
        a, b = f[shell == r], g[shell == r]
        power = (np.abs(a) ** 2).sum() * (np.abs(b) ** 2).sum()
        curve[r] = (a * b.conj()).sum().real / np.sqrt(power)
    return curve


def _naive_waves(box: int, seed: int) -> NDArray[np.complex128]:
    """Waves of random phase for the full transform, SplitMix64 in Python's integers."""
    waves, width = np.zeros((box, box, box), complex), box // 2 + 1
    for place in np.ndindex(waves.shape):
        mate = tuple(-i % box for i in place)
        stored = [p for p in (place, mate) if p[2] < width]
        first = min(stored)
        number = (first[0] * box + first[1]) * width + first[2]
        bits = (seed + (number + 1) * 0x9E3779B97F4A7C15) % 2**64
        bits = (bits ^ bits >> 30) * 0xBF58476D1CE4E5B9 % 2**64
        bits = (bits ^ bits >> 27) * 0x94D049BB133111EB % 2**64
        bits ^= bits >> 31
        turns = (bits >> 63) / 2 if place == mate else (bits >> 40) / 2**24
        waves[place] = np.exp(2j * np.pi * (turns if first == place else -turns))
    return waves


@pytest.mark.parametrize("box", [20, 21])
def test_every_curve_equals_its_plain_form_in_double_precision(
    box: int, rng: np.random.Generator
) -> None:
    shared = blobs(rng.uniform(-4, 4, (20, 3)), box, sigma_px=2.0)
    first, second = (shared + 0.2 * _noise(rng, box) for _ in range(2))
    masks = FSCMasks(
        *(
            cylinder(box, outer_radius_px=r, axial_fraction=0.7, edge_px=2.0)
            for r in (7, 8, 4)
        )
    )
    found = half_map_fsc(first, second, masks, PIXEL_A, np.random.default_rng(5), CPU)
    noise = found.substitution
    assert noise is not None
    np.testing.assert_allclose(found.unmasked, _naive_fsc(first, second), atol=2e-5)
    for name in ("cylinder", "loose", "tight"):
        mask = getattr(masks, name)
        expected = _naive_fsc(first * mask, second * mask)
        np.testing.assert_allclose(getattr(found, name), expected, atol=2e-5)

    # Phases by the place of a component, of the same two seeds, from the shell on.
    start = int(np.flatnonzero(found.unmasked < RANDOMISE_BELOW)[0])
    assert noise.from_shell == start
    draws = np.random.default_rng(5)
    k = np.fft.fftfreq(box, 1 / box)
    shell = np.rint(np.sqrt(k[:, None, None] ** 2 + k[:, None] ** 2 + k**2))
    scrambled = []
    for volume in (first, second):
        spectrum = np.fft.fftn(volume.astype(float))
        phased = np.abs(spectrum) * _naive_waves(box, int(draws.integers(2**63)))
        mixed = np.where(shell < start, spectrum, phased)
        scrambled.append(np.fft.ifftn(mixed).real)
    for mask, of, curve, corrected in (
        (masks.cylinder, found.cylinder, noise.cylinder, noise.corrected),
        (masks.tight, found.tight, noise.tight, noise.tight_corrected),
    ):
        bias = _naive_fsc(scrambled[0] * mask, scrambled[1] * mask)
        np.testing.assert_allclose(curve, bias, atol=5e-5)
        expected = of.copy()
        expected[start + 2 :] -= bias[start + 2 :]
        expected[start + 2 :] /= 1 - bias[start + 2 :]
        np.testing.assert_allclose(corrected, expected, atol=5e-4)


def test_without_noise_substitution_the_unmasked_curve_is_reported(
    rng: np.random.Generator,
) -> None:
    halves = _noise(rng, 24), _noise(rng, 24)
    mask = cylinder(24, outer_radius_px=6)
    masks = FSCMasks(mask, mask, mask)
    plain = half_map_fsc(*halves, masks, PIXEL_A, None, CPU)
    assert plain.substitution is None
    assert plain.reported is plain.unmasked
    full, noise = _measured(halves, mask, rng)
    assert full.reported is noise.corrected
    np.testing.assert_array_equal(full.unmasked, plain.unmasked)


def test_first_below() -> None:
    assert first_below(np.array([1.0, 0.9, 0.2, 0.8, 0.1]), 0.5) == 2
    assert first_below(np.array([0.0, 0.9, 0.8]), 0.5) == 3  # the origin does not count


def test_resolution_is_interpolated_between_shells() -> None:
    frequency = np.array([0.0, 0.05, 0.10, 0.15, 0.20])
    curve = np.array([1.0, 0.9, 0.343, -0.057, 0.0])
    # Half way from 0.343 to -0.057.
    assert resolution_A(frequency, curve) == pytest.approx(1 / 0.125)
    assert resolution_A(frequency, curve, 0.5) == pytest.approx(
        1 / (0.05 + 0.05 * 0.4 / 0.557)
    )


def test_resolution_without_a_crossing_is_nyquist() -> None:
    frequency = np.array([0.0, 0.1, 0.2])
    assert resolution_A(frequency, np.ones(3)) == pytest.approx(5.0)
