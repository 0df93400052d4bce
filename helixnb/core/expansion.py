"""Symmetry expansion: one pose for every subunit that an image shows.

A symmetric map looks the same from its symmetry mates. With A the rotation of an image
(RELION's, a point r of the map appears at A r + t), S = Rz(twist) and d the rise,
V(S r + d z) = V(r) makes A Rz(-k twist), t - k d A z an equal pose for every k; so are
A Rz(-360 j / n) under Cn and A Rx(180) under a dyad. Each brings another subunit to
where the first one was, so that a mask on one subunit then sees all of them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from helixnb.euler import EulerPoses, wrapped_deg
from helixnb.symmetry import HelicalSymmetry


@dataclass(frozen=True)
class ExpandedPoses:
    """All symmetry mates of a set of poses.

    Parameters
    ----------
    poses : EulerPoses
        Mates of one particle beside each other.
    particle : ndarray of int64, shape (n_mates,)
        Particle that each belongs to.
    turned : ndarray of bool, shape (n_mates,)
        Whether the dyad has reversed the polarity.
    """

    poses: EulerPoses
    particle: NDArray[np.int64]
    turned: NDArray[np.bool_]


def expanded(poses: EulerPoses, symmetry: HelicalSymmetry, order: int) -> ExpandedPoses:
    """Write every symmetry mate of every pose.

    Parameters
    ----------
    poses : EulerPoses
        One for each particle, shifts within half a rise.
    symmetry : HelicalSymmetry
        Twist, rise and point group.
    order : int
        Helical copies; which they are is `HelicalSymmetry.copies`.

    Returns
    -------
    ExpandedPoses
        order x n (x 2 with a dyad) for each particle.
    """
    copies, cyclic = symmetry.copies(order), symmetry.cyclic
    dyads = (False, True) if symmetry.dihedral else (False,)
    mates = [(k, j, dyad) for k in copies for j in range(cyclic) for dyad in dyads]
    axis_x, axis_y = poses.axis
    columns = []
    for k, j, dyad in mates:
        climb = k * symmetry.rise_A
        rot = poses.rot_deg + k * symmetry.twist_deg + j * 360.0 / cyclic
        tilt, psi = poses.tilt_deg, poses.psi_deg
        if dyad:
            # A Rx(180) = A(-rot, 180 - tilt, psi + 180), for a dyad along x.
            rot, tilt, psi = -rot, 180.0 - tilt, psi + 180.0
        columns.append(
            (
                wrapped_deg(rot),
                tilt,
                wrapped_deg(psi),
                poses.origin_x_A + climb * axis_x,
                poses.origin_y_A + climb * axis_y,
            )
        )
    rows = np.array(columns).transpose(1, 2, 0).reshape(5, -1)
    n = len(poses)
    return ExpandedPoses(
        EulerPoses(*rows),
        np.repeat(np.arange(n), len(mates)),
        np.tile([dyad for _, _, dyad in mates], n),
    )
