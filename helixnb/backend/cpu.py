"""NumPy arrays with numba for the loops that matter on a CPU.

The kernels interpolate between Fourier grids (images into the filament frame,
harmonics into slices and back) and pool rows of the E-step. They are compiled once
and cached on disk, so a second process does not wait for compilation.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from types import ModuleType
from typing import TypeVar

import numpy as np
from numba import njit
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")

IMAGE_PADDING = 2
"""Zero-padding of images before they are turned."""

IMAGE_TAPS = 4
"""Width of the kernel that interpolates padded image transforms."""

FAN_TAPS = 6
"""Width of the windowed sinc between slices and cylindrical harmonics."""

_TABLE_STEPS = 1024
_IMAGE_BETA = 2.30 * IMAGE_TAPS


def image_kernel(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Exponential-of-semicircle kernel, exp(beta (sqrt(1 - (2x/w)^2) - 1)).

    Barnett, Magland, af Klinteberg 2019, doi:10.1137/18M120885X, eq. 1.8.

    Parameters
    ----------
    x : ndarray of float64
        Distance in samples of the padded transform.

    Returns
    -------
    ndarray of float64, same shape; 0 beyond `IMAGE_TAPS` / 2.
    """
    inside = np.clip(1 - (2 * x / IMAGE_TAPS) ** 2, 0, None)
    value = np.exp(_IMAGE_BETA * (np.sqrt(inside) - 1))
    return np.where(np.abs(x) <= IMAGE_TAPS / 2, value, 0.0)


def image_kernel_transform(position: NDArray[np.float64]) -> NDArray[np.float64]:
    """Fourier transform of `image_kernel`, by which padded images are divided.

    Parameters
    ----------
    position : ndarray of float64
        Real-space distance from the centre over the padded box, in (-0.5, 0.5).

    Returns
    -------
    ndarray of float64, same shape.
    """
    nodes, weights = np.polynomial.legendre.leggauss(64)
    x = nodes * IMAGE_TAPS / 2
    kernel = weights * image_kernel(x) * IMAGE_TAPS / 2
    return np.cos(2 * np.pi * position[..., None] * x) @ kernel


def _image_table() -> NDArray[np.float32]:
    """Kernel weights of the IMAGE_TAPS neighbours by fractional position."""
    fraction = np.arange(_TABLE_STEPS + 1) / _TABLE_STEPS
    offset = np.arange(IMAGE_TAPS) - (IMAGE_TAPS // 2 - 1)
    return image_kernel(fraction[:, None] - offset[None, :]).astype(np.float32)


def _sinc_table(taps: int) -> NDArray[np.float32]:
    """Kaiser-windowed sinc weights by fractional position; each row sums to 1."""
    fraction = np.arange(_TABLE_STEPS + 1) / _TABLE_STEPS
    offset = np.arange(taps) - (taps // 2 - 1)
    x = fraction[:, None] - offset[None, :]
    window = np.i0(4.0 * np.sqrt(np.clip(1 - (2 * x / taps) ** 2, 0, None)))
    weights = np.sinc(x) * window
    return (weights / weights.sum(1, keepdims=True)).astype(np.float32)


_IMAGE_TABLE = _image_table()
_FAN_TABLE = _sinc_table(FAN_TAPS)


class CPU:
    """NumPy backend; see `helixnb.backend.Backend`."""

    name = "cpu"
    xp: ModuleType = np

    @property
    def workers(self) -> int:
        """Processor cores this process may use."""
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (
            os.cpu_count() or 1
        )

    def map(
        self, function: Callable[[_Item], _Result], items: Iterable[_Item]
    ) -> Iterator[_Result]:
        """Apply a function to independent items on all cores, in order.

        Each worker computes in one thread (kernels, BLAS and FFTs leave the
        interpreter free), which keeps every core busy without synchronising inside
        a chunk. Results come in the order of the items whatever the number of
        cores, so that sums over them are reproducible, and only a few are held.

        Parameters
        ----------
        function : callable
        items : iterable

        Yields
        ------
        object
            `function(item)` for each item.
        """
        pending: deque[Future[_Result]] = deque()
        with (
            threadpool_limits(1),
            ThreadPoolExecutor(self.workers) as pool,
        ):
            for item in items:
                pending.append(pool.submit(function, item))
                if len(pending) > self.workers:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()

    def filament_frames(
        self,
        transforms: NDArray[np.complex64],
        image: NDArray[np.int32],
        psi_deg: NDArray[np.float64],
        contrast: NDArray[np.float64],
        whitening: NDArray[np.float32],
        k_max: int,
        spacing_per_A: float,
    ) -> tuple[NDArray[np.complex64], NDArray[np.float32]]:
        """Turn image transforms into the filament frame and weight them.

        Parameters
        ----------
        transforms : ndarray of complex64, shape (n_images, M, M // 2 + 1)
            Padded transforms from `images.padded_transforms`.
        image : ndarray of int32, shape (n_frames,)
            Image of each frame.
        psi_deg : ndarray of float64, shape (n_frames,)
            RELION psi that brings the filament upright.
        contrast : ndarray of float64, shape (n_images, 6)
            CTF coefficients from `ctf.coefficients`.
        whitening : ndarray of float32, shape (n_rows, n_columns)
            1 / noise power of each component, 0 where it is not used.
        k_max : int
            Resolution radius, Fourier pixels.
        spacing_per_A : float
            One Fourier pixel in 1/A.

        Returns
        -------
        data : ndarray of complex64, shape (n_rows, n_frames, n_columns)
            conj(X) C / noise power.
        power : ndarray of float32, same shape
            C^2 / noise power.
        """
        n_frames = len(image)
        shape = (k_max + 1, n_frames, 2 * k_max + 1)
        data = np.zeros(shape, np.complex64)
        power = np.zeros(shape, np.float32)
        _frames(
            transforms,
            image,
            np.deg2rad(psi_deg),
            contrast,
            whitening,
            k_max,
            spacing_per_A,
            _IMAGE_TABLE,
            data,
            power,
        )
        return data, power

    def gather_fan(
        self,
        harmonics: NDArray[np.complex64],
        oversampling: int,
        cyclic: int,
        tilt_offset_deg: float,
        k_max: int,
    ) -> NDArray[np.complex64]:
        """Harmonics of the slices at one tilt, interpolated from F_n(R, Z).

        A slice at azimuth phi and tilt 90 + d samples
        k = u e(phi) + v (cos d z + sin d e(phi - 90 deg)), so
        H_n(v, u) = F_n(hypot(u, v sin d), v cos d) exp(i n beta),
        beta = atan2(-v sin d, u).

        Parameters
        ----------
        harmonics : ndarray of complex64, shape (n_z, n_r, n_m)
        oversampling : int
            Samples per Fourier pixel of `harmonics`.
        cyclic : int
            Azimuthal orders are cyclic * m.
        tilt_offset_deg : float
            d, out-of-plane tilt minus 90.
        k_max : int
            Resolution radius of the slices.

        Returns
        -------
        ndarray of complex64, shape (n_rows, n_columns, n_m)
        """
        shape = (k_max + 1, 2 * k_max + 1, harmonics.shape[2])
        fan = np.zeros(shape, np.complex64)
        _gather(
            harmonics,
            oversampling,
            cyclic,
            np.deg2rad(tilt_offset_deg),
            k_max,
            _FAN_TABLE,
            fan,
        )
        return fan

    def scatter_fan(
        self,
        accumulator: NDArray[np.complex64],
        fan: NDArray[np.complex64],
        cyclic: int,
        tilt_offset_deg: float,
    ) -> None:
        """Add slice harmonics at one tilt to the accumulator, in place.

        Parameters
        ----------
        accumulator : ndarray of complex64, shape (k_max + 1, k_max + 1, n_m)
            F_n(R, Z) at one sample per Fourier pixel.
        fan : ndarray of complex64, shape (k_max + 1, 2 k_max + 1, n_m)
        cyclic : int
            Azimuthal orders are cyclic * m.
        tilt_offset_deg : float
            Out-of-plane tilt minus 90.
        """
        _scatter(
            accumulator,
            fan,
            cyclic,
            np.deg2rad(tilt_offset_deg),
            _FAN_TABLE,
        )

    def pool_rows(
        self,
        amplitudes: NDArray[np.complex64],
        harmonic: NDArray[np.int32],
        row_phase: NDArray[np.complex64],
        n_harmonics: int,
    ) -> NDArray[np.complex64]:
        """Azimuthal spectra of the score for every axial shift.

        L(phi, s) = Re sum_p a_p exp(i m_p phi - 2 pi i v_p s / D) as the half
        spectrum that `irfft` without scaling turns into L.

        Parameters
        ----------
        amplitudes : ndarray of complex64, shape (n, n_pairs)
        harmonic : ndarray of int32, shape (n_pairs,)
            Signed harmonic index m of each pair.
        row_phase : ndarray of complex64, shape (n_pairs, n_shifts)
        n_harmonics : int
            m_max + 1.

        Returns
        -------
        ndarray of complex64, shape (n, n_shifts, n_harmonics)
        """
        n_shifts = row_phase.shape[1]
        spectra = np.zeros((len(amplitudes), n_shifts, n_harmonics), np.complex64)
        _pool(amplitudes, harmonic, row_phase.T.copy(), spectra)
        return spectra

    def shifted_frames(
        self,
        data: NDArray[np.complex64],
        frame: NDArray[np.int64],
        phase: NDArray[np.complex64],
        shift: NDArray[np.int32],
    ) -> NDArray[np.complex64]:
        """Copy frames and move each across the filament.

        Parameters
        ----------
        data : ndarray of complex64, shape (n_rows, n_frames, n_columns)
        frame : ndarray of int64, shape (n,)
        phase : ndarray of complex64, shape (n_shifts, n_columns)
        shift : ndarray of int32, shape (n,)

        Returns
        -------
        ndarray of complex64, shape (n_rows, n, n_columns)
        """
        out = np.empty((data.shape[0], len(frame), data.shape[2]), np.complex64)
        _shift(data, frame, phase, shift, out)
        return out

    def weigh_tables(
        self,
        tables: NDArray[np.float32],
        messages: NDArray[np.float32],
        state: NDArray[np.int32],
    ) -> NDArray[np.float64]:
        """Sum of each table times the message of its state.

        Parameters
        ----------
        tables : ndarray of float32, shape (n, n_axial, n_azimuth)
        messages : ndarray of float32, shape (..., n_axial, n_azimuth)
        state : ndarray of int32, shape (n,)
            Index into the leading axes of `messages`, flattened.

        Returns
        -------
        ndarray of float64, shape (n,)
        """
        size = tables[0].size
        mass = np.empty(len(tables))
        _weigh(tables.reshape(-1, size), messages.reshape(-1, size), state, mass)
        return mass


@njit(nogil=True, fastmath=True, cache=True)
def _frames(  # type: ignore[no-untyped-def]
    transforms, image, psi, contrast, whitening, k_max, spacing, table, data, power
):
    """Gather with the image kernel; negative kx come from the conjugate half."""
    size = transforms.shape[1]
    padding = 2.0
    steps = table.shape[0] - 1
    taps = table.shape[1]
    for f in range(len(image)):
        source = transforms[image[f]]
        mean, half, azimuth, k2, k4, constant = contrast[image[f]]
        sin_psi, cos_psi = np.sin(psi[f]), np.cos(psi[f])
        for v in range(k_max + 1):
            for column in range(2 * k_max + 1):
                weight = whitening[v, column]
                if weight == 0:
                    continue
                u = column - k_max
                kx = sin_psi * u - cos_psi * v
                ky = cos_psi * u + sin_psi * v
                s2 = (kx * kx + ky * ky) * spacing * spacing
                angle = np.arctan2(ky, kx) - azimuth
                defocus = mean + half * np.cos(2 * angle)
                ctf = np.sin(k2 * defocus * s2 - k4 * s2 * s2 + constant)
                conjugate = kx < 0
                if conjugate:
                    kx, ky = -kx, -ky
                x0 = int(np.floor(kx * padding))
                y0 = int(np.floor(ky * padding))
                wx = table[int((kx * padding - x0) * steps + 0.5)]
                wy = table[int((ky * padding - y0) * steps + 0.5)]
                re, im = np.float32(0), np.float32(0)
                for j in range(taps):
                    y = y0 + j - (taps // 2 - 1)
                    row = y if y >= 0 else y + size
                    mirror = -y if y <= 0 else size - y
                    for i in range(taps):
                        x = x0 + i - (taps // 2 - 1)
                        w = wx[i] * wy[j]
                        if x >= 0:
                            value = source[row, x]
                            im += w * value.imag
                        else:
                            value = source[mirror, -x]
                            im -= w * value.imag
                        re += w * value.real
                if conjugate:
                    im = -im
                scale = np.float32(ctf * weight)
                data[v, f, column] = complex(re * scale, -im * scale)
                power[v, f, column] = np.float32(ctf * ctf * weight)


@njit(nogil=True, fastmath=True, cache=True)
def _turn(values, step, m_max):  # type: ignore[no-untyped-def]
    """Multiply values[m] by step**(m - m_max), in place, by recurrence."""
    up = complex(1.0, 0.0)
    down = complex(1.0, 0.0)
    for m in range(1, m_max + 1):
        up *= step
        down *= np.conj(step)
        values[m_max + m] *= up
        values[m_max - m] *= down


@njit(nogil=True, fastmath=True, cache=True)
def _gather(  # type: ignore[no-untyped-def]
    harmonics, oversampling, cyclic, tilt, k_max, table, fan
):
    """Windowed sinc along Z, then along R, then the phase exp(i n beta)."""
    n_z, n_r, n_m = harmonics.shape
    m_max = n_m // 2
    steps = table.shape[0] - 1
    taps = table.shape[1]
    for v in range(k_max + 1):
        z = v * np.cos(tilt) * oversampling
        z0 = int(np.floor(z))
        wz = table[int((z - z0) * steps + 0.5)]
        plane = np.zeros((n_r, n_m), np.complex64)
        for j in range(taps):
            zj = z0 + j - (taps // 2 - 1)
            w = wz[j]
            if w == 0 or abs(zj) >= n_z:
                continue
            for r in range(n_r):
                source = harmonics[abs(zj), r]
                if zj >= 0:
                    for m in range(n_m):
                        plane[r, m] += w * source[m]
                else:
                    # F_n(R, -Z) = (-1)^n conj(F_{-n}(R, Z)).
                    for m in range(n_m):
                        sign = 1 - 2 * (((m - m_max) * cyclic) & 1)
                        plane[r, m] += w * sign * np.conj(source[n_m - 1 - m])
        for column in range(2 * k_max + 1):
            u = column - k_max
            if u * u + v * v > k_max * k_max:
                continue
            lateral = -v * np.sin(tilt)
            radius = np.hypot(u, lateral) * oversampling
            r0 = int(np.floor(radius))
            wr = table[int((radius - r0) * steps + 0.5)]
            out = fan[v, column]
            for i in range(taps):
                ri = r0 + i - (taps // 2 - 1)
                w = wr[i]
                if w == 0 or abs(ri) >= n_r:
                    continue
                source = plane[abs(ri)]
                if ri >= 0:
                    for m in range(n_m):
                        out[m] += w * source[m]
                else:
                    # F_n(-R, Z) = (-1)^n F_n(R, Z).
                    for m in range(n_m):
                        sign = 1 - 2 * (((m - m_max) * cyclic) & 1)
                        out[m] += w * sign * source[m]
            beta = np.arctan2(lateral, u) * cyclic
            _turn(out, complex(np.cos(beta), np.sin(beta)), m_max)


@njit(nogil=True, fastmath=True, cache=True)
def _scatter(accumulator, fan, cyclic, tilt, table):  # type: ignore[no-untyped-def]
    """Transpose of `_gather`: rows along R in parallel, then along Z by order."""
    n_z, n_r, n_m = accumulator.shape
    k_max = n_z - 1
    m_max = n_m // 2
    steps = table.shape[0] - 1
    taps = table.shape[1]
    planes = np.zeros((k_max + 1, n_r, n_m), np.complex64)
    for v in range(k_max + 1):
        plane = planes[v]
        turned = np.empty(n_m, np.complex64)
        for column in range(2 * k_max + 1):
            u = column - k_max
            if u * u + v * v > k_max * k_max:
                continue
            lateral = -v * np.sin(tilt)
            radius = np.hypot(u, lateral)
            r0 = int(np.floor(radius))
            wr = table[int((radius - r0) * steps + 0.5)]
            beta = -np.arctan2(lateral, u) * cyclic
            turned[:] = fan[v, column]
            _turn(turned, complex(np.cos(beta), np.sin(beta)), m_max)
            for i in range(taps):
                ri = r0 + i - (taps // 2 - 1)
                w = wr[i]
                if w == 0 or abs(ri) >= n_r:
                    continue
                target = plane[abs(ri)]
                if ri >= 0:
                    for m in range(n_m):
                        target[m] += w * turned[m]
                else:
                    for m in range(n_m):
                        sign = 1 - 2 * (((m - m_max) * cyclic) & 1)
                        target[m] += w * sign * turned[m]
    for r in range(n_r):
        for v in range(k_max + 1):
            z = v * np.cos(tilt)
            z0 = int(np.floor(z))
            wz = table[int((z - z0) * steps + 0.5)]
            source = planes[v, r]
            for j in range(taps):
                zj = z0 + j - (taps // 2 - 1)
                w = wz[j]
                if w == 0 or abs(zj) >= n_z:
                    continue
                target = accumulator[abs(zj), r]
                if zj >= 0:
                    for m in range(n_m):
                        target[m] += w * source[m]
                else:
                    for m in range(n_m):
                        sign = 1 - 2 * (((m - m_max) * cyclic) & 1)
                        target[m] += w * sign * np.conj(source[n_m - 1 - m])


@njit(nogil=True, fastmath=True, cache=True)
def _pool(amplitudes, harmonic, phase, spectra):  # type: ignore[no-untyped-def]
    """Add a_p exp(-i x) / 2 at |m|, conjugated for m < 0, and whole at m = 0."""
    for row in range(len(amplitudes)):
        for s in range(len(phase)):
            out = spectra[row, s]
            turn = phase[s]
            for p in range(len(harmonic)):
                m = harmonic[p]
                value = amplitudes[row, p] * turn[p]
                if m > 0:
                    out[m] += np.float32(0.5) * value
                elif m < 0:
                    out[-m] += np.float32(0.5) * np.conj(value)
                else:
                    out[0] += value


@njit(nogil=True, fastmath=True, cache=True)
def _shift(data, frame, phase, shift, out):  # type: ignore[no-untyped-def]
    """out[v, i] = data[v, frame[i]] * phase[shift[i]]."""
    n_columns = data.shape[2]
    for row in range(data.shape[0]):
        for i in range(len(frame)):
            source = data[row, frame[i]]
            turn = phase[shift[i]]
            for column in range(n_columns):
                out[row, i, column] = source[column] * turn[column]


@njit(nogil=True, fastmath=True, cache=True)
def _weigh(tables, messages, state, mass):  # type: ignore[no-untyped-def]
    """Dot product of each table with its message, double-precision partial sums."""
    size = tables.shape[1]
    for i in range(len(tables)):
        table = tables[i]
        message = messages[state[i]]
        total = 0.0
        for first in range(0, size, 64):
            part = np.float32(0)
            for j in range(first, min(first + 64, size)):
                part += table[j] * message[j]
            total += part
        mass[i] = total
