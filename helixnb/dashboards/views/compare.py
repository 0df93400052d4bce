"""Two branches of a refinement side by side: what was chosen and what came of it."""

from __future__ import annotations

import html
from functools import partial
from typing import TYPE_CHECKING, Any

import panel as pn

from helixnb.dashboards import style
from helixnb.dashboards.chart import Axis, Chart, Legend, across, line, points
from helixnb.dashboards.live import SessionView, live_chart
from helixnb.dashboards.stand_alone import on_ground, once_computed, trouble
from helixnb.dashboards.views import fsc, score_map
from helixnb.dashboards.views.convergence import limits_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd
    import xarray as xr

LOOKS = ((style.JOINT, "circle", 2.0), (style.NEXT, "triangle", 1.0))
"""Colour, marker and width: where both agree, the second lies within the first."""

COURSE = {
    "resolution_A": "resolution (Å)",
    "next_twist_deg": "twist (°)",
    "next_rise_A": "rise (Å)",
}
"""Columns of the history that are drawn."""


WAITING = (
    "Two branches side by side. Shown here once both have been through an iteration: "
    "call session.step() on each."
)


def plot(curves: Mapping[str, xr.Dataset]) -> Chart:
    """Draw the FSC that each branch reports.

    Parameters
    ----------
    curves : mapping of str to xarray.Dataset
        Name of a branch, and its `Session.fsc`.

    Returns
    -------
    Chart
    """
    highest = max(float(c["spatial_frequency"][-1]) for c in curves.values())
    hover = (("FSC", "@y{0.000}"), ("frequency", "@x{0.0000} 1/Å"))
    return Chart(
        [
            across(fsc.THRESHOLDS, line_color=style.QUIET, line_dash="dashed"),
            *(
                line(
                    curve["spatial_frequency"],
                    curve["reported"],
                    name,
                    hover,
                    line_color=color,
                    line_width=1.8 * width,
                )
                for (name, curve), (color, _, width) in zip(
                    curves.items(), LOOKS, strict=True
                )
            ),
        ],
        "FSC: "
        + ", ".join(
            f"{name} {curve.attrs['resolution_A']:.2f} Å"
            for name, curve in curves.items()
        ),
        x=Axis(
            "resolution (Å), linear in 1/Å",
            (0.0, highest),
            fsc.resolution_ticks(highest),
        ),
        y=Axis("FSC", (-0.1, 1.05)),
        legend=Legend("bottom_left"),
        size={"min_width": 280, "height": 310},
        tools=True,
        grid=True,
    )


def course(histories: Mapping[str, pd.DataFrame], column: str) -> Chart:
    """Draw a quantity over the iterations of both branches.

    Parameters
    ----------
    histories : mapping of str to pandas.DataFrame
        Name of a branch, and its `Session.history`.
    column : str
        Key of `COURSE`.

    Returns
    -------
    Chart
    """
    layers, values = [], []
    looks = zip(histories.items(), LOOKS, strict=True)
    for (name, table), (color, marker, width) in looks:
        place = table["iteration"].to_numpy(float)
        values.append(table[column].to_numpy(float))
        hover = (("iteration", "@x"), (name, "@y{0.000}"))
        layers += [
            line(place, values[-1], name, line_color=color, line_width=1.5 * width),
            points(
                place,
                values[-1],
                name,
                hover,
                color=color,
                marker=marker,
                size=5 * width,
            ),
        ]
    last = max(float(table["iteration"].max()) for table in histories.values())
    return Chart(
        layers,
        COURSE[column].partition(" (")[0].capitalize(),
        x=Axis("iteration", (-0.3, last + 0.3)),
        y=Axis(COURSE[column], limits_of(values)),
        legend=Legend("above", columns=2),
        size={"min_width": 200, "height": 230},
        grid=True,
    )


def differences_html(compared: pd.DataFrame, names: Sequence[str]) -> str:
    """Say what differs: parameters of the last iterations and the next, and results.

    Parameters
    ----------
    compared : pandas.DataFrame
        As `Session.compare`.
    names : sequence of str
        Of the two branches.

    Returns
    -------
    str
    """
    head = "".join(f"<th>{html.escape(text)}</th>" for text in ("", *names))
    rows = "".join(
        f"<tr><td>{quantity}</td><td>{_text(row['this'])}</td>"
        f"<td>{_text(row['other'])}</td></tr>"
        for quantity, row in compared.iterrows()
    )
    return f"<table><tr>{head}</tr>{rows}</table>"


def _text(value: Any) -> str:
    shown = f"{value:.4f}" if isinstance(value, float) else str(value)
    return html.escape("automatic" if value is None else shown)


def view(
    session_a: Any, session_b: Any, names: tuple[str, str] = ("A", "B")
) -> pn.viewable.Viewable:
    """Compare two sessions, usually a session and its `fork`, while they go on.

    Parameters
    ----------
    session_a, session_b : Session
        Shown once each has been through an iteration.
    names : tuple of str
        What they are called on the page.

    Returns
    -------
    panel.viewable.Viewable
        FSC, course and differences of both, and the score map of each.

    Examples
    --------
    >>> branch = session.fork(twist_deg=-166.5)  # doctest: +SKIP
    >>> helixnb.dashboards.compare(session, branch)  # doctest: +SKIP
    """
    follow, other = SessionView(session_a), SessionView(session_b)
    make = partial(_compared, follow, other, names)
    if follow.has_results and other.has_results:
        compared = make()
    else:
        compared = once_computed(make, WAITING, follow, other)
    return on_ground(follow, trouble(follow), compared, others=[other])


def _compared(
    follow: SessionView, other: SessionView, names: tuple[str, str]
) -> pn.Column:
    """Lay out plots and table of two sessions with results."""
    sessions = dict(zip(names, (follow.session, other.session), strict=True))
    both = {"other": other.param.results}

    def curves(*_: Any, **__: Any) -> Chart:
        return plot({name: session.fsc for name, session in sessions.items()})

    def histories(column: str) -> Chart:
        tables = {name: session.history for name, session in sessions.items()}
        return course(tables, column)

    table = pn.pane.HTML(stylesheets=[style.TABLE_CSS], min_width=330)

    def tell(**_: Any) -> None:
        table.object = differences_html(follow.session.compare(other.session), names)

    # At edits as well.
    events = {"its": follow.param.event, "other": other.param.event}
    follow.keep(tell, with_results=False, **events)
    return pn.Column(
        pn.Row(live_chart(follow, curves, **both), table, sizing_mode="stretch_width"),
        pn.Row(
            *(
                live_chart(follow, lambda _, c=column, **__: histories(c), **both)
                for column in COURSE
            ),
            sizing_mode="stretch_width",
        ),
        pn.Row(
            *(
                pn.Column(f"**{name}**", score_map.view(one))
                for name, one in zip(names, (follow, other), strict=True)
            )
        ),
        sizing_mode="stretch_width",
    )
