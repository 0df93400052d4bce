"""Where the kept pairs of each row of a reference lie, and the amplitudes made of them.

A host multiplies one row after another; a device multiplies rows of like size at once
(`cuda.rows`), whose amplitudes then lie otherwise. What reads amplitudes finds them by
what is said here.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class PairRows:
    """Rows of a reference, of different length and numbers of pairs; on the host.

    Parameters
    ----------
    row_start : ndarray of int64, shape (n_rows + 1,)
        Pairs of row v are row_start[v]:row_start[v + 1].
    value_start : ndarray of int64, shape (n_rows + 1,)
        Where each row, of shape (columns, pairs), begins among the values of a tilt.
    real, imaginary : ndarray of int64, shape (n_pairs,)
        Rows of the amplitudes that hold the real and imaginary part of each pair.
    n_amplitudes : int
        Rows of the amplitudes.
    """

    row_start: NDArray[np.int64]
    value_start: NDArray[np.int64]
    real: NDArray[np.int64]
    imaginary: NDArray[np.int64]
    n_amplitudes: int

    @classmethod
    def in_turn(
        cls, row_start: NDArray[np.int64], value_start: NDArray[np.int64]
    ) -> PairRows:
        """One row after another: real parts of all its pairs, then imaginary ones.

        Parameters
        ----------
        row_start, value_start : ndarray of int64, shape (n_rows + 1,)
            As of the class.
        """
        pairs = np.diff(row_start)
        real = np.arange(row_start[-1]) + np.repeat(row_start[:-1], pairs)
        imaginary = real + np.repeat(pairs, pairs)
        return cls(row_start, value_start, real, imaginary, 2 * int(row_start[-1]))

    @property
    def moved_bytes(self) -> int:
        """Memory that the rows of one moved frame take at a time: here, the longest."""
        columns = np.diff(self.value_start) // np.maximum(np.diff(self.row_start), 1)
        return 8 * int(columns.max(initial=0))
