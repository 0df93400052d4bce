"""What the parameters of the symmetry search do to the search of an iteration."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from helixnb.errors import InputError
from helixnb.iteration.flags import symmetry_flags
from helixnb.iteration.state import SymmetryScores
from helixnb.iteration.twist_rise import (
    PreparedHalves,
    prepare,
    score,
    search_range,
)
from helixnb.parameters import Parameters
from helixnb.symmetry import HelicalSymmetry
from tests.oracles import blobs, helix

BOX, PIXEL_A = 48, 3.0
TWIST_DEG, RISE_A = 54.0, 16.5
TRUTH = HelicalSymmetry(TWIST_DEG, RISE_A)


def _parameters(**values: Any) -> Parameters:
    return Parameters(**({"twist_deg": TWIST_DEG, "rise_A": RISE_A} | values))


@pytest.fixture(scope="module")
def maps() -> NDArray[np.float32]:
    """Noisy half-maps: one helix inside, another one around it."""
    rng = np.random.default_rng(4)
    core = np.column_stack([rng.uniform(-4, 4, (3, 2)), rng.uniform(-2, 2, 3)])
    shell = np.array([[11.0, 0.0, 0.0], [0.0, 10.5, 1.0]])
    density = blobs(helix(core, TWIST_DEG, RISE_A / PIXEL_A, 40.0), BOX) + blobs(
        helix(shell, TWIST_DEG + 2.0, RISE_A / PIXEL_A, 40.0), BOX
    )
    noise = 0.1 * rng.standard_normal((2, *density.shape))
    return (density + noise).astype(np.float32)


def _prepared(maps: NDArray[np.float32], **values: Any) -> PreparedHalves:
    return prepare(
        maps, PIXEL_A, _parameters(**values), outer_radius_A=48.0, reached_A=8.0
    )


def _scores(
    maps: NDArray[np.float32],
    estimate: HelicalSymmetry = TRUTH,
    **values: Any,
) -> SymmetryScores:
    values = {"search_twist_points": 48, "search_rise_points": 32} | values
    where = search_range(_parameters(**values), estimate)
    return score(_prepared(maps, **values), where)


def test_extents_and_points_make_the_grid(maps: NDArray[np.float32]) -> None:
    found = _scores(
        maps,
        twist_extent_deg=5.0,
        rise_extent_percent=8.0,
        search_twist_points=40,
        search_rise_points=24,
    )
    for each in (found.half_A, found.half_B, found.joint):
        np.testing.assert_allclose(each.twist_deg, TWIST_DEG + np.linspace(-5, 5, 40))
        np.testing.assert_allclose(
            each.rise_A, RISE_A * (1 + np.linspace(-0.08, 0.08, 24))
        )
        assert each.score.shape == (40, 24)


def test_the_grid_stays_on_the_estimate_unless_recentred() -> None:
    estimate = HelicalSymmetry(53.0, 16.0)
    fixed, free = (
        search_range(_parameters(recentre_search=free), estimate)
        for free in (False, True)
    )
    assert (fixed.twist_deg[0], fixed.rise_A[0]) == (53.0, 16.0)
    assert (free.twist_deg[0], free.rise_A[0]) == (TWIST_DEG, RISE_A)


def test_diameters_choose_which_helix_is_found(maps: NDArray[np.float32]) -> None:
    inside = _scores(maps, search_outer_diameter_A=30.0)
    outside = _scores(maps, search_inner_diameter_A=54.0)
    assert inside.joint.best_twist_deg == pytest.approx(TWIST_DEG, abs=0.4)
    assert outside.joint.best_twist_deg == pytest.approx(TWIST_DEG + 2, abs=0.4)
    assert inside.outer_diameter_A == 30.0
    assert (outside.inner_diameter_A, outside.outer_diameter_A) == (54.0, 96.0)


def test_diameters_default_to_those_of_the_mask(maps: NDArray[np.float32]) -> None:
    prepared = _prepared(maps, inner_diameter_A=12.0)
    assert (prepared.inner_diameter_A, prepared.outer_diameter_A) == (12.0, 96.0)
    plain = _prepared(maps).joint.layers.power.sum()
    assert prepared.joint.layers.power.sum() < 0.99 * plain


def test_an_empty_ring_is_refused() -> None:
    with pytest.raises(InputError, match="search_inner_diameter_A must be smaller"):
        _parameters(search_inner_diameter_A=60.0, search_outer_diameter_A=50.0)


def test_resolution_can_be_lowered_but_not_raised(maps: NDArray[np.float32]) -> None:
    given = {r: _prepared(maps, search_resolution_A=r) for r in (None, 15.0, 3.0)}
    assert [given[r].resolution_A for r in given] == [8.0, 15.0, 8.0]
    finest = [given[r].joint.layers.z_per_A[-1] for r in given]
    assert finest[0] == finest[2]
    assert finest[1] <= 1 / 15.0 < finest[0] <= 1 / 8.0


def test_the_point_group_is_imposed_on_what_is_scored(
    maps: NDArray[np.float32],
) -> None:
    groups = ("C1", "C2", "D1")
    layers = {g: _prepared(maps, point_group=g).joint.layers for g in groups}
    assert (layers["C2"].orders % 2 == 0).all()
    assert layers["C1"].power.sum() > layers["D1"].power.sum() > 0
    np.testing.assert_array_equal(layers["C1"].orders, layers["D1"].orders)


def test_the_joint_optimum_is_that_of_the_sum(maps: NDArray[np.float32]) -> None:
    found = _scores(maps, search_outer_diameter_A=30.0)
    twice = _scores(np.stack([maps.sum(0), maps.sum(0)]), search_outer_diameter_A=30.0)
    assert found.joint.best_twist_deg == pytest.approx(
        twice.half_A.best_twist_deg, abs=2e-3
    )
    assert found.joint.best_score > max(
        found.half_A.best_score, found.half_B.best_score
    )
    assert found.used
    assert not symmetry_flags(found, "C1")


def test_cropped_maps_score_the_same(maps: NDArray[np.float32]) -> None:
    whole = _scores(maps, search_outer_diameter_A=30.0)
    cut = _scores(maps[..., 8:41, 8:41], search_outer_diameter_A=30.0)
    np.testing.assert_allclose(cut.joint.score, whole.joint.score, atol=1e-4)


def test_an_optimum_beyond_the_extents_is_found_and_told(
    maps: NDArray[np.float32],
) -> None:
    off = HelicalSymmetry(TWIST_DEG + 2.0, RISE_A)
    found = _scores(maps, off, search_outer_diameter_A=30.0, twist_extent_deg=1.5)
    assert found.extensions == 1
    assert found.used
    assert found.joint.best_twist_deg == pytest.approx(TWIST_DEG, abs=0.4)
    [flag] = symmetry_flags(found, "C1")
    assert "beyond the extents" in flag
    assert "they are used" in flag


def test_halves_that_disagree_are_not_used_beyond_the_extents() -> None:
    unit = np.random.default_rng(4).uniform(-8, 8, (4, 3)) * [1, 1, 0.4]
    halves = np.stack(
        [
            blobs(helix(unit, twist_deg, RISE_A / PIXEL_A, 40.0), BOX)
            for twist_deg in (TWIST_DEG, TWIST_DEG + 2.0)
        ]
    ).astype(np.float32)
    off = HelicalSymmetry(TWIST_DEG - 2.0, RISE_A)
    found = _scores(halves, off, twist_extent_deg=1.5)
    assert found.extensions
    assert not found.joint.on_edge
    assert found.determined
    assert not found.used
    flags = symmetry_flags(found, "C1")
    assert any("not used, because the halves disagree" in flag for flag in flags)
    assert any("not yet determined" in flag for flag in flags)


def test_the_best_of_noise_is_not_used() -> None:
    rng = np.random.default_rng(0)
    noise = rng.standard_normal((2, BOX, BOX, BOX)).astype(np.float32)
    inside = 0
    for step in range(10):
        found = _scores(
            noise,
            HelicalSymmetry(20.0 + 10 * step, RISE_A),
            twist_extent_deg=1.0,
            rise_extent_percent=2.0,
        )
        assert not found.used
        inside += not found.joint.on_edge
    assert inside


def test_a_rise_that_no_density_tells_is_left_as_it_is() -> None:
    """Beta strands that lie closer than the resolution make a twisted ribbon.

    With next to no noise standard errors tell nothing: the score strays from its ridge
    by what it neglects itself, always alike.
    """
    twist_deg, rise_A = -1.4, 4.75
    rng = np.random.default_rng(1)
    strand = np.column_stack([rng.uniform(-12, 12, (6, 2)), np.zeros(6)])
    density = blobs(helix(strand, twist_deg, rise_A / PIXEL_A, 40.0), BOX, 2.0)
    noise = 0.02 * density.std() * rng.standard_normal((2, *density.shape))
    halves = (density + noise).astype(np.float32)
    found = _scores(halves, HelicalSymmetry(twist_deg, rise_A))
    # Its pitch is told all the same: the score is a ridge of one pitch.
    best = found.joint
    pitch_A = 360 * best.best_rise_A / abs(best.best_twist_deg)
    assert pitch_A == pytest.approx(360 * rise_A / abs(twist_deg), rel=0.1)
    assert not found.determined
    assert not found.used
    assert any("do not determine" in flag for flag in symmetry_flags(found, "C1"))


def test_an_optimum_on_the_edge_is_not_used(maps: NDArray[np.float32]) -> None:
    far = HelicalSymmetry(TWIST_DEG - 12.0, RISE_A)
    found = _scores(
        maps,
        far,
        search_outer_diameter_A=30.0,
        twist_extent_deg=1.0,
        rise_extent_percent=1.0,
    )
    assert found.joint.on_edge
    assert not found.used
    assert any("on the edge" in flag for flag in symmetry_flags(found, "C1"))


@pytest.mark.parametrize(
    ("imposed", "true"), [("C1", "D1"), ("D1", "C1"), ("C1", "C2")]
)
def test_a_point_group_that_the_maps_contradict_is_told(
    imposed: str, true: str
) -> None:
    unit = np.random.default_rng(3).uniform(-9, 9, (5, 3)) * [1, 1, 0.5]
    if true == "D1":
        unit = np.concatenate([unit, unit * [1, -1, -1]])
    fold = int(true[1:])
    density = blobs(helix(unit, TWIST_DEG, RISE_A / PIXEL_A, 40.0, fold), BOX)
    halves = np.stack([density, density]).astype(np.float32)
    found = _scores(halves, point_group=imposed)
    assert found.suggested_point_group == true
    [flag] = symmetry_flags(found, imposed)
    assert f"obey {true}" in flag
    assert f"point_group is {imposed}" in flag
    assert not symmetry_flags(found, true)


def test_an_imposed_dyad_is_not_denied_for_a_little_noise() -> None:
    """Poses of an imposed dyad make one: a score just below the helix says nothing."""
    unit = np.random.default_rng(3).uniform(-9, 9, (5, 3)) * [1, 1, 0.5]
    density = blobs(helix(unit, TWIST_DEG, RISE_A / PIXEL_A, 40.0), BOX)
    found = _scores(np.stack([density, density]).astype(np.float32))
    best = found.joint.best_score

    def told(relative: float, imposed: str) -> bool:
        dyad = replace(found.dyad, score=relative * best)
        return bool(symmetry_flags(replace(found, dyad=dyad), imposed))

    assert found.suggested_point_group == "C1"
    assert not told(0.9, "D1")
    assert told(0.7, "D1")
    assert told(0.9, "D2")
