"""FSC curves of the current iteration, over those of the iterations before.

The abscissa is linear in spatial frequency and ticked in Angstrom, as in print.
"""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

import numpy as np

from helixnb import results
from helixnb.dashboards import style
from helixnb.dashboards.chart import (
    Axis,
    Chart,
    Layer,
    Legend,
    across,
    line,
    paths,
    texts,
    upright,
)
from helixnb.dashboards.live import live_chart
from helixnb.dashboards.stand_alone import stand_alone

if TYPE_CHECKING:
    from collections.abc import Sequence

    import panel as pn
    import xarray as xr

    from helixnb.dashboards.chart import Ticks
    from helixnb.dashboards.live import SessionView
    from helixnb.iteration.state import State

HEIGHT_PX = 340
THRESHOLDS = (0.143, 0.5)
TICKS_A = (100, 50, 30, 20, 15, 12, 10, 8, 7, 6, 5, 4.5, 4, 3.5, 3, 2.5, 2, 1.5, 1)
MIN_TICK_GAP = 0.055
"""Ticks closer than this part of the axis are left out."""

CURVES = {
    "randomised": ("phases randomised", style.RANDOMISED, "dotted", 1.3),
    "unmasked": ("unmasked", style.UNMASKED, "solid", 1.3),
    "cylinder": ("cylinder", style.MASKED, "dashed", 1.5),
    "loose": ("loose mask", style.LOOSE, "dashed", 1.1),
    "tight": ("tight mask", style.TIGHT, "dashed", 1.1),
    "corrected": ("corrected", style.CORRECTED, "solid", 2.5),
}
"""Those that noise substitution makes are left out without it."""


def plot(
    fsc: xr.Dataset,
    *,
    earlier: Sequence[xr.DataArray] = (),
    title: str = "Fourier shell correlation",
) -> Chart:
    """Draw FSC curves.

    Parameters
    ----------
    fsc : xarray.Dataset
        From `helixnb.results.fsc`: curves over ``spatial_frequency`` in 1/A, and the
        attribute ``split_resolution_A``, beyond which the half-maps are independent.
    earlier : sequence of xarray.DataArray
        Reported curves of the iterations before, drawn faint.
    title : str
        Above the plot.

    Returns
    -------
    Chart
    """
    frequency = fsc["spatial_frequency"].to_numpy()
    highest = float(frequency[-1])
    past = [(c["spatial_frequency"].to_numpy(), c.to_numpy()) for c in earlier]
    thin: dict[str, Any] = {
        "line_color": style.QUIET,
        "line_width": 0.8,
        "line_alpha": 0.6,
    }
    return Chart(
        [
            paths(past, "earlier", line_color=style.EARLIER, line_alpha=0.45),
            upright(
                [1 / fsc.attrs["split_resolution_A"]],
                "split of the halves",
                line_color=style.QUIET,
                line_dash="dotdash",
            ),
            across(THRESHOLDS, line_dash="dashed", **thin),
            texts(
                np.full(len(THRESHOLDS), 0.01 * highest),
                THRESHOLDS,
                [f"{threshold:g}" for threshold in THRESHOLDS],
            ),
            *(_curve(fsc, name) for name in CURVES),
        ],
        title,
        x=Axis(
            "resolution (Å), linear in 1/Å", (0.0, highest), resolution_ticks(highest)
        ),
        y=Axis("FSC", (-0.1, 1.05)),
        legend=Legend("below", columns=4),
        size={"min_width": 280, "height": HEIGHT_PX},
        tools=True,
        grid=True,
    )


def _curve(fsc: xr.Dataset, name: str) -> Layer:
    """One curve, hovered with frequency, resolution and value; empty without data."""
    label, color, dash, width = CURVES[name]
    curve = fsc[name] if name in fsc else fsc["corrected"][:0]
    frequency = curve["spatial_frequency"].to_numpy()
    with np.errstate(divide="ignore"):
        resolution = 1 / frequency
    return line(
        frequency,
        curve,
        label,
        (
            (label, "@y{0.000}"),
            ("resolution", "@resolution{0.00} Å"),
            ("frequency", "@x{0.0000} 1/Å"),
        ),
        {"resolution": resolution},
        line_color=color,
        line_dash=dash,
        line_width=width,
    )


def resolution_ticks(highest_per_A: float) -> Ticks:
    """Positions in 1/A and labels in A of ticks that do not crowd.

    Parameters
    ----------
    highest_per_A : float
        End of the axis.

    Returns
    -------
    tuple of (float, str)
    """
    ticks: list[tuple[float, str]] = []
    for resolution in TICKS_A:
        place = 1 / resolution
        last = ticks[-1][0] if ticks else -np.inf
        if place <= highest_per_A and place - last >= MIN_TICK_GAP * highest_per_A:
            ticks.append((place, f"{resolution:g}"))
    return tuple(ticks)


@stand_alone()
def view(follow: SessionView) -> pn.viewable.Viewable:
    """FSC curves that follow a session.

    Parameters
    ----------
    follow : Session
        What is shown.

    Returns
    -------
    panel.viewable.Viewable

    Examples
    --------
    >>> helixnb.dashboards.fsc(session)  # doctest: +SKIP
    """
    seen: dict[int, tuple[weakref.ref[State], xr.DataArray]] = {}

    def remember(*_: Any) -> None:
        # The session keeps the last few states only, the page the curves of all.
        for state in follow.session.states:
            of = seen[state.iteration][0]() if state.iteration in seen else None
            if of is not state:
                curve = results.fsc(state)["reported"]
                seen[state.iteration] = weakref.ref(state), curve

    def draw(target: Any) -> Chart:
        now = target.state
        earlier = [seen[i][1] for i in sorted(seen) if 0 < i < now.iteration]
        title = f"FSC of iteration {now.iteration}: {now.resolution_A:.2f} Å"
        return plot(target.fsc, earlier=earlier, title=title)

    remember()
    follow.param.watch(remember, "results")
    return live_chart(follow, draw)
