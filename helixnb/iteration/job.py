"""The fixed inputs of one iteration, and what follows from them directly."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from helixnb.backend import Backend
from helixnb.core.cylinder import CylinderGrid
from helixnb.core.fsc import HalfMapFSC, half_map_fsc
from helixnb.core.search import harmonic_limit
from helixnb.iteration.masking import Masking
from helixnb.iteration.state import State, Survey
from helixnb.parameters import Parameters
from helixnb.particles import ParticleSet
from helixnb.progress import Progress, Stopwatch

_RANGE_FRACTION = 0.1
"""Largest axial shift over the box where nothing tells the distance of boxes."""


@dataclass(frozen=True)
class Job:
    """The fixed inputs of one iteration.

    Parameters
    ----------
    particles : ParticleSet
        The images.
    parameters : Parameters
        As they are for this iteration.
    backend : Backend
        Where it runs.
    progress : callable
        Told what is being done.
    clock : Stopwatch
        Collects the time of each stage.
    static_mask : ndarray of float32, shape (box, box, box), or None
        The user's mask for references, used if the parameters ask for it.
    """

    particles: ParticleSet
    parameters: Parameters
    backend: Backend
    progress: Progress
    clock: Stopwatch
    static_mask: NDArray[np.float32] | None = None

    @property
    def box_px(self) -> int:
        """Edge of the images, pixels."""
        return self.particles.box_px

    @property
    def box_A(self) -> float:
        """Edge of the images, Angstrom."""
        return self.box_px * self.pixel_size_A

    @property
    def pixel_size_A(self) -> float:
        """Pixel size, Angstrom."""
        return self.particles.pixel_size_A

    def band(self, resolution: float) -> int:
        """Fourier radius of a resolution, inside Nyquist.

        Parameters
        ----------
        resolution : float
            Angstrom.
        """
        finest = self.box_px // 2 - 2
        wanted = int(np.floor(self.box_A / resolution + 1e-6))
        return int(np.clip(wanted, 4, finest))

    def grid(self, k_max: int, radius_A: float, oversampling: int) -> CylinderGrid:
        """Cylindrical grid for a band and a filament.

        Parameters
        ----------
        k_max : int
            Fourier pixels.
        radius_A : float
            Outer radius of the filament.
        oversampling : int
            1 for sums, 2 for references.
        """
        cyclic = self.parameters.cyclic
        m_max = harmonic_limit(k_max, self.box_px, radius_A / self.pixel_size_A, cyclic)
        return CylinderGrid(self.box_px, k_max, m_max, cyclic, oversampling)

    def masking(self, survey: Survey) -> Masking:
        """Return what the masks of this iteration are drawn from.

        Parameters
        ----------
        survey : Survey
            Tells the filament's radius.
        """
        return Masking(
            self.box_px, self.pixel_size_A, self.parameters, survey.outer_radius_A
        )

    def mask(self, survey: Survey, axial_fraction: float) -> NDArray[np.float32]:
        """Soft cylinder around the filament, where the computing is.

        Parameters
        ----------
        survey : Survey
            Tells the filament's radius.
        axial_fraction : float
            Central part of the axis kept; 1 keeps all.
        """
        return self.masking(survey).cylinder(axial_fraction, self.backend.xp)

    def density_mask(self, state: State) -> NDArray[np.float32] | None:
        """Mask of references on top of the cylinder; None if the cylinder is all.

        Parameters
        ----------
        state : State
            Its half-maps are what a dynamic mask follows.
        """
        with self.clock("mask"):
            return self.masking(state.survey).of_density(
                state.half_maps,
                state.resolution_A,
                self.static_mask,
                self.backend.upload,
            )

    def fsc(
        self,
        half_maps: NDArray[np.float32],
        survey: Survey,
        rng: np.random.Generator,
    ) -> HalfMapFSC:
        """FSC of two raw half-maps inside the filament.

        Parameters
        ----------
        half_maps : ndarray of float32, shape (2, box, box, box)
            Raw half-maps.
        survey : Survey
            Tells the filament's radius.
        rng : numpy.random.Generator
            Draws the random phases.
        """
        substitute = self.parameters.noise_substitution
        with self.clock("FSC"):
            sent = self.backend.xp.asarray(half_maps)
            masks = self.masking(survey).of_fsc(sent)
            return half_map_fsc(
                sent[0],
                sent[1],
                masks,
                self.pixel_size_A,
                rng if substitute else None,
                self.backend,
            )

    def order(self) -> int:
        """Symmetry copies in the reconstruction: as given, or from the spacing."""
        symmetry = self.parameters.symmetry
        if symmetry is None:
            return 1
        given = self.parameters.symmetry_order
        if given is not None:
            return given
        spacing = self.particles.inter_box_A
        return symmetry.order_from_spacing(spacing) if np.isfinite(spacing) else 1

    def axial_range_A(self, limited: bool) -> float:
        """Length of the range of axial shifts, centred on zero.

        Parameters
        ----------
        limited : bool
            Whether shifts are limited to half a rise.

        Returns
        -------
        float
            Angstrom; with helical symmetry a whole number of rises.
        """
        symmetry = self.parameters.symmetry
        if symmetry is not None and limited:
            return symmetry.rise_A
        half_range = self.parameters.axial_range_A
        if half_range is None:
            spacing = self.particles.inter_box_A
            known = np.isfinite(spacing)
            half_range = spacing / 2 if known else _RANGE_FRACTION * self.box_A
        if symmetry is None:
            return 2 * half_range
        return symmetry.rise_A * max(1, round(2 * half_range / symmetry.rise_A))
