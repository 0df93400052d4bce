"""The Python that reproduces a run: what a session did, in its own language.

It is written from the history alone, which holds every parameter of every iteration,
so what a user clicked on a dashboard is in it as well.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from helixnb.parameters import field_defaults, field_names
from helixnb.session.files import versions

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    from helixnb.particles import ParticleSet
    from helixnb.session.initial_map import InitialMap
    from helixnb.session.session import Session
    from helixnb.session.static_mask import StaticMask
    from helixnb.session.timeline import Moment

_FOUND = {"twist_deg": "next_twist_deg", "rise_A": "next_rise_A"}


def reproducing_script(
    session: Session, now: Moment, initial_map: InitialMap | None
) -> str:
    """Write the calls that repeat a session's iterations.

    Parameters
    ----------
    session : Session
        In any condition.
    now : Moment
        What it remembers; what was undone is left out.
    initial_map : InitialMap or None
        What it started from, if the user gave it.

    Returns
    -------
    str
        A script for the same particles and the same version.
    """
    used = [_parameters(row) for row in now.rows]
    first = used[0] if used else now.parameters.as_dict()
    written = ", ".join(f"{name} {text}" for name, text in versions().items())
    particles = session.particles
    lines = [
        f"# Written by {written}.",
        *_particles(particles),
        *(f"    {name}={value!r}," for name, value in _chosen(first).items()),
        f"    device={session.device!r},",
        f"    seed={session.seed!r},",
        *_initial_map(initial_map),
        ")",
        f"assert len(session.particles) == {len(particles)}",
        *_mask(now.static_mask, first["mask"]),
        *_steps(now.rows, used),
    ]
    return "\n".join(lines) + "\n"


def _particles(particles: ParticleSet) -> Iterator[str]:
    """Import what is needed, and begin the session's call with its particles."""
    path = repr(str(particles.source.absolute()))
    options = particles.read_with.arguments()
    if not options and particles.rows is None:
        yield from ("from helixnb import Session", "", "session = Session.from_file(")
        yield f"    {path},"
        return
    if particles.rows is not None:
        yield from ("import numpy as np", "")
    yield "from helixnb import ParticleSet, Session"
    if "frame" in options:
        yield "from helixnb.io.filament_pose import PoseFrame"
    yield from ("", "particles = ParticleSet.from_file(", f"    {path},")
    yield from (f"    {name}={value!r}," for name, value in options.items())
    chosen = "" if particles.rows is None else f".subset({_indices(particles.rows)})"
    yield from (f"){chosen}", "session = Session.from_file(", "    particles,")


def _indices(rows: NDArray[np.int64]) -> str:
    """Write row numbers in order, what follows on each other as a range."""
    runs = np.split(rows, np.flatnonzero(np.diff(rows) != 1) + 1)
    parts = (f"{r[0]}:{r[-1] + 1}" if len(r) > 1 else f"{r[0]}" for r in runs)
    return f"np.r_[{', '.join(parts)}]"


def _mask(mask: StaticMask | None, first: str) -> Iterator[str]:
    """Give the static mask, and undo its use where the run began without it."""
    if mask is None:
        return
    if not mask.source:
        yield "# The static mask was an array; put it here in place of its file."
    yield f"session.use_mask({mask.source or 'mask.mrc'!r})"
    if first != "static":
        yield f"session.parameters.mask = {first!r}"


def _initial_map(given: InitialMap | None) -> Iterator[str]:
    if given is None:
        return
    if given.source is None:
        yield "    initial_map=...,  # an array of which only its maker knows"
    else:
        yield f"    initial_map={given.source!r},"
    if given.aligned:
        yield "    align_initial_map=True,"


def _parameters(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters that an iteration used."""
    return {name: row[f"parameter_{name}"] for name in field_names()}


def _chosen(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters that differ from their defaults."""
    defaults = field_defaults()
    return {n: v for n, v in parameters.items() if v != defaults.get(n, ...)}


def _steps(
    rows: tuple[Mapping[str, Any], ...], used: list[dict[str, Any]]
) -> Iterator[str]:
    """Write edits, and the steps between them in loops."""
    waiting = 0
    for i, parameters in enumerate(used):
        edits = {}
        if i > 0:
            found = {
                name: None if math.isnan(rows[i - 1][column]) else rows[i - 1][column]
                for name, column in _FOUND.items()
            }
            expected = used[i - 1] | found
            edits = {n: v for n, v in parameters.items() if v != expected[n]}
        if edits:
            yield from _loop(waiting)
            waiting = 0
            values = ", ".join(f"{name}={value!r}" for name, value in edits.items())
            yield f"session.parameters.set({values})"
        waiting += 1
    yield from _loop(waiting)


def _loop(n: int) -> Iterator[str]:
    if n == 1:
        yield "session.step()"
    elif n > 1:
        yield f"for _ in range({n}):"
        yield "    session.step()"
