"""The backend: how it is chosen, its parallel map, and who may use threads."""

import ast
import logging
import math
import re
import threading
import time
import weakref
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

import helixnb
from helixnb.backend import devices, get_backend
from helixnb.backend.pipeline import in_order
from helixnb.errors import InputError

BACKEND = get_backend("cpu")


def test_the_cpu_says_what_runs() -> None:
    assert (BACKEND.name, BACKEND.note) == ("cpu", "")
    assert BACKEND.xp is np


@pytest.mark.parametrize("device", ["gpu", "CPU", "", "cuda:", "cuda:-1", "cuda:x"])
def test_names_that_mean_nothing_are_refused(device: str) -> None:
    with pytest.raises(InputError, match=r"device='cpu'") as error:
        get_backend(device)
    assert repr(device) in str(error.value)


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Machine without a driver and without CuPy, whatever this one has."""
    forget = (devices.gpu_problem, devices._best, devices._gpu)
    for cached in forget:
        cached.cache_clear()
    monkeypatch.setattr(devices, "has_driver", lambda: False)
    monkeypatch.setattr(devices.importlib.util, "find_spec", lambda name: None)
    yield monkeypatch
    for cached in forget:
        cached.cache_clear()


@pytest.mark.parametrize("device", ["cuda", "cuda:1"])
def test_a_gpu_that_is_not_there_is_not_replaced(no_gpu: Any, device: str) -> None:
    with pytest.raises(InputError, match="CuPy is not installed") as error:
        get_backend(device)
    assert "pip install 'helixnb[cuda]'" in str(error.value)
    assert "NVIDIA driver" in str(error.value)


def test_auto_says_once_that_it_runs_on_the_cpu_and_why(
    no_gpu: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "helixnb"):
        first, second = get_backend("auto"), get_backend("auto")
    assert first.name == second.name == "cpu"
    assert "no NVIDIA driver" in first.note
    said = [r for r in caplog.records if "Computing on the CPU" in r.message]
    assert [r.levelname for r in said] == ["INFO"]


def test_auto_warns_of_a_gpu_that_is_left_idle(
    no_gpu: Any, caplog: pytest.LogCaptureFixture
) -> None:
    no_gpu.setattr(devices, "has_driver", lambda: True)
    backend = get_backend("auto")
    assert "pip install 'helixnb[cuda]'" in backend.note
    assert [r.levelname for r in caplog.records] == ["WARNING"]


class _Cuda:
    """Stands for the module that imports CuPy."""

    def __init__(self, driver: int = 13000, n: int = 2, fails: str = "") -> None:
        self.versions = lambda: (driver, 13000)
        self.count = lambda: n
        self.fails, self.made = fails, []

    def CUDA(self, index: int) -> str:
        if self.fails:
            raise RuntimeError(self.fails)
        self.made.append(index)
        return f"backend {index}"


@pytest.mark.parametrize(
    ("cuda", "said"),
    [
        (_Cuda(driver=12080), "supports CUDA 12.8, but CuPy is made for CUDA 13.0"),
        (_Cuda(driver=0, n=0), "no NVIDIA driver was found"),
        (_Cuda(fails="libnvrtc.so.13 is missing\nmore"), "(libnvrtc.so.13 is missing)"),
        (
            _Cuda(fails="cudaErrorNoDevice: no CUDA-capable device is detected"),
            "the NVIDIA driver finds no GPU. See that nvidia-smi lists one",
        ),
        (
            _Cuda(fails="CUBLAS_STATUS_NOT_INITIALIZED"),
            "its memory seems to be full (CUBLAS_STATUS_NOT_INITIALIZED)",
        ),
    ],
)
def test_what_is_wrong_with_a_gpu_is_told(no_gpu: Any, cuda: _Cuda, said: str) -> None:
    no_gpu.setattr(devices.importlib.util, "find_spec", lambda name: object())
    no_gpu.setattr(devices, "_device_module", lambda: cuda)
    with pytest.raises(InputError, match=re.escape(said)):
        get_backend("cuda")
    assert get_backend("auto").name == "cpu"


def test_gpus_are_counted_from_zero(no_gpu: Any) -> None:
    cuda = _Cuda(n=2)
    no_gpu.setattr(devices.importlib.util, "find_spec", lambda name: object())
    no_gpu.setattr(devices, "_device_module", lambda: cuda)
    assert get_backend("cuda") == "backend 0"
    assert get_backend("cuda:1") is get_backend("cuda:1")
    assert cuda.made == [0, 1]
    with pytest.raises(InputError, match="2 usable GPUs: 'cuda:0', 'cuda:1'"):
        get_backend("cuda:2")


def test_items_that_do_not_fit_are_halved_in_order() -> None:
    recovered = 0

    def recover() -> None:
        nonlocal recovered
        recovered += 1

    def fits(item: list[int]) -> list[int]:
        if len(item) > 2:
            raise MemoryError
        return item

    def halve(item: list[int]) -> list[list[int]]:
        middle = len(item) // 2
        return [item[:middle], item[middle:]]

    items = [[0, 1], [2, 3, 4, 5, 6], [7], [8, 9, 10]]
    with ThreadPoolExecutor(2) as threads:
        results = list(in_order(threads, 2, fits, items, halve, MemoryError, recover))
    assert [i for part in results for i in part] == list(range(11))
    assert max(map(len, results)) <= 2
    assert recovered >= 2


def test_what_did_not_fit_is_freed_before_it_is_tried_again() -> None:
    class Table:
        """Something large."""

    held: list[weakref.ref[Table]] = []
    alive: list[bool] = []

    def work(item: list[int]) -> int:
        table = Table()
        held.append(weakref.ref(table))
        if len(item) > 1:
            raise MemoryError
        return item[0]

    def recover() -> None:
        alive.extend(reference() is not None for reference in held)

    def halve(item: list[int]) -> list[list[int]]:
        return [item[:1], item[1:]]

    with ThreadPoolExecutor(2) as threads:
        items = [[0, 1], [2, 3], [4]]
        found = in_order(threads, 2, work, items, halve, MemoryError, recover)
        assert list(found) == [0, 1, 2, 3, 4]
    assert alive
    assert not any(alive)


def test_an_item_that_cannot_be_halved_is_tried_again_and_then_told() -> None:
    tried = []

    def fits_the_second_time(item: str) -> str:
        tried.append(item)
        if tried.count(item) < (2 if item == "late" else 9):
            raise MemoryError
        return item

    with ThreadPoolExecutor(1) as threads:
        assert list(in_order(threads, 1, fits_the_second_time, ["late"])) == ["late"]
        with pytest.raises(InputError, match="does not hold one filament"):
            list(in_order(threads, 1, fits_the_second_time, ["never"]))


def test_nothing_goes_on_after_an_error() -> None:
    begun, go = [], threading.Event()

    def work(i: int) -> int:
        begun.append(i)
        if i == 0:
            raise InputError("broken")
        go.wait(0.05)
        return i

    with ThreadPoolExecutor(1) as threads:
        with pytest.raises(InputError, match="broken"):
            list(in_order(threads, 3, work, range(100)))
        after = len(begun)
        time.sleep(0.1)
        assert len(begun) == after < 5


def test_map_keeps_the_order_of_the_items() -> None:
    def slow_first(i: int) -> int:
        time.sleep(0.02 if i % 3 == 0 else 0)
        return i * i

    assert list(BACKEND.map(slow_first, range(20))) == [i * i for i in range(20)]
    assert list(BACKEND.map(slow_first, [])) == []


def test_map_uses_more_than_one_thread_where_there_are_cores() -> None:
    import os

    if len(os.sched_getaffinity(0)) < 2:
        pytest.skip("only one core")
    meet = threading.Barrier(2, timeout=5)
    assert sum(1 for _ in BACKEND.map(lambda _: meet.wait(), range(2))) == 2


def test_blas_keeps_to_one_thread_as_long_as_anybody_maps() -> None:
    begun, go_on, backend = threading.Event(), threading.Event(), get_backend("cpu")

    def hold(_: int) -> None:
        begun.set()
        go_on.wait(10)

    def blas_threads(_: int = 0) -> set[int]:
        libraries = threadpool_info()
        return {one["num_threads"] for one in libraries if one["user_api"] == "blas"}

    other = threading.Thread(target=lambda: list(backend.map(hold, [0])))

    def items() -> Iterator[int]:
        yield 0
        go_on.set()
        other.join(10)
        yield 1

    def set_to_two() -> None:
        threadpool_limits(2)

    setting = threading.Thread(target=set_to_two)
    setting.start()
    setting.join()
    other.start()
    begun.wait(10)
    assert list(backend.map(blas_threads, items())) == [{1}, {1}]
    assert blas_threads() == {2}


def test_map_raises_what_an_item_raised() -> None:
    def fail(i: int) -> int:
        if i == 3:
            raise InputError("micrograph 3 is broken")
        return i

    results = BACKEND.map(fail, range(10))
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(InputError, match="micrograph 3"):
        next(results)


def test_map_takes_items_as_it_goes() -> None:
    """Only a few chunks of images may be in memory at once."""
    taken = 0

    def items():  # type: ignore[no-untyped-def]
        nonlocal taken
        for i in range(100):
            taken += 1
            yield i

    results = BACKEND.map(lambda i: i, items())
    next(results)
    assert taken < 20 + 2 * BACKEND.workers  # type: ignore[attr-defined]
    assert list(results)[-1] == 99


def test_rows_are_multiplied_with_those_of_moved_frames(
    rng: np.random.Generator,
) -> None:
    k_max, pairs = 4, np.array([3, 0, 2, 1, 4])
    reach = [math.isqrt(k_max**2 - v**2) for v in range(k_max + 1)]
    columns = [slice(k_max - r, k_max + r + 1) for r in reach]
    value_start = np.cumsum([0, *(pairs * (2 * np.array(reach) + 1))])
    parts = rng.standard_normal((2, k_max + 1, 3, 2 * k_max + 1))
    data = (parts[0] + 1j * parts[1]).astype(np.complex64)
    parts = rng.standard_normal((2, value_start[-1]))
    values = (parts[0] + 1j * parts[1]).astype(np.complex64)
    phase = np.exp(1j * rng.uniform(0, 6, (2, 9))).astype(np.complex64)
    frame, shift = np.array([2, 0, 2, 1]), np.array([1, 1, 0, 0], np.int32)
    rows = BACKEND.arrange_rows(np.cumsum([0, *pairs]), value_start)
    matrices = BACKEND.real_rows(values, rows)
    found = BACKEND.shifted_products(matrices, rows, data, frame, phase, shift)
    pair = 0
    for v in range(k_max + 1):
        row = values[value_start[v] : value_start[v + 1]].reshape(
            2 * reach[v] + 1, pairs[v]
        )
        moved = (data[v, frame] * phase[shift])[:, columns[v]]
        expected = (2 if v else 1) * (moved @ row).T
        of_row = slice(pair, pair + pairs[v])
        np.testing.assert_allclose(found[rows.real[of_row]], expected.real, atol=1e-5)
        np.testing.assert_allclose(
            found[rows.imaginary[of_row]], expected.imag, atol=1e-5
        )
        pair += pairs[v]


@pytest.mark.parametrize("n_azimuth", [2, 9, 40])
def test_tables_unfold_from_their_even_and_odd_parts(
    n_azimuth: int, rng: np.random.Generator
) -> None:
    half = n_azimuth // 2 + 1
    even, odd = rng.standard_normal((2, 3, 5, half)).astype(np.float32)
    offset = rng.standard_normal((5, n_azimuth)).astype(np.float32)
    out = np.empty((5, 3, n_azimuth), np.float32)
    highest = np.empty(5, np.float32)
    BACKEND.unfold_azimuths(even, odd, offset, 2.5, out, highest)
    np.testing.assert_array_equal(highest, out.max((1, 2)))
    for a in range(n_azimuth):
        front = a < half
        linear = (even + odd)[..., a] if front else (even - odd)[..., n_azimuth - a]
        expected = 2.5 * (linear.T - offset[:, a, None])
        np.testing.assert_allclose(out[..., a], expected, rtol=1e-5, atol=1e-5)


def test_weighed_tables_leave_out_those_of_no_height(rng: np.random.Generator) -> None:
    tables = rng.random((6, 7, 30)).astype(np.float32)
    messages = rng.random((2, 2, 7, 30)).astype(np.float32)
    state = np.array([0, 3, 3, 1, 2, 0], np.int32)
    height = np.array([1, 0.5, 2, 0, 1e-20, 3], np.float32)
    tables[3] = np.nan
    mass = BACKEND.weigh_tables(tables, messages, state, height)
    flat = messages.reshape(4, 7, 30).astype(float)
    expected = height * np.nan_to_num(tables * flat[state]).sum((1, 2))
    np.testing.assert_allclose(mass, expected, rtol=1e-5)


def test_scratch_is_kept_for_its_name_and_thread() -> None:
    first = BACKEND.scratch("one", (20, 5))
    assert np.shares_memory(BACKEND.scratch("one", (4, 4)), first)
    assert not np.shares_memory(BACKEND.scratch("two", (20, 5)), first)
    meet = threading.Barrier(2, timeout=5)

    def taken(_: int) -> np.ndarray:
        mine = BACKEND.scratch("one", (20, 5))
        meet.wait()
        return mine

    if BACKEND.workers < 2:  # type: ignore[attr-defined]
        pytest.skip("only one core")
    left, right = BACKEND.map(taken, range(2))
    assert not np.shares_memory(left, right)


def test_only_the_backend_compiles_and_starts_computing_threads() -> None:
    package = Path(helixnb.__file__).parent
    compute = [package / "core", *package.glob("*.py")]
    sources = [p for c in compute for p in ([c] if c.is_file() else c.glob("*.py"))]
    assert len(sources) > 20
    found = []
    for path in sources:
        for node in ast.walk(ast.parse(path.read_text())):
            names = (
                [alias.name for alias in node.names]
                if isinstance(node, ast.Import)
                else [node.module or ""]
                if isinstance(node, ast.ImportFrom)
                else []
            )
            roots = {name.split(".")[0] for name in names}
            if roots & {"numba", "concurrent", "multiprocessing", "threadpoolctl"}:
                found.append(path.name)
    assert set(found) <= {"benchmark.py"}  # it measures the machine


def test_small_sets_make_as_many_chunks_as_cores_can_share() -> None:
    assert BACKEND.chunk_images(1, 256) == 32
    assert BACKEND.chunk_images(1, 20) == 32
    assert BACKEND.chunk_images(1, 600) == 75
    assert BACKEND.chunk_images(1, 10**6) == 96
