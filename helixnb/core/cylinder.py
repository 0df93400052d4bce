"""Maps as azimuthal harmonics on a cylindrical Fourier grid, and back.

The Fourier transform of a map, written in cylindrical coordinates about the helix
axis, is F(R, theta, Z) = sum_n F_n(R, Z) exp(i n theta). A filament-frame slice at
any azimuth and tilt is then a gather from F_n and a phase (see `fan`), the helical
operator is a phase on (n, Z), and a cyclic group C_c leaves only n = 0 mod c: so the
whole refinement works on F_n and meets the Cartesian grid only to mask, compare and
write maps. Both directions are non-uniform FFTs (FINUFFT, doi:10.1137/18M120885X)
with the polar quadrature R dR dtheta, accurate to about 1e-4, with no gridding
correction left to estimate.

Conventions: volumes (z, y, x) with their centre at n // 2; unnormalised forward
transforms; R and Z in Fourier pixels of 1 / (box * pixel size); arrays laid out
(Z, R, m) with n = cyclic * m and m from -m_max to m_max.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from helixnb.backend import fourier, polar
from helixnb.backend.arrays import array_module

_Scalar = TypeVar("_Scalar", bound=np.generic)


@dataclass(frozen=True)
class CylinderGrid:
    """Sampling of F_n(R, Z) for one box, band limit and cyclic symmetry.

    Parameters
    ----------
    box_px : int
        Edge of the cubic map.
    k_max : int
        Largest |k| kept, Fourier pixels.
    m_max : int
        Largest harmonic index; orders are n = cyclic * m, |m| <= m_max.
    cyclic : int
        Order of the cyclic group about the axis.
    oversampling : int
        Samples per Fourier pixel along R and Z: 2 for references that are
        interpolated, 1 for accumulators.
    """

    box_px: int
    k_max: int
    m_max: int
    cyclic: int = 1
    oversampling: int = 1

    @property
    def n_z(self) -> int:
        """Number of samples of Z >= 0."""
        return self.oversampling * self.k_max + 1

    @property
    def n_r(self) -> int:
        """Number of samples of R >= 0."""
        return self.oversampling * self.k_max + 1

    @property
    def n_m(self) -> int:
        """Number of harmonics, 2 m_max + 1."""
        return 2 * self.m_max + 1

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape (n_z, n_r, n_m) of the harmonics."""
        return self.n_z, self.n_r, self.n_m

    @cached_property
    def orders(self) -> NDArray[np.int64]:
        """Azimuthal orders n of the last axis, shape (n_m,)."""
        return self.cyclic * np.arange(-self.m_max, self.m_max + 1)

    @cached_property
    def z(self) -> NDArray[np.float64]:
        """Axial frequencies, Fourier pixels, shape (n_z,)."""
        return np.arange(self.n_z) / self.oversampling

    @cached_property
    def r(self) -> NDArray[np.float64]:
        """Radial frequencies, Fourier pixels, shape (n_r,)."""
        return np.arange(self.n_r) / self.oversampling

    @cached_property
    def radius(self) -> NDArray[np.float64]:
        """|k| of each (Z, R), Fourier pixels, shape (n_z, n_r)."""
        return np.hypot(self.z[:, None], self.r[None, :])

    @property
    def n_theta(self) -> int:
        """Azimuthal samples over one sector of 360 / cyclic degrees."""
        return fourier.next_fast_len(2 * self.m_max + 2)

    @cached_property
    def _polar_points(self) -> polar.PolarPoints:
        """Polar samples of a plane across the axis."""
        n_turn = self.n_theta * self.cyclic
        return polar.PolarPoints(self.box_px, self.n_r, self.oversampling, n_turn)

    def planes_from_volume(self, volume: NDArray[np.float32]) -> NDArray[np.complex64]:
        """Harmonics of every z plane of a map, still in real space along z.

        Parameters
        ----------
        volume : ndarray of float32, shape (box, box, box)
            Map with the helix axis along z.

        Returns
        -------
        ndarray of complex64, shape (box, n_r, m_max + 1)
            Orders n >= 0 only: the planes are real, so
            rho_{-n} = (-1)^n conj(rho_n).
        """
        xp = array_module(volume)
        points = self._polar_points
        # Two real planes travel as one complex plane and are parted afterwards.
        even = len(volume) // 2
        packed = (volume[:even] + 1j * volume[even : 2 * even]).astype(np.complex64)
        if len(volume) % 2:
            last = volume[-1:].astype(np.complex64)
            packed = xp.concatenate([packed, last])
        samples = polar.sample(packed, points).reshape(
            len(packed), self.n_r, points.n_turn
        )
        harmonics = fourier.fft(samples, axis=-1, workers=-1) / points.n_turn
        keep = xp.asarray(self.cyclic * np.arange(self.m_max + 1))
        positive = harmonics[..., keep]
        # F_{-n} of a real plane is (-1)^n conj(F_n).
        mirrored = ((-1.0) ** keep) * xp.conj(harmonics[..., -keep])
        real = 0.5 * (positive + mirrored)
        imaginary = -0.5j * (positive - mirrored)
        planes = xp.concatenate([real[:even], imaginary[:even], real[even:]])
        return xp.ascontiguousarray(planes, dtype=np.complex64)

    def harmonics_from_planes(
        self, planes: NDArray[np.complex64]
    ) -> NDArray[np.complex64]:
        """Transform planes along z and fold orders n < 0 in.

        Parameters
        ----------
        planes : ndarray of complex64, shape (box, n_r, m_max + 1)
            From `planes_from_volume`.

        Returns
        -------
        ndarray of complex64, shape (n_z, n_r, n_m)
        """
        xp = array_module(planes)
        length = self.oversampling * self.box_px
        spectrum = fourier.fft(
            centre_to_corner(planes, length), axis=0, workers=-1
        )  # (length, n_r, m_max + 1), Z = index / oversampling
        sign = xp.asarray(((-1.0) ** self.orders[self.m_max :]).astype(np.float32))
        out = xp.empty(self.shape, np.complex64)
        out[..., self.m_max :] = spectrum[: self.n_z]
        # F_{-n}(R, Z) = (-1)^n conj(F_n(R, -Z)).
        negative_z = spectrum[-xp.arange(self.n_z)]
        out[..., self.m_max :: -1] = sign * xp.conj(negative_z)
        out[..., self.m_max] = spectrum[: self.n_z, :, 0]
        out[xp.asarray(self.radius > self.k_max)] = 0
        return out

    def from_volume(self, volume: NDArray[np.float32]) -> NDArray[np.complex64]:
        """Harmonics F_n(R, Z) of a map.

        Parameters
        ----------
        volume : ndarray of float32, shape (box, box, box)
            Map with the helix axis along z.

        Returns
        -------
        ndarray of complex64, shape (n_z, n_r, n_m)
        """
        return self.harmonics_from_planes(self.planes_from_volume(volume))

    def to_volume(self, harmonics: NDArray[np.complex64]) -> NDArray[np.float32]:
        """Map with the harmonics F_n(R, Z): the inverse of `from_volume`.

        Parameters
        ----------
        harmonics : ndarray of complex64, shape (n_z, n_r, n_m)
            F_n(R, Z) for Z >= 0.

        Returns
        -------
        ndarray of float32, shape (box, box, box)
        """
        xp = array_module(harmonics)
        box, points = self.box_px, self._polar_points
        n_turn = points.n_turn
        azimuthal = xp.zeros((self.n_z, self.n_r, n_turn), np.complex64)
        azimuthal[..., xp.asarray(self.orders % n_turn)] = harmonics
        samples = fourier.ifft(azimuthal, axis=-1, workers=-1) * n_turn
        step = 1.0 / self.oversampling
        area = self.r * step
        # Euler-Maclaurin corrections of the R integral at its end, where R F is odd.
        area[0] = step**2 * 11 / 120
        area[1] -= step**2 / 120
        area = area * (2 * np.pi / n_turn) / box**2
        samples = (samples * xp.asarray(area)[None, :, None]).astype(np.complex64)
        planes = polar.spread(samples.reshape(self.n_z, -1), points)  # (n_z, y, x)
        length = self.oversampling * box
        spectrum = xp.zeros((length // 2 + 1, box, box), np.complex64)
        used = min(self.n_z, len(spectrum))
        spectrum[:used] = planes[:used]
        real = fourier.irfft(spectrum, length, axis=0, workers=-1)
        return corner_to_centre(real, box).astype(np.float32)


def centre_to_corner(
    planes: NDArray[np.complex64], length: int
) -> NDArray[np.complex64]:
    """Zero-pad along axis 0 to `length` with the centre moved to index 0."""
    box = len(planes)
    half = box // 2
    out = array_module(planes).zeros((length, *planes.shape[1:]), planes.dtype)
    out[: box - half] = planes[half:]
    out[length - half :] = planes[:half]
    return out


def corner_to_centre(periodic: NDArray[_Scalar], box: int) -> NDArray[_Scalar]:
    """Crop axis 0 to `box`, the centre moved from index 0 to box // 2."""
    half, xp = box // 2, array_module(periodic)
    return xp.concatenate([periodic[len(periodic) - half :], periodic[: box - half]])
