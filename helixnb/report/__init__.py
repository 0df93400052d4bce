"""One HTML file that shows a refinement: no network, no server, no notebook needed.

The plots are those of the dashboards, drawn once and embedded with Bokeh's own
scripts, so the file can be sent, archived, printed and opened years later. Text that
came from files is escaped.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bokeh.document import Document
from bokeh.embed import components
from bokeh.resources import Resources

from helixnb.dashboards import style
from helixnb.dashboards.drawing import figure_of
from helixnb.io.atomic import atomic_path
from helixnb.report import facts, page, plots

if TYPE_CHECKING:
    from pathlib import Path

    from helixnb.session import Session

_SCRIPTS: list[Any] = ["bokeh"]
"""What plots need; widgets and tables would double the file."""


def write_report(session: Session, path: Path) -> None:
    """Write the report of a session's current iteration.

    Parameters
    ----------
    session : Session
        With a state.
    path : Path
        Output file; replaced in one step if it exists.
    """
    text = report_html(session)
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def report_html(session: Session) -> str:
    """Return the report of a session's current iteration as one HTML page.

    Parameters
    ----------
    session : Session
        With a state.

    Returns
    -------
    str
    """
    state = session._needed_state()
    charts = plots.charts(session, state)
    figures = {name: figure_of(chart) for name, chart in charts.items()}
    colors = style.colors_by_theme(figures.values())
    document = Document()
    with document.models.freeze():  # or each figure has all before it looked through
        for figure in figures.values():
            document.add_root(figure)
    script, divs = components(figures)
    # The scripts only: Panel, once imported, adds references to files of a server.
    scripts = Resources(mode="inline", components=_SCRIPTS).js_raw
    return page.fill(
        title=f"Helical refinement, iteration {state.iteration}",
        source=str(session.particles.source),
        tiles=facts.tiles(session, state),
        flags=facts.flags(session, state),
        body=page.plots(divs, plots.GROUPS) + facts.tables(session, state),
        scripts=[*(f"<script>{text}</script>" for text in scripts), script],
        colors=colors,
    )
