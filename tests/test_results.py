"""Labelled results against the state they come from: names, units, signs."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from helixnb import results
from helixnb.core.fsc import HalfMapFSC
from helixnb.core.search import PoseSpread
from helixnb.session.history import history, history_row
from helixnb.state import State
from tests.standins import (
    BOX_PX,
    PIXEL_SIZE_A,
    StandinParticles,
    helix_of_blobs,
    standin_state,
)


@pytest.fixture(scope="module")
def state() -> State:
    return standin_state(4)


def test_fsc_attributes_are_the_crossings_of_the_corrected_curve(state: State) -> None:
    k = np.linspace(0, 0.2, 21)
    falling = 1 - k / 0.2
    curves = HalfMapFSC(k, falling, falling, np.zeros(21), falling, randomised_from=4)
    shown = results.fsc(replace(state, fsc=curves))
    # 1 - k / 0.2 is 0.5 at 1/10 A and 0.143 at 0.1714 / A.
    assert shown.attrs["resolution_0.5"] == pytest.approx(10.0)
    assert shown.attrs["resolution_0.143"] == pytest.approx(1 / 0.1714)
    assert shown.attrs["randomised_from_A"] == pytest.approx(25.0)
    assert shown.attrs["split_resolution_A"] == 20.0
    assert set(shown.data_vars) == {"unmasked", "masked", "randomised", "corrected"}
    assert shown["spatial_frequency"].attrs["units"] == "1/angstrom"


def test_score_map_points_to_its_optimum(state: State) -> None:
    shown = results.score_map(state)
    assert shown is not None
    assert shown["joint"].dims == ("twist", "rise")
    for score in shown.data_vars.values():
        best = score.where(score == score.max(), drop=True)
        step = float(shown["twist"][1] - shown["twist"][0])
        assert float(best["twist"][0]) == pytest.approx(
            score.attrs["best_twist_deg"], abs=step
        )
        assert not score.attrs["on_edge"]


def test_there_is_no_score_map_without_a_search() -> None:
    assert results.score_map(standin_state(1)) is None


def test_map_is_the_average_without_what_the_fsc_does_not_support(
    state: State,
) -> None:
    blobs = helix_of_blobs(8.0)
    state = replace(state, half_maps=np.stack([1.5 * blobs, 0.5 * blobs]))
    box = len(blobs)
    k = np.arange(box // 2 + 1) / (box * PIXEL_SIZE_A)
    perfect = np.ones_like(k)
    full = replace(state.fsc, corrected=perfect)
    none = replace(state.fsc, corrected=np.where(k > 0, 0.0, 1.0))
    shown = results.filtered_map(replace(state, fsc=full), PIXEL_SIZE_A)
    assert np.allclose(shown, blobs, atol=0.02 * blobs.max())
    flat = results.filtered_map(replace(state, fsc=none), PIXEL_SIZE_A)
    assert np.ptp(flat.to_numpy()) < 1e-4 * np.ptp(blobs)
    assert float(flat.mean()) == pytest.approx(float(blobs.mean()), rel=1e-3)


def test_map_coordinates_have_the_helix_axis_at_zero(state: State) -> None:
    shown = results.half_maps(state, PIXEL_SIZE_A)
    assert shown.dims == ("half", "z", "y", "x")
    centre = shown.sel(z=0.0, y=0.0, x=0.0, half="B")
    middle = BOX_PX // 2
    assert float(centre) == state.half_maps[1, middle, middle, middle]
    assert shown["x"].attrs["units"] == "angstrom"
    assert shown.attrs["twist_deg"] == state.parameters.twist_deg


def test_results_are_copies(state: State) -> None:
    before = state.half_maps.copy()
    results.half_maps(state, PIXEL_SIZE_A)[:] = 0
    results.fsc(state)["corrected"][:] = 0
    results.noise(state, PIXEL_SIZE_A)[:] = 0
    assert np.array_equal(state.half_maps, before)
    assert state.fsc.corrected.any()
    assert state.noise_power.any()


def test_orientations_have_units_and_names(state: State) -> None:
    particles: Any = StandinParticles()
    shown = results.orientations(state, particles)
    n = len(particles)
    assert shown.sizes == {"particle": n}
    shift_px = state.poses.shift_px
    assert np.allclose(shown["transverse_shift"], shift_px * PIXEL_SIZE_A)
    assert shown["transverse_shift"].attrs["units"] == "angstrom"
    assert np.allclose(shown["rot"], (state.poses.azimuth_deg - 90 + 180) % 360 - 180)
    assert set(shown["half"].to_numpy()) == {"A", "B"}
    assert (shown["half"].to_numpy() == "B").sum() == state.survey.half.sum()


@pytest.mark.parametrize("polarity", [0, 1])
@pytest.mark.parametrize("turns", [0, 360, -360])
def test_psi_deviation_is_what_prior_and_polarity_leave(
    state: State, polarity: int, turns: int
) -> None:
    particles: Any = StandinParticles()
    n = len(particles)
    poses = replace(
        state.poses,
        polarity=np.full(n, polarity, np.int8),
        psi_deg=particles.psi_prior_deg + 180 * polarity + turns - 2.5,
    )
    shown = results.orientations(replace(state, poses=poses), particles)
    assert np.allclose(shown["psi_deviation"], -2.5)


def test_initial_density_can_be_shown() -> None:
    particles: Any = StandinParticles()
    shown = results.orientations(standin_state(0), particles)
    assert np.isnan(shown["psi_deviation"]).all()
    assert history([]).empty


def test_history_tells_used_found_and_next(state: State) -> None:
    spread = PoseSpread(1.0, 2.0, 3.0)
    rows = [
        history_row(
            standin_state(1), PIXEL_SIZE_A, seconds=4.0, stages={"noise spectrum": 2.0}
        ),
        history_row(
            replace(state, spread=spread, flags=("a", "b")), PIXEL_SIZE_A, seconds=3.0
        ),
    ]
    table = history(rows)
    first, last = table.iloc[0], table.iloc[1]
    assert np.isnan(first["found_twist_deg_joint"])
    assert last["found_twist_deg_joint"] == pytest.approx(-60.0)
    assert last["twist_deg"] == -59.5
    assert last["next_twist_deg"] == pytest.approx(-59.75)
    assert last["shift_sd_A"] == 3.0 * PIXEL_SIZE_A
    assert last["flags"] == "a; b"
    assert last["parameter_max_tilt_deg"] == 15.0
    assert last["outer_diameter_A"] == 90.0
    assert table["seconds"].tolist() == [4.0, 3.0]
    assert table["seconds_noise_spectrum"].tolist() == [2.0, 0.0]


def test_history_rows_are_plain_values(state: State) -> None:
    odd = replace(state, resolution_A=np.float64(4), symmetry_order=np.int64(3))
    row = history_row(odd, PIXEL_SIZE_A, seconds=1.0)
    plain = (bool, int, float, str, type(None))
    assert {n: type(v) for n, v in row.items() if type(v) not in plain} == {}
