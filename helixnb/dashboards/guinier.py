"""Amplitudes of the map against resolution, and the line that sharpening undoes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import holoviews as hv
import numpy as np

from helixnb.dashboards import style
from helixnb.dashboards.live import as_view, live_plot, plot_pane

if TYPE_CHECKING:
    import panel as pn
    import xarray as xr

    from helixnb.dashboards.live import SessionView

TICKS_A = (20, 12, 10, 8, 7, 6, 5, 4.5, 4, 3.5, 3, 2.8, 2.5, 2.2, 2)
CURVES = {
    "amplitude": ("map", style.EARLIER, "solid", 1.5),
    "weighted": ("FSC-weighted", style.JOINT, "solid", 2.0),
    "fit": ("fit", style.NEXT, "dashed", 2.0),
}


def plot(guinier: xr.Dataset) -> hv.Overlay:
    """Draw a Guinier plot.

    Parameters
    ----------
    guinier : xarray.Dataset
        As `Session.guinier`.

    Returns
    -------
    holoviews.Overlay
    """
    place = guinier["inverse_square"].to_numpy()
    curves = []
    for name, (label, color, dash, width) in CURVES.items():
        values = guinier[name].to_numpy()
        curves.append(
            hv.Curve((place, values), "inverse_square", "amplitude", label=label).opts(
                color=color, line_dash=dash, line_width=width, framewise=True
            )
        )
    top = float(place[-1])
    fitted = guinier.attrs["b_factor_A2"]
    known = "too short a band to fit" if np.isnan(fitted) else f"B = {fitted:.0f} Å²"
    ticks: list[tuple[float, str]] = []
    for resolution in TICKS_A:
        at = resolution**-2
        if at <= top and (not ticks or at - ticks[-1][0] > 0.06 * top):
            ticks.append((at, f"{resolution:g}"))
    return hv.Overlay(curves).opts(
        title=f"Guinier plot: {known}",
        xlabel="resolution (Å), linear in 1/Å²",
        ylabel="ln amplitude",
        xticks=ticks,
        xlim=(0, top),
        legend_position="top_right",
        legend_opts={"background_fill_alpha": 0.75, "padding": 4, "spacing": 0},
        fontsize=style.FONT_SIZES,
        responsive=True,
        min_width=280,
        height=280,
        toolbar=None,
        show_grid=True,
        framewise=True,
    )


def view(session: Any | SessionView) -> pn.viewable.Viewable:
    """Guinier plot that follows a session.

    Parameters
    ----------
    session : Session
        What is shown.

    Returns
    -------
    panel.viewable.Viewable
    """
    return plot_pane(live_plot(as_view(session), lambda s: plot(s.guinier)))
