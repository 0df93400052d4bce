"""Soft masks for filaments: cylinders with a clipped axial extent."""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from helixnb.backend.arrays import array_module

_Float = TypeVar("_Float", bound=np.floating)

FILAMENT_EDGE_A = 8.0
"""Width of the soft edge of a filament across its axis."""

AXIAL_EDGE = 0.1
"""Width of soft ends along the axis, over the length of the map."""


def soft_step(distance: NDArray[_Float], edge: float) -> NDArray[_Float]:
    """Cosine edge: 1 where distance <= 0, 0 beyond `edge`.

    Parameters
    ----------
    distance : ndarray of float
        Signed distance outside the region.
    edge : float
        Width of the edge, same unit, > 0.

    Returns
    -------
    ndarray, same shape and type
    """
    xp = array_module(distance)
    part = xp.clip(distance / distance.dtype.type(edge), 0, 1)
    step: NDArray[_Float] = 0.5 * (1 + xp.cos(np.pi * part))
    return step


def axial_window(box_px: int, fraction: float, edge_px: float) -> NDArray[np.float32]:
    """Keep the central fraction of the axis, with soft ends inside the box.

    Parameters
    ----------
    box_px : int
        Length of the axis, pixels.
    fraction : float
        Part of the box kept at half height.
    edge_px : float
        Width of each soft end.

    Returns
    -------
    ndarray of float32, shape (box_px,)
    """
    z = np.abs(np.arange(box_px) - box_px // 2)
    inner = fraction * box_px / 2 - edge_px / 2
    return soft_step(z - inner, edge_px).astype(np.float32)


def cylinder(
    box_px: int,
    *,
    outer_radius_px: float,
    inner_radius_px: float = 0.0,
    axial_fraction: float = 1.0,
    edge_px: float = 5.0,
    axial_edge_px: float = 5.0,
    xp: Any = np,
) -> NDArray[np.float32]:
    """Soft hollow cylinder about the helix axis.

    Parameters
    ----------
    box_px : int
        Edge of the map, pixels.
    outer_radius_px, inner_radius_px : float
        Radii at which the mask is still 1.
    axial_fraction : float
        Central part of the axis kept; 1 leaves the axis unmasked.
    edge_px, axial_edge_px : float
        Widths of the cosine edges across and along the axis.
    xp : module
        Array module of the result.

    Returns
    -------
    ndarray of float32, shape (box_px, box_px, box_px)
    """
    axis = np.arange(box_px) - box_px // 2
    radius = np.hypot(axis[:, None], axis[None, :])
    section = soft_step(radius - outer_radius_px, edge_px)
    if inner_radius_px > 0:
        section = section * soft_step(inner_radius_px - radius, edge_px)
    along = (
        axial_window(box_px, axial_fraction, axial_edge_px)
        if axial_fraction < 1
        else np.ones(box_px, np.float32)
    )
    across = xp.asarray(section.astype(np.float32))
    mask: NDArray[np.float32] = xp.asarray(along)[:, None, None] * across
    return mask
