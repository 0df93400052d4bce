"""The result of a stand-alone symmetry search as one page: score map and candidates."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING

import numpy as np
from bokeh.embed import file_html
from bokeh.layouts import row
from bokeh.models.widgets import Div
from bokeh.resources import Resources

from helixnb.dashboards import style
from helixnb.dashboards.chart import Axis, Chart, Colors, bounds_of, image, points
from helixnb.dashboards.drawing import figure_of
from helixnb.map_search import candidate_table

if TYPE_CHECKING:
    import xarray as xr

_WIDTH_PX, _HEIGHT_PX = 520, 420


def page(found: xr.Dataset) -> str:
    """Draw the result of a search as an HTML page that needs no network.

    Parameters
    ----------
    found : xarray.Dataset
        From `helixnb.search_symmetry`.

    Returns
    -------
    str
    """
    figures = [figure_of(chart) for chart in plots(found)]
    table = candidate_table(found).round(4).to_html(border=0)
    title = f"Helical symmetry of {found.attrs['source']}"
    heading = Div(text=f"<h2>{html.escape(title)}</h2>{table}")
    return str(file_html(row(*figures, heading), Resources(mode="inline"), title=title))


def plots(found: xr.Dataset) -> list[Chart]:
    """Draw the score map, one of each hand in pitch mode, with the candidates on it.

    Parameters
    ----------
    found : xarray.Dataset
        From `helixnb.search_symmetry`.

    Returns
    -------
    list of Chart
    """
    if found.attrs["axes"] == "twist-rise":
        return [_plot(found, found["score"], "", ("twist_deg", "rise_A"))]
    return [
        _plot(found, found["score"].sel(hand=hand), str(hand), _PITCH)
        for hand in found["hand"].to_numpy()
    ]


_PITCH = ("subunits_per_turn", "pitch_A")


def _plot(
    found: xr.Dataset, score: xr.DataArray, hand: str, columns: tuple[str, str]
) -> Chart:
    """One score map with the candidates that lie on it."""
    x, y = (score[dim] for dim in score.dims)
    left, bottom, right, top = bounds = bounds_of(y, x)
    labels = [str(place.attrs["long_name"]) for place in (x, y)]
    values = score.to_numpy().T
    hover = (
        (labels[0], "$x{0.000}"),
        (labels[1], "$y{0.000}"),
        ("score", "@image{0.000}"),
    )
    table = candidate_table(found)
    if hand:
        table = table[table["hand"] == hand]
    places = np.column_stack([table[name] for name in columns]).astype(float)
    inside = ((places >= [left, bottom]) & (places <= [right, top])).all(axis=1)
    ringed = points(
        *places[inside].T,
        marker="circle",
        size=11,
        fill_alpha=0,
        color=style.NEXT,
        line_width=2,
    )
    return Chart(
        [image(values, bounds, hover), ringed],
        f"Symmetry score{', ' + hand + '-handed' if hand else ''}",
        x=Axis(labels[0], (left, right)),
        y=Axis(labels[1], (bottom, top)),
        colors=Colors(
            style.SCORE_MAP,
            (float(np.nanmin(values)), float(np.nanmax(values))),
            bar="score",
        ),
        size={"width": _WIDTH_PX, "height": _HEIGHT_PX},
        tools=True,
    )
