"""How well the map agrees with its own copies, over twist and rise.

The optima of both halves are shown beside the joint one: where they disagree, the
symmetry is not settled. A click sets twist and rise for the next iteration.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import holoviews as hv
import numpy as np
import xarray as xr

from helixnb.dashboards import style
from helixnb.dashboards.live import as_view, live_plot, plot_pane

if TYPE_CHECKING:
    from collections.abc import Callable

    import panel as pn

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


def plot(
    score_map: xr.Dataset,
    *,
    next_symmetry: tuple[float, float] = (np.nan, np.nan),
    title: str = "Symmetry score",
) -> hv.Overlay:
    """Draw the joint score with the optima of both halves and of their sum.

    Parameters
    ----------
    score_map : xarray.Dataset
        Scores ``half_A``, ``half_B`` and ``joint`` over ``twist`` in degrees and
        ``rise`` in Angstrom, each with its optimum as attributes.
    next_symmetry : tuple of float
        Twist and rise of the next iteration, ringed.
    title : str
        Above the plot.

    Returns
    -------
    holoviews.Overlay
    """
    joint = score_map["joint"].transpose("rise", "twist")
    twist, rise = joint["twist"].to_numpy(), joint["rise"].to_numpy()
    half_step = np.diff(twist[:2])[0] / 2, np.diff(rise[:2])[0] / 2
    values = joint.to_numpy()
    image = hv.Image((twist, rise, values), AXES, ["score"]).opts(
        cmap=style.SCORE_MAP,
        clim=(float(values.min()), float(values.max())),
        alpha=float(values.any()),  # a map of zeros stands for none
        colorbar=True,
        clabel="",
        tools=["hover"],
        framewise=True,
    )
    optimum = {name: _optimum(score_map[name]) for name in OPTIMA}
    lines = [
        hv.VLines([optimum["joint"][0]]),
        hv.HLines([optimum["joint"][1]]),
    ]
    cross_hair = [e.opts(color="white", line_dash="dashed", alpha=0.7) for e in lines]
    points = [_marker(name, *place) for name, place in optimum.items()]
    points.append(_next_marker(next_symmetry))
    return hv.Overlay([image, *cross_hair, *points]).opts(
        title=title,
        xlim=(twist[0] - half_step[0], twist[-1] + half_step[0]),
        ylim=(rise[0] - half_step[1], rise[-1] + half_step[1]),
        xlabel="twist (°)",
        ylabel="rise (Å)",
        legend_position="bottom",
        legend_cols=4,
        legend_opts={"padding": 0, "margin": 0, "border_line_alpha": 0},
        fontsize=style.FONT_SIZES,
        responsive=True,
        min_width=280,
        height=310,
        toolbar="above",
    )


def _optimum(score: xr.DataArray) -> tuple[float, float]:
    return score.attrs["best_twist_deg"], score.attrs["best_rise_A"]


def _marker(name: str, twist_deg: float, rise_A: float) -> hv.Points:
    """Optimum of one of the scores."""
    label, marker, color, size = OPTIMA[name]
    return hv.Points([(twist_deg, rise_A)], AXES, label=label).opts(
        marker=marker,
        color=color,
        line_color=style.QUIET,
        size=size,
        framewise=True,
    )


def _next_marker(next_symmetry: tuple[float, float]) -> hv.Points:
    """Ring around the twist and rise of the next iteration."""
    return hv.Points([next_symmetry], AXES, label="next iteration").opts(
        marker="circle",
        color=style.NEXT,
        fill_alpha=0,
        line_width=2.5,
        size=17,
        apply_ranges=False,
        framewise=True,
    )


def draw(session: Any, next_symmetry: tuple[float, float]) -> hv.Overlay:
    """Draw the score map of a session, or where it would be searched.

    Parameters
    ----------
    session : Session
        What is shown.
    next_symmetry : tuple of float
        Twist and rise of the next iteration.

    Returns
    -------
    holoviews.Overlay
        Without a search in this iteration, an empty map with the reason above it.
    """
    if session.state.scores is None:
        nothing, why = _blank(session), why_not_searched(session)
        return plot(nothing, next_symmetry=next_symmetry, title=why)
    found = session.score_map
    score = found["joint"].attrs
    edge = ", on the edge of the search" if score["on_edge"] else ""
    title = f"Symmetry score {score['best_score']:.3f}{edge}; click to choose"
    return plot(found, next_symmetry=next_symmetry, title=title)


def why_not_searched(session: Any) -> str:
    """Say why an iteration has no score map.

    Parameters
    ----------
    session : Session
        What is shown.

    Returns
    -------
    str
    """
    used = session.state.parameters
    if used.symmetry is None:
        return "No twist and rise to search about: the refinement is asymmetric"
    if not used.search_symmetry:
        return "Twist and rise are not searched (parameter search_symmetry)"
    return f"Twist and rise are searched from {used.search_start_A:g} Å on"


def _blank(session: Any) -> xr.Dataset:
    """Score map of zeros over the range that would be searched."""
    used = session.state.parameters
    twist_deg, rise_A = used.twist_deg or 0.0, used.rise_A or 10.0
    rise_half = rise_A * used.rise_extent_percent / 100
    twist = twist_deg + np.linspace(-1, 1, 8) * used.twist_extent_deg
    rise = rise_A + np.linspace(-1, 1, 8) * rise_half
    here = {"best_twist_deg": np.nan, "best_rise_A": np.nan}
    nothing = xr.DataArray(
        np.zeros((8, 8)), {"twist": twist, "rise": rise}, ("twist", "rise")
    ).assign_attrs(here)
    return xr.Dataset(dict.fromkeys(OPTIMA, nothing))


def chooser(follow: SessionView) -> Callable[[Any, Any], None]:
    """Make the hook by which a click on a plot sets twist and rise.

    Parameters
    ----------
    follow : SessionView
        Whose session is changed.

    Returns
    -------
    callable
        Called by HoloViews with each frame.
    """
    listening: set[str] = set()

    def choose(x: float, y: float) -> None:
        parameters = follow.session.parameters
        follow.attempt(lambda: parameters.set(twist_deg=x, rise_A=y))
        follow.changed()

    def listen(plot: Any, _: Any) -> None:
        # A Tap stream does not hear an overlay's clicks.
        if plot.state.id not in listening:
            listening.add(plot.state.id)
            plot.state.on_event("tap", lambda event: choose(event.x, event.y))

    return listen


def view(session: Any | SessionView) -> pn.viewable.Viewable:
    """Score map that follows a session; a click sets twist and rise.

    Parameters
    ----------
    session : Session
        What is shown.

    Returns
    -------
    panel.viewable.Viewable
    """
    follow = as_view(session)
    plotted = live_plot(
        follow, draw, hooks=[chooser(follow)], next_symmetry=follow.param.next_symmetry
    )
    return plot_pane(plotted)
