"""How the segments lie: azimuth against tilt, and what is left of angles and shifts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import panel as pn

from helixnb.dashboards import style
from helixnb.dashboards.binning import bin_edges, grid_of
from helixnb.dashboards.chart import Axis, Chart, Layer
from helixnb.dashboards.live import live_chart
from helixnb.dashboards.stand_alone import stand_alone
from helixnb.dashboards.views.asymmetric_unit import density

if TYPE_CHECKING:
    import xarray as xr

    from helixnb.dashboards.drawing import ChartPane
    from helixnb.dashboards.live import SessionView

AZIMUTH_BINS = 72


class Residual(NamedTuple):
    """A histogram: its heading, its axis, the unit, and where it is centred."""

    heading: str
    label: str
    unit: str
    centre: float = 0.0


RESIDUALS = {
    "tilt": Residual("Out-of-plane tilt", "out of the plane (°)", "°", 90.0),
    "psi_deviation": Residual("In-plane angle", "off the track (°)", "°"),
    "transverse_shift": Residual("Shift across the axis", "shift (Å)", " Å"),
    "axial_shift": Residual("Shift along the axis", "shift (Å)", " Å"),
}


def plot(orientations: xr.Dataset, *, max_tilt_deg: float = 15.0) -> Chart:
    """Draw how many segments were seen from each direction.

    Parameters
    ----------
    orientations : xarray.Dataset
        With ``rot`` and ``tilt`` in degrees, over ``particle``.
    max_tilt_deg : float
        Half range of the out-of-plane tilt shown.

    Returns
    -------
    Chart
        Counts over azimuth and out-of-plane tilt.
    """
    rot = orientations["rot"].to_numpy()
    out_of_plane = orientations["tilt"].to_numpy() - 90
    known = np.isfinite(rot) & np.isfinite(out_of_plane)
    limit = max(max_tilt_deg, 1.0)
    edges = bin_edges((-limit, limit), grid_of(orientations["tilt"], 90.0))
    # Half a bin within: what is beyond counts at the edge.
    half = (edges[1] - edges[0]) / 2
    counts, _, _ = np.histogram2d(
        np.clip(out_of_plane[known], edges[0] + half, edges[-1] - half),
        rot[known],
        bins=(edges, np.linspace(-180, 180, AZIMUTH_BINS + 1)),
    )
    return density(
        counts,
        (-180.0, float(edges[0]), 180.0, float(edges[-1])),
        f"Viewing directions of {known.sum():,} segments",
        "out-of-plane tilt (°)",
    )


def histogram(orientations: xr.Dataset, name: str) -> Chart:
    """Draw the distribution of one residual, with its median and spread.

    Parameters
    ----------
    orientations : xarray.Dataset
        Over ``particle``.
    name : str
        Key of `RESIDUALS`.

    Returns
    -------
    Chart
    """
    heading, xlabel, unit, centre = RESIDUALS[name]
    values = orientations[name].to_numpy() - centre
    values = values[np.isfinite(values)]
    limits = (values.min(), values.max()) if len(values) else (-1.0, 1.0)
    edges = bin_edges(limits, grid_of(orientations[name], centre))
    counts, _ = np.histogram(values, edges)
    columns = {
        "left": edges[:-1],
        "right": edges[1:],
        "bottom": np.zeros(len(counts)),
        "top": counts,
    }
    look = {
        "fill_color": style.CORRECTED,
        "line_color": "white",
        "line_width": 0.5,
    }
    hover = (
        ("from", f"@left{{0.00}}{unit}"),
        ("to", f"@right{{0.00}}{unit}"),
        ("segments", "@top"),
    )
    return Chart(
        [Layer("quad", columns, look, hover=hover)],
        f"{heading}: s.d. {values.std():.2f}{unit}" if len(values) else heading,
        x=Axis(xlabel, (float(edges[0]), float(edges[-1]))),
        y=Axis("segments", (0.0, 1.05 * max(float(counts.max()), 1.0))),
        size={"min_width": 170, "height": 190},
    )


def draw(session: Any) -> Chart:
    """Draw the viewing directions of a session's current iteration.

    Parameters
    ----------
    session : Session
        What is shown.

    Returns
    -------
    Chart
    """
    limit = session.state.parameters.max_tilt_deg
    return plot(session.orientations, max_tilt_deg=limit)


@stand_alone()
def view(follow: SessionView) -> pn.viewable.Viewable:
    """Orientations: viewing directions, tilts and shifts that follow a session.

    Parameters
    ----------
    follow : Session
        What is shown.

    Returns
    -------
    panel.viewable.Viewable

    Examples
    --------
    >>> helixnb.dashboards.orientations(session)  # doctest: +SKIP
    """

    def residual(name: str) -> ChartPane:
        # Wide enough for its heading.
        return live_chart(
            follow, lambda s: histogram(s.orientations, name), flex="1 1 280px"
        )

    return pn.Column(
        live_chart(follow, draw),
        pn.Row(
            *map(residual, RESIDUALS), sizing_mode="stretch_width", styles=style.WRAPPED
        ),
        sizing_mode="stretch_width",
    )
