"""Single filaments and images against the model, on data with known answer."""

from dataclasses import replace

import numpy as np
import pytest
import xarray as xr

from helixnb.backend import get_backend
from helixnb.core.continuity import fit_screw
from helixnb.core.filament_frame import pictures
from helixnb.errors import InputError
from helixnb.inspection.filaments import continuity
from helixnb.inspection.pictures import image_mean, particle_pictures
from helixnb.inspection.sample import evenly, model_of, read_sample
from helixnb.inspection.spectra import layer_lines, power_spectrum
from helixnb.iteration.state import State
from helixnb.symmetry import HelicalSymmetry
from tests.standins import BOX_PX, StandinParticles, standin_state
from tests.truths import Truth, true_state

BACKEND = get_backend("cpu")


@pytest.fixture(scope="module")
def truth(tmp_path_factory: pytest.TempPathFactory) -> Truth:
    """Noise-free images of a left-handed helix."""
    return true_state(tmp_path_factory.mktemp("left"))


@pytest.fixture(scope="module")
def threefold(tmp_path_factory: pytest.TempPathFactory) -> Truth:
    """Noise-free images of a right-handed helix with C3."""
    folder = tmp_path_factory.mktemp("c3")
    return true_state(folder, twist_deg=60.0, rise_A=20.0, point_group="C3")


# --- continuity -----------------------------------------------------------------------


@pytest.mark.parametrize("cyclic", [1, 3])
def test_the_line_of_a_filament_is_found_between_the_steps(
    cyclic: int, rng: np.random.Generator
) -> None:
    place = 30.0 * np.arange(20.0)
    for slope in rng.uniform(-0.3, 0.3, 10) / cyclic:
        phase = 40.0 + slope * place
        phase[[4, 11]] += 100.0 / cyclic  # these contradict the others
        fit = fit_screw(phase % (360.0 / cyclic), place, cyclic)
        over_all_deg = (fit.slope_deg_per_A - slope) * np.ptp(place) * cyclic
        assert abs(over_all_deg) < 1e-6
        agree = np.delete(fit.deviation_deg, [4, 11])
        assert np.abs(agree).max() < 1e-6


@pytest.mark.parametrize("name", ["truth", "threefold"])
def test_true_poses_lie_on_one_helix_in_each_filament(
    name: str, request: pytest.FixtureRequest
) -> None:
    case: Truth = request.getfixturevalue(name)
    segments, filaments = continuity(case.state, case.particles)
    assert len(filaments) == case.particles.n_filaments
    assert filaments["concentration"].min() > 0.98
    assert not segments["outlier"].any()
    true_twist = case.state.symmetry.twist_deg
    np.testing.assert_allclose(filaments["twist_deg"], true_twist, atol=0.6)


def test_a_filament_tells_its_own_twist(truth: Truth) -> None:
    parameters = truth.state.parameters.changed(twist_deg=-59.0)
    wrong = replace(truth.state, parameters=parameters)
    _, filaments = continuity(wrong, truth.particles)
    np.testing.assert_allclose(filaments["twist_deg"], -60.0, atol=0.6)


def test_segments_that_contradict_their_filament_are_found(truth: Truth) -> None:
    poses = truth.state.poses
    azimuth, polarity = poses.azimuth_deg.copy(), poses.polarity.copy()
    azimuth[3] += 100
    polarity[17] = 1 - polarity[17]
    poses = replace(poses, azimuth_deg=azimuth, polarity=polarity)
    segments, filaments = continuity(replace(truth.state, poses=poses), truth.particles)
    assert np.flatnonzero(segments["outlier"]).tolist() == [3, 17]
    assert filaments["outliers"].tolist() == [1, 1, 0, 0, 0, 0]
    assert abs(abs(segments["azimuth_deviation"][3]) - 100) < 10


def test_the_unwound_azimuth_goes_with_the_pitch(truth: Truth) -> None:
    segments, _ = continuity(truth.state, truth.particles)
    first = segments.isel(particle=segments["filament"] == 0).sortby("position")
    gained = np.diff(first["azimuth_unwound"])
    moved = np.diff(first["position"])
    # Positions grow towards +z, where the pattern turns with the twist; a box further
    # along sees the helix turned back by as much.
    np.testing.assert_allclose(gained / moved, 60.0 / 14.0, rtol=0.1)


def test_poses_and_positions_are_needed(truth: Truth) -> None:
    with pytest.raises(InputError, match=r"session\.step"):
        continuity(replace(truth.state, poses=standin_state(0).poses), truth.particles)
    blind = replace(truth.particles, axial_A=np.full(len(truth.particles), np.nan))
    with pytest.raises(InputError, match="where segments lie"):
        continuity(truth.state, blind)


# --- pictures -------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["truth", "threefold"])
def test_projections_look_like_the_images(
    name: str, request: pytest.FixtureRequest
) -> None:
    case: Truth = request.getfixturevalue(name)
    sample = read_sample(case.state, case.particles, np.arange(0, 60, 5), BACKEND)
    model = model_of(case.state, case.particles)
    seen = particle_pictures(case.state, sample, model, 15.0, BACKEND)
    # Not 1: the contrast transfer function spreads signal beyond so small a box.
    assert float(seen["correlation"].median()) > 0.93
    turned = replace(sample.frames, azimuth_deg=sample.frames.azimuth_deg + 40)
    wrong = particle_pictures(
        case.state, replace(sample, frames=turned), model, 15.0, BACKEND
    )
    assert float(wrong["correlation"].max()) < float(seen["correlation"].min())


def test_the_mean_of_images_is_the_projection(truth: Truth) -> None:
    sample = read_sample(truth.state, truth.particles, np.arange(60), BACKEND)
    model = model_of(truth.state, truth.particles)
    for azimuth_deg in (0.0, 77.0):
        mean = image_mean(truth.state, sample, model, azimuth_deg, 15.0, BACKEND)
        assert mean.attrs["n_images"] >= 2
        assert _correlation(mean["images"], mean["model"]) > 0.9


def test_a_map_sums_up_to_what_is_seen_in_images(truth: Truth) -> None:
    # Its unit, that of the images per voxel: any projection has the sum of the map,
    # but for what the model leaves out at the ends of the box.
    sample = read_sample(truth.state, truth.particles, np.arange(60), BACKEND)
    model = model_of(truth.state, truth.particles)
    mean = image_mean(truth.state, sample, model, 30.0, 6.0, BACKEND)
    total = float(truth.state.references[0].sum())
    assert float(mean["model"].sum()) == pytest.approx(total, rel=0.1)


def test_a_mean_without_images_is_empty(truth: Truth) -> None:
    sample = read_sample(truth.state, truth.particles, np.arange(1), BACKEND)
    away = float(sample.frames.azimuth_deg[0]) + 30.0
    model = model_of(truth.state, truth.particles)
    mean = image_mean(truth.state, sample, model, away, 15.0, BACKEND)
    assert mean.attrs["n_images"] == 0
    assert not mean["images"].any()


def _correlation(a: xr.DataArray, b: xr.DataArray) -> float:
    middle = slice(BOX_PX // 4, -BOX_PX // 4)
    flat = [x.to_numpy()[middle, middle].ravel() for x in (a, b)]
    return float(np.corrcoef(*flat)[0, 1])


@pytest.mark.parametrize("box", [24, 25])
def test_pictures_are_the_inverse_transform(box: int, rng: np.random.Generator) -> None:
    k_max = 8
    image = rng.standard_normal((box, box))
    place = np.arange(box) - box // 2
    v, u = np.arange(k_max + 1), np.arange(-k_max, k_max + 1)
    rows = np.exp(-2j * np.pi * np.outer(v, place) / box)
    columns = np.exp(-2j * np.pi * np.outer(u, place) / box)
    half_plane = rows @ image @ columns.T
    found = pictures(half_plane[:, None].astype(np.complex64), box)[0]
    k = np.arange(box) - box // 2
    inside = np.hypot(k[:, None], k[None, :]) <= k_max
    full = np.exp(-2j * np.pi * np.outer(k, place) / box)
    expected = (full.conj().T @ (full @ image @ full.T * inside) @ full.conj()).real
    np.testing.assert_allclose(found, expected / box**2, atol=1e-5)


def test_samples_are_spread_evenly() -> None:
    assert evenly(5, 10).tolist() == [0, 1, 2, 3, 4]
    assert evenly(101, 3).tolist() == [0, 50, 100]


def test_a_sample_needs_poses(truth: Truth) -> None:
    nothing = replace(truth.state, poses=standin_state(0).poses)
    with pytest.raises(InputError, match=r"session\.step"):
        read_sample(nothing, truth.particles, np.arange(3), BACKEND)


# --- layer lines ----------------------------------------------------------------------


def _on_lines(
    spectrum: xr.DataArray, symmetry: HelicalSymmetry, state: State
) -> tuple[float, float]:
    """Share of the power within a pixel of an allowed line, and of the rows."""
    z = spectrum["axial_frequency"].to_numpy()
    lines = layer_lines(symmetry, state.survey.outer_radius_A, max_order=3)
    away = np.abs(z[:, None] - lines["z_per_A"].to_numpy()).min(1)
    near = away < 0.9 * z[1]
    used = np.arange(len(z)) >= 2  # off the equator
    power = spectrum.sum("radial_frequency").to_numpy()
    return (
        float(power[used & near].sum() / power[used].sum()),
        float(near[used].mean()),
    )


@pytest.mark.parametrize("variable", ["images", "model"])
def test_power_lies_on_the_layer_lines(threefold: Truth, variable: str) -> None:
    case = threefold
    sample = read_sample(case.state, case.particles, np.arange(60), BACKEND)
    model = model_of(case.state, case.particles)
    spectrum = power_spectrum(case.state, sample, model, BACKEND)
    share, rows = _on_lines(spectrum[variable], case.state.symmetry, case.state)
    assert rows < 0.7
    assert share > 0.9
    wrong = HelicalSymmetry(60.0, 25.0, "C3")
    off = 1 - _on_lines(spectrum[variable], wrong, case.state)[0]
    assert off > 1.5 * (1 - share)


def test_images_and_model_have_the_same_power_without_noise(truth: Truth) -> None:
    sample = read_sample(truth.state, truth.particles, np.arange(60), BACKEND)
    model = model_of(truth.state, truth.particles)
    spectrum = power_spectrum(truth.state, sample, model, BACKEND)
    images, projections = (
        spectrum[name].to_numpy()[3:10].ravel() for name in ("images", "model")
    )
    assert np.corrcoef(images, projections)[0, 1] > 0.9


def test_standin_particles_have_positions() -> None:
    particles = StandinParticles()
    assert np.isfinite(particles.axial_A).all()
