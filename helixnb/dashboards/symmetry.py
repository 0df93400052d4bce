"""The score map to play with: extents, resolution and diameters as sliders.

The maps of the iteration are scored again while a slider moves; nothing of the session
changes until a click chooses twist and rise, or the button keeps the sliders' values.
"""

from __future__ import annotations

import html
from typing import TYPE_CHECKING, Any

import panel as pn

from helixnb.dashboards import score_map, style
from helixnb.dashboards.live import as_view, live_plot

if TYPE_CHECKING:
    import holoviews as hv
    import pandas as pd

    from helixnb.dashboards.live import SessionView

FRAME_PX = 430
SLIDER_PX = 205

_CANDIDATES = {
    "twist_deg": "twist (°)",
    "rise_A": "rise (Å)",
    "pitch_A": "pitch (Å)",
    "score": "score",
    "relation": "relation to the best",
}


def candidates_html(candidates: pd.DataFrame) -> str:
    """Candidate symmetries as a table.

    Parameters
    ----------
    candidates : pandas.DataFrame
        As `Session.candidates`.

    Returns
    -------
    str
    """
    if candidates.empty:
        return "<i>No other symmetry is a candidate.</i>"
    head = "".join(f"<th>{text}</th>" for text in ("", *_CANDIDATES.values()))
    rows = []
    for rank, row in candidates.iterrows():
        cells = "".join(f"<td>{_text(row[name])}</td>" for name in _CANDIDATES)
        rows.append(f"<tr><td>{rank}</td>{cells}</tr>")
    return f"<table class='hx-candidates'><tr>{head}</tr>{''.join(rows)}</table>"


def _text(value: Any) -> str:
    return html.escape(f"{value:.3f}" if isinstance(value, float) else str(value))


def view(session: Any | SessionView) -> pn.viewable.Viewable:
    """Score map with sliders and candidates that follow a session.

    Parameters
    ----------
    session : Session
        What is shown.

    Returns
    -------
    panel.viewable.Viewable
    """
    follow = as_view(session)
    target = follow.session
    sliders = _sliders(target)
    standing = {name: slider.value for name, slider in sliders.items()}

    def moved(values: dict[str, float]) -> dict[str, float]:
        """Values of the sliders that were moved; automatic ones change by step."""
        return {name: v for name, v in values.items() if v != standing[name]}

    def draw(
        session: Any, next_symmetry: tuple[float, float], **values: float
    ) -> hv.Overlay:
        asked = moved(values)
        if session.state.scores is None or not asked:
            drawn = score_map.draw(session, next_symmetry)
        else:
            found = session.score_again(**asked)
            best = found["joint"].attrs
            title = (
                f"Score {best['best_score']:.3f} at {best['best_twist_deg']:.3f}°, "
                f"{best['best_rise_A']:.3f} Å"
            )
            drawn = score_map.plot(found, next_symmetry=next_symmetry, title=title)
        return drawn.opts(
            responsive=False,
            frame_width=FRAME_PX,
            frame_height=int(0.75 * FRAME_PX),
            framewise=True,
        )

    plotted = live_plot(
        follow,
        draw,
        hooks=[score_map.chooser(follow)],
        next_symmetry=follow.param.next_symmetry,
        **sliders,
    )
    keep = pn.widgets.Button(label="Search like this from now on", width=SLIDER_PX)

    def on_keep(_: Any) -> None:
        values: dict[str, Any] = {n: slider.value for n, slider in sliders.items()}
        follow.attempt(lambda: target.parameters.set(**moved(values)))
        follow.changed()

    keep.on_click(on_keep)

    def listed(_: int) -> str:
        if target.state is None or target.state.scores is None:
            return ""
        return candidates_html(target.candidates)

    table = pn.pane.HTML(
        pn.bind(listed, follow.param.results), stylesheets=[style.TABLE_CSS]
    )
    return pn.Column(
        pn.pane.HoloViews(plotted, linked_axes=False),
        pn.FlexBox(*sliders.values(), keep, width=FRAME_PX + 130),
        table,
    )


def _sliders(session: Any) -> dict[str, pn.widgets.FloatSlider]:
    """Sliders by parameter, at what the iteration used."""
    state = session.state
    used = state.parameters
    outer_A = 2 * state.survey.outer_radius_A
    inner, outer = used.search_diameters_A(outer_A)
    finest = 2.0 * session.particles.pixel_size_A
    coarsest = max(20.0, used.search_resolution_A or 0.0)
    ranges = {
        "twist_extent_deg": ("Twist ± (°)", 0.1, 20.0, used.twist_extent_deg, 0.1),
        "rise_extent_percent": ("Rise ± (%)", 0.5, 50, used.rise_extent_percent, 0.5),
        "search_resolution_A": (
            "Resolution (Å)",
            finest,
            coarsest,
            max(used.search_resolution_A or state.resolution_A, finest),
            0.1,
        ),
        "search_outer_diameter_A": (
            "Outer diameter (Å)",
            0.2 * outer_A,
            1.2 * outer_A,
            outer,
            1.0,
        ),
        "search_inner_diameter_A": (
            "Inner diameter (Å)",
            0.0,
            0.8 * outer_A,
            inner,
            1.0,
        ),
    }
    return {
        name: pn.widgets.FloatSlider(
            label=label,
            start=start,
            end=max(end, value),
            value=value,
            step=step,
            width=SLIDER_PX,
        )
        for name, (label, start, end, value, step) in ranges.items()
    }
