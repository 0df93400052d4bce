"""The backend's loops on a CPU: array expressions, and numba where those are slow.

The compiled loops (`kernels`) interpolate between Fourier grids (images into the
filament frame, harmonics into slices and back) and move tables of the E-step; they are
cached on disk, so a second process does not wait for compilation. What each function
means is said here, for every device.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from helixnb.backend import interpolation, kernels, turning
from helixnb.backend.products import Products

NEGLIGIBLE = np.float32(-80.0)
"""Logarithm that single precision all but loses."""

_AT_ONCE = 200_000
"""Bytes of tables that stay in the nearest cache between two array expressions."""

_IMAGE_TABLE = interpolation.image_table()
_FAN_TABLE = interpolation.fan_table()


class Loops(Products):
    """The loops of a backend on the host."""

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
        turning.turn_frames(
            transforms,
            transforms.view(np.float32).reshape(len(transforms), -1),
            image,
            np.deg2rad(psi_deg),
            contrast,
            whitening,
            k_max,
            spacing_per_A,
            _IMAGE_TABLE,
            (data, power),
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
        n_m = harmonics.shape[2]
        fan = np.zeros((k_max + 1, 2 * k_max + 1, n_m), np.complex64)
        kernels.gather(
            harmonics,
            oversampling,
            cyclic,
            np.deg2rad(tilt_offset_deg),
            k_max,
            _FAN_TABLE,
            _signs(n_m, cyclic),
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
            _signs(accumulator.shape[2], cyclic),
        )

    def unfold_azimuths(
        self,
        even: NDArray[np.float32],
        odd: NDArray[np.float32],
        offset: NDArray[np.float32],
        power: float,
        out: NDArray[np.float32],
        highest: NDArray[np.float32],
    ) -> None:
        """Write score tables over a whole turn from their even and odd parts.

        Parameters
        ----------
        even, odd : ndarray of float32, shape (n_axial, n, n_azimuth // 2 + 1)
            Parts of the linear term at azimuths from 0 to half a turn.
        offset : ndarray of float32, shape (n, n_azimuth)
            Subtracted from each cell at all axial shifts.
        power : float
            Multiplied with the result.
        out : ndarray of float32, shape (n, n_axial, n_azimuth)
            Where to write the tables.
        highest : ndarray of float32, shape (n,)
            Where to write the maximum of each.
        """
        kernels.unfold(even, odd, offset, np.float32(power), out)
        n, n_axial, n_azimuth = out.shape
        out.reshape(n, n_axial * n_azimuth).max(1, out=highest)

    def weigh_tables(
        self,
        tables: NDArray[np.float32],
        messages: NDArray[np.float32],
        state: NDArray[np.int32],
        height: NDArray[np.float32],
    ) -> NDArray[np.float64]:
        """Sum of each table times the message of its state, times its height.

        Parameters
        ----------
        tables : ndarray of float32, shape (n, n_axial, n_azimuth)
            Likelihood of each cell over axial shift and azimuth.
        messages : ndarray of float32, shape (..., n_axial, n_azimuth)
            Weight of each axial shift and azimuth, by state.
        state : ndarray of int32, shape (n,)
            Index into the leading axes of `messages`, flattened.
        height : ndarray of float32, shape (n,)
            Scale of each table; where it is 0 the table is not read.

        Returns
        -------
        ndarray of float64, shape (n,)
        """
        size = tables.shape[1] * tables.shape[2]
        mass = np.empty(len(tables))
        messages = messages.reshape(-1, size)
        kernels.weigh(tables.reshape(-1, size), messages, state, height, mass)
        return mass

    def group_sums(
        self,
        values: NDArray[Any],
        group: NDArray[np.integer],
        n_groups: int,
        weight: NDArray[np.float32] | None = None,
    ) -> NDArray[Any]:
        """Sum values, or rows of values, by group.

        Parameters
        ----------
        values : ndarray of float64, shape (n,), or of float32, shape (n, length)
            What to add up.
        group : ndarray of int, shape (n,)
            Group of each, from 0.
        n_groups : int
            Number of groups; those without members get 0.
        weight : ndarray of float32, shape (n,), optional
            Factor of each row; rows of weight 0 are not read.

        Returns
        -------
        ndarray of the same type, shape (n_groups,) or (n_groups, length)
        """
        if values.ndim == 1:
            return np.bincount(group, values, n_groups)
        if weight is None:
            weight = np.ones(len(group), np.float32)
        row = np.flatnonzero(weight)
        select = csr_array(
            (weight[row], (group[row], row)), shape=(n_groups, len(group))
        )
        return select @ values

    def exponentiate(
        self,
        tables: NDArray[np.float32],
        highest: NDArray[np.float32],
        state: NDArray[np.int32],
        n_states: int,
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Exponentiate tables in place, each relative to its own maximum.

        Parameters
        ----------
        tables : ndarray of float32, shape (n, n_axial, n_azimuth)
            Logarithms; their exponentials afterwards, except where `height` is 0.
        highest : ndarray of float32, shape (n,)
            Maximum of each table.
        state : ndarray of int32, shape (n,)
            State of each table.
        n_states : int
            Number of states.

        Returns
        -------
        height : ndarray of float32, shape (n,)
            Maximum of each table over that of its state; 0 if negligible.
        peak : ndarray of float32, shape (n_states,)
            Logarithm of the maxima of states; minus infinity for those without table.
        """
        peak = np.full(n_states, -np.inf, np.float32)
        np.maximum.at(peak, state, highest)
        depth = highest - peak[state]
        height = np.where(depth > NEGLIGIBLE, np.exp(depth), np.float32(0))
        for some in _runs(height > 0, max(1, _AT_ONCE // tables[0].nbytes)):
            part = tables[some]
            part -= highest[some, None, None]
            np.exp(part, out=part)
        return height, peak

    def weighted_tables(
        self,
        tables: NDArray[np.float32],
        index: NDArray[np.int64],
        messages: NDArray[np.float32],
        state: NDArray[np.int32],
        share: NDArray[np.float32],
    ) -> NDArray[np.float32]:
        """Take some tables, times the messages of their states and a share of each.

        Parameters
        ----------
        tables : ndarray of float32, shape (n, n_axial, n_azimuth)
            Likelihood of each cell.
        index : ndarray of int64, shape (n_kept,)
            Tables to take.
        messages : ndarray of float32, shape (..., n_axial, n_azimuth)
            As for `weigh_tables`.
        state : ndarray of int32, shape (n_kept,)
            State of each table taken.
        share : ndarray of float32, shape (n_kept,)
            Factor of each.

        Returns
        -------
        ndarray of float32, shape (n_kept, n_axial, n_azimuth)
        """
        weights = tables[index]
        weights *= messages.reshape(-1, *tables.shape[1:])[state]
        weights *= share[:, None, None]
        return weights


def _signs(n_m: int, cyclic: int) -> NDArray[np.float32]:
    """Signs (-1)^n for n = cyclic m, m = -m_max..m_max."""
    signs = np.ones(n_m, np.float32)
    if cyclic % 2:
        signs[(n_m // 2 + 1) % 2 :: 2] = -1
    return signs


def _runs(chosen: NDArray[np.bool_], longest: int) -> Iterator[slice]:
    """Slices of neighbours that are chosen, each at most so long."""
    ends = np.flatnonzero(np.diff(chosen, prepend=False, append=False))
    for first, last in ends.reshape(-1, 2).tolist():
        for start in range(first, last, longest):
            yield slice(start, min(start + longest, last))
