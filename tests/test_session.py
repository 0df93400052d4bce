"""What a session promises: edits, interrupts, undo, background runs, resuming."""

import logging
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from helixnb import Session
from helixnb.errors import InputError
from helixnb.iteration import initial, refinement
from helixnb.iteration.state import State
from helixnb.particles import ParticleSet
from helixnb.session import files
from helixnb.session.progress import StepProgress
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
    """Particles on disk, for what needs real files."""
    data = simulate_segments(
        tmp_path_factory.mktemp("particles"),
        twist_deg=-60.0,
        rise_A=14.0,
        box_px=32,
        pixel_size_A=4.0,
        filaments=Filaments(n_filaments=3, segments_per_filament=4),
    )
    return data.particles_star


@pytest.fixture
def gate(fake: FakeRefinement) -> Iterator[Gate]:
    gate = Gate()
    fake.before = gate
    yield gate
    gate.open()


# --- stepping -----------------------------------------------------------------------


def test_a_step_makes_the_initial_density_first(session: Session) -> None:
    assert session.state is None
    assert session.step() is session
    assert [s.iteration for s in session.states] == [0, 1]


def test_found_symmetry_is_used_by_the_next_step(
    session: Session, fake: FakeRefinement
) -> None:
    session.step().step().step()
    assert [p.twist_deg for p in fake.used] == [-59.5, -59.25, -59.0]
    assert session.parameters.twist_deg == -58.75


def test_edit_between_steps_is_used_by_the_next(
    session: Session, fake: FakeRefinement
) -> None:
    session.step()
    session.parameters.twist_deg = -61.0
    session.parameters.outer_diameter_A = 80
    session.step()
    assert (fake.used[1].twist_deg, fake.used[1].outer_diameter_A) == (-61.0, 80.0)


def test_edit_during_a_step_waits_for_the_next_and_is_not_overruled(
    session: Session, fake: FakeRefinement, gate: Gate
) -> None:
    session.run(2)
    assert gate.reached.wait(TIMEOUT_S)
    session.parameters.twist_deg = -65.0
    session.parameters.psi_sd_deg = 2.0
    gate.open()
    session.wait()
    assert [p.twist_deg for p in fake.used] == [-59.5, -65.0]
    assert [p.psi_sd_deg for p in fake.used] == [3.0, 2.0]
    assert session.parameters.twist_deg == -64.75


def test_other_edits_during_a_step_let_the_found_symmetry_in(
    session: Session, gate: Gate
) -> None:
    session.run(1)
    assert gate.reached.wait(TIMEOUT_S)
    session.parameters.psi_sd_deg = 2.0
    gate.open()
    session.wait()
    assert session.parameters.twist_deg == -59.25
    assert session.parameters.changes == {"psi_sd_deg": (3.0, 2.0)}


def test_interrupted_step_leaves_the_session_as_it_was(
    session: Session, fake: FakeRefinement
) -> None:
    session.step()
    state, history = session.state, session.history

    def interrupt(iteration: int) -> None:
        raise KeyboardInterrupt

    fake.before = interrupt
    with pytest.raises(KeyboardInterrupt):
        session.step()
    assert session.state is state
    assert session.history.equals(history)
    assert session.progress == StepProgress()
    assert not session.running
    fake.before = lambda iteration: None
    assert session.step().iteration == 2


def test_interrupted_first_step_keeps_the_initial_density(
    session: Session, fake: FakeRefinement
) -> None:
    fake.before = _fail
    with pytest.raises(RuntimeError, match="no memory"):
        session.step()
    assert session.state is not None
    assert session.state.iteration == 0
    assert session.history.empty
    fake.before = lambda iteration: None
    assert session.step().history["seconds_survey"].tolist() == [7.0]


def _fail(iteration: int) -> None:
    raise RuntimeError("no memory")


def test_a_check_that_cannot_judge_is_told_in_words(
    session: Session, fake: FakeRefinement
) -> None:
    check: Any = SimpleNamespace(overall=float("nan"))
    fake.template = replace(fake.template, check=check)
    said = repr(session.step())
    assert "agree too little to judge" in said
    assert "nan" not in said


def test_failed_step_is_raised_once_and_shown(
    session: Session, fake: FakeRefinement
) -> None:
    session.step()
    fake.before = _fail
    with pytest.raises(RuntimeError, match="no memory"):
        session.step()
    assert "no memory" in repr(session)
    assert session.iteration == 1
    fake.before = lambda iteration: None
    session.step()
    assert session.error is None


# --- parameters ---------------------------------------------------------------------


def test_misspelt_parameter_is_refused_with_a_suggestion(session: Session) -> None:
    with pytest.raises(InputError, match="Did you mean 'twist_deg'"):
        session.parameters.twist = 3
    with pytest.raises(AttributeError, match="Did you mean 'twist_deg'"):
        _ = session.parameters.twist
    with pytest.raises(AttributeError, match=r"session\.parameters\.twist_deg"):
        session.twist_deg = 3  # type: ignore[attr-defined]
    with pytest.raises(AttributeError, match="has no attribute 'verbose'"):
        session.verbose = True  # type: ignore[attr-defined]


def test_refused_value_changes_nothing(session: Session) -> None:
    with pytest.raises(InputError, match="between -180 and 180"):
        session.parameters.set(rise_A=15, twist_deg=400)
    assert session.parameters.rise_A == 14.2


def test_edits_are_checked_against_the_particles(session: Session) -> None:
    with pytest.raises(InputError, match="wider than its box"):
        session.parameters.outer_diameter_A = 121
    with pytest.raises(InputError, match="more than half of the box"):
        session.parameters.rise_A = 61
    assert session.parameters.changes == {}


def test_changes_are_marked_until_they_are_used(session: Session) -> None:
    session.step()
    session.parameters.tilt_sd_deg = 4
    assert "(was 5.0)" in repr(session.parameters)
    assert "was 5.0" in session.parameters._repr_html_()
    session.step()
    assert session.parameters.changes == {}
    assert "(was" not in repr(session.parameters)


# --- going back ---------------------------------------------------------------------


def test_back_restores_state_history_and_parameters(
    session: Session, fake: FakeRefinement
) -> None:
    session.step().step()
    state = session.state
    session.parameters.psi_sd_deg = 1.0
    session.step()
    session.parameters.tilt_sd_deg = 1.0
    session.back()
    assert session.state is state
    assert session.parameters.changes == {}
    assert session.parameters.psi_sd_deg == 3.0
    assert session.parameters.twist_deg == -59.0
    assert session.history["iteration"].tolist() == [1, 2]
    assert session.history["device"].tolist() == ["cpu", "cpu"]
    session.step()
    assert fake.used[-1] == fake.used[1].changed(twist_deg=-59.0)


def test_back_knows_how_far_it_can_go(fake: FakeRefinement) -> None:
    particles: Any = StandinParticles()
    session = Session(particles, standin_parameters(), keep_states=3)
    session.run(6, background=False)
    assert len(session.states) == 3
    assert len(session.history) == 6, "history is kept longer than states"
    with pytest.raises(InputError, match="2 earlier states are kept"):
        session.back(3)
    assert session.back(2).iteration == 4
    with pytest.raises(InputError, match="Cannot go back by 1"):
        session.back()


# --- running ------------------------------------------------------------------------


def test_run_ends_at_convergence(session: Session, fake: FakeRefinement) -> None:
    fake.converge_at = 4
    session.run().wait()
    assert session.converged
    assert session.iteration == 4
    assert session.run().wait().iteration == 4, "there is nothing left to do"


def test_run_goes_on_after_convergence_when_asked(
    session: Session, fake: FakeRefinement
) -> None:
    fake.converge_at = 2
    session.run(background=False)
    assert session.run(1, background=False).iteration == 3
    assert session.run(3, background=False).iteration == 6, "as many as asked for"
    session.parameters.psi_sd_deg = 1.0
    assert session.run(background=False).iteration == 7


def test_run_ends_at_max_iterations(session: Session) -> None:
    session.parameters.max_iterations = 3
    assert session.run().wait().iteration == 3


def test_run_returns_at_once_and_refuses_a_second_one(
    session: Session, gate: Gate
) -> None:
    session.run()
    assert session.running
    for activity in (session.step, session.run, session.back):
        with pytest.raises(RuntimeError, match="is going on"):
            activity()
    assert gate.reached.wait(TIMEOUT_S)
    session.pause()
    gate.open()
    assert session.wait().iteration == 1
    assert not session.running
    assert session.step().iteration == 2


def test_pause_right_after_run_is_not_lost(
    session: Session, fake: FakeRefinement
) -> None:
    fake.before = lambda iteration: time.sleep(0.05)
    session.run().pause().wait()
    assert session.iteration <= 2


def test_wait_gives_up_after_its_timeout(session: Session, gate: Gate) -> None:
    session.run(1)
    assert session.wait(timeout=0.01).running


def test_error_of_a_background_run_is_kept_logged_and_raised_once(
    session: Session, fake: FakeRefinement, caplog: pytest.LogCaptureFixture
) -> None:
    def fail_in_third(iteration: int) -> None:
        if iteration == 3:
            _fail(iteration)

    fake.before = fail_in_third
    with caplog.at_level(logging.ERROR, "helixnb"):
        session.run()
        with pytest.raises(RuntimeError, match="no memory"):
            session.wait()
    assert "no memory" in caplog.text
    assert str(session.error) == "no memory"
    assert session.iteration == 2
    fake.before = lambda iteration: None
    assert session.step().iteration == 3
    assert session.error is None


def test_unseen_error_of_a_background_run_is_raised_by_the_next_step(
    session: Session, fake: FakeRefinement
) -> None:
    fake.before = _fail
    session.run()
    while session.running:
        time.sleep(0.01)
    with pytest.raises(RuntimeError, match="no memory"):
        session.step()
    fake.before = lambda iteration: None
    assert session.step().iteration == 1


def test_iterate_leaves_the_loop_to_the_user(
    session: Session, fake: FakeRefinement
) -> None:
    seen = []
    for state in session.iterate(5):
        seen.append(state.iteration)
        session.parameters.psi_sd_deg = 3.0 + state.iteration
        if state.iteration == 3:
            session.pause()
    assert seen == [1, 2, 3]
    assert [p.psi_sd_deg for p in fake.used] == [3.0, 4.0, 5.0]


@pytest.mark.parametrize("n", [0, 1.5, -1])
def test_run_wants_a_whole_number(session: Session, n: Any) -> None:
    with pytest.raises(InputError, match="whole number"):
        session.run(n)


# --- events, progress, log ----------------------------------------------------------


def test_listeners_hear_of_states_edits_errors_and_running(
    session: Session, fake: FakeRefinement
) -> None:
    heard: list[tuple[bool, int, float, bool]] = []

    def listen(s: Session) -> None:
        fact = (s.running, s.iteration, s.parameters.psi_sd_deg, s.error is not None)
        if not heard or heard[-1] != fact:
            heard.append(fact)

    stop = session.on_change(listen)
    session.step()
    session.parameters.psi_sd_deg = 2.0
    fake.before = _fail
    with pytest.raises(RuntimeError):
        session.step()
    stop()
    session.parameters.psi_sd_deg = 1.0
    assert heard == [
        (True, 0, 3.0, False),
        (True, 1, 3.0, False),
        (False, 1, 3.0, False),
        (False, 1, 2.0, False),
        (True, 1, 2.0, False),
        (False, 1, 2.0, True),
    ]


def test_listener_sees_state_and_parameters_of_one_moment(session: Session) -> None:
    ahead = []

    def listen(s: Session) -> None:
        if s.state is not None and s.state.iteration:
            ahead.append(s.parameters.twist_deg - s.state.symmetry.twist_deg)

    session.on_change(listen)
    session.run(4).wait()
    assert set(ahead) == {0.0}


def test_failing_listener_is_logged_and_breaks_nothing(
    session: Session, caplog: pytest.LogCaptureFixture
) -> None:
    session.on_change(lambda s: 1 / 0)  # type: ignore[arg-type,return-value]
    with caplog.at_level(logging.ERROR, "helixnb"):
        session.step()
    assert "division by zero" in caplog.text
    assert session.iteration == 1


def test_progress_is_told_during_the_step(session: Session, gate: Gate) -> None:
    session.run(1)
    assert gate.reached.wait(TIMEOUT_S)
    assert session.progress[:3] == ("alignment", 3, 12)
    assert "alignment: 3 of 12" in repr(session)
    gate.open()
    assert session.wait().progress == StepProgress()


def test_log_has_one_line_an_iteration_and_the_order_once(
    session: Session, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "helixnb"):
        session.step().step()
    first, *lines = [record.getMessage() for record in caplog.records]
    assert "tries 3 starts" in first, "said before the work, for so small a set"
    assert lines[0] == "Refining with helical symmetrization degree of 2 enforced"
    assert [line.split(":")[0] for line in lines[1:]] == ["iteration 1", "iteration 2"]
    assert "twist -59.000 deg" in lines[2]


def test_flags_are_logged_when_they_are_new(
    session: Session, fake: FakeRefinement, caplog: pytest.LogCaptureFixture
) -> None:
    fake.flags = ("edge",)
    session.step().step()
    fake.flags = ("edge", "drift")
    session.step()
    warned = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert warned == ["iteration 1: edge", "iteration 3: drift"]


def test_progress_bar_is_drawn_on_stderr_only(
    fake: FakeRefinement, capsys: pytest.CaptureFixture[str]
) -> None:
    particles: Any = StandinParticles()
    Session(particles, standin_parameters(), progress=True).step()
    written = capsys.readouterr()
    assert "iteration 1" in written.err
    assert not written.out


# --- what it shows ------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["fsc", "score_map", "map", "half_maps", "orientations", "noise", "history"]
)
def test_results_before_the_first_step_say_what_to_do(
    session: Session, name: str
) -> None:
    with pytest.raises(
        InputError, match=r"Nothing computed yet: call session\.step\(\)"
    ):
        getattr(session, name)


def test_repr_tells_the_facts_and_escapes_file_names(session: Session) -> None:
    session.particles.source = Path("<b>odd&.star")  # type: ignore[misc]
    session.step()
    text = repr(session)
    for fact in ("120 of 10 filaments", "iteration       1", "-59.250 deg", "20.00 A"):
        assert fact in text
    assert "<b>" not in session._repr_html_()
    assert "&lt;b&gt;odd&amp;.star" in session._repr_html_()


def test_mistakes_are_answered_with_what_to_do(session: Session) -> None:
    with pytest.raises(InputError, match="give another session, got 3"):
        session.step().compare(3)  # type: ignore[arg-type]
    for seed in ("a", -1, 0.5):
        with pytest.raises(InputError, match="seed must be a whole number"):
            Session(session.particles, session.parameters.frozen, seed=seed)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="read from the particles file"):
        session.parameters.set(pixel_size_A=3.0)


def test_a_file_that_is_no_checkpoint_is_not_called_unsafe(tmp_path: Path) -> None:
    (tmp_path / "particles.star").write_text("data_particles\n")
    with pytest.raises(InputError, match=r"written by Session\.save") as error:
        Session.load(tmp_path / "particles.star")
    assert "pickle" not in str(error.value)


def test_history_holds_the_parameters_used(session: Session) -> None:
    session.step()
    session.parameters.psi_sd_deg = 2.0
    session.step()
    history = session.history
    assert history["parameter_psi_sd_deg"].tolist() == [3.0, 2.0]
    assert history["twist_deg"].tolist() == [-59.5, -59.25]
    assert history["next_twist_deg"].tolist() == [-59.25, -59.0]
    assert history["seconds_survey"].tolist() == [7.0, 0.0]
    assert history["seconds_alignment"].tolist() == [1.5, 1.5]
    assert history["seconds"].between(0, 1).all(), "wall time, not the sum of stages"


def test_map_is_a_copy(session: Session) -> None:
    session.step()
    session.map[:] = 0
    session.half_maps[:] = 0
    assert session.state is not None
    assert session.map.to_numpy().any()
    assert session.state.half_maps.any()


# --- checks before any work ---------------------------------------------------------


def test_particles_without_angles_are_refused() -> None:
    particles: Any = StandinParticles()
    particles.psi_prior_deg = np.full(len(particles), np.nan)
    with pytest.raises(InputError, match="120 of 120 segments have no in-plane angle"):
        Session(particles, standin_parameters())


def test_small_boxes_are_refused() -> None:
    particles: Any = StandinParticles()
    particles.box_px = 14
    with pytest.raises(InputError, match="14 px wide; at least 16"):
        Session(particles, standin_parameters())


def test_one_filament_is_refused() -> None:
    particles: Any = StandinParticles()
    particles.n_filaments = 1
    with pytest.raises(InputError, match="at least two"):
        Session(particles, standin_parameters())


def test_misspelt_parameter_of_from_star_is_refused(star: Path) -> None:
    with pytest.raises(InputError, match="Did you mean 'outer_diameter_A'"):
        Session.from_star(star, twist_deg=-60, rise_A=14, outer_diameter=90)


def test_unknown_device_is_refused(star: Path) -> None:
    with pytest.raises(InputError, match="device 'abacus'"):
        Session.from_star(star, twist_deg=-60, rise_A=14, device="abacus")


def test_a_session_says_which_device_computes_and_why(star: Path) -> None:
    session = Session.from_star(star, twist_deg=-60, rise_A=14, device="cpu")
    assert session.device == "cpu"
    assert f"device          {session.device_note}" in repr(session)
    assert "core" in session.device_note


# --- saving and resuming ------------------------------------------------------------


@pytest.fixture
def real(fake: FakeRefinement, star: Path) -> Session:
    """Session of particles that exist as files."""
    return Session.from_star(star, twist_deg=-60, rise_A=14, seed=5, progress=False)


def test_resumed_run_equals_the_uninterrupted_one(
    real: Session, star: Path, tmp_path: Path
) -> None:
    real.run(2, background=False).save(tmp_path / "half.npz")
    real.run(2, background=False)
    resumed = Session.load(tmp_path / "half.npz")
    assert resumed.iteration == 2
    resumed.run(2, background=False)
    assert resumed.state is not None
    assert real.state is not None
    assert resumed.state.half_maps.tobytes() == real.state.half_maps.tobytes()
    assert resumed.parameters.frozen == real.parameters.frozen
    assert resumed.seed == 5
    told = [s.history.drop(columns="seconds") for s in (real, resumed)]
    assert told[0].equals(told[1])


def test_saved_edits_wait_for_the_resumed_step(
    real: Session, fake: FakeRefinement, tmp_path: Path
) -> None:
    real.step()
    real.parameters.psi_sd_deg = 1.25
    real.save(tmp_path / "s.npz")
    resumed = Session.load(tmp_path / "s.npz")
    assert resumed.parameters.changes == {"psi_sd_deg": (3.0, 1.25)}
    resumed.step()
    assert fake.used[-1].psi_sd_deg == 1.25


def test_types_survive_saving(real: Session, tmp_path: Path) -> None:
    # A float32 array times np.float64 is float64, times a Python float float32.
    real.step().save(tmp_path / "s.npz")
    state = Session.load(tmp_path / "s.npz").state
    assert state is not None
    assert type(state.resolution_A) is np.float64
    assert type(state.align_resolution_A) is float
    assert state.survey.half.dtype == np.int8
    assert isinstance(state.flags, tuple)


def test_other_particles_are_refused(real: Session, tmp_path: Path) -> None:
    real.step().save(tmp_path / "s.npz")
    fewer = real.particles.subset(np.arange(9))
    with pytest.raises(InputError, match=r"with 12 segments, but .* has 9"):
        Session.load(tmp_path / "s.npz", particles=fewer)
    other = tmp_path / "particles.star"
    text = real.particles.source.read_text().replace(
        "particles.mrcs", "./particles.mrcs"
    )
    other.write_text(text)
    other.with_name("particles.mrcs").symlink_to(
        real.particles.source.with_name("particles.mrcs")
    )
    with pytest.raises(InputError, match="bytes"):
        Session.load(tmp_path / "s.npz", particles=other)


def test_moved_particles_can_be_named(
    real: Session, tmp_path: Path, star: Path
) -> None:
    moved = tmp_path / "elsewhere" / "particles.star"
    moved.parent.mkdir()
    moved.write_bytes(star.read_bytes())
    moved.with_name("particles.mrcs").symlink_to(star.with_name("particles.mrcs"))
    gone = Session(ParticleSet.from_star(moved), real.parameters.frozen)
    gone.step().save(tmp_path / "s.npz")
    moved.unlink()
    with pytest.raises(InputError, match="which is not there"):
        Session.load(tmp_path / "s.npz")
    assert Session.load(tmp_path / "s.npz", particles=star).iteration == 1


def test_interrupted_save_leaves_the_old_file(
    real: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "s.npz"
    real.step().save(path)
    before = path.read_bytes()

    def full(*args: Any, **kwargs: Any) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(InputError, match="disk full"):
        real.step().save(path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["s.npz"]


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 not really", b"hello"])
def test_damaged_checkpoints_are_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "s.npz"
    path.write_bytes(content)
    with pytest.raises(InputError, match="could not be read as a checkpoint"):
        Session.load(path)


def test_a_file_of_another_layout_is_refused(
    real: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as earlier:
        earlier.setattr(files, "SCHEMA", files.SCHEMA - 1)
        real.step().save(tmp_path / "s.npz")
    with pytest.raises(InputError, match=f"layout {files.SCHEMA - 1}, written by"):
        Session.load(tmp_path / "s.npz")


def test_checkpoint_runs_no_foreign_code(real: Session, tmp_path: Path) -> None:
    path = tmp_path / "s.npz"
    tree = b'{"class": "subprocess:Popen", "fields": {"args": "true"}}'
    with path.open("wb") as file:
        np.savez(file, tree=np.frombuffer(tree, np.uint8))
    with pytest.raises(InputError, match="not part of helixnb"):
        Session.load(path)


def test_nothing_to_save_before_the_first_step(
    session: Session, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="Nothing computed yet"):
        session.save(tmp_path / "s.npz")


def test_resuming_the_real_refinement_is_exact(star: Path, tmp_path: Path) -> None:
    """Nothing replaced: four iterations equal two, a file, and two more."""
    options: dict[str, Any] = {"bootstrap_iterations": 2, "outer_diameter_A": 90}
    straight = Session.from_star(star, twist_deg=-60, rise_A=14, **options)
    straight.run(4, background=False)
    first = Session.from_star(star, twist_deg=-60, rise_A=14, **options)
    first.run(2, background=False).save(tmp_path / "s.npz")
    resumed = Session.load(tmp_path / "s.npz").run(2, background=False)
    assert straight.state is not None
    assert resumed.state is not None
    for name in ("half_maps", "references", "noise_power"):
        one, other = getattr(straight.state, name), getattr(resumed.state, name)
        assert one.tobytes() == other.tobytes(), name
    assert resumed.orientations.identical(straight.orientations)
    assert resumed.parameters.frozen == straight.parameters.frozen
