"""A shaded surface of the map, drawn here: no graphics library, no network."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import panel as pn

from helixnb.core.surface import shaded_surface
from helixnb.dashboards import style
from helixnb.dashboards.chart import Axis, Chart, Colors, image
from helixnb.dashboards.live import live_chart
from helixnb.dashboards.sliders import slider
from helixnb.dashboards.stand_alone import stand_alone
from helixnb.dashboards.volumes import Volumes

if TYPE_CHECKING:
    import xarray as xr

    from helixnb.dashboards.live import SessionView

FRAME_PX = 330
SIZE_PX = 300
MAX_BOX = 160
"""Larger maps are averaged down: the picture shows no more."""

DEFAULT_SIGMA = 3.0


def plot(
    volume: xr.DataArray,
    *,
    threshold_sigma: float = DEFAULT_SIGMA,
    azimuth_deg: float = 0.0,
    tilt_deg: float = 0.0,
) -> Chart:
    """Draw the surface of a map.

    Parameters
    ----------
    volume : xarray.DataArray
        Density over ``z``, ``y``, ``x`` in Angstrom.
    threshold_sigma : float
        Density of the surface, in standard deviations of the map.
    azimuth_deg, tilt_deg : float
        Direction of view; see `helixnb.core.surface.rotation`.

    Returns
    -------
    Chart
    """
    volume = reduced(volume)
    values = volume.to_numpy()
    edge_A = len(values) * float(volume["x"][1] - volume["x"][0]) / 2
    sigma = float(values.std()) or 1.0
    shade = shaded_surface(
        values,
        threshold_sigma * sigma,
        azimuth_deg=azimuth_deg,
        tilt_deg=tilt_deg,
        size_px=SIZE_PX,
    )
    return Chart(
        [image(shade, (-edge_A, -edge_A, edge_A, edge_A))],
        f"Surface at {threshold_sigma:.1f} s.d.",
        x=Axis("across (Å)", (-edge_A, edge_A)),
        y=Axis("along (Å)", (-edge_A, edge_A)),
        colors=Colors(style.SURFACE_MAP, (0.0, 1.0)),
        size={"frame_width": FRAME_PX, "frame_height": FRAME_PX},
    )


def reduced(volume: xr.DataArray) -> xr.DataArray:
    """Average voxels in blocks until there are at most `MAX_BOX` on an edge.

    Parameters
    ----------
    volume : xarray.DataArray
        Over ``z``, ``y``, ``x`` in Angstrom.

    Returns
    -------
    xarray.DataArray
        The volume itself if it is small enough.
    """
    block = -(-len(volume) // MAX_BOX)
    if block == 1:
        return volume
    coarse: xr.DataArray = volume.coarsen(
        dict.fromkeys("zyx", block),
        boundary="trim",
    ).mean()
    return coarse


@stand_alone()
def view(follow: SessionView) -> pn.viewable.Viewable:
    """Surface that follows a session, to be turned and thresholded.

    Parameters
    ----------
    follow : Session
        What is shown.

    Returns
    -------
    panel.viewable.Viewable

    Examples
    --------
    >>> helixnb.dashboards.surface(session)  # doctest: +SKIP
    """
    width = {"width": FRAME_PX // 2 + 10}
    volumes = Volumes()
    threshold = slider("Threshold (s.d.)", 0.5, 12.0, DEFAULT_SIGMA, 0.1, **width)
    azimuth = slider("Turn about the axis (°)", 0.0, 360.0, 0.0, 2.0, **width)
    tilt = slider("Lean towards you (°)", -90.0, 90.0, 0.0, 2.0, **width)

    def draw(session: Any, sigma: float, azimuth_deg: float, tilt_deg: float) -> Chart:
        return plot(
            volumes.once(session, "reduced", lambda: reduced(session.map)),
            threshold_sigma=sigma,
            azimuth_deg=azimuth_deg,
            tilt_deg=tilt_deg,
        )

    return pn.Column(
        live_chart(
            follow,
            draw,
            flex="none",
            sigma=threshold,
            azimuth_deg=azimuth,
            tilt_deg=tilt,
        ),
        pn.FlexBox(threshold, azimuth, tilt),
        width=FRAME_PX + 90,
    )
