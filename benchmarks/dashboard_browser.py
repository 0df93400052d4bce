"""Time the dashboard on its page: what a user waits for, measured in Chromium.

    python benchmarks/dashboard_browser.py [--boxes 128 256] [--repeats 5] [--lab]

States stand in for refinements (tests/standins.py), so that a step costs nothing, and
the page marks when a plot has been painted (the User Timing marks of the browser, read
back at the end). Printed for each box, median and largest of the repeats:

first shown        from asking for the page of a session with results, or from running
                   its cell, until all plots of the overview are painted
after a step       from the end of the step, in the kernel, until the FSC with the new
                   iteration in its title, and all plots after it, are painted
score-map slider   from the key that moves it until the new map is painted
tab opened         from the click until all plots of the tab are painted, the first
                   time; in brackets when it is opened again
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.browser import (
    FIGURES,
    browser_page,
    lab_server,
    panel_server,
    run_all_cells,
    run_cell_again,
)

TIMEOUT_MS = 120_000
QUIET_MS = 700
"""Without a painted plot for so long, a page has shown what it had to show."""

FORGET_MS = 4000
"""Pages that were left are drawn as well, until the server forgets them."""

SETTING = """
import time
from dataclasses import replace
from pathlib import Path
from typing import Any
import panel as pn
from helixnb import Session
from helixnb.iteration import initial, refinement
from tests import standins

standins.BOX_PX, standins.PIXEL_SIZE_A = {box_px}, 1.5
# Two that take turns: each holds six maps.
states = pn.state.as_cached(
    "states", lambda: [standins.standin_state(i) for i in (0, 2, 3)]
)
ended = Path({ended!r})

def step(state, *_):
    iteration = state.iteration + 1
    new = replace(states[1 + iteration % 2], iteration=iteration)
    with ended.open("a") as file:
        file.write(f"{{new.iteration}} {{1000 * time.time()}}\\n")
    return new

initial.initial_state = lambda *_: states[0]
refinement.step = step

def make():
    session = Session(
        standins.StandinParticles(), standins.standin_parameters(), progress=False
    )
    return session.run(2, background=False)

pn.extension()
"""

SHARED = "pn.state.as_cached('session', make).dashboard().servable()"

WATCH = f"""
window.watchPlots = () => {{
  {FIGURES}
  if (window.isWatched || !found.length) return Boolean(window.isWatched)
  let prototype = found[0]
  while (!Object.hasOwn(prototype, "_actual_paint"))
    prototype = Object.getPrototypeOf(prototype)
  const paint = prototype._actual_paint
  prototype._actual_paint = function () {{
    paint.call(this)
    // What is drawn into a canvas is seen with the frame after it.
    const title = this.model.title?.text ?? ""
    requestAnimationFrame(() => performance.mark("plot", {{detail: title}}))
  }}
  return window.isWatched = true
}}
document.addEventListener("click", () => performance.mark("click"), true)
document.addEventListener("keydown", () => performance.mark("key"), true)
const seek = setInterval(() => window.watchPlots() && clearInterval(seek), 10)
"""


class Marks:
    """Times of the marks of a page, in milliseconds since 1970.

    Parameters
    ----------
    page : playwright.sync_api.Page
        With `WATCH` running.
    """

    def __init__(self, page: Any) -> None:
        self.page = page

    def clear(self) -> None:
        """Forget what was marked."""
        self.page.evaluate("() => performance.clearMarks()")

    def read(self) -> list[tuple[str, str, float]]:
        """Name, title and time of all marks, the earliest first."""
        found: list[tuple[str, str, float]] = self.page.evaluate(
            """() => performance.getEntriesByType("mark").map(mark =>
              [mark.name, mark.detail ?? "",
               performance.timeOrigin + mark.startTime])"""
        )
        return found

    def wait(self, beginning: str) -> list[tuple[str, str, float]]:
        """Read them once a plot of this title is painted, and no more follow."""
        self.page.wait_for_function(
            f"""beginning => {{
              const plots = performance.getEntriesByName("plot")
              return plots.some(mark => mark.detail.startsWith(beginning))
                && performance.now() - plots.at(-1).startTime > {QUIET_MS} }}""",
            arg=beginning,
            timeout=TIMEOUT_MS,
        )
        return self.read()


def last_plot(marks: Sequence[tuple[str, str, float]]) -> float:
    """Time of the last plot that was painted."""
    return max(time for name, _, time in marks if name == "plot")


def first_of(marks: Sequence[tuple[str, str, float]], name: str) -> float:
    """Time of the first mark of a name."""
    return min(time for found, _, time in marks if found == name)


TABS = {
    "Symmetry": "Layer lines",
    "Map": "Surface at",
    "Orientations": "Viewing directions",
    "Filaments": "Segments of filament",
    "Particles": "Worst explained images",
    "Convergence": "Guinier plot",
}
"""Names of the tabs, and how the title of a plot in each begins."""


def press(page: Any, label: str) -> None:
    """Press a button of the dashboard."""
    page.get_by_role("button", name=label, exact=True).locator("visible=true").click()


def measured(
    page: Any, ended: Path, repeats: int, show: Callable[[], float]
) -> Iterator[tuple[str, list[float]]]:
    """Yield times of one box, in milliseconds, by what is waited for."""
    page.set_default_timeout(TIMEOUT_MS)
    marks = Marks(page)
    asked = show()
    yield "first shown", [last_plot(marks.wait("FSC of iteration 2")) - asked]
    waits = []
    for iteration in range(3, 3 + repeats):
        page.wait_for_selector("text=Ready.")
        marks.clear()
        press(page, "Step")
        painted = last_plot(marks.wait(f"FSC of iteration {iteration}"))
        at = dict(map(str.split, ended.read_text().splitlines()))
        waits.append(painted - float(at[str(iteration)]))
    yield "after a step", waits
    for tab, title in TABS.items():
        marks.clear()
        press(page, tab)
        found = marks.wait(title)
        yield f"tab opened: {tab}", [last_plot(found) - first_of(found, "click")]
        if tab == "Symmetry":
            yield "score-map slider", _slider(page, marks, repeats)


def _slider(page: Any, marks: Marks, repeats: int) -> list[float]:
    handle = page.locator(".noUi-handle").locator("visible=true").first
    handle.focus()
    waits = []
    for _ in range(repeats):
        marks.clear()
        handle.press("ArrowRight")
        found = marks.wait("Score 0.")
        pressed = first_of(found, "key")
        waits.append(
            min(t for _, title, t in found if title.startswith("Score 0.")) - pressed
        )
    return waits


@contextmanager
def served(folder: Path, setting: str, page: Any) -> Iterator[Callable[[], float]]:
    """Show the dashboard by a server."""
    script = folder / "app.py"
    script.write_text(setting + SHARED)
    forget = [f"--unused-session-lifetime={FORGET_MS}", "--check-unused-sessions=1000"]
    with panel_server(script, options=forget) as root:

        def show() -> float:
            page.goto(f"{root}/{script.stem}")
            # The first visit imports, and makes the session.
            Marks(page).wait("FSC of iteration 2")
            page.goto("about:blank")
            page.wait_for_timeout(2 * FORGET_MS)
            page.goto(f"{root}/{script.stem}")
            asked: float = page.evaluate("() => performance.timeOrigin")
            return asked

        yield show


@contextmanager
def in_lab(folder: Path, setting: str, page: Any) -> Iterator[Callable[[], float]]:
    """Show the dashboard in a cell of a notebook."""
    cells = [
        {
            "cell_type": "code",
            "id": f"cell-{i}",
            "execution_count": None,
            "metadata": {},
            "outputs": [],
            "source": text,
        }
        for i, text in enumerate((setting, "session = make()\nsession.dashboard()"))
    ]
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    notebook = {
        "cells": cells,
        "metadata": {"kernelspec": kernel},
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    (folder / "bench.ipynb").write_text(json.dumps(notebook))
    with lab_server(folder) as lab:

        def show() -> float:
            run_all_cells(page, lab, "bench.ipynb")
            marks = Marks(page)
            marks.wait("FSC of iteration 2")
            page.wait_for_selector("text=Ready.")
            marks.clear()
            asked: float = page.evaluate(
                "() => performance.timeOrigin + performance.now()"
            )
            run_cell_again(page)
            return asked

        yield show


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--boxes", type=int, nargs="+", default=[128, 256])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--lab", action="store_true", help="in JupyterLab")
    args = parser.parse_args(argv)
    names = ("chromium", "chromium-browser", "google-chrome")
    chromium = os.environ.get("HELIXNB_CHROMIUM") or next(
        filter(None, map(shutil.which, names)), None
    )
    if chromium is None:
        raise SystemExit(f"no browser: none of {', '.join(names)} is on PATH")
    place = in_lab if args.lab else served
    for box_px in args.boxes:
        print(f"box {box_px} px, {'JupyterLab' if args.lab else 'served'}")
        with tempfile.TemporaryDirectory() as name, browser_page(chromium) as page:
            folder = Path(name)
            ended = folder / "ended"
            setting = SETTING.format(box_px=box_px, ended=str(ended))
            page.add_init_script(WATCH)
            with place(folder, setting, page) as show:
                for what, waits in measured(page, ended, args.repeats, show):
                    print(
                        f"  {what:<28} {statistics.median(waits):6.0f} ms"
                        + (f"  (most {max(waits):.0f})" if len(waits) > 1 else ""),
                        flush=True,
                    )


if __name__ == "__main__":
    main()
