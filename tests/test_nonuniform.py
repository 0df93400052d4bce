"""The local filter: by its plain form, and on maps whose order differs by place."""

import numpy as np
import pytest
from numpy.typing import NDArray

from helixnb.core.masks import cylinder
from helixnb.core.nonuniform import (
    MAX_WINDOW_RADIUS_A,
    ORDER,
    WINDOW_FACTOR,
    butterworth,
    cutoffs_A,
    filter_locally,
)

BOX, PIXEL_A = 40, 2.0
CUTOFFS_A = cutoffs_A(20.0, 4.0, 9)


def _noise(rng: np.random.Generator, box: int = BOX) -> NDArray[np.float32]:
    return rng.standard_normal((box,) * 3, np.float32)


def _low(volume: NDArray, cutoff_A: float) -> NDArray[np.float64]:
    """Butterworth filter of the full transform in double precision."""
    k = np.fft.fftfreq(len(volume), PIXEL_A)
    radius = np.sqrt(k[:, None, None] ** 2 + k[:, None] ** 2 + k**2)
    gain = 1 / np.sqrt(1 + (radius * cutoff_A) ** (2 * ORDER))
    return np.fft.ifftn(np.fft.fftn(volume.astype(float)) * gain).real


def _blurred(volume: NDArray, radius_A: float) -> NDArray[np.float64]:
    k = np.fft.fftfreq(len(volume), PIXEL_A)
    square = k[:, None, None] ** 2 + k[:, None] ** 2 + k**2
    gain = np.exp(-2 * np.pi**2 * square * radius_A**2 / 5)
    return np.fft.ifftn(np.fft.fftn(volume) * gain).real


@pytest.fixture(scope="module")
def uneven() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Signal to full resolution at x > 0, only to 12 A at x < 0, and its halves."""
    rng = np.random.default_rng(8)
    fine, coarse = _noise(rng), 6 * _low(_noise(rng), 12.0)
    x = np.arange(BOX) - BOX // 2
    side = 1 / (1 + np.exp(-x / 1.0))
    signal = (fine * side + coarse * (1 - side)).astype(np.float32)
    return signal, np.stack([signal + 0.5 * _noise(rng) for _ in range(2)])


def test_candidates_run_from_coarse_to_fine_and_halve_the_power_at_their_cutoff() -> (
    None
):
    assert CUTOFFS_A[[0, -1]] == pytest.approx([20, 4])
    assert np.diff(1 / CUTOFFS_A) == pytest.approx((1 / 4 - 1 / 20) / 8)
    gain = butterworth(np.array([0.5, 1.0, 2.0]) / 8, 8.0)
    assert gain[1] ** 2 == pytest.approx(0.5)
    assert gain[0] > 0.999
    assert gain[2] == pytest.approx(2.0**-ORDER, rel=0.01)


def test_equals_the_plain_sum_of_windowed_differences(
    uneven: tuple[NDArray, NDArray],
) -> None:
    """Loop over candidates in double precision, with |m|^2 left in."""
    _, halves = uneven
    support = np.ones((BOX,) * 3, np.float32)
    found, chosen = filter_locally(halves, halves, support, CUTOFFS_A, PIXEL_A)
    m1, m2 = halves.astype(float)
    low = [(_low(m1, c), _low(m2, c)) for c in CUTOFFS_A]
    error = [(a - m2) ** 2 + (b - m1) ** 2 for a, b in low]
    total = [np.zeros((BOX,) * 3)]
    for i in range(1, len(CUTOFFS_A)):
        radius_A = min(WINDOW_FACTOR / 2 * CUTOFFS_A[i], MAX_WINDOW_RADIUS_A)
        total.append(total[-1] + _blurred(error[i] - error[i - 1], radius_A))
    stacked = np.stack(total)
    expected = stacked.argmin(0)
    # Ties within rounding may fall either way.
    lowest = np.sort(stacked, axis=0)
    clear = lowest[1] - lowest[0] > 1e-4 * np.ptp(stacked)
    assert clear.mean() > 0.9
    np.testing.assert_array_equal(chosen.chosen[clear], expected[clear])
    for half in (0, 1):
        plain = np.choose(expected, [pair[half] for pair in low])
        np.testing.assert_allclose(found[half][clear], plain[clear], atol=1e-3)
    np.testing.assert_allclose(chosen.cutoff_A, CUTOFFS_A[chosen.chosen], rtol=1e-6)


def test_order_keeps_detail_and_disorder_loses_noise(
    uneven: tuple[NDArray, NDArray],
) -> None:
    signal, halves = uneven
    support = np.ones((BOX,) * 3, np.float32)
    found, chosen = filter_locally(halves, halves, support, CUTOFFS_A, PIXEL_A)
    left, right = np.s_[:, :, 5:14], np.s_[:, :, 27:36]
    assert np.median(chosen.cutoff_A[right]) < 6
    assert np.median(chosen.cutoff_A[left]) > 9

    def error(volume: NDArray, where: tuple[slice, ...]) -> float:
        return float(((volume - signal)[where] ** 2).mean())

    # Better than any one filter for the whole map.
    both = error(found[0], left) + error(found[0], right)
    uniform = (_low(halves[0], c) for c in CUTOFFS_A)
    assert all(both < error(u, left) + error(u, right) for u in uniform)
    assert both < error(halves[0], left) + error(halves[0], right)


def test_noise_alone_is_filtered_as_far_as_possible(rng: np.random.Generator) -> None:
    halves = np.stack([_noise(rng), _noise(rng)])
    support = np.ones((BOX,) * 3, np.float32)
    _, chosen = filter_locally(halves, halves, support, CUTOFFS_A, PIXEL_A)
    assert np.mean(chosen.chosen <= 1) > 0.95


def test_halves_share_the_cutoff_and_nothing_else(
    uneven: tuple[NDArray, NDArray], rng: np.random.Generator
) -> None:
    """With the same choice, one half does not depend on the density of the other."""
    _, halves = uneven
    support = np.ones((BOX,) * 3, np.float32)
    found, chosen = filter_locally(halves, halves, support, CUTOFFS_A, PIXEL_A)
    for i, c in enumerate(CUTOFFS_A):
        own = _low(halves[0], c)
        here = chosen.chosen == i
        np.testing.assert_allclose(found[0][here], own[here], atol=1e-3)


def test_maps_to_filter_may_differ_from_those_that_choose(
    uneven: tuple[NDArray, NDArray],
) -> None:
    _, halves = uneven
    support = np.ones((BOX,) * 3, np.float32)
    found, chosen = filter_locally(0.5 * halves, halves, support, CUTOFFS_A, PIXEL_A)
    # Half as high, an unfiltered map is trusted further.
    plain, usual = filter_locally(halves, halves, support, CUTOFFS_A, PIXEL_A)
    assert chosen.chosen.mean() > usual.chosen.mean()
    same = chosen.chosen == usual.chosen
    np.testing.assert_allclose(found[:, same], 0.5 * plain[:, same], atol=1e-4)


def test_a_narrow_support_gives_the_same_as_the_whole_box(
    rng: np.random.Generator,
) -> None:
    """Only a block about the support is computed."""
    box = 72
    support = cylinder(box, outer_radius_px=9, edge_px=3)
    signal = 2 * _low(_noise(rng, box), 8.0).astype(np.float32)
    halves = np.stack([(signal + _noise(rng, box)) for _ in range(2)])
    found, chosen = filter_locally(halves, halves, support, CUTOFFS_A, PIXEL_A)
    assert not found[:, :, :3].any(), "the whole box was filtered"
    inside = support > 0.5
    low = [_low(halves[0], c) for c in CUTOFFS_A]
    plain = np.choose(chosen.chosen, low)
    assert np.abs((found[0] - plain)[inside]).max() < 0.05 * plain[inside].std()
