"""The particle table that goes back to CryoSPARC, with refined poses.

A table that came from CryoSPARC keeps all its columns; poses, half-sets and nothing
else change. Particles of a STAR file get the columns that CryoSPARC needs to import
them: images, CTF, poses and filaments.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from helixnb.euler import EulerPoses
from helixnb.io.columns import Float64Array
from helixnb.io.cs_file import CsArray, table_of
from helixnb.io.rotation_vectors import rotation_vector_from_euler


def with_poses(
    table: CsArray, poses: EulerPoses, half: ArrayLike | None, pixel_size_A: float
) -> CsArray:
    """Return a CryoSPARC table with new poses.

    Parameters
    ----------
    table : structured ndarray, shape (n,)
        Every column of it is kept.
    poses : EulerPoses
        New values.
    half : array of int, shape (n,), or None
        Half-set 0 or 1; None leaves it as it is.
    pixel_size_A : float
        Pixel size of the images, in which shifts are counted.

    Returns
    -------
    structured ndarray, shape (n,)
        Columns replaced in place, or added at the end.
    """
    vector = rotation_vector_from_euler(poses.rot_deg, poses.tilt_deg, poses.psi_deg)
    shift_A = np.stack([poses.origin_x_A, poses.origin_y_A], 1)
    columns: dict[str, NDArray[Any]] = {n: table[n] for n in table.dtype.names or ()}
    columns["alignments3D/shift"] = (shift_A / pixel_size_A).astype("<f4")
    columns["alignments3D/pose"] = vector.astype("<f4")
    columns["alignments3D/psize_A"] = np.full(len(table), pixel_size_A, "<f4")
    if half is not None:
        columns["alignments3D/split"] = np.asarray(half).astype("<u4")
    return table_of(columns)


def new_table(
    *,
    paths: Sequence[Path],
    stack: NDArray[np.int32],
    section: NDArray[np.int64],
    box_px: int,
    pixel_size_A: float,
    contrast: NDArray[np.float32],
    ctf: dict[str, Float64Array],
    filament: NDArray[np.int32],
    psi_prior_deg: Float64Array,
    track_A: Float64Array,
    inter_box_A: float,
) -> CsArray:
    """Make a CryoSPARC table for particles that another program listed.

    Parameters
    ----------
    paths : sequence of Path
        Stacks, absolute.
    stack : ndarray of int32, shape (n,)
        Index into `paths` for each image.
    section : ndarray of int64, shape (n,)
        Section of each image, from 0.
    box_px : int
        Box size.
    pixel_size_A : float
        Pixel size.
    contrast : ndarray of float32, shape (n,)
        +1 where protein is white.
    ctf : dict of str to ndarray of float64, shape (n,)
        Values by CryoSPARC's name without ``ctf/``, in its units.
    filament : ndarray of int32, shape (n,)
        Filament numbers.
    psi_prior_deg : ndarray of float64, shape (n,)
        In-plane angles of the filaments; written as filament poses counted from the x
        axis where they are known.
    track_A : ndarray of float64, shape (n,)
        Distance from the start of the filament; nan where it is unknown.
    inter_box_A : float
        Distance between boxes; nan if unknown.

    Returns
    -------
    structured ndarray, shape (n,)
        The table. `uid` follows from stack and section, so that it is the same in
        every file written of the same images.
    """
    n = len(stack)
    names = np.array([path.as_posix().encode() for path in paths], np.bytes_)
    columns: dict[str, NDArray[Any]] = {
        "uid": _uids(names, stack, section),
        "blob/path": names[stack],
        "blob/idx": section.astype("<u4"),
        "blob/shape": np.full((n, 2), box_px, "<u4"),
        "blob/psize_A": np.full(n, pixel_size_A, "<f4"),
        "blob/sign": contrast.astype("<f4"),
        "ctf/type": np.full(n, b"imported"),
        "ctf/exp_group_id": np.zeros(n, "<u4"),
    }
    columns |= {f"ctf/{name}": values.astype("<f4") for name, values in ctf.items()}
    columns["filament/filament_uid"] = filament.astype("<u8") + 1
    if np.isfinite(psi_prior_deg).all():
        columns["filament/filament_pose"] = np.deg2rad(-psi_prior_deg).astype("<f4")
    if np.isfinite(track_A).all():
        columns["filament/position_A"] = track_A.astype("<f4")
    if np.isfinite(inter_box_A):
        columns["filament/inter_box_dist_A"] = np.full(n, inter_box_A, "<f4")
    return table_of(columns)


def _uids(
    names: NDArray[np.bytes_], stack: NDArray[np.int32], section: NDArray[np.int64]
) -> NDArray[np.uint64]:
    """64-bit identities of images: a hash of the stack's name, plus the section."""
    start = [
        int.from_bytes(hashlib.blake2b(name, digest_size=8).digest(), "little")
        for name in names.tolist()
    ]
    return np.array(start, np.uint64)[stack] + section.astype(np.uint64)
