"""Amplitudes of the map against resolution, and the line that sharpening undoes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from helixnb.dashboards import style
from helixnb.dashboards.chart import Axis, Chart, Legend, line
from helixnb.dashboards.live import live_chart
from helixnb.dashboards.stand_alone import stand_alone
from helixnb.dashboards.views import fsc

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


def plot(guinier: xr.Dataset) -> Chart:
    """Draw a Guinier plot.

    Parameters
    ----------
    guinier : xarray.Dataset
        As `Session.guinier`.

    Returns
    -------
    Chart
    """
    place = guinier["inverse_square"].to_numpy()
    top = float(place[-1])
    fitted = guinier.attrs["b_factor_A2"]
    known = "too short a band to fit" if np.isnan(fitted) else f"B = {fitted:.0f} Å²"
    ticks: list[tuple[float, str]] = []
    for tick_A in TICKS_A:
        at = tick_A**-2
        if at <= top and (not ticks or at - ticks[-1][0] > 0.06 * top):
            ticks.append((at, f"{tick_A:g}"))
    with np.errstate(divide="ignore"):
        resolution = place**-0.5
    curves = [
        line(
            place,
            guinier[name],
            label,
            ((label, "@y{0.00}"), ("resolution", "@resolution{0.00} Å")),
            {"resolution": resolution},
            line_color=color,
            line_dash=dash,
            line_width=width,
        )
        for name, (label, color, dash, width) in CURVES.items()
    ]
    return Chart(
        curves,
        f"Guinier plot: {known}",
        x=Axis("resolution (Å), linear in 1/Å²", (0.0, top), tuple(ticks)),
        y=Axis("ln amplitude"),
        legend=Legend("below", columns=3),
        size={"min_width": 280, "height": fsc.HEIGHT_PX},
        tools=True,
        grid=True,
    )


@stand_alone()
def view(follow: SessionView) -> pn.viewable.Viewable:
    """Guinier plot that follows a session.

    Parameters
    ----------
    follow : Session
        What is shown.

    Returns
    -------
    panel.viewable.Viewable

    Examples
    --------
    >>> helixnb.dashboards.guinier(session)  # doctest: +SKIP
    """
    return live_chart(follow, lambda s: plot(s.guinier))
