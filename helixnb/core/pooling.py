"""From slice harmonics to score tables as three products of real matrices.

For the cells of one tilt, with a = A[n, v] the amplitudes of `scoring`,

1. a is the product of each row of the data with the reference's row,
2. pooling over rows v gives the spectrum over azimuth at every axial shift s,
   c_m(s) = sum_v a exp(-2 pi i v s / D), with orders of either sign at |m|,
3. a transform over m gives the table: its even part from cosines of Re c, its odd part
   from sines of Im c, over half a turn.

All three are done in real matrices with the cells along one side. BLAS multiplies
small real matrices about twice as fast as complex ones, a transform of a few hundred
azimuths is no slower as a product than as an FFT, and nothing in between is
rearranged.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from helixnb.backend import Backend
from helixnb.backend.arrays import array_module


@dataclass(frozen=True)
class Pooling:
    """Matrices of the second and third product, the same for all tilts of a level.

    Parameters
    ----------
    amplitude : list of ndarray of int64, shape (2 n,)
        For each m >= 0, which rows of the amplitudes belong to orders m and -m.
    phase : list of ndarray of float32, shape (2 n_axial, 2 n)
        What they are multiplied by: to Re c for all shifts, then to Im c.
    cosine, sine : ndarray of float32, shape (m_max + 1, n_azimuth // 2 + 1)
        cos m phi and -sin m phi at azimuths from 0 to half a turn.
    """

    amplitude: list[NDArray[np.int64]]
    phase: list[NDArray[np.float32]]
    cosine: NDArray[np.float32]
    sine: NDArray[np.float32]

    @property
    def flops_per_cell(self) -> int:
        """Floating-point operations of the second and third product for one cell."""
        waves = 2 * len(self.phase[0]) * self.cosine.size
        return 2 * sum(matrix.size for matrix in self.phase) + waves

    @classmethod
    def of_pairs(
        cls,
        harmonic: NDArray[np.int32],
        row_start: NDArray[np.int64],
        row_phase: NDArray[np.complex64],
        n_azimuth: int,
        xp: Any = np,
    ) -> Pooling:
        """Make the matrices for the pairs that a fan keeps.

        Parameters
        ----------
        harmonic : ndarray of int32, shape (n_pairs,)
            Signed harmonic index m of each pair.
        row_start : ndarray of int64, shape (n_rows + 1,)
            Pairs of row v are row_start[v]:row_start[v + 1].
        row_phase : ndarray of complex64, shape (n_pairs, n_axial)
            exp(-2 pi i v s / D).
        n_azimuth : int
            Azimuths over one sector of the cyclic group.
        xp : module
            Array module of the result; what is given lies on the host.
        """
        pair = np.arange(len(harmonic))
        # Of each row, real parts of all its pairs come before imaginary ones.
        row = np.searchsorted(row_start, pair, side="right") - 1
        real = pair + row_start[row]
        imaginary = real + np.diff(row_start)[row]
        m_max = int(np.abs(harmonic).max(initial=0))
        amplitude, phase = [], []
        for m in range(m_max + 1):
            chosen = np.flatnonzero(np.abs(harmonic) == m)
            sign = np.where(harmonic[chosen] < 0, -1, 1)
            turn = row_phase[chosen].T  # (n_axial, n)
            amplitude.append(np.concatenate([real[chosen], imaginary[chosen]]))
            blocks = [[turn.real, -turn.imag], [sign * turn.imag, sign * turn.real]]
            phase.append(np.block(blocks).astype(np.float32))
        angle = 2 * np.pi / n_azimuth * np.arange(n_azimuth // 2 + 1)
        wave = np.multiply.outer(np.arange(m_max + 1), angle)
        return cls(
            [xp.asarray(rows) for rows in amplitude],
            [xp.asarray(matrix) for matrix in phase],
            xp.asarray(np.cos(wave).astype(np.float32)),
            xp.asarray(-np.sin(wave).astype(np.float32)),
        )

    def waves(
        self, amplitudes: NDArray[np.float32], backend: Backend
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Even and odd part of the tables over half a turn of azimuth.

        Parameters
        ----------
        amplitudes : ndarray of float32, shape (2 n_pairs, n_cells)
            Of each row, the real parts of its pairs and then the imaginary parts.
        backend : Backend
            Where it runs.

        Returns
        -------
        even, odd : ndarray of float32, shape (n_axial, n_cells, n_azimuth // 2 + 1)
            L(phi) = even + odd and L(-phi) = even - odd; scratch of the backend.
        """
        xp, n_cells = array_module(amplitudes), amplitudes.shape[1]
        n_axial = len(self.phase[0]) // 2
        shape = (len(self.phase), 2 * n_axial, n_cells)
        spectra = backend.scratch("spectra", shape)
        for m, rows in enumerate(self.amplitude):
            xp.matmul(self.phase[m], amplitudes[rows], out=spectra[m])
        shape = (n_axial, n_cells, self.cosine.shape[1])
        even, odd = backend.scratch("even", shape), backend.scratch("odd", shape)
        real, imaginary = spectra[:, :n_axial], spectra[:, n_axial:]
        xp.matmul(real.transpose(1, 2, 0), self.cosine, out=even)
        xp.matmul(imaginary.transpose(1, 2, 0), self.sine, out=odd)
        return even, odd


def real_form(row: NDArray[np.complex64], factor: float) -> NDArray[np.float32]:
    """Real matrix that multiplies interleaved complex columns as a complex one would.

    Parameters
    ----------
    row : ndarray of complex64, shape (columns, pairs)
        Reference of one row.
    factor : float
        Multiplied with it.

    Returns
    -------
    ndarray of float32, shape (2 pairs, 2 columns)
        Gives the real parts of all pairs, then the imaginary parts.
    """
    columns, pairs = row.shape
    xp = array_module(row)
    out = xp.empty((2, pairs, columns, 2), np.float32)
    scaled = factor * row.T
    out[0, ..., 0] = out[1, ..., 1] = scaled.real
    out[1, ..., 0] = scaled.imag
    xp.negative(scaled.imag, out=out[0, ..., 1])
    return out.reshape(2 * pairs, 2 * columns)
