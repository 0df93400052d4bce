"""Ctrl-C between any two lines of a step leaves the session as it was, or one further.

A tracer raises KeyboardInterrupt at each line of the session's code in turn, so that no
moment is left to chance; the refinement itself is a stand-in.
"""

import sys
import threading
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from helixnb import Session
from helixnb.io.checkpoint import read_checkpoint
from helixnb.iteration import initial, refinement
from tests.fakes import FakeRefinement
from tests.standins import StandinParticles, standin_parameters, standin_state

#: Parts of the code whose lines are the same in every step.
SESSION_CODE = (
    "helixnb/session/activity",
    "helixnb/session/computing",
    "helixnb/session/iterating",
    "helixnb/session/progress",
    "helixnb/session/timeline",
    "helixnb/io/atomic",
)


class InterruptAt:
    """Raises KeyboardInterrupt when the n-th line of the watched code is reached."""

    def __init__(self, n: int, code: tuple[str, ...] = SESSION_CODE) -> None:
        self.n = n
        self.code = code
        self.lines = 0
        self.where = ""

    def __enter__(self) -> "InterruptAt":
        sys.settrace(self.call)
        return self

    def __exit__(self, *_: object) -> None:
        sys.settrace(None)

    def call(self, frame: FrameType, event: str, argument: Any) -> Any:
        name = frame.f_code.co_filename
        return self.line if any(part in name for part in self.code) else None

    def line(self, frame: FrameType, event: str, argument: Any) -> Any:
        if event == "line":
            self.lines += 1
            if self.lines == self.n:
                self.where = f"{frame.f_code.co_name}:{frame.f_lineno}"
                raise KeyboardInterrupt
        return self.line


@pytest.fixture
def session(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Session:
    fake = FakeRefinement(standin_state(1))
    monkeypatch.setattr(initial, "initial_state", fake.initial_state)
    monkeypatch.setattr(refinement, "step", fake.step)
    particles: Any = StandinParticles()
    return Session(
        particles,
        standin_parameters(),
        progress=False,
        checkpoint=tmp_path / "run.npz",
    ).step()


def whole(session: Session) -> None:
    """Check that nothing is half done."""
    assert not session.running
    now = session._timeline.now
    assert [row["iteration"] for row in now.rows] == list(
        range(1, session.iteration + 1)
    )
    assert now.parameters == now.expected
    assert session.state is now.states[-1]


def test_a_step_interrupted_at_every_line(session: Session, tmp_path: Path) -> None:
    at, tried = 0, 0
    while True:
        at += 1
        before = session.iteration
        interrupted = InterruptAt(at)
        try:
            with interrupted:
                session.step()
        except KeyboardInterrupt:
            tried += 1
        else:
            break
        assert session.iteration in (before, before + 1), interrupted.where
        whole(session)
        # What is on disk is complete: the iteration before, or this one.
        saved = read_checkpoint(tmp_path / "run.npz")
        assert saved.state.iteration <= session.iteration
        assert len(saved.rows) == saved.state.iteration
    assert tried > 60
    whole(session)
    session.back()
    whole(session)


def test_starting_a_run_interrupted_at_every_line(session: Session) -> None:
    at, others = 0, threading.active_count()
    while True:
        at += 1
        try:
            with InterruptAt(at):
                session.run(1)
        except KeyboardInterrupt:
            session.wait(10)
            whole(session)
            continue
        break
    assert at > 10
    session.wait(10)
    whole(session)
    # Not one more for each run that was interrupted.
    assert threading.active_count() <= others + 2
