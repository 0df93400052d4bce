"""A mask that the user gives: read, checked against the particles, kept as it is."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from helixnb.errors import InputError
from helixnb.io.mrc import read_map

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from helixnb.particles import ParticleSet

log = logging.getLogger("helixnb")

_PIXEL_TOLERANCE = 0.01
_RANGE_TOLERANCE = 1e-3


@dataclass(frozen=True)
class StaticMask:
    """A static mask and where it came from.

    Attributes
    ----------
    volume : ndarray of float32, shape (box, box, box)
        Values from 0 to 1.
    source : str
        Its file; empty for an array.
    """

    volume: NDArray[np.float32]
    source: str


def static_mask(
    mask: str | os.PathLike[str] | ArrayLike, particles: ParticleSet
) -> StaticMask:
    """Read a mask and check that it fits the particles.

    Parameters
    ----------
    mask : path or array, shape (box, box, box)
        MRC map, or the values themselves.
    particles : ParticleSet
        Tell the box and the pixel size.

    Returns
    -------
    StaticMask

    Raises
    ------
    InputError
        Another box or pixel size, values that are not finite or outside 0 to 1, or a
        mask that keeps nothing.
    """
    if isinstance(mask, str | os.PathLike):
        name, source = str(mask), str(Path(mask).absolute())
        volume, pixel_A, _ = read_map(Path(mask))
        if abs(pixel_A / particles.pixel_size_A - 1) > _PIXEL_TOLERANCE:
            raise InputError(
                f"{name} has voxels of {pixel_A:g} A, the particles have pixels of "
                f"{particles.pixel_size_A:g} A. Resample the mask."
            )
    else:
        name, source = "The mask", ""
        volume = np.array(mask, np.float32)
    box = particles.box_px
    if volume.shape != (box, box, box):
        shape = " x ".join(str(n) for n in volume.shape) or "no"
        raise InputError(
            f"{name} has {shape} voxels, the particles have a box of {box} px: a mask "
            f"needs {box} x {box} x {box} voxels. Crop or pad it."
        )
    _check_values(name, volume)
    return StaticMask(np.clip(volume, 0, 1), source)


def _check_values(name: str, volume: NDArray[np.float32]) -> None:
    """Refuse what is no mask; warn of hard edges."""
    unusable = int((~np.isfinite(volume)).sum())
    if unusable:
        raise InputError(
            f"{name}: {unusable} voxels are NaN or infinite. Make the mask again."
        )
    low, high = float(volume.min()), float(volume.max())
    if low < -_RANGE_TOLERANCE or high > 1 + _RANGE_TOLERANCE:
        raise InputError(
            f"{name} has values from {low:g} to {high:g}; a mask goes from 0 to 1. "
            "Make one from the map, for example with relion_mask_create."
        )
    if high < 0.5:
        raise InputError(
            f"{name} keeps nothing: its largest value is {high:g}. A mask is 1 where "
            "density is kept."
        )
    if not ((volume > 0.01) & (volume < 0.99)).any() and low < 0.5:
        log.warning(
            "%s has hard edges, which ring in Fourier space: give it a soft edge of "
            "five voxels or more",
            name,
        )
