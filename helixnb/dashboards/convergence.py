"""How the refinement went: resolution, twist, rise and time over iterations.

Twist and rise are shown as used, with the optima that each half found by itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import holoviews as hv
import panel as pn

from helixnb.dashboards import style
from helixnb.dashboards.live import as_view, live_plot, plot_pane

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pandas as pd

    from helixnb.dashboards.live import SessionView


class Trace(NamedTuple):
    """A column of the history and how it is drawn."""

    column: str
    label: str
    color: str
    marker: str


PANELS: dict[str, tuple[str, tuple[Trace, ...]]] = {
    "resolution": (
        "resolution (Å)",
        (
            Trace("align_resolution_A", "aligned to", style.EARLIER, "square"),
            Trace("resolution_A", "FSC 0.143", style.CORRECTED, "circle"),
        ),
    ),
    "twist": (
        "twist (°)",
        (
            Trace("found_twist_deg_half_A", "half A", style.HALF_A, "triangle"),
            Trace(
                "found_twist_deg_half_B", "half B", style.HALF_B, "inverted_triangle"
            ),
            Trace("twist_deg", "used", style.JOINT, "circle"),
        ),
    ),
    "rise": (
        "rise (Å)",
        (
            Trace("found_rise_A_half_A", "half A", style.HALF_A, "triangle"),
            Trace("found_rise_A_half_B", "half B", style.HALF_B, "inverted_triangle"),
            Trace("rise_A", "used", style.JOINT, "circle"),
        ),
    ),
    "pose angles": (
        "median change (°)",
        (
            Trace("change_azimuth_deg", "azimuth", style.JOINT, "circle"),
            Trace("change_psi_deg", "in-plane", style.HALF_A, "triangle"),
        ),
    ),
    "pose shifts": (
        "median change (Å)",
        (Trace("change_shift_A", "across the axis", style.JOINT, "circle"),),
    ),
    "effective poses": (
        "poses for an image",
        (Trace("effective_poses", "median", style.MASKED, "circle"),),
    ),
    "time": (
        "time (s)",
        (Trace("seconds", "one iteration", style.QUIET, "circle"),),
    ),
}


def plot(history: pd.DataFrame, quantity: str) -> hv.Overlay:
    """Draw one quantity over iterations.

    Parameters
    ----------
    history : pandas.DataFrame
        One row for each iteration; may be empty.
    quantity : str
        Key of `PANELS`.

    Returns
    -------
    holoviews.Overlay
    """
    ylabel, traces = PANELS[quantity]
    history = history.reindex(columns=["iteration", *(t.column for t in traces)])
    iteration = history["iteration"].to_numpy(float)
    last = max(1.0, iteration.max(initial=1.0))
    elements: list[hv.Element] = []
    for trace in traces:
        values = history[trace.column].to_numpy(float)
        columns = (iteration, values)
        dims: tuple[str, str] = ("iteration", trace.column)
        elements += [
            hv.Curve(columns, *dims, label=trace.label).opts(
                color=trace.color, line_width=1.5, framewise=True
            ),
            hv.Scatter(columns, *dims, label=trace.label).opts(
                color=trace.color,
                marker=trace.marker,
                size=5,
                tools=["hover"],
                framewise=True,
            ),
        ]
    return hv.Overlay(elements).opts(
        title=quantity.capitalize(),
        xlabel="iteration",
        ylabel=ylabel,
        xlim=(-0.3, last + 0.3),
        fontsize=style.FONT_SIZES,
        legend_position="top",
        legend_cols=3,
        legend_opts={
            "padding": 0,
            "margin": 0,
            "spacing": 4,
            "glyph_width": 14,
            "border_line_alpha": 0,
        },
        xticks=_iteration_ticks(int(last)),
        show_legend=len(traces) > 1,
        responsive=True,
        min_width=170,
        height=200,
        toolbar=None,
        show_grid=True,
        padding=0.1,
    )


def _iteration_ticks(last: int) -> list[int]:
    """About six whole numbers from 0 to the last iteration."""
    return list(range(0, last + 1, -(-(last + 1) // 6)))


IN_A_ROW = 4
FIRST = ("resolution", "twist", "rise", "time")
"""Panels of an overview."""


def view(
    session: Any | SessionView, quantities: Iterable[str] = tuple(PANELS)
) -> pn.viewable.Viewable:
    """Convergence that follows a session.

    Parameters
    ----------
    session : Session
        What is shown.
    quantities : iterable of str
        Keys of `PANELS`.

    Returns
    -------
    panel.viewable.Viewable
    """
    follow = as_view(session)

    def pane(quantity: str) -> pn.pane.HoloViews:
        plotted = live_plot(follow, lambda s: plot(s.history, quantity))
        return plot_pane(plotted, "1 1 180px")

    panes = list(map(pane, quantities))
    rows = [panes[i : i + IN_A_ROW] for i in range(0, len(panes), IN_A_ROW)]
    return pn.Column(
        *(pn.Row(*row, sizing_mode="stretch_width") for row in rows),
        sizing_mode="stretch_width",
    )
