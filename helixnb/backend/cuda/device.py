"""One GPU: its arrays from CuPy, its memory, its streams. The only import of CuPy.

Chunks of images are worked on by two threads, each with a stream of its own, so that
one is read and sent while the other is computed. Each has its own pinned memory to send
images through (`staging`) and keeps its plans of Fourier transforms; both threads live
as long as the backend does. Their streams do not wait for the thread that hands out the
chunks, nor it for them, except where a result changes hands.
"""

from __future__ import annotations

import logging
import threading
import traceback
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

import cupy
import cupyx.scipy.fft
import cupyx.scipy.ndimage

from helixnb.backend.arrays import ArrayKind, register
from helixnb.backend.cuda.batch_lengths import batched, length_within
from helixnb.backend.cuda.kernels import Kernels, source
from helixnb.backend.cuda.launches import THREADS
from helixnb.backend.cuda.out_of_memory import lacks_memory
from helixnb.backend.cuda.staging import Staging
from helixnb.backend.pipeline import in_order
from helixnb.errors import InputError

log = logging.getLogger("helixnb")

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")

WORKERS = 2
"""Chunks in flight: one is read and sent while another is computed."""

MEMORY_FRACTION = 0.7
"""Part of the free memory that chunks are planned for; the rest is for the library's
own buffers and for what the plan does not know."""

BLOCK_FRACTION = 0.1
"""Part of the free memory that one block of cells may work in."""

MOST_IMAGES = 4096
"""Images of a chunk at most: more gain nothing, and progress is told by the chunk."""

MOST_BYTES = 8 * 2**30
"""Working memory of a chunk or block at most, however large the GPU: cuFFT counts the
elements of an array in 32 bits, and no array is more than a quarter of the memory."""

PLAN_FRACTION = 0.1
"""Part of the free memory that the plans of a thread may keep between transforms."""

LEAST_SHARE = 1 / 64
"""Chunks are not planned smaller than this part of what should have fitted."""

_PLANS = 256
"""Plans that a thread keeps, if the memory allows: a few transforms of each level of a
search, and the lengths that their batches have (`batch_lengths`)."""

_OPTIONS = ("--std=c++17",)


def count() -> int:
    """Count the GPUs that can be used; 0 without a driver.

    Raises
    ------
    RuntimeError
        Where the driver does not fit the library, in CUDA's words.
    """
    if cupy.cuda.runtime.driverGetVersion() == 0:
        return 0
    return int(cupy.cuda.runtime.getDeviceCount())


def versions() -> tuple[int, int]:
    """Return the CUDA that the driver supports (0 without one) and that of CuPy.

    As 1000 major + 10 minor.
    """
    runtime = cupy.cuda.runtime
    return int(runtime.driverGetVersion()), int(runtime.runtimeGetVersion())


class CUDA(Kernels):
    """CuPy backend on one GPU; see `helixnb.backend.Backend`.

    Parameters
    ----------
    index : int
        Number of the GPU.

    Raises
    ------
    Exception
        Whatever CuPy raises where the GPU cannot compile and run our kernels.
    """

    note = ""

    def __init__(self, index: int) -> None:
        self._device = cupy.cuda.Device(index)
        self.name = f"cuda:{index}"
        with self._device:
            properties = cupy.cuda.runtime.getDeviceProperties(index)
            gib = properties["totalGlobalMem"] / 2**30
            self._description = f"{properties['name'].decode()}, {gib:.0f} GiB"
            module = cupy.RawModule(code=source(), options=_OPTIONS)
            module.compile()
            super().__init__(cupy, _launcher(module))
            _try_libraries()
        self._shrunk = 1.0
        self._own = threading.local()
        self._budget = self.free_bytes()
        self._threads = ThreadPoolExecutor(
            WORKERS, thread_name_prefix=self.name, initializer=self._begin_thread
        )
        register(
            cupy.ndarray,
            ArrayKind(
                xp=cupy,
                fft=_Transforms(),
                ndimage=cupyx.scipy.ndimage,
                to_host=cupy.asnumpy,
                device=_device_of,
            ),
        )
        _BACKENDS[index] = self

    @property
    def description(self) -> str:
        """Name and memory of the GPU."""
        return self._description

    def _begin_thread(self) -> None:
        """Make the device and a stream of its own current in a new thread."""
        self._device.use()
        self._own.stream = cupy.cuda.Stream(non_blocking=True).use()
        cupy.fft.config.get_plan_cache().set_size(_PLANS)

    def _make_handles(self) -> None:
        """Let libraries take the memory that they want for this thread, once.

        Not where a thread begins: an error there would be the end of all threads.
        """
        if not getattr(self._own, "has_handles", False):
            _try_libraries()
            self._own.has_handles = True

    @contextmanager
    def active(self) -> Iterator[None]:
        """Make this GPU the one that array functions of this thread use."""
        with self._device:
            cupy.fft.config.get_plan_cache().set_size(_PLANS)
            # CuPy keeps pinned memory for each size of what it has sent itself.
            cupy.get_default_pinned_memory_pool().free_all_blocks()
            self._budget = self.free_bytes()
            try:
                yield
            except Exception as error:
                if not lacks_memory(error):
                    raise
                _free_memory()
                raise InputError(
                    f"the memory of {self.name} ({self._description}) does not hold "
                    f"what is made of the maps of this box ({error}). Use "
                    "device='cpu', or crop or bin the images."
                ) from error

    def synchronise(self) -> None:
        """Wait for what this thread has launched."""
        cupy.cuda.get_current_stream().synchronize()

    def upload(self, array: Any) -> Any:
        """Copy an array to the GPU, through pinned memory, without waiting for it."""
        if not hasattr(self._own, "staging"):
            self._own.staging = Staging(cupy)
        return self._own.staging.send(array)

    def free_bytes(self) -> int:
        """Memory that arrays can still be made in, within the limit of CuPy's pool."""
        with self._device:
            pool = cupy.get_default_memory_pool()
            free = self._device.mem_info[0] + pool.free_bytes()
            if limit := pool.get_limit():
                free = min(free, max(limit - pool.used_bytes(), 0))
            return int(free)

    def chunk_images(self, bytes_per_image: int, n_images: int) -> int:
        """Images of a chunk, from the free memory; see `cpu`."""
        share = MEMORY_FRACTION * self._budget / WORKERS
        share = min(share, MOST_BYTES) * self._shrunk
        return int(min(max(share // bytes_per_image, 1), MOST_IMAGES))

    def blocks(
        self, first: int, last: int, bytes_each: int, fewest: int = 1
    ) -> Iterator[slice]:
        """Parts of a range that each work in a small part of the memory; see `cpu`."""
        size = BLOCK_FRACTION * self._budget / WORKERS
        size = min(size, MOST_BYTES) * self._shrunk
        step = length_within(max(1, int(size // bytes_each)))
        for start in range(first, last, step):
            yield slice(start, min(start + step, last))

    def each(
        self, function: Callable[[_Item], _Result], items: Iterable[_Item]
    ) -> list[_Result]:
        """Apply a function to items in this thread, on its stream; see `cpu`."""
        return [function(item) for item in items]

    def map(
        self,
        function: Callable[[_Item], _Result],
        items: Iterable[_Item],
        halve: Callable[[_Item], list[_Item]] | None = None,
    ) -> Iterator[_Result]:
        """Apply a function to independent items, two at a time, in order; see `cpu`."""

        def finished(planned: tuple[_Item, float]) -> _Result:
            item, share = planned
            try:
                self._make_handles()
                result = function(item)
                self.synchronise()
            except Exception as error:
                if not lacks_memory(error):
                    raise
                self._shrunk = max(min(self._shrunk, share / 2), LEAST_SHARE)
                # Its frames hold the memory that is to be tried again.
                traceback.clear_frames(error.__traceback__)
                cupy.fft.config.get_plan_cache().clear()
                raise _TooLarge(str(error)) from None
            return result

        def halved(planned: tuple[_Item, float]) -> list[tuple[_Item, float]]:
            item, share = planned
            return [(part, share / 2) for part in (halve(item) if halve else [item])]

        self.synchronise()  # what the items refer to was launched by this thread
        self._budget = self.free_bytes()  # beside what the items refer to
        results = in_order(
            self._threads,
            WORKERS,
            finished,
            # Each with what it was planned for: chunks planned alike fail alike, and
            # must not make the next one smaller more than once.
            ((item, self._shrunk) for item in items),
            halved,
            _TooLarge,
            _go_on_with_less,
        )
        for result in results:
            yield result
            # Its memory is used again by the thread that made it.
            self.synchronise()


class _TooLarge(Exception):
    """Raised for an item that takes more memory than there is."""


def _free_memory() -> None:
    """Give back what is kept for later."""
    cupy.fft.config.get_plan_cache().clear()
    cupy.get_default_memory_pool().free_all_blocks()


def _go_on_with_less() -> None:
    """Make room, after an item did not fit."""
    _free_memory()
    log.info("the GPU is out of memory: going on with half the images")


class _Transforms:
    """Fourier transforms of CuPy, by few plans, which may keep little of the memory."""

    fftshift = staticmethod(cupyx.scipy.fft.fftshift)
    ifftshift = staticmethod(cupyx.scipy.fft.ifftshift)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        function: Callable[..., Any] = getattr(cupyx.scipy.fft, name)

        def transform(array: Any, *where: Any, **options: Any) -> Any:
            longer = batched(array, name, options, cupy)
            result = function(longer, *where, **options)
            plans = cupy.fft.config.get_plan_cache()
            if plans.get_curr_memsize() > PLAN_FRACTION * _device_of(array)._budget:
                plans.clear()
            return result if longer is array else result[: len(array)]

        return transform


_BACKENDS: dict[int, CUDA] = {}


def _device_of(array: Any) -> CUDA:
    return _BACKENDS[int(array.device.id)]


def _launcher(module: Any) -> Callable[..., None]:
    """Run kernels of a compiled module on the current stream."""
    kernels: dict[str, Any] = {}

    def launch(name: str, n_blocks: int, *arguments: Any) -> None:
        if name not in kernels:
            kernels[name] = module.get_function(name)
        kernels[name]((n_blocks,), (THREADS,), arguments)

    return launch


def _try_libraries() -> None:
    """Use each library once: a missing one should fail now, not in an iteration."""
    values = cupy.arange(8, dtype=cupy.complex64).reshape(2, 4)
    cupyx.scipy.fft.fft(values @ values.T)
    cupy.sort(cupy.arange(4))
    cupy.cuda.get_current_stream().synchronize()
