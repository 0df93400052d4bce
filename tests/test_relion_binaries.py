"""What is written is read by RELION itself, without a warning."""

import shutil
import subprocess
from pathlib import Path

import mrcfile
import numpy as np
import pytest

from helixnb.euler import EulerPoses
from helixnb.particles import ParticleSet
from helixnb.simulate import (
    Filaments,
    Microscope,
    SimulatedData,
    simulate_segments,
)
from tests.test_io_cryosparc import DATA, stacks

POSES = {
    "rot_deg": "rlnAngleRot",
    "tilt_deg": "rlnAngleTilt",
    "psi_deg": "rlnAnglePsi",
    "origin_x_A": "rlnOriginXAngst",
    "origin_y_A": "rlnOriginYAngst",
}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> SimulatedData:
    return simulate_segments(
        tmp_path_factory.mktemp("data"),
        twist_deg=-60.0,
        rise_A=14.0,
        box_px=32,
        pixel_size_A=4.0,
        filaments=Filaments(n_filaments=6, segments_per_filament=8),
        microscope=Microscope(snr=20.0),
    )


def relion(program: str, *arguments: str, folder: Path) -> str:
    """Run a program of RELION and return what it says; it must succeed."""
    path = shutil.which(f"relion_{program}")
    if path is None:
        pytest.skip(f"relion_{program} is not installed")
    run = subprocess.run(
        [path, *arguments], cwd=folder, capture_output=True, text=True, check=False
    )
    said = run.stdout + run.stderr
    assert run.returncode == 0, said
    assert "WARNING" not in said.upper(), said
    return said


def refined_star(segments: ParticleSet, path: Path) -> ParticleSet:
    """Write particles with poses, as a refinement does."""
    rng = np.random.default_rng(2)
    poses = {name: rng.uniform(-90, 90, len(segments)) for name in POSES}
    poses["tilt_deg"] += 90
    segments.write_star(path, EulerPoses(**poses), half=segments.filament % 2)
    return ParticleSet.from_file(path)


def test_relion_reads_every_number(data: SimulatedData, tmp_path: Path) -> None:
    written = refined_star(
        ParticleSet.from_file(data.particles_star), tmp_path / "o.star"
    )
    labels = [*POSES.values(), "rlnDefocusU", "rlnHelicalTubeID", "rlnRandomSubset"]
    said = relion(
        "star_printtable", "o.star", "data_particles", *labels, folder=tmp_path
    )
    rows = np.array([line.split() for line in said.splitlines()], dtype=float)
    assert rows.shape == (len(written), len(labels))
    for column, label in enumerate(labels):
        np.testing.assert_allclose(
            rows[:, column], written.table[label], rtol=1e-5, atol=1e-4
        )


def test_relion_reconstructs_from_what_is_written(
    data: SimulatedData, tmp_path: Path
) -> None:
    truth = ParticleSet.from_file(data.truth_star)
    values = {name: truth.table[label].to_numpy() for name, label in POSES.items()}
    core = (slice(8, 24),) * 3
    true = mrcfile.read(data.truth_map)[core].ravel()
    agreement = {}
    for turn_deg in (0.0, 180.0):
        turned = values | {"psi_deg": values["psi_deg"] + turn_deg}
        truth.write_star(tmp_path / "o.star", EulerPoses(**turned))
        options = "--i o.star --o map.mrc --ctf --angpix 4 --maxres 12"
        relion("reconstruct", *options.split(), folder=tmp_path)
        found = mrcfile.read(tmp_path / "map.mrc")[core].ravel()
        agreement[turn_deg] = np.corrcoef(found, true)[0, 1]
    assert agreement[0.0] > 0.5
    assert agreement[180.0] < 0.3, "the test would not see a wrong angle"


def test_relion_refines_from_what_is_written(
    data: SimulatedData, tmp_path: Path
) -> None:
    refined_star(ParticleSet.from_file(data.particles_star), tmp_path / "o.star")
    options = (
        f"--i o.star --ref {data.truth_map} --o ./run --iter 1 --particle_diameter 110 "
        "--ini_high 30 --helix --helical_twist_initial -60 --helical_rise_initial 14 "
        "--helical_outer_diameter 100 --healpix_order 1 --offset_range 4 "
        "--offset_step 4 --ctf --j 1 --sigma_tilt 5 --sigma_psi 5 --firstiter_cc"
    )
    relion("refine", *options.split(), folder=tmp_path)
    assert (tmp_path / "run_it001_data.star").exists()


def test_relion_reads_particles_of_cryosparc(tmp_path: Path) -> None:
    stacks(tmp_path)
    shutil.copy(DATA / "segments_stream.cs", tmp_path / "in.cs")
    refined_star(ParticleSet.from_file(tmp_path / "in.cs"), tmp_path / "o.star")
    labels = ["rlnImageName", "rlnHelicalTubeID", "rlnAnglePsiPrior"]
    said = relion(
        "star_printtable", "o.star", "data_particles", *labels, folder=tmp_path
    )
    assert len(said.splitlines()) == 6
