"""Scores against the plain likelihood, cell by cell, and the posterior they make."""

import dataclasses

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import logsumexp

from helixnb.core import ctf
from helixnb.core import fan as fan_module
from helixnb.core.coherence import CoherenceModel
from helixnb.core.expectation import Posterior, _heaviest, _survivors, expectation
from helixnb.core.halfplane import HalfPlane
from helixnb.core.poses import summarise
from helixnb.core.scoring import (
    Chunk,
    log_prior,
    make_frames,
    near_priors,
    score_cells,
)
from helixnb.core.search import PoseSpread, SearchLevel, complete_grid, oversampled
from tests.oracles import blobs, image_transform, slice_points, transform
from tests.scenes import (
    BACKEND,
    FLAT,
    PIXEL_A,
    chunk,
    fan_of,
    level,
    optics,
    settings,
    simulate,
    unit_scales,
)

BOX, K_MAX = 28, 10
SPACING = 1 / (BOX * PIXEL_A)
LEVEL = level(
    K_MAX,
    n_psi=2,
    n_tilt=3,
    n_shift=2,
    psi_step_deg=5.0,
    n_axial=3,
    n_azimuth=64,
)


@pytest.fixture
def every_pair(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drop no pairs of harmonics, so that scores are exact."""
    monkeypatch.setattr(fan_module, "PAIR_TOLERANCE_NATS", 0.0)


def _points(rng: np.random.Generator) -> NDArray[np.float64]:
    return np.column_stack([rng.uniform(-5, 5, (15, 2)), rng.uniform(-7, 7, 15)])


def _scores(
    images: Chunk,
    volume: NDArray[np.float32],
    search: SearchLevel,
    noise: NDArray[np.float64],
    power: float = 1.0,
) -> NDArray[np.float32]:
    cells = complete_grid(len(images), search)
    frames = make_frames(images, cells, search, noise, SPACING, BACKEND)
    flat = np.zeros(len(cells), np.float32)
    fan = fan_of(volume, search)
    scores, highest = score_cells(cells, frames, fan, flat, power, BACKEND)
    np.testing.assert_array_equal(highest, scores.max((1, 2)))
    return scores.copy()


class _Plain:
    """The likelihood of one cell at one azimuth and axial shift, from direct sums."""

    def __init__(
        self,
        stack: NDArray[np.floating],
        images: Chunk,
        volume: NDArray[np.float32],
        search: SearchLevel,
        noise: NDArray[np.float64],
    ) -> None:
        self.stack, self.images, self.volume = stack, images, volume
        self.search, self.noise = search, noise
        self.plane = HalfPlane(search.k_max)
        self.v, self.u = np.meshgrid(self.plane.v, self.plane.u, indexing="ij")
        self.ring = np.rint(np.hypot(self.v, self.u)).astype(int)
        inside = np.hypot(self.v, self.u) <= search.k_max
        # Each component of the full plane once, without the mean.
        self.count = np.where(self.v > 0, 2.0, 1.0) * (inside & (self.ring > 0))

    def data(self, image: int, polarity: int, psi: int) -> tuple[NDArray, NDArray]:
        """X and C in the filament frame."""
        offset = self.search.psi_offset_deg[psi] + 180 * polarity
        a = np.deg2rad(self.images.psi_prior_deg[image] + offset)
        kx = np.sin(a) * self.u - np.cos(a) * self.v
        ky = np.cos(a) * self.u + np.sin(a) * self.v
        c = ctf.evaluate(self.images.contrast[image], kx * SPACING, ky * SPACING)
        return image_transform(self.stack[image], kx, ky), c

    def slice(self, tilt: int, azimuth: int) -> NDArray[np.complex128]:
        phi = 360 * azimuth / self.search.n_azimuth
        d = self.search.tilt_offset_deg[tilt]
        return transform(self.volume, slice_points(phi, d, self.v, self.u))

    def moved(self, p: NDArray, shift: int, axial: int) -> NDArray[np.complex128]:
        t, s = self.search.shift_px[shift], self.search.axial_px[axial]
        return p * np.exp(-2j * np.pi * (self.u * t + self.v * s) / BOX)

    def noise_power(self) -> NDArray[np.float64]:
        return self.noise[np.minimum(self.ring, self.search.k_max)]

    def residual_form(self, x: NDArray, c: NDArray, p: NDArray) -> float:
        """-1/2 sum |X - C P|^2 / noise + 1/2 sum |X|^2 / noise."""
        left = np.abs(x) ** 2 - np.abs(x - c * p) ** 2
        return float(0.5 * (self.count * left / self.noise_power()).sum())

    def ring_form(self, x: NDArray, c: NDArray, p: NDArray) -> float:
        """Likelihood with C^2 averaged over each ring in the quadratic term."""
        noise = self.noise_power()
        total = (self.count * (np.conj(x) * c * p).real / noise).sum()
        for k in range(1, self.search.k_max + 1):
            here = self.count * (self.ring == k)
            mean = (here * c**2 / noise).sum() / here.sum()
            total -= 0.5 * mean * (here * np.abs(p) ** 2).sum()
        return float(total)


@pytest.mark.usefixtures("every_pair")
@pytest.mark.parametrize("astigmatic", [False, True])
def test_scores_equal_the_direct_likelihood(
    astigmatic: bool, rng: np.random.Generator
) -> None:
    stack = rng.standard_normal((2, BOX, BOX))
    stack *= np.hypot(*np.mgrid[-14:14, -14:14]) < 12
    psi = np.array([25.0, -140.0])
    lens = np.stack([optics(9000, 7500, 30), optics(15000, 16000, -65)])
    images = chunk(
        stack, psi, K_MAX, contrast=lens if astigmatic else np.tile(0.7 * FLAT, (2, 1))
    )
    noise = 300 * rng.uniform(0.5, 2, K_MAX + 1)
    volume = blobs(_points(rng), BOX)
    found = _scores(images, volume, LEVEL, noise)
    plain = _Plain(stack, images, volume, LEVEL, noise)
    form = plain.ring_form if astigmatic else plain.residual_form
    cells = complete_grid(2, LEVEL)
    assert len(found) == len(cells) == 2 * 2 * 2 * 3 * 2
    error: dict[bool, list[float]] = {False: [], True: []}
    for i in rng.choice(len(cells), 18, replace=False):
        tilted = bool(LEVEL.tilt_offset_deg[cells.tilt[i]])
        x, c = plain.data(cells.image[i], cells.polarity[i], cells.psi[i])
        for azimuth in rng.choice(LEVEL.n_azimuth, 3):
            p = plain.slice(cells.tilt[i], azimuth)
            for axial in range(LEVEL.n_axial):
                expected = form(x, c, plain.moved(p, cells.shift[i], axial))
                error[tilted].append(found[i, axial, azimuth] - expected)
    # What is left are the interpolation errors of images and of tilted slices.
    assert np.abs(error[False]).max() < 2e-4 * np.ptp(found)
    assert np.abs(error[True]).max() < 1e-2 * np.ptp(found)


@pytest.mark.usefixtures("every_pair")
def test_averaging_the_ctf_over_rings_costs_little(rng: np.random.Generator) -> None:
    stack = rng.standard_normal((1, BOX, BOX))
    images = chunk(
        stack, np.array([10.0]), K_MAX, contrast=optics(12000, 11800, 20)[None]
    )
    noise = np.full(K_MAX + 1, 300.0)
    volume = blobs(_points(rng), BOX)
    plain = _Plain(stack, images, volume, LEVEL, noise)
    x, c = plain.data(0, 0, 0)
    difference, exact = [], []
    for azimuth in range(0, LEVEL.n_azimuth, 4):
        p = plain.moved(plain.slice(1, azimuth), 0, 0)
        exact.append(plain.residual_form(x, c, p))
        difference.append(plain.ring_form(x, c, p) - exact[-1])
    # Only what varies between poses can matter.
    assert np.std(difference) < 0.1 * np.std(exact)


def test_dropped_pairs_change_scores_by_a_fraction_of_a_nat(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    noise = np.full(K_MAX + 1, float(BOX**2))
    points = _points(rng)
    sim = simulate(
        points,
        BOX,
        azimuth_deg=np.array([80.0]),
        psi_deg=np.array([0.0]),
        noise_sd=1.0,
        rng=rng,
    )
    images = chunk(sim.stack, sim.psi_deg, K_MAX)
    volume = blobs(points, BOX) / BOX  # fan_of takes the noise as 1
    fan = fan_of(volume, LEVEL)
    dropped = _scores(images, volume, LEVEL, noise)
    monkeypatch.setattr(fan_module, "PAIR_TOLERANCE_NATS", 0.0)
    assert len(fan.harmonic) < 0.8 * len(fan_of(volume, LEVEL).harmonic)
    complete = _scores(images, volume, LEVEL, noise)
    # Noise in dropped pairs has variance 2 x (their nats), 0.4 at most.
    assert 0 < np.std(dropped - complete) < 0.7


def test_scores_scale_with_the_likelihood_power(rng: np.random.Generator) -> None:
    stack = rng.standard_normal((1, BOX, BOX))
    images = chunk(stack, np.array([0.0]), K_MAX)
    noise = np.full(K_MAX + 1, 300.0)
    volume = blobs(_points(rng), BOX)
    once = _scores(images, volume, LEVEL, noise)
    hard = _scores(images, volume, LEVEL, noise, power=25.0)
    np.testing.assert_allclose(hard, 25 * once, rtol=1e-5, atol=1e-4)


def test_prior_is_gaussian_and_mirrors_tilt_and_shift() -> None:
    images = chunk(
        np.zeros((2, BOX, BOX)), np.zeros(2), 5, tilt_deg=np.array([90.0, 96.0])
    )
    images = dataclasses.replace(images, shift_prior_px=np.array([0.0, 1.2]))
    cells = complete_grid(2, LEVEL)
    spread = PoseSpread(psi_deg=2.0, tilt_deg=4.0, shift_px=1.5)
    found = log_prior(images, cells, LEVEL, spread)
    for i in range(len(cells)):
        # From the other end of the filament, 96 degrees of tilt are 84.
        sign = -1 if cells.polarity[i] else 1
        centre = sign * (images.tilt_prior_deg[cells.image[i]] - 90)
        psi = LEVEL.psi_offset_deg[cells.psi[i]] / 2
        tilt = (LEVEL.tilt_offset_deg[cells.tilt[i]] - centre) / 4
        given = sign * images.shift_prior_px[cells.image[i]]
        shift = (LEVEL.shift_px[cells.shift[i]] - given) / 1.5
        expected = -0.5 * (psi**2 + tilt**2 + shift**2)
        assert found[i] == pytest.approx(expected, abs=1e-5)


def test_cells_far_from_their_priors_are_not_scored(rng: np.random.Generator) -> None:
    search = level(
        5, n_psi=1, n_tilt=9, n_shift=9, psi_step_deg=5.0, n_axial=3, n_azimuth=32
    )
    stack = rng.standard_normal((3, BOX, BOX))
    images = chunk(stack, np.zeros(3), 5, tilt_deg=np.array([90.0, 102.0, 170.0]))
    images = dataclasses.replace(images, shift_prior_px=np.array([0.0, 1.0, 0.0]))
    spread = PoseSpread(psi_deg=2.0, tilt_deg=1.5, shift_px=0.2)
    cells = complete_grid(3, search)
    sign = np.where(cells.polarity == 1, -1, 1)
    tilt = search.tilt_offset_deg[cells.tilt]
    tilt -= sign * (images.tilt_prior_deg[cells.image] - 90)
    shift = search.shift_px[cells.shift] - sign * images.shift_prior_px[cells.image]
    # The last has no cell near its prior, and keeps all.
    near = (abs(tilt) <= 4.5 + search.tilt_step_deg) & (
        abs(shift) <= 0.6 + search.shift_step_px
    )
    near |= cells.image == 2
    np.testing.assert_array_equal(near_priors(images, cells, search, spread), near)
    assert 0 < near[cells.image == 1].mean() < 0.5
    noise = np.ones(6)
    fan = fan_of(blobs(_points(rng), BOX), search)
    found, _ = expectation(
        images,
        [fan],
        noise,
        settings(spread=spread),
        spacing_per_A=SPACING,
        backend=BACKEND,
    )
    assert found.cells_scored == near.sum()


def _scene(
    rng: np.random.Generator,
    n: int = 6,
    noise_sd: float = 3.0,
    shift_px: float = 0.5,
    psi_deg: float = 2.5,
) -> tuple[Chunk, NDArray[np.float32], NDArray[np.float64], dict[str, NDArray]]:
    """Images at known poses near the grid, half of them upside down."""
    points = _points(rng)
    truth = {
        "azimuth_deg": rng.uniform(0, 360, n),
        "polarity": np.arange(n) % 2,
        "tilt_offset_deg": rng.choice([-6.0, 0.0, 6.0], n),
        "shift_px": shift_px * rng.choice([-1, 1], n),
        "axial_px": rng.choice([-3.0, -1.0, 1.0], n),
    }
    prior = rng.uniform(-180, 180, n)
    psi = prior + psi_deg * rng.choice([-1, 1], n)
    contrast = np.stack([optics(9000 + 800 * i, 9300 + 800 * i, 40) for i in range(n)])
    sim = simulate(
        points,
        BOX,
        azimuth_deg=truth["azimuth_deg"],
        psi_deg=psi + 180 * truth["polarity"],
        tilt_offset_deg=truth["tilt_offset_deg"],
        shift_px=truth["shift_px"],
        axial_px=truth["axial_px"],
        contrast=contrast,
        noise_sd=noise_sd,
        rng=rng,
    )
    truth["psi_deg"] = sim.psi_deg
    images = chunk(sim.stack, prior, K_MAX, contrast=contrast)
    noise = np.full(K_MAX + 1, (noise_sd * BOX) ** 2)
    return images, blobs(points, BOX), noise, truth


def _expect(
    images: Chunk,
    volume: NDArray[np.float32],
    levels: list[SearchLevel],
    noise: NDArray[np.float64],
    **values: object,
) -> Posterior:
    fans = [fan_of(volume, search) for search in levels]
    posterior, _ = expectation(
        images,
        fans,
        noise,
        settings(**values),
        spacing_per_A=SPACING,
        backend=BACKEND,
    )
    return posterior


def _dense(posterior: Posterior, n: int) -> NDArray[np.float64]:
    """Posterior over (image, polarity, psi, tilt, shift, axial, azimuth)."""
    search, c = posterior.level, posterior.cells
    shape = (n, 2, search.n_psi, search.n_tilt, search.n_shift)
    out = np.zeros((*shape, search.n_axial, search.n_azimuth))
    out[c.image, c.polarity, c.psi, c.tilt, c.shift] = posterior.weights
    return out


def test_frames_are_those_of_the_cells_that_are_left(
    rng: np.random.Generator,
) -> None:
    """Of several angles and tilts, in any order."""
    images, volume, noise, _ = _scene(rng)
    posterior, frames = expectation(
        images,
        [fan_of(volume, LEVEL)],
        noise,
        settings(pruned_mass=0.2),
        spacing_per_A=SPACING,
        backend=BACKEND,
    )
    some = rng.permutation(len(posterior.cells))
    tilt = posterior.cells.tilt[some]
    some = some[np.argsort(tilt, kind="stable")]
    assert len(np.unique(tilt)) > 1
    taken = frames.take(some)
    cells = posterior.cells.take(some)
    anew = make_frames(images, cells, LEVEL, noise, SPACING, BACKEND)
    for found, expected in ((taken.data, anew.data), (taken.power, anew.power)):
        np.testing.assert_array_equal(
            found[:, taken.of_cell], expected[:, anew.of_cell]
        )


@pytest.mark.parametrize("power", [1.0, 4.0])
def test_posterior_is_bayes_rule(power: float, rng: np.random.Generator) -> None:
    images, volume, noise, _ = _scene(rng, n=3, noise_sd=9.0)
    images = dataclasses.replace(images, polarity_prior=np.tile([0.8, 0.2], (3, 1)))
    found = _expect(images, volume, [LEVEL], noise, likelihood_power=power)
    scores = _scores(images, volume, LEVEL, noise, power).astype(float)
    cells = complete_grid(3, LEVEL)
    prior = log_prior(images, cells, LEVEL, settings().spread).astype(float)
    scores += power * prior[:, None, None]
    scores += np.log([0.8, 0.2])[cells.polarity][:, None, None]
    dense = _dense(found, 3)
    states = LEVEL.n_axial * LEVEL.n_azimuth
    for image in range(3):
        own = cells.image == image
        evidence = logsumexp(scores[own])
        expected = np.exp(scores[own] - evidence)
        c = cells.take(np.flatnonzero(own))
        mine = dense[image, c.polarity, c.psi, c.tilt, c.shift]
        np.testing.assert_allclose(mine, expected, atol=1e-5 * expected.max())
        assert found.log_evidence[image] == pytest.approx(
            evidence - np.log(states), abs=1e-3
        )


@pytest.mark.parametrize("shared", [False, True])
def test_evidence_of_clear_images_counts_the_polarity_they_rule_out(
    shared: bool, rng: np.random.Generator
) -> None:
    """Also where its probability is far below what single precision holds."""
    images, volume, noise, _ = _scene(rng, n=3, noise_sd=0.7)
    images = dataclasses.replace(
        images,
        polarity_prior=np.tile([0.8, 0.2], (3, 1)),
        filament=np.zeros(3, np.int32),
    )
    found = _expect(images, volume, [LEVEL], noise, shared_polarity=shared)
    cells = complete_grid(3, LEVEL)
    scores = _scores(images, volume, LEVEL, noise).astype(float)
    scores += log_prior(images, cells, LEVEL, settings().spread)[:, None, None]
    states = LEVEL.n_axial * LEVEL.n_azimuth
    each = np.array(
        [
            [
                logsumexp(scores[(cells.image == i) & (cells.polarity == p)])
                for p in (0, 1)
            ]
            for i in range(3)
        ]
    ) - np.log(states)
    assert np.abs(np.diff(each)).min() > 100
    # From the other segments where the polarity is shared.
    prior = np.log([0.8, 0.2]) + (each.sum(0) - each if shared else 0 * each)
    expected = logsumexp(prior + each, axis=1) - logsumexp(prior, axis=1)
    np.testing.assert_allclose(found.log_evidence, expected, atol=0.01)


def test_posterior_sums_to_one(rng: np.random.Generator) -> None:
    images, volume, noise, _ = _scene(rng)
    found = _expect(images, volume, [LEVEL], noise, pruned_mass=0.01)
    np.testing.assert_allclose(found.weights.sum((1, 2)), found.mass, rtol=1e-4)
    total = np.bincount(found.cells.image, found.mass, len(images))
    np.testing.assert_allclose(total, 1, rtol=1e-5)


def _two_levels() -> list[SearchLevel]:
    coarse = level(
        6, n_psi=2, n_tilt=2, n_shift=2, psi_step_deg=5.0, n_axial=3, m_max=20,
        shift_step_px=2.0,
    )  # fmt: skip
    fine = dataclasses.replace(
        coarse,
        k_max=K_MAX,
        n_psi=4,
        n_tilt=4,
        n_shift=4,
        psi_step_deg=2.5,
        tilt_step_deg=3.0,
        shift_step_px=1.0,
        m_max=30,
    )
    return [coarse, fine]


def test_a_search_that_prunes_nothing_is_exhaustive(rng: np.random.Generator) -> None:
    images, volume, noise, _ = _scene(rng)
    levels = _two_levels()
    found = _expect(images, volume, levels, noise, pruned_mass=0.0)
    exhaustive = _expect(images, volume, levels[1:], noise, pruned_mass=0.0)
    per_image = [search.cells_per_image for search in levels]
    assert found.cells_scored == len(images) * sum(per_image)
    assert len(found.cells) == len(images) * per_image[1]
    np.testing.assert_allclose(
        _dense(found, 6), _dense(exhaustive, 6), atol=1e-6 * found.weights.max()
    )


@pytest.mark.parametrize("times", [1, 2])
def test_finer_steps_in_one_band_keep_the_scale_of_each_polarity(
    times: int, rng: np.random.Generator
) -> None:
    """What is known of polarity beforehand is asked once, on the coarser steps."""
    images, volume, noise, _ = _scene(rng, n=3, noise_sd=3.0)
    images = dataclasses.replace(images, polarity_prior=np.tile([0.8, 0.2], (3, 1)))
    finer = oversampled(LEVEL)
    levels = [LEVEL, *(finer for _ in range(times))]
    found = _expect(images, volume, levels, noise, pruned_mass=0.0)
    expected = _expect(images, volume, [finer], noise, pruned_mass=0.0)
    coarse = _expect(images, volume, [LEVEL], noise, pruned_mass=0.0)
    assert np.abs(expected.log_evidence - coarse.log_evidence).max() > 1
    np.testing.assert_allclose(found.log_evidence, expected.log_evidence, atol=1e-3)
    np.testing.assert_allclose(
        _dense(found, 3), _dense(expected, 3), atol=1e-5 * expected.weights.max()
    )


@pytest.mark.parametrize("pruned", [0.0, 1e-3, 0.2])
def test_the_fewest_cells_hold_all_but_the_pruned_mass(
    pruned: float, rng: np.random.Generator
) -> None:
    image = rng.integers(0, 5, 300).astype(np.int32)
    mass = rng.lognormal(0, 6, 300)
    expected = []
    for one in range(5):
        lightest_first = np.flatnonzero(image == one)[mass[image == one].argsort()]
        behind = mass[lightest_first].cumsum() < pruned * mass[image == one].sum()
        expected.extend(lightest_first[~behind])
    found = _heaviest(image, mass, 5, pruned, BACKEND)
    assert sorted(found) == sorted(expected)


def test_a_low_band_drops_a_polarity_only_when_it_is_out_of_the_question() -> None:
    state = np.array([0, 0, 1, 2, 3], np.int32)  # of two images
    mass = np.array([1.0, 1e-9, 1e-12, 1.0, 1e-18])
    kept = _survivors(state, mass, 2, 0.01, BACKEND)
    assert sorted(kept) == [0, 2, 3]
    assert len(_survivors(state, mass, 2, 0.0, BACKEND)) == 5


@pytest.mark.parametrize(("noise_sd", "share"), [(1.5, 0.6), (3.0, 1.0)])
def test_a_pruned_search_finds_the_same_best_cells(
    noise_sd: float, share: float, rng: np.random.Generator
) -> None:
    images, volume, noise, _ = _scene(rng, noise_sd=noise_sd)
    levels = _two_levels()
    pruned = _expect(images, volume, levels, noise, pruned_mass=1e-3)
    exhaustive = _expect(images, volume, levels[1:], noise)
    # Noise leaves little to drop, and an undecided polarity stays.
    assert pruned.cells_scored < share * sum(
        len(images) * search.cells_per_image for search in levels
    )
    found, expected = _dense(pruned, 6), _dense(exhaustive, 6)
    for image in range(6):
        assert found[image].argmax() == expected[image].argmax()
        # A thousandth of the blurred coarse posterior may be more of the sharp one.
        assert np.abs(found[image] - expected[image]).sum() < 0.1


@pytest.mark.parametrize("coherence", [False, True])
def test_simulated_poses_are_found(coherence: bool, rng: np.random.Generator) -> None:
    images, volume, noise, truth = _scene(rng, n=8, noise_sd=1.5)
    model = (
        CoherenceModel(LEVEL.axial_range_px, 0.0, 1, 1.0, 5.0) if coherence else None
    )
    found = _expect(
        images,
        volume,
        [LEVEL],
        noise,
        coherence=model,
        shared_polarity=coherence,
        pruned_mass=1e-3,
    )
    poses = summarise(images, found, unit_scales(len(images)), 1, BACKEND)
    np.testing.assert_array_equal(poses.polarity, truth["polarity"])
    assert poses.polarity_probability.min() > 0.9

    def gap(a: NDArray, b: NDArray) -> NDArray[np.float64]:
        return np.abs((a - b + 180) % 360 - 180)

    assert np.median(gap(poses.azimuth_deg, truth["azimuth_deg"])) < 3
    assert np.median(gap(poses.psi_deg, truth["psi_deg"])) < 1
    assert np.median(np.abs(poses.tilt_deg - 90 - truth["tilt_offset_deg"])) < 2
    assert np.median(np.abs(poses.shift_px - truth["shift_px"])) < 0.2
    assert np.median(np.abs(poses.axial_px - truth["axial_px"])) < 0.4
    assert (found.log_evidence > 5).all()


@pytest.mark.parametrize("coherence", [False, True])
@pytest.mark.parametrize("known", [0, 1])
def test_a_known_polarity_is_kept_whatever_the_images_say(
    coherence: bool, known: int, rng: np.random.Generator
) -> None:
    images, volume, noise, _ = _scene(rng, n=8, noise_sd=1.0)
    prior = np.eye(2)[known]
    images = dataclasses.replace(
        images,
        polarity_prior=np.tile(prior, (8, 1)),
        filament=np.zeros(8, np.int32),
    )
    model = (
        CoherenceModel(LEVEL.axial_range_px, 0.0, 1, 1.0, 5.0) if coherence else None
    )
    found = _expect(
        images, volume, [LEVEL], noise, coherence=model, shared_polarity=coherence
    )
    right = found.cells.polarity == known
    assert found.mass[right].sum() == pytest.approx(8, abs=1e-6)


def test_oversampling_finds_poses_between_the_cells_of_a_level(
    rng: np.random.Generator,
) -> None:
    images, volume, noise, truth = _scene(
        rng, n=8, noise_sd=1.0, shift_px=0.75, psi_deg=3.75
    )
    error = []
    for levels in ([LEVEL], [LEVEL, oversampled(LEVEL)]):
        found = _expect(images, volume, levels, noise, pruned_mass=1e-3)
        poses = summarise(images, found, unit_scales(len(images)), 1, BACKEND)
        psi = (poses.psi_deg - truth["psi_deg"] + 180) % 360 - 180
        error.append([poses.shift_px - truth["shift_px"], psi])
    coarse, fine = np.abs(error).mean(-1)
    assert coarse[0] > 0.2
    assert coarse[1] > 1.0
    assert (fine < coarse / 3).all()
    exhaustive = _expect(images, volume, [oversampled(LEVEL)], noise)
    for image, best in enumerate(_dense(exhaustive, 8)):
        assert _dense(found, 8)[image].argmax() == best.argmax()
    assert found.cells_scored < exhaustive.cells_scored


def test_a_large_power_leaves_one_pose(rng: np.random.Generator) -> None:
    images, volume, noise, _ = _scene(rng)
    soft = _expect(images, volume, [LEVEL], noise)
    hard = _expect(images, volume, [LEVEL], noise, likelihood_power=25.0)
    spread = [
        summarise(images, p, unit_scales(len(images)), 1, BACKEND).effective_poses
        for p in (soft, hard)
    ]
    assert (spread[1] < spread[0]).all()
    assert np.median(spread[1]) < 3
    assert _dense(soft, 6)[2].argmax() == _dense(hard, 6)[2].argmax()
