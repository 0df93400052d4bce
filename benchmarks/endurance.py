"""Long runs: memory over many steps; threads and documents over many dashboards.

    python benchmarks/endurance.py --steps 200 --dashboards 50

Steps are real iterations on a tiny problem; memory is what the process holds after
each. Dashboards are opened by clients of a real server, which then go away.
"""

from __future__ import annotations

import argparse
import gc
import json
import socket
import tempfile
import threading
import time
import urllib.request
import weakref
from pathlib import Path

import numpy as np
import psutil

from helixnb import Session
from helixnb.simulate import Filaments, simulate_segments


def make_session(folder: Path) -> Session:
    data = simulate_segments(
        folder,
        twist_deg=-60.0,
        rise_A=14.0,
        box_px=32,
        pixel_size_A=4.0,
        filaments=Filaments(n_filaments=3, segments_per_filament=4),
    )
    return Session.from_file(
        data.particles_star, twist_deg=-60, rise_A=14, starts=1, progress=False
    )


def memory_MB() -> float:
    return float(psutil.Process().memory_info().rss) / 2**20


def grown(session: Session, steps: int) -> dict[str, float]:
    """Take steps; memory after the first quarter and at the end, and the slope."""
    held = []
    for _ in range(steps):
        session.step()
        held.append(memory_MB())
    late = np.array(held[steps // 4 :])
    slope = np.polyfit(np.arange(len(late)), late, 1)[0] if len(late) > 1 else 0.0
    return {
        "steps": steps,
        "quarter_MB": round(late[0], 1),
        "end_MB": round(late[-1], 1),
        "kB_per_step": round(1024 * float(slope), 1),
    }


def cycled(session: Session, times: int) -> dict[str, float]:
    """Open dashboards in a real server and leave them; what is left after a while."""
    import panel as pn

    documents: list[weakref.ref[object]] = []

    def page() -> object:
        documents.append(weakref.ref(pn.state.curdoc))
        return session.dashboard()

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = pn.serve(
        page,
        port=port,
        threaded=True,
        show=False,
        verbose=False,
        check_unused_sessions_milliseconds=200,
        unused_session_lifetime_milliseconds=200,
    )
    time.sleep(1)

    def visit(n: int) -> None:
        for _ in range(n):
            urllib.request.urlopen(f"http://localhost:{port}/").read()
        for _ in range(100):
            time.sleep(0.2)
            gc.collect()
            if not session._listeners._callbacks:
                break

    visit(2)  # imports and pools
    threads, held = threading.active_count(), memory_MB()
    documents.clear()
    visit(times)
    server.stop()
    # The last document is still referred to by the server's thread.
    left = sum(document() is not None for document in documents[:-1])
    return {
        "dashboards": len(documents),
        "threads_left": threading.active_count() - threads,
        "documents_left": left,
        "listeners_left": len(session._listeners._callbacks),
        "MB_left": round(memory_MB() - held, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--dashboards", type=int, default=50)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        session = make_session(Path(folder))
        result: dict[str, float] = {}
        if args.steps:
            result |= grown(session, args.steps)
        if args.dashboards:
            result |= cycled(session, args.dashboards)
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
