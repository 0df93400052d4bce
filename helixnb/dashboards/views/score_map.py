"""How well the map agrees with its own copies, over twist and rise.

The optima of both halves are shown beside the joint one: where they disagree, the
symmetry is not settled. A click sets twist and rise for the next iteration.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import xarray as xr

from helixnb.dashboards import style
from helixnb.dashboards.chart import (
    Axis,
    Chart,
    Colors,
    Layer,
    Legend,
    across,
    bounds_of,
    image,
    points,
    texts,
    upright,
)
from helixnb.dashboards.live import live_chart
from helixnb.dashboards.stand_alone import stand_alone

if TYPE_CHECKING:
    import panel as pn
    from numpy.typing import NDArray

    from helixnb.dashboards.live import SessionView

Bounds = tuple[float, float, float, float]
OPTIMA = {
    "half_A": ("half A", "triangle", style.HALF_A, 11),
    "half_B": ("half B", "inverted_triangle", style.HALF_B, 11),
    "joint": ("joint", "cross", "white", 13),
}


def plot(
    score_map: xr.Dataset,
    *,
    next_symmetry: tuple[float, float] = (np.nan, np.nan),
    candidates: pd.DataFrame | None = None,
    title: str = "Symmetry score",
) -> Chart:
    """Draw the joint score with the optima of both halves and of their sum.

    Parameters
    ----------
    score_map : xarray.Dataset
        Scores ``half_A``, ``half_B`` and ``joint`` over ``twist`` in degrees and
        ``rise`` in Angstrom, each with its optimum as attributes.
    next_symmetry : tuple of float
        Twist and rise of the next iteration, ringed.
    candidates : pandas.DataFrame, optional
        As `Session.candidates`; those on the map are marked.
    title : str
        Above the plot.

    Returns
    -------
    Chart
    """
    joint = score_map["joint"].transpose("rise", "twist")
    bounds = bounds_of(joint["rise"], joint["twist"])
    values = joint.to_numpy()
    known = values[np.isfinite(values)]
    hover = (
        ("twist", "$x{0.000}°"),
        ("rise", "$y{0.000} Å"),
        ("score", "@image{0.000}"),
    )
    return Chart(
        [
            image(values, bounds, hover),
            *(hair for name in OPTIMA for hair in _cross(name, score_map[name])),
            _candidate_marks(candidates, bounds),
            *(_marker(name, score_map) for name in OPTIMA),
            _next_marker(next_symmetry, bounds),
            _apart(score_map, bounds),
        ],
        title,
        x=Axis("twist (°)", (bounds[0], bounds[2])),
        y=Axis("rise (Å)", (bounds[1], bounds[3])),
        colors=Colors(
            style.SCORE_MAP,
            (float(known.min()), float(known.max())) if len(known) else (0.0, 1.0),
            bar="score" if len(known) else None,
        ),
        legend=Legend("below", columns=5),
        size={"min_width": 280, "height": 340},
        tools=True,
    )


def _optimum(score: xr.DataArray) -> tuple[float, float]:
    return score.attrs["best_twist_deg"], score.attrs["best_rise_A"]


def _known_optimum(score: xr.DataArray) -> NDArray[np.float64]:
    """Twist and rise as two arrays, empty without a search."""
    place = np.array([_optimum(score)], float).T
    return place if np.isfinite(place).all() else place[:, :0]


def _cross(name: str, score: xr.DataArray) -> tuple[Layer, Layer]:
    """Cross-hairs through the optimum of one of the scores."""
    label, _, color, _ = OPTIMA[name]
    twist_deg, rise_A = _known_optimum(score)
    hair: dict[str, Any] = {
        "line_color": color,
        "line_dash": "dashed" if name == "joint" else "dotted",
        "line_width": 1.2,
    }
    return upright(twist_deg, label, **hair), across(rise_A, label, **hair)


def _apart(score_map: xr.Dataset, bounds: Bounds) -> Layer:
    """Say how far the optima of the halves are apart, in a corner."""
    first, second = (_known_optimum(score_map[name]) for name in ("half_A", "half_B"))
    known = bool(first.size and second.size)
    words = []
    if known:
        twist_deg, rise_A = np.abs(first - second).ravel()
        words = [f"halves {twist_deg:.3f}° and {rise_A:.3f} Å apart"]
    left, bottom, right, top = bounds
    return texts(
        [left + 0.02 * (right - left)] * known,
        [top - 0.03 * (top - bottom)] * known,
        words,
        text_color="white",
        text_baseline="top",
        background_fill_color="black",
        background_fill_alpha=0.55,
        padding=3,
    )


def _marker(name: str, score_map: xr.Dataset) -> Layer:
    """Optimum of one of the scores; under the pointer each tells all of them.

    They often lie on each other, and then only one box of text is to be read.
    """
    label, marker, color, size = OPTIMA[name]
    twist_deg, rise_A = _known_optimum(score_map[name])
    told = {n: [_told(score_map[n])] * len(twist_deg) for n in OPTIMA}
    return points(
        twist_deg,
        rise_A,
        label,
        [(f"optimum, {OPTIMA[n][0]}", f"@{n}") for n in OPTIMA],
        told,
        marker=marker,
        color=color,
        line_color=style.QUIET,
        size=size,
    )


def _told(score: xr.DataArray) -> str:
    """Optimum of a score in words."""
    twist_deg, rise_A = _optimum(score)
    best = score.attrs.get("best_score", np.nan)
    return f"{twist_deg:.3f}°, {rise_A:.3f} Å, score {best:.3f}"


def _candidate_marks(candidates: pd.DataFrame | None, bounds: Bounds) -> Layer:
    """Other candidates that lie on the map, with their rank and what they are."""
    if candidates is None:
        candidates = pd.DataFrame(columns=["twist_deg", "rise_A", "score", "relation"])
    left, bottom, right, top = bounds
    inside = candidates["twist_deg"].between(left, right)
    inside &= candidates["rise_A"].between(bottom, top)
    here = candidates[inside]
    return points(
        here["twist_deg"].to_numpy(float),
        here["rise_A"].to_numpy(float),
        "candidates",
        (
            ("candidate", "@rank @relation"),
            ("twist, rise", "@x{0.000}°, @y{0.000} Å"),
            ("score", "@score{0.000}"),
        ),
        {
            "rank": list(here.index),
            "relation": list(here["relation"]),
            "score": here["score"].to_numpy(float),
        },
        marker="diamond",
        color=style.CANDIDATE,
        line_color=style.QUIET,
        size=9,
    )


def _next_marker(next_symmetry: tuple[float, float], bounds: Bounds) -> Layer:
    """Ring around the twist and rise of the next iteration, if they are on the map."""
    left, bottom, right, top = bounds
    twist_deg, rise_A = next_symmetry
    inside = left <= twist_deg <= right and bottom <= rise_A <= top
    return points(
        [twist_deg] if inside else [],
        [rise_A] if inside else [],
        "next iteration",
        color=style.NEXT,
        fill_alpha=0,
        line_width=2.5,
        size=17,
    )


def draw(session: Any, next_symmetry: tuple[float, float]) -> Chart:
    """Draw the score map of a session, or where it would be searched.

    Parameters
    ----------
    session : Session
        What is shown.
    next_symmetry : tuple of float
        Twist and rise of the next iteration.

    Returns
    -------
    Chart
        Without a search in this iteration, an empty map with the reason above it.
    """
    if session.state.scores is None:
        nothing, why = _blank(session), why_not_searched(session)
        return plot(nothing, next_symmetry=next_symmetry, title=why)
    found = session.score_map
    score = found["joint"].attrs
    edge = ", on the edge of the search" if score["on_edge"] else ""
    title = f"Symmetry score {score['best_score']:.3f}{edge}; click to choose"
    return plot(
        found,
        next_symmetry=next_symmetry,
        candidates=session.candidates,
        title=title,
    )


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
    """Score map of nothing over the range that would be searched."""
    used = session.state.parameters
    twist_deg, rise_A = used.twist_deg or 0.0, used.rise_A or 10.0
    rise_half = rise_A * used.rise_extent_percent / 100
    twist = twist_deg + np.linspace(-1, 1, 8) * used.twist_extent_deg
    rise = rise_A + np.linspace(-1, 1, 8) * rise_half
    here = {"best_twist_deg": np.nan, "best_rise_A": np.nan}
    nothing = xr.DataArray(
        np.full((8, 8), np.nan), {"twist": twist, "rise": rise}, ("twist", "rise")
    ).assign_attrs(here)
    return xr.Dataset(dict.fromkeys(OPTIMA, nothing))


def choose(follow: SessionView, twist_deg: float, rise_A: float) -> None:
    """Set twist and rise of the next iteration, as a click does.

    Parameters
    ----------
    follow : SessionView
        Whose session is changed; what it refuses is shown.
    twist_deg, rise_A : float
        The new values.
    """
    values = {"twist_deg": twist_deg, "rise_A": rise_A}
    follow.attempt(lambda: follow.session.parameters.set(**values))
    follow.changed()


@stand_alone()
def view(follow: SessionView) -> pn.viewable.Viewable:
    """Score map that follows a session; a click sets twist and rise.

    Parameters
    ----------
    follow : Session
        What is shown.

    Returns
    -------
    panel.viewable.Viewable

    Examples
    --------
    >>> helixnb.dashboards.score_map(session)  # doctest: +SKIP
    """
    return live_chart(
        follow,
        draw,
        on_tap=partial(choose, follow),
        next_symmetry=follow.param.next_symmetry,
    )
