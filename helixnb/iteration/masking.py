"""The masks of a refinement: for references, and for the FSC.

References are masked by a cylinder with the filament's diameters, by a dynamic mask
drawn after the current density, or by a static one that the user gave. Dynamic and
static masks act on top of the cylinder, which also bounds the maps for transforms, and
after a reference was re-grown along the box. The FSC to report is always taken in a
cylinder; its loose and tight companions follow the density.

Density is followed on a smooth copy. That of a dynamic mask is grown by the symmetry
from the central part of the box: a threshold would otherwise cut the box ends, where
symmetry in the reconstruction lets density fade. Masks of the FSC stay away from them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from helixnb.backend.arrays import array_module
from helixnb.core.cylinder import CylinderGrid
from helixnb.core.density_mask import density_distance, soft_mask
from helixnb.core.fsc import FSCMasks
from helixnb.core.masks import (
    AXIAL_EDGE,
    FILAMENT_EDGE_A,
    axial_window,
    cylinder,
)
from helixnb.core.nonuniform import butterworth
from helixnb.core.postprocess import average_map, scale_shells
from helixnb.core.references import end_window, regrow
from helixnb.core.search import harmonic_limit
from helixnb.parameters import Parameters

FSC_THRESHOLD = 0.5
"""Density that the loose and tight masks surround, over the bright density."""

LOOSE_A = (25.0, 40.0)
TIGHT_A = (6.0, 12.0)
"""Distances to which these masks are 1, and beyond which they are 0: CryoSPARC's."""


@dataclass(frozen=True)
class Masking:
    """What the masks of one iteration are drawn from.

    Parameters
    ----------
    box_px : int
        Edge of the maps, pixels.
    pixel_size_A : float
        Edge of a voxel.
    parameters : Parameters
        Choose the mask; give the inner diameter, the symmetry and the parts of the
        axis.
    outer_radius_A : float
        Of the filament, as the images tell it.
    """

    box_px: int
    pixel_size_A: float
    parameters: Parameters
    outer_radius_A: float

    def cylinder(self, axial_fraction: float, xp: Any = np) -> NDArray[np.float32]:
        """Soft cylinder with the filament's diameters.

        Parameters
        ----------
        axial_fraction : float
            Central part of the axis kept; 1 keeps all.
        xp : module
            Array module of the result.

        Returns
        -------
        ndarray of float32, shape (box, box, box)
        """
        return cylinder(
            self.box_px,
            outer_radius_px=self.outer_radius_A / self.pixel_size_A,
            inner_radius_px=self.parameters.inner_diameter_A / 2 / self.pixel_size_A,
            axial_fraction=axial_fraction,
            edge_px=FILAMENT_EDGE_A / self.pixel_size_A,
            axial_edge_px=AXIAL_EDGE * self.box_px,
            xp=xp,
        )

    def of_fsc(self, half_maps: NDArray[np.float32]) -> FSCMasks:
        """Masks of the FSC curves, over the central part of the axis.

        Parameters
        ----------
        half_maps : ndarray of float32, shape (2, box, box, box)
            Raw half-maps.

        Returns
        -------
        FSCMasks
        """
        box, xp = self.box_px, array_module(half_maps)
        fraction = self.parameters.fsc_z_fraction
        along = axial_window(box, fraction, AXIAL_EDGE * box)
        window = xp.asarray(along)[:, None, None]
        section = self.cylinder(1.0, xp)
        density = self._smooth(average_map(half_maps) * section)
        inside = section > 0.5
        distance = density_distance(density, inside, FSC_THRESHOLD, self.pixel_size_A)
        return FSCMasks(
            self.cylinder(fraction, xp),
            soft_mask(distance, *LOOSE_A) * window,
            soft_mask(distance, *TIGHT_A) * window,
        )

    def of_density(
        self,
        half_maps: NDArray[np.float32],
        resolution_A: float,
        static_mask: NDArray[np.float32] | None,
        upload: Callable[[Any], Any] = lambda array: array,
    ) -> NDArray[np.float32] | None:
        """Mask of references beyond the cylinder, if there is one.

        Parameters
        ----------
        half_maps : ndarray of float32, shape (2, box, box, box)
            Raw half-maps that a dynamic mask follows.
        resolution_A : float
            Their resolution: a dynamic mask begins at ``mask_start_A``.
        static_mask : ndarray of float32, shape (box, box, box), or None
            What the user gave; used as it is.
        upload : callable
            Copies the half-maps to where a dynamic mask is to be made.

        Returns
        -------
        ndarray of float32, shape (box, box, box), or None
            None where the cylinder is all.
        """
        parameters = self.parameters
        if parameters.mask == "static":
            return static_mask
        if parameters.mask == "cylinder" or resolution_A > parameters.mask_start_A:
            return None
        sent = upload(half_maps)
        section = self.cylinder(1.0, array_module(sent))
        density = self._smooth_and_grown(average_map(sent) * section)
        distance = density_distance(
            density, section > 0.5, parameters.mask_threshold, self.pixel_size_A
        )
        return soft_mask(distance, parameters.mask_near_A, parameters.mask_far_A)

    def of_references(
        self,
        half_maps: NDArray[np.float32],
        resolution_A: float,
        static_mask: NDArray[np.float32] | None,
    ) -> NDArray[np.float32]:
        """Everything that a reference is masked with, as one mask.

        Parameters
        ----------
        half_maps, resolution_A, static_mask
            As for `of_density`.

        Returns
        -------
        ndarray of float32, shape (box, box, box)
        """
        window = end_window(self.box_px, self.parameters.mask_z_fraction)
        mask = self.cylinder(1.0) * window[:, None, None]
        inner = self.of_density(half_maps, resolution_A, static_mask)
        return mask if inner is None else mask * inner

    def _smooth(self, volume: NDArray[np.float32]) -> NDArray[np.float32]:
        """Low-pass filter, for what lies away from the box ends."""
        box = self.box_px
        k_per_A = np.arange(box // 2 + 1) / (box * self.pixel_size_A)
        gain = butterworth(k_per_A, self.parameters.mask_start_A)
        return scale_shells(volume, gain.astype(np.float64))

    def _smooth_and_grown(self, volume: NDArray[np.float32]) -> NDArray[np.float32]:
        """Low-pass filter, and rebuild the box ends from the centre by the symmetry."""
        box, box_A = self.box_px, self.box_px * self.pixel_size_A
        k_max = min(int(box_A / self.parameters.mask_start_A), box // 2 - 2)
        cyclic, symmetry = self.parameters.cyclic, self.parameters.symmetry
        radius_px = self.outer_radius_A / self.pixel_size_A
        m_max = harmonic_limit(k_max, box, radius_px, cyclic)
        grid = CylinderGrid(box, k_max, m_max, cyclic, 2)
        planes = grid.planes_from_volume(volume)
        if symmetry is not None:
            # As many mates as fill the box from the part where the FSC is taken.
            missing_A = (1 - self.parameters.fsc_z_fraction) / 2 * box_A
            reach = int(np.ceil(missing_A / symmetry.rise_A))
            orders = grid.orders[m_max:]
            planes = regrow(planes, symmetry, orders, self.pixel_size_A, reach)
        return grid.to_volume(grid.harmonics_from_planes(planes))
