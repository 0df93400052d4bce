"""The dashboard: all views of a session on one page, for notebooks and servers."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING, Any

import panel as pn

from helixnb.dashboards import style
from helixnb.dashboards.live import SessionView
from helixnb.dashboards.stand_alone import on_ground
from helixnb.dashboards.views import (
    asymmetric_unit,
    controls,
    convergence,
    filaments,
    fsc,
    guinier,
    layer_lines,
    means,
    noise_spectrum,
    orientations,
    particles,
    score_map,
    slices,
    surface,
    symmetry,
    symmetry_check,
)

if TYPE_CHECKING:
    from collections.abc import Callable

SHOWN = (
    "FSC curves and the twist-rise score map; slices, surface and projections of the "
    "map; viewing directions, tilts and shifts; filaments one by one; worst and best "
    "images; layer lines; and the course of the refinement"
)
"""What the tabs hold, told before there is anything to plot."""

_OTHER = {"light": "Dark", "dark": "Light"}
"""What a theme can be changed to."""


class Dashboard(pn.viewable.Viewer):
    """All views of one session.

    Parameters
    ----------
    session : Session
        What is shown.
    theme : str, optional
        ``"light"`` or ``"dark"``; by default Panel's.

    Attributes
    ----------
    live : SessionView
        What the views are bound to.
    """

    def __init__(self, session: Any, theme: str | None = None) -> None:
        super().__init__()
        self.live = SessionView(session, theme)
        self._page = page(self.live)

    def __panel__(self) -> pn.viewable.Viewable:
        """Return the layout to be shown."""
        return self._page

    def close(self) -> None:
        """Stop following the session."""
        self.live.close()


def dashboard(session: Any, theme: str | None = None) -> Dashboard:
    """Show a session live, with its parameters to edit and buttons to run it.

    Parameters
    ----------
    session : Session
        What is shown.
    theme : str, optional
        ``"light"`` or ``"dark"``; by default Panel's. A button changes it.

    Returns
    -------
    Dashboard
        Displayed by Jupyter as the last line of a cell, and by ``panel serve``
        after ``.servable()``.
    """
    return Dashboard(session, theme)


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
        controls.buttons(follow),
        controls.status(follow),
        _theme_button(follow),
        sizing_mode="stretch_width",
    )
    results = pn.Column(sizing_mode="stretch_width")

    def show(has_results: bool) -> None:
        results.objects = [_results(follow) if has_results else _welcome(follow)]

    show(follow.has_results)
    follow.param.watch(lambda change: show(change.new), "has_results")
    return on_ground(follow, head, controls.parameters(follow), results)


def _theme_button(follow: SessionView) -> pn.widgets.Button:
    """Button that changes between light and dark."""

    def change(_: Any) -> None:
        follow.theme = "light" if follow.theme == "dark" else "dark"
        button.label = _OTHER[follow.theme]

    button = pn.widgets.Button(
        label=_OTHER[follow.theme], width=64, margin=(5, 6), align="start"
    )
    button.on_click(change)
    return button


def _results(follow: SessionView) -> pn.Column:
    """All views of results; those of a tab are made when it is opened."""
    tabs: dict[str, Callable[[], list[pn.viewable.Viewable]]] = {
        "Overview": lambda: [
            _side_by_side(fsc.view(follow), score_map.view(follow)),
            slices.view(follow),
            convergence.view(follow, convergence.FIRST),
        ],
        "Symmetry": lambda: [
            _side_by_side(symmetry.view(follow), layer_lines.view(follow)),
            symmetry_check.view(follow),
        ],
        "Map": lambda: [
            slices.view(follow),
            _side_by_side(surface.view(follow), means.view(follow)),
        ],
        "Orientations": lambda: [
            orientations.view(follow),
            asymmetric_unit.view(follow),
        ],
        "Filaments": lambda: [filaments.view(follow)],
        "Particles": lambda: [particles.view(follow)],
        "Convergence": lambda: [
            convergence.view(follow),
            _side_by_side(fsc.view(follow), guinier.view(follow)),
            noise_spectrum.view(follow),
        ],
    }
    made: dict[str, pn.Column] = {}
    # Not pn.Tabs: plots made while a tab opens are laid out with no size.
    choice = pn.widgets.RadioButtonGroup(
        options=list(tabs),
        value=next(iter(tabs)),
        margin=(5, 10),
        stylesheets=[style.CHOICE_CSS],
    )
    opening = pn.pane.HTML(styles={"color": style.QUIET}, margin=(0, 14))
    place = pn.Column(sizing_mode="stretch_width", styles=style.NO_WIDER)

    def make_tab() -> None:
        opening.object = ""
        name = follow.tab
        if name not in made:
            made[name] = pn.Column(
                *tabs[name](), sizing_mode="stretch_width", styles=style.NO_WIDER
            )
            place.append(made[name])

    def open_tab(name: str) -> None:
        follow.tab = name
        for other, column in made.items():
            column.visible = other == name
        if name not in made:
            # Said before the kernel is busy with it.
            opening.object = f"Opening {name} …"
            follow.post(make_tab)

    follow.tab = choice.value
    make_tab()
    choice.param.watch(
        lambda change: follow.attempt(lambda: open_tab(change.new)), "value"
    )
    return pn.Column(choice, opening, place, sizing_mode="stretch_width")


def _side_by_side(*views: pn.viewable.Viewable) -> pn.Row:
    return pn.Row(*views, sizing_mode="stretch_width", styles=style.WRAPPED)


def _welcome(follow: SessionView) -> pn.pane.HTML:
    """Say what is loaded and what to press, before there is anything to plot."""
    loaded = html.escape(describe(follow.session))
    return pn.pane.HTML(
        f"<h3 style='margin-top: 0'>Ready to refine</h3><p>{loaded}</p>"
        "<p>Press <b>Step</b> to compute one iteration, or <b>Run</b> to iterate "
        "until converged. The first builds an initial density from the images. "
        "Parameters can be changed at any time: each iteration reads "
        "them once, when it starts.</p>"
        f"<p>Then shown here: {SHOWN}.</p>"
        + "".join(f"<p>{html.escape(note)}</p>" for note in follow.session.foreword),
        sizing_mode="stretch_width",
        styles={
            "color": "var(--hx-ink)",
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
    particles, given = session.particles, session.parameters.frozen.symmetry
    symmetry = "none"
    if given is not None:
        symmetry = f"{given.twist_deg:g}° and {given.rise_A:g} Å a subunit, "
        symmetry += given.point_group
    return (
        f"{len(particles):,} segments of {particles.n_filaments:,} filaments, "
        f"{particles.box_px} by {particles.box_px} pixels of "
        f"{particles.pixel_size_A:g} Å. Estimated symmetry: {symmetry}."
    )
