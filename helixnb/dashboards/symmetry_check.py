"""Whether the map obeys its symmetry: it against the one without, shell by shell."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import holoviews as hv
import numpy as np

from helixnb.dashboards import style
from helixnb.dashboards.fsc import resolution_ticks
from helixnb.dashboards.live import as_view, live_plot, plot_pane
from helixnb.errors import InputError

if TYPE_CHECKING:
    import panel as pn
    import xarray as xr

    from helixnb.dashboards.live import SessionView

CURVES = {
    "symmetric": ("symmetric halves", style.JOINT, "solid"),
    "blind": ("halves without symmetry", style.HALF_A, "solid"),
    "across": ("one kind with the other", style.HALF_B, "solid"),
    "agreement": ("agreement (1 if true)", style.NEXT, "dashed"),
}


def plot(check: xr.Dataset) -> hv.Overlay:
    """Draw the FSCs of both kinds of half-maps and their agreement.

    Parameters
    ----------
    check : xarray.Dataset
        As `Session.symmetry_check`.

    Returns
    -------
    holoviews.Overlay
    """
    place = check["spatial_frequency"].to_numpy()
    curves = [
        hv.Curve(
            (place, check[name].to_numpy()), "spatial_frequency", "fsc", label=label
        ).opts(color=color, line_dash=dash, line_width=1.8, framewise=True)
        for name, (label, color, dash) in CURVES.items()
    ]
    overall = check.attrs["overall"]
    verdict = "cannot be judged" if np.isnan(overall) else f"{overall:.2f}"
    return hv.Overlay(curves).opts(
        title=f"Symmetry-blind check: {verdict}",
        xlabel="resolution (Å)",
        ylabel="FSC, agreement",
        xticks=resolution_ticks(float(place[-1])),
        ylim=(-0.1, 1.25),
        legend_position="bottom_left",
        legend_opts={"background_fill_alpha": 0.75, "padding": 4, "spacing": 0},
        fontsize=style.FONT_SIZES,
        responsive=True,
        min_width=280,
        height=280,
        toolbar=None,
        show_grid=True,
        framewise=True,
    )


def _draw(session: Any) -> hv.Overlay:
    """Draw the check, or an empty plot that says why there is none."""
    try:
        return plot(session.symmetry_check)
    except InputError as error:
        empty = hv.Curve([], "spatial_frequency", "fsc")
        return hv.Overlay([empty]).opts(
            title=str(error).partition(":")[0],
            responsive=True,
            min_width=280,
            height=280,
            fontsize=style.FONT_SIZES,
            toolbar=None,
        )


def view(session: Any | SessionView) -> pn.viewable.Viewable:
    """Symmetry-blind check that follows a session.

    Parameters
    ----------
    session : Session
        What is shown.

    Returns
    -------
    panel.viewable.Viewable
    """
    return plot_pane(live_plot(as_view(session), _draw))
