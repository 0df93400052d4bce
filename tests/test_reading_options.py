"""What particles were read with is remembered by saved sessions and by scripts."""

import shutil
from pathlib import Path
from typing import Any

import mrcfile
import numpy as np
import pytest

from helixnb import Session
from helixnb.errors import InputError
from helixnb.io.cs_file import read_cs_array, table_of, write_cs
from helixnb.io.filament_pose import PoseFrame
from helixnb.iteration import initial, refinement
from helixnb.particles import ParticleSet
from tests.fakes import FakeRefinement
from tests.standins import standin_parameters, standin_state

TABLE = Path(__file__).parent / "data" / "segments_numpy.cs"
Y = PoseFrame(pose_from="y")


@pytest.fixture
def job(tmp_path: Path) -> Path:
    """Particles whose filaments and stacks both lie where nobody would look."""
    table = read_cs_array(TABLE)
    names = table.dtype.names or ()
    filaments = [n for n in names if n.startswith(("filament", "location"))]
    path = tmp_path / "job" / "particles.cs"
    other = tmp_path / "elsewhere" / "filaments.cs"
    for folder in (path.parent, other.parent):
        folder.mkdir()
    write_cs(path, table_of({n: table[n] for n in names if n not in filaments}))
    write_cs(other, table_of({n: table[n] for n in ("uid", *filaments)}))
    for name in ("a.mrc", "µ b.mrc"):
        stack = tmp_path / "project" / "J1" / "extract" / name
        stack.parent.mkdir(parents=True, exist_ok=True)
        images = np.random.default_rng(1).normal(size=(3, 16, 16))
        mrcfile.write(stack, images.astype(np.float32), voxel_size=2.0)
    return path


@pytest.fixture
def session(job: Path, monkeypatch: pytest.MonkeyPatch) -> Session:
    fake = FakeRefinement(standin_state(1))
    monkeypatch.setattr(initial, "initial_state", fake.initial_state)
    monkeypatch.setattr(refinement, "step", fake.step)
    with pytest.raises(InputError, match="passthrough"):
        ParticleSet.from_file(job)
    particles = ParticleSet.from_file(
        job,
        project_dir=job.parent.parent / "project",
        passthrough=[job.parent.parent / "elsewhere" / "filaments.cs"],
        frame=Y,
    )
    return Session(particles, standin_parameters(), progress=False)


def test_a_saved_session_reads_its_particles_as_before(
    session: Session, tmp_path: Path
) -> None:
    session.step().save(tmp_path / "session.npz")
    again = Session.load(tmp_path / "session.npz", progress=False)
    assert again.particles.read_with.frame == Y
    np.testing.assert_array_equal(
        again.particles.psi_prior_deg, session.particles.psi_prior_deg
    )
    np.testing.assert_array_equal(
        again.particles.read([4, 0]), session.particles.read([4, 0])
    )
    part = again.particles.subset([0, 1, 3, 4])
    assert part.read_with == session.particles.read_with


def test_passthrough_files_are_found_beside_moved_particles(
    session: Session, job: Path, tmp_path: Path
) -> None:
    session.step().save(tmp_path / "session.npz")
    new = tmp_path / "project" / "moved"
    new.mkdir()
    shutil.move(job, new)
    shutil.move(tmp_path / "elsewhere" / "filaments.cs", new)
    again = Session.load(
        tmp_path / "session.npz", particles=new / job.name, progress=False
    )
    assert again.particles.source == new / job.name
    np.testing.assert_array_equal(
        again.particles.psi_prior_deg, session.particles.psi_prior_deg
    )


def test_a_script_reads_its_particles_as_before(session: Session) -> None:
    session.step()
    reading, _, rest = session.to_script().partition("session = ")
    scope: dict[str, Any] = {}
    exec(reading, scope)
    assert rest.startswith("Session.from_file(\n    particles,\n")
    assert scope["particles"].read_with == session.particles.read_with
    np.testing.assert_array_equal(
        scope["particles"].psi_prior_deg, session.particles.psi_prior_deg
    )
