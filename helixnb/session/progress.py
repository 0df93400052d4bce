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


class StepProgress(NamedTuple):
    """Where the running iteration is.

    Attributes
    ----------
    stage : str
        What is being done; empty when nothing is.
    done, total : int
        How much of it.
    """

    stage: str = ""
    done: int = 0
    total: int = 0


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
        self._show_bar = show_bar
        self._notify = notify
        self._notified = 0.0
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
        show = _wants_bar() if self._show_bar is None else self._show_bar
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
        self.current = StepProgress(stage, int(done), int(total))
        if self._bar is not None:
            if new_stage:
                self._bar.reset(total=total)
                self._bar.set_postfix_str(stage, refresh=False)
            self._bar.n = done
            self._bar.refresh()
        if new_stage or time.monotonic() - self._notified > NOTIFY_SECONDS:
            self._notified = time.monotonic()
            self._notify()


def _wants_bar() -> bool:
    """Whether someone is looking: a terminal, or the cell of a notebook."""
    if "ipykernel" in sys.modules:
        # A background run would draw into whichever cell is executed next.
        return threading.current_thread() is threading.main_thread()
    return sys.stderr.isatty()
