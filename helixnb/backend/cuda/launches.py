"""How CUDA kernels are launched: by name, on arrays and numbers, in one dimension.

Nothing here needs a GPU: arrays come from the array module that is handed in, and
launches go to whatever can run the kernels.
"""

from __future__ import annotations

from typing import Any, Protocol

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


class Launches:
    """Launches on one device; what they are for is said by the classes on top.

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
