"""Noise power of the images against resolution, as alignment weights with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from helixnb.dashboards import style
from helixnb.dashboards.chart import Axis, Chart, line
from helixnb.dashboards.live import live_chart
from helixnb.dashboards.stand_alone import stand_alone
from helixnb.dashboards.views.fsc import resolution_ticks

if TYPE_CHECKING:
    import panel as pn
    import xarray as xr

    from helixnb.dashboards.live import SessionView


def plot(noise: xr.DataArray) -> Chart:
    """Draw the noise power of each ring.

    Parameters
    ----------
    noise : xarray.DataArray
        As `Session.noise`.

    Returns
    -------
    Chart
    """
    place = noise["spatial_frequency"].to_numpy()[1:]
    power = noise.to_numpy()[1:]
    hover = (("resolution", "@resolution{0.00} Å"), ("power", "@y{0.00 a}"))
    highest = float(place[-1])
    curve = line(
        place,
        power,
        hover=hover,
        more={"resolution": 1 / place},
        line_color=style.JOINT,
        line_width=2,
    )
    return Chart(
        [curve],
        "Noise power of the images",
        x=Axis(
            "resolution (Å), linear in 1/Å", (0.0, highest), resolution_ticks(highest)
        ),
        y=Axis("power (image units² · pixels)", log=True),
        size={"min_width": 280, "height": 280},
        grid=True,
    )


@stand_alone()
def view(follow: SessionView) -> pn.viewable.Viewable:
    """Noise spectrum that follows a session.

    Parameters
    ----------
    follow : Session
        What is shown.

    Returns
    -------
    panel.viewable.Viewable

    Examples
    --------
    >>> helixnb.dashboards.noise_spectrum(session)  # doctest: +SKIP
    """
    return live_chart(follow, lambda s: plot(s.noise))
