"""Starting from a given density, from a cylinder, or without any symmetry."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mrcfile
import numpy as np
import pytest
import starfile
import xarray as xr
from numpy.typing import NDArray
from scipy import ndimage

from helixnb import Session, cli
from helixnb.backend import get_backend
from helixnb.core.initial_model import contrast_scale, lowpass, placed
from helixnb.errors import InputError
from helixnb.iteration.initial import initial_state
from helixnb.iteration.survey import mean_ctf_power, mean_filtered_image
from helixnb.parameters import Parameters
from helixnb.particles import ParticleSet
from helixnb.session.initial_map import fitted_map
from helixnb.simulate import (
    Filaments,
    Microscope,
    SimulatedData,
    simulate_segments,
)
from tests.oracles import blobs, helix

TWIST, RISE_A, PIXEL_A = 65.0, 9.0, 3.5


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> SimulatedData:
    return simulate_segments(
        tmp_path_factory.mktemp("start"),
        twist_deg=TWIST,
        rise_A=RISE_A,
        box_px=40,
        pixel_size_A=PIXEL_A,
        filaments=Filaments(n_filaments=8, segments_per_filament=12, inter_box_A=18.0),
        microscope=Microscope(snr=0.5),
        seed=2,
    )


@pytest.fixture(scope="module")
def truth(data: SimulatedData) -> NDArray[np.float32]:
    return np.array(mrcfile.read(data.truth_map), np.float32)


def _alike(a: NDArray, b: NDArray) -> float:
    return float(np.corrcoef(a.ravel(), b.ravel())[0, 1])


def _check_placed_as(found: NDArray, truth: NDArray[np.float32]) -> None:
    """Check azimuth and height, which the start fixes: half a twist fits worse."""
    middle = slice(8, -8)
    smooth = lowpass(truth, PIXEL_A, 12.0)
    turned = ndimage.rotate(smooth, TWIST / 2, (1, 2), reshape=False, order=1)
    here = _alike(found[middle], smooth[middle])
    assert here > 0.75
    assert here > _alike(found[middle], turned[middle]) + 0.05


def _filament(box: int, voxel: float) -> NDArray[np.float32]:
    """Smooth filament along z in a box of any voxel size (pixels of 1)."""
    unit = np.random.default_rng(4).uniform(-6, 6, (4, 3)) / voxel
    return blobs(helix(unit, 50.0, 5.0 / voxel, 60.0 / voxel), box, 2.0 / voxel)


@pytest.mark.parametrize(("box", "voxel"), [(40, 1.0), (64, 0.7), (31, 1.3)])
def test_other_boxes_and_voxels_give_the_same_density(box: int, voxel: float) -> None:
    expected = lowpass(_filament(40, 1.0), 1.0, 6.0)
    found = placed(
        _filament(box, voxel),
        voxel,
        box_px=40,
        pixel_size_A=1.0,
        resolution_A=6.0,
        align_axis=False,
    )
    inner = slice(8, -8)
    assert _alike(found[inner, inner, inner], expected[inner, inner, inner]) > 0.999


@pytest.mark.parametrize("axes", [(0, 1), (0, 2)])
def test_a_filament_along_another_axis_is_turned_to_z(axes: tuple[int, int]) -> None:
    density = _filament(48, 1.0)
    tilted = ndimage.rotate(density, 90.0, axes, reshape=False, order=1)
    tilted = np.asarray(ndimage.shift(tilted, (0, 3, 0), order=1), np.float32)
    fitted = placed(
        tilted, 1.0, box_px=48, pixel_size_A=1.0, resolution_A=8.0, align_axis=True
    )
    across = fitted.sum(0)
    centre = ndimage.center_of_mass(np.maximum(across, 0))
    np.testing.assert_allclose(centre, (24, 24), atol=1.0)
    # Along z all sections hold density; across it only the middle does.
    filled = [fitted.sum((1, 2)), fitted.sum((0, 1))]
    assert filled[0][10:38].min() > 0.5 * filled[0].mean()
    assert filled[1][2:8].max() < 0.1 * filled[1].max()


def test_scale_of_a_density_is_that_of_the_images(
    data: SimulatedData, truth: NDArray[np.float32]
) -> None:
    particles = ParticleSet.from_star(data.particles_star)
    rng = np.random.default_rng(0)
    cpu = get_backend("cpu")
    filtered = mean_filtered_image(particles, rng, cpu, lambda *_: None).mean(0)
    power = mean_ctf_power(particles)
    scale = contrast_scale(truth, filtered, power, 7, 1.0)
    assert contrast_scale(5 * truth, filtered, power, 7, 1.0) == pytest.approx(
        scale / 5, rel=1e-3
    )
    # The map of the images themselves has their scale.
    own = initial_state(
        particles,
        Parameters(twist_deg=TWIST, rise_A=RISE_A, outer_diameter_A=60.0),
        get_backend("cpu"),
        0,
        lambda *_: None,
    )
    density = lowpass(own.half_maps.mean(0), PIXEL_A, 20.0)
    assert contrast_scale(density, filtered, power, 7, 1.0) == pytest.approx(
        1.0, abs=0.5
    )


def test_opposite_contrast_is_refused(
    data: SimulatedData, truth: NDArray[np.float32]
) -> None:
    session = _session(data, initial_map=-truth)
    with pytest.raises(InputError, match="opposite of the images"):
        session.step()


def _session(data: SimulatedData, **values: Any) -> Session:
    return Session.from_star(
        data.particles_star, progress=False, seed=1, outer_diameter_A=60.0, **values
    )


def test_refinement_follows_a_given_map(
    data: SimulatedData, truth: NDArray[np.float32], tmp_path: Path
) -> None:
    with mrcfile.new(tmp_path / "start.mrc") as mrc:
        mrc.set_data(truth)
        mrc.voxel_size = PIXEL_A
    session = _session(
        data, twist_deg=TWIST, rise_A=RISE_A, initial_map=tmp_path / "start.mrc"
    )
    session.step()
    assert session.state is not None
    assert not session.state.bootstrapping
    _check_placed_as(session.map.to_numpy(), truth)
    assert "initial_map=" in session.to_script()
    again = Session.load(session.save(tmp_path / "s.npz") and tmp_path / "s.npz")
    assert again.to_script() == session.to_script()
    branch = session.fork()
    assert branch.to_script() == session.to_script()


def test_asymmetric_refinement_from_a_map(
    data: SimulatedData, truth: NDArray[np.float32]
) -> None:
    session = _session(data, initial_map=truth)
    session.step().step()
    state = session.state
    assert state is not None
    assert state.symmetry is None
    assert state.symmetry_order == 1
    assert any("No helical symmetry" in flag for flag in state.flags)
    _check_placed_as(session.map.to_numpy(), truth)
    assert np.isnan(session.history["twist_deg"]).all()
    assert "none imposed" not in repr(session)
    assert "no helical symmetry" in repr(session)
    # Its symmetry can then be used for the next iteration.
    session.parameters.set(twist_deg=TWIST, rise_A=RISE_A)
    session.step()
    assert session.state is not None
    assert session.state.symmetry is not None


def test_everything_is_written_without_symmetry(
    data: SimulatedData, truth: NDArray[np.float32], tmp_path: Path
) -> None:
    session = _session(data, initial_map=truth)
    session.step()
    out = session.save_results(tmp_path / "out")
    assert (out / "map.mrc").exists()
    assert not (out / "map_symmetrized.mrc").exists()
    with pytest.raises(InputError, match="nothing to expand"):
        session.expand_symmetry(tmp_path / "x.star")


def test_a_cylinder_serves_where_no_angle_is_known(
    tmp_path: Path,
) -> None:
    data = simulate_segments(
        tmp_path / "data",
        twist_deg=-166.0,
        rise_A=14.0,
        box_px=56,
        pixel_size_A=PIXEL_A,
        filaments=Filaments(n_filaments=8, segments_per_filament=12, inter_box_A=18.0),
        microscope=Microscope(snr=0.5),
        seed=2,
    )
    star = _without_angles(data, tmp_path)
    symmetry = {"twist_deg": -166.0, "rise_A": 14.0, "progress": False}
    with pytest.raises(InputError, match="cylindrical_model=True"):
        Session.from_star(star, **symmetry)
    with pytest.raises(InputError, match="needs outer_diameter_A"):
        Session.from_star(star, cylindrical_model=True, **symmetry)
    session = Session.from_star(
        star, cylindrical_model=True, outer_diameter_A=45.0, **symmetry
    )
    for state in session.iterate(4):
        assert state.bootstrapping
    true = ParticleSet.from_star(data.truth_star).table["rlnAnglePsi"].to_numpy(float)
    # The axis is found; which way it points, images alone need not tell.
    off = (state.poses.psi_deg - true + 90) % 180 - 90
    assert np.median(np.abs(off)) < 5


def _without_angles(data: SimulatedData, folder: Path) -> Path:
    blocks = starfile.read(data.particles_star)
    table = blocks["particles"]
    # From positions along a filament its direction could be told.
    told = ("rlnAngle", "rlnCoordinate", "rlnHelicalTrack")
    angles = [name for name in table if name.startswith(told)]
    stacks = f"@{data.particles_star.parent}/"
    table["rlnImageName"] = table["rlnImageName"].str.replace("@", stacks)
    path = folder / "no_angles.star"
    starfile.write(blocks | {"particles": table.drop(columns=angles)}, path)
    return path


def test_maps_that_cannot_be_used_are_refused(
    data: SimulatedData, truth: NDArray[np.float32]
) -> None:
    particles = ParticleSet.from_star(data.particles_star)
    broken = truth.copy()
    broken[0, 0, 0] = np.nan
    for bad, message in (
        (truth[:10], "must be a cube"),
        (broken, "not finite"),
        (np.ones_like(truth), "constant"),
    ):
        with pytest.raises(InputError, match=message):
            fitted_map(bad, particles, align_axis=False)
    with pytest.raises(InputError, match="choose one"):
        _session(data, initial_map=truth, cylindrical_model=True)


def test_labelled_maps_bring_their_voxel_size(
    data: SimulatedData, truth: NDArray[np.float32]
) -> None:
    particles = ParticleSet.from_star(data.particles_star)
    place = (np.arange(40) - 20) * PIXEL_A / 2
    labelled = xr.DataArray(truth, dict.fromkeys("zyx", place), tuple("zyx"))
    half_size = fitted_map(labelled, particles, align_axis=False).volume
    same = fitted_map(truth, particles, align_axis=False).volume
    # At half the voxel size the filament is half as wide.
    assert (half_size.sum(0) > 0.3 * half_size.sum(0).max()).sum() < 0.5 * (
        same.sum(0) > 0.3 * same.sum(0).max()
    ).sum()


def test_the_command_takes_a_map(data: SimulatedData, tmp_path: Path) -> None:
    command = ["refine", str(data.particles_star), "-o", str(tmp_path / "out")]
    options = ["--initial-map", str(data.truth_map), "--iterations", "1"]
    diameter = ["--outer-diameter", "60"]
    assert cli.main([*command, *options, *diameter]) == 0
    text = (tmp_path / "out" / "summary.json").read_text()
    assert '"twist_deg": null' in text
