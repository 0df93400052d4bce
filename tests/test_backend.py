"""The backend: how it is chosen, its parallel map, and who may use threads."""

import ast
import threading
import time
from pathlib import Path

import numpy as np
import pytest

import helixnb
from helixnb.backend import DEVICES, get_backend
from helixnb.errors import InputError

BACKEND = get_backend("cpu")


@pytest.mark.parametrize("device", DEVICES)
def test_known_devices_say_what_runs(device: str) -> None:
    backend = get_backend(device)
    assert backend.name == "cpu"
    assert backend.xp is np


@pytest.mark.parametrize("device", ["cuda", "gpu", "CPU", ""])
def test_other_devices_are_refused_and_not_replaced(device: str) -> None:
    with pytest.raises(InputError, match=r"device='cpu'") as error:
        get_backend(device)
    assert repr(device) in str(error.value)


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


def test_shifted_frames_are_real_and_imaginary_parts_by_column(
    rng: np.random.Generator,
) -> None:
    k_max = 4
    parts = rng.standard_normal((2, k_max + 1, 3, 2 * k_max + 1))
    data = (parts[0] + 1j * parts[1]).astype(np.complex64)
    phase = np.exp(1j * rng.uniform(0, 6, (2, 9))).astype(np.complex64)
    frame, shift = np.array([2, 0, 2, 1]), np.array([1, 1, 0, 0], np.int32)
    moved = BACKEND.shifted_frames(data, frame, phase, shift)
    expected = (data[:, frame] * phase[shift]).swapaxes(1, 2)
    for v in range(k_max + 1):
        inside = np.hypot(v, np.arange(-k_max, k_max + 1)) <= k_max
        np.testing.assert_allclose(
            moved[v, ::2][inside], expected[v].real[inside], rtol=1e-5, atol=1e-6
        )
        np.testing.assert_allclose(
            moved[v, 1::2][inside], expected[v].imag[inside], rtol=1e-5, atol=1e-6
        )


@pytest.mark.parametrize("n_azimuth", [2, 9, 40])
def test_tables_unfold_from_their_even_and_odd_parts(
    n_azimuth: int, rng: np.random.Generator
) -> None:
    half = n_azimuth // 2 + 1
    even, odd = rng.standard_normal((2, 3, 5, half)).astype(np.float32)
    offset = rng.standard_normal((5, n_azimuth)).astype(np.float32)
    out = np.empty((5, 3, n_azimuth), np.float32)
    BACKEND.unfold_azimuths(even, odd, offset, 2.5, out)
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
    assert not found
