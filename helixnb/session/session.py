"""The session: owner of parameters, states and history of one refinement.

The refinement itself is a pure function from state to state; a session remembers what
went into it and what came out.
"""

from __future__ import annotations

import difflib
import importlib
import logging
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from helixnb.backend import get_backend
from helixnb.errors import InputError
from helixnb.parameters import Parameters, field_names
from helixnb.particles import ParticleSet
from helixnb.session import describe, files
from helixnb.session.activity import Activity, Listeners
from helixnb.session.checks import check_fit, check_particles, check_start
from helixnb.session.computing import Computing
from helixnb.session.history import compared
from helixnb.session.initial_map import fitted_map
from helixnb.session.inspecting import Inspecting
from helixnb.session.labelled import LabelledResults
from helixnb.session.parameters import EditableParameters
from helixnb.session.progress import ProgressReport
from helixnb.session.script import reproducing_script
from helixnb.session.starting import starting_point
from helixnb.session.static_mask import static_mask
from helixnb.session.timeline import Moment, Timeline

if TYPE_CHECKING:
    import os
    from collections.abc import Callable

    import pandas as pd
    from numpy.typing import ArrayLike

    from helixnb.iteration.state import State
    from helixnb.session.initial_map import AnyMap, InitialMap

log = logging.getLogger("helixnb")
log.addHandler(logging.NullHandler())


_INHERITED = {*LabelledResults.__slots__, *Inspecting.__slots__}


class Session(Computing, Inspecting):
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
        ``"cpu"``, ``"cuda"`` or ``"cuda:1"``; ``"auto"`` is the first GPU if there is
        one that can be used. `device_note` tells which it is, and why.
    seed : int
        The same seed gives the same result on the same device.
    progress : bool, optional
        Draw a progress bar; by default on a terminal and in a running notebook cell.
    keep_states : int
        States kept in memory for `back`, the current one included. Each holds four
        maps.
    checkpoint : path, optional
        File that every finished iteration is saved to, so that a killed program
        loses one iteration at most; `load` resumes from it.
    initial_map : path, ndarray or xarray.DataArray, optional
        Density to start from, filament along z, of any box and voxel size; it is
        low-passed to ``initial_lowpass_A`` and scaled to the images.
    align_initial_map : bool
        Turn the long axis of that density to z and centre it.

    Raises
    ------
    InputError
        Particles or parameters that cannot be used, or do not fit each other.

    Examples
    --------
    >>> session = Session.from_file(
    ...     "particles.star", twist_deg=-166.65, rise_A=28.11
    ... )  # doctest: +SKIP
    >>> session.parameters.outer_diameter_A = 110  # doctest: +SKIP
    >>> session.run().wait()  # doctest: +SKIP
    """

    __slots__ = (
        "__weakref__",
        "_activity",
        "_backend",
        "_checkpoint",
        "_initial_map",
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
        checkpoint: str | os.PathLike[str] | None = None,
        initial_map: AnyMap | InitialMap | None = None,
        align_initial_map: bool = False,
    ) -> None:
        if not hasattr(seed, "__index__") or seed < 0:
            raise InputError(f"seed must be a whole number >= 0, got {seed!r}.")
        check_particles(particles)
        check_fit(particles, parameters)
        check_start(particles, parameters, given_map=initial_map is not None)
        self._particles = particles
        self._initial_map = (
            None
            if initial_map is None
            else fitted_map(initial_map, particles, align_axis=align_initial_map)
        )
        self._backend = get_backend(device)
        self._checkpoint = (
            None if checkpoint is None else files.CheckpointFile(Path(checkpoint))
        )
        self._seed = int(seed)
        self._timeline = Timeline(Moment(parameters), keep_states)
        self._listeners = Listeners()
        self._activity = Activity(self._listeners)
        self._progress = ProgressReport(progress, self._listeners)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in Session.__slots__ or name in _INHERITED:
            object.__setattr__(self, name, value)
            return
        close = difflib.get_close_matches(name, field_names(), n=1)
        hint = f" Did you mean session.parameters.{close[0]}?" if close else ""
        raise AttributeError(f"A session has no attribute {name!r} to set.{hint}")

    @classmethod
    def from_file(
        cls,
        source: ParticleSet | str | os.PathLike[str],
        *,
        twist_deg: float | None = None,
        rise_A: float | None = None,
        device: str = "auto",
        seed: int = 0,
        progress: bool | None = None,
        keep_states: int = 5,
        checkpoint: str | os.PathLike[str] | None = None,
        initial_map: AnyMap | InitialMap | None = None,
        align_initial_map: bool = False,
        **parameters: Any,
    ) -> Session:
        """Start from the particles of another program, or from a RELION refinement.

        Parameters
        ----------
        source : path or ParticleSet
            RELION's particle STAR file with helical columns; CryoSPARC's `.cs` file
            with filaments; RELION's optimiser or model file of a helical refinement,
            which also tells symmetry and spreads.
        twist_deg : float, optional
            Twist per subunit in degrees, positive = right-handed; near the truth.
            Without twist and rise, and without a RELION refinement that tells them,
            the refinement is asymmetric.
        rise_A : float, optional
            Rise per subunit in Angstrom.
        device, seed, progress, keep_states, checkpoint, initial_map, align_initial_map
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
        given = {"twist_deg": twist_deg, "rise_A": rise_A, **parameters}
        return cls(
            *starting_point(source, given),
            device=device,
            seed=seed,
            progress=progress,
            keep_states=keep_states,
            checkpoint=checkpoint,
            initial_map=initial_map,
            align_initial_map=align_initial_map,
        )

    #: The name under which most notebooks know it.
    from_star = from_file

    # --- what it holds -----------------------------------------------------------

    @property
    def particles(self) -> ParticleSet:
        """Segments being refined."""
        return self._particles

    @property
    def parameters(self) -> EditableParameters:
        """Parameters of the next iteration, to read and to edit."""
        return EditableParameters(
            lambda: self._timeline.now.parameters,
            self._edit,
            lambda: self._timeline.now.expected,
        )

    @property
    def device(self) -> str:
        """Name of the device that computes."""
        return self._backend.name

    @property
    def device_note(self) -> str:
        """What that device is, and if the choice was left to us, why not a GPU."""
        backend = self._backend
        said = f"{backend.name} ({backend.description})"
        return f"{said}; {backend.note}" if backend.note else said

    @property
    def seed(self) -> int:
        """Seed of every random number."""
        return self._seed

    @property
    def state(self) -> State | None:
        """Current state; None before the first step."""
        return self._timeline.now.state

    @property
    def states(self) -> tuple[State, ...]:
        """States in memory, the current one last."""
        return self._timeline.now.states

    # --- parameters and events ---------------------------------------------------

    def _edit(self, values: dict[str, Any]) -> None:
        with self._timeline.lock:
            changed = self._timeline.now.parameters.changed(**values)
            check_fit(self._particles, changed)
            self._timeline.edit(changed, values)
        self._listeners()

    def use_mask(self, mask: str | os.PathLike[str] | ArrayLike) -> Session:
        """Mask references with a map of your own from the next iteration on.

        Sets ``parameters.mask`` to "static"; setting that to something else later
        turns the mask off, and to "static" again back on.

        Parameters
        ----------
        mask : path or array, shape (box, box, box)
            From 0 to 1 with soft edges, in the box and with the voxels of the
            particles. It is used as it is, inside the filament's cylinder.

        Returns
        -------
        Session

        Raises
        ------
        InputError
            A mask that cannot be used with these particles.
        """
        checked = static_mask(mask, self._particles)
        with self._timeline.lock:
            self._timeline.use_mask(checked)
            self._edit({"mask": "static"})
        return self

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

    @classmethod
    def load(
        cls,
        path: str | os.PathLike[str],
        *,
        particles: ParticleSet | str | Path | None = None,
        device: str = "auto",
        progress: bool | None = None,
        keep_states: int = 5,
        checkpoint: str | os.PathLike[str] | None = None,
    ) -> Session:
        """Resume a saved session: it goes on as if it had not been interrupted.

        Parameters
        ----------
        path : path
            File written by `save`.
        particles : ParticleSet or path, optional
            If the file is no longer where it was. A path is read with the options
            that were given for the first one (passthrough files, pose frame).
        device, progress, keep_states, checkpoint
            As for `Session`; `checkpoint` may be the file that is loaded.

        Returns
        -------
        Session

        Raises
        ------
        InputError
            A file that cannot be read, or other particles than those it was made from.
        """
        saved, found = files.load(path, particles)
        session = cls(
            found,
            saved.parameters,
            device=device,
            seed=saved.seed,
            progress=progress,
            keep_states=keep_states,
            checkpoint=checkpoint,
            initial_map=saved.initial_map,
        )
        moment = Moment(
            saved.parameters,
            (saved.state,),
            tuple(saved.rows),
            static_mask=saved.static_mask,
        )
        session._timeline = Timeline(moment, keep_states)
        return session

    def to_script(self) -> str:
        """Return the Python that reproduces this run, edits included.

        Returns
        -------
        str
            Calls of this interface with every value in full; on the same device
            they give the same maps to the last bit.
        """
        return reproducing_script(self, self._timeline.now, self._initial_map)

    def fork(
        self,
        *,
        checkpoint: str | os.PathLike[str] | None = None,
        **parameters: Any,
    ) -> Session:
        """Branch: a session of its own that goes on from the same state.

        What is kept for `back` and the history so far belong to both; from here on
        neither changes the other. May be called during a run, from the last finished
        iteration.

        Parameters
        ----------
        checkpoint : path, optional
            As for `Session`; a branch does not write to the file of its origin.
        **parameters
            What the branch does differently.

        Returns
        -------
        Session
        """
        now = self._timeline.now
        branch = Session(
            self._particles,
            now.parameters,
            device=self.device,
            seed=self._seed,
            progress=self._progress.show_bar,
            keep_states=self._timeline.keep_states,
            checkpoint=checkpoint,
            initial_map=self._initial_map,
        )
        branch._timeline = Timeline(
            replace(now, edited=frozenset()), self._timeline.keep_states
        )
        if parameters:
            branch.parameters.set(**parameters)
        return branch

    def compare(self, other: Session) -> pd.DataFrame:
        """Set the outcome of two branches side by side.

        Parameters
        ----------
        other : Session
            Usually a `fork` of this one.

        Returns
        -------
        pandas.DataFrame
            What differs between the current states: the parameters used, resolution,
            what the next iteration will use; columns ``this`` and ``other``.
        """
        if not isinstance(other, Session):
            raise InputError(f"compare: give another session, got {other!r}.")
        for one in (self, other):
            one._needed_state()
        return compared(self._timeline.now, other._timeline.now)

    def dashboard(self, theme: str | None = None) -> Any:
        """Live plots and controls of this session, for a notebook or a server.

        Parameters
        ----------
        theme : str, optional
            ``"light"`` or ``"dark"``; by default Panel's. A button changes it.
        """
        # By name: dashboards import sessions, and Panel takes seconds to load.
        return importlib.import_module("helixnb.dashboards").dashboard(self, theme)

    def __repr__(self) -> str:
        return describe.as_text(self)

    def _repr_html_(self) -> str:
        return describe.as_html(self)
