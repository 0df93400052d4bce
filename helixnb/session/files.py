"""The file of a session: what it takes to go on as if nothing had happened.

State, parameters (edits included), history and seed are kept, and enough about the
particles to refuse others. Images are not: they are read again from their stacks.
"""

from __future__ import annotations

import platform
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from helixnb.errors import InputError
from helixnb.io.checkpoint import read_checkpoint, write_checkpoint
from helixnb.io.reading import ReadingOptions
from helixnb.particles import ParticleSet

if TYPE_CHECKING:
    import os
    from collections.abc import Callable

    from helixnb.parameters import Parameters
    from helixnb.session.initial_map import InitialMap
    from helixnb.session.static_mask import StaticMask
    from helixnb.session.timeline import Moment
    from helixnb.state import State

SCHEMA = 4
"""Raised when a file of the version before cannot be read any more."""


@dataclass(frozen=True)
class SavedSession:
    """Contents of a session's file.

    Attributes
    ----------
    schema : int
        Version of this layout.
    versions : dict of str to str
        Programs that wrote it.
    device : str
        Device that computed the last state.
    seed : int
        Seed of the session.
    initial_map : InitialMap or None
        What it started from, if the user gave it.
    particles : dict
        As `describe_particles` returns it.
    parameters : Parameters
        For the next iteration.
    rows : list of dict
        History.
    state : State
        Last state.
    static_mask : StaticMask or None
        Given by the user.
    """

    schema: int
    versions: dict[str, str]
    device: str
    seed: int
    initial_map: InitialMap | None
    particles: dict[str, Any]
    parameters: Parameters
    rows: list[dict[str, Any]]
    state: State
    static_mask: StaticMask | None


def versions() -> dict[str, str]:
    """Versions of the programs at work."""
    return {
        "helixnb": version("helixnb"),
        "numpy": np.__version__,
        "python": platform.python_version(),
    }


def describe_particles(particles: ParticleSet) -> dict[str, Any]:
    """Return what identifies a particle set in a session's file.

    Parameters
    ----------
    particles : ParticleSet
        As read.

    Returns
    -------
    dict
        ``path``, ``bytes`` (-1 if the file is gone), ``rows``, ``images``, a hash
        of which image of which filament each row is, ``read_with``, the options
        it was read with, and ``chosen``, the rows that were taken.
    """
    source = particles.source.absolute()
    size = source.stat().st_size if source.is_file() else -1
    return {
        "path": str(source),
        "bytes": size,
        "rows": len(particles),
        "images": particles.fingerprint(),
        "read_with": particles.read_with,
        "chosen": particles.rows,
    }


def save(
    path: Path,
    now: Moment,
    particles: ParticleSet,
    *,
    device: str,
    seed: int,
    initial_map: InitialMap | None,
) -> None:
    """Write a session's file, complete or not at all.

    Parameters
    ----------
    path : Path
        Output file, usually ``.npz``.
    now : Moment
        With a state.
    particles : ParticleSet
        Segments.
    device : str
        Device that computed the state.
    seed : int
        Seed of the session.
    initial_map : InitialMap or None
        What it started from, if the user gave it.
    """
    saved = SavedSession(
        schema=SCHEMA,
        versions=versions(),
        device=device,
        seed=seed,
        initial_map=initial_map,
        particles=describe_particles(particles),
        parameters=now.parameters,
        rows=list(now.rows),
        state=now.states[-1],
        static_mask=now.static_mask,
    )
    write_checkpoint(path, saved)


class CheckpointFile:
    """The file that a session keeps up to date, and nobody else may.

    Parameters
    ----------
    path : Path
        Replaced after every iteration.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._mine: tuple[int, int] | None = None

    def write(self, save: Callable[[Path], None]) -> None:
        """Write the last state.

        Parameters
        ----------
        save : callable
            Writes it to a path.

        Raises
        ------
        InputError
            The file was replaced by somebody else, or cannot be written.
        """
        if self._mine is not None and self._signature() not in (self._mine, None):
            raise InputError(
                f"{self.path} was replaced by another process since this session wrote "
                "it. Two sessions cannot keep one checkpoint; the iteration is kept in "
                "memory: session.save() it elsewhere, and give each its own file."
            )
        # An interrupt in between leaves it unknown whose the file is.
        self._mine = None
        save(self.path)
        self._mine = self._signature()

    def _signature(self) -> tuple[int, int] | None:
        """Identity of the file as it is now; None if there is none."""
        try:
            status = self.path.stat()
        except OSError:
            return None
        return status.st_ino, status.st_mtime_ns


def load(
    path: str | os.PathLike[str], particles: ParticleSet | str | Path | None
) -> tuple[SavedSession, ParticleSet]:
    """Read a session's file and its particles.

    Parameters
    ----------
    path : path
        File written by `save`.
    particles : ParticleSet, path or None
        None takes the file from where it was. A file is read as it was read then.

    Returns
    -------
    saved : SavedSession
    particles : ParticleSet

    Raises
    ------
    InputError
        A file that cannot be read, or other particles than those it was made from.
    """
    saved = read_checkpoint(Path(path))
    if not isinstance(saved, SavedSession):
        raise InputError(f"{path} holds no session; give a file of Session.save().")
    if saved.schema != SCHEMA:
        raise InputError(
            f"{path} has layout {saved.schema}, written by helixnb "
            f"{saved.versions['helixnb']}; this version reads layout {SCHEMA}. "
            "Load it with that version, or start a new session."
        )
    if particles is None:
        particles = saved.particles["path"]
    if not isinstance(particles, ParticleSet):
        if not Path(particles).is_file():
            raise InputError(
                f"{path} was made from {particles}, which is not there. If it was "
                "moved, give its place: Session.load(..., particles=...)."
            )
        # Absent from files of earlier versions.
        options = saved.particles.get("read_with", ReadingOptions())
        options = options.beside(Path(particles))
        particles = ParticleSet.from_file(particles, **options.arguments())
        chosen = saved.particles.get("chosen")
        if chosen is not None and chosen.max() < len(particles):
            particles = particles.subset(chosen)
    _check_same(Path(path), saved.particles, describe_particles(particles))
    return saved, particles


def _check_same(path: Path, saved: dict[str, Any], given: dict[str, Any]) -> None:
    """Refuse particles that differ in number or size of file."""
    for name, unit in (("rows", "segments"), ("bytes", "bytes"), ("images", "")):
        # "images" is absent from files of earlier versions.
        if saved.get(name, given[name]) != given[name]:
            if name == "images":
                raise InputError(
                    f"{path} was made from other images than those of "
                    f"{given['path']}: names, sections or filaments differ. Poses "
                    "belong to the images they were found with; start a new session."
                )
            raise InputError(
                f"{path} was made from {saved['path']} with {saved[name]} {unit}, but "
                f"{given['path']} has {given[name]}. Poses belong to the file they "
                "were found with; start a new session for another one."
            )
