"""The part of a session that computes: steps, background runs, undo.

A step reads the parameters once, computes a new state, and sets it once, so whatever
happens in between, an edit, an interrupt or an error, leaves the session as it was.
"""

from __future__ import annotations

import logging
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from helixnb.errors import InputError
from helixnb.iteration.outcome import outcome
from helixnb.session import files
from helixnb.session.foreword import foreword
from helixnb.session.iterating import finished, iterate_once
from helixnb.session.labelled import LabelledResults

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator
    from typing import Self

    from helixnb.backend import Backend
    from helixnb.iteration.state import State
    from helixnb.particles import ParticleSet
    from helixnb.session.activity import Activity, Listeners
    from helixnb.session.initial_map import InitialMap
    from helixnb.session.progress import ProgressReport, StepProgress

log = logging.getLogger("helixnb")


class Computing(LabelledResults):
    """Steps, runs and undo of a session; at most one of them at a time."""

    __slots__ = ()

    _activity: Activity
    _backend: Backend
    _checkpoint: files.CheckpointFile | None
    _initial_map: InitialMap | None
    _listeners: Listeners
    _particles: ParticleSet
    _progress: ProgressReport
    _seed: int

    @property
    def foreword(self) -> list[str]:
        """What to know before the first step; empty where there is nothing to say."""
        return foreword(
            self._timeline.now.parameters,
            len(self._particles),
            given_map=self._initial_map is not None,
        )

    @property
    def running(self) -> bool:
        """Whether a step or run is going on, in any thread."""
        return self._activity.running

    @property
    def pausing(self) -> bool:
        """Whether what is going on ends with its current iteration."""
        return self.running and self._activity.pause.is_set()

    @property
    def progress(self) -> StepProgress:
        """Stage, done and total of the running iteration."""
        return self._progress.current

    @property
    def error(self) -> Exception | None:
        """What stopped the last step or run; None once another step succeeded."""
        return self._activity.error

    def step(self) -> Self:
        """Compute one iteration, here and now.

        The first also makes the initial density. Parameters are read once, at the
        beginning. An interrupt or an error leaves the session as it was.
        """
        self._activity.raise_kept()
        self._activity.here("make a step", self._advance)
        return self

    def run(self, n: int | None = None, *, background: bool = True) -> Self:
        """Iterate until converged, or `n` times, or up to the limits.

        These are ``max_iterations`` and, where the resolution has not come below 6 A,
        ``max_low_resolution_iterations``. The session says which of them ended it.

        Parameters
        ----------
        n : int, optional
            Iterations at most.
        background : bool
            Return at once and compute in a thread, which ends with the program:
            scripts call `wait`. Errors are kept in `error` and raised by `wait`.
        """
        if n is not None and (int(n) != n or n < 1):
            raise InputError(f"run: n must be a whole number >= 1, got {n!r}.")
        self._activity.raise_kept()
        if background:
            self._activity.in_background("run", partial(self._loop, n))
        else:
            self._activity.here("run", partial(self._loop, n))
        return self

    def iterate(self, n: int | None = None) -> Iterator[State]:
        """Iterate in a loop of your own.

        Parameters
        ----------
        n : int, optional
            Iterations at most; otherwise as `run`.

        Yields
        ------
        State
            After each iteration; parameters edited in the loop apply to the next.
        """
        self._activity.pause.clear()
        done, again = 0, self._ended()
        while not self._finished(done, n, again):
            self.step()
            done += 1
            state = self.state
            if state is not None:
                yield state

    def pause(self) -> Self:
        """Stop a run after its current iteration; returns at once."""
        self._activity.pause.set()
        self._listeners()
        return self

    def wait(self, timeout: float | None = None) -> Self:
        """Wait for a background run; an interrupt pauses it.

        Parameters
        ----------
        timeout : float, optional
            Seconds to wait at most.

        Raises
        ------
        Exception
            What stopped the run, once.
        """
        try:
            self._activity.join(timeout)
        except KeyboardInterrupt:
            self.pause()
            raise
        self._activity.raise_kept()
        return self

    def back(self, k: int = 1) -> Self:
        """Return to an earlier state and the parameters that followed from it.

        Parameters
        ----------
        k : int
            Iterations to undo. The last `keep_states` states are kept.

        Raises
        ------
        InputError
            If that state is not kept.
        """
        self._activity.here("go back", partial(self._back, k))
        return self

    def _back(self, k: int) -> None:
        self._timeline.back(k)
        self._activity.clear_error()

    def save(self, path: str | os.PathLike[str]) -> Self:
        """Save what it takes to go on later, as one ``.npz`` file.

        May be called during a run; the last finished iteration is saved.

        Parameters
        ----------
        path : path
            Output file; replaced in one step if it exists.
        """
        self._needed_state()
        self._write(Path(path))
        return self

    def _write(self, path: Path) -> None:
        files.save(
            path,
            self._timeline.now,
            self._particles,
            device=self._backend.name,
            seed=self._seed,
            initial_map=self._initial_map,
        )

    def _loop(self, n: int | None) -> None:
        done, again = 0, self._ended()
        while not self._finished(done, n, again):
            self._advance()
            done += 1
        now = self._timeline.now
        if now.state is not None:
            said = outcome(now.state, now.parameters)
            if said.ended:
                log.info("Iteration %d: %s", now.state.iteration, said.text)
            if said.advice:
                log.warning("%s", said.advice)

    def _ended(self) -> bool:
        state = self.state
        return state is not None and state.ended

    def _finished(self, done: int, n: int | None, again: bool) -> bool:
        paused = self._activity.pause.is_set()
        return paused or finished(self._timeline, done, n, again=again)

    def _advance(self) -> None:
        """Do one iteration for whoever holds the session; remember a failure."""
        try:
            iterate_once(
                self._timeline,
                self._particles,
                self._backend,
                self._seed,
                self._initial_map,
                progress=self._progress,
                notify=self._listeners,
            )
            if self._checkpoint is not None:
                self._checkpoint.write(self._write)
        except Exception as error:
            self._activity.error = error
            raise
        self._activity.clear_error()
