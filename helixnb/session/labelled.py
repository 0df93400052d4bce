"""The part of a session that shows and writes what it computed.

Everything here reads one state and changes nothing, so it works during a run as well:
what is shown is the last finished iteration.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING

from helixnb import results
from helixnb.errors import InputError
from helixnb.session.history import history
from helixnb.session.outputs import write_outputs

if TYPE_CHECKING:
    import os

    import pandas as pd
    import xarray as xr

    from helixnb.particles import ParticleSet
    from helixnb.session.timeline import Timeline
    from helixnb.state import State


class LabelledResults:
    """Results of the current state, labelled and with units.

    Each raises `InputError` before the first step.
    """

    __slots__ = ("_filtered",)

    _timeline: Timeline
    _filtered: tuple[State, xr.DataArray]

    @property
    def state(self) -> State | None:
        """Current state."""
        raise NotImplementedError

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
    def particles(self) -> ParticleSet:
        """Segments being refined."""
        raise NotImplementedError

    def _needed_state(self) -> State:
        state = self.state
        if state is None:
            raise InputError("No half-maps yet: call session.step() first.")
        return state

    @property
    def fsc(self) -> xr.Dataset:
        """FSC curves over spatial frequency; see `helixnb.results.fsc`."""
        return results.fsc(self._needed_state())

    @property
    def score_map(self) -> xr.Dataset:
        """Scores over twist and rise; see `helixnb.results.score_map`."""
        state = self._needed_state()
        scores = results.score_map(state)
        if scores is None:
            raise InputError(
                "No score map yet: twist and rise are searched once the resolution "
                f"passes search_start_A ({state.parameters.search_start_A:g} A), if "
                "search_symmetry is on."
            )
        return scores

    @property
    def map(self) -> xr.DataArray:
        """Average of the half-maps, FSC-weighted; see `helixnb.results`."""
        state = self._needed_state()
        last: tuple[State, xr.DataArray] | None = getattr(self, "_filtered", None)
        if last is None or last[0] is not state:
            # Kept, because views ask for it again at every slider.
            last = state, results.filtered_map(state, self.particles.pixel_size_A)
            self._filtered = last
        return last[1].copy()

    @property
    def half_maps(self) -> xr.DataArray:
        """Raw half-maps; see `helixnb.results.half_maps`."""
        return results.half_maps(self._needed_state(), self.particles.pixel_size_A)

    @property
    def orientations(self) -> xr.Dataset:
        """Poses of all segments; see `helixnb.results.orientations`."""
        return results.orientations(self._needed_state(), self.particles)

    @property
    def noise(self) -> xr.DataArray:
        """Noise power over spatial frequency; see `helixnb.results.noise`."""
        return results.noise(self._needed_state(), self.particles.pixel_size_A)

    @property
    def history(self) -> pd.DataFrame:
        """One row for each iteration: what was used, found and spent."""
        self._needed_state()
        return history(self._timeline.now.rows)

    def save_results(
        self, out_dir: str | os.PathLike[str], *, overwrite: bool = False
    ) -> Path:
        """Write maps, masks, poses, curves, history, summary and report.

        Parameters
        ----------
        out_dir : path
            Folder; made if it does not exist.
        overwrite : bool
            Replace the results of another run there.

        Returns
        -------
        Path
            The folder.

        Raises
        ------
        InputError
            A folder that cannot be written to or holds another run's results.
        """
        self._needed_state()
        return write_outputs(self, Path(out_dir), overwrite=overwrite)  # type: ignore[arg-type]

    def report(self, path: str | os.PathLike[str] = "report.html") -> Path:
        """Write one HTML file that shows everything and needs no network.

        Parameters
        ----------
        path : path
            Output file; replaced in one step if it exists.

        Returns
        -------
        Path
            The file.
        """
        self._needed_state()
        # By name: the report is drawn with the dashboards' plots, a layer above.
        importlib.import_module("helixnb.report").write_report(self, Path(path))
        return Path(path)
