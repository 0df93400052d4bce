"""The CUDA backend with strict arrays for CuPy's, and a host for the GPU.

Kernel wrappers, kernels, chunks, halving: all but CuPy itself is what runs on a GPU.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import numpy as np

from helixnb.backend.arrays import ArrayKind, register
from helixnb.backend.cuda.kernels import Kernels
from helixnb.backend.pipeline import in_order
from tests.gpu import strict
from tests.gpu.host_cuda import launcher


class StandIn(Kernels):
    """A GPU that is none.

    Parameters
    ----------
    library : ctypes.CDLL
        Kernels, from `host_cuda.compile_kernels`.
    most_items : int
        Items of a sequence that fit its memory; longer ones raise MemoryError.
    """

    name = "standin"
    note = ""
    description = "host"

    def __init__(self, library: ctypes.CDLL, most_items: int = 10**9) -> None:
        super().__init__(strict.xp, launcher(library, lambda a: a._values))
        self.most_items = most_items
        self.halvings = 0
        self.sent_bytes = 0
        register(
            strict.Strict,
            ArrayKind(
                xp=strict.xp,
                fft=strict.fft,
                to_host=strict.to_host,
                place=lambda array: 0,
                sparse_product=self.sparse_product,
            ),
        )

    @contextmanager
    def active(self) -> Iterator[None]:
        """Nothing to choose."""
        yield

    def synchronise(self) -> None:
        """Nothing to wait for."""

    def upload(self, array: np.ndarray) -> strict.Strict:
        """Send an array."""
        self.sent_bytes += array.nbytes
        return strict.xp.asarray(array)

    def chunk_images(self, bytes_per_image: int) -> int:
        """Unlike that of the CPU, or nothing would be learnt about chunks."""
        assert bytes_per_image > 0
        return 1000

    def blocks(self, first: int, last: int, bytes_each: int) -> Iterator[slice]:
        """Blocks of 100, whatever they hold."""
        for start in range(first, last, 100):
            yield slice(start, min(start + 100, last))

    def map(
        self,
        function: Callable[[Any], Any],
        items: Iterable[Any],
        halve: Callable[[Any], list[Any]] | None = None,
    ) -> Iterator[Any]:
        """Two threads; items that are too long do not fit."""

        def fitting(item: Any) -> Any:
            if isinstance(item, np.ndarray) and len(item) > self.most_items:
                raise MemoryError
            return function(item)

        def recover() -> None:
            self.halvings += 1

        with ThreadPoolExecutor(2) as threads:
            yield from in_order(threads, 2, fitting, items, halve, MemoryError, recover)
