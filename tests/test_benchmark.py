"""What an iteration costs, as the package measures it, and guards on what it costs."""

import threading
import time

import pytest

from helixnb.progress import Stopwatch


def _spin(seconds: float) -> None:
    """Use up CPU time of this thread."""
    until = time.thread_time() + seconds
    while time.thread_time() < until:
        pass


def test_a_stage_inside_another_counts_as_its_own() -> None:
    clock = Stopwatch()
    with clock("outer"):
        _spin(0.02)
        with clock("inner"):
            _spin(0.05)
        with clock("inner"):
            _spin(0.01)
    assert clock.cpu_seconds["outer"] == pytest.approx(0.02, abs=0.01)
    assert clock.cpu_seconds["inner"] == pytest.approx(0.06, abs=0.01)
    assert clock.seconds["outer"] >= 0.02
    assert clock.seconds["inner"] >= 0.06


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
