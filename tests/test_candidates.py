"""Candidates are found anywhere, told apart and ranked; rotations and errors hold."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from helixnb.core.candidates import (
    Candidate,
    candidates_of,
    followed,
    peaks,
    ranked,
    seeds,
)
from helixnb.core.map_harmonics import MapHarmonics, map_harmonics
from helixnb.core.masks import axial_window
from helixnb.core.optimum import refined
from helixnb.core.point_group import (
    Dyad,
    TurnedOver,
    best_dyad,
    cyclic_scores,
    suggested,
)
from helixnb.core.self_correlation import (
    SelfCorrelation,
    layer_power,
    score_grid,
    self_correlation,
    usable_lags,
)
from helixnb.core.symmetry_error import standard_errors
from helixnb.core.symmetry_search import SearchRange, search
from tests.oracles import Float, blobs, helix, turned

BOX, PIXEL_A = 64, 3.0
WINDOW = axial_window(BOX, 0.8, 0.1 * BOX)


def _harmonics(volume: NDArray[np.floating], cyclic: int = 1) -> MapHarmonics:
    return map_harmonics(
        np.asarray(volume, np.float32),
        WINDOW,
        pixel_size_A=PIXEL_A,
        resolution_A=8.7,
        outer_radius_A=45.0,
        cyclic=cyclic,
    )


def _prepared(volume: NDArray[np.floating], cyclic: int = 1) -> SelfCorrelation:
    return self_correlation(layer_power(_harmonics(volume, cyclic)))


def _unit(seed: int = 1) -> Float:
    rng = np.random.default_rng(seed)
    return np.column_stack([rng.uniform(-9, 9, (4, 2)), rng.uniform(-2, 2, 4)])


def _map(
    twist: float,
    rise_A: float,
    noise: float = 0.0,
    cyclic: int = 1,
    unit: Float | None = None,
) -> NDArray[np.float64]:
    unit = _unit() if unit is None else unit
    volume = blobs(helix(unit, twist, rise_A / PIXEL_A, 60.0, cyclic), BOX)
    within = volume[:, 20:44, 20:44].std()
    rng = np.random.default_rng(0)
    return volume + noise * within * rng.standard_normal(volume.shape)


def _everywhere(correlation: SelfCorrelation) -> tuple[Candidate, ...]:
    turn = 180 / correlation.layers.cyclic
    places = seeds(correlation, (-turn, turn), (3.0, BOX * PIXEL_A / 2))
    return ranked(correlation, [followed(correlation, *place) for place in places])


@pytest.mark.parametrize("noise", [0.0, 1.5])
@pytest.mark.parametrize(
    ("twist", "rise_A", "cyclic"),
    [(-101.1, 8.3, 1), (-166.6, 28.1, 1), (22.03, 7.2, 1), (34.0, 16.5, 3)],
)
def test_symmetry_is_found_from_nothing(
    twist: float, rise_A: float, cyclic: int, noise: float
) -> None:
    found = _everywhere(_prepared(_map(twist, rise_A, noise, cyclic), cyclic))
    assert found[0].relation == "best"
    assert found[0].twist_deg == pytest.approx(twist, abs=0.3)
    assert found[0].rise_A == pytest.approx(rise_A, rel=5e-3)


def test_multiples_score_as_high_and_rank_behind() -> None:
    """So does the reverse: half of the true operator is no symmetry."""
    found = _everywhere(_prepared(_map(54.0, 16.5, noise=1.0)))
    by_name = {c.relation: c for c in found}
    double, half = by_name["2 x the best"], by_name["best / 2"]
    assert double.score == pytest.approx(found[0].score, abs=0.02)
    assert double.twist_deg == pytest.approx(108.0, abs=0.5)
    assert double.rise_A == pytest.approx(33.0, abs=0.2)
    assert half.score < 0.75 * found[0].score
    assert half.rise_A == pytest.approx(8.25, abs=0.1)
    scores = [c.score for c in found[1:]]
    assert scores == sorted(scores, reverse=True)
    assert sum(c.relation.endswith("x the best") for c in found) <= 3


def test_a_dimer_is_not_taken_for_its_monomers() -> None:
    """Every second subunit differs a little, so that only pairs repeat."""
    unit = _unit()
    pair = np.concatenate([unit, turned(unit[:3], 30.0, 4.0), [[11.0, 0, 5.0]]])
    volume = blobs(helix(pair, 60.0, 8.0, 60.0), BOX)
    found = _everywhere(_prepared(volume))
    assert found[0].twist_deg == pytest.approx(60.0, abs=0.3)
    assert found[0].rise_A == pytest.approx(24.0, rel=5e-3)
    halves = [c for c in found if c.relation == "best / 2"]
    assert max(c.score for c in halves) < found[0].score - 0.1


def test_the_other_hand_is_named() -> None:
    """A map that holds both hands, one weaker."""
    flat = np.array([[12.0, 0.0, 0.0]])
    right, left = (
        blobs(helix(flat, twist, 5.5, 60.0), BOX).astype(float) for twist in (54, -54)
    )
    correlation = _prepared(right + 0.7 * left)
    score = search(correlation, SearchRange((0.0, 70.0), (16.5, 1.5), (256, 32)))
    found = candidates_of(correlation, score)
    assert found[0].twist_deg == pytest.approx(54.0, abs=0.5)
    assert any(
        c.relation == "other hand" and c.twist_deg == pytest.approx(-54.0, abs=0.5)
        for c in found
    )


def test_candidates_of_a_score_map_begin_with_its_optimum() -> None:
    correlation = _prepared(_map(54.0, 16.5))
    score = search(correlation, SearchRange((54.5, 4.0), (16.4, 1.5), (64, 64)))
    found = candidates_of(correlation, score)
    assert found[0].twist_deg == pytest.approx(score.best_twist_deg)
    assert found[0].score == pytest.approx(score.best_score)
    assert {"2 x the best", "best / 2", "best / 3"} <= {c.relation for c in found}


def test_peaks_are_inside_and_highest_first(rng: np.random.Generator) -> None:
    score = np.zeros((9, 9))
    score[4, 4], score[2, 6], score[0, 3], score[5, 8] = 1.0, 2.0, 5.0, 5.0
    np.testing.assert_array_equal(peaks(score), [[2, 6], [4, 4]])
    np.testing.assert_array_equal(peaks(score, wrapped=True)[0], [0, 3])
    score[8, 3] = 6.0
    assert [0, 3] not in peaks(score, wrapped=True).tolist()


def test_an_optimum_lies_below_the_step_with_its_curvature() -> None:
    correlation = _prepared(_map(54.0, 16.5))
    lags = usable_lags(correlation.layers, 16.5)
    best = refined(correlation, (54.2, 16.6), (6.0, 4.0), lags)
    h = np.array([0.4, 0.15])
    twist = best.twist_deg + np.array([-1, 0, 1]) * h[0]
    rise = best.rise_A + np.array([-1, 0, 1]) * h[1]
    s = score_grid(correlation, twist, rise, lags)
    assert s.argmax() == 4
    assert best.score == pytest.approx(s[1, 1], abs=1e-4)
    mixed = (s[2, 2] - s[2, 0] - s[0, 2] + s[0, 0]) / (4 * h[0] * h[1])
    second = [s[2, 1] - 2 * s[1, 1] + s[0, 1], s[1, 2] - 2 * s[1, 1] + s[1, 0]]
    expected = np.array(
        [[second[0] / h[0] ** 2, mixed], [mixed, second[1] / h[1] ** 2]]
    )
    np.testing.assert_allclose(
        best.curvature, expected, rtol=0.05, atol=0.05 * np.abs(expected[0, 0])
    )


def _error(seed: int, amplitude: float) -> NDArray[np.float64]:
    """Error of twist and rise of one pair of noisy half-maps, and what is told."""
    twist, rise_A = 54.0, 16.5
    rng = np.random.default_rng(seed)
    clean = _map(twist, rise_A)
    noise = amplitude * clean[:, 20:44, 20:44].std()
    halves = [
        _harmonics(clean + noise * rng.standard_normal(clean.shape)) for _ in "AB"
    ]
    layers_A, layers_B = (layer_power(h) for h in halves)
    layers = layer_power(halves[0] + halves[1])
    found = search(
        self_correlation(layers), SearchRange((54.3, 3.0), (16.6, 1.3), (48, 48))
    )
    lags = usable_lags(layers, float(found.rise_A[-1]))
    told = standard_errors(
        layers_A, layers_B, float(layers.power.sum()), found.best, lags
    )
    return np.array([found.best_twist_deg - twist, found.best_rise_A - rise_A, *told])


@pytest.mark.parametrize("amplitude", [1.0, 2.0])
def test_standard_errors_cover_the_truth(amplitude: float) -> None:
    """Over many seeds: neither far too small nor far too large."""
    rows = np.array([_error(seed, amplitude) for seed in range(16)])
    actual = np.sqrt((rows[:, :2] ** 2).mean(axis=0))
    told = np.median(rows[:, 2:], axis=0)
    # The spread of 16 values is known to 18 %.
    assert (told > 0.65 * actual).all()
    assert (told < 1.7 * actual).all()
    within = np.abs(rows[:, :2]) < 2 * rows[:, 2:]
    assert (within.mean(axis=0) > 0.8).all()


def test_more_noise_is_told() -> None:
    small, large = _error(3, 0.5)[2:], _error(3, 2.0)[2:]
    assert (large > 2 * small).all()


def test_rotations_about_the_axis_are_seen() -> None:
    three = cyclic_scores(_prepared(_map(54.0, 16.5, cyclic=3)))
    assert three[1] == pytest.approx(1.0, abs=0.02)  # n = 3
    assert three[[0, 2, 3]].max() < 0.6
    assert suggested(three, Dyad(0.4, 0.0, 0.0), 1.0) == "C3"
    assert suggested(np.zeros(11), Dyad(0.4, 0.0, 0.0), 1.0) == "C1"


@pytest.mark.parametrize(("azimuth_deg", "height_px"), [(0.0, 0.0), (35.0, 1.4)])
def test_a_dyad_is_found_where_it_is(azimuth_deg: float, height_px: float) -> None:
    """At any azimuth and height; a polar unit has none."""
    unit = _unit()
    dihedral = np.concatenate([unit, unit * [1, -1, -1]])
    twist, rise_px = 30.0, 20.0 / PIXEL_A
    points = turned(helix(dihedral, twist, rise_px, 60.0), azimuth_deg, height_px)
    harmonics = _harmonics(blobs(points, BOX))
    found = best_dyad(TurnedOver.of(harmonics), 20.0)
    assert found.score == pytest.approx(1.0, abs=0.02)
    assert suggested(np.zeros(11), found, 1.0) == "D1"
    # Dyads repeat every half rise, turned by half the twist, and every half turn.
    steps = (found.height_A / PIXEL_A - height_px) / (rise_px / 2)
    assert abs(steps - round(steps)) < 0.1
    left = found.azimuth_deg - azimuth_deg - round(steps) * twist / 2
    assert abs((left + 45) % 90 - 45) < 2
    polar = _harmonics(_map(twist, 20.0))
    assert best_dyad(TurnedOver.of(polar), 20.0).score < 0.8
