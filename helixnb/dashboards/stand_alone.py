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
from helixnb.dashboards.notebook_page import NotebookPage

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    View = Callable[..., pn.viewable.Viewable]

WAITING = "{what} Shown here after the first iteration: call session.step()."


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


def stand_alone(*, needs_results: bool = True) -> Callable[[View], View]:
    """Let a view of a `SessionView` also take a session, to be shown by itself.

    Parameters
    ----------
    needs_results : bool
        Of a session without results a sentence says what will be shown, taken from
        the first line of the view's docstring, and the view comes once there are some.

    Returns
    -------
    callable
        Decorates a function whose first argument is a `SessionView`.
    """

    def decorate(view: View) -> View:
        @wraps(view)
        def shown(session: Any, *args: Any, **options: Any) -> pn.viewable.Viewable:
            if isinstance(session, SessionView):
                return view(session, *args, **options)
            follow = SessionView(session)
            make = partial(view, follow, *args, **options)
            what = (view.__doc__ or "").partition("\n")[0]
            if needs_results:
                return on_ground(follow, _once_there_are_results(follow, make, what))
            return on_ground(follow, make())

        return shown

    return decorate


def _once_there_are_results(
    follow: SessionView, make: Callable[[], pn.viewable.Viewable], what: str
) -> pn.Column:
    # Bound, so that it keeps alive what will fill its place.
    sentence = pn.bind(
        lambda filled: "" if filled else WAITING.format(what=what),
        follow.param.has_results,
    )
    place = pn.Column(pn.pane.HTML(sentence), sizing_mode="stretch_width")

    def fill(has_results: bool) -> None:
        if has_results:
            place.objects = [make()]

    fill(follow.has_results)
    follow.param.watch(lambda change: fill(change.new), "has_results")
    return place
