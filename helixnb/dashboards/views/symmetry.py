"""The score map to play with: extents, resolution and diameters as sliders.

The maps of the iteration are scored again while a slider moves; nothing of the session
changes until a click on the map or on a candidate chooses twist and rise, or the button
keeps the sliders' values.
"""

from __future__ import annotations

from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import panel as pn
import param

from helixnb.dashboards import style
from helixnb.dashboards.live import live_chart
from helixnb.dashboards.sliders import slider
from helixnb.dashboards.stand_alone import stand_alone
from helixnb.dashboards.views import score_map

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pandas as pd

    from helixnb.dashboards.chart import Chart
    from helixnb.dashboards.live import SessionView

FRAME_PX = 390
SLIDER_PX = 150
WIDTH_PX = 540
NEAR = 0.04
"""A click this part of the search's extent away from a candidate means it."""

_SLIDERS = {
    "twist_extent_deg": ("Twist ± (°)", 0.1),
    "rise_extent_percent": ("Rise ± (%)", 0.5),
    "search_resolution_A": ("Resolution (Å)", 0.1),
    "search_outer_diameter_A": ("Outer diameter (Å)", 1.0),
    "search_inner_diameter_A": ("Inner diameter (Å)", 1.0),
}
"""Label and step by parameter."""

_HEAD = " #   twist (°)  rise (Å)  pitch (Å)  score  relation to the best"


def candidate_lines(candidates: pd.DataFrame) -> dict[str, tuple[float, float]]:
    """Candidate symmetries as lines of a table, the best first.

    Parameters
    ----------
    candidates : pandas.DataFrame
        As `Session.candidates`.

    Returns
    -------
    dict of str to (float, float)
        Twist in degrees and rise in Angstrom by the line that tells them, in columns
        under `_HEAD`.
    """
    places = candidates[["twist_deg", "rise_A"]].to_numpy(float)
    lines = [
        f"{c.Index:2d}  {c.twist_deg:10.3f}{c.rise_A:10.3f}{c.pitch_A:11.1f}"
        f"{c.score:7.3f}  {c.relation}"
        for c in candidates.itertuples()
    ]
    return dict(zip(lines, map(tuple, places.tolist()), strict=True))


class _Trial(param.Parameterized):
    """What the maps are scored with instead of what the iteration used."""

    asked = param.Dict(default={})


@stand_alone()
def view(follow: SessionView) -> pn.viewable.Viewable:
    """Score map with sliders and candidates that follow a session.

    Parameters
    ----------
    follow : Session
        What is shown.

    Returns
    -------
    panel.viewable.Viewable

    Examples
    --------
    >>> helixnb.dashboards.symmetry(session)  # doctest: +SKIP
    """
    trial = _Trial()
    plotted = live_chart(
        follow,
        _draw,
        on_tap=partial(_choose_near, follow),
        flex="none",
        next_symmetry=follow.param.next_symmetry,
        asked=trial.param.asked,
    )
    return pn.Column(
        plotted,
        _trial_sliders(follow, trial),
        _candidate_table(follow),
        width=WIDTH_PX,
    )


def _draw(
    session: Any, next_symmetry: tuple[float, float], asked: dict[str, float]
) -> Chart:
    """Draw the map of the iteration, or the one that the sliders ask for."""
    if session.state.scores is None or not asked:
        drawn = score_map.draw(session, next_symmetry)
    else:
        found = session.score_again(**asked)
        best = found["joint"].attrs
        drawn = score_map.plot(
            found,
            next_symmetry=next_symmetry,
            candidates=session.candidates,
            title=f"Score {best['best_score']:.3f} at {best['best_twist_deg']:.3f}°, "
            f"{best['best_rise_A']:.3f} Å",
        )
    return drawn.sized(frame_width=FRAME_PX, frame_height=int(0.75 * FRAME_PX))


def _choose_near(follow: SessionView, twist_deg: float, rise_A: float) -> None:
    """Set twist and rise to those clicked at, or to a candidate's just there."""
    session = follow.session
    if session.state.scores is not None:
        used = session.state.parameters
        reach = np.array(
            [used.twist_extent_deg, used.rise_A * used.rise_extent_percent / 100]
        )
        places = session.candidates[["twist_deg", "rise_A"]].to_numpy(float)
        off = np.abs((places - (twist_deg, rise_A)) / reach).max(axis=1)
        if len(off) and off.min() < NEAR:
            twist_deg, rise_A = map(float, places[off.argmin()])
    score_map.choose(follow, twist_deg, rise_A)


def _trial_sliders(follow: SessionView, trial: _Trial) -> pn.FlexBox:
    """Sliders of the trial, at the values in force until they are moved."""
    sliders = _sliders(follow.session)
    following = [False]  # while sliders are set to new values in force

    @contextmanager
    def set_from_session() -> Iterator[None]:
        following[0] = True
        try:
            yield
        finally:
            following[0] = False

    def moved(name: str, value: float) -> None:
        if not following[0]:
            trial.asked = {**trial.asked, name: value}

    def refresh(*_: Any) -> None:
        with set_from_session():
            for name, (start, end, value) in _in_force(follow.session).items():
                if name not in trial.asked:
                    sliders[name].param.update(start=start, end=end, value=value)

    def keep(_: Any) -> None:
        asked = trial.asked
        if follow.attempt(lambda: follow.session.parameters.set(**asked)):
            trial.asked = {}
        follow.changed()

    def reset(_: Any) -> None:
        trial.asked = {}
        refresh()

    for name, widget in sliders.items():
        widget.param.watch(lambda change, name=name: moved(name, change.new), "value")
    follow.param.watch(refresh, "results")
    buttons = [
        pn.widgets.Button(label=label, on_click=action, width=width, margin=(16, 5))
        for label, action, width in (
            ("Search like this", keep, 110),
            ("Reset", reset, 60),
        )
    ]
    return pn.FlexBox(*sliders.values(), *buttons)


def _candidate_table(follow: SessionView) -> pn.Column:
    """Candidates to click on; the one of the next iteration is marked."""
    places: dict[str, tuple[float, float]] = {}
    head = pn.pane.HTML(styles={"color": style.QUIET}, stylesheets=[style.ROWS_CSS])
    choice = pn.widgets.RadioButtonGroup(
        options=[],
        orientation="vertical",
        stylesheets=[style.ROWS_CSS, style.CHOICE_CSS],
        margin=(0, 10),
    )

    def fill(next_symmetry: tuple[float, float]) -> None:
        nonlocal places
        session = follow.session
        scores = session.state.scores if session.state is not None else None
        places = {} if scores is None else candidate_lines(session.candidates)
        chosen = (
            text for text, place in places.items() if np.allclose(place, next_symmetry)
        )
        head.object = f"<pre>{_HEAD}</pre>" if places else ""
        choice.param.update(options=list(places), value=next(chosen, None))

    def choose(change: Any) -> None:
        place = places.get(change.new)
        if place and not np.allclose(place, follow.next_symmetry):
            score_map.choose(follow, *place)

    follow.keep(fill, next_symmetry=follow.param.next_symmetry)
    choice.param.watch(choose, "value")
    return pn.Column(head, choice)


def _sliders(session: Any) -> dict[str, pn.widgets.FloatSlider]:
    """Sliders by parameter, at what the iteration used."""
    return {
        name: slider(_SLIDERS[name][0], *range_, _SLIDERS[name][1], width=SLIDER_PX)
        for name, range_ in _in_force(session).items()
    }


def _in_force(session: Any) -> dict[str, tuple[float, float, float]]:
    """Least, most and used value of each slider's parameter."""
    state = session.state
    used = state.parameters
    outer_A = 2 * state.survey.outer_radius_A
    inner, outer = used.search_diameters_A(outer_A)
    finest = 2.0 * session.particles.pixel_size_A
    resolution = max(used.search_resolution_A or state.resolution_A, finest)
    return {
        "twist_extent_deg": (
            0.1,
            max(20.0, used.twist_extent_deg),
            used.twist_extent_deg,
        ),
        "rise_extent_percent": (0.5, 50.0, used.rise_extent_percent),
        "search_resolution_A": (finest, max(20.0, resolution), resolution),
        "search_outer_diameter_A": (0.2 * outer_A, max(1.2 * outer_A, outer), outer),
        "search_inner_diameter_A": (0.0, max(0.8 * outer_A, inner), inner),
    }
