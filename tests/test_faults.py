"""Disks, other processes and kills: a clear error, and nothing computed is lost."""

import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import mrcfile
import numpy as np
import pytest

from helixnb import Session, cli
from helixnb.errors import InputError
from helixnb.io import atomic
from helixnb.io.atomic import atomic_path
from helixnb.io.checkpoint import read_checkpoint
from helixnb.io.lock import locked_folder
from helixnb.iteration import initial, refinement
from helixnb.particles import ParticleSet
from helixnb.simulate import Filaments, SimulatedData, simulate_segments
from tests.fakes import FakeRefinement
from tests.standins import StandinParticles, standin_parameters, standin_state

REPOSITORY = Path(__file__).resolve().parent.parent
SYMMETRY = ("--twist", "-60", "--rise", "14")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> SimulatedData:
    return simulate_segments(
        tmp_path_factory.mktemp("data"),
        twist_deg=-60.0,
        rise_A=14.0,
        box_px=32,
        pixel_size_A=4.0,
        filaments=Filaments(n_filaments=4, segments_per_filament=4),
    )


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeRefinement:
    fake = FakeRefinement(standin_state(1))
    monkeypatch.setattr(initial, "initial_state", fake.initial_state)
    monkeypatch.setattr(refinement, "step", fake.step)
    return fake


def session_of(fake: FakeRefinement, **options: Any) -> Session:
    particles: Any = StandinParticles()
    return Session(particles, standin_parameters(), progress=False, **options)


def in_namespace(script: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a shell script that may mount file systems nobody else sees."""
    unshare = shutil.which("unshare")
    if unshare is None:
        pytest.skip("no unshare: file systems cannot be mounted for a test alone")
    probe = [unshare, "-rm", "mount", "-t", "tmpfs", "tmpfs", str(folder)]
    if subprocess.run(probe, capture_output=True, check=False).returncode:
        pytest.skip("unshare may not mount file systems here")
    return subprocess.run(
        [unshare, "-rm", "sh", "-ec", script],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
    )


# --- disks -----------------------------------------------------------------------


def test_a_disk_that_fills_up_loses_nothing(
    fake: FakeRefinement, tmp_path: Path
) -> None:
    path = tmp_path / "run.npz"
    session = session_of(fake, checkpoint=path).step()
    before = path.read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (16 * 1024, hard))
    try:
        with pytest.raises(InputError, match=r"run\.npz could not be written.*space"):
            session.step()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert session.iteration == 2, "the iteration itself was computed"
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["run.npz"], "no half file is left"
    session.step()
    assert read_checkpoint(path).state.iteration == 3


@pytest.mark.slow
def test_results_on_a_full_file_system(data: SimulatedData, tmp_path: Path) -> None:
    """A real one of 300 kB; the command saves its session in another place."""
    mount = tmp_path / "small"
    mount.mkdir()
    script = f"""
    mount -t tmpfs -o size=300k tmpfs {mount}
    export TMPDIR={tmp_path}
    {sys.executable} -m helixnb refine {data.particles_star} -o {mount}/out \
        {" ".join(SYMMETRY)} --iterations 1 --bootstrap-iterations 0
    """
    run = in_namespace(script, tmp_path)
    assert run.returncode == 2, run.stderr
    assert "could not be written" in run.stderr
    [saved] = tmp_path.glob("helixnb-*-session.npz")
    assert f"helixnb resume {saved}" in run.stderr
    assert Session.load(saved).iteration == 1


def test_a_read_only_file_system(data: SimulatedData, tmp_path: Path) -> None:
    mount = tmp_path / "ro"
    mount.mkdir()
    script = f"""
    mount -t tmpfs -o ro tmpfs {mount}
    {sys.executable} -m helixnb refine {data.particles_star} -o {mount}/out \
        {" ".join(SYMMETRY)}
    """
    run = in_namespace(script, tmp_path)
    assert run.returncode == 2
    assert "cannot be written to" in run.stderr
    assert "Read-only file system" in run.stderr
    assert "iteration 1" not in run.stderr, "refused before the work"


def test_errors_of_any_writer_name_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(atomic, "_to_disk", full)
    (tmp_path / "map.mrc").write_text("precious")
    with pytest.raises(InputError, match=r"map\.mrc could not be written: No space"):
        with atomic_path(tmp_path / "map.mrc") as temporary:
            temporary.write_text("new")
    assert (tmp_path / "map.mrc").read_text() == "precious"
    assert os.listdir(tmp_path) == ["map.mrc"]


# --- two processes ---------------------------------------------------------------

HOLD = """
import sys, time
from pathlib import Path
from helixnb.io.lock import locked_folder
with locked_folder(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_two_processes_cannot_write_one_folder(
    data: SimulatedData, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        command = ["refine", str(data.particles_star), "-o", str(tmp_path), *SYMMETRY]
        assert cli.main(command) == 2
        assert f"another refinement (process {other.pid})" in capsys.readouterr().err
    finally:
        other.kill()  # without a chance to clean up
        other.communicate()
    with locked_folder(tmp_path), locked_folder(tmp_path):
        pass
    assert os.listdir(tmp_path) == []


def test_two_sessions_cannot_keep_one_checkpoint(
    fake: FakeRefinement, tmp_path: Path
) -> None:
    path = tmp_path / "run.npz"
    one = session_of(fake, checkpoint=path).step()
    session_of(fake, checkpoint=path).step()
    with pytest.raises(InputError, match="replaced by another process"):
        one.step()
    assert one.iteration == 2


# --- kills -----------------------------------------------------------------------

WRITER = """
import os, sys
from dataclasses import replace
from pathlib import Path
from helixnb.io.checkpoint import write_checkpoint
from tests.standins import standin_state
state = standin_state(1)
# A process for each line that is read, which begins without imports.
for line in sys.stdin:
    if os.fork():
        os.wait()
        print("killed", flush=True)
        continue
    for i in range(10**6):
        write_checkpoint(Path(sys.argv[1]), replace(state, iteration=i))
        if i == 0:
            print(os.getpid(), flush=True)
"""


def test_killed_while_it_writes_a_checkpoint(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    path = tmp_path / "run.npz"
    pipe = subprocess.PIPE
    command = [sys.executable, "-c", WRITER, str(path)]
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as parent:
        assert parent.stdin is not None
        assert parent.stdout is not None
        for _ in range(8):
            print("write", file=parent.stdin, flush=True)
            writer = int(parent.stdout.readline())
            time.sleep(rng.uniform(0, 0.1))
            os.kill(writer, signal.SIGKILL)
            assert parent.stdout.readline() == "killed\n"
            assert read_checkpoint(path).iteration >= 0


@pytest.mark.slow
def test_the_end_of_a_batch_job_saves_the_session(
    data: SimulatedData, tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "helixnb", "refine", str(data.particles_star)]
    run = subprocess.Popen(
        [*command, "-o", str(tmp_path / "out"), *SYMMETRY, "--iterations", "500"],
        stderr=subprocess.PIPE,
        text=True,
    )
    assert run.stderr is not None
    for line in run.stderr:
        if "iteration 1:" in line:
            break
    run.send_signal(signal.SIGTERM)
    _, said = run.communicate(timeout=60)
    assert run.returncode == 1
    saved = tmp_path / "out" / "session.npz"
    assert f"helixnb resume {saved}" in said
    session = Session.load(saved, progress=False)
    assert session.iteration >= 1
    again = ["resume", str(saved), "-o", str(tmp_path / "out"), "--checkpoint"]
    session.parameters.max_iterations = session.iteration
    session.save(saved)
    assert cli.main(again) == 0
    assert (tmp_path / "out" / "summary.json").exists()


# --- resuming --------------------------------------------------------------------


def test_other_images_of_the_same_size_are_refused(
    fake: FakeRefinement, data: SimulatedData, tmp_path: Path
) -> None:
    fake.template = standin_state(1)
    session = Session.from_file(data.particles_star, twist_deg=-60, rise_A=14)
    session.step().save(tmp_path / "run.npz")
    text = data.particles_star.read_text()
    other = tmp_path / "other.star"
    shutil.copy(data.particles_star.with_name("particles.mrcs"), tmp_path)
    other.write_text(
        text.replace("000001@", "00000X@")
        .replace("000002@", "000001@")
        .replace("00000X@", "000002@")
    )
    assert other.stat().st_size == data.particles_star.stat().st_size
    with pytest.raises(InputError, match="made from other images"):
        Session.load(tmp_path / "run.npz", particles=other)
    other.write_text(text)
    assert Session.load(tmp_path / "run.npz", particles=other).iteration == 1


# --- images ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (0.0, "the same value in every pixel"),
        (7.5, "same value"),
        (np.nan, "NaN"),
        (np.linspace(-1e20, 1e20, 1024).reshape(32, 32), "beyond 1e\\+15"),
    ],
)
def test_images_without_content_are_refused_by_name(
    data: SimulatedData, tmp_path: Path, value: Any, message: str
) -> None:
    star = shutil.copy(data.particles_star, tmp_path)
    images = mrcfile.read(data.particles_star.with_name("particles.mrcs")).astype(
        np.float32
    )
    images[[5, 9]] = value
    name = "particles.mrcs"
    with mrcfile.new(tmp_path / name) as mrc:
        mrc.set_data(images)
    segments = ParticleSet.from_file(star)
    with pytest.raises(InputError, match=rf"section 6 has.*{message}.*000006@{name}"):
        segments.read(np.arange(len(segments)))
    session = Session(segments, standin_parameters(), progress=False)
    with pytest.raises(InputError, match=message):
        session.step()
    assert session.iteration == 0
