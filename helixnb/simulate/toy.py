"""A toy subunit that looks like protein at 4-8 A and needs no file.

Bundles of ideal alpha helices with pseudo side chains, lying radially: polar and
chiral, because the helices differ in length and cross. The symmetry decides the
design (from three bundles stacked along the axis down to a hairpin) and the radius:
the smallest at which neighbours touch without running through each other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy.spatial import cKDTree

from helixnb.errors import InputError
from helixnb.simulate.lattice import rotation_about_z

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from helixnb.simulate.lattice import Lattice

# Ideal alpha helix: 100 degrees and 1.5 A per residue; atoms as (weight, (radius A,
# angle deg, height A)) about the helix axis, C-alpha second.
_TURN_DEG, _STEP_A = 100.0, 1.5
_BACKBONE = (
    (7.0, (1.57, -27.6, -0.91)),
    (6.0, (2.29, 0.0, 0.0)),
    (6.0, (1.61, 26.0, 1.10)),
    (8.0, (1.76, 21.0, 2.30)),
)
_CA = 1
# Side chains grow outwards and, as in real helices, towards the N-terminus.
_SIDE_CHAIN = (
    (6.0, (3.30, 19.0, -0.70)),
    (6.0, (4.40, 22.0, -1.50)),
    (6.0, (5.50, 14.0, -2.10)),
)
_SIDE_CHAIN_LENGTHS = (1, 3, 2, 1, 3, 3, 2)

# Helices as (residues, middle, direction), in A along (radial, tangential, axial).
# The first four make an antiparallel bundle whose members cross; the last caps it.
_HELICES = (
    (20, (0.0, -5.0, -5.0), (1.0, 0.15, -0.15)),
    (12, (-6.0, -5.0, 5.0), (-1.0, 0.15, 0.15)),
    (18, (-1.5, 5.0, 5.0), (1.0, -0.15, 0.15)),
    (16, (2.0, 5.0, -5.0), (-1.0, -0.15, -0.15)),
    (8, (10.5, -4.0, 6.0), (0.2, 0.8, -0.55)),
)
_BUNDLE_HEIGHT_A = 22.0


class _Design(NamedTuple):
    """A subunit's make-up, and the radius above which a smaller one is better."""

    n_helices: int
    n_bundles: int
    largest_radius_A: float


_DESIGNS = (
    _Design(5, 3, 25.0),
    _Design(5, 2, 25.0),
    _Design(5, 1, 45.0),
    _Design(2, 1, 150.0),
)

# Neighbours touch if 5 % of the C-alpha atoms are this near another subunit's; and no
# atom of the chain comes nearer to the axis than this, so that subunits stand beside
# it even where they could sit on it.
_CONTACT_A, _TOLERATED_CONTACTS = 6.0, 0.05
_FREE_CORE_A = 3.0


@dataclass(frozen=True)
class _Atoms:
    """Positions (n, 3) in A, weights (n,) and which are C-alpha (n,)."""

    coordinates_A: NDArray[np.float64]
    weights: NDArray[np.float64]
    is_ca: NDArray[np.bool_]


def toy_atoms(
    lattice: Lattice, *, radius_A: float | None = None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Atoms of a toy subunit of a design and at a radius that suit the symmetry.

    Parameters
    ----------
    lattice : Lattice
        Symmetry of the filament.
    radius_A : float, optional
        Distance of the subunit's centre from the axis; by default the smallest at
        which neighbours only touch.

    Returns
    -------
    coordinates_A : (n, 3) float64 array
        Positions (x, y, z) relative to the helix axis.
    weights : (n,) float64 array
        Atomic numbers.

    Raises
    ------
    InputError
        If no radius keeps the subunits apart and none was given.
    """
    for design in _DESIGNS:
        atoms = _build(design)
        free_radius_A = _smallest_free_radius(lattice, atoms, design.largest_radius_A)
        if free_radius_A is not None:
            break
    if radius_A is None:
        radius_A = free_radius_A
    if radius_A is None:
        raise InputError(
            f"No toy subunit fits the symmetry: at twist {lattice.twist_deg:g} deg, "
            f"rise {lattice.rise_A:g} A and {lattice.point_group} neighbours overlap "
            f"at every radius up to {_DESIGNS[-1].largest_radius_A:g} A. Give "
            "subunit_radius_A or a model."
        )
    return _place(atoms.coordinates_A, radius_A, lattice), atoms.weights


def _alpha_helix(n_residues: int) -> _Atoms:
    """Build an ideal alpha helix along +z, with its middle at the origin."""
    cylindrical, weights, is_ca = [], [], []
    for residue in range(n_residues):
        height = (residue - (n_residues - 1) / 2) * _STEP_A
        n_side = _SIDE_CHAIN_LENGTHS[residue % len(_SIDE_CHAIN_LENGTHS)]
        for index, (weight, atom) in enumerate((*_BACKBONE, *_SIDE_CHAIN[:n_side])):
            radius, angle, z = atom
            cylindrical.append((radius, residue * _TURN_DEG + angle, height + z))
            weights.append(weight)
            is_ca.append(index == _CA)
    radius_A, phi_deg, z_A = np.array(cylindrical).T
    phi = np.deg2rad(phi_deg)
    points = np.stack([radius_A * np.cos(phi), radius_A * np.sin(phi), z_A], axis=1)
    return _Atoms(points, np.array(weights), np.array(is_ca))


def _build(design: _Design) -> _Atoms:
    """Assemble a design about its own centre as (radial, tangential, axial)."""
    points, weights, is_ca = [], [], []
    for bundle in range(design.n_bundles):
        # Each bundle is turned differently, so that none repeats the one below.
        quarter, half = rotation_about_z([90.0 * bundle, 180.0 * bundle])
        turn = half @ np.roll(quarter, 1, axis=(0, 1))
        height = np.array([0.0, 0.0, bundle * _BUNDLE_HEIGHT_A])
        for n_residues, middle, direction in _HELICES[: design.n_helices]:
            helix = _alpha_helix(n_residues)
            lying = helix.coordinates_A @ _frame_along(direction).T + middle
            points.append(lying @ turn.T + height)
            weights.append(helix.weights)
            is_ca.append(helix.is_ca)
    together = np.concatenate(points)
    together -= together.mean(axis=0)
    return _Atoms(together, np.concatenate(weights), np.concatenate(is_ca))


def _frame_along(direction: ArrayLike) -> NDArray[np.float64]:
    """Rotation that takes z to `direction`."""
    axis = np.asarray(direction, dtype=np.float64)
    axis = axis / np.linalg.norm(axis)
    side = np.cross(axis, np.eye(3)[np.argmin(np.abs(axis))])
    side /= np.linalg.norm(side)
    return np.stack([side, np.cross(axis, side), axis], axis=1)


def _place(
    coordinates_A: NDArray[np.float64], radius_A: float, lattice: Lattice
) -> NDArray[np.float64]:
    """Move a subunit out along x; with a dyad, turn it midway between dyads."""
    placed = coordinates_A + np.array([radius_A, 0.0, 0.0])
    if lattice.has_dyad:
        placed = placed @ rotation_about_z(90.0 / lattice.fold).T
    return np.asarray(placed, dtype=np.float64)


def _smallest_free_radius(
    lattice: Lattice, atoms: _Atoms, largest_A: float
) -> float | None:
    """Find the smallest radius, in steps of 1 A, at which neighbours only touch."""
    ca = atoms.coordinates_A[atoms.is_ca]
    levels = lattice.levels_within(float(np.ptp(ca[:, 2])) + _CONTACT_A)
    turns = rotation_about_z(levels * lattice.twist_deg)
    # Below this the lattice has less than a contact's square for each subunit.
    n_copies = len(lattice.point_operators())
    crowded_A = n_copies * _CONTACT_A**2 / (2 * np.pi * lattice.rise_A)
    first_A = max(_FREE_CORE_A - ca[:, 0].min(), crowded_A)
    for radius_A in np.arange(first_A, largest_A):
        subunit = _place(ca, float(radius_A), lattice)
        copies = np.einsum("kij,nj->kni", turns, lattice.expand_level(subunit))
        copies[..., 2] += levels[:, None] * lattice.rise_A
        is_other = np.ones(copies.shape[:2], dtype=bool)
        is_other[levels == 0, : len(ca)] = False
        if not is_other.any():
            return float(radius_A)
        distance_A, _ = cKDTree(copies[is_other]).query(subunit)
        if np.mean(distance_A < _CONTACT_A) <= _TOLERATED_CONTACTS:
            return float(radius_A)
    return None
