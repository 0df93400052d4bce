"""Symmetry-expanded particles as a STAR file, for local refinement of one subunit.

Expansion counts every subunit of the specimen once only if each segment stands for the
subunits around its own centre: shifts along the axis must lie within half a rise,
which is checked. Copies of one image are not independent, so the file says in its
first lines what it must not be used for.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from helixnb.core.expansion import expanded
from helixnb.errors import InputError
from helixnb.euler import EulerPoses
from helixnb.io.columns import numbers
from helixnb.io.export import pose_columns, with_columns
from helixnb.io.star import write_blocks
from helixnb.particles import ParticleSet
from helixnb.symmetry import HelicalSymmetry

WARNING = """\
WARNING: symmetry-expanded particles. Each image appears {copies} times, once for each
symmetry mate of its pose. Use them for local refinement or classification inside a
mask only. A global refinement would align copies of one image to each other, and
half-sets must keep all copies of a filament together (rlnRandomSubset does).
Expanded by twist {twist:.4f} deg, rise {rise:.4f} A, {point_group}, order {order}.
"""

TOLERANCE = 0.05
"""Part of a rise by which a shift may pass half a rise: shifts are limited as seen in
the image, where a leaning filament looks shorter."""


def expand_particles(
    particles: ParticleSet,
    out: Path | str,
    symmetry: HelicalSymmetry,
    order: int | None = None,
    *,
    poses: EulerPoses | None = None,
    half: NDArray[np.int8] | None = None,
) -> int:
    """Write the symmetry-expanded particles of a refined set.

    Parameters
    ----------
    particles : ParticleSet
        Refined segments.
    out : Path or str
        STAR file to write; replaced in one step if it exists.
    symmetry : HelicalSymmetry
        As refined.
    order : int, optional
        Helical copies; by default floor(distance between boxes / rise).
    poses : EulerPoses, optional
        Of the particles; by default the angles and origins of their file.
    half : ndarray of int8, shape (n,), optional
        Half-set 0 or 1 of each particle; by default as in the file.

    Returns
    -------
    int
        Rows written.

    Raises
    ------
    InputError
        Missing angles, shifts beyond half a rise, or an unknown order.
    """
    poses = _poses(particles) if poses is None else poses
    if order is None:
        if not np.isfinite(particles.inter_box_A):
            raise InputError(
                f"{particles.source} does not tell the distance between boxes, so the "
                "symmetry order must be given: floor(distance / rise)."
            )
        order = symmetry.order_from_spacing(particles.inter_box_A)
    _check_limited(particles, poses, symmetry)
    mates = expanded(poses, symmetry, order)
    blocks = particles.star_blocks(Path(out).absolute().parent)
    table = blocks["particles"]
    if half is not None:
        table = with_columns(table, {"rlnRandomSubset": half.astype(np.int64) + 1})
    chosen = table.iloc[mates.particle].reset_index(drop=True)
    columns = pose_columns(chosen, mates.poses, particles.pixel_size_A)
    if "rlnAnglePsiPrior" in chosen:
        prior = chosen["rlnAnglePsiPrior"].to_numpy(float)
        columns["rlnAnglePsiPrior"] = np.where(mates.turned, prior + 180, prior)
    warning = WARNING.format(
        copies=len(mates.particle) // len(poses),
        twist=symmetry.twist_deg,
        rise=symmetry.rise_A,
        point_group=symmetry.point_group,
        order=order,
    )
    write_blocks(
        Path(out),
        {"optics": blocks["optics"], "particles": with_columns(chosen, columns)},
        comment=warning,
    )
    return len(mates.particle)


def _poses(particles: ParticleSet) -> EulerPoses:
    """Poses of a refinement's table, origins in Angstrom."""
    table, source = particles.table, particles.source
    angles = [
        numbers(table, name, source)
        for name in ("rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi")
    ]
    origins = []
    for axis in "XY":
        if f"rlnOrigin{axis}Angst" in table:
            origins.append(numbers(table, f"rlnOrigin{axis}Angst", source))
        else:
            pixels = numbers(table, f"rlnOrigin{axis}", source)
            origins.append(pixels * particles.pixel_size_A)
    return EulerPoses(*angles, *origins)


def _check_limited(
    particles: ParticleSet, poses: EulerPoses, symmetry: HelicalSymmetry
) -> None:
    """Refuse shifts along the axis beyond half a rise."""
    shift_A = np.abs(poses.axial_shift_A)
    limit_A = (0.5 + TOLERANCE) * symmetry.rise_A
    beyond = np.flatnonzero(shift_A > limit_A)
    if len(beyond) == 0:
        return
    raise InputError(
        f"{particles.source}: {len(beyond)} of {len(poses)} particles are shifted "
        f"along the axis by more than half a rise ({symmetry.rise_A / 2:.2f} A); the "
        f"first is row {beyond[0] + 1} with {shift_A[beyond[0]]:.2f} A. Expanded, "
        "some subunits would count twice and others not at all. Refine with "
        "limit_shifts='always' or 'final' first, and give twist and rise as refined."
    )
