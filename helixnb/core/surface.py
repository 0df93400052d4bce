"""A shaded picture of a map's surface, drawn by casting rays through it.

No graphics library is needed and nothing is fetched, so it works in any notebook: each
pixel follows its ray to the first crossing of the threshold, takes the gradient there
as the normal, and is lit from over the viewer's shoulder, darker with depth.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from helixnb.backend.raycast import cast_rays

_LIGHT = np.array([-0.35, 0.55, 0.76])


def rotation(azimuth_deg: float, tilt_deg: float) -> NDArray[np.float64]:
    """Return the axes of the view: to the right, up, and towards the viewer.

    Parameters
    ----------
    azimuth_deg : float
        Turn of the map about z, counter-clockwise seen from the tip of z.
    tilt_deg : float
        Then the tip of z leans towards the viewer.

    Returns
    -------
    ndarray of float64, shape (3, 3)
        Rows are the axes of the view in map coordinates (x, y, z).
    """
    a, b = np.deg2rad([azimuth_deg, tilt_deg])
    right = np.array([np.cos(a), -np.sin(a), 0.0])
    towards = np.array([-np.sin(a) * np.cos(b), -np.cos(a) * np.cos(b), np.sin(b)])
    return np.stack([right, np.cross(towards, right), towards])


def shaded_surface(
    volume: NDArray[np.float32],
    threshold: float,
    *,
    azimuth_deg: float = 0.0,
    tilt_deg: float = 0.0,
    size_px: int = 320,
) -> NDArray[np.float32]:
    """Draw the surface at a threshold in parallel projection.

    Parameters
    ----------
    volume : ndarray of float32, shape (box, box, box)
        Map (z, y, x); what is above the threshold is solid.
    threshold : float
        Density of the surface.
    azimuth_deg, tilt_deg : float
        Direction of view; see `rotation`.
    size_px : int
        Edge of the picture, pixels; it spans the box.

    Returns
    -------
    ndarray of float32, shape (size_px, size_px)
        Brightness in [0, 1], rows from bottom to top; NaN where no surface is.
    """
    axes = rotation(azimuth_deg, tilt_deg)
    light = _LIGHT / np.linalg.norm(_LIGHT)
    density = np.ascontiguousarray(volume, dtype=np.float32)
    radius = _radius_px(density.max(0) >= threshold)
    picture: NDArray[np.float32] = cast_rays(
        density, np.float32(threshold), radius, axes, axes.T @ light, size_px
    )
    return picture


def _radius_px(solid: NDArray[np.bool_]) -> float:
    """Radius about the axis that holds everything solid; rays outside are skipped."""
    place = np.argwhere(solid) - len(solid) // 2
    return float(np.hypot(*place.T).max()) + 2.0 if len(place) else 0.0
