"""The particle table that goes back to RELION, with refined poses.

Every column of the input is kept in its place, also those of other programs. Poses
are replaced or added, and image names are rewritten so that they lead from the output
folder to the stacks.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from helixnb.errors import InputError
from helixnb.euler import EulerPoses


def with_columns(table: pd.DataFrame, columns: Mapping[str, ArrayLike]) -> pd.DataFrame:
    """Return a copy of a table with columns replaced in place or added at the end.

    Parameters
    ----------
    table : DataFrame
        Particle block.
    columns : mapping of str to array, shape (n,)
        New values.

    Returns
    -------
    DataFrame
        The new table.

    Raises
    ------
    InputError
        A column has another length than the table.
    """
    result = table.copy()
    for name, values in columns.items():
        array = np.asarray(values)
        if array.shape != (len(table),):
            raise InputError(
                f"Column {name} has shape {array.shape}; one value for each of the "
                f"{len(table)} particles is needed."
            )
        result[name] = array
    return result


def pose_columns(
    table: pd.DataFrame, poses: EulerPoses, pixel_size_A: float
) -> dict[str, NDArray[np.float64]]:
    """Return poses by RELION's names, with all that must agree with them.

    A file converted from RELION 3.0 keeps its lengths in pixels. Left alone they would
    contradict the new origins, and RELION 3.1 would miss the track length.

    Parameters
    ----------
    table : DataFrame
        Particle block.
    poses : EulerPoses
        One for each row.
    pixel_size_A : float
        Pixel size.

    Returns
    -------
    dict
        Columns to replace or add.
    """
    columns = {
        "rlnAngleRot": poses.rot_deg,
        "rlnAngleTilt": poses.tilt_deg,
        "rlnAnglePsi": poses.psi_deg,
        "rlnOriginXAngst": poses.origin_x_A,
        "rlnOriginYAngst": poses.origin_y_A,
    }
    for name in ("rlnOriginX", "rlnOriginY"):
        if name in table.columns:
            columns[name] = columns[f"{name}Angst"] / pixel_size_A
    old, new = "rlnHelicalTrackLength", "rlnHelicalTrackLengthAngst"
    if old in table.columns and new not in table.columns:
        columns[new] = table[old].to_numpy(dtype=np.float64) * pixel_size_A
    return columns


def image_names(
    paths: Sequence[Path],
    stack: NDArray[np.int32],
    section: NDArray[np.int64],
    folder: Path,
) -> pd.Series:
    """Return `000001@stack.mrcs` names that resolve from a folder.

    Parameters
    ----------
    paths : sequence of Path
        Stacks, absolute.
    stack : ndarray of int32, shape (n,)
        Index into `paths` for each image.
    section : ndarray of int64, shape (n,)
        Section of each image, from 0.
    folder : Path
        Output folder.

    Returns
    -------
    Series of str
        Image names.
    """
    names = np.array([_from_folder(path, folder) for path in paths], dtype=object)
    numbers = pd.Series(section + 1).astype(str).str.zfill(6)
    return numbers + "@" + pd.Series(names[stack])


def _from_folder(path: Path, folder: Path) -> str:
    """Return a path relative to a folder, or absolute where that is impossible."""
    try:
        return Path(os.path.relpath(path, folder.resolve())).as_posix()
    except ValueError:  # another drive on Windows
        return path.as_posix()
