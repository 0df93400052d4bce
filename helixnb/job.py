"""The fixed inputs of one iteration, and what follows from them directly."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from helixnb.backend import Backend
from helixnb.core.cylinder import CylinderGrid
from helixnb.core.fsc import HalfMapFSC, half_map_fsc
from helixnb.core.masks import cylinder
from helixnb.core.search import harmonic_limit
from helixnb.parameters import Parameters
from helixnb.particles import ParticleSet
from helixnb.progress import Progress, Stopwatch
from helixnb.state import Survey

MASK_EDGE_A = 8.0
"""Width of the soft edge of masks across the axis."""


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
    """

    particles: ParticleSet
    parameters: Parameters
    backend: Backend
    progress: Progress
    clock: Stopwatch

    @property
    def box(self) -> int:
        """Edge of the images, pixels."""
        return self.particles.box_px

    @property
    def pixel(self) -> float:
        """Pixel size, Angstrom."""
        return self.particles.pixel_size_A

    def band(self, resolution: float) -> int:
        """Fourier radius of a resolution, inside Nyquist.

        Parameters
        ----------
        resolution : float
            Angstrom.
        """
        finest = self.box // 2 - 2
        wanted = int(np.floor(self.box * self.pixel / resolution + 1e-6))
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
        cyclic = self.parameters.symmetry.cyclic
        m_max = harmonic_limit(k_max, self.box, radius_A / self.pixel, cyclic)
        return CylinderGrid(self.box, k_max, m_max, cyclic, oversampling)

    def mask(self, survey: Survey, axial_fraction: float) -> NDArray[np.float32]:
        """Soft cylinder around the filament.

        Parameters
        ----------
        survey : Survey
            Tells the filament's radius.
        axial_fraction : float
            Central part of the axis kept; 1 keeps all.
        """
        return filament_mask(
            self.box, self.pixel, self.parameters, survey, axial_fraction
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
        mask = self.mask(survey, self.parameters.mask_z_fraction)
        with self.clock("FSC"):
            return half_map_fsc(half_maps[0], half_maps[1], mask, self.pixel, rng)

    def order(self) -> int:
        """Symmetry copies in the reconstruction: as given, or from the spacing."""
        given = self.parameters.symmetry_order
        if given is not None:
            return given
        spacing = self.particles.inter_box_A
        if not np.isfinite(spacing):
            return 1
        return self.parameters.symmetry.order_from_spacing(spacing)


def filament_mask(
    box_px: int,
    pixel_size_A: float,
    parameters: Parameters,
    survey: Survey,
    axial_fraction: float,
) -> NDArray[np.float32]:
    """Soft cylinder with the filament's diameters.

    Parameters
    ----------
    box_px : int
        Edge of the map, pixels.
    pixel_size_A : float
        Pixel size.
    parameters : Parameters
        Gives the inner diameter.
    survey : Survey
        Gives the outer radius.
    axial_fraction : float
        Central part of the axis kept; 1 keeps all.

    Returns
    -------
    ndarray of float32, shape (box, box, box)
    """
    return cylinder(
        box_px,
        outer_radius_px=survey.outer_radius_A / pixel_size_A,
        inner_radius_px=parameters.inner_diameter_A / 2 / pixel_size_A,
        axial_fraction=axial_fraction,
        edge_px=MASK_EDGE_A / pixel_size_A,
        axial_edge_px=0.1 * box_px,
    )
