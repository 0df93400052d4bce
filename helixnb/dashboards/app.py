"""The dashboard: all views of a session on one page, for notebooks and servers."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING, Any

import panel as pn

from helixnb.dashboards import (
    controls,
    convergence,
    fsc,
    orientations,
    score_map,
    slices,
    style,
)
from helixnb.dashboards.live import as_view

if TYPE_CHECKING:
    from helixnb.dashboards.live import SessionView


class Dashboard(pn.viewable.Viewer):
    """All views of one session.

    Parameters
    ----------
    session : Session
        What is shown.

    Attributes
    ----------
    live : SessionView
        What the views are bound to.
    """

    def __init__(self, session: Any) -> None:
        super().__init__()
        self.live = as_view(session)
        self._page = page(self.live)

    def __panel__(self) -> pn.viewable.Viewable:
        """Return the layout to be shown."""
        return self._page

    def close(self) -> None:
        """Stop following the session."""
        self.live.close()


def dashboard(session: Any) -> Dashboard:
    """Show a session live, with its parameters to edit and buttons to run it.

    Parameters
    ----------
    session : Session
        What is shown.

    Returns
    -------
    Dashboard
        Displayed by Jupyter as the last line of a cell, and by ``panel serve``
        after ``.servable()``.
    """
    return Dashboard(session)


def page(follow: SessionView) -> pn.viewable.Viewable:
    """Layout of the dashboard: actions, parameters, results, from top to bottom.

    Parameters
    ----------
    follow : SessionView
        What is shown.

    Returns
    -------
    panel.viewable.Viewable
    """
    head = pn.Row(
        controls.buttons(follow), controls.status(follow), sizing_mode="stretch_width"
    )
    results = pn.Column(sizing_mode="stretch_width")

    def show(has_results: bool) -> None:
        made = _results(follow) if has_results else [_welcome(follow)]
        results.objects = made

    show(follow.has_results)
    follow.param.watch(lambda change: show(change.new), "has_results")
    return pn.Column(
        head,
        controls.parameters(follow),
        results,
        sizing_mode="stretch_width",
        styles={"background": "white"},
    )


def _results(follow: SessionView) -> list[pn.viewable.Viewable]:
    """All views of results, most looked at first."""
    return [
        pn.FlexBox(
            fsc.view(follow), score_map.view(follow), sizing_mode="stretch_width"
        ),
        slices.view(follow),
        convergence.view(follow),
        orientations.view(follow),
    ]


def _welcome(follow: SessionView) -> pn.pane.HTML:
    """Say what is loaded and what to press, before there is anything to plot."""
    loaded = html.escape(describe(follow.session))
    return pn.pane.HTML(
        f"<h3 style='margin-top: 0'>Ready to refine</h3><p>{loaded}</p>"
        "<p>Press <b>Step</b> to compute one iteration, or <b>Run</b> to iterate "
        "until converged. The first builds an initial density from the images. "
        "Parameters can be changed at any time: each iteration reads "
        "them once, when it starts.</p>",
        sizing_mode="stretch_width",
        styles={
            "color": style.INK,
            "font-size": "14px",
            "padding": "18px",
            "border": f"1px dashed {style.EARLIER}",
            "border-radius": "6px",
            "max-width": "620px",
        },
        margin=(10, 20),
    )


def describe(session: Any) -> str:
    """Say what a session has loaded, in one sentence.

    Parameters
    ----------
    session : Session
        What is shown.

    Returns
    -------
    str
    """
    particles, next_parameters = session.particles, session.parameters
    return (
        f"{len(particles):,} segments of {particles.n_filaments:,} filaments, "
        f"{particles.box_px} by {particles.box_px} pixels of "
        f"{particles.pixel_size_A:g} Å. Estimated symmetry: "
        f"{next_parameters.frozen.symmetry or 'none'}."
    )
