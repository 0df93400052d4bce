"""The plain forms that the fast paths must equal: loops, float64 sums, no tricks.

Densities are sums of Gaussian blobs, so that maps, their Fourier transforms, their
projections and their symmetry are all known in closed form. Nothing here calls the
package.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float64]


def blobs(points_px: Float, box_px: int, sigma_px: float = 1.5) -> NDArray[np.float32]:
    """Map (z, y, x) of unit Gaussians at points (x, y, z) from the box centre."""
    axis = np.arange(box_px) - box_px // 2
    x, y, z = (
        np.exp(-((axis - p[:, None]) ** 2) / (2 * sigma_px**2))
        for p in np.asarray(points_px, float).T
    )
    density = np.einsum("pz,py,px->zyx", z, y, x, optimize=True)
    return np.ascontiguousarray(density, dtype=np.float32)


def turned(points_px: Float, angle_deg: float, climb_px: float = 0.0) -> Float:
    """Points turned about z by an angle (counter-clockwise) and moved along z."""
    c, s = np.cos(np.deg2rad(angle_deg)), np.sin(np.deg2rad(angle_deg))
    matrix = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])
    return np.asarray(points_px) @ matrix.T + np.array([0.0, 0.0, climb_px])


def helix(
    unit_px: Float,
    twist_deg: float,
    rise_px: float,
    reach_px: float,
    cyclic: int = 1,
) -> Float:
    """All symmetry copies of some points whose origins lie within `reach_px`."""
    n = int(reach_px / rise_px)
    copies = [
        turned(unit_px, k * twist_deg + j * 360 / cyclic, k * rise_px)
        for k in range(-n, n + 1)
        for j in range(cyclic)
    ]
    return np.concatenate(copies)


def transform(volume: NDArray[np.floating], k: Float) -> NDArray[np.complex128]:
    """Direct transform sum rho exp(-2 pi i k r / D) of a map at any k = (x, y, z)."""
    box = len(volume)
    axis = np.arange(box) - box // 2
    flat = np.asarray(k, float).reshape(-1, 3)
    ex, ey, ez = (np.exp(-2j * np.pi * np.outer(c, axis) / box) for c in flat.T)
    columns = np.asarray(volume, float).reshape(-1, box) @ ex.T
    columns = columns.reshape(box, box, -1)
    value = np.einsum("zyk,ky,kz->k", columns, ey, ez, optimize=True)
    return value.reshape(np.shape(k)[:-1])


def image_transform(
    image: NDArray[np.floating], kx: Float, ky: Float
) -> NDArray[np.complex128]:
    """Direct transform of an image (y, x) about n // 2 at any frequency."""
    box = len(image)
    axis = np.arange(box) - box // 2
    ex = np.exp(-2j * np.pi * np.outer(np.ravel(kx), axis) / box)
    ey = np.exp(-2j * np.pi * np.outer(np.ravel(ky), axis) / box)
    value = np.einsum("yx,kx,ky->k", np.asarray(image, float), ex, ey, optimize=True)
    return value.reshape(np.shape(kx))


def slice_points(
    azimuth_deg: float, tilt_offset_deg: float, v: Float, u: Float
) -> Float:
    """Points k = u e(phi) + v (cos d z + sin d (sin phi, -cos phi)), shape (..., 3)."""
    phi, d = np.deg2rad(azimuth_deg), np.deg2rad(tilt_offset_deg)
    across = np.array([np.cos(phi), np.sin(phi), 0.0])
    along = np.array([np.sin(d) * np.sin(phi), -np.sin(d) * np.cos(phi), np.cos(d)])
    return np.multiply.outer(np.asarray(u, float), across) + np.multiply.outer(
        np.asarray(v, float), along
    )


def euler_matrix(rot_deg: float, tilt_deg: float, psi_deg: float) -> Float:
    """RELION's matrix A: a point r of the map appears at A r in the image."""
    a, b, g = np.deg2rad([rot_deg, tilt_deg, psi_deg])

    def about_z(angle: float) -> Float:
        c, s = np.cos(angle), np.sin(angle)
        return np.array([[c, s, 0], [-s, c, 0], [0, 0, 1]])

    about_y = np.array(
        [[np.cos(b), 0, -np.sin(b)], [0, 1, 0], [np.sin(b), 0, np.cos(b)]]
    )
    return about_z(g) @ about_y @ about_z(a)


def projection(
    points_px: Float,
    box_px: int,
    angles_deg: tuple[float, float, float],
    origin_px: tuple[float, float] = (0.0, 0.0),
    sigma_px: float = 1.5,
) -> NDArray[np.float64]:
    """Image (y, x) of `blobs`, whose origins bring the particle to the centre."""
    placed = np.asarray(points_px) @ euler_matrix(*angles_deg).T
    axis = np.arange(box_px) - box_px // 2
    x, y = (
        np.exp(-((axis + origin_px[i] - placed[:, i, None]) ** 2) / (2 * sigma_px**2))
        for i in (0, 1)
    )
    return np.sqrt(2 * np.pi) * sigma_px * np.einsum("py,px->yx", y, x)


def contrast(
    kx_per_A: Float,
    ky_per_A: Float,
    *,
    defocus_u_A: float,
    defocus_v_A: float,
    angle_deg: float,
    voltage_kV: float = 300.0,
    cs_mm: float = 2.7,
    amplitude: float = 0.1,
    phase_shift_deg: float = 0.0,
) -> Float:
    """Textbook CTF, positive at low frequency for underfocus of white protein."""
    # h / sqrt(2 m e V (1 + e V / 2 m c^2)) in SI units, then in Angstrom.
    h, m, e, c = 6.62607015e-34, 9.1093837015e-31, 1.602176634e-19, 299792458.0
    volt = 1e3 * voltage_kV
    wavelength = 1e10 * h / np.sqrt(2 * m * e * volt * (1 + e * volt / (2 * m * c**2)))
    s = np.hypot(kx_per_A, ky_per_A)
    towards = np.arctan2(ky_per_A, kx_per_A) - np.deg2rad(angle_deg)
    defocus = defocus_u_A * np.cos(towards) ** 2 + defocus_v_A * np.sin(towards) ** 2
    chi = (
        np.pi * wavelength * defocus * s**2
        - np.pi / 2 * (cs_mm * 1e7) * wavelength**3 * s**4
        + np.deg2rad(phase_shift_deg)
    )
    return np.sqrt(1 - amplitude**2) * np.sin(chi) + amplitude * np.cos(chi)


def relative_error(found: NDArray, expected: NDArray) -> float:
    """Largest deviation over the largest expected magnitude."""
    return float(np.abs(found - expected).max() / np.abs(expected).max())


def rms_error(found: NDArray, expected: NDArray) -> float:
    """Root mean square deviation over the root mean square expected."""
    found, expected = np.asarray(found), np.asarray(expected)
    return float(np.linalg.norm(found - expected) / np.linalg.norm(expected))
