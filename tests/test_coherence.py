"""Messages along a filament against the exact joint posterior of small chains.

The oracle lives in real space: a latent register (azimuth, axial shift) on the
twisted torus f(phi, s + rise) = f(phi + twist, s), Gaussian kernels summed over its
images, and the joint probability of all segments written out as one big array.
"""

from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray

from helixnb.core.coherence import (
    CoherenceModel,
    filament_messages,
    independent_messages,
    polarity_messages,
)

N_AXIAL, N_AZIMUTH = 4, 12
RISE = 6.0
# One rise turns by two steps of the table; sd of at least a step sample well.
MODEL = CoherenceModel(
    period_px=RISE,
    period_twist_deg=60.0,
    cyclic=1,
    picking_sd_px=1.8,
    drift_deg=36.0,
    slip_probability=0.05,
)


def _kernel(
    model: CoherenceModel, move_px: float, axial_sd: float, turn_sd_deg: float
) -> NDArray[np.float64]:
    """K[to, from]: chance to go from (s, phi) to (s + move, phi) give or take.

    Every state is seen in all its images (phi + k twist + 360 j / c, s - k rise).
    """
    s = RISE * (np.arange(N_AXIAL) / N_AXIAL - 0.5)
    sector = 360.0 / model.cyclic
    phi = sector * np.arange(N_AZIMUTH) / N_AZIMUTH
    out = np.zeros((N_AXIAL, N_AZIMUTH, N_AXIAL, N_AZIMUTH))
    for k in range(-30, 31):
        for j in range(-6, 7):
            ds = s[:, None, None, None] - k * RISE - (s[None, None, :, None] + move_px)
            dphi = phi[None, :, None, None] + k * model.period_twist_deg + sector * j
            dphi = dphi - phi[None, None, None, :]
            if axial_sd == 0:
                along = np.where(np.abs(ds) < 1e-6, 1.0, 0.0)
            else:
                along = np.exp(-0.5 * (ds / axial_sd) ** 2)
            if turn_sd_deg == 0:
                around = np.where(np.abs(dphi) < 1e-6, 1.0, 0.0)
            else:
                around = np.exp(-0.5 * (dphi / turn_sd_deg) ** 2)
            out += along * around
    flat = out.reshape(N_AXIAL * N_AZIMUTH, -1)
    return flat / flat.sum(0)


def _exact_posterior(
    likelihood: NDArray[np.float64],
    position: NDArray[np.float64],
    prior: NDArray[np.float64],
    model: CoherenceModel,
) -> NDArray[np.float64]:
    """Posterior of every segment (n, 2, axial, azimuth) from the full joint.

    Register x of a segment at t: the helix seen at s + t is the same for all.
    Segments are in the order of their positions.
    """
    n, states = len(likelihood), N_AXIAL * N_AZIMUTH
    pick = _kernel(model, 0.0, model.picking_sd_px, 0.0)
    gaps = np.abs(np.diff(position))
    typical = np.median(gaps)
    out = np.zeros((n, 2, states))
    for polarity in (0, 1):
        sign = 1 - 2 * polarity
        flat = likelihood[:, polarity].reshape(n, states)
        emission = flat @ pick.T  # likelihood of a register, over picking errors
        joint = emission[0].astype(float) / states
        for i in range(1, n):
            step = sign * (position[i] - position[i - 1])
            drift = model.drift_deg * np.sqrt(abs(step) / typical)
            move = _kernel(model, -step, 0.0, drift)
            slip = model.slip_probability
            move = (1 - slip) * move + slip / states
            joint = joint[..., :, None] * move.T * emission[i]
        joint *= prior[polarity]
        for i in range(n):
            others = tuple(a for a in range(n) if a != i)
            register = joint.sum(others)  # of segment i, all evidence
            without_own = register / emission[i]
            out[i, polarity] = flat[i] * (pick.T @ without_own)
    out /= out.sum((1, 2), keepdims=True)
    return out.reshape(n, 2, N_AXIAL, N_AZIMUTH)


def _posterior(
    likelihood: NDArray[np.float64],
    position: NDArray[np.float64],
    prior: NDArray[np.float64],
    model: CoherenceModel,
) -> NDArray[np.float64]:
    """Posterior through messages, from tables scaled as the E-step scales them."""
    log_scale = np.log(likelihood.max((2, 3)))
    evidence = likelihood / likelihood.max((2, 3), keepdims=True)
    messages, _ = filament_messages(
        evidence.astype(np.float32), log_scale, position, prior, model
    )
    product = evidence * messages
    return product / product.sum((1, 2, 3), keepdims=True)


def test_filaments_side_by_side_are_as_one_by_one(rng: np.random.Generator) -> None:
    """Of different lengths, one with unknown places, one of a single segment."""
    model = CoherenceModel(RISE, 60.0, 1, 1.8, 36.0, slip_probability=0.05)
    starts = [0, 3, 4, 9, 11]
    evidence = _likelihood(rng, 11).astype(np.float32)
    log_scale = rng.normal(0, 3, (11, 2))
    position = np.array(
        [4.0, -3.0, 9.0, 2.0, 1.0, 30.0, np.nan, 14.0, 7.0, np.nan, np.nan]
    )
    prior = np.array([[0.4, 0.6], [0.5, 0.5], [1.0, 0.0], [0.2, 0.8]])
    together, _ = filament_messages(evidence, log_scale, position, prior, model, starts)
    for i, (first, last) in enumerate(pairwise(starts)):
        one = slice(first, last)
        alone, _ = filament_messages(
            evidence[one], log_scale[one], position[one], prior[i], model
        )
        np.testing.assert_allclose(together[one], alone, rtol=1e-5, atol=1e-20)


def _likelihood(rng: np.random.Generator, n: int) -> NDArray[np.float64]:
    return np.exp(rng.normal(0, 1.5, (n, 2, N_AXIAL, N_AZIMUTH)))


@pytest.mark.parametrize("cyclic", [1, 3])
@pytest.mark.parametrize("twist_deg", [60.0, -90.0])
def test_messages_equal_the_exact_joint_posterior(
    cyclic: int, twist_deg: float, rng: np.random.Generator
) -> None:
    model = CoherenceModel(
        RISE, twist_deg / cyclic, cyclic, 1.8, 36.0 / cyclic, slip_probability=0.05
    )
    likelihood = _likelihood(rng, 4)
    position = RISE / N_AXIAL * np.array([-7.0, 0.0, 9.0, 15.0])
    prior = np.array([0.4, 0.6])
    expected = _exact_posterior(likelihood, position, prior, model)
    found = _posterior(likelihood, position, prior, model)
    np.testing.assert_allclose(found, expected, atol=5e-3 * expected.max())
    polarity = expected.sum((2, 3))
    np.testing.assert_allclose(found.sum((2, 3)), polarity, atol=2e-3)
    # All segments of a filament agree on its polarity.
    np.testing.assert_allclose(polarity, polarity[:1].repeat(4, 0), atol=1e-9)
    # The messages matter: segments on their own are somewhere else.
    alone = likelihood / likelihood.sum((1, 2, 3), keepdims=True)
    assert np.abs(found - alone).max() > 0.3 * expected.max()


def test_order_of_the_segments_does_not_matter(rng: np.random.Generator) -> None:
    likelihood = _likelihood(rng, 5)
    position = np.array([3.0, -12.0, 20.0, 8.0, 11.0])
    prior = np.array([0.5, 0.5])
    found = _posterior(likelihood, position, prior, MODEL)
    shuffle = rng.permutation(5)
    again = _posterior(likelihood[shuffle], position[shuffle], prior, MODEL)
    np.testing.assert_allclose(again, found[shuffle], atol=1e-5)


def _sharp(
    s_px: float, phi_deg: float, polarity: int, model: CoherenceModel, n_axial: int
) -> NDArray[np.float64]:
    """Likelihood with one peak, on the twisted torus."""
    s = model.period_px * (np.arange(n_axial) / n_axial - 0.5)
    phi = 7.5 * np.arange(48)
    table = np.full((2, n_axial, 48), 1e-4)
    for k in range(-8, 9):
        d = (phi + k * model.period_twist_deg - phi_deg + 180) % 360 - 180
        ds = s - k * model.period_px - s_px
        peak = np.exp(-0.5 * np.add.outer((ds / 0.8) ** 2, (d / 9) ** 2))
        table[polarity] += peak
    return table


@pytest.mark.parametrize("polarity", [0, 1])
def test_neighbours_point_to_where_the_helix_goes(polarity: int) -> None:
    """A blind segment between others is told its azimuth and axial shift.

    The same helix is seen from every box: turning it by phi moves it on by
    phi / twist rises, and boxes further along +v see it shifted back.
    """
    model = CoherenceModel(14.0, -166.65, 1, 0.8, 2.0)
    rise, twist, n_axial = model.period_px, model.period_twist_deg, 10
    t = np.array([0.0, 28.5, 57.2, 85.1])
    s0, phi0 = 2.2, 77.0
    tables, expected = [], []
    for position in t if polarity == 0 else -t:
        # The register is s0 - t; whole rises k bring it into the table.
        k = np.round((s0 - position) / rise)
        s, phi = s0 - position - k * rise, phi0 + k * twist
        expected.append((s, phi % 360))
        tables.append(_sharp(s, phi, polarity, model, n_axial))
    likelihood = np.array(tables)
    likelihood[2] = 1.0  # blind
    log_scale = np.log(likelihood.max((2, 3)))
    evidence = likelihood / likelihood.max((2, 3), keepdims=True)
    messages, _ = filament_messages(
        evidence.astype(np.float32), log_scale, t, np.array([0.5, 0.5]), model
    )
    assert messages[2, polarity].sum() > 0.99 * messages[2].sum()
    a, b = np.unravel_index(messages[2, polarity].argmax(), (n_axial, 48))
    found_s, found_phi = rise * (a / n_axial - 0.5), 7.5 * b
    s, phi = expected[2]
    off = (found_s - s) / rise
    # Half a rise up is the same register as half a rise down and one twist on.
    k = np.round(off)
    assert abs(off - k) * rise < 1.5
    assert abs((found_phi + k * twist - phi + 180) % 360 - 180) < 8


def test_polarity_is_decided_by_the_filament(rng: np.random.Generator) -> None:
    """Weak hints of twenty segments add up; one dissenter is overruled."""
    n = 20
    likelihood = np.ones((n, 2, N_AXIAL, N_AZIMUTH))
    likelihood[:, 1] *= np.exp(0.5)
    likelihood[7, 1] *= np.exp(-2.0)
    position = 6.0 * np.arange(n)
    found = _posterior(likelihood, position, np.array([0.5, 0.5]), MODEL)
    odds = 0.5 * n - 2.0
    expected = 1 / (1 + np.exp(-odds))
    np.testing.assert_allclose(found[:, 1].sum((1, 2)), expected, atol=1e-4)


def test_excluded_polarity_stays_excluded() -> None:
    likelihood = np.ones((30, 2, N_AXIAL, N_AZIMUTH))
    likelihood[:, 1] *= np.exp(40.0)
    position = 6.0 * np.arange(30)
    found = _posterior(likelihood, position, np.array([1.0, 0.0]), MODEL)
    assert found[:, 1].max() == 0
    np.testing.assert_allclose(found.sum((1, 2, 3)), 1, rtol=1e-5)


def test_one_segment_hears_nothing(rng: np.random.Generator) -> None:
    likelihood = _likelihood(rng, 1)
    prior = np.array([0.3, 0.7])
    found = _posterior(likelihood, np.array([5.0]), prior, MODEL)
    expected = likelihood * prior[:, None, None]
    expected /= expected.sum()
    np.testing.assert_allclose(found, expected, atol=1e-4 * expected.max())


def test_segments_of_unknown_position_share_only_the_polarity(
    rng: np.random.Generator,
) -> None:
    likelihood = _likelihood(rng, 3)
    likelihood[:, 1] *= 2
    prior = np.array([0.5, 0.5])
    found = _posterior(likelihood, np.full(3, np.nan), prior, MODEL)
    whole = likelihood.sum((2, 3)).prod(0) * prior
    whole /= whole.sum()
    alone = likelihood / likelihood.sum((2, 3), keepdims=True)
    expected = alone * whole[:, None, None]
    np.testing.assert_allclose(found, expected, atol=2e-3 * expected.max())


@pytest.mark.parametrize("known", [2, 4])
def test_blind_segments_of_unknown_position_change_nothing(
    known: int, rng: np.random.Generator
) -> None:
    likelihood = _likelihood(rng, known + 1)
    likelihood[known:] = 1
    position = np.append(200.0 + 6.0 * np.arange(known), np.nan)
    prior = np.array([0.5, 0.5])
    found = _posterior(likelihood, position, prior, MODEL)[:known]
    expected = _posterior(likelihood[:known], position[:known], prior, MODEL)
    np.testing.assert_allclose(found, expected, atol=1e-3 * expected.max())


def test_slip_keeps_one_wrong_segment_from_breaking_the_others() -> None:
    model = CoherenceModel(14.0, 30.0, 1, 0.8, 2.0)
    likelihood = np.array([_sharp(1.0, 75.0, 0, model, 10) for _ in range(5)])
    likelihood[2] = _sharp(-5.0, 240.0, 0, model, 10)
    position = np.zeros(5)
    found = _posterior(likelihood, position, np.array([0.5, 0.5]), model)
    for i in (0, 1, 3, 4):
        best = np.unravel_index(found[i].argmax(), found[i].shape)
        own = np.unravel_index(likelihood[i].argmax(), found[i].shape)
        assert best == own
        assert found[i].max() > 0.02


def test_independent_messages_are_flat_with_the_odds_of_the_polarity(
    rng: np.random.Generator,
) -> None:
    likelihood = _likelihood(rng, 3)
    prior = np.array([0.25, 0.75])
    log_scale = np.log(likelihood.max((2, 3)))
    messages, _ = independent_messages(log_scale, prior, (N_AXIAL, N_AZIMUTH))
    product = likelihood / likelihood.max((2, 3), keepdims=True) * messages
    product /= product.sum((1, 2, 3), keepdims=True)
    expected = likelihood * prior[:, None, None]
    expected /= expected.sum((1, 2, 3), keepdims=True)
    np.testing.assert_allclose(product, expected, rtol=1e-5)


def test_shared_polarity_alone_equals_the_exact_posterior(
    rng: np.random.Generator,
) -> None:
    """P(pol, s, phi of one | all images), polarity common, the rest free."""
    likelihood = _likelihood(rng, 4)
    prior = np.array([0.3, 0.7])
    own = likelihood.sum((2, 3))  # (n, 2)
    joint = prior * own.prod(0)
    expected = likelihood / own[..., None, None] * (joint / joint.sum())[:, None, None]
    log_scale = np.log(likelihood.max((2, 3)))
    evidence = (likelihood / np.exp(log_scale)[..., None, None]).astype(np.float32)
    message, _ = polarity_messages(evidence, log_scale, prior)
    found = evidence * message
    found /= found.sum((1, 2, 3), keepdims=True)
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_an_excluded_polarity_stays_excluded(rng: np.random.Generator) -> None:
    likelihood = _likelihood(rng, 3)
    evidence = likelihood.astype(np.float32)
    message, _ = polarity_messages(evidence, np.zeros((3, 2)), np.array([1.0, 0.0]))
    assert (message[:, 1] == 0).all()
    assert (message[:, 0] > 0).all()


def test_a_range_of_several_rises_is_the_same_helix() -> None:
    """Three rises with three times the twist tell what one rise tells."""
    one = CoherenceModel(14.0, 30.0, 1, 0.8, 2.0)
    three = CoherenceModel(42.0, 90.0, 1, 0.8, 2.0)
    position = np.array([0.0, 23.0])
    prior = np.array([0.5, 0.5])
    found = []
    for model, n_axial in ((one, 10), (three, 30)):
        tables = np.stack([_sharp(1.0, 75.0, 0, one, 10), np.full((2, 10, 48), 1.0)])
        if model is three:
            # The same likelihood seen over three rises: f(s + rise, phi) = f(s, phi
            # + twist), 4 steps of the table a rise.
            tables = np.concatenate(
                [np.roll(tables, 4 * shift, -1) for shift in (1, 0, -1)], axis=2
            )
        posterior = _posterior(tables, position, prior, model)[1, 0]
        best = np.unravel_index(posterior.argmax(), posterior.shape)
        s = model.period_px * (best[0] / n_axial - 0.5)
        phi = 7.5 * best[1]
        # Along the helix, a shift by a rise is a turn by the twist.
        found.append((phi + 30.0 * s / 14.0) % 360)
    assert found[0] == pytest.approx(found[1], abs=4.0)
