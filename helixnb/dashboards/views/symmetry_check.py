"""Whether the map obeys its symmetry: it against the one without, shell by shell."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from helixnb.dashboards import style
from helixnb.dashboards.chart import Axis, Chart, Legend, line
from helixnb.dashboards.live import live_chart
from helixnb.dashboards.stand_alone import stand_alone
from helixnb.dashboards.views.fsc import resolution_ticks
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


def plot(check: xr.Dataset) -> Chart:
    """Draw the FSCs of both kinds of half-maps and their agreement.

    Parameters
    ----------
    check : xarray.Dataset
        As `Session.symmetry_check`.

    Returns
    -------
    Chart
    """
    overall = check.attrs["overall"]
    verdict = "cannot be judged" if np.isnan(overall) else f"{overall:.2f}"
    place = check["spatial_frequency"].to_numpy()
    return _chart(f"Symmetry-blind check: {verdict}", place, check)


def _chart(title: str, place: Any, curves: Any) -> Chart:
    """Draw curves of `CURVES` over spatial frequency."""
    highest = float(place[-1]) if len(place) else 0.2
    with np.errstate(divide="ignore"):
        resolution = 1 / np.asarray(place, float)
    layers = [
        line(
            place,
            curves[name],
            label,
            ((label, "@y{0.000}"), ("resolution", "@resolution{0.00} Å")),
            {"resolution": resolution},
            line_color=color,
            line_dash=dash,
            line_width=1.8,
        )
        for name, (label, color, dash) in CURVES.items()
    ]
    return Chart(
        layers,
        title,
        x=Axis(
            "resolution (Å), linear in 1/Å", (0.0, highest), resolution_ticks(highest)
        ),
        y=Axis("FSC, agreement", (-0.1, 1.25)),
        legend=Legend("bottom_left"),
        size={"min_width": 280, "height": 280},
        grid=True,
    )


def _draw(session: Any) -> Chart:
    """Draw the check, or an empty plot that says why there is none."""
    try:
        return plot(session.symmetry_check)
    except InputError as error:
        why = str(error).removesuffix(".")
        return _chart(why, [], {name: [] for name in CURVES})


@stand_alone()
def view(follow: SessionView) -> pn.viewable.Viewable:
    """Symmetry-blind check that follows a session.

    Parameters
    ----------
    follow : Session
        What is shown.

    Returns
    -------
    panel.viewable.Viewable

    Examples
    --------
    >>> helixnb.dashboards.symmetry_check(session)  # doctest: +SKIP
    """
    return live_chart(follow, _draw)
