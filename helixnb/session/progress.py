"""How far the running iteration is: for dashboards as a value, for people as a bar."""

from __future__ import annotations

import sys
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from tqdm.auto import tqdm

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

NOTIFY_SECONDS = 0.5
"""Listeners hear of progress at most this often."""

ESTIMATE_SECONDS = 1.0
"""A stage has to run for this long before the time left is told."""


class StepProgress(NamedTuple):
    """Where the running iteration is.

    Attributes
    ----------
    stage : str
        What is being done; empty when nothing is.
    done, total : int
        How much of it.
    seconds_left : float or None
        Until the stage is done, if it goes on as it did so far; None if that cannot
        be told yet.
    """

    stage: str = ""
    done: int = 0
    total: int = 0
    seconds_left: float | None = None

    def __str__(self) -> str:
        """Say it in words; empty when nothing is being done."""
        if not self.stage:
            return ""
        text = f"{self.stage}: {self.done:,} of {self.total:,}"
        if self.seconds_left is None:
            return text
        return f"{text}, {duration(self.seconds_left)} left"


def duration(seconds: float) -> str:
    """Time in words, to the two largest units.

    Parameters
    ----------
    seconds : float
        Not negative.

    Returns
    -------
    str

    Examples
    --------
    >>> duration(3700)
    '1 h 1 min'
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


class ProgressReport:
    """Takes the refinement's reports, keeps the last, and draws a bar.

    Parameters
    ----------
    show_bar : bool or None
        None draws one on a terminal, and in a notebook while the cell runs.
    notify : callable
        Called without arguments after progress was made.

    Attributes
    ----------
    current : StepProgress
    """

    def __init__(self, show_bar: bool | None, notify: Callable[[], None]) -> None:
        self.current = StepProgress()
        self.show_bar = show_bar
        self._notify = notify
        self._notified = 0.0
        self._stage_began = 0.0
        self._bar: Any = None

    @contextmanager
    def of(self, title: str) -> Iterator[ProgressReport]:
        """Report on one piece of work; its bar goes away with it.

        Parameters
        ----------
        title : str
            Put before the name of the stage.

        Yields
        ------
        ProgressReport
            This object, to be called with stage, done and total.
        """
        show = _wants_bar() if self.show_bar is None else self.show_bar
        self._bar = tqdm(desc=title, leave=False, file=sys.stderr) if show else None
        try:
            yield self
        finally:
            if self._bar is not None:
                self._bar.close()
            self._bar = None
            self.current = StepProgress()

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Take a report.

        Parameters
        ----------
        stage : str
            What is being done.
        done, total : int
            How much of it.
        """
        new_stage = stage != self.current.stage
        if new_stage:
            self._stage_began = time.monotonic()
        left = self._seconds_left(done, total)
        self.current = StepProgress(stage, int(done), int(total), left)
        if self._bar is not None:
            if new_stage:
                self._bar.reset(total=total)
                self._bar.set_postfix_str(stage, refresh=False)
            self._bar.n = done
            self._bar.refresh()
        if new_stage or time.monotonic() - self._notified > NOTIFY_SECONDS:
            self._notified = time.monotonic()
            self._notify()

    def _seconds_left(self, done: int, total: int) -> float | None:
        spent = time.monotonic() - self._stage_began
        if done <= 0 or spent < ESTIMATE_SECONDS:
            return None
        return spent / done * max(total - done, 0)


def _wants_bar() -> bool:
    """Whether someone is looking: a terminal, or the cell of a notebook."""
    if "ipykernel" in sys.modules:
        # A background run would draw into whichever cell is executed next.
        return threading.current_thread() is threading.main_thread()
    return sys.stderr.isatty()
