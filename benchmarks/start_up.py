"""Time a fresh process: import, opening a session, and its first step.

    python benchmarks/start_up.py

Each row is a process of its own that imports helixnb, opens simulated segments and
makes two steps; the first has an empty cache of compiled code (a new folder for numba),
the others find there what the first compiled. CPU seconds are those of the process.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from helixnb.simulate import Filaments, Microscope, simulate_segments

TWIST_DEG, RISE_A = -27.0, 12.0
CODE = """
import json, sys, time
rows, wall, cpu = {}, time.perf_counter(), time.process_time()
def lap(name):
    global wall, cpu
    now = time.perf_counter(), time.process_time()
    rows[name] = now[0] - wall, now[1] - cpu
    wall, cpu = now
import helixnb
lap("import helixnb")
session = helixnb.Session.from_file(
    sys.argv[1], twist_deg=-27.0, rise_A=12.0, starts=1
)
lap("open")
session.step()
lap("first step")
session.step()
lap("second step")
print(json.dumps(rows))
"""


def main() -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory() as folder:
        data = simulate_segments(
            Path(folder) / "data",
            twist_deg=TWIST_DEG,
            rise_A=RISE_A,
            box_px=80,
            filaments=Filaments(
                n_filaments=16, segments_per_filament=20, inter_box_A=40.0
            ),
            microscope=Microscope(snr=0.3),
        )
        environment = os.environ | {"NUMBA_CACHE_DIR": str(Path(folder) / "cache")}
        for label in ("nothing compiled", "compiled before", "compiled before"):
            run = subprocess.run(
                [sys.executable, "-c", CODE, str(data.particles_star)],
                check=True,
                capture_output=True,
                text=True,
                env=environment,
            )
            rows = json.loads(run.stdout.splitlines()[-1])
            times = ", ".join(
                f"{name} {wall:.2f} s ({cpu:.2f} CPU)"
                for name, (wall, cpu) in rows.items()
            )
            print(f"{label}: {times}", flush=True)


if __name__ == "__main__":
    main()
