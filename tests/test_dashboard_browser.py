"""The dashboard in a real browser: served by Panel and by `helixnb serve`, and in Lab.

One browser, one server of each kind and one notebook serve all tests. Every test of
what a user does with a page runs in both places. Steps are stood in for, except in the
first notebook and behind `helixnb serve`.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pandas as pd
import pytest

from helixnb.dashboards.style import THEMES
from helixnb.simulate import Filaments, simulate_segments
from tests.browser import (
    FIGURES,
    REPOSITORY,
    free_port,
    lab_server,
    open_browser,
    panel_server,
    place_in_plot,
    plot_titles,
    run_all_cells,
    run_cell_again,
    save_notebook,
    server,
    wait_for_plot,
)

playwright = pytest.importorskip(
    "playwright.sync_api",
    reason="playwright is not installed: pip install '.[browser]'",
)
pytestmark = pytest.mark.browser

TIMEOUT_MS = 60_000
READY = "text=/Ready( to refine|[.])/"
SIZE = {"width": 1280, "height": 900}
NARROW_PX = 880
OPEN = 10**6

SETTING = """
import time
from pathlib import Path
import panel as pn
import helixnb.dashboards
from helixnb import Session
from helixnb.iteration import initial, refinement
from tests.standins import *

folder = Path({folder!r})
compute = standin_step(0.1)

def step(state, *others):
    # An iteration lasts until the test lets it end.
    while state.iteration >= int((folder / "last").read_text()):
        time.sleep(0.02)
    return compute(state, *others)

def record(session):
    if session.iteration:
        # A test may read it at any time.
        session.history.to_json(folder / "history.part")
        (folder / "history.part").replace(folder / "history.json")

initial.initial_state = standin_initial_state
refinement.step = step
pn.extension()

def make():
    session = Session(StandinParticles(), standin_parameters(), progress=False)
    (folder / "history.json").unlink(missing_ok=True)
    session.on_change(record)
    done = int((folder / "first").read_text())
    return session.run(done, background=False) if done else session
"""
SERVED = "make().dashboard().servable()"
SHARED = "pn.state.as_cached('session', make).dashboard().servable()"
IN_LAB = """
shown = globals().get("shown", 0) + 1
print("dashboard number", shown)
session = make()
session.dashboard()
"""

# "Run All" has the kernel busy before the page of the first of them opens.
BUSY = ("session = make()\nsession.dashboard()", "for _ in range(3): session.step()")


class Hand:
    """What a test lets the sessions of all pages do, and what they did.

    Parameters
    ----------
    folder : Path
        Files that sessions read while they compute.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.reset()

    def reset(self) -> None:
        """Let new sessions begin before the first iteration, and compute freely."""
        self.begin_after(0)
        self.allow(OPEN)

    def begin_after(self, iteration: int) -> None:
        """Let new sessions have computed this many iterations."""
        self._write("first", iteration)

    def allow(self, iteration: int) -> None:
        """Let iterations up to this one end, and hold the next."""
        self._write("last", iteration)

    def history(self) -> pd.DataFrame:
        """Read the history of the session that was made last."""
        return pd.read_json(self.folder / "history.json")

    def _write(self, name: str, number: int) -> None:
        partial = self.folder / f"{name}.part"
        partial.write_text(str(number))
        partial.replace(self.folder / name)


@pytest.fixture(scope="module")
def the_hand(tmp_path_factory: pytest.TempPathFactory) -> Hand:
    return Hand(tmp_path_factory.mktemp("hand"))


@pytest.fixture(autouse=True)
def hand(the_hand: Hand) -> Iterator[Hand]:
    the_hand.reset()
    yield the_hand
    the_hand.reset()  # or a session that is held would stay


@pytest.fixture(scope="module")
def browser(chromium: str) -> Iterator[Any]:
    with open_browser(chromium) as opened:
        yield opened


@pytest.fixture(scope="module")
def root(the_hand: Hand, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a server: each visitor of ``/own`` gets a session of their own."""
    folder = tmp_path_factory.mktemp("served")
    scripts = [folder / "own.py", folder / "shared.py"]
    for script, shown in zip(scripts, (SERVED, SHARED), strict=True):
        script.write_text(SETTING.format(folder=str(the_hand.folder)) + shown)
    with panel_server(*scripts) as url:
        yield url


@pytest.fixture(scope="module")
def lab(the_hand: Hand, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a JupyterLab with the first notebook, and three of the stand-ins."""
    folder = tmp_path_factory.mktemp("lab")
    source = REPOSITORY / "notebooks" / "01-first-refinement.ipynb"
    first = json.loads(source.read_text())
    cells = ["".join(cell["source"]).strip() for cell in first["cells"]]
    first["cells"] = first["cells"][: cells.index("session.dashboard()") + 1]
    (folder / "first.ipynb").write_text(json.dumps(first))
    setting = SETTING.format(folder=str(the_hand.folder))
    for name, texts in (("standins", (IN_LAB,)), ("views", ALONE), ("busy", BUSY)):
        made = [_cell(i, text) for i, text in enumerate((setting, *texts))]
        (folder / f"{name}.ipynb").write_text(json.dumps(first | {"cells": made}))
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
    page = new_page(browser)
    run_all_cells(page, lab, "standins.ipynb")
    page.wait_for_selector(READY)
    page.shown = 1
    yield page
    page.close()


def new_page(browser: Any) -> Any:
    """Open an empty page that remembers what it asks of whom."""
    page = browser.new_page(viewport=SIZE)
    page.set_default_timeout(TIMEOUT_MS)
    page.requested, page.sent = [], []
    page.on("request", lambda request: page.requested.append(request.url))

    def listen(socket: Any) -> None:
        socket.on("framesent", lambda payload: page.sent.append(payload))

    page.on("websocket", listen)
    return page


def opened(browser: Any, url: str) -> Any:
    page = new_page(browser)
    page.goto(url)
    page.wait_for_selector(READY)
    return page


@pytest.fixture(params=["served", "JupyterLab"])
def page(request: pytest.FixtureRequest, browser: Any) -> Iterator[Any]:
    """Dashboard of a new session before its first step, in both places."""
    yield from dashboards(request, browser, begin_after=0)


@pytest.fixture(params=["served", "JupyterLab"])
def third(request: pytest.FixtureRequest, browser: Any) -> Iterator[Any]:
    """Dashboard of a new session after its third iteration, in both places."""
    yield from dashboards(request, browser, begin_after=3)


def dashboards(
    request: pytest.FixtureRequest, browser: Any, begin_after: int
) -> Iterator[Any]:
    request.getfixturevalue("hand").begin_after(begin_after)
    if request.param == "served":
        page = opened(browser, request.getfixturevalue("root") + "/own")
        yield page
        page.close()
        return
    page = request.getfixturevalue("notebook")
    page.shown += 1
    run_cell_again(page)
    # With this, the dashboard before is gone.
    page.wait_for_selector(f"text=dashboard number {page.shown}")
    page.wait_for_selector(READY)
    yield page


def press(page: Any, label: str) -> None:
    page.get_by_role("button", name=label, exact=True).locator("visible=true").click()


def left_edge(page: Any, label: str) -> Any:
    button = page.get_by_role("button", name=label, exact=True).locator("visible=true")
    return button.bounding_box()["x"]


def wait_for_iteration(page: Any, pattern: str) -> None:
    page.wait_for_selector(f"text=/Iteration {pattern}/")


def wait_until_idle(page: Any) -> None:
    page.wait_for_selector("text=Ready.")


def field(page: Any, label: str) -> Any:
    return page.get_by_role("textbox", name=label)


def enter(page: Any, label: str, value: str) -> None:
    box = field(page, label)
    box.fill(value)
    box.press("Enter")


def wait_for_value(page: Any, label: str, value: str) -> None:
    playwright.expect(field(page, label)).to_have_value(value, timeout=TIMEOUT_MS)


# --- what a user does, in both places -------------------------------------------------


def test_step_changes_iteration_and_fsc(page: Any) -> None:
    assert page.locator("text=120 segments of 10 filaments").is_visible()
    assert not plot_titles(page)
    for iteration in (1, 2):
        press(page, "Step")
        wait_for_iteration(page, str(iteration))
        wait_for_plot(page, f"FSC of iteration {iteration}:")


def test_pause_stops_within_one_iteration_and_back_undoes(
    page: Any, hand: Hand
) -> None:
    hand.allow(2)
    press(page, "Run")
    wait_for_iteration(page, "2")  # and the third is going on
    press(page, "Pause")
    page.wait_for_selector("text=Pausing after this iteration")
    hand.allow(OPEN)
    wait_until_idle(page)
    wait_for_plot(page, "FSC of iteration 3:")
    assert len(hand.history()) == 3
    press(page, "Back")
    wait_for_iteration(page, "2")
    wait_for_plot(page, "FSC of iteration 2:")


def test_an_edit_during_a_run_is_used_next_and_recorded(page: Any, hand: Hand) -> None:
    hand.allow(1)
    press(page, "Run")
    wait_for_iteration(page, "1")  # and the second is going on
    enter(page, "Twist (°)", "-61.5")
    page.wait_for_selector(".hx-edited")
    hand.allow(3)
    wait_for_iteration(page, "3")
    page.locator(".hx-edited").wait_for(state="detached")
    press(page, "Pause")
    hand.allow(OPEN)
    wait_until_idle(page)
    used = hand.history().set_index("iteration")["parameter_twist_deg"]
    # The stand-in halves the distance to -60 in each iteration that searches.
    assert used[[2, 3, 4]].tolist() == [-59.5, -61.5, -60.75]


def test_an_error_is_shown_and_can_be_overcome(page: Any) -> None:
    # Entered by the click on Step itself: both may reach the kernel in one message.
    field(page, "Rise (Å)").fill("15.5")
    press(page, "Step")
    error = page.locator(".hx-error")
    error.wait_for()
    assert "no density left, said the stand-in" in error.inner_text()
    field(page, "Rise (Å)").fill("14.2")
    press(page, "Step")
    wait_for_iteration(page, "1")
    error.wait_for(state="detached")


def test_a_click_on_the_score_map_sets_twist_and_rise(page: Any) -> None:
    for iteration in (1, 2):
        press(page, "Step")
        wait_for_iteration(page, str(iteration))
        wait_until_idle(page)
    wait_for_plot(page, "Symmetry score")
    names = ("Twist (°)", "Rise (Å)")
    before = [float(field(page, name).input_value()) for name in names]
    page.mouse.click(*place_in_plot(page, "Symmetry score", 0.25, 0.25))
    page.wait_for_selector(".hx-edited")
    after = [float(field(page, name).input_value()) for name in names]
    assert after[0] < before[0] - 0.5  # left of the middle
    assert after[1] > before[1] + 0.2  # above it
    chosen = page.locator(".hx-edited").inner_text()
    assert "twist_deg" in chosen
    assert "rise_A" in chosen


def test_a_slider_moved_during_a_run_is_used_next_and_recorded(
    third: Any, hand: Hand
) -> None:
    press(third, "Symmetry")
    wait_for_plot(third, "Layer lines")  # the score map is in the overview as well
    hand.allow(3)
    press(third, "Run")
    third.wait_for_selector("text=/Alignment|Starting/")  # the fourth is going on
    extent = third.locator(".noUi-handle").locator("visible=true").first
    extent.focus()
    extent.press("ArrowRight")
    wait_for_plot(third, "Score 0.")  # drawn again from the maps of the third
    press(third, "Search like this")
    third.wait_for_selector(".hx-edited")
    press(third, "Pause")
    third.wait_for_selector("text=Pausing after this iteration")
    hand.allow(OPEN)
    wait_until_idle(third)
    press(third, "Step")
    wait_for_iteration(third, "5")
    used = hand.history().set_index("iteration")["parameter_twist_extent_deg"]
    assert used[4] == used[3]
    assert used[5] == pytest.approx(used[3] + 0.1)


# --- a page served --------------------------------------------------------------------

GROUND_UNDER_POINTER = """(color) => {
  const shown = document.createElement("p")
  shown.style.background = color
  return [...document.querySelectorAll(".bk-Tooltip")].some((box) =>
    getComputedStyle(box).backgroundColor == shown.style.backgroundColor)
}"""

VIEWS = {
    "Symmetry": "Layer lines",
    "Map": "Surface at",
    "Orientations": "Viewing directions",
    "Filaments": "Segments of filament 0",
    "Particles": "Worst explained images",
    "Convergence": "Guinier plot",
}


@pytest.mark.parametrize("third", ["served"], indirect=True)
def test_every_view_opens_and_catches_up_light_and_dark(third: Any) -> None:
    page = third
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    for view, beginning in VIEWS.items():
        press(page, view)
        wait_for_plot(page, beginning)
        assert not page.locator(".hx-error").count()
        width = page.evaluate("() => document.documentElement.scrollWidth")
        assert width <= SIZE["width"], view
    press(page, "Step")
    wait_for_iteration(page, "4")
    press(page, "Overview")  # which was not open
    wait_for_plot(page, "FSC of iteration 4:")
    press(page, "Dark")
    page.get_by_role("button", name="Light", exact=True).wait_for()
    page.mouse.move(*place_in_plot(page, "FSC of iteration 4:", 0.3, 0.5))
    page.wait_for_function(GROUND_UNDER_POINTER, arg=THEMES["dark"].panel)
    assert not errors
    # And nothing of other machines was asked for.
    assert {urlsplit(url).hostname for url in page.requested} <= {"127.0.0.1", None}


@pytest.mark.parametrize("third", ["served"], indirect=True)
def test_every_view_fits_a_notebook_beside_its_list_of_files(third: Any) -> None:
    third.set_viewport_size(SIZE | {"width": NARROW_PX})
    for view, beginning in VIEWS.items():
        press(third, view)
        wait_for_plot(third, beginning)
        width = third.evaluate("() => document.documentElement.scrollWidth")
        assert width <= NARROW_PX, view


@pytest.mark.parametrize("third", ["served"], indirect=True)
def test_a_folded_group_of_parameters_opens_and_is_edited(third: Any) -> None:
    third.get_by_text("Filament", exact=True).click()
    enter(third, "Outer diameter (Å)", "88")
    third.wait_for_selector(".hx-edited")
    assert "outer_diameter_A" in third.locator(".hx-edited").inner_text()


@pytest.mark.parametrize("third", ["served"], indirect=True)
def test_a_candidate_in_the_list_can_be_chosen(third: Any) -> None:
    press(third, "Symmetry")
    third.locator("button", has_text="2 x the best").click()
    third.wait_for_selector(".hx-edited")
    wait_for_value(third, "Twist (°)", "-120")
    wait_for_value(third, "Rise (Å)", "28")


def test_two_tabs_of_one_session_agree(browser: Any, root: str) -> None:
    tabs = first, second = [opened(browser, f"{root}/shared") for _ in range(2)]
    press(first, "Step")
    for tab in tabs:
        wait_for_iteration(tab, "1")
        wait_for_plot(tab, "FSC of iteration 1:")
    enter(second, "Rise (Å)", "14.35")
    wait_for_value(first, "Rise (Å)", "14.35")
    press(second, "Step")
    for tab in tabs:
        wait_for_plot(tab, "FSC of iteration 2:")
        tab.close()


@pytest.mark.parametrize("third", ["served"], indirect=True)
def test_an_impossible_value_is_refused_and_taken_back(third: Any) -> None:
    before = field(third, "Rise (Å)").input_value()
    enter(third, "Rise (Å)", "90")
    third.wait_for_selector(".hx-error")
    assert "more than half of the box" in third.locator(".hx-error").inner_text()
    wait_for_value(third, "Rise (Å)", before)


# --- a notebook -----------------------------------------------------------------------


def test_an_iteration_changes_plots_and_leaves_the_rest(third: Any) -> None:
    third.evaluate(
        f"""() => {{ {FIGURES}
          const root = found[0].root
          const lay_out = root.after_layout
          window.laid_out = 0
          root.after_layout = function () {{ window.laid_out++; lay_out.call(this) }}
          const drawn = found.flatMap(view => [...view.renderer_views.values()])
          window.entries = drawn.flatMap(view => view.entries ?? []).map(e => e.el)
          const text = Object.getOwnPropertyDescriptor(Node.prototype, "textContent")
          window.rewritten = 0
          Object.defineProperty(HTMLStyleElement.prototype, "textContent", {{
            get: text.get,
            set(css) {{
              if (css === text.get.call(this)) window.rewritten++
              text.set.call(this, css)
            }},
          }})
        }}"""
    )
    buttons = ("Step", "Run", "Pause")
    places = [left_edge(third, label) for label in buttons]
    press(third, "Step")
    wait_for_plot(third, "FSC of iteration 4")
    wait_until_idle(third)
    # They were disabled and enabled.
    assert [left_edge(third, label) for label in buttons] == places
    kept, laid_out, rewritten = third.evaluate(
        """() => [window.entries.map(entry => entry.isConnected),
                  window.laid_out, window.rewritten]"""
    )
    assert len(kept) > 10
    assert all(kept)
    # As axes grow; not once more for each of the buttons.
    assert laid_out < 4
    # Style sheets stay as they are: the browser would work out all styles again.
    assert rewritten == 0


MOST_SENT_BYTES = 30_000
"""In an iteration, by a page that sends nothing back: a click, and acknowledgements."""


@pytest.mark.parametrize("page", ["JupyterLab"], indirect=True)
def test_plots_are_not_sent_back_to_the_kernel(page: Any) -> None:
    press(page, "Step")
    wait_for_plot(page, "FSC of iteration 1:")
    wait_until_idle(page)
    page.sent.clear()
    press(page, "Step")
    wait_for_plot(page, "FSC of iteration 2:")
    wait_until_idle(page)
    assert page.sent, "the click reached the kernel some other way"
    assert sum(map(len, page.sent)) < MOST_SENT_BYTES


def test_a_page_answers_while_a_later_cell_computes(
    browser: Any, lab: str, hand: Hand
) -> None:
    hand.begin_after(1)
    hand.allow(1)
    page = new_page(browser)
    run_all_cells(page, lab, "busy.ipynb")
    page.wait_for_selector("text=/Starting/")
    press(page, "Convergence")
    wait_for_plot(page, "Guinier plot")
    hand.allow(2)
    wait_for_iteration(page, "2")  # and the third is going on
    enter(page, "Twist (°)", "-61.5")
    page.wait_for_selector(".hx-edited")
    hand.allow(OPEN)
    wait_for_iteration(page, "4")
    used = hand.history().set_index("iteration")["parameter_twist_deg"]
    assert used[[3, 4]].tolist() == [-59.75, -61.5]
    # By now the kernel has also got the page's first knock.
    wait_until_idle(page)
    press(page, "Step")
    wait_for_iteration(page, "5")
    page.close()


TITLES = {
    "asymmetric_unit": "Positions in the asymmetric unit",
    "convergence": "Effective poses",
    "filaments": "Segments of filament 0",
    "fsc": "FSC of iteration 3",
    "guinier": "Guinier plot",
    "layer_lines": "Layer lines",
    "means": "Mean of",
    "noise_spectrum": "Noise power of the images",
    "orientations": "Viewing directions",
    "particles": "Worst explained images",
    "score_map": "Symmetry score",
    "slices": "xy at z",
    "surface": "Surface at",
    "symmetry": "Symmetry score",
    "symmetry_check": "No symmetry was imposed that could be checked",
}
"""How the title of a plot in each view begins."""

BROKEN = """
from helixnb.dashboards.live import live_chart
from helixnb.dashboards.stand_alone import stand_alone

@stand_alone()
def broken(follow):
    def draw(session):
        raise ZeroDivisionError(f"nothing to draw in iteration {session.iteration}")
    return live_chart(follow, draw)

broken(session)
"""
ALONE = (
    "session = make()",
    *(f"helixnb.dashboards.{name}(session)" for name in TITLES),
    "helixnb.dashboards.controls(session)",
    BROKEN,
    # Ends before the page has drawn the cells above.
    "session.run(3, background=False)",
    "helixnb.dashboards.compare(session, session.fork())",
)


def test_each_view_works_alone_and_follows_the_session(browser: Any, lab: str) -> None:
    page = new_page(browser)
    run_all_cells(page, lab, "views.ipynb")
    for beginning in TITLES.values():
        wait_for_plot(page, beginning)
    wait_for_plot(page, "FSC: A ")
    page.wait_for_selector("text=Error: nothing to draw in iteration 3")
    press(page, "Step")
    wait_for_iteration(page, "4")
    wait_for_plot(page, "FSC of iteration 4:")
    page.wait_for_selector("text=Error: nothing to draw in iteration 4")
    assert page.locator(".hx-error").count() == 1
    assert not page.locator(".jp-RenderedText[data-mime-type*=err]").count()
    save_notebook(page)
    page.close()
    # The file holds what the cells showed before the first step.
    page = new_page(browser)
    page.goto(f"{lab}/tree/views.ipynb")
    wait_for_plot(page, "FSC of iteration 4:")
    # Each view is joined to the kernel on its own; now the one with the button is.
    wait_for_iteration(page, "4")
    press(page, "Step")
    wait_for_plot(page, "FSC of iteration 5:")
    page.close()


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
        # The ground of the dashboard is that of the whole page.
        assert page.evaluate(
            "() => !document.elementFromPoint(9, innerHeight - 9).matches('body, html')"
        )
        press(page, "Step")
        wait_for_iteration(page, "1")
        wait_for_plot(page, "FSC of iteration 1:")
        assert not page.locator(".hx-error").count()
        page.close()
    assert (tmp_path / "session.npz").exists()


@pytest.mark.slow
def test_the_first_notebook_works_in_jupyterlab(browser: Any, lab: str) -> None:
    page = browser.new_page(viewport=SIZE)
    page.set_default_timeout(2 * TIMEOUT_MS)
    run_all_cells(page, lab, "first.ipynb")
    wait_for_iteration(page, "1")
    wait_for_plot(page, "FSC of iteration 1:")
    press(page, "Step")
    wait_for_iteration(page, "2")
    wait_for_plot(page, "FSC of iteration 2:")
    assert not page.locator(".hx-error").count()
    page.close()
