"""A density that the user starts from, brought into the box of the images."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from helixnb.core.initial_model import placed
from helixnb.errors import InputError
from helixnb.io.mrc import read_map

if TYPE_CHECKING:
    import xarray as xr
    from numpy.typing import NDArray

    from helixnb.particles import ParticleSet

    AnyMap = str | os.PathLike[str] | NDArray[np.float32] | xr.DataArray


@dataclass(frozen=True)
class InitialMap:
    """A density to start from.

    Attributes
    ----------
    volume : ndarray of float32, shape (box, box, box)
        In the box and pixel size of the images.
    source : str or None
        The file it came from; None for an array.
    aligned : bool
        Whether its long axis was turned to z.
    """

    volume: NDArray[np.float32]
    source: str | None
    aligned: bool


def fitted_map(
    given: AnyMap | InitialMap, particles: ParticleSet, *, align_axis: bool
) -> InitialMap:
    """Read a map and resample it to the box and pixel size of the images.

    Parameters
    ----------
    given : path, ndarray, xarray.DataArray or InitialMap
        A map of any box and voxel size with the filament along z; an array without
        coordinates has the pixel size of the images.
    particles : ParticleSet
        Tell box and pixel size.
    align_axis : bool
        Turn the long axis of the density to z first.

    Returns
    -------
    InitialMap

    Raises
    ------
    InputError
        Not a cubic density, not finite, or constant.
    """
    if isinstance(given, InitialMap):
        return given
    source = None
    if isinstance(given, str | os.PathLike):
        source = str(Path(given).absolute())
    name = source or "The initial map"
    volume, voxel_A = _read(given, particles.pixel_size_A)
    if volume.ndim != 3 or len(set(volume.shape)) != 1:
        raise InputError(
            f"{name} has shape {volume.shape}; an initial map must be a cube (n, n, "
            "n): crop or pad it."
        )
    if not np.isfinite(volume).all():
        raise InputError(
            f"{name} holds values that are not finite. Give a map without them."
        )
    if np.ptp(volume) == 0:
        raise InputError(
            f"{name} is constant: there is no density to start from. Give another map, "
            "or none."
        )
    fitted = placed(
        volume,
        voxel_A,
        box_px=particles.box_px,
        pixel_size_A=particles.pixel_size_A,
        resolution_A=2 * max(voxel_A, particles.pixel_size_A),
        align_axis=align_axis,
    )
    return InitialMap(fitted, source, align_axis)


def _read(given: AnyMap, pixel_A: float) -> tuple[NDArray[np.float32], float]:
    """Values and voxel size of a map in any form."""
    if isinstance(given, str | os.PathLike):
        volume, voxel_A, _ = read_map(Path(given))
        return volume, voxel_A
    values = np.asarray(given, np.float32)
    place = getattr(given, "coords", {}).get("z")
    if place is not None and len(place) > 1:
        pixel_A = float(place[1] - place[0])
    return values, pixel_A
