"""How the segments lie: azimuth against tilt, and what is left of angles and shifts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import panel as pn

from helixnb.dashboards import style
from helixnb.dashboards.chart import Axis, Chart, Layer
from helixnb.dashboards.live import live_chart
from helixnb.dashboards.stand_alone import stand_alone
from helixnb.dashboards.views.asymmetric_unit import density

if TYPE_CHECKING:
    import xarray as xr
    from numpy.typing import NDArray

    from helixnb.dashboards.live import SessionView

AZIMUTH_BINS = 72
TILT_BINS = 31
HISTOGRAM_BINS = 41

RESIDUALS = {
    "psi_deviation": ("In-plane angle", "deviation from the track (°)"),
    "transverse_shift": ("Shift across the axis", "shift (Å)"),
    "axial_shift": ("Shift along the axis", "shift (Å)"),
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
    counts, _, _ = np.histogram2d(
        np.clip(out_of_plane[known], -limit, limit),
        rot[known],
        bins=(TILT_BINS, AZIMUTH_BINS),
        range=((-limit, limit), (-180, 180)),
    )
    return density(
        counts,
        (-180.0, -limit, 180.0, limit),
        f"Viewing directions of {known.sum()} segments",
        "out-of-plane tilt (°)",
    )


def histogram(orientations: xr.Dataset, name: str) -> Chart:
    """Draw the distribution of one residual, with its median and spread.

    Parameters
    ----------
    orientations : xarray.Dataset
        Over ``particle``.
    name : str
        ``"psi_deviation"``, ``"transverse_shift"`` or ``"axial_shift"``.

    Returns
    -------
    Chart
    """
    heading, xlabel = RESIDUALS[name]
    values = orientations[name].to_numpy()
    values = values[np.isfinite(values)]
    counts, edges = np.histogram(
        values, bins=HISTOGRAM_BINS, range=_symmetric_range(values)
    )
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
    hover = (("from", "@left{0.00}"), ("to", "@right{0.00}"), ("segments", "@top"))
    return Chart(
        [Layer("quad", columns, look, hover=hover)],
        f"{heading}: s.d. {values.std():.2f}" if len(values) else heading,
        x=Axis(xlabel, (float(edges[0]), float(edges[-1]))),
        y=Axis("segments", (0.0, 1.05 * max(float(counts.max()), 1.0))),
        size={"min_width": 170, "height": 190},
    )


def _symmetric_range(values: NDArray[np.float64]) -> tuple[float, float]:
    """Range about 0 that holds all values."""
    limit = float(np.abs(values).max()) if len(values) else 1.0
    return -max(limit, 1e-3), max(limit, 1e-3)


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
    """Show viewing directions and residuals, and follow a session.

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
    return pn.Column(
        live_chart(follow, draw),
        pn.Row(
            *(
                live_chart(follow, lambda s, name=name: histogram(s.orientations, name))
                for name in RESIDUALS
            ),
            sizing_mode="stretch_width",
        ),
        sizing_mode="stretch_width",
    )
