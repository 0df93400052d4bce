"""Servers and a headless Chromium, for tests and for the screenshots of the docs."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parent.parent
START_S = 60
LOOK_MS = 50
CHROMIUM_FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage")


def free_port() -> int:
    """Port of this machine that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def server(command: list[str], url: str, log: Path) -> Iterator[str]:
    """Run a server while in use and yield its address once it answers."""
    # Bokeh's scripts come from the installed package: there may be no network.
    paths = os.pathsep.join(filter(None, (str(REPOSITORY), os.getenv("PYTHONPATH"))))
    environment = os.environ | {"PANEL_INLINE": "True", "PYTHONPATH": paths}
    with log.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", *command],
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        _wait_for(url, process, log)
        yield url
    finally:
        process.terminate()
        process.wait(20)


def _wait_for(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + START_S
    while time.monotonic() < end:
        if process.poll() is not None:
            break
        try:
            urllib.request.urlopen(url, timeout=START_S).close()
        except OSError:
            time.sleep(0.2)
        else:
            return
    raise RuntimeError(f"no answer from {url}:\n{log.read_text()[-4000:]}")


@contextmanager
def panel_server(*scripts: Path, options: Sequence[str] = ()) -> Iterator[str]:
    """Serve Panel scripts on this machine only, each under its name."""
    port = free_port()
    command = ["panel", "serve", *map(str, scripts), "--port", str(port)]
    command += ["--address", "127.0.0.1", *options]
    command += ["--allow-websocket-origin", f"127.0.0.1:{port}"]
    root = f"http://127.0.0.1:{port}"
    log = scripts[0].with_suffix(".log")
    with server(command, f"{root}/{scripts[0].stem}", log):
        yield root


@contextmanager
def lab_server(folder: Path) -> Iterator[str]:
    """Serve a folder in JupyterLab on this machine only."""
    port = free_port()
    command = ["jupyterlab", "--no-browser", "--allow-root", "--ip=127.0.0.1"]
    command += [f"--port={port}", f"--ServerApp.root_dir={folder}"]
    command += ["--IdentityProvider.token=", "--ServerApp.password="]
    command += ["--LabApp.extension_manager=readonly"]
    command += ["--LabApp.expose_app_in_browser=True"]
    command += [f"--LabApp.user_settings_dir={_lab_settings(folder / '.lab')}"]
    with server(command, f"http://127.0.0.1:{port}/lab", folder / "lab.log") as address:
        yield address


def _lab_settings(folder: Path) -> Path:
    """Draw cells below the fold as well, and ask nothing about news."""
    settings = {
        "notebook-extension/tracker": {"windowingMode": "none"},
        "apputils-extension/notification": {"fetchNews": "false"},
    }
    for name, values in settings.items():
        path = folder / "@jupyterlab" / f"{name}.jupyterlab-settings"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(values))
    return folder


@contextmanager
def open_browser(chromium: str) -> Iterator[Any]:
    """Run a headless browser while in use."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium, args=list(CHROMIUM_FLAGS)
        )
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def browser_page(chromium: str, width: int = 1280, height: int = 900) -> Iterator[Any]:
    """Yield an empty page of a browser of its own."""
    with open_browser(chromium) as browser:
        yield browser.new_page(viewport={"width": width, "height": height})


def run_all_cells(page: Any, lab: str, notebook: str) -> None:
    """Open a notebook in JupyterLab and run it from the menu."""
    page.goto(f"{lab}/tree/{notebook}?reset")
    page.wait_for_selector(".jp-Notebook-cell", timeout=1000 * START_S)
    # Without a kernel JupyterLab forgets the cells, or asks for a kernel in a dialog.
    page.wait_for_selector("text=/ipykernel.* [|] Idle/", timeout=1000 * START_S)
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
    started = page.locator(".jp-InputPrompt", has_text=re.compile(r"\[[*\d]+\]"))
    started.first.wait_for(state="attached", timeout=1000 * START_S)


def run_cell_again(page: Any) -> None:
    """Run the cell of an open notebook that was run last."""
    page.evaluate("() => { jupyterapp.commands.execute('notebook:run-cell') }")


def save_notebook(page: Any) -> None:
    """Save an open notebook, and wait until it is."""
    page.evaluate("async () => jupyterapp.commands.execute('docmanager:save')")


FIGURES = """
  const found = [];
  const roots = window.Bokeh?.index?.roots ?? window.Bokeh?.index ?? {};
  const waiting = [...Object.values(roots)];
  const seen = new Set();
  while (waiting.length) {
    const view = waiting.pop();
    if (seen.has(view)) continue;
    seen.add(view);
    if (view.model?.type === "Figure" && view.el.checkVisibility()) found.push(view);
    waiting.push(...(view.child_views ?? []), ...(view.children?.() ?? []));
  }
"""
"""Script that gathers the plots to be seen on a page."""


def plot_titles(page: Any) -> list[str]:
    """Titles of the plots to be seen on the page, once they are drawn."""
    titles: list[str] = page.evaluate(
        f"""() => {{ {FIGURES}
          return found.filter(view => view.has_finished())
                      .map(view => view.model.title?.text ?? ""); }}"""
    )
    return titles


def wait_for_plot(page: Any, beginning: str) -> None:
    """Wait until a plot whose title begins so is drawn and to be seen."""
    from playwright.sync_api import TimeoutError as Expired

    try:
        page.wait_for_function(
            f"""beginning => {{ {FIGURES}
              return found.some(view => view.has_finished()
                && view.model.title?.text?.startsWith(beginning)); }}""",
            arg=beginning,
            polling=LOOK_MS,
        )
    except Expired as error:
        raise AssertionError(
            f"no plot {beginning!r} among {plot_titles(page)}"
        ) from error


def place_in_plot(page: Any, title: str, x: float, y: float) -> list[float]:
    """Pixels of the page at a part of a plot's width and height, from its corner."""
    place: list[float] | None = page.evaluate(
        f"""([title, x, y]) => {{ {FIGURES}
          const view = found.find(view => view.model.title?.text?.startsWith(title));
          view?.el.scrollIntoView({{block: "center"}});
          const box = view?.canvas_view.el.getBoundingClientRect();
          const frame = view?.frame.bbox;
          return view && [box.left + frame.left + x * frame.width,
                          box.top + frame.top + y * frame.height]; }}""",
        [title, x, y],
    )
    if place is None:
        raise RuntimeError(f"no plot {title!r} among {plot_titles(page)}")
    return place
