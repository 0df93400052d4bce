"""The device itself: its streams, its memory, and which one it is.

The module that imports CuPy runs here on a stand-in with CuPy's signatures, which
counts memory and sees races between streams (`tests.gpu.fake_cupy`).
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from helixnb.backend import fourier, polar
from helixnb.backend.arrays import to_host
from helixnb.backend.cuda import batch_lengths, staging
from helixnb.errors import InputError
from tests.gpu import fake_cupy, strict
from tests.gpu.fake_cupy import Machine, fake_device
from tests.gpu.host_cuda import compile_kernels

MIB = 2**20


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return compile_kernels(tmp_path_factory.mktemp("kernels"))


@pytest.fixture
def machine() -> Machine:
    """Two devices of 64 MiB."""
    return Machine(total_bytes=64 * MIB, n_devices=2)


@pytest.fixture
def module(machine: Machine, library: Any) -> Iterator[Any]:
    with fake_device(machine, library) as module:
        yield module


def _send(backend: Any, n_bytes: int, value: float = 1.0) -> Any:
    return backend.upload(np.full(n_bytes // 4, value, np.float32))


def _halves(item: np.ndarray) -> list[np.ndarray]:
    return [item] if len(item) < 2 else np.array_split(item, 2)


def test_devices_are_told_apart(module: Any, machine: Machine) -> None:
    assert module.count() == 2
    assert module.versions() == (13000, 13000)
    first, second = module.CUDA(0), module.CUDA(1)
    assert (first.name, second.name) == ("cuda:0", "cuda:1")
    assert second.description == "Fake GPU, 0 GiB"
    with second.active():
        found = list(second.map(lambda i: _send(second, MIB, i), range(4)))
    assert {array.device.id for array in found} == {1}
    assert machine.used[1] >= 4 * MIB
    assert machine.used[0] < MIB
    assert second.free_bytes() < first.free_bytes()
    assert not machine.races


def test_what_is_made_for_one_device_is_not_used_on_the_other(
    module: Any, machine: Machine, rng: np.random.Generator
) -> None:
    """Matrices that the polar transform keeps lie on the device of its planes."""
    points = polar.PolarPoints(12, 8, 2, 16)
    planes = rng.standard_normal((3, 12, 12)).astype(np.complex64)
    for backend in (module.CUDA(0), module.CUDA(1)):
        with backend.active():
            found = polar.sample(backend.upload(planes), points)
            expected = polar.sample(planes, points)
            apart = np.abs(to_host(found) - expected).max()
            assert apart < 3e-4 * np.abs(expected).max()
    assert not machine.races


def test_a_device_that_is_not_there_is_an_error(module: Any) -> None:
    with pytest.raises(RuntimeError, match="invalid device"):
        module.CUDA(2)


def test_without_a_driver_there_are_no_devices(library: Any) -> None:
    with fake_device(Machine(driver=0), library) as module:
        assert module.count() == 0
        assert module.versions()[0] == 0


def test_one_chunk_is_sent_while_another_is_computed(
    module: Any, machine: Machine
) -> None:
    backend = module.CUDA(0)
    meet, streams = threading.Barrier(2, timeout=5), set()

    def work(i: int) -> Any:
        sent = _send(backend, MIB, i)
        meet.wait()
        streams.add(machine.stream)
        return sent * 2.0

    with backend.active():
        total = backend.xp.zeros(MIB // 4, np.float32)
        for result in backend.map(work, range(8)):
            total += result
        assert (to_host(total) == 2 * sum(range(8))).all()
    assert len(streams) == 2
    assert machine.null_streams[0] not in streams
    # Or whatever the thread that adds up does would wait for both, and they for it.
    assert all(stream.non_blocking for stream in streams)
    assert not machine.races


def test_two_sessions_share_a_device(module: Any, machine: Machine) -> None:
    """Each hands out chunks and adds up in a thread of its own."""
    backend, totals = module.CUDA(0), {}

    def session(name: int) -> None:
        with backend.active():
            total = backend.xp.zeros(MIB // 4, np.float32)
            items = range(name, name + 8)
            for result in backend.map(lambda i: _send(backend, MIB, i) * 2.0, items):
                total += result
            totals[name] = to_host(total)

    threads = [threading.Thread(target=session, args=(n,)) for n in (0, 100)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for name in (0, 100):
        assert (totals[name] == 2 * sum(range(name, name + 8))).all()
    assert not machine.races


def test_images_are_sent_through_little_pinned_memory(
    module: Any, machine: Machine, rng: np.random.Generator, monkeypatch: Any
) -> None:
    """Of any length and type, in pieces; what was sent may be changed at once."""
    monkeypatch.setattr(staging, "STAGED_BYTES", 4096)
    backend = module.CUDA(0)

    def work(n: int) -> tuple[Any, Any]:
        values = np.random.default_rng(n).integers(0, 99, (n, 3)).astype(np.int16)
        sent = backend.upload(values[::2])
        kept = values[::2].copy()
        values[:] = -1
        return sent, kept

    with backend.active():
        for sent, kept in backend.map(work, [0, 1, 2, 700, 5000, 8192, 40]):
            assert sent.dtype == np.int16
            np.testing.assert_array_equal(to_host(sent), kept)
    assert machine.pinned_bytes <= module.WORKERS * 2 * 4096
    assert not machine.races


def test_pinned_memory_that_is_filled_too_early_is_seen(
    module: Any, machine: Machine, monkeypatch: Any
) -> None:
    monkeypatch.setattr(staging, "STAGED_BYTES", 4096)
    monkeypatch.setattr(fake_cupy.Event, "synchronize", lambda _: None)
    backend = module.CUDA(0)
    with backend.active():
        _send(backend, 3 * 4096)
    assert machine.races == ["pinned memory is filled while it is still sent"]


def test_races_are_seen(module: Any, machine: Machine) -> None:
    """Otherwise what the tests say about them would mean nothing."""
    backend = module.CUDA(0)
    backend.synchronise = lambda: None
    with backend.active():
        total = backend.xp.zeros(MIB // 4, np.float32)
        for result in backend.map(lambda i: _send(backend, MIB, i), range(6)):
            total += result
            del result
    assert "an array is read before it has been written" in machine.races
    assert "memory is used again while it is still read" in machine.races


def test_a_kernel_is_known_to_write(module: Any, machine: Machine) -> None:
    """In place as well: what it wrote may not be read before it was waited for."""
    backend = module.CUDA(0)
    tables, highest = backend.xp.zeros((3, 2, 5), np.float32), backend.xp.zeros(3)
    state = backend.xp.zeros(3, np.int32)
    backend.synchronise()

    def exponentiate(_: int) -> None:
        backend.exponentiate(tables, highest.astype(np.float32), state, 1)

    with backend.active():
        list(backend.map(exponentiate, [0]))
        assert (to_host(tables) == 1).all()
        assert not machine.races
        backend.synchronise = lambda: None
        list(backend.map(exponentiate, [0]))
        to_host(tables)
    assert "an array is read before it has been written" in machine.races


def test_chunks_follow_from_the_free_memory(module: Any, machine: Machine) -> None:
    backend = module.CUDA(0)
    with backend.active():
        alone = backend.chunk_images(MIB, 10**6)
        assert alone == int(module.MEMORY_FRACTION * 64 / module.WORKERS)
        held = _send(backend, 32 * MIB)
    with backend.active():
        assert backend.chunk_images(MIB, 10**6) == pytest.approx(alone / 2, abs=1)
        assert backend.chunk_images(1, 10**6) == module.MOST_IMAGES
        assert backend.chunk_images(10**12, 10**6) == 1
        sizes = [s.stop - s.start for s in backend.blocks(0, 10, MIB)]
        assert sum(sizes) == 10
        assert max(sizes) < alone / 2
    del held
    machine.limit = 8 * MIB
    with backend.active():  # as CUPY_GPU_MEMORY_LIMIT sets it
        assert backend.chunk_images(MIB, 10**6) <= alone / 8


def test_what_does_not_fit_is_halved_and_planned_smaller(
    module: Any, machine: Machine
) -> None:
    """Images take thrice what was planned for: five are too many, twice two are not."""
    backend = module.CUDA(0)

    def work(item: np.ndarray) -> list[int]:
        held = [_send(backend, 13 * MIB, i) for i in item]
        return [int(to_host(array[0])) for array in held]

    planned = []

    def chunks() -> Iterator[np.ndarray]:
        first = 0
        while first < 30:
            planned.append(backend.chunk_images(42 * MIB // 10, 10**6))
            yield np.arange(first, min(first + planned[-1], 30))
            first += planned[-1]

    with backend.active():
        done = list(backend.map(work, chunks(), _halves))
    assert [i for part in done for i in part] == list(range(30))
    assert machine.refused > 0
    # Those in flight were planned alike, fail alike, and count once.
    assert planned[0] == 5
    assert planned[-1] == 2
    assert not machine.races


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("CUFFT_ALLOC_FAILED"),
        RuntimeError("CUFFT_INTERNAL_ERROR"),
        RuntimeError("CUBLAS_STATUS_ALLOC_FAILED"),
        RuntimeError("CUBLAS_STATUS_NOT_INITIALIZED"),
        RuntimeError("cudaErrorMemoryAllocation: out of memory"),
        RuntimeError("CUDA_ERROR_OUT_OF_MEMORY: out of memory"),
        MemoryError("std::bad_alloc"),
    ],
    ids=str,
)
def test_libraries_without_memory_are_understood(module: Any, error: Exception) -> None:
    """CuPy has an error of its own only for what it allocates itself."""
    backend = module.CUDA(0)

    def work(item: np.ndarray) -> int:
        if len(item) > 2:
            raise error
        return len(item)

    with backend.active():
        assert list(backend.map(work, [np.arange(8)], _halves)) == [2, 2, 2, 2]
    whole = re.escape("of cuda:0 (Fake GPU, 0 GiB) does not hold what is made of the ")
    with pytest.raises(InputError, match=f"{whole}.*{re.escape(str(error))}"):
        _fail_between_chunks(backend, error)


def _fail_between_chunks(backend: Any, error: Exception) -> None:
    with backend.active():
        raise error


@pytest.mark.parametrize("words", ["CUBLAS_STATUS_EXECUTION_FAILED", "something else"])
def test_other_errors_stay_what_they_are(module: Any, words: str) -> None:
    backend = module.CUDA(0)
    with pytest.raises(RuntimeError, match=words), backend.active():
        list(backend.map(lambda _: _raise(RuntimeError(words)), [1]))


def test_a_thread_that_finds_no_room_for_handles_goes_on(
    module: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Libraries make one for each thread, and first of all when the GPU may be full."""
    backend, refused = module.CUDA(0), []
    make_handles = module._try_libraries

    def try_libraries() -> None:
        if len(refused) < module.WORKERS:
            refused.append(threading.get_ident())
            raise RuntimeError("CUBLAS_STATUS_NOT_INITIALIZED")
        make_handles()

    monkeypatch.setattr(module, "_try_libraries", try_libraries)
    with backend.active():
        found = list(backend.map(lambda item: item, [np.arange(8)] * 4, _halves))
    np.testing.assert_array_equal(np.concatenate(found), 4 * list(range(8)))
    assert refused


def test_a_filament_for_which_nothing_is_left_is_told_in_the_library_s_words(
    module: Any,
) -> None:
    backend = module.CUDA(0)
    error = RuntimeError("CUBLAS_STATUS_NOT_INITIALIZED")
    with (
        backend.active(),
        pytest.raises(InputError, match=r"one filament.*\(CUBLAS_STATUS_NOT_INIT"),
    ):
        list(backend.map(lambda _: _raise(error), [1]))


def _raise(error: Exception) -> None:
    raise error


def test_maps_that_do_not_fit_are_told(module: Any, machine: Machine) -> None:
    """Between the chunks nothing can be halved."""
    backend = module.CUDA(0)

    def fill() -> None:
        with backend.active():
            held = [backend.xp.zeros(30 * MIB, np.uint8) for _ in range(3)]
            del held

    with pytest.raises(InputError, match=r"cuda:0 \(Fake GPU, 0 GiB\).*device='cpu'"):
        fill()
    with backend.active():
        assert backend.free_bytes() > 60 * MIB


def test_no_array_of_a_large_gpu_is_too_long_for_its_libraries(library: Any) -> None:
    """They count elements in 32 bits; none takes more than a quarter of the memory."""
    large = Machine(total_bytes=180 * fake_cupy.GIB)
    with fake_device(large, library) as module:
        backend = module.CUDA(0)
        with backend.active():
            assert backend.chunk_images(10 * MIB, 10**6) * 10 * MIB <= 8 * fake_cupy.GIB
            sizes = [s.stop - s.start for s in backend.blocks(0, 10**6, MIB)]
    assert max(sizes) * MIB // 4 <= 2**31


def test_a_filament_that_cannot_be_halved_is_told(module: Any) -> None:
    backend = module.CUDA(0)
    with (
        backend.active(),
        pytest.raises(InputError, match="does not hold one filament"),
    ):
        list(backend.map(lambda n: _send(backend, n), [80 * MIB]))


def test_plans_of_transforms_do_not_fill_the_memory(
    module: Any, machine: Machine
) -> None:
    """Each length needs a plan of its own, which CuPy keeps; within a chunk as well."""
    backend = module.CUDA(0)

    def work(n: int) -> int:
        for more in range(10):
            fourier.fft(backend.xp.zeros(n + more, np.complex64))
        return n

    lengths = range(100_000, 100_040, 10)  # 0.8 MB each, 32 MB together
    with backend.active():
        assert list(backend.map(work, lengths)) == list(lengths)
    assert machine.refused == 0
    assert machine.peak < 2.5 * module.PLAN_FRACTION * 64 * MIB + 4 * MIB


def test_batches_have_few_lengths() -> None:
    """Each holds what it is for, with little beyond; few plans serve a whole run."""
    numbers = range(1, 5000)
    lengths = [batch_lengths.length_from(n) for n in numbers]
    assert all(n <= length < 2 * n for n, length in zip(numbers, lengths, strict=True))
    assert all(
        length <= 1.25 * n
        for n, length in zip(numbers, lengths, strict=True)
        if n > 128
    )
    assert len(set(lengths)) <= 30
    for n in numbers:
        within = batch_lengths.length_within(n)
        assert batch_lengths.length_from(within) == within <= n < 2 * within


@pytest.mark.parametrize("n", [1, 5, 130])
def test_transforms_of_longer_batches(
    module: Any, machine: Machine, rng: np.random.Generator, n: int
) -> None:
    """What is added to a batch is not seen; a transform along it stays as long."""
    backend, xp = module.CUDA(0), strict.xp
    values = rng.standard_normal((n, 6, 8)).astype(np.float32)
    sent = xp.asarray(values)
    with backend.active():
        calls: list[tuple[str, tuple, dict]] = [
            ("rfft", (), {"axis": -1}),
            ("fft", (), {"axis": 1}),
            ("fft", (), {"axis": 0}),
            ("rfft2", (), {}),
            ("irfft2", ((6, 14),), {}),
            ("irfft", (14,), {"axis": -1}),
            ("rfftn", (), {}),
            ("fftshift", (), {"axes": (1, 2)}),
        ]
        for name, where, options in calls:
            transform = getattr(fourier, name)
            found = to_host(transform(sent, *where, **options))
            expected = transform(values, *where, **options)
            assert found.shape == expected.shape
            np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
    batches = {key[1][0] for key in machine.plans if key[0] == "rfft"}
    assert batches == {batch_lengths.length_from(n)}


def test_the_stand_in_holds_calls_to_the_signatures_of_cupy() -> None:
    xp = strict.xp
    array = xp.zeros(4, np.float32)
    with pytest.raises(TypeError, match="workers"):
        strict.fft.fft(array, workers=2)
    with pytest.raises(TypeError, match="where"):
        xp.log(array, where=array > 0)
    with pytest.raises(ValueError, match="stably"):
        xp.argsort(array, kind="quicksort")
    with pytest.raises(AttributeError, match="no 'bartlet'"):
        xp.bartlet(4)
    with pytest.raises(AssertionError, match="has no at"):
        xp.logaddexp.at(array, xp.zeros(1, int), array[:1])
    with pytest.raises(AssertionError, match=r"no cupy.cuda.Stream.wait"):
        fake_cupy._Checked("cupy.cuda.Stream", object()).wait()
    assert array.sum(0, keepdims=True).shape == (1,)
