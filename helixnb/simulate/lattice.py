"""The helical lattice: where copies of the asymmetric unit go.

Kept apart from the rest of the package on purpose: simulated data is only a check of
the refinement if the symmetry is written down a second time.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from helixnb.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray


def rotation_about_z(angle_deg: ArrayLike) -> NDArray[np.float64]:
    """Right-handed active rotation about z.

    Parameters
    ----------
    angle_deg : array-like
        Angle in degrees.

    Returns
    -------
    (..., 3, 3) float64 array
        Matrices that left-multiply column vectors (x, y, z).
    """
    angle = np.deg2rad(np.asarray(angle_deg, dtype=np.float64))
    rotation = np.zeros((*angle.shape, 3, 3))
    rotation[..., 0, 0] = rotation[..., 1, 1] = np.cos(angle)
    rotation[..., 1, 0] = np.sin(angle)
    rotation[..., 0, 1] = -rotation[..., 1, 0]
    rotation[..., 2, 2] = 1.0
    return rotation


@dataclass(frozen=True)
class Lattice:
    """Helical symmetry with a point group.

    Parameters
    ----------
    twist_deg : float
        Turn per level in degrees, positive = right-handed, in (-180, 180].
    rise_A : float
        Axial distance between levels in Angstrom, > 0.
    point_group : str
        ``"Cn"`` or ``"Dn"``; the dyad of ``Dn`` lies along x.

    Raises
    ------
    InputError
        If a value is out of range or the point group is not known.
    """

    twist_deg: float
    rise_A: float
    point_group: str = "C1"

    def __post_init__(self) -> None:
        if not (np.isfinite(self.rise_A) and self.rise_A > 0):
            raise InputError(
                f"rise_A must be greater than 0, got {self.rise_A!r}. For a "
                "left-handed helix keep the rise positive and negate the twist."
            )
        if not -180 < self.twist_deg <= 180:
            raise InputError(
                f"twist_deg must be in (-180, 180], got {self.twist_deg!r}. Add or "
                "subtract 360."
            )
        if re.fullmatch(r"[CD][1-9]\d*", self.point_group) is None:
            raise InputError(
                "point_group must be C or D followed by a number, such as 'C1' or "
                f"'D2', got {self.point_group!r}."
            )

    @property
    def fold(self) -> int:
        """Order of the rotation axis along the helix."""
        return int(self.point_group[1:])

    @property
    def has_dyad(self) -> bool:
        """Whether the group has two-fold axes across the helix."""
        return self.point_group.startswith("D")

    def point_operators(self) -> NDArray[np.float64]:
        """Rotations of the point group.

        Returns
        -------
        (g, 3, 3) float64 array
            The identity first; g is n for ``Cn`` and 2n for ``Dn``.
        """
        cyclic = rotation_about_z(np.arange(self.fold) * 360.0 / self.fold)
        if not self.has_dyad:
            return cyclic
        return np.concatenate([cyclic, cyclic @ np.diag([1.0, -1.0, -1.0])])

    def expand_level(self, coordinates_A: NDArray[np.float64]) -> NDArray[np.float64]:
        """Copy points under the point group: one level of the helix.

        Parameters
        ----------
        coordinates_A : (n, 3) float64 array
            Points (x, y, z) of the asymmetric unit in Angstrom.

        Returns
        -------
        (g * n, 3) float64 array
            The copies, the asymmetric unit first.
        """
        operators = self.point_operators()
        copies = np.einsum("gij,nj->gni", operators, coordinates_A)
        return np.asarray(copies.reshape(-1, 3), dtype=np.float64)

    def levels_within(self, half_length_A: float) -> NDArray[np.int64]:
        """Level numbers whose height is at most `half_length_A` from the origin."""
        last = int(np.floor(half_length_A / self.rise_A))
        return np.arange(-last, last + 1)
