"""A refinement goes on from where RELION stood.

The files under tests/data/relion_run were written by RELION 3.1.3 (Class3D, helical,
one iteration on 20 simulated segments of TMV); orientation tables were cut off.
"""

import shutil
from pathlib import Path

import mrcfile
import numpy as np
import pytest

from helixnb import Session
from helixnb.errors import InputError
from helixnb.io.relion_run import is_relion_run, read_relion_run

DATA = Path(__file__).parent / "data" / "relion_run"


@pytest.fixture
def job(tmp_path: Path) -> Path:
    """Write a project with the job's folder and the stack that its particles name."""
    folder = tmp_path / "project" / "Class3D" / "job008"
    shutil.copytree(DATA, folder)
    images = np.random.default_rng(0).normal(size=(20, 48, 48)).astype(np.float32)
    mrcfile.write(tmp_path / "project" / "particles.mrcs", images, voxel_size=7.2)
    return folder


@pytest.mark.parametrize("name", ["run_it001_optimiser.star", "run_it001_model.star"])
def test_symmetry_and_spreads(job: Path, name: str) -> None:
    run = read_relion_run(job / name)
    assert run.particles == job / "run_it001_data.star"
    expected = {
        "twist_deg": 22.030001,
        "rise_A": 1.408,
        "symmetry_order": 5,
        "tilt_sd_deg": 5.0,
        "psi_sd_deg": 3.33,
        "shift_sd_A": 7.054586,
    }
    if "optimiser" in name:
        expected |= {"outer_diameter_A": 200.0, "inner_diameter_A": 30.0}
        assert run.values.pop("point_group") == "C1"
    assert run.values == expected
    assert run.sigma2_noise is not None
    # (13.679212 of group 1 + that of group 2) / 2, shell 0
    first = [
        float(line.split()[2])
        for line in (job / "run_it001_model.star").read_text().splitlines()
        if line.split()[:2] == ["0", "0.000000"] and len(line.split()) == 3
    ]
    assert run.sigma2_noise[0] == pytest.approx(sum(first) / 2)


def test_a_session_starts_from_an_optimiser_file(job: Path) -> None:
    session = Session.from_file(job / "run_it001_optimiser.star", rise_A=1.41)
    assert len(session.particles) == 20
    assert session.parameters.twist_deg == 22.030001
    assert session.parameters.rise_A == 1.41
    assert session.parameters.outer_diameter_A == 200
    assert "run_it001_model.star" in session.particles.notes[0]


def test_particles_alone_are_refined_without_symmetry(job: Path) -> None:
    session = Session.from_file(job / "run_it001_data.star")
    assert session.parameters.frozen.symmetry is None


def test_files_that_were_copied_together(job: Path, tmp_path: Path) -> None:
    moved = shutil.copytree(job, tmp_path / "elsewhere" / "copy")
    assert read_relion_run(moved / "run_it001_optimiser.star").values["rise_A"] == 1.408
    (moved / "run_it001_model.star").unlink()
    with pytest.raises(InputError, match=r"(?s)names Class3D/job008/run_it001_model"):
        read_relion_run(moved / "run_it001_optimiser.star")


def test_a_refinement_without_helix_is_refused(job: Path) -> None:
    model = job / "run_it001_model.star"
    text = model.read_text()
    model.write_text(
        text.replace(
            "_rlnIsHelix                                        1",
            "_rlnIsHelix                                        0",
        )
    )
    with pytest.raises(InputError, match="without helical symmetry"):
        read_relion_run(model)
    model.write_text(text[: text.index("data_model_classes")])
    with pytest.raises(InputError, match="iteration before"):
        read_relion_run(model)


def test_the_most_populated_class_is_taken(job: Path) -> None:
    model = job / "run_it001_model.star"
    row = next(
        line for line in model.read_text().splitlines() if "class001.mrc" in line
    )
    other = row.replace(" 1.000000", " 0.300000", 1).replace("22.030001", "21.5")
    best = row.replace(" 1.000000", " 0.700000", 1).replace("22.030001", "-22.5")
    model.write_text(model.read_text().replace(row, f"{other}\n{best}"))
    run = read_relion_run(model)
    assert run.values["twist_deg"] == -22.5
    assert "class 2 of 2" in run.notes[0]


def test_only_these_files_are_runs(job: Path) -> None:
    found = {path.name for path in job.iterdir() if is_relion_run(path)}
    assert found == {"run_it001_optimiser.star", "run_it001_model.star"}
    assert not is_relion_run(job / "absent.star")
