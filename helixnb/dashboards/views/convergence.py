"""How the refinement went: resolution, twist, rise and time over iterations.

Twist and rise are shown as used, with the optima that each half found by itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import panel as pn

from helixnb.dashboards import style
from helixnb.dashboards.chart import Axis, Chart, Legend, Limits, Ticks, line, points
from helixnb.dashboards.kept import Kept
from helixnb.dashboards.live import live_chart
from helixnb.dashboards.stand_alone import stand_alone

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import pandas as pd
    from numpy.typing import NDArray

    from helixnb.dashboards.live import SessionView


class Trace(NamedTuple):
    """A column of the history and how it is drawn."""

    column: str
    label: str
    color: str
    marker: str


class Panel(NamedTuple):
    """A plot: what is on its axis, at least how much of it, and its traces."""

    label: str
    least: float
    traces: tuple[Trace, ...]
    from_zero: bool = False


PANELS: dict[str, Panel] = {
    "resolution": Panel(
        "resolution (Å)",
        1.0,
        (
            Trace("align_resolution_A", "aligned to", style.EARLIER, "square"),
            Trace("resolution_A", "FSC 0.143", style.CORRECTED, "circle"),
        ),
    ),
    "twist": Panel(
        "twist (°)",
        0.02,
        (
            Trace("found_twist_deg_half_A", "half A", style.HALF_A, "triangle"),
            Trace(
                "found_twist_deg_half_B", "half B", style.HALF_B, "inverted_triangle"
            ),
            Trace("twist_deg", "used", style.JOINT, "circle"),
        ),
    ),
    "rise": Panel(
        "rise (Å)",
        0.02,
        (
            Trace("found_rise_A_half_A", "half A", style.HALF_A, "triangle"),
            Trace("found_rise_A_half_B", "half B", style.HALF_B, "inverted_triangle"),
            Trace("rise_A", "used", style.JOINT, "circle"),
        ),
    ),
    "pose angles": Panel(
        "median change (°)",
        1.0,
        (
            Trace("change_azimuth_deg", "azimuth", style.JOINT, "circle"),
            Trace("change_psi_deg", "in-plane", style.HALF_A, "triangle"),
        ),
        from_zero=True,
    ),
    "pose shifts": Panel(
        "median change (Å)",
        0.5,
        (Trace("change_shift_A", "across the axis", style.JOINT, "circle"),),
        from_zero=True,
    ),
    "effective poses": Panel(
        "poses for an image",
        1.0,
        (Trace("effective_poses", "median", style.MASKED, "circle"),),
        from_zero=True,
    ),
    "time": Panel(
        "time (s)",
        1.0,
        (Trace("seconds", "one iteration", style.QUIET, "circle"),),
        from_zero=True,
    ),
}


def plot(history: pd.DataFrame, quantity: str) -> Chart:
    """Draw one quantity over iterations.

    Parameters
    ----------
    history : pandas.DataFrame
        One row for each iteration; may be empty.
    quantity : str
        Key of `PANELS`.

    Returns
    -------
    Chart
    """
    panel = PANELS[quantity]
    traces = panel.traces
    history = history.reindex(columns=["iteration", *(t.column for t in traces)])
    iteration = history["iteration"].to_numpy(float)
    last = max(1.0, iteration.max(initial=1.0))
    layers = []
    for trace in traces:
        values = history[trace.column].to_numpy(float)
        if not np.isfinite(values).any():
            values = values[:0]
        place = iteration[: len(values)]
        hover = (("iteration", "@x"), (trace.label, "@y{0.000}"))
        layers += [
            line(
                place,
                values,
                trace.label,
                line_color=trace.color,
                line_width=1.5,
            ),
            points(
                place,
                values,
                trace.label,
                hover,
                marker=trace.marker,
                color=trace.color,
                size=5,
            ),
        ]
    return Chart(
        layers,
        quantity.capitalize(),
        x=Axis("iteration", (-0.3, last + 0.3), _iteration_ticks(int(last))),
        y=Axis(
            panel.label,
            limits_of(
                [history[[t.column for t in traces]].to_numpy(float)],
                panel.least,
                from_zero=panel.from_zero,
            ),
        ),
        legend=Legend("above", columns=3),
        size={"min_width": 170, "height": 200},
        grid=True,
    )


def limits_of(
    values: Sequence[NDArray[np.float64]],
    least: float = 0.0,
    *,
    from_zero: bool = False,
) -> Limits:
    """Range of all values with some room; a little about one value, or any of none.

    Parameters
    ----------
    values : sequence of ndarray of float64
        Of any shapes; what is not finite does not count.
    least : float
        Width of the range at least: what does not change is drawn as not changing,
        and its digits can be read.
    from_zero : bool
        Begins at 0, for what cannot be less.

    Returns
    -------
    tuple of float
    """
    flat = np.concatenate([np.ravel(some) for some in values])
    known = flat[np.isfinite(flat)]
    if not len(known):
        return 0.0, 1.0
    low, high = 0.0 if from_zero else float(known.min()), float(known.max())
    room = 0.1 * (high - low) or 1e-3 * abs(high) or 1.0
    room = max(room, (least - (high - low)) / 2)
    return (0.0, high + room) if from_zero else (low - room, high + room)


def _iteration_ticks(last: int) -> Ticks:
    """About six whole numbers from 0 to the last iteration."""
    return tuple((float(n), str(n)) for n in range(0, last + 1, -(-(last + 1) // 6)))


IN_A_ROW = 4
FIRST = ("resolution", "twist", "rise", "time")
"""Panels of an overview."""


@stand_alone()
def view(
    follow: SessionView, quantities: Iterable[str] = tuple(PANELS)
) -> pn.viewable.Viewable:
    """Course of the refinement that follows a session.

    Parameters
    ----------
    follow : Session
        What is shown.
    quantities : iterable of str
        Keys of `PANELS`.

    Returns
    -------
    panel.viewable.Viewable

    Examples
    --------
    >>> helixnb.dashboards.convergence(session)  # doctest: +SKIP
    """
    kept = Kept()

    def pane(quantity: str) -> pn.viewable.Viewable:
        def draw(session: Any) -> Chart:
            history = kept.once(session, "history", lambda: session.history)
            return plot(history, quantity)

        return live_chart(follow, draw, flex="1 1 180px")

    panes = list(map(pane, quantities))
    rows = [panes[i : i + IN_A_ROW] for i in range(0, len(panes), IN_A_ROW)]
    return pn.Column(
        *(pn.Row(*row, sizing_mode="stretch_width") for row in rows),
        sizing_mode="stretch_width",
    )
