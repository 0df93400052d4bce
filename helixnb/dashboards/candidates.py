"""The result of a stand-alone symmetry search as one page: score map and candidates."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING, Any

import holoviews as hv
import numpy as np
from bokeh.embed import file_html
from bokeh.layouts import row
from bokeh.models.widgets import Div
from bokeh.resources import Resources

from helixnb.dashboards import style
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
    renderer = hv.renderer("bokeh")
    figures = [renderer.get_plot(plot).state for plot in plots(found)]
    table = candidate_table(found).round(4).to_html(border=0)
    title = f"Helical symmetry of {found.attrs['source']}"
    heading = Div(text=f"<h2>{html.escape(title)}</h2>{table}")
    return str(file_html(row(*figures, heading), Resources(mode="inline"), title=title))


def plots(found: xr.Dataset) -> list[Any]:
    """Draw the score map, one of each hand in pitch mode, with the candidates on it.

    Parameters
    ----------
    found : xarray.Dataset
        From `helixnb.search_symmetry`.

    Returns
    -------
    list of holoviews.Overlay
    """
    hv.renderer("bokeh")  # loads the plotting backend that options refer to
    if found.attrs["axes"] == "twist-rise":
        return [_plot(found, found["score"], "", ("twist_deg", "rise_A"))]
    return [
        _plot(found, found["score"].sel(hand=hand), str(hand), _PITCH)
        for hand in found["hand"].to_numpy()
    ]


_PITCH = ("subunits_per_turn", "pitch_A")


def _plot(
    found: xr.Dataset, score: xr.DataArray, hand: str, columns: tuple[str, str]
) -> Any:
    """One score map with the candidates that lie on it."""
    x, y = (score[dim].to_numpy() for dim in score.dims)
    labels = [score[dim].attrs["long_name"] for dim in score.dims]
    image = hv.Image((x, y, score.to_numpy().T), labels, ["score"]).opts(
        cmap=style.SCORE_MAP, colorbar=True, tools=["hover"]
    )
    table = candidate_table(found)
    if hand:
        table = table[table["hand"] == hand]
    places = np.column_stack([table[name] for name in columns])
    inside = (places >= [x[0], y[0]]).all(axis=1) & (places <= [x[-1], y[-1]]).all(
        axis=1
    )
    points = hv.Points(places[inside], labels).opts(
        marker="circle", size=11, fill_alpha=0, color=style.NEXT, line_width=2
    )
    return (image * points).opts(
        title=f"Symmetry score{', ' + hand + '-handed' if hand else ''}",
        width=_WIDTH_PX,
        height=_HEIGHT_PX,
    )
