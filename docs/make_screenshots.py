"""Makes the screenshots of the documentation: simulates, refines, and looks at it.

From the repository's root: ``python docs/make_screenshots.py``. Needs the `browser`
extra and Chromium (named in HELIXNB_CHROMIUM if it is not on PATH).
"""

import json
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from PIL import Image

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPOSITORY))

from tests.browser import (  # noqa: E402
    browser_page,
    lab_server,
    panel_server,
    place_in_plot,
    plot_titles,
    run_all_cells,
)

IMAGES = REPOSITORY / "docs" / "images"
MAX_BYTES = 400_000
TIMEOUT_MS = 300_000
ITERATIONS = 6
FILAMENTS, CHOSEN = 20, 7
START = {"x": 0, "y": 0, "width": 1280, "height": 460}
PARAMETERS = {"x": 0, "y": 0, "width": 1280, "height": 420}
REPORT = {"x": 0, "y": 0, "width": 1280, "height": 1500}

APP = f"""
from pathlib import Path
import panel as pn
from helixnb import Session, dashboards
from helixnb.simulate import Filaments, Microscope, simulate_segments

if "session" not in pn.state.cache:
    data = simulate_segments(
        Path(__file__).parent / "data", twist_deg=54.0, rise_A=16.5, box_px=80,
        filaments=Filaments(n_filaments={FILAMENTS}),
        microscope=Microscope(snr=0.3), seed=1,
    )
    pn.state.cache["session"] = Session.from_file(
        data.particles_star, twist_deg=53.5, rise_A=16.8, starts=1, seed=1,
        progress=False,
    )
session = pn.state.cache["session"]
pn.extension()
if "compare" in pn.state.session_args:
    first = session.fork()
    second = session.fork(twist_deg=53.2, search_symmetry=False)
    names = ("searched", "53.2° imposed")
    dashboards.compare(first.step(), second.step(), names).servable()
elif "report" in pn.state.session_args:
    session.report(Path(__file__).parent / "report.html")
    pn.pane.HTML("written").servable()
else:
    session.dashboard().servable()
"""


def save(page: Any, name: str, **options: Any) -> None:
    """Write a screenshot and see that it is small enough for a repository."""
    path = IMAGES / name
    page.wait_for_timeout(5000)
    page.screenshot(path=path, **options)
    with Image.open(path) as picture:
        whole = picture.convert("RGB")
        # The palette that keeps the colours of thin lines; dithered, or score maps
        # would have steps.
        palette = whole.quantize(256, Image.Quantize.MAXCOVERAGE, kmeans=1)
        fewer = whole.quantize(palette=palette)
    fewer.save(path, optimize=True)
    if path.stat().st_size > MAX_BYTES:
        raise RuntimeError(f"{path} has {path.stat().st_size} bytes")
    print(path.relative_to(REPOSITORY), path.stat().st_size, "bytes")


def press(page: Any, label: str) -> None:
    """Press a button of the dashboard."""
    page.get_by_role("button", name=label, exact=True).click()


VIEWS = {
    "Overview": "FSC of iteration",
    "Symmetry": "Layer lines",
    "Map": "Surface at",
    "Orientations": "Viewing directions",
    "Filaments": "Segments of filament",
    "Particles": "Worst explained images",
    "Convergence": "Guinier plot",
}
"""Names of the views, and how the title of a plot in each begins."""


def served(page: Any, folder: Path) -> None:
    """Dashboard before the first step, and each of its views after some iterations."""
    script = folder / "app.py"
    script.write_text(APP)
    with panel_server(script) as root:
        page.goto(f"{root}/{script.stem}")
        page.wait_for_selector("text=Ready to refine")
        save(page, "dashboard-start.png", clip=START)
        for iteration in range(1, ITERATIONS + 1):
            press(page, "Step")
            page.wait_for_selector(f"text=/Iteration {iteration}/")
            page.wait_for_selector("text=Ready.")
        for view, title in VIEWS.items():
            press(page, view)
            wait_for_title(page, title)
            if view == "Filaments":
                part = (CHOSEN + 0.8) / (FILAMENTS + 0.6)
                page.mouse.click(*place_in_plot(page, str(FILAMENTS), part, 0.5))
                wait_for_title(page, f"Segments of filament {CHOSEN}")
            save(page, f"dashboard-{view.lower()}.png", full_page=True)
        press(page, "Dark")
        page.get_by_role("button", name="Light", exact=True).wait_for()
        for view in ("Overview", "Symmetry"):
            press(page, view)
            wait_for_title(page, VIEWS[view])
            save(page, f"dashboard-dark-{view.lower()}.png", full_page=True)
        press(page, "Light")
        for group in ("Symmetry search", "Resolution"):
            page.locator(".card-header", has_text=group).click()
        extent = page.get_by_role("textbox", name="Rise extent (%)")
        extent.fill("5")
        extent.press("Enter")
        page.wait_for_selector(".hx-edited")
        save(page, "dashboard-parameters.png", clip=PARAMETERS)
        page.goto(f"{root}/{script.stem}?compare=1")
        wait_for_title(page, "FSC: searched")
        save(page, "compare.png", full_page=True)
        page.goto(f"{root}/{script.stem}?report=1")
        page.wait_for_selector("text=written")
        page.goto((folder / "report.html").as_uri())
        wait_for_title(page, "Fourier shell correlation")
        save(page, "report.png", clip=REPORT, full_page=True)


def wait_for_title(page: Any, beginning: str) -> None:
    """Wait until a plot is there."""
    for _ in range(TIMEOUT_MS // 200):
        if any(title.startswith(beginning) for title in plot_titles(page)):
            return
        page.wait_for_timeout(200)
    raise RuntimeError(f"no plot {beginning!r}")


def in_jupyterlab(page: Any, folder: Path) -> None:
    """Dashboard in a notebook, and an edit that waits for the next iteration."""
    notebook = json.loads(
        (REPOSITORY / "notebooks" / "01-first-refinement.ipynb").read_text()
    )
    sources = ["".join(cell["source"]).strip() for cell in notebook["cells"]]
    end = sources.index("session.dashboard()") + 1
    notebook["cells"] = notebook["cells"][:end]
    (folder / "first.ipynb").write_text(json.dumps(notebook))
    with lab_server(folder) as lab:
        run_all_cells(page, lab, "first.ipynb")
        page.wait_for_selector("text=/Iteration 1/", state="attached")
        page.locator("text=/Iteration 1/").scroll_into_view_if_needed()
        for iteration in range(2, ITERATIONS + 1):
            press(page, "Step")
            page.wait_for_selector(f"text=/Iteration {iteration}/")
            page.wait_for_selector("text=Ready.")
        rise = page.get_by_role("textbox", name="Rise (Å)")
        rise.fill("16.55")
        rise.press("Enter")
        page.wait_for_selector(".hx-edited")
        page.evaluate("jupyterapp.commands.execute('application:toggle-left-area')")
        page.locator(".hx-edited").evaluate("x => x.scrollIntoView({block: 'center'})")
        # The cell above is seen as well.
        page.mouse.move(640, 650)
        page.mouse.wheel(0, 380)
        save(page, "jupyterlab.png")


def main() -> None:
    """Make all of them."""
    names = ("chromium", "chromium-browser", "google-chrome")
    found = os.environ.get("HELIXNB_CHROMIUM") or next(
        filter(None, map(shutil.which, names)), None
    )
    if found is None:
        raise SystemExit(f"no browser: none of {', '.join(names)} is on PATH")
    IMAGES.mkdir(parents=True, exist_ok=True)
    for make, height in ((served, 900), (in_jupyterlab, 1300)):
        with (
            tempfile.TemporaryDirectory() as folder,
            browser_page(found, height=height) as page,
        ):
            page.set_default_timeout(TIMEOUT_MS)
            make(page, Path(folder))


if __name__ == "__main__":
    main()
