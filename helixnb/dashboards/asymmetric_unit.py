"""Where segments lie in the asymmetric unit: azimuth against shift along the axis."""

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

BINS = (36, 12)


def plot(orientations: xr.Dataset) -> hv.Image:
    """Draw the density of segments over azimuth and axial shift.

    Without preferred places all of the plot is filled evenly. What lies beyond half a
    rise would be another subunit.

    Parameters
    ----------
    orientations : xarray.Dataset
        As `Session.orientations`.

    Returns
    -------
    holoviews.Image
    """
    rot, shift = (orientations[n].to_numpy() for n in ("rot", "axial_shift"))
    known = np.isfinite(rot) & np.isfinite(shift)
    reach = max(float(np.abs(shift[known]).max()) if known.any() else 1.0, 1e-3)
    counts, _, _ = np.histogram2d(
        shift[known], rot[known], bins=BINS[::-1], range=((-reach, reach), (-180, 180))
    )
    image = hv.Image(
        counts[::-1],
        bounds=(-180, -reach, 180, reach),
        kdims=[
            hv.Dimension("azimuth", label="azimuth (rot)", unit="°"),
            hv.Dimension("axial_shift", label="shift along the axis", unit="Å"),
        ],
        vdims=["segments"],
    )
    return image.opts(
        title="Positions in the asymmetric unit",
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


def view(session: Any | SessionView) -> pn.viewable.Viewable:
    """Positions in the asymmetric unit, following a session.

    Parameters
    ----------
    session : Session
        What is shown.

    Returns
    -------
    panel.viewable.Viewable
    """
    return plot_pane(live_plot(as_view(session), lambda s: plot(s.orientations)))
