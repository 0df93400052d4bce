"""Labelled results against the state they come from: names, units, signs."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from helixnb import densities, results
from helixnb.core.fsc import HalfMapFSC, NoiseSubstitution
from helixnb.core.search import PoseSpread
from helixnb.iteration.state import State
from helixnb.session.history import history, history_row
from helixnb.symmetry import HelicalSymmetry
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
    none = np.zeros(21)
    noise = NoiseSubstitution(4, none, none, corrected=falling, tight_corrected=none)
    curves = HalfMapFSC(k, none, falling, none, none, none, noise)
    shown = results.fsc(replace(state, fsc=curves))
    # 1 - k / 0.2 is 0.5 at 1/10 A and 0.143 at 0.1714 / A.
    assert shown.attrs["resolution_0.5"] == pytest.approx(10.0)
    assert shown.attrs["resolution_0.143"] == pytest.approx(1 / 0.1714)
    assert shown.attrs["randomised_from_A"] == pytest.approx(25.0)
    assert shown.attrs["split_resolution_A"] == 20.0
    assert shown["corrected"].attrs["resolution_0.5"] == pytest.approx(10.0)
    assert shown["tight"].attrs["resolution_0.5"] > 10.0
    np.testing.assert_array_equal(shown["reported"], shown["corrected"])
    masked = {"unmasked", "cylinder", "loose", "tight", "reported"}
    substituted = {"corrected", "tight_corrected", "randomised", "tight_randomised"}
    assert set(shown.data_vars) == masked | substituted
    without = results.fsc(replace(state, fsc=replace(curves, substitution=None)))
    assert set(without.data_vars) == masked
    assert np.isnan(without.attrs["randomised_from_A"])
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
    full = replace(state.fsc, unmasked=perfect, substitution=None)
    zero = np.where(k > 0, 0.0, 1.0)
    none = replace(state.fsc, unmasked=zero, substitution=None)
    shown = densities.filtered_map(replace(state, fsc=full), PIXEL_SIZE_A)
    assert np.allclose(shown, blobs, atol=0.02 * blobs.max())
    flat = densities.filtered_map(replace(state, fsc=none), PIXEL_SIZE_A)
    assert np.ptp(flat.to_numpy()) < 1e-4 * np.ptp(blobs)
    assert float(flat.mean()) == pytest.approx(float(blobs.mean()), rel=1e-3)


def test_map_coordinates_have_the_helix_axis_at_zero(state: State) -> None:
    shown = densities.half_maps(state, PIXEL_SIZE_A)
    assert shown.dims == ("half", "z", "y", "x")
    centre = shown.sel(z=0.0, y=0.0, x=0.0, half="B")
    middle = BOX_PX // 2
    assert float(centre) == state.half_maps[1, middle, middle, middle]
    assert shown["x"].attrs["units"] == "angstrom"
    assert shown.attrs["twist_deg"] == state.parameters.twist_deg


def test_results_are_copies(state: State) -> None:
    before = state.half_maps.copy()
    densities.half_maps(state, PIXEL_SIZE_A)[:] = 0
    results.fsc(state)["reported"][:] = 0
    results.noise(state, PIXEL_SIZE_A)[:] = 0
    assert np.array_equal(state.half_maps, before)
    assert state.fsc.reported.any()
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


# --- maps and what is measured on them ----------------------------------------------


def test_masks_are_those_of_the_refinement(state: State) -> None:
    shown = densities.masks(state, PIXEL_SIZE_A)
    assert set(shown.data_vars) == {"refinement", "fsc", "loose", "tight"}
    for mask in shown.data_vars.values():
        assert mask.dims == ("z", "y", "x")
        assert 0 <= float(mask.min())
        assert float(mask.max()) == pytest.approx(1)
    half = np.full((BOX_PX,) * 3, 0.5, np.float32)
    static = replace(state, parameters=state.parameters.changed(mask="static"))
    masked = densities.masks(static, PIXEL_SIZE_A, half)
    np.testing.assert_allclose(masked["refinement"], 0.5 * shown["refinement"])
    assert masked.attrs["mask"] == "static"


def test_sharpened_map_undoes_the_given_or_the_fitted_b_factor(state: State) -> None:
    perfect = replace(state.fsc, unmasked=np.ones(21), substitution=None)
    state = replace(state, fsc=perfect)
    fitted = densities.guinier(state, PIXEL_SIZE_A)
    shown = densities.sharpened_map(state, PIXEL_SIZE_A)
    assert shown.attrs["b_factor_A2"] == fitted.attrs["b_factor_A2"] > 0
    given = replace(state, parameters=state.parameters.changed(b_factor_A2=0.0))
    flat = densities.sharpened_map(given, PIXEL_SIZE_A)
    filtered = densities.filtered_map(given, PIXEL_SIZE_A)
    np.testing.assert_allclose(flat, filtered, atol=1e-5)
    spectra = [np.abs(np.fft.rfftn(m)) for m in (shown, flat)]
    k = 15 / (BOX_PX * PIXEL_SIZE_A)
    gain = np.exp(fitted.attrs["b_factor_A2"] * k**2 / 4)
    assert spectra[0][0, 0, 15] / spectra[1][0, 0, 15] == pytest.approx(gain, rel=1e-3)


def test_guinier_plot_has_its_fit_over_the_band(state: State) -> None:
    falling = np.linspace(1.0, 0.0, 21)
    state = replace(state, fsc=replace(state.fsc, unmasked=falling, substitution=None))
    shown = densities.guinier(state, PIXEL_SIZE_A)
    assert shown["inverse_square"].attrs["units"] == "1/angstrom^2"
    x = shown["inverse_square"].where(np.isfinite(shown["fit"]), drop=True)
    assert float(x[0]) ** -0.5 == pytest.approx(shown.attrs["fit_from_A"])
    assert float(x[-1]) ** -0.5 == pytest.approx(shown.attrs["fit_to_A"])
    assert shown.attrs["fit_from_A"] <= 10.0
    assert shown.attrs["fit_to_A"] >= results.fsc(state).attrs["resolution_0.143"]


def test_local_resolution_tells_signal_from_noise(state: State) -> None:
    rng = np.random.default_rng(2)
    noise = rng.standard_normal((2, *(BOX_PX,) * 3)).astype(np.float32)
    signal = helix_of_blobs(4.0)
    signal[:, :, : BOX_PX // 2] = 0
    halves = signal + 0.02 * signal.max() * noise
    shown = densities.local_resolution(
        replace(state, half_maps=halves.astype(np.float32)), PIXEL_SIZE_A
    )
    assert shown.attrs["units"] == "angstrom"
    ordered = shown.where(signal > 0.3 * signal.max())
    empty = shown.sel(x=slice(-24, -15), y=slice(-10, 10))
    assert float(ordered.median()) < 10 < float(empty.median())
    assert float(shown.min()) >= 2 * PIXEL_SIZE_A
    assert float(shown[0, 0, 0]) == state.parameters.split_resolution_A


def test_symmetrised_map_obeys_the_symmetry(state: State) -> None:
    # A quarter turn and two voxels up map the grid onto itself: no interpolation.
    other = HelicalSymmetry(90.0, 2 * PIXEL_SIZE_A)
    state = replace(state, symmetry=other)

    def agreement(volume: NDArray[np.float32]) -> float:
        centred = volume[:, 1:, 1:]  # odd sections turn about their middle voxel
        moved = np.roll(np.rot90(centred, axes=(2, 1)), 2, axis=0)
        pair = moved[6:-6].ravel(), centred[6:-6].ravel()
        return float(np.corrcoef(*pair)[0, 1])

    shown = densities.symmetrised_map(state, PIXEL_SIZE_A).to_numpy()
    assert agreement(shown) > 0.99
    assert agreement(densities.filtered_map(state, PIXEL_SIZE_A).to_numpy()) < 0.6
