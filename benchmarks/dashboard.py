"""Time the dashboard: first frame, update after a step, score-map slider to picture.

    python benchmarks/dashboard.py [--boxes 128 256] [--repeats 5]

States stand in for refinements (tests/standins.py), so that a step costs nothing and
what is timed is labelling, drawing and Bokeh's bookkeeping in this process, without the
browser's own drawing. Times are those on the clock and, in brackets, of the drawing
thread's CPU. Printed are the smallest of the repeats: the dashboard made from
nothing, the update of the overview after a step, the score map redrawn after a slider
of its extent and of its resolution moved, the surface after its slider moved; and the
size of the page and of a report.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import panel as pn
from bokeh.document import Document

from helixnb import Session
from helixnb.dashboards.live import SessionView
from helixnb.dashboards.views import surface, symmetry
from helixnb.iteration import initial, refinement
from helixnb.iteration.state import State
from tests import standins

PIXEL_A = 1.5


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--boxes", type=int, nargs="+", default=[128, 256])
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args(argv)
    pn.extension(inline=True)
    for box_px in args.boxes:
        print(f"box {box_px} px")
        for name, value in measure(box_px, args.repeats):
            print(f"  {name:<42} {value}")


def measure(box_px: int, repeats: int) -> list[tuple[str, str]]:
    """Return times and sizes for one box, as text."""
    session = _session(box_px, repeats)
    session.step()
    document = Document()
    pages: list[Any] = []

    def make() -> None:
        pages.append(session.dashboard())
        document.add_root(pages[0].__panel__().get_root(document))

    found = [("dashboard first made", _shortest([_timed(make)]))]
    steps = [_timed(session.step) for _ in range(repeats)]
    found.append(("update of the overview after a step", _shortest(steps)))
    size = len(json.dumps(document.to_json(), default=str))
    found.append(("page", f"{size / 1e6:.1f} MB"))
    pages[0].close()
    follow = SessionView(session)
    for label, view, slider, values in (
        ("score map, extent", symmetry.view, "Twist ± (°)", (4.0, 5.0, 6.0)),
        ("score map, resolution", symmetry.view, "Resolution (Å)", (9.0, 10.0, 11.0)),
        ("surface, turned", surface.view, "Turn about the axis (°)", (20, 40, 60)),
    ):
        layout = view(follow)
        layout.get_root(Document())
        (widget,) = (
            w for w in layout.select(pn.widgets.FloatSlider) if w.label == slider
        )
        times = [_timed(lambda v=v, w=widget: setattr(w, "value", v)) for v in values]
        found.append((f"{label}: slider to picture", _shortest(times)))
    with tempfile.TemporaryDirectory() as folder:
        report = session.report(Path(folder) / "report.html")
        found.append(("report", f"{report.stat().st_size / 1e6:.1f} MB"))
    return found


def _session(box_px: int, steps: int) -> Session:
    """Session whose steps hand out states made beforehand."""
    standins.BOX_PX, standins.PIXEL_SIZE_A = box_px, PIXEL_A
    states = [standins.standin_state(i) for i in range(steps + 2)]

    def step(state: State, *_: Any) -> State:
        return states[state.iteration + 1]

    initial.initial_state = lambda *_: states[0]  # type: ignore[assignment]
    refinement.step = step  # type: ignore[assignment]
    particles: Any = standins.StandinParticles()
    return Session(particles, standins.standin_parameters(), progress=False)


def _timed(action: Callable[[], Any]) -> tuple[float, float]:
    """Seconds on the clock and of this thread's CPU."""
    start = time.perf_counter(), time.thread_time()
    action()
    return time.perf_counter() - start[0], time.thread_time() - start[1]


def _shortest(times: Sequence[tuple[float, float]]) -> str:
    clock, cpu = (min(column) for column in zip(*times, strict=True))
    return f"{1000 * clock:.0f} ms ({1000 * cpu:.0f} ms)"


if __name__ == "__main__":
    main()
