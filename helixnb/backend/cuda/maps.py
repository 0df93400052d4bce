"""Launches of CUDA kernels, and those that work on maps: `arrays.Device`.

Nothing here needs a GPU: arrays come from the array module that is handed in, and
launches go to whatever can run the kernels.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

THREADS = 128
"""Threads of a block; `weigh_tables` adds up as many shares."""


class Launch(Protocol):
    """Runs a kernel by its name."""

    def __call__(self, name: str, n_blocks: int, *arguments: Any) -> None:
        """Run it.

        Parameters
        ----------
        name : str
            Of the kernel.
        n_blocks : int
            Blocks of `THREADS` threads, at least 1.
        *arguments
            Contiguous arrays, and Python's int and float.
        """


class MapKernels:
    """What a device does for maps and their transforms.

    Parameters
    ----------
    xp : module
        Array module of the device.
    launch : callable
        Runs a kernel on it.
    """

    def __init__(self, xp: Any, launch: Launch) -> None:
        self.xp = xp
        self._launch = launch

    def _each(self, name: str, n: int, *arguments: Any) -> None:
        """Launch one thread for each of n values."""
        if n:
            self._launch(name, -(-n // THREADS), *arguments)

    def _each_block(self, name: str, n: int, *arguments: Any) -> None:
        """Launch n blocks."""
        if n:
            self._launch(name, n, *arguments)

    def _contiguous(self, array: Any, dtype: Any) -> Any:
        return self.xp.ascontiguousarray(array, dtype=dtype)

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
