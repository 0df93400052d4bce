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
from helixnb.io.reading_options import ReadingOptions
from helixnb.particles import ParticleSet

if TYPE_CHECKING:
    import os
    from collections.abc import Callable

    from numpy.typing import NDArray

    from helixnb.iteration.state import State
    from helixnb.parameters import Parameters
    from helixnb.session.initial_map import InitialMap
    from helixnb.session.static_mask import StaticMask
    from helixnb.session.timeline import Moment

SCHEMA = 5
"""Raised when a file of the version before cannot be read any more."""


@dataclass(frozen=True)
class SavedParticles:
    """What identifies the particles of a session, and how they were read.

    Attributes
    ----------
    path : str
        Absolute path of their file.
    n_bytes : int
        Its size; -1 if it is gone.
    n_segments : int
    images : str
        Hash of which image of which filament each segment is.
    read_with : ReadingOptions
    chosen : ndarray of int64, shape (n_segments,), or None
        Rows of the file that were taken; None for all of them.
    """

    path: str
    n_bytes: int
    n_segments: int
    images: str
    read_with: ReadingOptions
    chosen: NDArray[np.int64] | None

    @classmethod
    def of(cls, particles: ParticleSet) -> SavedParticles:
        """Describe a set.

        Parameters
        ----------
        particles : ParticleSet
            As read.
        """
        source = particles.source.absolute()
        return cls(
            path=str(source),
            n_bytes=source.stat().st_size if source.is_file() else -1,
            n_segments=len(particles),
            images=particles.fingerprint(),
            read_with=particles.read_with,
            chosen=particles.rows,
        )

    def read_again(self, path: Path) -> ParticleSet:
        """Read the same segments from a file, in the way they were read before.

        Parameters
        ----------
        path : Path
            Where it is now.
        """
        options = self.read_with.beside(path)
        particles = ParticleSet.from_file(path, **options.arguments())
        if self.chosen is not None and self.chosen.max() < len(particles):
            return particles.subset(self.chosen)
        return particles


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
    particles : SavedParticles
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
    particles: SavedParticles
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
        particles=SavedParticles.of(particles),
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
    if not isinstance(particles, ParticleSet):
        place = Path(saved.particles.path if particles is None else particles)
        if not place.is_file():
            raise InputError(
                f"{path} was made from {place}, which is not there. If it was "
                "moved, give its place: Session.load(..., particles=...)."
            )
        particles = saved.particles.read_again(place)
    _check_same(Path(path), saved.particles, SavedParticles.of(particles))
    return saved, particles


def _check_same(path: Path, saved: SavedParticles, given: SavedParticles) -> None:
    """Refuse other particles than those of the session."""
    for before, now, unit in (
        (saved.n_segments, given.n_segments, "segments"),
        (saved.n_bytes, given.n_bytes, "bytes"),
    ):
        if before != now:
            raise InputError(
                f"{path} was made from {saved.path} with {before} {unit}, but "
                f"{given.path} has {now}. Poses belong to the file they were found "
                "with; start a new session for another one."
            )
    if saved.images != given.images:
        raise InputError(
            f"{path} was made from other images than those of {given.path}: names, "
            "sections or filaments differ. Poses belong to the images they were found "
            "with; start a new session."
        )
