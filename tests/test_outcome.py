"""What ended a refinement: told by its name in every place, and how to go on."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from helixnb import report
from helixnb.cli import main
from helixnb.dashboards.views import controls
from helixnb.iteration import initial, refinement
from helixnb.iteration.outcome import outcome
from helixnb.iteration.state import State
from helixnb.session import Session
from helixnb.simulate import Filaments, simulate_segments
from tests.standins import standin_parameters, standin_state

LIMIT = "max_low_resolution_iterations"


def _ended(iteration: int, **values: Any) -> State:
    parameters = standin_parameters().changed(**{LIMIT: iteration})
    state = standin_state(iteration, parameters)
    return replace(state, passes_left=0, given_up=True, **values)


def test_only_what_stands_still_has_converged() -> None:
    state = _ended(3)
    assert state.ended
    assert not state.converged
    settled = replace(state, given_up=False)
    assert settled.converged
    assert outcome(settled, settled.parameters).text == "converged"
    assert not outcome(settled, settled.parameters).advice


def test_the_limit_is_named_with_its_value() -> None:
    state = _ended(3, stalled=0)
    said = outcome(state, state.parameters)
    assert said.text == f"ended by {LIMIT} = 3, not converged"
    assert "still improving" in said.advice
    assert f"raise {LIMIT}" in said.advice
    stalled = outcome(replace(state, stalled=5), state.parameters)
    assert "not improved in the last 5 iterations" in stalled.advice
    # Raising the limit changes what comes, not what has ended the run.
    assert outcome(state, state.parameters.changed(**{LIMIT: 9})).text == said.text


def test_the_other_limit_holds_only_while_it_is_not_raised() -> None:
    state = replace(standin_state(3), passes_left=None)
    at = state.parameters.changed(max_iterations=3)
    assert outcome(state, at).text == "ended by max_iterations = 3, not converged"
    assert outcome(state, at.changed(max_iterations=4)).text == "not converged"
    assert not outcome(state, at.changed(max_iterations=4)).ended


@pytest.fixture(scope="module")
def star(tmp_path_factory: pytest.TempPathFactory) -> Path:
    data = simulate_segments(
        tmp_path_factory.mktemp("data"),
        twist_deg=-60.0,
        rise_A=14.0,
        box_px=40,
        pixel_size_A=3.0,
        filaments=Filaments(n_filaments=10, segments_per_filament=12),
    )
    return data.particles_star


@pytest.fixture
def low(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make a refinement that stays coarse, ended by the limit for such."""

    def step(state: State, particles: Any, parameters: Any, *rest: Any) -> State:
        now = state.iteration + 1
        limit = parameters.max_low_resolution_iterations
        over = {"passes_left": 0, "given_up": True} if now >= limit else {}
        made = replace(standin_state(now, parameters), passes_left=None)
        return replace(made, **over)

    monkeypatch.setattr(initial, "initial_state", lambda *args: standin_state(0))
    monkeypatch.setattr(refinement, "step", step)


def test_session_and_dashboard_tell(star: Path, low: None) -> None:
    session = Session.from_file(star, twist_deg=-60, rise_A=14, **{LIMIT: 2})
    session.run(background=False)
    text = f"ended by {LIMIT} = 2, not converged"
    assert not session.converged
    assert f"2 ({text})" in repr(session)
    assert f"raise {LIMIT}" in repr(session)
    assert text in controls.headline_html(session)
    assert f"raise {LIMIT}" in controls.messages_html(session)
    assert f"raise {LIMIT}" in session._repr_html_()
    # What is advised is what helps.
    session.parameters.set(**{LIMIT: 5})
    assert session.run(background=False).iteration == 5


def test_terminal_tells_and_resume_takes_the_limit(
    star: Path,
    low: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(report, "write_report", lambda session, path: path.touch())
    symmetry = ["--twist", "-60", "--rise", "14"]
    command = ["refine", str(star), "-o", str(tmp_path), *symmetry]
    limit = ["--max-low-resolution-iterations", "2"]
    assert main([*command, *limit, "--checkpoint"]) == 0
    said = capsys.readouterr().out
    assert f"2, ended by {LIMIT} = 2, not converged" in said
    saved = tmp_path / "session.npz"
    assert f"helixnb resume {saved}" in said
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["converged"] is False
    assert LIMIT in summary["outcome"]
    limit[1] = "4"
    assert main(["resume", str(saved), "-o", str(tmp_path), "--overwrite", *limit]) == 0
    assert f"4, ended by {LIMIT} = 4" in capsys.readouterr().out
