"""Symmetry expansion: every mate shows the same image."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import starfile
from numpy.typing import NDArray

from helixnb import cli
from helixnb.core.expansion import expanded
from helixnb.errors import InputError
from helixnb.euler import EulerPoses
from helixnb.expansion import expand_particles
from helixnb.particles import ParticleSet
from helixnb.simulate import Filaments, SimulatedData, simulate_segments
from helixnb.symmetry import HelicalSymmetry
from tests.oracles import euler_matrix, helix, projection

BOX = 32


def _poses(rng: np.random.Generator, n: int) -> EulerPoses:
    return EulerPoses(
        rng.uniform(-180, 180, n),
        90 + rng.uniform(-12, 12, n),
        rng.uniform(-180, 180, n),
        rng.uniform(-2, 2, n),
        rng.uniform(-2, 2, n),
    )


def _image(points: NDArray, poses: EulerPoses, i: int) -> NDArray[np.float64]:
    angles = (poses.rot_deg[i], poses.tilt_deg[i], poses.psi_deg[i])
    return projection(points, BOX, angles, (poses.origin_x_A[i], poses.origin_y_A[i]))


@pytest.mark.parametrize("point_group", ["C1", "C3", "D1", "D2"])
def test_all_mates_show_the_same_image(
    point_group: str, rng: np.random.Generator
) -> None:
    symmetry = HelicalSymmetry(-53.0, 3.3, point_group)
    unit = rng.uniform(-5, 5, (3, 3))
    if symmetry.dihedral:
        unit = np.concatenate([unit, unit * [1, -1, -1]])
    # Long enough for its ends to lie outside of every image.
    points = helix(unit, -53.0, 3.3, 40.0, symmetry.cyclic)
    poses = _poses(rng, 2)
    mates = expanded(poses, symmetry, 3)
    assert len(mates.particle) == 2 * 3 * symmetry.cyclic * (1 + symmetry.dihedral)
    for i, particle in enumerate(mates.particle):
        np.testing.assert_allclose(
            _image(points, mates.poses, i), _image(points, poses, particle), atol=1e-8
        )


def test_each_mate_puts_another_subunit_in_the_centre(rng: np.random.Generator) -> None:
    symmetry = HelicalSymmetry(40.0, 5.0)
    poses = _poses(rng, 1)
    mates = expanded(poses, symmetry, 4)
    # The centre of the map lies at another height of the filament for every mate.
    height = -np.sort(-mates.poses.axial_shift_A)
    np.testing.assert_allclose(np.diff(height), -5.0, atol=1e-9)
    first = int(np.flatnonzero(np.isclose(mates.poses.rot_deg, poses.rot_deg[0]))[0])
    assert mates.poses.origin_x_A[first] == poses.origin_x_A[0]


def test_axial_shift_is_measured_along_the_axis(rng: np.random.Generator) -> None:
    poses = _poses(rng, 5)
    for i in range(5):
        axis = euler_matrix(poses.rot_deg[i], poses.tilt_deg[i], poses.psi_deg[i])[:, 2]
        moved = -7.5 * axis[:2]
        at = replace(
            poses,
            origin_x_A=np.full(5, moved[0]),
            origin_y_A=np.full(5, moved[1]),
        )
        assert at.axial_shift_A[i] == pytest.approx(7.5)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> SimulatedData:
    return simulate_segments(
        tmp_path_factory.mktemp("expand"),
        twist_deg=-60.0,
        rise_A=14.0,
        box_px=32,
        pixel_size_A=4.0,
        filaments=Filaments(n_filaments=2, segments_per_filament=4, inter_box_A=30.0),
    )


def test_the_file_keeps_everything_and_warns(
    data: SimulatedData, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "expanded.star"
    command = ["expand", str(data.truth_star), "-o", str(out)]
    assert cli.main([*command, "--twist", "-60", "--rise", "14"]) == 0
    assert "16 rows of 8 particles" in capsys.readouterr().out
    head = out.read_text().splitlines()[0]
    assert head.startswith("# WARNING: symmetry-expanded")
    given = starfile.read(data.truth_star)["particles"]
    written = starfile.read(out)["particles"]
    assert len(written) == 2 * len(given)
    kept = [
        "rlnHelicalTubeID",
        "rlnMicrographName",
        "rlnDefocusU",
        "rlnHelicalTrackLengthAngst",
    ]
    for name in kept:
        assert (written[name].to_numpy() == given[name].repeat(2).to_numpy()).all()
    turned = (written.rlnAngleRot - given.rlnAngleRot.repeat(2).to_numpy()) % 360
    np.testing.assert_allclose(np.sort(turned.unique().round(4)), [0.0, 60.0])
    # It is not for refining once more as if its rows were images.
    with pytest.raises(InputError, match="counted twice"):
        ParticleSet.from_star(out)


def test_shifts_beyond_half_a_rise_are_refused(
    data: SimulatedData, tmp_path: Path
) -> None:
    particles = ParticleSet.from_star(data.truth_star)
    with pytest.raises(InputError, match=r"row \d+ with .*limit_shifts='always'"):
        expand_particles(particles, tmp_path / "x.star", HelicalSymmetry(-60.0, 1.5))
    assert not (tmp_path / "x.star").exists()
