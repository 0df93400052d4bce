"""Orientations between RELION's Euler angles and CryoSPARC's rotation vectors.

RELION's matrix A(rot, tilt, psi) turns the map into the image; CryoSPARC's vector is
the rotation from the image into the map, so one is the transpose of the other. For
the intrinsic rotations about z, y, z that is the same triple of angles:
R(w) = Rz(rot) Ry(tilt) Rz(psi) = A(rot, tilt, psi) transposed.
"""

import numpy as np
from numpy.typing import ArrayLike
from scipy.spatial.transform import Rotation

from helixnb.io.columns import Float64Array


def euler_from_rotation_vector(vector: ArrayLike) -> tuple[Float64Array, ...]:
    """Return RELION's angles of CryoSPARC's rotation vectors.

    Parameters
    ----------
    vector : array, shape (n, 3)
        Axis times angle in radians (`alignments3D/pose`).

    Returns
    -------
    rot_deg, tilt_deg, psi_deg : ndarray of float64, shape (n,)
        Tilt in [0, 180]; rot is 0 where the tilt leaves only rot + psi defined.
    """
    matrix = Rotation.from_rotvec(np.asarray(vector, np.float64)).as_matrix()
    # Third row and column of A, here transposed.
    sine = np.hypot(matrix[:, 2, 0], matrix[:, 2, 1])
    tilt = np.arctan2(sine, matrix[:, 2, 2])
    level = sine < 1e-9
    rot = np.where(level, 0.0, np.arctan2(matrix[:, 1, 2], matrix[:, 0, 2]))
    pole = np.arctan2(matrix[:, 1, 0], matrix[:, 1, 1])
    psi = np.where(level, pole, np.arctan2(matrix[:, 2, 1], -matrix[:, 2, 0]))
    return np.rad2deg(rot), np.rad2deg(tilt), np.rad2deg(psi)


def rotation_vector_from_euler(
    rot_deg: ArrayLike, tilt_deg: ArrayLike, psi_deg: ArrayLike
) -> Float64Array:
    """Return CryoSPARC's rotation vectors of RELION's angles.

    Parameters
    ----------
    rot_deg, tilt_deg, psi_deg : array, shape (n,)
        RELION's Euler angles.

    Returns
    -------
    ndarray of float64, shape (n, 3)
        Axis times angle in radians, the angle in [0, pi].
    """
    angles = np.stack(np.broadcast_arrays(rot_deg, tilt_deg, psi_deg), axis=-1)
    rotation = Rotation.from_euler("ZYZ", np.atleast_2d(angles), degrees=True)
    return np.asarray(rotation.as_rotvec(), dtype=np.float64)
