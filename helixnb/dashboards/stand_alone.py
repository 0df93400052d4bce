"""Views by themselves: what a view needs to be shown outside a dashboard.

The views of a dashboard share one `SessionView` and stand on the ground of its page.
A view of its own, in a notebook's cell, gets both here, and what mends the page; before
the first step it says what it waits for.
"""

from __future__ import annotations

from functools import partial, wraps
from typing import TYPE_CHECKING, Any

import panel as pn
from bokeh.models.ui import UIElement
from panel.io.notebook import patch_inline_stylesheets

from helixnb.dashboards import style
from helixnb.dashboards.live import SessionView
from helixnb.dashboards.messages import message_html
from helixnb.dashboards.notebook_page import NotebookPage

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from bokeh.document import Document
    from bokeh.model import Model

    View = Callable[..., pn.viewable.Viewable]

WAITING = "{what} Shown here after the first iteration: call session.step()."
UNSHOWN = "This view could not be drawn; it is tried again after the next iteration."


class _Ground(pn.Column):
    """Column that is shown in a notebook in seconds less.

    Offline, Panel replaces the style sheets of one component after the other, and
    Bokeh looks through the whole page after each. Here it does so once, after all.
    """

    def _render_model(self, doc: Document | None = None, comm: Any = None) -> Model:
        model: Model = super()._render_model(doc, comm)
        if pn.config.inline and model.document is not None:
            with model.document.models.freeze():
                for part in model.select({"type": UIElement}):
                    patch_inline_stylesheets(part)
        return model


def on_ground(
    follow: SessionView, *shown: Any, others: Sequence[SessionView] = ()
) -> pn.Column:
    """Lay out on the ground that the theme gives, in a page that works.

    Parameters
    ----------
    follow : SessionView
        Whose theme it is.
    *shown
        From top to bottom.
    others : sequence of SessionView
        What else is followed.

    Returns
    -------
    panel.Column
    """
    follows = (follow, *others)

    def opened(is_old: bool) -> None:
        if is_old:
            # Panel makes anew what it has removed.
            ground.objects = [page]
            ground.objects = [page, *shown]
        for one in follows:
            one.changed()

    page = NotebookPage(opened, lambda: sum(one.event for one in follows))
    for one in follows:
        one.page = page
    ground = _Ground(
        page,
        *shown,
        sizing_mode="stretch_width",
        styles=style.ground(follow.theme),
    )
    follow.param.watch(
        lambda change: ground.param.update(styles=style.ground(change.new)), "theme"
    )
    return ground


def stand_alone(
    *, needs_results: bool = True, tells: bool = False
) -> Callable[[View], View]:
    """Let a view of a `SessionView` also take a session, to be shown by itself.

    A view that cannot be drawn says why in its place, and is tried again with the next
    results.

    Parameters
    ----------
    needs_results : bool
        Of a session without results a sentence says what will be shown, taken from
        the first line of the view's docstring, and the view comes once there are some.
    tells : bool
        Whether the view itself tells what goes wrong.

    Returns
    -------
    callable
        Decorates a function whose first argument is a `SessionView`.
    """

    def decorate(view: View) -> View:
        @wraps(view)
        def shown(session: Any, *args: Any, **options: Any) -> pn.viewable.Viewable:
            if isinstance(session, SessionView):
                make = partial(view, session, *args, **options)
                return _made_or_retried(session, make)
            follow = SessionView(session)
            make = partial(view, follow, *args, **options)
            if needs_results and not follow.has_results:
                what = (view.__doc__ or "").partition("\n")[0]
                waiting = WAITING.format(what=what)
                return on_ground(
                    follow, trouble(follow), once_computed(make, waiting, follow)
                )
            made = _made_or_retried(follow, make)
            return on_ground(follow, *(() if tells else (trouble(follow),)), made)

        return shown

    return decorate


def trouble(follow: SessionView) -> pn.pane.HTML:
    """Tell what went wrong, above a view.

    Parameters
    ----------
    follow : SessionView
        Whose problems are told.

    Returns
    -------
    panel.pane.HTML
    """

    def told(problem: str) -> str:
        return message_html(f"Error: {problem}", "error") if problem else ""

    return pn.pane.HTML(
        pn.bind(told, follow.param.problem), margin=0, sizing_mode="stretch_width"
    )


def _made_or_retried(
    follow: SessionView, make: Callable[[], pn.viewable.Viewable]
) -> pn.viewable.Viewable:
    try:
        return make()
    except Exception as error:
        follow.cannot_draw(error)
        return once_computed(make, "", follow)


def once_computed(
    make: Callable[[], pn.viewable.Viewable], waiting: str, *follows: SessionView
) -> pn.Column:
    """Place of a view, filled with the first results that it can be made of.

    Parameters
    ----------
    make : callable
        Makes the view; tried at each new state once there are results.
    waiting : str
        Said before there are any.
    *follows : SessionView
        What is shown; the first tells what goes wrong.

    Returns
    -------
    panel.Column
    """

    def said(*have: bool) -> str:
        return UNSHOWN if all(have) else waiting

    # Bound, so that it keeps alive what will fill its place.
    sentence = pn.bind(said, *(one.param.has_results for one in follows))
    place = pn.Column(pn.pane.HTML(sentence), sizing_mode="stretch_width")
    is_filled = False

    def fill(_: Any) -> None:
        nonlocal is_filled
        if not is_filled and all(one.has_results for one in follows):
            try:
                place.objects = [make()]
                is_filled = True
            except Exception as error:
                follows[0].cannot_draw(error)

    for one in follows:
        one.param.watch(fill, "results")
    return place
