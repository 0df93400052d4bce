"""FSC curves of the current iteration, over those of the iterations before.

The abscissa is linear in spatial frequency and ticked in Angstrom, as in print.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import holoviews as hv
import numpy as np

from helixnb import results
from helixnb.dashboards import style
from helixnb.dashboards.live import as_view, live_plot, plot_pane

if TYPE_CHECKING:
    from collections.abc import Sequence

    import panel as pn
    import xarray as xr
    from numpy.typing import NDArray

    from helixnb.dashboards.live import SessionView

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
) -> hv.Overlay:
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
    holoviews.Overlay
    """
    frequency = fsc["spatial_frequency"].to_numpy()
    split = 1 / fsc.attrs["split_resolution_A"]
    past = [(c["spatial_frequency"].to_numpy(), c.to_numpy()) for c in earlier]
    elements = [
        hv.Path(past, ["frequency", "FSC"], label="earlier").opts(
            color=style.EARLIER, alpha=0.45, line_width=1
        ),
        hv.VLines([split], label="split of the halves").opts(
            color=style.QUIET, line_dash="dotdash", line_width=1
        ),
        hv.HLines(list(THRESHOLDS)).opts(
            color=style.QUIET, line_dash="dashed", line_width=0.8, alpha=0.6
        ),
        hv.Labels(
            [(0.01 * frequency[-1], t, f"{t:g}") for t in THRESHOLDS],
            ["frequency", "FSC"],
            "text",
        ).opts(
            text_font_size="8pt",
            text_align="left",
            text_baseline="bottom",
            text_color=style.QUIET,
        ),
        *(_curve(fsc, name) for name in CURVES if name in fsc),
    ]
    return hv.Overlay(elements).opts(
        title=title,
        xlabel="resolution (Å), linear in 1/Å",
        ylabel="FSC",
        xlim=(0, float(frequency[-1])),
        ylim=(-0.1, 1.05),
        xticks=resolution_ticks(float(frequency[-1])),
        # Where curves are high: they fall towards the right.
        legend_position="bottom_left",
        legend_opts={
            "location": (38, 5),  # beside the names of the thresholds
            "background_fill_alpha": 0.75,
            "padding": 4,
            "spacing": 0,
            "margin": 4,
        },
        fontsize=style.FONT_SIZES,
        responsive=True,
        min_width=280,
        height=310,
        toolbar="above",
        show_grid=True,
    )


def _curve(fsc: xr.Dataset, name: str) -> hv.Curve:
    """One curve, hovered with frequency, resolution and value."""
    label, color, dash, width = CURVES[name]
    frequency = fsc["spatial_frequency"].to_numpy()
    columns = (frequency, fsc[name].to_numpy(), _resolution_text(frequency))
    return hv.Curve(columns, "frequency", ["FSC", "resolution"], label=label).opts(
        color=color,
        line_dash=dash,
        line_width=width,
        tools=["hover"],
        hover_tooltips=[
            (label, "@FSC{0.000}"),
            ("resolution", "@resolution"),
            ("frequency", "@frequency{0.0000} 1/Å"),
        ],
    )


def _resolution_text(frequency: NDArray[np.float64]) -> list[str]:
    return [f"{1 / f:.2f} Å" if f > 0 else "infinite" for f in frequency]


def resolution_ticks(highest_per_A: float) -> list[tuple[float, str]]:
    """Positions in 1/A and labels in A of ticks that do not crowd.

    Parameters
    ----------
    highest_per_A : float
        End of the axis.

    Returns
    -------
    list of (float, str)
    """
    ticks: list[tuple[float, str]] = []
    for resolution in TICKS_A:
        place = 1 / resolution
        last = ticks[-1][0] if ticks else -np.inf
        if place <= highest_per_A and place - last >= MIN_TICK_GAP * highest_per_A:
            ticks.append((place, f"{resolution:g}"))
    return ticks


def view(session: Any | SessionView) -> pn.viewable.Viewable:
    """FSC that follows a session.

    Parameters
    ----------
    session : Session
        What is shown.

    Returns
    -------
    panel.viewable.Viewable
    """
    seen: dict[int, xr.DataArray] = {}

    def draw(target: Any) -> hv.Overlay:
        # The session keeps the last few states only, the page all that it has seen.
        for state in target.states:
            seen[state.iteration] = results.fsc(state)["reported"]
        now = target.state
        earlier = [seen[i] for i in sorted(seen) if 0 < i < now.iteration]
        title = f"FSC of iteration {now.iteration}: {now.resolution_A:.2f} Å"
        return plot(target.fsc, earlier=earlier, title=title)

    return plot_pane(live_plot(as_view(session), draw))
