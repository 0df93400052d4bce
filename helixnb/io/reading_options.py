"""How a particle file was read, for whoever has to read it again.

A resumed session and a script that repeats one must find the same stacks and take
CryoSPARC's poses the same way, so what was asked for is kept with the particles.
"""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from helixnb.io.filament_pose import PoseFrame


@dataclass(frozen=True)
class ReadingOptions:
    """Options of `ParticleSet.from_file` that were given; None for the others.

    Parameters
    ----------
    project_dir : str, optional
        Absolute path.
    passthrough : tuple of str, optional
        Absolute paths.
    frame : PoseFrame, optional
        As asked for, not as found.
    """

    project_dir: str | None = None
    passthrough: tuple[str, ...] | None = None
    frame: PoseFrame | None = None

    def arguments(self) -> dict[str, Any]:
        """Return those given, by the names that `ParticleSet.from_file` has for them.

        Returns
        -------
        dict
            Nothing if all are left to their defaults.
        """
        given = {item.name: getattr(self, item.name) for item in fields(self)}
        return {name: value for name, value in given.items() if value is not None}

    def beside(self, path: Path) -> "ReadingOptions":
        """Return the options for a particle file that was perhaps moved.

        Parameters
        ----------
        path : Path
            Where the particles are now.

        Returns
        -------
        ReadingOptions
            Passthrough files that are gone are expected next to `path`; a project
            folder that is gone is searched for anew.
        """
        passthrough = None
        if self.passthrough is not None:
            passthrough = tuple(
                other if Path(other).exists() else str(path.parent / Path(other).name)
                for other in self.passthrough
            )
        folder = self.project_dir
        if folder is not None and not Path(folder).is_dir():
            folder = None
        return ReadingOptions(folder, passthrough, self.frame)
