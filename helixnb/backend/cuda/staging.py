"""Pinned memory through which images are sent, as little of it as will do.

A copy from ordinary memory would wait for the device. CuPy can pin memory by itself,
but keeps every size that it was ever asked for: of chunks, which differ in length, that
would be all images after a while. Images therefore go through two buffers of one size
in turn, one of which is filled while the other is sent.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

STAGED_BYTES = 32 * 2**20
"""Size of a buffer: its copy takes a millisecond, far longer than to begin it."""


class Staging:
    """Two buffers of one thread, which sends them on its own stream.

    Parameters
    ----------
    xp : module
        CuPy.
    """

    def __init__(self, xp: Any) -> None:
        self._xp = xp
        self._buffers: list[tuple[NDArray[np.uint8], Any]] = []

    def _next_buffer(self) -> tuple[NDArray[np.uint8], Any]:
        """Get the buffer that is not being filled, and the event of its last copy."""
        cuda = self._xp.cuda
        if len(self._buffers) < 2:
            memory = cuda.alloc_pinned_memory(STAGED_BYTES)
            buffer = np.frombuffer(memory, np.uint8, STAGED_BYTES)
            # Waiting sleeps: another thread has a chunk to compute.
            sent = cuda.Event(block=True, disable_timing=True)
        else:
            buffer, sent = self._buffers.pop(0)
            if not sent.done:
                sent.synchronize()
        self._buffers.append((buffer, sent))
        return buffer, sent

    def send(self, array: NDArray[Any]) -> Any:
        """Copy an array to the device; what is launched next comes after it.

        Parameters
        ----------
        array : ndarray
            Of any type; free to be changed afterwards.
        """
        out = self._xp.empty(array.shape, array.dtype)
        source = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
        target = out.reshape(-1).view(np.uint8)
        for first in range(0, source.size, STAGED_BYTES):
            part = slice(first, min(first + STAGED_BYTES, source.size))
            buffer, sent = self._next_buffer()
            staged = buffer[: part.stop - part.start]
            staged[:] = source[part]
            target[part].set(staged)
            sent.record()
        return out
