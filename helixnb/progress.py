"""How long-running functions report progress, and where their time went."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Progress = Callable[[str, int, int], None]
"""Called with a stage's name, what is done and what there is to do."""


def part_of(progress: Progress, before: int, total: int) -> Progress:
    """Report on a part of a piece of work as on the whole.

    Parameters
    ----------
    progress : callable
        Told of the whole.
    before : int
        Done when the part begins.
    total : int
        Of the whole.

    Returns
    -------
    callable
        To be told of the part; its total is not used.
    """

    def report(stage: str, done: int, _: int) -> None:
        progress(stage, before + done, total)

    return report


class Stopwatch:
    """Wall time by stage.

    Attributes
    ----------
    seconds : dict of str to float
    """

    def __init__(self) -> None:
        """Start with no stages."""
        self.seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        """Add the time spent in a `with` block to a stage.

        Parameters
        ----------
        stage : str
            Name under which the time is added up.
        """
        start = time.perf_counter()
        try:
            yield
        finally:
            spent = time.perf_counter() - start
            self.seconds[stage] = self.seconds.get(stage, 0.0) + spent
