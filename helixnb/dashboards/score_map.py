"""How well the map agrees with its own copies, over twist and rise.

The optima of both halves are shown beside the joint one: where they disagree, the
symmetry is not settled. A click sets twist and rise for the next iteration.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import holoviews as hv
import numpy as np
import panel as pn

from helixnb.dashboards import style
from helixnb.dashboards.live import as_view, live_plot

if TYPE_CHECKING:
    import xarray as xr

    from helixnb.dashboards.live import SessionView

AXES = [
    hv.Dimension("twist", label="twist", unit="°"),
    hv.Dimension("rise", label="rise", unit="Å"),
]
OPTIMA = {
    "half_A": ("half A", "triangle", style.HALF_A, 11),
    "half_B": ("half B", "inverted_triangle", style.HALF_B, 11),
    "joint": ("joint", "cross", "white", 13),
}


def plot(score_map: xr.Dataset, *, title: str = "Symmetry score") -> hv.Overlay:
    """Draw the joint score with the optima of both halves and of their sum.

    Parameters
    ----------
    score_map : xarray.Dataset
        Scores ``half_A``, ``half_B`` and ``joint`` over ``twist`` in degrees and
        ``rise`` in Angstrom.
    title : str

    Returns
    -------
    holoviews.Overlay
    """
    joint = score_map["joint"].transpose("rise", "twist")
    twist, rise = joint["twist"].to_numpy(), joint["rise"].to_numpy()
    values = joint.to_numpy()
    image = hv.Image((twist, rise, values), AXES, ["score"]).opts(
        cmap=style.SCORE_MAP,
        clim=(float(np.nanmin(values)), float(np.nanmax(values))),
        colorbar=True,
        colorbar_opts={"title": "score"},
        tools=["hover"],
    )
    optimum = optima(score_map)
    lines = [
        hv.VLines([optimum["joint"][0]]),
        hv.HLines([optimum["joint"][1]]),
    ]
    cross_hair = [e.opts(color="white", line_dash="dashed", alpha=0.7) for e in lines]
    points = [_marker(name, *place) for name, place in optimum.items()]
    return hv.Overlay([image, *cross_hair, *points]).opts(
        title=title,
        xlabel="twist (°)",
        ylabel="rise (Å)",
        legend_position="top_right",
        legend_opts={"background_fill_alpha": 0.8, "padding": 4, "margin": 4},
        fontsize=style.FONT_SIZES,
        responsive=True,
        min_width=280,
        height=310,
        toolbar="above",
    )


def _marker(name: str, twist_deg: float, rise_A: float) -> hv.Points:
    """Optimum of one of the scores."""
    label, marker, color, size = OPTIMA[name]
    return hv.Points([(twist_deg, rise_A)], AXES, label=label).opts(
        marker=marker, color=color, line_color=style.INK, size=size
    )
