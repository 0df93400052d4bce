"""Noise power of the images against resolution, as alignment weights with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import holoviews as hv

from helixnb.dashboards import style
from helixnb.dashboards.fsc import resolution_ticks
from helixnb.dashboards.live import as_view, live_plot, plot_pane

if TYPE_CHECKING:
    import panel as pn
    import xarray as xr

    from helixnb.dashboards.live import SessionView


def plot(noise: xr.DataArray) -> hv.Curve:
    """Draw the noise power of each ring.

    Parameters
    ----------
    noise : xarray.DataArray
        As `Session.noise`.

    Returns
    -------
    holoviews.Curve
    """
    place = noise["spatial_frequency"].to_numpy()[1:]
    power = noise.to_numpy()[1:]
    return hv.Curve((place, power), "spatial_frequency", "noise").opts(
        title="Noise spectrum",
        xlabel="resolution (Å)",
        ylabel="power of the noise (images² x pixels)",
        xticks=resolution_ticks(float(place[-1])),
        logy=True,
        color=style.JOINT,
        line_width=2,
        tools=["hover"],
        fontsize=style.FONT_SIZES,
        responsive=True,
        min_width=280,
        height=280,
        toolbar=None,
        show_grid=True,
        framewise=True,
    )


def view(session: Any | SessionView) -> pn.viewable.Viewable:
    """Noise spectrum that follows a session.

    Parameters
    ----------
    session : Session
        What is shown.

    Returns
    -------
    panel.viewable.Viewable
    """
    return plot_pane(live_plot(as_view(session), lambda s: plot(s.noise)))
