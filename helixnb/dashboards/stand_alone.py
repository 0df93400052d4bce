"""Views by themselves: what a view needs to be shown outside a dashboard.

The views of a dashboard share one `SessionView` and stand on the ground of its page.
A view of its own, in a notebook's cell, gets both here, and what mends the page; before
the first step it says what it waits for.
"""

from __future__ import annotations

from functools import partial, wraps
from typing import TYPE_CHECKING, Any

import panel as pn

from helixnb.dashboards import style
from helixnb.dashboards.live import SessionView
from helixnb.dashboards.messages import message_html
from helixnb.dashboards.notebook_page import NotebookPage

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    View = Callable[..., pn.viewable.Viewable]

WAITING = "{what} Shown here after the first iteration: call session.step()."
UNSHOWN = "This view could not be drawn; it is tried again after the next iteration."


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
    ground = pn.Column(
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
                    follow, _trouble(follow), _retried(follow, make, waiting)
                )
            made = _made_or_retried(follow, make)
            return on_ground(follow, *(() if tells else (_trouble(follow),)), made)

        return shown

    return decorate


def _trouble(follow: SessionView) -> pn.pane.HTML:
    """Tell what went wrong, above the view."""

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
        return _retried(follow, make)


def _retried(
    follow: SessionView, make: Callable[[], pn.viewable.Viewable], waiting: str = ""
) -> pn.Column:
    """Place of a view, filled with the first results that it can be made of."""
    # Bound, so that it keeps alive what will fill its place.
    sentence = pn.bind(
        lambda tried: UNSHOWN if tried else waiting, follow.param.has_results
    )
    place = pn.Column(pn.pane.HTML(sentence), sizing_mode="stretch_width")
    is_filled = False

    def fill(_: Any) -> None:
        nonlocal is_filled
        if not is_filled:
            try:
                place.objects = [make()]
                is_filled = True
            except Exception as error:
                follow.cannot_draw(error)

    follow.param.watch(fill, "results")
    return place
