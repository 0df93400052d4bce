"""The benchmark of GPUs comes to its end, here with the CPU in the place of one."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).resolve().parent.parent / "benchmarks" / "gpu.py"


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SCRIPT), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_it_prints_a_table_to_paste() -> None:
    small = ["--images", "80", "--box", "32", "--pixel-size", "5", "--iterations", "1"]
    run = _run("--device", "cpu", "--no-parity", *small)
    assert run.returncode == 0, run.stderr
    lines = [line for line in run.stdout.splitlines() if line.startswith("|")]
    assert lines[0] == "| stage | CPU, core s / cores | device, s | floor, s |"
    assert {line.count("|") for line in lines} == {5}
    rows = {line.split("|")[1].strip(): line.split("|")[2:5] for line in lines[2:]}
    assert {"E-step", "M-step", "read", "whole iteration, wall"} <= set(rows)
    for stage in ("E-step", "M-step"):
        # No floor for a CPU, whose cache holds small tables; but about as large.
        cpu, device, floor = map(float, rows[stage])
        assert 0 < floor < 10 * max(cpu, device)
    apart = re.search(r"half-maps: (\S+) of the maximum", run.stdout)
    assert apart is not None
    assert float(apart[1]) < 1e-6


def test_a_device_that_is_not_there_is_told_in_a_line() -> None:
    run = _run("--device", "cuda:77")
    assert run.returncode == 1
    assert "Use device='cpu'" in run.stderr
    assert "Traceback" not in run.stderr
