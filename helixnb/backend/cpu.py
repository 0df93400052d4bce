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
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from helixnb.backend import kernels

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
    weights: NDArray[np.float64] = np.sinc(x) * window
    weights /= weights.sum(1, keepdims=True)
    return weights.astype(np.float32)


_IMAGE_TABLE = _image_table()
_FAN_TABLE = _sinc_table(FAN_TAPS)


class CPU:
    """NumPy backend; see `helixnb.backend.Backend`."""

    name = "cpu"
    xp: ModuleType = np

    @property
    def workers(self) -> int:
        """Processor cores this process may use."""
        return (
            len(os.sched_getaffinity(0))
            if hasattr(os, "sched_getaffinity")
            else (os.cpu_count() or 1)
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
            Takes one item; called from several threads.
        items : iterable
            Taken only a few ahead of the results.

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
        kernels.turn_frames(
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
            F_n(R, Z) of the reference.
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
        kernels.gather(
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
            Slice harmonics to add.
        cyclic : int
            Azimuthal orders are cyclic * m.
        tilt_offset_deg : float
            Out-of-plane tilt minus 90.
        """
        kernels.scatter(
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
            a_p of each cell.
        harmonic : ndarray of int32, shape (n_pairs,)
            Signed harmonic index m of each pair.
        row_phase : ndarray of complex64, shape (n_pairs, n_shifts)
            exp(-2 pi i v_p s / D).
        n_harmonics : int
            m_max + 1.

        Returns
        -------
        ndarray of complex64, shape (n, n_shifts, n_harmonics)
        """
        n_shifts = row_phase.shape[1]
        spectra = np.zeros((len(amplitudes), n_shifts, n_harmonics), np.complex64)
        kernels.pool(amplitudes, harmonic, row_phase, spectra)
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
            Filament-frame data.
        frame : ndarray of int64, shape (n,)
            Frame to copy.
        phase : ndarray of complex64, shape (n_shifts, n_columns)
            Factor of each column at each shift.
        shift : ndarray of int32, shape (n,)
            Row of `phase` by which the copy is multiplied.

        Returns
        -------
        ndarray of complex64, shape (n_rows, n, n_columns)
        """
        out = np.empty((data.shape[0], len(frame), data.shape[2]), np.complex64)
        kernels.shift(data, frame, phase, shift, out)
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
            Likelihood of each cell over axial shift and azimuth.
        messages : ndarray of float32, shape (..., n_axial, n_azimuth)
            Weight of each axial shift and azimuth, by state.
        state : ndarray of int32, shape (n,)
            Index into the leading axes of `messages`, flattened.

        Returns
        -------
        ndarray of float64, shape (n,)
        """
        size = tables[0].size
        mass = np.empty(len(tables))
        kernels.weigh(tables.reshape(-1, size), messages.reshape(-1, size), state, mass)
        return mass
