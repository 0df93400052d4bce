"""A CuPy that needs no GPU: `helixnb.backend.cuda.device` runs on it as it is.

Arrays are `strict`, kernels run on the host, and calls are held to the signatures of
the real CuPy. What a GPU would only show by wrong results now and then is an error
here: `Machine` counts the memory of all arrays and of the plans of transforms and
raises where it does not suffice, and it follows which stream wrote and read each array.
An array that is read by another stream before the one that wrote it was waited for, or
whose memory its stream takes again while another one may still read it, is a race.
"""

from __future__ import annotations

import collections
import contextlib
import ctypes
import importlib.util
import sys
import threading
import types
import weakref
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from helixnb.backend.cuda import kernels, launches
from tests.gpu import strict
from tests.gpu.host_cuda import launcher, written_arguments

GIB = 2**30


class FakeOutOfMemoryError(MemoryError):
    """CuPy's error of that name."""

    def __init__(self, size: int, total: int, limit: int = 0) -> None:
        super().__init__(
            f"Out of memory allocating {size:,} bytes (allocated so far: {total:,} "
            "bytes)."
        )


class Stream:
    """Work in order; how much was given to it, and how much is known to be done."""

    def __init__(
        self,
        machine: Machine,
        null: bool = False,
        non_blocking: bool = False,
        priority: int | None = None,
    ) -> None:
        self.machine, self.null, self.non_blocking = machine, null, non_blocking
        self.device_id = machine.current_device
        self.given = self.done = 0

    def use(self) -> Stream:
        """Make it the stream of this thread, on its device."""
        assert self.device_id == self.machine.current_device
        self.machine.here.streams[self.device_id] = self
        return self

    def synchronize(self) -> None:
        """Wait for all that it was given."""
        self.done = self.given
        self.machine.waits["synchronize"] += 1

    def has_done(self, work: int) -> None:
        """Know that some of its work is done, and so all before."""
        self.done = max(self.done, work)

    def waits_for(self, other: Stream, work: int) -> bool:
        """Whether what is given now comes after some work of another stream."""
        if other is self or other.done >= work:
            return True
        # CUDA orders the null stream and those that block it.
        return (other.null or self.null) and not (
            self.non_blocking or other.non_blocking
        )


class Event:
    """A place in the work of a stream, once recorded."""

    def __init__(
        self, machine: Machine, block: bool = False, disable_timing: bool = False
    ) -> None:
        self._machine = machine
        self._at: tuple[Stream, int] | None = None

    def record(self) -> None:
        """Mark what the stream of this thread was given."""
        stream = self._machine.stream
        self._at = stream, stream.given

    @property
    def done(self) -> bool:
        """Whether what is marked is known to be done."""
        return self._at is None or self._at[0].done >= self._at[1]

    def synchronize(self) -> None:
        """Wait for what is marked."""
        if self._at is not None:
            self._at[0].has_done(self._at[1])
            self._machine.waits["event"] += 1


@dataclass
class _Use:
    """What is known of the memory of one array."""

    device: int
    n_bytes: int
    home: Stream
    writer: Stream
    written: int
    readers: dict[Stream, int] = field(default_factory=dict)


class _Thread(threading.local):
    """What CuPy keeps for each thread."""

    def __init__(self) -> None:
        self.devices = [0]
        self.streams: dict[int, Stream] = {}
        self.plans: dict[int, PlanCache] = {}


class Machine(strict.Watch):
    """Devices, their memory, and what happens on them.

    Parameters
    ----------
    total_bytes : int
        Memory of each device.
    n_devices : int
    driver : int
        CUDA version of the driver, 0 for none.

    Attributes
    ----------
    plans : set
        What plans of transforms were made for, by whichever thread.
    """

    def __init__(
        self, total_bytes: int = GIB, n_devices: int = 1, driver: int = 13000
    ) -> None:
        self.total_bytes, self.n_devices, self.driver = total_bytes, n_devices, driver
        self.here = _Thread()
        self.lock = threading.RLock()
        self.used = collections.Counter[int]()
        self.kept = collections.Counter[int]()  # freed, but not given back
        self.peak = 0
        self.limit = 0
        self.refused = 0
        self.null_streams = {i: self._null_stream(i) for i in range(n_devices)}
        self.uses: dict[int, _Use] = {}
        self.freed: dict[Stream, list[tuple[Stream, int]]] = {}
        self.races: list[str] = []
        self.launches = collections.Counter[str]()
        self.waits = collections.Counter[str]()
        self.plans: set[Any] = set()
        self.sent_bytes = self.fetched_bytes = self.fetches = 0
        self.pinned_bytes = 0
        self.sources: dict[int, tuple[Stream, int]] = {}

    def _null_stream(self, device: int) -> Stream:
        self.here.devices.append(device)
        stream = Stream(self, null=True)
        self.here.devices.pop()
        return stream

    @property
    def current_device(self) -> int:
        """Device of this thread."""
        return self.here.devices[-1]

    @property
    def stream(self) -> Stream:
        """Stream of this thread on its device."""
        device = self.current_device
        return self.here.streams.get(device, self.null_streams[device])

    def made(self, values: np.ndarray) -> None:
        """Take memory and write to it."""
        with self.lock:
            if id(values) in self.uses:  # the same array by another way
                return
            self.took(values)
            self.launches["array"] += 1

    def took(self, values: np.ndarray) -> None:
        """Take memory, which may be memory that is still read."""
        with self.lock:
            device, stream = self.current_device, self.stream
            self.take(device, values.nbytes)
            for reader, work in self.freed.pop(stream, ()):
                if not stream.waits_for(reader, work):
                    self.races.append("memory is used again while it is still read")
            stream.given += 1
            use = _Use(device, values.nbytes, stream, stream, stream.given)
            self.uses[id(values)] = use
            weakref.finalize(values, self._freed, id(values)).atexit = False

    def take(self, device: int, n_bytes: int) -> None:
        """Take memory from the pool."""
        with self.lock:
            size = self.limit or self.total_bytes
            if self.used[device] + n_bytes > size:
                self.refused += 1
                raise FakeOutOfMemoryError(n_bytes, self.used[device], self.limit)
            self.used[device] += n_bytes
            self.peak = max(self.peak, self.used[device])
            in_use = self.used[device] + self.kept[device]
            self.kept[device] -= max(0, min(in_use - size, self.kept[device]))

    def give(self, device: int, n_bytes: int) -> None:
        """Give memory back to the pool."""
        with self.lock:
            self.used[device] -= n_bytes
            self.kept[device] += n_bytes

    def _freed(self, key: int) -> None:
        with self.lock:
            use = self.uses.pop(key)
            self.give(use.device, use.n_bytes)
            if use.readers:
                self.freed.setdefault(use.home, []).extend(use.readers.items())

    def _use_of(self, values: np.ndarray) -> _Use | None:
        while isinstance(values.base, np.ndarray):
            values = values.base
        return self.uses.get(id(values))

    def read(self, values: np.ndarray) -> None:
        """Note a reader, and whether what it reads has been written."""
        with self.lock:
            use, stream = self._use_of(values), self.stream
            if use is None:
                return
            if use.device != self.current_device:
                self.races.append(f"array of device {use.device} used on another")
            if not stream.waits_for(use.writer, use.written):
                self.races.append("an array is read before it has been written")
            if stream is not use.home:
                use.readers[stream] = stream.given + 1

    def wrote(self, values: np.ndarray) -> None:
        """Note a writer."""
        with self.lock:
            self.stream.given += 1
            self.launches["array"] += 1
            self._written([values])

    def launched(self, kernel: str, changed: list[np.ndarray]) -> None:
        """Count one of our kernels, the writer of some arrays."""
        with self.lock:
            self.stream.given += 1
            self.launches[kernel] += 1
            self._written(changed)

    def _written(self, arrays: list[np.ndarray]) -> None:
        for use in filter(None, map(self._use_of, arrays)):
            use.writer, use.written = self.stream, self.stream.given

    def waited(self, reason: str) -> None:
        """Wait for the stream of this thread."""
        with self.lock:
            self.stream.done = self.stream.given
            self.waits[reason] += 1

    def sent(self, n_bytes: int) -> None:
        """Count what is sent."""
        with self.lock:
            self.sent_bytes += n_bytes

    def staged(self, source: np.ndarray) -> None:
        """Count what is sent from pinned memory, and see that it was free."""
        with self.lock:
            self.sent_bytes += source.nbytes
            stream, work = self.sources.get(source.ctypes.data, (self.stream, 0))
            if stream.done < work:
                self.races.append("pinned memory is filled while it is still sent")
            self.sources[source.ctypes.data] = self.stream, self.stream.given + 1

    def fetched(self, n_bytes: int) -> None:
        """Count what is fetched, which waits for it."""
        with self.lock:
            self.stream.given += 1
            self.stream.done = self.stream.given
            self.fetches += 1
            self.fetched_bytes += n_bytes

    def place(self, values: np.ndarray) -> int:
        """Tell the device that an array lies on."""
        use = self._use_of(values)
        return use.device if use else 0

    def forget_counts(self) -> None:
        """Count from here on."""
        with self.lock:
            self.launches.clear()
            self.waits.clear()
            self.plans.clear()
            self.sent_bytes = self.fetched_bytes = self.fetches = 0
            self.peak = max(self.used.values(), default=0)


class PlanCache:
    """Plans of one thread on one device, each with as much memory as its array."""

    def __init__(self, machine: Machine) -> None:
        self._machine, self._device = machine, machine.current_device
        self._plans: dict[Any, int] = {}
        self.size = 16
        # A thread takes its plans with it.
        weakref.finalize(
            self, _return_all, machine, self._device, self._plans
        ).atexit = False

    def need(self, key: Any, n_bytes: int) -> None:
        """Find or make a plan; the one that was not used longest makes room."""
        if key in self._plans:
            self._plans[key] = self._plans.pop(key)
            return
        self._machine.plans.add(key)
        self._machine.take(self._device, n_bytes)
        while len(self._plans) >= self.size > 0:
            self._machine.give(self._device, self._plans.pop(next(iter(self._plans))))
        self._plans[key] = n_bytes

    def set_size(self, size: int) -> None:
        """Set the largest number of plans."""
        self.size = size

    def get_curr_memsize(self) -> int:
        """Memory of all plans."""
        return sum(self._plans.values())

    def clear(self) -> None:
        """Forget all plans."""
        _return_all(self._machine, self._device, self._plans)


def _return_all(machine: Machine, device: int, plans: dict[Any, int]) -> None:
    machine.give(device, sum(plans.values()))
    plans.clear()


class _Checked:
    """Calls of an object, held to the signatures under a dotted path of CuPy."""

    def __init__(self, path: str, thing: Any) -> None:
        self._path, self._thing = path, thing

    def __getattr__(self, name: str) -> Any:
        path = f"{self._path}.{name}"
        assert path in strict.cupy_names(), f"CuPy has no {path}"
        found = getattr(self._thing, name)
        return _checked(path, found) if callable(found) else found

    def __enter__(self) -> Any:
        return self._thing.__enter__()

    def __exit__(self, *error: Any) -> None:
        self._thing.__exit__(*error)


def _checked(path: str, function: Any) -> Any:
    def call(*arguments: Any, **options: Any) -> Any:
        strict.check_call(path, arguments, options)
        return function(*arguments, **options)

    return call


class _Device:
    """cupy.cuda.Device."""

    def __init__(self, machine: Machine, device: int) -> None:
        if not 0 <= device < machine.n_devices:
            raise RuntimeError("cudaErrorInvalidDevice: invalid device ordinal")
        self._machine, self.id = machine, device

    def use(self) -> None:
        self._machine.here.devices[-1] = self.id

    def __enter__(self) -> None:
        self._machine.here.devices.append(self.id)

    def __exit__(self, *error: Any) -> None:
        self._machine.here.devices.pop()

    @property
    def mem_info(self) -> tuple[int, int]:
        machine = self._machine
        taken = machine.used[self.id] + machine.kept[self.id]
        return max(machine.total_bytes - taken, 0), machine.total_bytes


class _Pool:
    """cupy.cuda.MemoryPool of the current device."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine

    def free_bytes(self) -> int:
        return self._machine.kept[self._machine.current_device]

    def used_bytes(self) -> int:
        return self._machine.used[self._machine.current_device]

    def get_limit(self) -> int:
        return self._machine.limit

    def set_limit(self, size: int = 0) -> None:
        self._machine.limit = size

    def free_all_blocks(self) -> None:
        self._machine.kept[self._machine.current_device] = 0


class _RawModule:
    """cupy.RawModule: our sources, which the host compiles."""

    def __init__(self, library: ctypes.CDLL, code: str, options: tuple = ()) -> None:
        assert code == kernels.source()
        assert isinstance(options, tuple)
        self._launch = launcher(library, lambda array: array._values)

    def compile(self) -> None:
        pass

    def get_function(self, name: str) -> Any:
        def run(grid: tuple[int], block: tuple[int], arguments: tuple) -> None:
            assert isinstance(arguments, tuple)
            assert block == (launches.THREADS,)
            arrays = {
                i: argument._values
                for i, argument in enumerate(arguments)
                if isinstance(argument, strict.Strict)
            }
            for values in arrays.values():
                strict.watch.read(values)
            changed = [arrays[i] for i in written_arguments()[name]]
            strict.watch.launched(name, changed)
            self._launch(name, *grid, *arguments)

        return run


class _FFT:
    """cupyx.scipy.fft, whose functions need plans."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine

    def __getattr__(self, name: str) -> Any:
        function = getattr(strict.fft, name)
        if name.endswith("shift"):
            return function

        def transform(array: strict.Strict, *where: Any, **options: Any) -> Any:
            key = (name, array.shape, array.dtype, where, tuple(options.items()))
            _plans(self._machine).need(key, array.nbytes)
            return function(array, *where, **options)

        return transform


def _plans(machine: Machine) -> PlanCache:
    plans = machine.here.plans
    return plans.setdefault(machine.current_device, PlanCache(machine))


def _cupy(machine: Machine, library: ctypes.CDLL) -> dict[str, Any]:
    """Modules by name, as `import` would find them."""

    def properties(device: int) -> dict[str, Any]:
        assert 0 <= device < machine.n_devices
        return {"name": b"Fake GPU", "totalGlobalMem": machine.total_bytes}

    runtime = types.SimpleNamespace(
        driverGetVersion=lambda: machine.driver,
        runtimeGetVersion=lambda: 13000,
        getDeviceCount=lambda: machine.n_devices,
        getDeviceProperties=properties,
    )

    def alloc_pinned_memory(size: int) -> bytearray:
        machine.pinned_bytes += size
        return bytearray(size)

    cuda = types.SimpleNamespace(
        runtime=_Checked("cupy.cuda.runtime", runtime),
        Device=_made("cupy.cuda.Device", lambda device: _Device(machine, device)),
        Stream=_made("cupy.cuda.Stream", lambda **how: Stream(machine, **how)),
        Event=_made("cupy.cuda.Event", lambda **how: Event(machine, **how)),
        alloc_pinned_memory=_checked(
            "cupy.cuda.alloc_pinned_memory", alloc_pinned_memory
        ),
        get_current_stream=lambda: _Checked("cupy.cuda.Stream", machine.stream),
    )
    plans = _Checked(
        "cupy.fft.config",
        types.SimpleNamespace(
            get_plan_cache=lambda: _Checked(
                "cupy.fft._cache.PlanCache", _plans(machine)
            )
        ),
    )

    class Cupy(strict.Arrays):
        """The module."""

    cupy: Any = Cupy()
    cupy.cuda, cupy.ndarray, cupy.asnumpy = cuda, strict.Strict, strict.to_host
    cupy.fft = types.SimpleNamespace(config=plans)
    cupy.RawModule = _made(
        "cupy.RawModule", lambda **how: _RawModule(library, **how), "cupy.RawModule"
    )
    cupy.get_default_memory_pool = lambda: _Checked(
        "cupy.cuda.MemoryPool", _Pool(machine)
    )
    cupy.get_default_pinned_memory_pool = lambda: _Checked(
        "cupy.cuda.PinnedMemoryPool",
        types.SimpleNamespace(free_all_blocks=lambda: None),
    )
    cupyx, scipy = types.ModuleType("cupyx"), types.ModuleType("cupyx.scipy")
    fft: Any = _FFT(machine)
    cupyx.scipy, scipy.fft = scipy, fft  # type: ignore[attr-defined]
    scipy.ndimage = strict.ndimage  # type: ignore[attr-defined]
    return {
        "cupy": cupy,
        "cupyx": cupyx,
        "cupyx.scipy": scipy,
        "cupyx.scipy.fft": fft,
        "cupyx.scipy.ndimage": strict.ndimage,
    }


def _made(path: str, make: Any, of: str | None = None) -> Any:
    """Class of CuPy: its instances are held to its signatures as well."""
    return lambda *a, **k: _Checked(of or path, _checked(path, make)(*a, **k))


@contextlib.contextmanager
def fake_device(machine: Machine, library: ctypes.CDLL) -> Iterator[Any]:
    """`helixnb.backend.cuda.device`, imported anew with a CuPy that is none.

    Parameters
    ----------
    machine : Machine
        What there is.
    library : ctypes.CDLL
        Kernels, from `host_cuda.compile_kernels`.

    Yields
    ------
    module
        While it is in use arrays of the stand-in belong to this machine.
    """
    fakes = _cupy(machine, library)
    path = Path(kernels.__file__).with_name("device.py")
    spec = importlib.util.spec_from_file_location("helixnb.fake_device", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    kept = {name: sys.modules.get(name) for name in fakes}
    sys.modules.update(fakes)
    try:
        spec.loader.exec_module(module)
    finally:
        for name, before in kept.items():
            if before is None:
                del sys.modules[name]
            else:
                sys.modules[name] = before
    before_watch, strict.watch = strict.watch, machine
    try:
        yield module
    finally:
        strict.watch = before_watch
