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


def test_pooled_rows_give_the_plain_sum(rng: np.random.Generator) -> None:
    """Re sum_p a_p exp(i m phi - 2 pi i v s / D) through a half spectrum."""
    n_azimuth, pairs, shifts = 12, 9, 4
    parts = rng.standard_normal((2, 3, pairs))
    amplitudes = (parts[0] + 1j * parts[1]).astype(np.complex64)
    harmonic = rng.integers(-5, 6, pairs).astype(np.int32)
    harmonic[:3] = 0, 4, -4
    phase = np.exp(1j * rng.uniform(0, 6, (pairs, shifts))).astype(np.complex64)
    spectra = BACKEND.pool_rows(amplitudes, harmonic, phase, n_azimuth // 2 + 1)
    found = np.fft.irfft(spectra, n_azimuth, norm="forward")
    for i in range(3):
        for s in range(shifts):
            for a in range(n_azimuth):
                wave = np.exp(2j * np.pi * harmonic * a / n_azimuth)
                expected = (amplitudes[i] * phase[:, s] * wave).sum().real
                assert found[i, s, a] == pytest.approx(expected, abs=1e-4)


def test_shifted_frames_and_weighed_tables(rng: np.random.Generator) -> None:
    parts = rng.standard_normal((4, 3, 5))
    data = (parts[:, :, :] * (1 + 2j)).astype(np.complex64)
    phase = np.exp(1j * rng.uniform(0, 6, (2, 5))).astype(np.complex64)
    frame, shift = np.array([2, 0, 2, 1]), np.array([1, 1, 0, 0], np.int32)
    moved = BACKEND.shifted_frames(data, frame, phase, shift)
    np.testing.assert_allclose(moved, data[:, frame] * phase[shift], rtol=1e-5)
    tables = rng.random((6, 7, 30)).astype(np.float32)
    messages = rng.random((2, 2, 7, 30)).astype(np.float32)
    state = np.array([0, 3, 3, 1, 2, 0], np.int32)
    mass = BACKEND.weigh_tables(tables, messages, state)
    flat = messages.reshape(4, 7, 30).astype(float)
    np.testing.assert_allclose(mass, (tables * flat[state]).sum((1, 2)), rtol=1e-5)


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
