"""Branches, scripts, checkpoints and interrupts: nothing a user did gets lost."""

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from helixnb import Session
from helixnb.errors import InputError
from helixnb.iteration import initial, refinement
from helixnb.iteration.state import State
from helixnb.particles import ParticleSet
from helixnb.session import progress
from helixnb.session.history import compared
from helixnb.session.timeline import Moment
from helixnb.simulate import Filaments, simulate_segments
from tests.fakes import TIMEOUT_S, FakeRefinement, Gate
from tests.standins import StandinParticles, standin_parameters, standin_state


@pytest.fixture(scope="module")
def template() -> State:
    return standin_state(1)


@pytest.fixture
def fake(template: State, monkeypatch: pytest.MonkeyPatch) -> FakeRefinement:
    fake = FakeRefinement(template)
    monkeypatch.setattr(initial, "initial_state", fake.initial_state)
    monkeypatch.setattr(refinement, "step", fake.step)
    return fake


@pytest.fixture
def session(fake: FakeRefinement) -> Session:
    particles: Any = StandinParticles()
    return Session(particles, standin_parameters(), progress=False)


@pytest.fixture(scope="module")
def star(tmp_path_factory: pytest.TempPathFactory) -> Path:
    data = simulate_segments(
        tmp_path_factory.mktemp("particles"),
        twist_deg=-60.0,
        rise_A=14.0,
        box_px=24,
        pixel_size_A=5.0,
        filaments=Filaments(n_filaments=3, segments_per_filament=4),
    )
    return data.particles_star


# --- branches -----------------------------------------------------------------------


def test_branches_start_alike_and_go_their_own_ways(session: Session) -> None:
    session.step().step()
    branch = session.fork(psi_sd_deg=2.0)
    assert branch.states == session.states
    assert branch.history.equals(session.history)
    branch.step()
    assert (branch.iteration, session.iteration) == (3, 2)
    session.step()
    assert session.history["parameter_psi_sd_deg"].tolist() == [3.0, 3.0, 3.0]
    assert branch.history["parameter_psi_sd_deg"].tolist() == [3.0, 3.0, 2.0]
    assert branch.back().iteration == 2
    assert session.iteration == 3


def test_a_branch_does_the_same_if_nothing_was_changed(session: Session) -> None:
    session.step()
    branch = session.fork()
    first, second = session.step().state, branch.step().state
    assert first is not None
    assert second is not None
    np.testing.assert_array_equal(first.half_maps, second.half_maps)


def test_branches_are_compared_by_what_differs(session: Session) -> None:
    session.step()
    branch = session.fork(psi_sd_deg=2.0, twist_deg=-70.0)
    session.step()
    branch.step()
    table = session.compare(branch)
    assert table.loc["psi_sd_deg"].tolist() == [3.0, 2.0]
    assert table.loc["next_twist_deg"].tolist() == [-59.0, -69.75]
    assert "rise_A" not in table.index
    assert table.loc["resolution_A"].tolist() == [10.0, 10.0]


def test_a_branch_without_symmetry_is_compared(template: State) -> None:
    assert template.symmetry is not None
    without = template.parameters.changed(twist_deg=None, rise_A=None)
    table = compared(
        Moment(template.parameters, (template,)),
        Moment(without, (replace(template, symmetry=None),)),
    )
    assert table.loc["next_twist_deg", "this"] == template.parameters.twist_deg
    assert np.isnan(table.loc["next_twist_deg", "other"])


def test_what_a_branch_will_do_differently_is_compared(session: Session) -> None:
    state = session.step().state
    assert state is not None
    table = session.compare(session.fork(psi_sd_deg=2.0, twist_deg=-70.0))
    assert table.loc["next_psi_sd_deg"].tolist() == [3.0, 2.0]
    assert table.loc["next_twist_deg"].tolist() == [state.twist_deg, -70.0]
    assert "psi_sd_deg" not in table.index  # both have used the same so far


def test_a_branch_refuses_what_the_session_would(session: Session) -> None:
    session.step()
    with pytest.raises(InputError, match="Did you mean 'twist_deg'"):
        session.fork(twist=3)


def test_a_run_can_be_branched_while_it_goes_on(
    session: Session, fake: FakeRefinement
) -> None:
    session.step()
    gate = Gate()
    fake.before = gate
    session.run(1)
    assert gate.reached.wait(TIMEOUT_S)
    branch = session.fork()
    assert not branch.running
    assert branch.iteration == 1
    gate.open()
    session.wait()
    assert session.iteration == 2


# --- scripts ------------------------------------------------------------------------


def test_the_script_repeats_a_run_with_its_edits(
    session: Session, fake: FakeRefinement
) -> None:
    session.step().step()
    session.parameters.set(twist_deg=-61.125, coherence=False)
    session.step().step().back()
    session.parameters.outer_diameter_A = 80.5
    session.step()
    text = session.to_script()
    used = [*fake.used[:3], fake.used[4]]  # the fourth was undone
    fake.used.clear()
    particles: Any = StandinParticles()

    class Replayed:
        @staticmethod
        def from_file(path: str, *, device: str, seed: int, **values: Any) -> Session:
            assert path == str(particles.source.absolute())
            parameters = standin_parameters(**values)
            return Session(
                particles, parameters, device=device, seed=seed, progress=False
            )

    exec(text.replace("from helixnb import Session", ""), {"Session": Replayed})
    assert fake.used == used


def test_the_script_gives_the_same_maps_bit_for_bit(star: Path) -> None:
    session = Session.from_star(
        star, twist_deg=-60, rise_A=14, bootstrap_iterations=1, progress=False
    )
    session.step()
    session.parameters.rise_A = 14.1
    session.step()
    scope: dict[str, Any] = {}
    exec(session.to_script(), scope)
    again = scope["session"]
    assert session.state is not None
    np.testing.assert_array_equal(session.state.half_maps, again.state.half_maps)
    assert session.parameters.frozen == again.parameters.frozen


def test_some_of_the_particles_are_found_again(
    fake: FakeRefinement, star: Path, tmp_path: Path
) -> None:
    """By the script and by a resumed session, also where a part was cut twice."""
    rows = np.array([5, 4, 8, 9, 10, 11, 0])
    some = ParticleSet.from_file(star).subset(rows).subset([1, 2, 3, 4, 6])
    session = Session.from_file(some, twist_deg=-60, rise_A=14, progress=False)
    session.step().save(tmp_path / "session.npz")
    text = session.to_script()
    assert ").subset(np.r_[4, 8:11, 0])\n" in text
    scope: dict[str, Any] = {}
    exec(text, scope)
    resumed = Session.load(tmp_path / "session.npz", progress=False)
    for again in (scope["session"], resumed):
        assert again.particles.fingerprint() == some.fingerprint()
        np.testing.assert_array_equal(again.particles.read([4]), some.read([4]))
    assert resumed.to_script() == text


def test_the_initial_density_follows_edits_until_it_is_used(
    session: Session, fake: FakeRefinement
) -> None:
    session.step().back()
    session.parameters.initial_lowpass_A = 30.0
    session.step()
    assert session.states[0].parameters.initial_lowpass_A == 30.0


# --- checkpoints --------------------------------------------------------------------


def test_a_killed_program_loses_one_iteration_at_most(
    star: Path, tmp_path: Path
) -> None:
    file = tmp_path / "session.npz"
    code = f"""
import os, signal
from helixnb import Session
from helixnb.iteration import initial, refinement
step = refinement.step
def fatal(state, *args):
    if state.iteration == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return step(state, *args)
refinement.step = fatal
Session.from_star({str(star)!r}, twist_deg=-60, rise_A=14, bootstrap_iterations=1,
                  progress=False, checkpoint={str(file)!r}).run(5).wait()
"""
    killed = subprocess.run([sys.executable, "-c", code], check=False, env=os.environ)
    assert killed.returncode == -signal.SIGKILL
    resumed = Session.load(file, progress=False, checkpoint=file)
    assert resumed.iteration == 2
    resumed.step()
    assert Session.load(file).iteration == 3


def test_a_checkpoint_that_cannot_be_written_stops_the_run(
    fake: FakeRefinement, tmp_path: Path
) -> None:
    particles: Any = StandinParticles()
    session = Session(
        particles,
        standin_parameters(),
        progress=False,
        checkpoint=tmp_path / "a file" / "session.npz",
    )
    (tmp_path / "a file").touch()
    session.run(3)
    with pytest.raises(InputError, match="could not be written"):
        session.wait()
    assert session.iteration == 1  # what was computed is kept


# --- interrupts and progress --------------------------------------------------------


def test_an_interrupt_while_listeners_draw_leaves_the_session_usable(
    session: Session,
) -> None:
    def draw(_: Session) -> None:
        raise KeyboardInterrupt

    forget = session.on_change(draw)
    for work in (session.step, session.run):
        with pytest.raises(KeyboardInterrupt):
            work()
        assert not session.running
        assert session.state is None
    forget()
    assert session.step().iteration == 1


def test_time_left_follows_from_what_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(progress.time, "monotonic", lambda: now)
    report = progress.ProgressReport(False, lambda: None)
    report("align", 10, 400)
    assert report.current.seconds_left is None
    now = 130.0
    report("align", 100, 400)
    assert report.current.seconds_left == pytest.approx(90)
    assert str(report.current) == "align: 100 of 400, 1 min 30 s left"
    report("align again", 0, 400)
    assert report.current.seconds_left is None
