"""Where segments lie in the asymmetric unit: azimuth against shift along the axis."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from helixnb.dashboards import style
from helixnb.dashboards.binning import bin_edges, grid_of
from helixnb.dashboards.chart import Axis, Chart, Colors, image
from helixnb.dashboards.live import live_chart
from helixnb.dashboards.stand_alone import stand_alone

if TYPE_CHECKING:
    import panel as pn
    import xarray as xr
    from numpy.typing import NDArray

    from helixnb.dashboards.live import SessionView

AZIMUTH_BINS, SHIFT_BINS = 36, 14


def plot(orientations: xr.Dataset) -> Chart:
    """Draw the density of segments over azimuth and axial shift.

    Without preferred places all of the plot is filled evenly. What lies beyond half a
    rise would be another subunit.

    Parameters
    ----------
    orientations : xarray.Dataset
        As `Session.orientations`.

    Returns
    -------
    Chart
    """
    rot, shift = (orientations[n].to_numpy() for n in ("rot", "axial_shift"))
    known = np.isfinite(rot) & np.isfinite(shift)
    limits = (shift[known].min(), shift[known].max()) if known.any() else (-1.0, 1.0)
    grid = grid_of(orientations["axial_shift"])
    edges = bin_edges(limits, grid, SHIFT_BINS)
    azimuths = np.linspace(-180, 180, AZIMUTH_BINS + 1)
    counts, _, _ = np.histogram2d(shift[known], rot[known], bins=(edges, azimuths))
    return density(
        counts,
        (-180.0, float(edges[0]), 180.0, float(edges[-1])),
        "Positions in the asymmetric unit",
        "shift along the axis (Å)",
    )


def density(
    counts: NDArray[np.float64],
    bounds: tuple[float, float, float, float],
    title: str,
    ylabel: str,
) -> Chart:
    """Draw counts of segments over azimuth and something else.

    Parameters
    ----------
    counts : ndarray of float64, shape (n, n_azimuth)
        The lowest row first.
    bounds : tuple of float
        Left, bottom, right and top edge; azimuth in degrees.
    title : str
        Above the plot.
    ylabel : str
        What is counted over, besides azimuth.

    Returns
    -------
    Chart
    """
    unit = ylabel.rpartition("(")[2].rstrip(")")
    hover = (
        ("azimuth", "$x{0}°"),
        (ylabel.rpartition(" (")[0], f"$y{{0.0}} {unit}"),
        ("segments", "@image"),
    )
    left, bottom, right, top = bounds
    return Chart(
        [image(counts, bounds, hover)],
        title,
        x=Axis(
            "azimuth (rot, °)",
            (left, right),
            tuple((float(angle), str(angle)) for angle in range(-180, 181, 60)),
        ),
        y=Axis(ylabel, (bottom, top)),
        colors=Colors(
            style.COUNT_MAP, (0.0, max(float(counts.max()), 1.0)), "segments"
        ),
        size={"min_width": 280, "height": 250},
        tools=True,
    )


@stand_alone()
def view(follow: SessionView) -> pn.viewable.Viewable:
    """Positions in the asymmetric unit, following a session.

    Parameters
    ----------
    follow : Session
        What is shown.

    Returns
    -------
    panel.viewable.Viewable

    Examples
    --------
    >>> helixnb.dashboards.asymmetric_unit(session)  # doctest: +SKIP
    """
    return live_chart(follow, lambda s: plot(s.orientations))
