"""The part of a session that shows and writes what it computed.

Everything here reads one state and changes nothing, so it works during a run as well:
what is shown is the last finished iteration.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

from helixnb import densities, results
from helixnb.errors import InputError
from helixnb.iteration import twist_rise
from helixnb.session.history import history
from helixnb.session.outputs import write_expanded, write_outputs

if TYPE_CHECKING:
    import os
    from collections.abc import Callable

    import pandas as pd
    import xarray as xr

    from helixnb.iteration.state import State, SymmetryScores
    from helixnb.particles import ParticleSet
    from helixnb.session.timeline import Timeline

_T = TypeVar("_T", "xr.DataArray", "xr.Dataset")


class LabelledResults:
    """Results of the current state, labelled and with units.

    Each raises `InputError` before the first step.
    """

    __slots__ = ("_measured", "_prepared")

    _timeline: Timeline
    _measured: tuple[State, dict[str, Any]]
    _prepared: tuple[State, Any, twist_rise.PreparedHalves]

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
        """Whether it ended because nothing improves any more, not by a limit."""
        state = self.state
        return state is not None and state.converged

    @property
    def particles(self) -> ParticleSet:
        """Segments being refined."""
        raise NotImplementedError

    def _needed_state(self) -> State:
        state = self.state
        if state is None:
            raise InputError("Nothing computed yet: call session.step() first.")
        return state

    @property
    def fsc(self) -> xr.Dataset:
        """FSC curves over spatial frequency; see `helixnb.results.fsc`.

        Without unit, over ``spatial_frequency`` in 1/angstrom; crossings as attributes.
        """
        return results.fsc(self._needed_state())

    @property
    def score_map(self) -> xr.Dataset:
        """Scores over twist and rise; see `helixnb.results.score_map`.

        ``half_A``, ``half_B`` and ``joint`` over ``twist`` in degree and ``rise`` in
        angstrom, each with its optimum as attributes. `InputError` if this iteration
        did not search.
        """
        state = self._needed_state()
        self._needed_scores()
        scores = results.score_map(state)
        assert scores is not None
        return scores

    @property
    def symmetry_check(self) -> xr.Dataset:
        """Agreement with the map without symmetry; `helixnb.results.symmetry_check`.

        FSCs over ``spatial_frequency`` in 1/angstrom, and their ``overall`` ratio.
        """
        found = results.symmetry_check(self._needed_state())
        if found is None:
            raise InputError(
                "No symmetry was imposed that could be checked: the refinement is "
                "asymmetric, or in its first iterations."
            )
        return found

    @property
    def candidates(self) -> pd.DataFrame:
        """Symmetries that the maps may have; see `helixnb.results.candidates`.

        Twist in degree, rise and pitch in angstrom, score and relation, the best first.
        `InputError` if this iteration did not search.
        """
        return results.candidates(self._needed_scores().candidates)

    def score_again(self, **values: Any) -> xr.Dataset:
        """Score twist and rise of the current maps with other search parameters.

        Nothing of the session changes. The maps are prepared again only if their
        resolution, diameters or point group do, which takes tens of milliseconds;
        other extents, centres and grids take a few. Sliders may call this.

        Parameters
        ----------
        **values
            Parameters by name, such as ``twist_extent_deg`` or
            ``search_resolution_A``; the others are those of the iteration.

        Returns
        -------
        xarray.Dataset
            As `score_map`.

        Raises
        ------
        InputError
            Without a search in this iteration, or for a value out of range.
        """
        state = self._needed_state()
        self._needed_scores()
        used = state.parameters.changed(**values)
        last: tuple[State, Any, twist_rise.PreparedHalves] | None
        last = getattr(self, "_prepared", None)
        key = twist_rise.preparation(used)
        if last is None or last[0] is not state or last[1] != key:
            prepared = twist_rise.prepare_state(
                state, used, self.particles.pixel_size_A
            )
            last = state, key, prepared
            self._prepared = last
        edited = {"twist_deg", "rise_A", "point_group"} & values.keys()
        centre = used.symmetry if edited else state.estimate
        # What was searched had an estimate.
        assert centre is not None
        where = twist_rise.search_range(used, centre)
        scores = twist_rise.score(last[2], where, with_candidates=False)
        return results.labelled_scores(scores, {"iteration": state.iteration})

    def _needed_scores(self) -> SymmetryScores:
        state = self._needed_state()
        if state.scores is None:
            raise InputError(
                "No score map yet: twist and rise are searched once the resolution "
                f"passes search_start_A ({state.parameters.search_start_A:g} A), if "
                "search_symmetry is on."
            )
        return state.scores

    def _once(self, measure: Callable[[State, float], _T]) -> _T:
        """Measure on the current state, or find it kept: views ask again and again."""
        state = self._needed_state()
        of, kept = getattr(self, "_measured", (state, {}))
        if of is not state:
            kept = {}
        name = measure.__name__
        if name not in kept:
            kept = kept | {name: measure(state, self.particles.pixel_size_A)}
            # Replaced as a whole, since other threads read it.
            self._measured = state, kept
        return cast("_T", kept[name].copy(deep=True))

    @property
    def map(self) -> xr.DataArray:
        """Average of the half-maps, FSC-weighted; see `helixnb.densities`.

        float32 over ``z``, ``y``, ``x`` in angstrom from the box's centre; protein is
        positive.
        """
        return self._once(densities.filtered_map)

    @property
    def sharpened_map(self) -> xr.DataArray:
        """The map with its B factor undone; see `helixnb.densities`.

        As `map`; the B factor in square angstrom is an attribute.
        """
        return self._once(densities.sharpened_map)

    @property
    def symmetrised_map(self) -> xr.DataArray:
        """The map grown along the box by the symmetry; see `helixnb.densities`.

        As `map`.
        """
        return self._once(densities.symmetrised_map)

    @property
    def local_resolution(self) -> xr.DataArray:
        """Local resolution; see `helixnb.densities.local_resolution`.

        Angstrom, float32 over ``z``, ``y``, ``x`` in angstrom.
        """
        return self._once(densities.local_resolution)

    @property
    def guinier(self) -> xr.Dataset:
        """Guinier plot with the fitted line; see `helixnb.densities.guinier`.

        Logarithms of amplitudes over ``inverse_square`` in 1/angstrom^2.
        """
        return self._once(densities.guinier)

    @property
    def masks(self) -> xr.Dataset:
        """Masks of references and of the FSC; see `helixnb.densities.masks`.

        Between 0 and 1, over ``z``, ``y``, ``x`` in angstrom.
        """
        mask = self._timeline.now.static_mask
        return densities.masks(
            self._needed_state(),
            self.particles.pixel_size_A,
            mask.volume if mask else None,
        )

    @property
    def half_maps(self) -> xr.DataArray:
        """Raw half-maps; see `helixnb.densities.half_maps`.

        float32 over ``half`` (A, B) and ``z``, ``y``, ``x`` in angstrom.
        """
        return densities.half_maps(self._needed_state(), self.particles.pixel_size_A)

    @property
    def orientations(self) -> xr.Dataset:
        """Poses of all segments; see `helixnb.results.orientations`.

        Over ``particle``, in the file's order: angles in degree, shifts in angstrom.
        """
        return results.orientations(self._needed_state(), self.particles)

    @property
    def noise(self) -> xr.DataArray:
        """Noise power over spatial frequency; see `helixnb.results.noise`.

        Of the images, over ``spatial_frequency`` in 1/angstrom.
        """
        return results.noise(self._needed_state(), self.particles.pixel_size_A)

    @property
    def history(self) -> pd.DataFrame:
        """One row for each iteration: what was used, found and spent.

        Units are in the names of the columns; seconds are those on the clock.
        """
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

    def expand_symmetry(self, path: str | os.PathLike[str] = "expanded.star") -> Path:
        """Write every symmetry mate of every particle, for local refinement.

        Parameters
        ----------
        path : path
            STAR file to write; it begins with a warning of what it is not for.

        Returns
        -------
        Path
            The file.

        Raises
        ------
        InputError
            Without helical symmetry, before all images were used, or if shifts along
            the axis are not limited to half a rise.
        """
        state = self._needed_state()
        write_expanded(Path(path), state, self.particles)
        return Path(path)

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
