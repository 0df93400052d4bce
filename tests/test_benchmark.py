"""What an iteration costs, as the package measures it, and guards on what it costs.

Guards compare two ways to the same numbers within one process, by the CPU time of the
thread and the shortest of several runs, so that a busy machine does not fail them.
"""

import threading
import time
from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates

from helixnb.core.cylinder import CylinderGrid
from helixnb.core.halfplane import HalfPlane
from helixnb.core.map_harmonics import map_harmonics
from helixnb.core.masks import axial_window
from helixnb.core.scoring import make_frames, score_cells
from helixnb.core.search import complete_grid
from helixnb.core.self_correlation import layer_power, score_grid, self_correlation
from helixnb.core.symmetry_search import SearchRange
from helixnb.progress import Stopwatch
from tests.oracles import blobs, helix
from tests.scenes import BACKEND, chunk, fan_of, level


def _spin(seconds: float) -> None:
    """Use up CPU time of this thread."""
    until = time.thread_time() + seconds
    while time.thread_time() < until:
        pass


def test_a_stage_inside_another_counts_as_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = {"wall": 100.0, "cpu": 7.0}
    fake = SimpleNamespace(
        perf_counter=lambda: now["wall"], process_time=lambda: now["cpu"]
    )
    monkeypatch.setattr("helixnb.progress.time", fake)

    def work(wall: float, cpu: float) -> None:
        now["wall"] += wall
        now["cpu"] += cpu

    clock = Stopwatch()
    with clock("outer"):
        work(2, 3)
        with clock("inner"):
            work(5, 8)
        with clock("inner"):
            work(1, 1)
        work(0.5, 0.25)
    assert clock.seconds == {"inner": 6, "outer": 2.5}
    assert clock.cpu_seconds == {"inner": 9, "outer": 3.25}


def test_cpu_time_is_that_of_the_thread_and_of_all_in_the_first_one() -> None:
    clock = Stopwatch()

    def work() -> None:
        with clock("part"):
            _spin(0.04)
            time.sleep(0.05)

    with clock("whole"):
        workers = [threading.Thread(target=work) for _ in range(2)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
    assert clock.cpu_seconds["part"] == pytest.approx(0.08, abs=0.02)
    assert clock.cpu_seconds["whole"] == pytest.approx(0.08, abs=0.04)
    assert clock.seconds["part"] > 2 * 0.08


def test_bench_shares_out_the_time_of_a_step(
    capsys: pytest.CaptureFixture[str], tmp_path: object
) -> None:
    import json
    from pathlib import Path

    from helixnb.benchmark import PARTS, STAGES
    from helixnb.cli import main

    path = Path(str(tmp_path)) / "figures.json"
    options = ["--images", "40", "--box", "32", "--pixel-size", "5"]
    options += ["--iterations", "1"]
    assert main(["bench", *options, "--json", str(path)]) == 0
    printed = capsys.readouterr().out
    row = json.loads(path.read_text())
    (step,) = row["steps"]
    assert set(step["stages"]) == {*STAGES, "other"}
    assert sum(step["stages"].values()) == pytest.approx(step["cpu_s"], rel=1e-6)
    assert step["stages"]["E-step"] > 0
    # Without any of its functions a part would hide in the rest unnoticed.
    assert all(row["parts"][name] > 0 for name in PARTS)
    assert all(name in printed for name in [*STAGES, *PARTS])
    assert step["poses"] > 40 * 1000
    assert 0 < step["flops"] / step["stages"]["E-step"] < row["matmul_flops_per_core"]


def _least(function: Callable[[], object], repeats: int = 5) -> float:
    """Shortest CPU time of a call."""
    times = []
    for _ in range(repeats):
        start = time.thread_time()
        function()
        times.append(time.thread_time() - start)
    return min(times)


def test_scoring_beats_plain_projection_matching(rng: np.random.Generator) -> None:
    """Same scores as products with every slice at every shift, for less a pose."""
    box, k_max = 32, 12
    search = level(
        k_max, n_psi=2, n_tilt=3, n_shift=4, psi_step_deg=5.0, n_axial=12, n_azimuth=80
    )
    points = np.column_stack([rng.uniform(-6, 6, (20, 2)), rng.uniform(-9, 9, 20)])
    stack = rng.standard_normal((6, box, box))
    images = chunk(stack, np.zeros(6), k_max)
    cells = complete_grid(6, search)
    noise = np.full(k_max + 1, 300.0)
    frames = make_frames(images, cells, search, noise, 1 / (3.0 * box), BACKEND)
    volume = blobs(points, box)
    fan, flat = fan_of(volume, search, power=25.0), np.zeros(len(cells), np.float32)

    def fast() -> NDArray[np.float32]:
        return score_cells(cells, frames, fan, flat, 1.0, BACKEND)[0]

    grid = CylinderGrid(box, box // 2 - 1, search.m_max, 1, 2)
    plane, harmonics = HalfPlane(k_max), grid.from_volume(volume)
    azimuth = 2 * np.pi * np.arange(search.n_azimuth) / search.n_azimuth
    turns = np.exp(1j * np.outer(grid.orders, azimuth)).astype(np.complex64)
    slices = []
    for tilt in search.tilt_offset_deg:
        gathered = BACKEND.gather_fan(harmonics, 2, 1, tilt, k_max)
        weight = np.sqrt(plane.multiplicity)[..., None]
        slices.append(((gathered @ turns) * weight).reshape(-1, search.n_azimuth).T)
    chosen = rng.choice(len(cells), 5, replace=False)

    def plain() -> NDArray[np.float32]:
        tables = np.empty((len(chosen), search.n_axial, search.n_azimuth), np.float32)
        root = np.sqrt(plane.multiplicity)
        for row, i in enumerate(chosen):
            image, pictures = frames.of_cell[i], slices[cells.tilt[i]]
            data = root * frames.data[:, image]
            own = np.abs(pictures) ** 2 @ frames.power[:, image].ravel() / 2
            for j, axial in enumerate(search.axial_px):
                shift = search.shift_px[cells.shift[i]]
                turn = plane.u * shift + plane.v[:, None] * axial
                moved = data * np.exp(-2j * np.pi * turn / box)
                tables[row, j] = (pictures @ moved.ravel()).real - own
        return tables

    found, expected = fast(), plain()
    error = np.abs(found[chosen] - expected).max()
    assert error < 0.02 * np.ptp(expected)
    gain = _least(plain) / len(chosen) / (_least(fast) / len(cells))
    assert gain > 30, f"a pose costs only {gain:.1f} times less than by plain matching"


def test_a_score_map_beats_a_plain_loop(rng: np.random.Generator) -> None:
    """Scores of 64 x 64 twists and rises against turning the map for each."""
    box, twist, rise_px = 48, 40.0, 6.0
    unit = rng.uniform(4, 8, (3, 1)) * np.array([[1.0, 0.3, 0.0]])
    volume = blobs(helix(unit, twist, rise_px, 20), box)

    def fast() -> NDArray[np.float64]:
        harmonics = map_harmonics(
            volume,
            axial_window(box, 0.8, 0.1 * box),
            pixel_size_A=1.0,
            resolution_A=4.0,
            outer_radius_A=12.0,
        )
        correlation = self_correlation(layer_power(harmonics))
        where = SearchRange((twist, 4.0), (rise_px, 1.0), (64, 64))
        return score_grid(correlation, where.twists, where.rises)

    axis = np.arange(box) - box // 2
    z, y, x = np.meshgrid(axis, axis, axis, indexing="ij")
    inside = (np.hypot(x, y) < 12) & (abs(z) < 0.4 * box)
    x, y, z, here = x[inside], y[inside], z[inside], volume[inside]

    def plain(turn_deg: float, climb_px: float) -> float:
        a = np.deg2rad(turn_deg)
        turned = x * np.cos(a) - y * np.sin(a), x * np.sin(a) + y * np.cos(a)
        place = np.stack([z + climb_px, turned[1], turned[0]]) + box // 2
        return float(np.corrcoef(here, map_coordinates(volume, place, order=1))[0, 1])

    assert plain(twist, rise_px) > 0.9 > plain(twist + 15, rise_px)
    fast()
    gain = 64**2 * _least(lambda: plain(twist, rise_px)) / _least(fast)
    assert gain > 200, f"a map of scores costs only {gain:.0f} times less than a loop"
