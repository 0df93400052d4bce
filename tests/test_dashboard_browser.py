"""The dashboard in a real browser: served by Panel, and in JupyterLab."""

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.browser import (
    REPOSITORY,
    browser_page,
    lab_server,
    panel_server,
    plot_titles,
    run_all_cells,
)

playwright = pytest.importorskip(
    "playwright.sync_api",
    reason="playwright is not installed: pip install '.[browser]'",
)
pytestmark = [pytest.mark.browser, pytest.mark.slow]

TIMEOUT_MS = 60_000
SCRIPT = """
import panel as pn
from helixnb import initial, refinement, Session
from tests.standins import *

initial.initial_state = standin_initial_state
refinement.step = standin_step(1.5)
pn.extension()
session = Session(StandinParticles(), standin_parameters(), progress=False)
session.dashboard().servable()
"""


SHARED = SCRIPT.replace("session = ", "make = lambda: ").replace(
    "session.dashboard()",
    "pn.state.as_cached('session', make).dashboard()",
)


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a dashboard; each visitor gets a session of their own."""
    script = tmp_path_factory.mktemp("served") / "app.py"
    script.write_text(SCRIPT)
    with panel_server(script) as url:
        yield url


@pytest.fixture
def page(chromium: str, address: str) -> Iterator[Any]:
    """Dashboard before the first step, as a browser page."""
    with browser_page(chromium) as opened:
        opened.set_default_timeout(TIMEOUT_MS)
        opened.requested = []
        opened.on("request", lambda request: opened.requested.append(request.url))
        opened.goto(address)
        opened.wait_for_selector("text=Ready to refine")
        yield opened


def press(page: Any, label: str) -> None:
    page.get_by_role("button", name=label, exact=True).click()


def wait_for_iteration(page: Any, pattern: str) -> None:
    page.wait_for_selector(f"text=/Iteration {pattern}/")


def wait_for_title(page: Any, beginning: str) -> None:
    end = time.monotonic() + TIMEOUT_MS / 1000
    while not any(title.startswith(beginning) for title in plot_titles(page)):
        assert time.monotonic() < end, f"no plot {beginning!r} in {plot_titles(page)}"
        time.sleep(0.1)


def headline(page: Any) -> int:
    """Read the number of the iteration shown."""
    text = page.locator("text=/^Iteration [0-9]+/").first.inner_text()
    return int(re.search(r"\d+", text).group())  # type: ignore[union-attr]


def field(page: Any, label: str) -> Any:
    return page.get_by_role("textbox", name=label)


def test_the_first_frame_says_what_is_loaded(page: Any) -> None:
    assert page.locator("text=120 segments of 10 filaments").is_visible()
    assert not plot_titles(page)


def test_step_moves_headline_and_plots(page: Any) -> None:
    for iteration in (1, 2):
        press(page, "Step")
        wait_for_iteration(page, str(iteration))
        wait_for_title(page, f"FSC of iteration {iteration}:")


def test_pause_stops_a_run_and_back_undoes(page: Any) -> None:
    press(page, "Run")
    wait_for_iteration(page, "[2-9]")
    press(page, "Pause")
    page.wait_for_selector("text=Ready.")
    stopped = headline(page)
    assert stopped < 9  # where the stand-in converges
    page.wait_for_timeout(2500)
    assert headline(page) == stopped
    press(page, "Back")
    wait_for_iteration(page, str(stopped - 1))
    wait_for_title(page, f"FSC of iteration {stopped - 1}:")


def test_an_edit_during_a_run_is_used_by_the_next_iteration(page: Any) -> None:
    press(page, "Run")
    wait_for_iteration(page, "[1-9]")
    twist = field(page, "Twist (°)")
    twist.fill("-61.5")
    twist.press("Enter")
    page.wait_for_selector(".hx-edited")  # waits for the iteration that is running
    page.locator(".hx-edited").wait_for(state="detached")
    press(page, "Pause")
    page.wait_for_selector("text=Ready.")
    # The stand-in halves the distance to -60 in each iteration that searches.
    assert float(twist.input_value()) < -60.05


def test_two_tabs_of_one_session_agree(chromium: str, tmp_path: Path) -> None:
    script = tmp_path / "shared.py"
    script.write_text(SHARED)
    with panel_server(script) as url, browser_page(chromium) as first:
        second = first.context.new_page()
        for tab in (first, second):
            tab.set_default_timeout(TIMEOUT_MS)
            tab.goto(url)
            tab.wait_for_selector("text=Ready to refine")
        press(first, "Step")
        for tab in (first, second):
            wait_for_iteration(tab, "1")
            wait_for_title(tab, "FSC of iteration 1:")
        rise = field(second, "Rise (Å)")
        rise.fill("14.35")
        rise.press("Enter")
        playwright.expect(field(first, "Rise (Å)")).to_have_value(
            "14.35", timeout=TIMEOUT_MS
        )
        press(second, "Step")
        for tab in (first, second):
            wait_for_title(tab, "FSC of iteration 2:")


VIEWS = {
    "Symmetry": "Layer lines",
    "Map": "Surface at",
    "Orientations": "Viewing directions",
    "Filaments": "Segments of filament 0",
    "Particles": "Worst explained images",
    "Convergence": "Guinier plot",
}


def test_every_view_opens_light_and_dark(page: Any) -> None:
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    press(page, "Run")
    wait_for_iteration(page, "[3-9]")
    press(page, "Pause")
    page.wait_for_selector("text=Ready.")
    for view, beginning in VIEWS.items():
        press(page, view)
        wait_for_title(page, beginning)
        assert not page.locator(".hx-error").count()
    press(page, "Dark")
    page.get_by_role("button", name="Light", exact=True).wait_for()
    assert not errors


def test_an_error_is_shown_and_can_be_overcome(page: Any) -> None:
    rise = field(page, "Rise (Å)")
    rise.fill("15.5")
    rise.press("Enter")
    press(page, "Step")
    error = page.locator(".hx-error")
    error.wait_for()
    assert "no density left, said the stand-in" in error.inner_text()
    rise.fill("14.2")
    rise.press("Enter")
    press(page, "Step")
    wait_for_iteration(page, "1")
    error.wait_for(state="detached")


def test_an_impossible_value_is_refused_and_taken_back(page: Any) -> None:
    rise = field(page, "Rise (Å)")
    rise.fill("90")
    rise.press("Enter")
    page.wait_for_selector(".hx-error")
    assert "more than half of the box" in page.locator(".hx-error").inner_text()
    playwright.expect(rise).to_have_value("14.2", timeout=TIMEOUT_MS)


def test_a_click_on_the_score_map_sets_twist_and_rise(page: Any) -> None:
    press(page, "Run")
    wait_for_iteration(page, "[3-9]")
    press(page, "Pause")
    page.wait_for_selector("text=Ready.")
    wait_for_title(page, "Symmetry score")
    place = page.evaluate(
        """() => {
          const isMap = view => view.model.title?.text?.startsWith("Symmetry score");
          const seen = [...Object.values(Bokeh.index.roots ?? Bokeh.index)];
          while (seen.length) {
            const view = seen.pop();
            if (view.model?.type === "Figure" && isMap(view)) {
              const box = view.canvas_view.el.getBoundingClientRect();
              const frame = view.frame.bbox;
              return [box.left + frame.left + 0.25 * frame.width,
                      box.top + frame.top + 0.25 * frame.height];
            }
            seen.push(...(view.child_views ?? []), ...(view.children?.() ?? []));
          }
        }"""
    )
    assert place, "the score map is not on the page"
    before = [
        float(field(page, name).input_value()) for name in ("Twist (°)", "Rise (Å)")
    ]
    page.mouse.click(*place)
    page.wait_for_selector(".hx-edited")
    after = [
        float(field(page, name).input_value()) for name in ("Twist (°)", "Rise (Å)")
    ]
    assert after[0] < before[0] - 0.5  # left of the middle
    assert after[1] > before[1] + 0.2  # above it
    chosen = page.locator(".hx-edited").inner_text()
    assert "twist_deg" in chosen
    assert "rise_A" in chosen


def test_the_page_asks_nothing_of_other_machines(page: Any) -> None:
    press(page, "Step")
    wait_for_title(page, "FSC of iteration 1:")
    remote = {
        url
        for url in page.requested
        if url.startswith("http") and "127.0.0.1" not in url
    }
    assert not remote


def test_the_first_notebook_works_in_jupyterlab(chromium: str, tmp_path: Path) -> None:
    source = REPOSITORY / "notebooks" / "01-first-refinement.ipynb"
    notebook = json.loads(source.read_text())
    cells = ["".join(cell["source"]).strip() for cell in notebook["cells"]]
    end = cells.index("session.dashboard()") + 1
    notebook["cells"] = notebook["cells"][:end]
    (tmp_path / "first.ipynb").write_text(json.dumps(notebook))
    with lab_server(tmp_path) as lab, browser_page(chromium) as page:
        page.set_default_timeout(4 * TIMEOUT_MS)
        run_all_cells(page, lab, "first.ipynb")
        wait_for_iteration(page, "1")
        wait_for_title(page, "FSC of iteration 1:")
        press(page, "Step")
        wait_for_iteration(page, "2")
        wait_for_title(page, "FSC of iteration 2:")
        assert not page.locator(".hx-error").count()
