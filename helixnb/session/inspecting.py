"""The part of a session that sets its current state against the images.

Images and model are read and prepared once for each state, and kept while views ask for
them again and again.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from helixnb.backend import Backend, get_backend
from helixnb.errors import InputError
from helixnb.inspection import filaments as filament_inspection
from helixnb.inspection import pictures, spectra
from helixnb.inspection.sample import (
    Model,
    Sample,
    band,
    evenly,
    model_of,
    read_sample,
)
from helixnb.session.labelled import LabelledResults
from helixnb.symmetry import HelicalSymmetry

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    import xarray as xr
    from numpy.typing import NDArray

    from helixnb.iteration.state import State
    from helixnb.particles import ParticleSet

SAMPLE_IMAGES = 400
"""Images in power spectra and means: enough to see layer lines, read in a moment."""


@dataclass
class Inspected:
    """What views ask of one state, made when first needed.

    Parameters
    ----------
    state : State
    particles : ParticleSet
    backend : Backend
    """

    state: State
    particles: ParticleSet
    backend: Backend
    lock: threading.RLock = field(default_factory=threading.RLock)

    @cached_property
    def sample(self) -> Sample:
        """Images spread evenly over the particles."""
        return self.read(evenly(len(self.particles), SAMPLE_IMAGES))

    def read(self, index: NDArray[np.int64]) -> Sample:
        """Read images.

        Parameters
        ----------
        index : ndarray of int64
            Which segments.
        """
        return read_sample(self.state, self.particles, index, self.backend)

    @cached_property
    def model(self) -> Model:
        """Harmonics of the reference."""
        return model_of(self.state, self.particles)

    @cached_property
    def power_spectrum(self) -> xr.Dataset:
        """Mean power of the sample and of the model."""
        return spectra.power_spectrum(self.state, self.sample, self.model, self.backend)

    @cached_property
    def continuity(self) -> tuple[xr.Dataset, pd.DataFrame]:
        """Segments and filaments against one helix each."""
        return filament_inspection.continuity(self.state, self.particles)

    @property
    def finest_A(self) -> float:
        """Finest resolution of pictures."""
        box_A = self.particles.box_px * self.particles.pixel_size_A
        return box_A / band(self.state, self.particles)


class Inspecting(LabelledResults):
    """Results that need the images again; each raises `InputError` before a step."""

    __slots__ = ("_inspected",)

    _inspected: Inspected

    def _inspection(self) -> Inspected:
        state = self._needed_state()
        last: Inspected | None = getattr(self, "_inspected", None)
        if last is None or last.state is not state:
            # A few hundred images: a plot need not compete with a run for a GPU.
            last = Inspected(state, self.particles, get_backend("cpu"))
            self._inspected = last
        return last

    @property
    def power_spectrum(self) -> xr.Dataset:
        """Power of images and model upright; see `helixnb.inspection.spectra`.

        In units of the noise power, over axial and radial frequency in 1/angstrom.
        """
        now = self._inspection()
        with now.lock:
            return now.power_spectrum.copy(deep=True)

    def layer_lines(
        self,
        *,
        twist_deg: float | None = None,
        rise_A: float | None = None,
        max_order: int = 12,
    ) -> pd.DataFrame:
        """List where the selection rule allows power.

        Parameters
        ----------
        twist_deg, rise_A : float, optional
            By default those of the next iteration.
        max_order : int
            Largest azimuthal order |n|.

        Returns
        -------
        pandas.DataFrame
            See `helixnb.inspection.spectra.layer_lines`.

        Raises
        ------
        InputError
            Without a symmetry, neither imposed nor given.
        """
        now = self._inspection()
        found = now.state.symmetry
        if found is None and (twist_deg is None or rise_A is None):
            raise InputError(
                "No helical symmetry is imposed: give twist_deg and rise_A to see "
                "where they would allow layer lines."
            )
        chosen = HelicalSymmetry(
            now.state.twist_deg if twist_deg is None else twist_deg,
            now.state.rise_A if rise_A is None else rise_A,
            now.state.parameters.point_group,
        )
        return spectra.layer_lines(
            chosen,
            now.state.survey.outer_radius_A,
            max_order=max_order,
            max_frequency_per_A=1 / now.finest_A,
        )

    @property
    def continuity(self) -> xr.Dataset:
        """Segments against one helix for each filament; `inspection.filaments`.

        Over ``particle``: position in angstrom, azimuths in degree, outliers.
        """
        now = self._inspection()
        with now.lock:
            return now.continuity[0].copy(deep=True)

    @property
    def filaments(self) -> pd.DataFrame:
        """Polarity, twist and continuity of each filament; `inspection.filaments`.

        One row for each filament; units are in the names of the columns.
        """
        now = self._inspection()
        with now.lock:
            return now.continuity[1].copy()

    def particle_pictures(
        self, segments: Sequence[int], *, lowpass_A: float = 15.0
    ) -> xr.Dataset:
        """Show images of segments beside model projections at their poses.

        Parameters
        ----------
        segments : sequence of int
            Which segments, counted from 0 in the order of the STAR file.
        lowpass_A : float
            Resolution of the pictures.

        Returns
        -------
        xarray.Dataset
            See `helixnb.inspection.pictures.particle_pictures`.
        """
        now = self._inspection()
        index = np.asarray(segments, np.int64)
        n = len(self.particles)
        if index.ndim != 1 or not len(index) or index.min() < 0 or index.max() >= n:
            raise InputError(
                "particle_pictures: give a list of at least one segment between 0 and "
                f"{n - 1}, not {segments!r}."
            )
        with now.lock:
            model = now.model
        return pictures.particle_pictures(
            now.state, now.read(index), model, lowpass_A, now.backend
        )

    def image_mean(
        self, azimuth_deg: float = 0.0, *, lowpass_A: float = 10.0
    ) -> xr.Dataset:
        """Average images seen from one azimuth, beside the model's projection.

        Parameters
        ----------
        azimuth_deg : float
            Direction of view, phi of the filament frame.
        lowpass_A : float
            Resolution of the pictures.

        Returns
        -------
        xarray.Dataset
            See `helixnb.inspection.pictures.image_mean`.
        """
        now = self._inspection()
        with now.lock:
            sample, model = now.sample, now.model
        return pictures.image_mean(
            now.state, sample, model, azimuth_deg, lowpass_A, now.backend
        )
