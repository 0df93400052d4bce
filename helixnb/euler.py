"""Poses as files have them: Euler angles and origins in RELION's convention.

The core keeps poses in the filament frame (`core.poses`); what is read, written and
expanded is in these terms.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class EulerPoses:
    """Poses in RELION's convention, arrays of shape (n,).

    Parameters
    ----------
    rot_deg, tilt_deg, psi_deg : ndarray of float64
        Euler angles.
    origin_x_A, origin_y_A : ndarray of float64
        Shifts that centre the particle.
    """

    rot_deg: NDArray[np.float64]
    tilt_deg: NDArray[np.float64]
    psi_deg: NDArray[np.float64]
    origin_x_A: NDArray[np.float64]
    origin_y_A: NDArray[np.float64]

    def __len__(self) -> int:
        """Return the number of poses."""
        return len(self.rot_deg)

    @property
    def axis(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Helix axis in the image: x and y of A z, shorter the more it leans."""
        psi, sine = np.deg2rad(self.psi_deg), np.sin(np.deg2rad(self.tilt_deg))
        return -sine * np.cos(psi), sine * np.sin(psi)

    @property
    def axial_shift_A(self) -> NDArray[np.float64]:
        """How far along its own axis each particle lies from the image centre."""
        x, y = self.axis
        along = -(self.origin_x_A * x + self.origin_y_A * y)
        return along / np.maximum(x**2 + y**2, 1e-12)


def wrapped_deg(angle_deg: NDArray[np.float64]) -> NDArray[np.float64]:
    """Angles in (-180, 180].

    Parameters
    ----------
    angle_deg : ndarray of float64
        Any angles; of a device as well.

    Returns
    -------
    ndarray of float64, same shape
    """
    return 180 - (180 - angle_deg) % 360
