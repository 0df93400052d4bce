"""The host: NumPy arrays, and all cores for independent chunks of images."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from helixnb.backend import CHUNK_IMAGES
from helixnb.backend.loops import Loops
from helixnb.backend.pipeline import in_order

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")

_CACHE_BYTES = 4_000_000

_CHUNKS = 8
"""Chunks that a set is parted into at least, if they have `_FEWEST_IMAGES` each."""

_FEWEST_IMAGES = 32


class _OneThread:
    """Keep BLAS to one thread for as long as anybody asks for it.

    Its number of threads is one of the whole process, and who sets it for a while sets
    it back at the end: an iteration would go on with several in each of its workers,
    which then wait for each other, once a plot computed beside it was done.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._asking = 0
        self._limits: threadpool_limits | None = None

    @contextmanager
    def asked(self) -> Iterator[None]:
        """Ask for it."""
        with self._lock:
            self._asking += 1
            if self._limits is None:
                self._from_a_thread(self._set)
        try:
            yield
        finally:
            with self._lock:
                self._asking -= 1
                if not self._asking:
                    self._from_a_thread(self._restore)

    def _set(self) -> None:
        self._limits = threadpool_limits(1)

    def _restore(self) -> None:
        if self._limits is not None:
            self._limits.restore_original_limits()
            self._limits = None

    @staticmethod
    def _from_a_thread(change: Callable[[], None]) -> None:
        """Make a change from a thread of its own.

        As long as the thread lives that made one, threadpoolctl ignores all others.
        """
        thread = threading.Thread(target=change)
        thread.start()
        thread.join()


_ONE_THREAD = _OneThread()


class CPU(Loops):
    """NumPy backend; see `helixnb.backend.Backend`.

    Parameters
    ----------
    note : str
        Why it runs here, where the user left the choice to us.
    """

    name = "cpu"
    xp: Any = np

    def __init__(self, note: str = "") -> None:
        super().__init__()
        self.note = note

    @property
    def description(self) -> str:
        """How many cores it runs on."""
        return f"{self.workers} cores" if self.workers > 1 else "1 core"

    @property
    def workers(self) -> int:
        """Processor cores this process may use."""
        return (
            len(os.sched_getaffinity(0))
            if hasattr(os, "sched_getaffinity")
            else (os.cpu_count() or 1)
        )

    @contextmanager
    def active(self) -> Iterator[None]:
        """Nothing to choose: there is one host."""
        yield

    def synchronise(self) -> None:
        """Nothing to wait for: functions return when they are done."""

    def chunk_images(self, bytes_per_image: int, n_images: int) -> int:
        """Images to be worked on at once, the same whatever the number of cores.

        Parameters
        ----------
        bytes_per_image : int
            Working memory of one image, of which a host is assumed to have enough.
        n_images : int
            Images in all: of small sets fewer are taken at once, so that all cores
            have some.
        """
        return min(CHUNK_IMAGES, max(n_images // _CHUNKS, _FEWEST_IMAGES))

    def map(
        self,
        function: Callable[[_Item], _Result],
        items: Iterable[_Item],
        halve: Callable[[_Item], list[_Item]] | None = None,
    ) -> Iterator[_Result]:
        """Apply a function to independent items on all cores, in order.

        Each worker computes in one thread (kernels, BLAS and FFTs leave the
        interpreter free), which keeps every core busy without synchronising inside
        a chunk. Results come in the order of the items whatever the number of
        cores, so that sums over them are reproducible, and only a few are held.

        Parameters
        ----------
        function : callable
            Takes one item; called from several threads.
        items : iterable
            Taken only a few ahead of the results.
        halve : callable, optional
            Splits an item that takes more memory than a device has.

        Yields
        ------
        object
            `function(item)` for each item.
        """
        with (
            _ONE_THREAD.asked(),
            ThreadPoolExecutor(self.workers) as threads,
        ):
            yield from in_order(threads, self.workers, function, items)

    def each(
        self, function: Callable[[_Item], _Result], items: Iterable[_Item]
    ) -> list[_Result]:
        """Apply a function to items that take little time and memory.

        Here on all cores, as `map`; a device, which a single launch fills, goes through
        them without a thread that would have to be waited for.

        Parameters
        ----------
        function : callable
            Takes one item; called from several threads.
        items : iterable
            Independent of each other.

        Returns
        -------
        list of object
            `function(item)` for each item.
        """
        return list(self.map(function, items))

    def blocks(
        self, first: int, last: int, bytes_each: int, fewest: int = 1
    ) -> Iterator[slice]:
        """Parts of a range that each stay within the processor's cache.

        Parameters
        ----------
        first, last : int
            The range.
        bytes_each : int
            Working memory of one item.
        fewest : int
            Items that a block should have whatever they take, for products of large
            matrices.

        Yields
        ------
        slice
        """
        size = max(fewest, _CACHE_BYTES // bytes_each)
        for start in range(first, last, size):
            yield slice(start, min(start + size, last))

    def upload(self, array: NDArray[Any]) -> NDArray[Any]:
        """Return the array: the host is where the computing is.

        Parameters
        ----------
        array : ndarray
            Of any type.
        """
        return array
