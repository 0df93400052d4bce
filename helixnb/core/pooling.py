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
from helixnb.backend.orders import OrderSums
from helixnb.backend.rows import PairRows


@dataclass(frozen=True)
class Pooling:
    """Matrices of the second and third product, the same for all tilts of a level.

    Parameters
    ----------
    orders : OrderSums
        For each m >= 0, which rows of the amplitudes belong to orders m and -m, and
        what they are multiplied by: to Re c for all shifts, then to Im c.
    cosine, sine : ndarray of float32, shape (m_max + 1, n_azimuth // 2 + 1)
        cos m phi and -sin m phi at azimuths from 0 to half a turn.
    """

    orders: OrderSums
    cosine: NDArray[np.float32]
    sine: NDArray[np.float32]

    @property
    def flops_per_cell(self) -> int:
        """Floating-point operations of the second and third product for one cell."""
        waves = 2 * self.orders.width * self.cosine.size
        return 2 * self.orders.phase.size + waves

    @classmethod
    def of_pairs(
        cls,
        harmonic: NDArray[np.int32],
        rows: PairRows,
        row_phase: NDArray[np.complex64],
        n_azimuth: int,
        xp: Any = np,
    ) -> Pooling:
        """Make the matrices for the pairs that a fan keeps.

        Parameters
        ----------
        harmonic : ndarray of int32, shape (n_pairs,)
            Signed harmonic index m of each pair.
        rows : PairRows
            Tells where the amplitudes of each pair lie.
        row_phase : ndarray of complex64, shape (n_pairs, n_axial)
            exp(-2 pi i v s / D).
        n_azimuth : int
            Azimuths over one sector of the cyclic group.
        xp : module
            Array module of the result; what is given lies on the host.
        """
        m_max = int(np.abs(harmonic).max(initial=0))
        amplitude, phase = [], []
        for m in range(m_max + 1):
            chosen = np.flatnonzero(np.abs(harmonic) == m)
            sign = np.where(harmonic[chosen] < 0, -1, 1)
            turn = row_phase[chosen].T  # (n_axial, n)
            parts = [rows.real[chosen], rows.imaginary[chosen]]
            amplitude.append(np.concatenate(parts))
            blocks = [[turn.real, -turn.imag], [sign * turn.imag, sign * turn.real]]
            phase.append(np.block(blocks).astype(np.float32).ravel())
        angle = 2 * np.pi / n_azimuth * np.arange(n_azimuth // 2 + 1)
        wave = np.multiply.outer(np.arange(m_max + 1), angle)
        start = np.cumsum([0, *(len(rows) for rows in amplitude)])
        return cls(
            OrderSums(
                xp.asarray(start),
                xp.asarray(np.concatenate(amplitude)),
                xp.asarray(np.concatenate(phase)),
                2 * row_phase.shape[1],
            ),
            xp.asarray(np.cos(wave).astype(np.float32)),
            xp.asarray(-np.sin(wave).astype(np.float32)),
        )

    def waves(
        self, amplitudes: NDArray[np.float32], backend: Backend
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Even and odd part of the tables over half a turn of azimuth.

        Parameters
        ----------
        amplitudes : ndarray of float32, shape (rows.n_amplitudes, n_cells)
            Real and imaginary parts of the pairs.
        backend : Backend
            Where it runs.

        Returns
        -------
        even, odd : ndarray of float32, shape (n_axial, n_cells, n_azimuth // 2 + 1)
            L(phi) = even + odd and L(-phi) = even - odd; scratch of the backend.
        """
        n_axial = self.orders.width // 2
        real, imaginary = backend.pool_orders(amplitudes, self.orders)
        shape = (n_axial, amplitudes.shape[1], self.cosine.shape[1])
        even, odd = backend.scratch("even", shape), backend.scratch("odd", shape)
        backend.transform_orders(real, self.cosine, even)
        backend.transform_orders(imaginary, self.sine, odd)
        return even, odd
