"""The session: owner of parameters, states and history of one refinement.

The refinement itself is a pure function from state to state. A step reads the
parameters once, computes a new state, and sets it once, so whatever happens in
between, an edit, an interrupt or an error, leaves the session as it was.
"""

from __future__ import annotations

import difflib
import importlib
import logging
from functools import partial
from typing import TYPE_CHECKING, Any

from helixnb.backend import get_backend
from helixnb.errors import InputError
from helixnb.parameters import Parameters, check_name, field_names
from helixnb.particles import ParticleSet
from helixnb.session import checkpoint, describe
from helixnb.session.activity import Activity, Listeners
from helixnb.session.checks import check_fit, check_particles
from helixnb.session.iterating import finished, iterate_once
from helixnb.session.labelled import LabelledResults
from helixnb.session.parameters import EditableParameters
from helixnb.session.progress import ProgressReport, StepProgress
from helixnb.session.timeline import Timeline

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from helixnb.state import State

log = logging.getLogger("helixnb")
log.addHandler(logging.NullHandler())


class Session(LabelledResults):
    """A helical refinement, one iteration at a time.

    `step`, `run`, `wait`, `pause`, `back` and `save` return the session. While a step
    or run is going on, another one (and `back`) raises RuntimeError.

    Parameters
    ----------
    particles : ParticleSet
        Segments.
    parameters : Parameters
        To begin with; edit them later through `parameters`.
    device : str
        ``"auto"`` or ``"cpu"``.
    seed : int
        The same seed gives the same result on the same device.
    progress : bool, optional
        Draw a progress bar; by default on a terminal and in a running notebook cell.
    keep_states : int
        States kept in memory for `back`, the current one included. Each holds four
        maps.

    Raises
    ------
    InputError
        Particles or parameters that cannot be used, or do not fit each other.

    Examples
    --------
    >>> session = Session.from_star(
    ...     "particles.star", twist_deg=-166.65, rise_A=28.11
    ... )  # doctest: +SKIP
    >>> session.parameters.outer_diameter_A = 110  # doctest: +SKIP
    >>> session.run().wait()  # doctest: +SKIP
    """

    __slots__ = (
        "__weakref__",
        "_activity",
        "_backend",
        "_listeners",
        "_particles",
        "_progress",
        "_seed",
        "_timeline",
    )

    def __init__(
        self,
        particles: ParticleSet,
        parameters: Parameters,
        *,
        device: str = "auto",
        seed: int = 0,
        progress: bool | None = None,
        keep_states: int = 5,
    ) -> None:
        if int(seed) != seed or seed < 0:
            raise InputError(f"seed must be a whole number >= 0, got {seed!r}.")
        check_particles(particles)
        check_fit(particles, parameters)
        self._particles = particles
        self._backend = get_backend(device)
        self._seed = int(seed)
        self._timeline = Timeline(parameters, keep_states)
        self._listeners = Listeners()
        self._activity = Activity(self._listeners)
        self._progress = ProgressReport(progress, self._listeners)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in Session.__slots__ or name in LabelledResults.__slots__:
            object.__setattr__(self, name, value)
            return
        close = difflib.get_close_matches(name, field_names(), n=1)
        hint = f" Did you mean session.parameters.{close[0]}?" if close else ""
        raise AttributeError(f"A session has no attribute {name!r} to set.{hint}")

    @classmethod
    def from_star(
        cls,
        path: str | os.PathLike[str],
        *,
        twist_deg: float,
        rise_A: float,
        device: str = "auto",
        seed: int = 0,
        progress: bool | None = None,
        keep_states: int = 5,
        **parameters: Any,
    ) -> Session:
        """Start from a RELION particle STAR file.

        Parameters
        ----------
        path : path
            STAR file with helical columns.
        twist_deg : float
            Twist per subunit in degrees, positive = right-handed; near the truth.
        rise_A : float
            Rise per subunit in Angstrom.
        device, seed, progress, keep_states
            As for `Session`.
        **parameters
            Other fields of `Parameters`.

        Returns
        -------
        Session
            Checked; nothing is computed yet.

        Raises
        ------
        InputError
            A file, value or name that cannot be used.
        """
        for name in parameters:
            check_name(name)
        chosen = Parameters(twist_deg=twist_deg, rise_A=rise_A, **parameters)
        return cls(
            ParticleSet.from_star(str(path)),
            chosen,
            device=device,
            seed=seed,
            progress=progress,
            keep_states=keep_states,
        )

    # --- what it holds -----------------------------------------------------------

    @property
    def particles(self) -> ParticleSet:
        """Segments being refined."""
        return self._particles

    @property
    def parameters(self) -> EditableParameters:
        """Parameters of the next iteration, to read and to edit."""
        return EditableParameters(
            lambda: self._timeline.parameters, self._edit, self._timeline.expected
        )

    @property
    def device(self) -> str:
        """Name of the device that computes."""
        return self._backend.name

    @property
    def seed(self) -> int:
        """Seed of every random number."""
        return self._seed

    @property
    def state(self) -> State | None:
        """Current state; None before the first step."""
        return self._timeline.state

    @property
    def states(self) -> tuple[State, ...]:
        """States in memory, the current one last."""
        return tuple(self._timeline.states)

    @property
    def iteration(self) -> int:
        """Number of the current iteration; 0 before the first."""
        state = self.state
        return state.iteration if state else 0

    @property
    def converged(self) -> bool:
        """Whether the current iteration ended the refinement."""
        state = self.state
        return state is not None and state.converged

    @property
    def running(self) -> bool:
        """Whether a step or run is going on, in any thread."""
        return self._activity.running

    @property
    def progress(self) -> StepProgress:
        """Stage, done and total of the running iteration."""
        return self._progress.current

    @property
    def error(self) -> Exception | None:
        """What stopped the last step or run; None once another step succeeded."""
        return self._activity.error

    # --- computing ---------------------------------------------------------------

    def step(self) -> Session:
        """Compute one iteration, here and now.

        The first also makes the initial density. Parameters are read once, at the
        beginning. An interrupt or an error leaves the session as it was.
        """
        self._activity.raise_kept()
        with self._activity.of("make a step"):
            self._advance()
        return self

    def run(self, n: int | None = None, *, background: bool = True) -> Session:
        """Iterate until converged, or `n` times, or up to ``max_iterations``.

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
            with self._activity.of("run"):
                self._loop(n)
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
        done = 0
        while not self._finished(done, n):
            self.step()
            done += 1
            state = self.state
            if state is not None:
                yield state

    def pause(self) -> Session:
        """Stop a run after its current iteration; returns at once."""
        self._activity.pause.set()
        return self

    def wait(self, timeout: float | None = None) -> Session:
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

    def back(self, k: int = 1) -> Session:
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
        with self._activity.of("go back"):
            self._timeline.back(k)
            self._activity.clear_error()
        return self

    def _loop(self, n: int | None) -> None:
        done = 0
        while not self._finished(done, n):
            self._advance()
            done += 1
        if self.converged:
            log.info("Converged after %d iterations", self.iteration)

    def _finished(self, done: int, n: int | None) -> bool:
        return self._activity.pause.is_set() or finished(self._timeline, done, n)

    def _advance(self) -> None:
        """Do one iteration for whoever holds the session; remember a failure."""
        try:
            iterate_once(
                self._timeline,
                self._particles,
                self._backend,
                self._seed,
                progress=self._progress,
                notify=self._listeners,
            )
        except Exception as error:
            self._activity.error = error
            raise
        self._activity.clear_error()

    # --- parameters and events ---------------------------------------------------

    def _edit(self, values: dict[str, Any]) -> None:
        with self._timeline.lock:
            changed = self._timeline.parameters.changed(**values)
            check_fit(self._particles, changed)
            self._timeline.edit(changed, values)
        self._listeners()

    def on_change(self, callback: Callable[[Session], object]) -> Callable[[], None]:
        """Be called after every change: state, parameter, error, running, progress.

        Parameters
        ----------
        callback : callable
            Called with the session, in the thread that changed it. What it raises
            is logged and goes no further.

        Returns
        -------
        callable
            Ends the calls.
        """
        return self._listeners.add(lambda: callback(self))

    # --- files -------------------------------------------------------------------

    def save(self, path: str | os.PathLike[str]) -> Session:
        """Save what it takes to go on later, as one ``.npz`` file.

        May be called during a run; the last finished iteration is saved.

        Parameters
        ----------
        path : path
            Output file; replaced in one step if it exists.
        """
        self._needed_state()
        checkpoint.save(
            path, self._timeline, self._particles, device=self.device, seed=self._seed
        )
        return self

    @classmethod
    def load(
        cls,
        path: str | os.PathLike[str],
        *,
        particles: ParticleSet | str | Path | None = None,
        device: str = "auto",
        progress: bool | None = None,
        keep_states: int = 5,
    ) -> Session:
        """Resume a saved session: it goes on as if it had not been interrupted.

        Parameters
        ----------
        path : path
            File written by `save`.
        particles : ParticleSet or path, optional
            If the STAR file is no longer where it was.
        device, progress, keep_states
            As for `Session`.

        Returns
        -------
        Session

        Raises
        ------
        InputError
            A file that cannot be read, or other particles than those it was made from.
        """
        saved, found = checkpoint.load(path, particles)
        session = cls(
            found,
            saved.parameters,
            device=device,
            seed=saved.seed,
            progress=progress,
            keep_states=keep_states,
        )
        session._timeline.states = [saved.state]
        session._timeline.rows = saved.rows
        return session

    def dashboard(self) -> Any:
        """Live plots and controls of this session, for a notebook or a server."""
        # By name: dashboards import sessions, and Panel takes seconds to load.
        return importlib.import_module("helixnb.dashboards").dashboard(self)

    def __repr__(self) -> str:
        return describe.as_text(self)

    def _repr_html_(self) -> str:
        return describe.as_html(self)
