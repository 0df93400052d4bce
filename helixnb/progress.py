"""How long-running functions report progress, and where their time went."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Progress = Callable[[str, int, int], None]
"""Called with a stage's name, what is done and what there is to do."""


class Stopwatch:
    """Wall and CPU time by stage; a stage inside another counts only as its own.

    Parameters
    ----------
    finish : callable
        Called at the end of a stage, to wait for what a device still computes.

    Attributes
    ----------
    seconds : dict of str to float
        Wall time, of stages that run side by side one after the other.
    cpu_seconds : dict of str to float
        CPU time: of all threads for stages of the thread that the clock was made in,
        of their own thread for others.
    counts : dict of str to int
        Work that was done, by kind.
    """

    def __init__(self, finish: Callable[[], None] = lambda: None) -> None:
        """Start with no stages."""
        self._finish = finish
        self._thread = threading.get_ident()
        self._inner = threading.local()
        self._lock = threading.Lock()
        self.seconds: dict[str, float] = {}
        self.cpu_seconds: dict[str, float] = {}
        self.counts: dict[str, int] = {}

    def count(self, what: str, number: int) -> None:
        """Add to the work that was done.

        Parameters
        ----------
        what : str
            Kind of work.
        number : int
            How much more of it.
        """
        with self._lock:
            self.counts[what] = self.counts.get(what, 0) + number

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        """Add the time spent in a `with` block to a stage.

        Parameters
        ----------
        stage : str
            Name under which the time is added up.
        """
        own = threading.get_ident() == self._thread
        cpu = time.process_time if own else time.thread_time
        outer = getattr(self._inner, "spent", (0.0, 0.0))
        self._inner.spent = (0.0, 0.0)
        start = time.perf_counter(), cpu()
        try:
            yield
            self._finish()
        finally:
            wall, used = time.perf_counter() - start[0], cpu() - start[1]
            inside = self._inner.spent
            self._inner.spent = (outer[0] + wall, outer[1] + used)
            with self._lock:
                for total, spent, inner in (
                    (self.seconds, wall, inside[0]),
                    (self.cpu_seconds, used, inside[1]),
                ):
                    total[stage] = total.get(stage, 0.0) + spent - inner
