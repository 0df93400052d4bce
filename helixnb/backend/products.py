"""The matrix products that scores are made of, on a CPU: many small ones in one call.

What they write into is scratch memory, one block for each name and thread.
"""

from __future__ import annotations

import math
import threading

import numpy as np
from numpy.typing import NDArray

from helixnb.backend import kernels
from helixnb.backend.orders import OrderSums
from helixnb.backend.rows import PairRows


class Products:
    """The products of a backend on the host."""

    def __init__(self) -> None:
        """Start without scratch memory."""
        self._scratch = threading.local()

    def scratch(self, name: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
        """Uninitialised array for a value that does not outlive the next call.

        Fresh memory costs about as much to map as the products that fill it, so each
        thread keeps one block for each name.

        Parameters
        ----------
        name : str
            What it is for; the next call of that name in this thread reuses it.
        shape : tuple of int
            Of the array.

        Returns
        -------
        ndarray of float32
        """
        kept = self._scratch.__dict__
        size = math.prod(shape)
        if name not in kept or kept[name].size < size:
            kept[name] = np.empty(size, np.float32)
        block: NDArray[np.float32] = kept[name][:size].reshape(shape)
        return block

    def arrange_rows(
        self, row_start: NDArray[np.int64], value_start: NDArray[np.int64]
    ) -> PairRows:
        """Choose in which order rows of a reference are multiplied.

        Parameters
        ----------
        row_start, value_start : ndarray of int64, shape (n_rows + 1,)
            As of `PairRows`.
        """
        return PairRows.in_turn(row_start, value_start)

    def real_rows(
        self, values: NDArray[np.complex64], rows: PairRows
    ) -> NDArray[np.float32]:
        """Real matrices that multiply as the rows of a reference do.

        A real matrix of shape (2 pairs, 2 columns) times real and imaginary part of
        each column in turn gives the real parts of all pairs, then the imaginary ones.

        Parameters
        ----------
        values : ndarray of complex64, shape (n,)
            Rows one after another, each of shape (columns, pairs).
        rows : PairRows
            From `arrange_rows`.

        Returns
        -------
        ndarray of float32, shape (4 n,)
            The matrices one after another, all but the first doubled for the
            conjugate row; scratch.
        """
        out = self.scratch("rows", (4 * len(values),))
        kernels.real_rows(values, rows.row_start, rows.value_start, out)
        return out

    def shifted_products(
        self,
        matrices: NDArray[np.float32],
        rows: PairRows,
        data: NDArray[np.complex64],
        frame: NDArray[np.int64],
        phase: NDArray[np.complex64],
        shift: NDArray[np.int32],
    ) -> NDArray[np.float32]:
        """Multiply every row of a reference with that of frames moved across.

        Parameters
        ----------
        matrices : ndarray of float32
            From `real_rows`.
        rows : PairRows
            From `arrange_rows`.
        data : ndarray of complex64, shape (n_rows, n_frames, n_columns)
            Filament-frame data; each row uses its middle columns.
        frame : ndarray of int64, shape (n,)
            Frame of each cell.
        phase : ndarray of complex64, shape (n_shifts, n_columns)
            Factor of each column at each transverse shift.
        shift : ndarray of int32, shape (n,)
            Row of `phase` by which the frame of each cell is multiplied.

        Returns
        -------
        ndarray of float32, shape (rows.n_amplitudes, n)
            Real and imaginary parts of pairs, where `rows` says; scratch.
        """
        n = len(frame)
        moved = self.scratch("moved", (2 * data.shape[2] * n,))
        out = self.scratch("amplitudes", (rows.n_amplitudes, n))
        starts = rows.row_start, rows.value_start
        cells = frame, phase, shift
        kernels.shifted_products(
            matrices, *starts, data, *cells, moved.view(np.complex64), moved, out
        )
        return out

    def pool_orders(
        self, amplitudes: NDArray[np.float32], orders: OrderSums
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Sum rows of amplitudes into orders.

        Parameters
        ----------
        amplitudes : ndarray of float32, shape (n, n_cells)
            What is summed.
        orders : OrderSums
            Which rows belong to each order, and their factors.

        Returns
        -------
        real, imaginary : ndarray of float32, shape (n_orders, width // 2, n_cells)
            First and second half of the sums of each order; scratch.
        """
        shape = (len(orders), orders.width, amplitudes.shape[1])
        out = self.scratch("spectra", shape)
        kernels.pool_orders(amplitudes, orders.start, orders.rows, orders.phase, out)
        half = orders.width // 2
        return out[:, :half], out[:, half:]

    def transform_orders(
        self,
        part: NDArray[np.float32],
        waves: NDArray[np.float32],
        out: NDArray[np.float32],
    ) -> None:
        """Sum the waves of all orders.

        Parameters
        ----------
        part : ndarray of float32, shape (n_orders, n_axial, n_cells)
            Amplitude of each wave, from `pool_orders`.
        waves : ndarray of float32, shape (n_orders, n_azimuth)
            Each wave over azimuth.
        out : ndarray of float32, shape (n_axial, n_cells, n_azimuth)
            Where to write the sums.
        """
        np.matmul(part.transpose(1, 2, 0), waves, out=out)
