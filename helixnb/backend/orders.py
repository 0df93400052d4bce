"""Rows of amplitudes summed into azimuthal orders: many small matrix products.

One call does them all, on a host and on a device; matrices lie one after another.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class OrderSums:
    """Which rows belong to each order, and what they are multiplied by.

    Parameters
    ----------
    start : ndarray of int64, shape (n_orders + 1,)
        Of each order, the first of its `rows`, and their number.
    rows : ndarray of int64, shape (n,)
        Rows of the amplitudes, those of one order after those of another.
    phase : ndarray of float32, shape (width * n,)
        For each order a matrix of shape (width, its rows), one after another.
    width : int
        Sums of each order.
    """

    start: NDArray[np.int64]
    rows: NDArray[np.int64]
    phase: NDArray[np.float32]
    width: int

    def __len__(self) -> int:
        """Return the number of orders."""
        return len(self.start) - 1
