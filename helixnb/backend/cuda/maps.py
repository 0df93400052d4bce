"""Launches of the kernels that work on maps: `arrays.Device`."""

from __future__ import annotations

from typing import Any

import numpy as np

from helixnb.backend.cuda.launches import Launches


class MapKernels(Launches):
    """What a device does for maps and their transforms."""

    def sparse_product(self, matrix: tuple[Any, Any, Any], values: Any) -> Any:
        """Sparse matrix times each row of a complex array; see `arrays`."""
        start, column, weight = matrix
        n_batch, n_columns = values.shape
        n_rows = len(start) - 1
        out = self.xp.empty((n_batch, n_rows), np.complex64)
        values = self._contiguous(values, np.complex64)
        sizes = (n_batch, n_rows, n_columns)
        self._each(
            "sparse_product", out.size, start, column, weight, values, *sizes, out
        )
        return out

    def shell_products(self, first: Any, second: Any) -> Any:
        """Sum products of two transforms over shells; see `arrays`."""
        box = first.shape[0]
        n_shells = box // 2 + 1
        # Planes apart first, so that no two threads add to the same sum.
        sums = self.xp.empty((box, n_shells, 5), np.float64)
        self._each(
            "shell_products",
            box * n_shells,
            self._contiguous(first, np.complex64),
            self._contiguous(second, np.complex64),
            box,
            n_shells,
            sums,
        )
        return sums.sum(0).T

    def random_phases(self, spectrum: Any, start: int, seed: int) -> Any:
        """Random phases beyond a radius; see `phases`."""
        out = self.xp.empty(spectrum.shape, np.complex64)
        spectrum = self._contiguous(spectrum, np.complex64)
        box = len(spectrum)
        self._each("random_phases", out.size, spectrum, box, start, seed, out)
        return out
