"""How the segments lie: azimuth against tilt, and what is left of angles and shifts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import holoviews as hv
import numpy as np
import panel as pn

from helixnb.dashboards import style
from helixnb.dashboards.live import as_view, live_plot, plot_pane

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


def plot(orientations: xr.Dataset, *, max_tilt_deg: float = 15.0) -> hv.Image:
    """Draw how many segments were seen from each direction.

    Parameters
    ----------
    orientations : xarray.Dataset
        With ``rot`` and ``tilt`` in degrees, over ``particle``.
    max_tilt_deg : float
        Half range of the out-of-plane tilt shown.

    Returns
    -------
    holoviews.Image
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
    image = hv.Image(
        counts[::-1],
        bounds=(-180, -limit, 180, limit),
        kdims=[
            hv.Dimension("azimuth", label="azimuth (rot)", unit="°"),
            hv.Dimension("tilt", label="out-of-plane tilt", unit="°"),
        ],
        vdims=["segments"],
    )
    return image.opts(
        title=f"Viewing directions of {known.sum()} segments",
        cmap=style.COUNT_MAP,
        clim=(0, max(float(counts.max()), 1.0)),
        colorbar=True,
        clabel="",
        xticks=list(range(-180, 181, 60)),
        tools=["hover"],
        fontsize=style.FONT_SIZES,
        responsive=True,
        min_width=280,
        height=250,
        toolbar="above",
    )


def histogram(orientations: xr.Dataset, name: str) -> hv.Histogram:
    """Draw the distribution of one residual, with its median and spread.

    Parameters
    ----------
    orientations : xarray.Dataset
        Over ``particle``.
    name : str
        ``"psi_deviation"``, ``"transverse_shift"`` or ``"axial_shift"``.

    Returns
    -------
    holoviews.Histogram
    """
    heading, xlabel = RESIDUALS[name]
    values = orientations[name].to_numpy()
    values = values[np.isfinite(values)]
    counts, edges = np.histogram(
        values, bins=HISTOGRAM_BINS, range=_symmetric_range(values)
    )
    return hv.Histogram((edges, counts), kdims=[name], vdims=["segments"]).opts(
        title=f"{heading}: s.d. {values.std():.2f}" if len(values) else heading,
        xlabel=xlabel,
        ylabel="segments",
        fill_color=style.CORRECTED,
        line_color="white",
        line_width=0.5,
        tools=["hover"],
        fontsize=style.FONT_SIZES,
        responsive=True,
        min_width=170,
        height=190,
        toolbar=None,
    )


def _symmetric_range(values: NDArray[np.float64]) -> tuple[float, float]:
    """Range about 0 that holds all values."""
    limit = float(np.abs(values).max()) if len(values) else 1.0
    return -max(limit, 1e-3), max(limit, 1e-3)


def draw(session: Any) -> hv.Image:
    """Draw the viewing directions of a session's current iteration.

    Parameters
    ----------
    session : Session
        What is shown.

    Returns
    -------
    holoviews.Image
    """
    limit = session.state.parameters.max_tilt_deg
    return plot(session.orientations, max_tilt_deg=limit)


def view(session: Any | SessionView) -> pn.viewable.Viewable:
    """Show viewing directions and residuals, and follow a session.

    Parameters
    ----------
    session : Session
        What is shown.

    Returns
    -------
    panel.viewable.Viewable
    """
    follow = as_view(session)

    def residual(name: str) -> hv.DynamicMap:
        return live_plot(follow, lambda s: histogram(s.orientations, name)).opts(
            framewise=True
        )

    directions = live_plot(follow, draw).opts(framewise=True)
    return pn.Column(
        plot_pane(directions),
        pn.Row(
            *(plot_pane(residual(name)) for name in RESIDUALS),
            sizing_mode="stretch_width",
        ),
        sizing_mode="stretch_width",
    )
