"""The dashboard in a real browser: served by Panel and by `helixnb serve`, and in Lab.

One browser, one server of each kind and one notebook serve all tests. Every test of
what a user does with a page runs in both places. Steps are stood in for, except in the
first notebook and behind `helixnb serve`.
"""

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from helixnb.simulate import Filaments, simulate_segments
from tests.browser import (
    REPOSITORY,
    free_port,
    lab_server,
    open_browser,
    panel_server,
    place_in_plot,
    plot_titles,
    run_all_cells,
    server,
)

playwright = pytest.importorskip(
    "playwright.sync_api",
    reason="playwright is not installed: pip install '.[browser]'",
)
pytestmark = [pytest.mark.browser, pytest.mark.slow]

TIMEOUT_MS = 60_000
SIZE = {"width": 1280, "height": 900}

SETTING = """
from pathlib import Path
import panel as pn
from helixnb import initial, refinement, Session
from tests.standins import *

initial.initial_state = standin_initial_state
refinement.step = standin_step(1.2)
pn.extension()

def make():
    session = Session(StandinParticles(), standin_parameters(), progress=False)
    # What a test reads: the rows of the session that was made last.
    record = Path({record!r})
    record.unlink(missing_ok=True)
    session.on_change(lambda s: s.iteration and s.history.to_json(record))
    return session
"""
SERVED = "make().dashboard().servable()"
SHARED = "pn.state.as_cached('session', make).dashboard().servable()"
IN_LAB = "session = make()\nsession.dashboard()"


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """File with the history of the session that was made last."""
    return tmp_path_factory.mktemp("record") / "history.json"


@pytest.fixture(scope="module")
def browser(chromium: str) -> Iterator[Any]:
    with open_browser(chromium) as opened:
        yield opened


@pytest.fixture(scope="module")
def address(record: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a dashboard; each visitor gets a session of their own."""
    script = tmp_path_factory.mktemp("served") / "app.py"
    script.write_text(SETTING.format(record=str(record)) + SERVED)
    with panel_server(script) as url:
        yield url


@pytest.fixture(scope="module")
def lab(record: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a JupyterLab with a notebook of the stand-ins and the first one."""
    folder = tmp_path_factory.mktemp("lab")
    source = REPOSITORY / "notebooks" / "01-first-refinement.ipynb"
    first = json.loads(source.read_text())
    cells = ["".join(cell["source"]).strip() for cell in first["cells"]]
    first["cells"] = first["cells"][: cells.index("session.dashboard()") + 1]
    (folder / "first.ipynb").write_text(json.dumps(first))
    texts = (SETTING.format(record=str(record)), IN_LAB)
    standins = first | {"cells": [_cell(i, text) for i, text in enumerate(texts)]}
    (folder / "standins.ipynb").write_text(json.dumps(standins))
    with lab_server(folder) as url:
        yield url


def _cell(number: int, text: str) -> dict[str, Any]:
    return {
        "cell_type": "code",
        "id": f"cell-{number}",
        "execution_count": None,
        "metadata": {},
        "outputs": [],
        "source": text,
    }


@pytest.fixture(scope="module")
def notebook(browser: Any, lab: str) -> Iterator[Any]:
    """Page of the notebook of the stand-ins, with its kernel."""
    page = browser.new_page(viewport=SIZE)
    page.set_default_timeout(TIMEOUT_MS)
    run_all_cells(page, lab, "standins.ipynb")
    page.wait_for_selector("text=Ready to refine")
    yield page
    page.close()


def opened(browser: Any, url: str) -> Any:
    page = browser.new_page(viewport=SIZE)
    page.set_default_timeout(TIMEOUT_MS)
    page.requested = []
    page.on("request", lambda request: page.requested.append(request.url))
    page.goto(url)
    page.wait_for_selector("text=Ready to refine")
    return page


@pytest.fixture(params=["served", "JupyterLab"])
def page(request: pytest.FixtureRequest, browser: Any) -> Iterator[Any]:
    """Dashboard of a new session before its first step, in both places."""
    if request.param == "served":
        page = opened(browser, request.getfixturevalue("address"))
        yield page
        page.close()
        return
    page = request.getfixturevalue("notebook")
    before = page.locator("text=/^(Iteration [0-9]+|Not started)/").first
    page.locator(".jp-InputPrompt").last.click()
    page.keyboard.press("Control+Enter")
    # A new dashboard takes the place of the one before.
    if "Iteration" in before.inner_text():
        before.wait_for(state="detached")
    page.wait_for_selector("text=Ready to refine")
    yield page


@pytest.fixture
def served(browser: Any, address: str) -> Iterator[Any]:
    """Dashboard of a new session as a page of its own."""
    page = opened(browser, address)
    yield page
    page.close()


def press(page: Any, label: str) -> None:
    page.get_by_role("button", name=label, exact=True).locator("visible=true").click()


def wait_for_iteration(page: Any, pattern: str) -> None:
    page.wait_for_selector(f"text=/Iteration {pattern}/")


def wait_for_title(page: Any, beginning: str) -> None:
    end = time.monotonic() + TIMEOUT_MS / 1000
    while not any(title.startswith(beginning) for title in plot_titles(page)):
        assert time.monotonic() < end, f"no plot {beginning!r} in {plot_titles(page)}"
        time.sleep(0.1)


def wait_until_idle(page: Any) -> None:
    page.wait_for_selector("text=Ready.")


def run_until(page: Any, iteration: int) -> None:
    """Run, and pause at this iteration or soon after."""
    press(page, "Run")
    wait_for_iteration(page, f"[{iteration}-9]")
    press(page, "Pause")
    wait_until_idle(page)


def headline(page: Any) -> int:
    """Read the number of the iteration shown."""
    text = page.locator("text=/^Iteration [0-9]+/").first.inner_text()
    return int(re.search(r"\d+", text).group())  # type: ignore[union-attr]


def field(page: Any, label: str) -> Any:
    return page.get_by_role("textbox", name=label)


def enter(page: Any, label: str, value: str) -> None:
    box = field(page, label)
    box.fill(value)
    box.press("Enter")


# --- what a user does, in both places -------------------------------------------------


def test_step_changes_iteration_and_fsc(page: Any) -> None:
    assert page.locator("text=120 segments of 10 filaments").is_visible()
    assert not plot_titles(page)
    for iteration in (1, 2):
        press(page, "Step")
        wait_for_iteration(page, str(iteration))
        wait_for_title(page, f"FSC of iteration {iteration}:")


def test_pause_stops_within_one_iteration_and_back_undoes(
    page: Any, record: Path
) -> None:
    press(page, "Run")
    wait_for_iteration(page, "[2-9]")
    press(page, "Pause")
    finished = len(pd.read_json(record))
    wait_until_idle(page)
    stopped = headline(page)
    # The one that ran, and one that ended while the click was on its way.
    assert finished <= stopped <= finished + 2
    page.wait_for_timeout(2000)
    assert headline(page) == stopped
    press(page, "Back")
    wait_for_iteration(page, str(stopped - 1))
    wait_for_title(page, f"FSC of iteration {stopped - 1}:")


def test_an_edit_during_a_run_is_used_next_and_recorded(
    page: Any, record: Path
) -> None:
    press(page, "Run")
    wait_for_iteration(page, "[1-9]")
    before = headline(page)
    enter(page, "Twist (°)", "-61.5")
    page.wait_for_selector(".hx-edited")  # waits for the iteration that is running
    page.locator(".hx-edited").wait_for(state="detached")
    press(page, "Pause")
    wait_until_idle(page)
    history = pd.read_json(record)
    used = history.loc[history["parameter_twist_deg"] == -61.5, "iteration"]
    assert len(used) == 1
    # The stand-in halves the distance to -60 in each iteration that searches.
    assert before < int(used.iloc[0]) <= before + 3
    assert float(field(page, "Twist (°)").input_value()) < -60.05


def test_an_error_is_shown_and_can_be_overcome(page: Any) -> None:
    enter(page, "Rise (Å)", "15.5")
    press(page, "Step")
    error = page.locator(".hx-error")
    error.wait_for()
    assert "no density left, said the stand-in" in error.inner_text()
    enter(page, "Rise (Å)", "14.2")
    press(page, "Step")
    wait_for_iteration(page, "1")
    error.wait_for(state="detached")


def test_a_click_on_the_score_map_sets_twist_and_rise(page: Any) -> None:
    run_until(page, 3)
    wait_for_title(page, "Symmetry score")
    names = ("Twist (°)", "Rise (Å)")
    before = [float(field(page, name).input_value()) for name in names]
    place_in_plot(page, "Symmetry score", 0.25, 0.25)  # scrolls there
    page.wait_for_timeout(300)
    page.mouse.click(*place_in_plot(page, "Symmetry score", 0.25, 0.25))
    page.wait_for_selector(".hx-edited")
    after = [float(field(page, name).input_value()) for name in names]
    assert after[0] < before[0] - 0.5  # left of the middle
    assert after[1] > before[1] + 0.2  # above it
    chosen = page.locator(".hx-edited").inner_text()
    assert "twist_deg" in chosen
    assert "rise_A" in chosen


# --- a page of its own ----------------------------------------------------------------

VIEWS = {
    "Symmetry": "Layer lines",
    "Map": "Surface at",
    "Orientations": "Viewing directions",
    "Filaments": "Segments of filament 0",
    "Particles": "Worst explained images",
    "Convergence": "Guinier plot",
}


def test_every_view_opens_and_catches_up_light_and_dark(served: Any) -> None:
    page = served
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    run_until(page, 3)
    for view, beginning in VIEWS.items():
        press(page, view)
        wait_for_title(page, beginning)
        assert not page.locator(".hx-error").count()
        width = page.evaluate("() => document.documentElement.scrollWidth")
        assert width <= SIZE["width"], view
    now = headline(page)
    press(page, "Step")
    wait_for_iteration(page, str(now + 1))
    press(page, "Overview")  # which was not open
    wait_for_title(page, f"FSC of iteration {now + 1}:")
    press(page, "Dark")
    page.get_by_role("button", name="Light", exact=True).wait_for()
    assert not errors


def test_a_candidate_in_the_list_can_be_chosen(served: Any) -> None:
    run_until(served, 3)
    press(served, "Symmetry")
    served.locator("button", has_text="2 x the best").click()
    served.wait_for_selector(".hx-edited")
    assert field(served, "Twist (°)").input_value() == "-120"
    assert field(served, "Rise (Å)").input_value() == "28"


def test_a_slider_of_the_search_redraws_the_score_map(served: Any) -> None:
    run_until(served, 3)
    press(served, "Symmetry")
    wait_for_title(served, "Symmetry score")
    handle = served.locator(".noUi-handle").locator("visible=true").first
    handle.focus()
    handle.press("ArrowRight")
    wait_for_title(served, "Score 0.")


def test_two_tabs_of_one_session_agree(
    browser: Any, record: Path, tmp_path: Path
) -> None:
    script = tmp_path / "shared.py"
    script.write_text(SETTING.format(record=str(record)) + SHARED)
    with panel_server(script) as url:
        tabs = first, second = opened(browser, url), opened(browser, url)
        press(first, "Step")
        for tab in tabs:
            wait_for_iteration(tab, "1")
            wait_for_title(tab, "FSC of iteration 1:")
        enter(second, "Rise (Å)", "14.35")
        playwright.expect(field(first, "Rise (Å)")).to_have_value(
            "14.35", timeout=TIMEOUT_MS
        )
        press(second, "Step")
        for tab in tabs:
            wait_for_title(tab, "FSC of iteration 2:")
            tab.close()


def test_an_impossible_value_is_refused_and_taken_back(served: Any) -> None:
    enter(served, "Rise (Å)", "90")
    served.wait_for_selector(".hx-error")
    assert "more than half of the box" in served.locator(".hx-error").inner_text()
    playwright.expect(field(served, "Rise (Å)")).to_have_value(
        "14.2", timeout=TIMEOUT_MS
    )


def test_the_page_asks_nothing_of_other_machines(served: Any) -> None:
    press(served, "Step")
    wait_for_title(served, "FSC of iteration 1:")
    remote = {
        url
        for url in served.requested
        if url.startswith("http") and "127.0.0.1" not in url
    }
    assert not remote


# --- the real thing -------------------------------------------------------------------


def test_helixnb_serve_refines(browser: Any, tmp_path: Path) -> None:
    data = simulate_segments(
        tmp_path,
        twist_deg=-60.0,
        rise_A=14.0,
        box_px=24,
        pixel_size_A=5.0,
        filaments=Filaments(n_filaments=4, segments_per_filament=6),
    )
    port = free_port()
    command = ["helixnb", "serve", str(data.particles_star), "--twist", "-60"]
    command += ["--rise", "14", "--port", str(port), "--checkpoint"]
    command += [str(tmp_path / "session.npz")]
    url = f"http://127.0.0.1:{port}"
    with server(command, url, tmp_path / "serve.log"):
        page = opened(browser, url)
        assert page.locator("text=24 segments of 4 filaments").is_visible()
        press(page, "Step")
        wait_for_iteration(page, "1")
        wait_for_title(page, "FSC of iteration 1:")
        assert not page.locator(".hx-error").count()
        page.close()
    assert (tmp_path / "session.npz").exists()


def test_the_first_notebook_works_in_jupyterlab(browser: Any, lab: str) -> None:
    page = browser.new_page(viewport=SIZE)
    page.set_default_timeout(2 * TIMEOUT_MS)
    run_all_cells(page, lab, "first.ipynb")
    wait_for_iteration(page, "1")
    wait_for_title(page, "FSC of iteration 1:")
    press(page, "Step")
    wait_for_iteration(page, "2")
    wait_for_title(page, "FSC of iteration 2:")
    assert not page.locator(".hx-error").count()
    page.close()
