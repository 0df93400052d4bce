"""Compiled loop that follows parallel rays through a map to its surface.

Each pixel goes along its ray from the viewer inwards, to the first crossing of the
threshold, and is lit by the gradient there. `helixnb.core.surface` sets up the view.
"""

from __future__ import annotations

import numpy as np
from numba import njit, prange

_STEP_PX = 0.8
_AMBIENT = 0.25


@njit(nogil=True, parallel=True, fastmath={"contract", "arcp"}, cache=True)
def cast_rays(volume, threshold, radius, axes, light, size):  # type: ignore[no-untyped-def]
    """Draw what every ray meets first.

    Parameters
    ----------
    volume : ndarray of float32, shape (box, box, box)
        Map (z, y, x).
    threshold : float32
        Density of the surface.
    radius : float
        Cylinder about z that holds all that is solid, pixels.
    axes : ndarray of float64, shape (3, 3)
        Rows: to the right, up and towards the viewer, as (x, y, z).
    light : ndarray of float64, shape (3,)
        Unit vector towards the light, as (x, y, z).
    size : int
        Edge of the picture, pixels; it spans the box.

    Returns
    -------
    ndarray of float32, shape (size, size)
        Brightness in [0, 1], rows from bottom to top; NaN where no surface is.
    """
    box = volume.shape[0]
    centre = box // 2
    right, up, towards = axes[0], axes[1], axes[2]
    picture = np.full((size, size), np.nan, np.float32)
    for row in prange(size):
        height = (row + 0.5 - size / 2) * box / size
        for column in range(size):
            across = (column + 0.5 - size / 2) * box / size
            x0 = across * right[0] + height * up[0]
            y0 = across * right[1] + height * up[1]
            z0 = across * right[2] + height * up[2]
            near, far = _in_cylinder(x0, y0, z0, towards, radius, box / 2)
            before = np.float32(0)
            d = near
            while d > far:
                here = _density(
                    volume,
                    centre + x0 + d * towards[0],
                    centre + y0 + d * towards[1],
                    centre + z0 + d * towards[2],
                )
                if here >= threshold:
                    # The surface lies between this step and the one before.
                    back = (here - threshold) / max(here - before, np.float32(1e-12))
                    d += _STEP_PX * min(back, np.float32(1))
                    x = centre + x0 + d * towards[0]
                    y = centre + y0 + d * towards[1]
                    z = centre + z0 + d * towards[2]
                    depth = d / max(radius, 1.0)
                    picture[row, column] = _brightness(volume, x, y, z, light, depth)
                    break
                before = here
                d -= _STEP_PX
    return picture


@njit(nogil=True, inline="always", cache=True)
def _in_cylinder(x, y, z, towards, radius, half):  # type: ignore[no-untyped-def]
    """Range of distances, near to far, in which a ray is inside the cylinder."""
    near, far = 4 * half, -4 * half
    a = towards[0] ** 2 + towards[1] ** 2
    b = x * towards[0] + y * towards[1]
    c = x * x + y * y - radius * radius
    if a > 1e-9:
        root = b * b - a * c
        if root < 0:
            return 0.0, 0.0
        near, far = (-b + np.sqrt(root)) / a, (-b - np.sqrt(root)) / a
    elif c > 0:
        return 0.0, 0.0
    if abs(towards[2]) > 1e-9:
        ends = (half - z) / towards[2], (-half - z) / towards[2]
        near, far = min(near, max(ends)), max(far, min(ends))
    elif abs(z) > half:
        return 0.0, 0.0
    return near, far


@njit(nogil=True, inline="always", cache=True)
def _brightness(volume, x, y, z, light, depth):  # type: ignore[no-untyped-def]
    """Ambient and diffuse light on the surface, fading away from the viewer."""
    gx = _density(volume, x - 1, y, z) - _density(volume, x + 1, y, z)
    gy = _density(volume, x, y - 1, z) - _density(volume, x, y + 1, z)
    gz = _density(volume, x, y, z - 1) - _density(volume, x, y, z + 1)
    length = np.sqrt(gx * gx + gy * gy + gz * gz) + 1e-20
    facing = (gx * light[0] + gy * light[1] + gz * light[2]) / length
    lit = _AMBIENT + (1 - _AMBIENT) * max(facing, 0.0)
    return np.float32(lit * min(1.0, 0.78 + 0.22 * depth))


@njit(nogil=True, inline="always", cache=True)
def _density(volume, x, y, z):  # type: ignore[no-untyped-def]
    """Trilinear interpolation; 0 outside the box."""
    box = volume.shape[0]
    i, j, k = int(np.floor(x)), int(np.floor(y)), int(np.floor(z))
    if i < 0 or j < 0 or k < 0 or i >= box - 1 or j >= box - 1 or k >= box - 1:
        return np.float32(0)
    u, v, w = np.float32(x - i), np.float32(y - j), np.float32(z - k)
    a = volume[k, j, i] * (1 - u) + volume[k, j, i + 1] * u
    b = volume[k, j + 1, i] * (1 - u) + volume[k, j + 1, i + 1] * u
    c = volume[k + 1, j, i] * (1 - u) + volume[k + 1, j, i + 1] * u
    d = volume[k + 1, j + 1, i] * (1 - u) + volume[k + 1, j + 1, i + 1] * u
    near = a * (1 - v) + b * v
    far = c * (1 - v) + d * v
    return near * (1 - w) + far * w
